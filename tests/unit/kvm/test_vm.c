/* Tiny guests on the real KVM: they run, are paused, saved, loaded elsewhere, and stop as they should. */
#include "core/base/clock.h"
#include "core/base/uapi.h"
#include "tests/unit/kvm/small_vm.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* mov $0x3f8,%dx; mov $'A',%al; 1: out %al,(%dx); inc %al; cmp $'Z'+1,%al; jne 1b; mov $'A',%al; jmp 1b */
static const uint8_t alphabet[] = { 0x66, 0xba, 0xf8, 0x03, 0xb0, 0x41, 0xee, 0xfe, 0xc0, 0x3c, 0x5b, 0x75, 0xf9, 0xb0, 0x41,
                                    0xeb, 0xf5 };
/* 1: incq (%rdi); jmp 1b */
static const uint8_t count[] = { 0x48, 0xff, 0x07, 0xeb, 0xfb };
/* ud2, with an IDT that has no entry for it: a triple fault */
static const uint8_t triple[] = { 0x0f, 0x0b };
/* mov (%rdi),%rax; 1: jmp 1b */
static const uint8_t touch[] = { 0x48, 0x8b, 0x07, 0xeb, 0xfe };
/* mov $0x1234,%dx; in (%dx),%al; mov $0x3f8,%dx; out %al,(%dx); mov $0x30000000,%ebx; mov (%rbx),%al; out %al,(%dx); 1: jmp 1b */
static const uint8_t absent[] = { 0x66, 0xba, 0x34, 0x12, 0xec, 0x66, 0xba, 0xf8, 0x03, 0xee, 0xbb, 0x00, 0x00, 0x00, 0x30, 0x8a,
                                  0x03, 0xee, 0xeb, 0xfe };
/* mov $0x3fd,%dx; 1: in (%dx),%al; test $1,%al; jz 1b; mov $0x3f8,%dx; in (%dx),%al; out %al,(%dx); jmp to the start */
static const uint8_t echo[] = { 0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xfb, 0x66, 0xba, 0xf8, 0x03, 0xec, 0xee, 0xeb,
                                0xef };

static struct vm_state save(struct small_vm *s)
{
        struct vm_state st = { 0 };
        struct err      e = { 0 };

        cr_assert_eq(vm_save(s->vm, &st, &e), 0, "%s", e.text);
        return st;
}

static struct vm_load_report load(struct small_vm *s, const struct vm_state *st)
{
        struct vm_load_report rep;
        struct err            e = { 0 };

        cr_assert_eq(vm_load(s->vm, st, &rep, &e), 0, "%s", e.text);
        return rep;
}

static void assert_load_refused(struct small_vm *s, const struct vm_state *st, const char *text)
{
        struct vm_load_report rep;
        struct err            e = { 0 };

        cr_assert_lt(vm_load(s->vm, st, &rep, &e), 0);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, text), "%s", e.text);
}

static void start(struct small_vm *s)
{
        struct err e = { 0 };

        cr_assert_eq(vm_start(s->vm, &e), 0, "%s", e.text);
}

/* Another VM that is where this paused one is, with a copy of its RAM. */
static struct small_vm *copy_of(struct small_vm *s)
{
        struct vm_state  st = save(s);
        struct small_vm *c;

        c = small_vm_bare(st.nr_vcpus, NULL);
        memcpy(c->layout.ram, s->layout.ram, SMALL_RAM_BYTES);
        cr_assert_eq(load(c, &st).nr_refused, 0);
        vm_state_free(&st);
        return c;
}

/* --- what was written --- */

struct dirt {
        uint64_t nr, page;
};

static void note_dirty(void *arg, uint64_t page)
{
        struct dirt *d = arg;

        d->nr++;
        d->page = page;
}

static struct dirt dirt_of(struct small_vm *s)
{
        struct dirt d = { 0 };
        struct err  e = { 0 };

        cr_assert_eq(vm_dirty_log(s->vm, note_dirty, &d, &e), 0, "%s", e.text);
        return d;
}

