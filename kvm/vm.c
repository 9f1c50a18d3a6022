/* The VM as a whole: built in the order of one table, started, paused, stopped, freed. */
#include "kvm/vm_internal.h"

#include "core/base/clock.h"
#include "kvm/device/balloon.h"
#include "kvm/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- the serial port's wires --- */

static void serial_irq(void *arg, bool level)
{
        struct vm           *vm = arg;
        struct kvm_irq_level line = { .irq = vm->machine->serial_irq, .level = level };

        /* it cannot fail: the irqchip is there and the line is one of its own */
        kvm_ioctl(vm->vm_fd, KVM_IRQ_LINE, &line);
}

static void serial_byte(void *arg, uint8_t byte)
{
        struct vm *vm = arg;

        vm->events.serial_out(vm->events.arg, byte);
}

static const struct serial_ops serial_wires = { .set_irq = serial_irq, .put = serial_byte };

/* A wider access is one of several registers in a row, as the ISA bus splits it. */
static void serial_port_read(void *arg, uint64_t offset, uint8_t *ret_data, uint32_t len_bytes)
{
        for (uint32_t i = 0; i < len_bytes; i++)
                ret_data[i] = serial_read(arg, (unsigned int)offset + i);
}

static void serial_port_write(void *arg, uint64_t offset, const uint8_t *data, uint32_t len_bytes)
{
        for (uint32_t i = 0; i < len_bytes; i++)
                serial_write(arg, (unsigned int)offset + i, data[i]);
}

static const struct bus_ops serial_ports = { .read = serial_port_read, .write = serial_port_write };

/* --- build: the order of KVM's calls --- */

static int open_kvm(struct vm *vm, struct err *e)
{
        vm->kvm_fd = kvm_open();
        return vm->kvm_fd < 0 ? err_host(e, vm->kvm_fd, "/dev/kvm: %s", strerror(-vm->kvm_fd)) : 0;
}

static int create_vm(struct vm *vm, struct err *e)
{
        vm->vm_fd = kvm_ioctl_value(vm->kvm_fd, KVM_CREATE_VM, 0);
        return vm->vm_fd < 0 ? err_set(e, vm->vm_fd, "KVM_CREATE_VM: %s", strerror(-vm->vm_fd)) : 0;
}

/* KVM hands a fault that has to wait to a kernel worker, which asks to write whatever the guest did, and lets the vCPU halt
 * meanwhile. Where HLT does not leave the guest it does so only for a guest that asked for asynchronous faults itself
 * (kvm_can_do_async_pf, arch/x86/kvm/x86.c). No other switch has that effect. */
static int take_faults_in_place(struct vm *vm, struct err *e)
{
        struct kvm_enable_cap c = { .cap = KVM_CAP_X86_DISABLE_EXITS, .args = { KVM_X86_DISABLE_EXITS_HLT } };
        int                   r;

        if (!vm->faults_in_place || !vm->caps.kvm_hlt_in_guest)
                return 0;
        r = kvm_ioctl(vm->vm_fd, KVM_ENABLE_CAP, &c);
        return r < 0 ? err_set(e, r, "KVM_ENABLE_CAP KVM_CAP_X86_DISABLE_EXITS: %s", strerror(-r)) : 0;
}

static int set_tss(struct vm *vm, struct err *e)
{
        int r = kvm_ioctl_value(vm->vm_fd, KVM_SET_TSS_ADDR, vm->machine->tss_gpa);

        return r < 0 ? err_set(e, r, "KVM_SET_TSS_ADDR %#" PRIx64 ": %s", vm->machine->tss_gpa, strerror(-r)) : 0;
}

static int set_identity_map(struct vm *vm, struct err *e)
{
        uint64_t gpa = vm->machine->identity_map_gpa;
        int      r = kvm_ioctl(vm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &gpa);

        return r < 0 ? err_set(e, r, "KVM_SET_IDENTITY_MAP_ADDR %#" PRIx64 ": %s", gpa, strerror(-r)) : 0;
}

