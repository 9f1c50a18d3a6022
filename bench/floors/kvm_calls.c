/* A VM is made, its values are read, it is thrown away; then the same is made again and given those values, by the clock. */
#include "bench/floors/kvm_calls.h"

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/model/mem_layout.h"
#include "kvm/msrs.h"
#include "kvm/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TSS_GPA      0xfffbd000UL
#define IDENTITY_GPA 0xfffbc000UL
#define VCPUS        16
#define CHIPS        3

struct values {
        struct {
                struct kvm_cpuid2       head;
                struct kvm_cpuid_entry2 entries[256];
        } cpuid;
        struct kvm_sregs       sregs;
        struct kvm_regs        regs;
        struct kvm_lapic_state lapic;
        struct kvm_vcpu_events events;
        struct kvm_mp_state    mp;
        struct kvm_xcrs        xcrs;
        struct kvm_debugregs   debug;
        struct kvm_irqchip     chips[CHIPS];
        struct kvm_pit_state2  pit;
        struct kvm_clock_data  clock;
        struct kvm_msr_entry  *msrs;
        uint32_t               nr_msrs;
        _Alignas(4096) uint8_t xsave[16384]; /* KVM reads as much as the host's area has */
};

struct machine {
        int      kvm_fd, vm_fd, vcpu_fds[VCPUS];
        void    *run[VCPUS];
        long     run_bytes;
        uint32_t nr;
};

static void machine_free(struct machine *m)
{
        for (uint32_t i = 0; i < m->nr; i++) {
                if (m->run[i])
                        munmap(m->run[i], (size_t)m->run_bytes);
                close(m->vcpu_fds[i]);
        }
        if (m->vm_fd >= 0)
                close(m->vm_fd);
        if (m->kvm_fd >= 0)
                close(m->kvm_fd);
}

static int set_slots(int vm_fd, const struct mem_layout *l, const uint8_t *ram)
{
        int r = 0;

        for (size_t i = 0; i < l->nr && r >= 0; i++) {
                struct kvm_userspace_memory_region slot = {.slot = (uint32_t)i, .guest_phys_addr = l->w[i].gpa,
                                                           .memory_size = l->w[i].size_bytes,
                                                           .userspace_addr = (uint64_t)(uintptr_t)(ram + l->w[i].ram_offset_bytes)};

                r = kvm_ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &slot);
        }
        return r;
}

static int make_vm(struct machine *m, const struct mem_layout *l, const uint8_t *ram)
{
        struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
        uint64_t identity = IDENTITY_GPA;
        int r;

        m->kvm_fd = kvm_open();
        m->vm_fd = r = m->kvm_fd < 0 ? m->kvm_fd : kvm_ioctl_value(m->kvm_fd, KVM_CREATE_VM, 0);
        if (r >= 0)
                r = kvm_ioctl_value(m->vm_fd, KVM_SET_TSS_ADDR, TSS_GPA);
        if (r >= 0)
                r = kvm_ioctl(m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
        if (r >= 0)
                r = set_slots(m->vm_fd, l, ram); /* before any irqchip, as rouse does */
        if (r >= 0)
                r = kvm_ioctl(m->vm_fd, KVM_CREATE_IRQCHIP, NULL);
        if (r >= 0)
                r = kvm_ioctl(m->vm_fd, KVM_CREATE_PIT2, &pit);
        return r;
}

static int make_vcpus(struct machine *m, uint32_t nr)
{
        long bytes = m->run_bytes = kvm_ioctl(m->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, NULL);

        for (uint32_t i = 0; i < nr && bytes >= 0; i++) {
                int fd = kvm_ioctl_value(m->vm_fd, KVM_CREATE_VCPU, i);
                void *run;

                if (fd < 0)
                        return fd;
                m->vcpu_fds[m->nr] = fd;
                run = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                m->run[m->nr++] = run == MAP_FAILED ? NULL : run;
                if (run == MAP_FAILED)
                        return -errno;
        }
        return bytes < 0 ? (int)bytes : 0;
}

static int make(struct machine *m, const struct mem_layout *l, const uint8_t *ram, uint32_t nr_vcpus)
{
        int r;

        *m = (struct machine){.kvm_fd = -1, .vm_fd = -1};
        r = make_vm(m, l, ram);
        return r >= 0 ? make_vcpus(m, nr_vcpus) : r;
}

static int read_values(const struct machine *m, struct values *v)
{
        int fd = m->vcpu_fds[0], r;

        v->cpuid.head.nent = ARRAY_LEN(v->cpuid.entries);
        r = kvm_ioctl(m->kvm_fd, KVM_GET_SUPPORTED_CPUID, &v->cpuid);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_SET_CPUID2, &v->cpuid);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_GET_SREGS, &v->sregs);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_GET_REGS, &v->regs);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_GET_XSAVE, v->xsave);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_GET_XCRS, &v->xcrs);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_GET_DEBUGREGS, &v->debug);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_GET_LAPIC, &v->lapic);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_GET_VCPU_EVENTS, &v->events);
        if (r >= 0)
                r = kvm_ioctl(fd, KVM_GET_MP_STATE, &v->mp);
        if (r >= 0)
                r = msrs_get(m->kvm_fd, fd, &v->msrs, &v->nr_msrs);
        for (uint32_t i = 0; i < CHIPS && r >= 0; i++) {
                v->chips[i].chip_id = i;
                r = kvm_ioctl(m->vm_fd, KVM_GET_IRQCHIP, &v->chips[i]);
        }
        if (r >= 0)
                r = kvm_ioctl(m->vm_fd, KVM_GET_PIT2, &v->pit);
        if (r >= 0)
                r = kvm_ioctl(m->vm_fd, KVM_GET_CLOCK, &v->clock);
        v->clock.flags = 0;
        return r;
}