/* The page it counts in, and no other; once a pause, as often as it goes on. */
Test(vm, a_tracked_guest_dirties_the_page_that_it_writes)
{
        struct small_vm *from = small_vm_boot(count, sizeof(count), 1), *s;
        struct vm_state  st = save(from);
        const uint64_t   page = bytes_to_pages(20 * MIB);

        st.vcpus[0].regs.rdi = 20 * MIB;
        s = small_vm_bare_tracked(1, NULL, true);
        memcpy(s->layout.ram, from->layout.ram, SMALL_RAM_BYTES);
        load(s, &st);
        start(s);
        dirt_of(s);
        for (int i = 0; i < 3; i++) {
                uint64_t    counted = *(volatile uint64_t *)(s->layout.ram + 20 * MIB);
                struct dirt d;

                vm_resume(s->vm);
                while (*(volatile uint64_t *)(s->layout.ram + 20 * MIB) == counted)
                        usleep(100);
                vm_pause(s->vm);
                d = dirt_of(s);
                cr_assert_geq(d.nr, 1);
                cr_assert_leq(d.nr, 4, "a clock of KVM's may be among them");
                cr_assert(d.nr > 1 || d.page == page, "page %d", (int)d.page);
                cr_assert_eq(dirt_of(s).nr, 0, "it was taken");
        }
        vm_state_free(&st);
        small_vm_free(s);
        small_vm_free(from);
}

Test(vm, a_guest_that_is_not_tracked_has_no_log)
{
        struct small_vm *s = small_vm_boot(count, sizeof(count), 1);
        struct dirt      d = { 0 };

        cr_assert_lt(vm_dirty_log(s->vm, note_dirty, &d, NULL), 0);
        cr_assert_eq(d.nr, 0);
        small_vm_free(s);
}

/* --- running --- */

Test(vm, a_guest_runs_and_its_bytes_arrive_in_order)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 1);

        cr_assert_gt(s->slots_ns, 0);
        vm_resume(s->vm);
        small_wait_out(s, 52);
        vm_stop(s->vm);
        for (size_t i = 0; i < 52; i++)
                cr_assert_eq(s->out[i], 'A' + i % 26);
        cr_assert_eq(s->nr_entered, 1);
        small_vm_free(s);
}

Test(vm, nothing_runs_before_resume_and_nothing_after_pause)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 1);
        size_t           before;

        usleep(20000);
        cr_assert_eq(s->nr_out, 0);
        cr_assert_eq(s->nr_entered, 0);
        vm_resume(s->vm);
        small_wait_out(s, 1);
        vm_pause(s->vm);
        before = s->nr_out;
        usleep(20000);
        cr_assert_eq(s->nr_out, before);
        small_vm_free(s);
}

Test(vm, a_vm_that_never_ran_is_freed)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 4);

        small_vm_free(s);
        vm_free(NULL);
        vm_condemn(NULL);
}

Test(vm, what_nobody_answers_reads_as_ones)
{
        struct small_vm *s = small_vm_boot(absent, sizeof(absent), 1);

        vm_resume(s->vm);
        small_wait_out(s, 2);
        cr_assert_eq(s->out[0], 0xff, "an absent port");
        cr_assert_eq(s->out[1], 0xff, "an absent MMIO address");
        small_vm_free(s);
}

Test(vm, typed_bytes_reach_the_guest)
{
        struct small_vm *s = small_vm_boot(echo, sizeof(echo), 1);

        vm_resume(s->vm);
        cr_assert_eq(vm_serial_in(s->vm, (const uint8_t *)"hi", 2), 1, "no FIFO, so one at a time");
        small_wait_out(s, 1);
        cr_assert_eq(s->out[0], 'h');
        small_vm_free(s);
}

/* --- pausing and saving --- */

Test(vm, a_guest_paused_at_random_moments_goes_on_elsewhere_without_a_byte_lost_or_twice)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 1);
        unsigned int     seed = 1;
        size_t           n = 0;

        for (int generation = 0; generation < 12; generation++) {
                struct small_vm *next;

                vm_resume(s->vm);
                usleep((useconds_t)rand_r(&seed) % 5000);
                vm_pause(s->vm);
                for (size_t i = 0; i < s->nr_out; i++, n++)
                        cr_assert_eq(s->out[i], 'A' + n % 26, "generation %d, byte %zu", generation, i);
                next = copy_of(s);
                start(next);
                small_vm_free(s);
                s = next;
        }
        cr_assert_gt(n, 0);
        small_vm_free(s);
}

Test(vm, pause_and_resume_in_a_storm_lose_nothing)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 2);

        for (int i = 0; i < 300; i++) {
                vm_resume(s->vm);
                if (i % 3 == 0)
                        usleep(50);
                vm_pause(s->vm);
                vm_pause(s->vm);
        }
        vm_resume(s->vm);
        small_wait_out(s, small_nr_out(s) + 26);
        vm_stop(s->vm);
        for (size_t i = 0; i < MIN(s->nr_out, (size_t)SMALL_OUT_MAX); i++)
                cr_assert_eq(s->out[i], 'A' + i % 26);
        small_vm_free(s);
}