static int set_slots(struct vm *vm, struct err *e)
{
        for (size_t i = 0; i < vm->layout.nr; i++) {
                const struct mem_window           *w = &vm->layout.w[i];
                struct kvm_userspace_memory_region slot = {
                        .slot            = (uint32_t)i,
                        .flags           = vm->track_dirty ? KVM_MEM_LOG_DIRTY_PAGES : 0,
                        .guest_phys_addr = w->gpa,
                        .memory_size     = w->size_bytes,
                        .userspace_addr  = (uint64_t)(vm->layout.ram + w->ram_offset_bytes),
                };
                uint64_t before_ns = now_ns();
                int      r = kvm_ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot);

                vm->slots_ns += now_ns() - before_ns;
                if (r < 0)
                        return err_set(e, r, "KVM_SET_USER_MEMORY_REGION: slot %zu, %" PRIu64 " bytes at guest address %#" PRIx64 ": %s", i,
                                       w->size_bytes, w->gpa, strerror(-r));
        }
        return 0;
}

static int create_irqchip(struct vm *vm, struct err *e)
{
        int r = kvm_ioctl(vm->vm_fd, KVM_CREATE_IRQCHIP, NULL);

        return r < 0 ? err_set(e, r, "KVM_CREATE_IRQCHIP: %s", strerror(-r)) : 0;
}

static int create_pit(struct vm *vm, struct err *e)
{
        struct kvm_pit_config c = { .flags = KVM_PIT_SPEAKER_DUMMY };
        int                   r = kvm_ioctl(vm->vm_fd, KVM_CREATE_PIT2, &c);

        return r < 0 ? err_set(e, r, "KVM_CREATE_PIT2: %s", strerror(-r)) : 0;
}

static int create_vcpus(struct vm *vm, struct err *e)
{
        for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
                int r = vcpu_create(&vm->vcpus[i], vm, i, e);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int create_serial(struct vm *vm, struct err *e)
{
        int r = serial_new(&serial_wires, vm, &vm->serial);

        if (r >= 0)
                r = bus_add(&vm->bus, BUS_PORTS, vm->machine->serial_port, SERIAL_REGISTERS, &serial_ports, vm->serial);
        return r < 0 ? err_set(e, r, "serial port: %s", strerror(-r)) : 0;
}

/* The order, and why. */
static int (*const build_steps[])(struct vm *vm, struct err *e) = {
        open_kvm,         /* everything else is asked of it */
        create_vm,        /* a VM without memory, without chips */
        take_faults_in_place, /* before any vCPU, or KVM refuses it */
        set_tss,          /* before any vCPU: KVM puts its real-mode task segment there when it makes the first one */
        set_identity_map, /* before any vCPU, or KVM refuses it */
        set_slots,        /* before the irqchip: a slot set after it waits 5 to 10 ms for a grace period that it began (restore-costs.md) */
        create_irqchip,   /* before the PIT and the vCPUs, which get their LAPIC by it; its default routing is the machine's */
        create_pit,       /* needs the irqchip */
        create_vcpus,     /* last in KVM */
        create_serial,    /* its interrupt line needs the irqchip */
};

static int check_config(const struct vm_config *c, struct err *e)
{
        const struct {
                bool        there;
                const char *name;
        } needed[] = {
                { c->caps->kvm_user_memory, "KVM_CAP_USER_MEMORY" },
                { c->caps->kvm_irqchip, "KVM_CAP_IRQCHIP" },
                { c->caps->kvm_pit2, "KVM_CAP_PIT_STATE2" },
                { c->caps->kvm_immediate_exit, "KVM_CAP_IMMEDIATE_EXIT" },
                { c->caps->kvm_vcpu_events, "KVM_CAP_VCPU_EVENTS" },
                { c->caps->kvm_debugregs, "KVM_CAP_DEBUGREGS" },
        };
        uint32_t max_vcpus = MIN((uint32_t)VCPUS_MAX, c->caps->kvm_max_vcpus);

        for (size_t i = 0; i < ARRAY_LEN(needed); i++)
                if (!needed[i].there)
                        return err_host(e, -EOPNOTSUPP, "KVM: expected %s, found a KVM without it; use Linux 6.1 or later",
                                        needed[i].name);
        if (!machine_find(c->machine))
                return err_set(e, -EINVAL, "machine: expected kind %d, found %d", MACHINE_MICROVM, (int)c->machine);
        if (c->nr_vcpus < 1 || c->nr_vcpus > max_vcpus)
                return err_usage(e, "vCPUs: expected 1 to %u, found %u", max_vcpus, c->nr_vcpus);
        return 0;
}

static void init_locks(struct vm *vm)
{
        pthread_condattr_t monotonic;

        pthread_condattr_init(&monotonic);
        pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC); /* which now_ns has: vm_pause_begin waits until a time of it */
        pthread_mutex_init(&vm->lock, NULL);
        pthread_cond_init(&vm->go, NULL);
        pthread_cond_init(&vm->parked, &monotonic);
        pthread_condattr_destroy(&monotonic);
}