/* In the order of kvm/vcpu_state.c. */
static int set_vcpu(int fd, uint32_t i, const struct values *v)
{
        struct vm_load_report rep = {0};
        int r = kvm_ioctl_in(fd, KVM_SET_CPUID2, &v->cpuid);

        if (r >= 0)
                r = kvm_ioctl_in(fd, KVM_SET_MP_STATE, &v->mp);
        if (r >= 0)
                r = kvm_ioctl_in(fd, KVM_SET_SREGS, &v->sregs);
        if (r >= 0)
                r = kvm_ioctl_in(fd, KVM_SET_REGS, &v->regs);
        if (r >= 0)
                r = kvm_ioctl_in(fd, KVM_SET_XSAVE, v->xsave);
        if (r >= 0)
                r = kvm_ioctl_in(fd, KVM_SET_XCRS, &v->xcrs);
        if (r >= 0)
                r = kvm_ioctl_in(fd, KVM_SET_DEBUGREGS, &v->debug);
        if (r >= 0)
                r = kvm_ioctl_in(fd, KVM_SET_LAPIC, &v->lapic);
        if (r >= 0)
                r = msrs_set(fd, i, v->msrs, v->nr_msrs, &rep);
        if (r >= 0)
                r = kvm_ioctl_in(fd, KVM_SET_VCPU_EVENTS, &v->events);
        return r;
}

static int set_values(const struct machine *m, const struct values *v)
{
        int r = 0;

        for (uint32_t i = 0; i < CHIPS && r >= 0; i++)
                r = kvm_ioctl_in(m->vm_fd, KVM_SET_IRQCHIP, &v->chips[i]);
        if (r >= 0)
                r = kvm_ioctl_in(m->vm_fd, KVM_SET_PIT2, &v->pit);
        for (uint32_t i = 0; i < m->nr && r >= 0; i++)
                r = set_vcpu(m->vcpu_fds[i], i, v);
        if (r >= 0)
                r = kvm_ioctl_in(m->vm_fd, KVM_SET_CLOCK, &v->clock);
        return r;
}

static int measure(const struct mem_layout *l, uint32_t nr_vcpus, const uint8_t *ram, struct values *v, double *ret_us)
{
        struct machine m;
        uint64_t since_ns;
        int r = make(&m, l, ram, 1);

        if (r >= 0)
                r = read_values(&m, v);
        machine_free(&m);
        if (r < 0)
                return r;
        since_ns = now_ns();
        r = make(&m, l, ram, nr_vcpus);
        if (r >= 0)
                r = set_values(&m, v);
        *ret_us = (double)(now_ns() - since_ns) / (double)NS_PER_US;
        machine_free(&m);
        return r;
}

int kvm_calls_measure(const struct mem_layout *layout, uint32_t nr_vcpus, double *ret_us, struct err *e)
{
        struct values *v = aligned_alloc(PAGE_BYTES, align_up(sizeof(*v), PAGE_BYTES));
        uint8_t *ram = mmap(NULL, layout->total_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                            0);
        double us = 0;
        int r = !v ? -ENOMEM : ram == MAP_FAILED ? -errno : 0;

        if (v)
                memset(v, 0, sizeof(*v));
        if (r >= 0)
                r = measure(layout, MIN(nr_vcpus, (uint32_t)VCPUS), ram, v, &us);
        if (ram != MAP_FAILED)
                munmap(ram, layout->total_bytes);
        if (v)
                free(v->msrs);
        free(v);
        if (r < 0)
                return err_set(e, r, "bare KVM calls: %s", strerror(-r));
        *ret_us = us;
        return 0;
}