Test(vm, a_pause_that_is_taken_back_before_or_after_it_took_effect_stops_nothing)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 2);

        vm_resume(s->vm);
        for (int i = 0; i < 300; i++) {
                (void)vm_pause_begin(s->vm, i % 3 == 0);
                vm_resume(s->vm);
        }
        small_wait_out(s, s->nr_out + 26);
        while (!vm_pause_begin(s->vm, 10))
                ;
        vm_pause(s->vm);
        for (size_t i = 0; i < MIN(s->nr_out, (size_t)SMALL_OUT_MAX); i++)
                cr_assert_eq(s->out[i], 'A' + i % 26);
        small_vm_free(s);
}

Test(vm, a_pause_waits_for_a_vcpu_that_is_held_up_as_long_as_it_is_told_to)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 1);
        uint64_t         before_ns;

        vm_resume(s->vm);
        small_wait_out(s, 1);
        pthread_mutex_lock(&s->lock); /* where its next byte has to wait */
        usleep(20000);
        before_ns = now_ns();
        cr_assert_not(vm_pause_begin(s->vm, 100));
        cr_assert_geq(now_ns() - before_ns, 100 * NS_PER_MS);
        pthread_mutex_unlock(&s->lock);
        cr_assert(vm_pause_begin(s->vm, 20000));
        small_vm_free(s);
}

/* What passing time changes, and nothing else. */
static void mask_time(struct vm_state *st)
{
        for (uint32_t i = 0; i < st->nr_vcpus; i++) {
                struct vcpu_state *v = &st->vcpus[i];

                for (uint32_t m = 0; m < v->nr_msrs; m++)
                        if (v->msrs[m].index == 0x10) /* the TSC */
                                v->msrs[m].data = 0;
                memset(v->lapic.regs + 0x390, 0, 4); /* the timer's current count */
        }
        st->platform.clock.clock = 0;
        for (size_t c = 0; c < 3; c++)
                st->platform.pit.channels[c].count_load_time = 0;
}

Test(vm, what_is_saved_loads_and_saves_the_same)
{
        for (uint32_t nr_vcpus = 1; nr_vcpus <= 4; nr_vcpus *= 2) {
                struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), nr_vcpus), *c;
                struct vm_state  a, b;
                char             what[80] = "";

                vm_resume(s->vm);
                small_wait_out(s, 30);
                vm_pause(s->vm);
                a = save(s);
                c = copy_of(s);
                b = save(c);
                mask_time(&a);
                mask_time(&b);
                cr_assert(vm_state_equal(&a, &b, what), "%u vCPUs: %s", nr_vcpus, what);
                vm_state_free(&a);
                vm_state_free(&b);
                small_vm_free(c);
                small_vm_free(s);
        }
}

/* All vCPUs in the same loop in long mode, each with a counter of its own. */
static struct small_vm *counting(uint32_t nr_vcpus)
{
        struct small_vm *booted = small_vm_boot(count, sizeof(count), nr_vcpus), *s;
        struct vm_state  st = save(booted);

        for (uint32_t i = 0; i < nr_vcpus; i++) {
                st.vcpus[i].mp_state.mp_state = KVM_MP_STATE_RUNNABLE;
                st.vcpus[i].sregs = st.vcpus[0].sregs;
                st.vcpus[i].sregs.apic_base &= i ? ~(1ULL << 8) : ~0ULL; /* one boot processor */
                st.vcpus[i].regs = st.vcpus[0].regs;
                st.vcpus[i].regs.rdi = SMALL_CODE_GPA + MIB + i * PAGE_BYTES;
        }
        s = small_vm_bare(nr_vcpus, NULL);
        memcpy(s->layout.ram, booted->layout.ram, SMALL_RAM_BYTES);
        load(s, &st);
        vm_state_free(&st);
        small_vm_free(booted);
        start(s);
        return s;
}

static uint64_t counter(const struct small_vm *s, uint32_t vcpu)
{
        return __atomic_load_n((uint64_t *)(s->layout.ram + SMALL_CODE_GPA + MIB + vcpu * PAGE_BYTES), __ATOMIC_RELAXED);
}