int vm_new(const struct vm_config *c, struct vm **ret, uint64_t *ret_slots_ns, struct err *e)
{
        struct vm *vm;
        int        r = check_config(c, e);

        if (r < 0)
                return r;
        vm = calloc(1, sizeof(*vm));
        if (!vm)
                return err_set(e, -ENOMEM, "no memory for a VM");
        vm->caps = *c->caps;
        vm->layout = *c->layout;
        vm->machine = machine_find(c->machine);
        vm->events = c->events;
        vm->track_dirty = c->track_dirty;
        vm->cpuid_cache = c->cpuid_cache;
        vm->faults_in_place = c->faults_in_place;
        vm->kvm_fd = vm->vm_fd = -1;
        vm->nr_vcpus = c->nr_vcpus;
        for (uint32_t i = 0; i < vm->nr_vcpus; i++)
                vm->vcpus[i].fd = -1;
        init_locks(vm);
        atomic_flag_clear(&vm->entered);
        for (size_t i = 0; i < ARRAY_LEN(build_steps) && r >= 0; i++)
                r = build_steps[i](vm, e);
        if (r >= 0)
                r = slots_make(&vm->slots, c, &vm->layout, vm->vm_fd, &vm->bus, e);
        if (r < 0) {
                vm_free(vm);
                return r;
        }
        if (ret_slots_ns)
                *ret_slots_ns = vm->slots_ns;
        *ret = vm;
        return 0;
}

/* The mirror of build_steps. */
void vm_free(struct vm *vm)
{
        if (!vm)
                return;
        vm_stop(vm);
        slots_free(&vm->slots);
        serial_free(vm->serial);
        for (uint32_t i = vm->nr_vcpus; i-- > 0;)
                vcpu_destroy(&vm->vcpus[i]);
        if (vm->vm_fd >= 0)
                close(vm->vm_fd);
        if (vm->kvm_fd >= 0)
                close(vm->kvm_fd);
        pthread_cond_destroy(&vm->parked);
        pthread_cond_destroy(&vm->go);
        pthread_mutex_destroy(&vm->lock);
        free(vm->host_cpuid);
        free(vm);
}

/* --- run --- */

static void set_want(struct vm *vm, enum vm_want want)
{
        /* relaxed: see the field */
        atomic_store_explicit(&vm->want, want, memory_order_relaxed);
        pthread_cond_broadcast(&vm->go);
}

int vm_start(struct vm *vm, struct err *e)
{
        while (vm->nr_threads < vm->nr_vcpus) {
                int r = vcpu_start(&vm->vcpus[vm->nr_threads]);

                if (r < 0)
                        return err_set(e, r, "thread of vCPU %u: %s", vm->nr_threads, strerror(-r));
                vm->nr_threads++;
        }
        return 0;
}

int vm_vcpu_tid(const struct vm *vm, uint32_t vcpu)
{
        return vcpu < vm->nr_vcpus ? atomic_load_explicit(&vm->vcpus[vcpu].tid, memory_order_relaxed) : 0;
}