Test(vm, sixteen_vcpus_run_stand_still_when_paused_and_go_on, .timeout = 120)
{
        struct small_vm *s = counting(16);
        uint64_t         at[16];

        for (int round = 0; round < 5; round++) {
                vm_resume(s->vm);
                for (uint32_t i = 0; i < 16; i++) {
                        uint64_t before = counter(s, i);
                        int      patience = 20000;

                        while (counter(s, i) == before && --patience)
                                usleep(1000);
                        cr_assert_gt(patience, 0, "vCPU %u stands still", i);
                }
                vm_pause(s->vm);
                for (uint32_t i = 0; i < 16; i++)
                        at[i] = counter(s, i);
                usleep(5000);
                for (uint32_t i = 0; i < 16; i++)
                        cr_assert_eq(counter(s, i), at[i], "vCPU %u runs while paused", i);
        }
        cr_assert_eq(s->nr_entered, 1);
        small_vm_free(s);
}

Test(vm, a_processor_that_waits_for_its_init_is_paused_and_saved_as_such)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 2);
        struct vm_state  st;

        vm_resume(s->vm);
        small_wait_out(s, 1);
        vm_pause(s->vm);
        st = save(s);
        cr_assert_eq(st.vcpus[0].mp_state.mp_state, KVM_MP_STATE_RUNNABLE);
        cr_assert_eq(st.vcpus[1].mp_state.mp_state, KVM_MP_STATE_UNINITIALIZED);
        vm_state_free(&st);
        small_vm_free(s);
}

Test(vm, a_running_vm_is_not_saved)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 1);
        struct vm_state  st = { 0 };
        struct err       e = { 0 };

        vm_resume(s->vm);
        cr_assert_eq(vm_save(s->vm, &st, &e), -EBUSY);
        small_vm_free(s);
}

/* --- ends --- */

Test(vm, a_triple_fault_is_a_shutdown)
{
        struct small_vm *s = small_vm_boot(triple, sizeof(triple), 1);
        struct vm_state  st = { 0 };
        struct err       e = { 0 };

        vm_resume(s->vm);
        small_wait_exit(s);
        cr_assert_eq(s->why, VM_EXIT_SHUTDOWN, "%d %s", (int)s->why, s->text);
        vm_pause(s->vm);
        cr_assert_eq(vm_save(s->vm, &st, &e), -EIO, "its state is not whole");
        small_vm_free(s);
}

Test(vm, stop_is_for_good)
{
        struct small_vm *s = small_vm_boot(alphabet, sizeof(alphabet), 1);
        size_t           before;

        vm_resume(s->vm);
        small_wait_out(s, 1);
        vm_stop(s->vm);
        before = s->nr_out;
        vm_resume(s->vm);
        vm_pause(s->vm);
        vm_stop(s->vm);
        cr_assert_eq(s->nr_out, before);
        small_vm_free(s);
}

Test(vm, a_condemned_vm_runs_no_more)
{
        struct small_vm *s = counting(2);
        uint64_t         before;

        vm_resume(s->vm);
        while (!counter(s, 1))
                usleep(1000);
        vm_condemn(s->vm);
        vm_stop(s->vm);
        before = counter(s, 1);
        usleep(5000);
        cr_assert_eq(counter(s, 1), before);
        small_vm_free(s);
}

#define LOST_GPA (SMALL_CODE_GPA + 2 * MIB)

/* Poisons the page, as the pager does with one that cannot be read. Returns the userfaultfd. */
static int poison(const uint8_t *hva)
{
        struct uffdio_api      api = { .api = UFFD_API, .features = UFFD_FEATURE_POISON };
        struct uffdio_register reg = { .range = { (uint64_t)hva, PAGE_BYTES }, .mode = UFFDIO_REGISTER_MODE_MISSING };
        struct uffdio_poison   p = { .range = { (uint64_t)hva, PAGE_BYTES } };
        int                    dev, fd;

        need_uffd();
        dev = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
        if (dev < 0)
                cr_skip_test("no /dev/userfaultfd");
        fd = ioctl(dev, USERFAULTFD_IOC_NEW, O_CLOEXEC);
        close(dev);
        if (ioctl(fd, UFFDIO_API, &api) < 0)
                cr_skip_test("no UFFDIO_POISON (Linux 6.6)");
        cr_assert_eq(ioctl(fd, UFFDIO_REGISTER, &reg), 0);
        cr_assert_eq(ioctl(fd, UFFDIO_POISON, &p), 0);
        return fd;
}

/* A VM about to read LOST_GPA at this privilege level. */
static struct small_vm *touching(uint8_t dpl)
{
        struct small_vm    *booted = small_vm_boot(touch, sizeof(touch), 1), *s;
        struct vm_state     st = save(booted);
        struct kvm_sregs   *r = &st.vcpus[0].sregs;
        struct kvm_segment *segments[] = { &r->cs, &r->ds, &r->es, &r->fs, &r->gs, &r->ss };
        uint8_t            *ram = booted->layout.ram;

        st.vcpus[0].regs.rdi = LOST_GPA;
        for (size_t i = 0; i < ARRAY_LEN(segments); i++) {
                segments[i]->dpl = dpl;
                segments[i]->selector |= dpl;
        }
        s = small_vm_bare(1, NULL);
        memcpy(s->layout.ram, ram, 0x100000);
        memcpy(s->layout.ram + SMALL_CODE_GPA, touch, sizeof(touch));
        for (size_t at = 0x9000; at < 0xc000; at += 8) /* the boot page tables, for user mode too */
                if (s->layout.ram[at] & 1)
                        s->layout.ram[at] |= 4;
        load(s, &st);
        vm_state_free(&st);
        small_vm_free(booted);
        start(s);
        return s;
}

Test(vm, a_lost_page_stops_the_vcpu_and_is_named_whichever_way_kvm_shows_it)
{
        for (uint8_t dpl = 0; dpl <= 3; dpl += 3) {
                struct small_vm *s = touching(dpl);
                int              fd = poison(s->layout.ram + LOST_GPA);

                vm_resume(s->vm);
                small_wait_exit(s);
                cr_assert_eq(s->why, VM_EXIT_LOST, "CPL %u: %d %s", dpl, (int)s->why, s->text);
                cr_assert_eq(s->gpa & ~(PAGE_BYTES - 1), LOST_GPA, "CPL %u: %#llx", dpl, (unsigned long long)s->gpa);
                cr_assert_eq(s->nr_out, 0);
                small_vm_free(s);
                close(fd);
        }
}

Test(vm, a_page_of_a_file_that_shrank_stops_the_vcpu)
{
        for (uint8_t dpl = 0; dpl <= 3; dpl += 3) {
                struct small_vm *s = touching(dpl);
                int              fd = memfd_create("shrinks", MFD_CLOEXEC);

                cr_assert_eq(ftruncate(fd, PAGE_BYTES), 0);
                cr_assert_neq(mmap(s->layout.ram + LOST_GPA, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0),
                              MAP_FAILED);
                cr_assert_eq(ftruncate(fd, 0), 0);
                vm_resume(s->vm);
                small_wait_exit(s);
                cr_assert(s->why == VM_EXIT_LOST || s->why == VM_EXIT_ERROR, "CPL %u: %d", dpl, (int)s->why);
                small_vm_free(s);
                close(fd);
        }
}

/* --- what is refused --- */

Test(vm, a_state_that_does_not_fit_is_refused_with_the_piece_named)
{
        struct small_vm *booted = small_vm_boot(alphabet, sizeof(alphabet), 1), *s;
        struct vm_state  st = save(booted);

        s = small_vm_bare(1, NULL);
        st.vcpus[0].xsave_bytes = XSAVE_MAX;
        assert_load_refused(s, &st, "vCPU 0: xsave: expected at most");
        st.vcpus[0].xsave_bytes = 100;
        assert_load_refused(s, &st, "vCPU 0: xsave: expected 4096 to 65536 bytes, found 100");
        st.vcpus[0].xsave_bytes = 4096;
        st.vcpus[0].nr_msrs = MSRS_MAX + 1;
        assert_load_refused(s, &st, "vCPU 0: msrs: expected at most 1024, found 1025");
        st.vcpus[0].nr_msrs = 1;
        st.vcpus[0].nr_cpuid = CPUID_MAX + 1;
        assert_load_refused(s, &st, "vCPU 0: cpuid");
        st.vcpus[0].nr_cpuid = 1;
        st.devices[0].u.serial.rx_len = SERIAL_RX_MAX + 1;
        assert_load_refused(s, &st, "device serial: expected at most 1024 received bytes, found 1025");
        st.devices[0].u.serial.rx_len = 0;
        st.vcpus[0].sregs.cr4 = ~0ULL;
        assert_load_refused(s, &st, "vCPU 0: sregs: expected a value that KVM takes here");
        vm_state_free(&st);
        small_vm_free(s);
        small_vm_free(booted);
}

Test(vm, a_state_of_another_number_of_vcpus_is_refused)
{
        struct small_vm *booted = small_vm_boot(alphabet, sizeof(alphabet), 2), *s = small_vm_bare(1, NULL);
        struct vm_state  st = save(booted);

        assert_load_refused(s, &st, "vCPUs: expected 1, found 2");
        vm_state_free(&st);
        small_vm_free(s);
        small_vm_free(booted);
}