/* vCPUs first: the first resume makes the devices' threads, 30 to 50 us each, for which the guest need not wait. */
void vm_resume(struct vm *vm)
{
        bool go;

        pthread_mutex_lock(&vm->lock);
        go = vm_want_now(vm) == VM_WANT_PAUSE;
        if (go)
                set_want(vm, VM_WANT_RUN);
        for (uint32_t i = 0; go && i < vm->nr_threads; i++)
                vcpu_unkick(&vm->vcpus[i]); /* one that has not parked since vm_pause_begin clears it itself no more */
        pthread_mutex_unlock(&vm->lock);
        if (go)
                slots_resume(&vm->slots);
}

static void kick_all(struct vm *vm)
{
        for (uint32_t i = 0; i < vm->nr_threads; i++)
                vcpu_kick(&vm->vcpus[i]);
}

static void ask_to_park(struct vm *vm)
{
        if (vm_want_now(vm) != VM_WANT_RUN)
                return;
        set_want(vm, VM_WANT_PAUSE);
        kick_all(vm);
}

bool vm_pause_begin(struct vm *vm, int timeout_ms)
{
        uint64_t        at = now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
        struct timespec until = { .tv_sec = (time_t)(at / NS_PER_S), .tv_nsec = (long)(at % NS_PER_S) };
        bool            parked;
        int             r = 0;

        pthread_mutex_lock(&vm->lock);
        ask_to_park(vm);
        while (vm->nr_running && r == 0)
                r = pthread_cond_timedwait(&vm->parked, &vm->lock, &until);
        parked = !vm->nr_running;
        pthread_mutex_unlock(&vm->lock);
        return parked;
}

void vm_pause(struct vm *vm)
{
        pthread_mutex_lock(&vm->lock);
        ask_to_park(vm);
        while (vm->nr_running)
                pthread_cond_wait(&vm->parked, &vm->lock);
        pthread_mutex_unlock(&vm->lock);
        slots_park(&vm->slots); /* after the vCPUs, which may still have rung a bell */
}

void vm_condemn(struct vm *vm)
{
        if (!vm)
                return;
        /* release: pairs with the acquire in virtio_fetch; the bytes that come to stand in RAM from now on leave it no more */
        atomic_store_explicit(&vm->slots.env.condemned, true, memory_order_release);
        pthread_mutex_lock(&vm->lock);
        set_want(vm, VM_WANT_STOP);
        kick_all(vm);
        pthread_mutex_unlock(&vm->lock);
}

void vm_stop(struct vm *vm)
{
        vm_condemn(vm);
        while (vm->nr_threads)
                vcpu_join(&vm->vcpus[--vm->nr_threads]);
        slots_park(&vm->slots);
}

void vm_settled(struct vm *vm)
{
        /* relaxed: a hint, see the field */
        atomic_store_explicit(&vm->slots.env.settled, true, memory_order_relaxed);
}

uint32_t vm_slots(const struct vm *vm)
{
        return slots_mask(&vm->slots);
}

int vm_balloon_set(struct vm *vm, uint64_t target_bytes)
{
        struct virtio_device *d = slots_find(&vm->slots, VIRTIO_BALLOON);

        if (!d)
                return -ENODEV;
        balloon_set_target(d, (uint32_t)MIN(bytes_to_pages(target_bytes), bytes_to_pages(vm->layout.total_bytes)));
        return 0;
}

int vm_balloon_get(struct vm *vm, uint64_t *ret_bytes)
{
        struct virtio_device *d = slots_find(&vm->slots, VIRTIO_BALLOON);

        if (!d)
                return -ENODEV;
        *ret_bytes = pages_to_bytes(balloon_actual(d));
        return 0;
}

size_t vm_serial_in(struct vm *vm, const uint8_t *bytes, size_t len)
{
        return serial_receive(vm->serial, bytes, len);
}

int vm_sync_disks(struct vm *vm, struct err *e)
{
        return slots_sync(&vm->slots, e);
}