Test(vm, nested_state_on_a_host_without_it_is_refused_by_name)
{
        struct small_vm *booted = small_vm_boot(alphabet, sizeof(alphabet), 1), *s = small_vm_bare(1, NULL);
        struct vm_state  st = save(booted);

        if (st.vcpus[0].have >> VCPU_NESTED & 1)
                cr_skip_test("this host has nested virtualization");
        st.vcpus[0].have |= 1u << VCPU_NESTED;
        assert_load_refused(s, &st, "vCPU 0: nested: expected a host with nested virtualization");
        vm_state_free(&st);
        small_vm_free(s);
        small_vm_free(booted);
}

Test(vm, refused_msrs_are_reported_and_the_rest_is_set)
{
        struct small_vm      *booted = small_vm_boot(alphabet, sizeof(alphabet), 1), *s = small_vm_bare(1, NULL);
        struct vm_state       st = save(booted), again;
        struct vm_load_report rep;
        struct kvm_msr_entry *msrs = calloc(3, sizeof(*msrs));

        msrs[0] = (struct kvm_msr_entry){ .index = 0xdeadbeef, .data = 1 };
        msrs[1] = (struct kvm_msr_entry){ .index = 0xc0000082, .data = 0x1234567 }; /* LSTAR */
        msrs[2] = (struct kvm_msr_entry){ .index = 0xdeadbee0, .data = 2 };
        free(st.vcpus[0].msrs);
        st.vcpus[0].msrs = msrs;
        st.vcpus[0].nr_msrs = 3;
        rep = load(s, &st);
        cr_assert_eq(rep.nr_refused, 2);
        cr_assert_eq(rep.refused[0].index, 0xdeadbeef);
        cr_assert_eq(rep.refused[1].index, 0xdeadbee0);
        cr_assert_eq(rep.refused[1].data, 2);
        again = save(s);
        for (uint32_t i = 0; i < again.vcpus[0].nr_msrs; i++)
                if (again.vcpus[0].msrs[i].index == 0xc0000082)
                        cr_assert_eq(again.vcpus[0].msrs[i].data, 0x1234567);
        vm_state_free(&st);
        vm_state_free(&again);
        small_vm_free(s);
        small_vm_free(booted);
}

Test(vm, pics_that_are_not_in_the_state_are_masked)
{
        struct small_vm *booted = small_vm_boot(alphabet, sizeof(alphabet), 1), *s = small_vm_bare(1, NULL);
        struct vm_state  st = save(booted), again;

        st.platform.have &= ~(1u << PLATFORM_PIC_MASTER | 1u << PLATFORM_PIC_SLAVE);
        load(s, &st);
        again = save(s);
        cr_assert_eq(again.platform.pic_master.imr, 0xff);
        cr_assert_eq(again.platform.pic_slave.imr, 0xff);
        vm_state_free(&st);
        vm_state_free(&again);
        small_vm_free(s);
        small_vm_free(booted);
}

Test(vm, more_vcpus_than_a_microvm_has_are_wrong_usage)
{
        struct host_caps  caps = { 0 };
        struct mem_layout l = { 0 };
        struct vm_config  c = { .caps = &caps, .layout = &l, .machine = MACHINE_MICROVM, .nr_vcpus = VCPUS_MAX + 1 };
        struct vm        *vm = NULL;
        struct err        e = { 0 };

        need_kvm();
        kvm_probe(&caps);
        cr_assert_eq(vm_new(&c, &vm, NULL, &e), -EINVAL);
        cr_assert_eq(e.kind, ERR_USAGE);
        cr_assert_null(vm);
}

Test(vm, a_kvm_without_an_irqchip_is_refused_as_the_hosts_lack)
{
        struct host_caps  caps = { 0 };
        struct mem_layout l = { 0 };
        struct vm_config  c = { .caps = &caps, .layout = &l, .machine = MACHINE_MICROVM, .nr_vcpus = 1 };
        struct vm        *vm = NULL;
        struct err        e = { 0 };

        need_kvm();
        kvm_probe(&caps);
        caps.kvm_irqchip = false;
        cr_assert_lt(vm_new(&c, &vm, NULL, &e), 0);
        cr_assert_eq(e.kind, ERR_HOST);
        cr_assert_not_null(strstr(e.text, "KVM_CAP_IRQCHIP"));
}
