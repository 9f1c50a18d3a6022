/* A VM and the state of one: whether this host's CPU can take it over, loaded, saved. */
#include "kvm/vm_internal.h"

#include "core/base/cleanup.h"
#include "kvm/cpu_features.h"
#include "kvm/cpuid_cache.h"
#include "kvm/platform_state.h"
#include "kvm/vcpu_state.h"

#include <errno.h>
#include <stdlib.h>

static int ask_host_cpuid(const struct vm *vm, struct cpuid_table *ret, struct err *e)
{
        int r;

        if (vm->cpuid_cache && cpuid_cache_get(vm->cpuid_cache, vm->kvm_fd, ret))
                return 0;
        r = cpuid_host(vm->kvm_fd, ret, e);
        if (r >= 0 && vm->cpuid_cache)
                cpuid_cache_put(vm->cpuid_cache, vm->kvm_fd, ret);
        return r;
}

int vm_host_cpuid(struct vm *vm, const struct cpuid_table **ret, struct err *e)
{
        if (!vm->host_cpuid) {
                _cleanup_free_ struct cpuid_table *t = malloc(sizeof(*t));
                int                                r;

                if (!t)
                        return err_set(e, -ENOMEM, "no memory for the host's CPUID");
                r = ask_host_cpuid(vm, t, e);
                if (r < 0)
                        return r;
                vm->host_cpuid = TAKE_PTR(t);
        }
        *ret = vm->host_cpuid;
        return 0;
}

int vm_cpu_lacks(struct vm *vm, const struct vm_state *s, char *ret, size_t size, struct err *e)
{
        const struct cpuid_table *host = NULL;
        int                       r = vm_host_cpuid(vm, &host, e);

        if (r >= 0)
                r = cpu_features_lacking(s, host, ret, size);
        if (r <= 0 || !vm->cpuid_cache)
                return r;
        /* Nobody is refused for what a file says: KVM itself is asked. */
        r = cpuid_host(vm->kvm_fd, vm->host_cpuid, e);
        if (r < 0)
                return r;
        cpuid_cache_put(vm->cpuid_cache, vm->kvm_fd, vm->host_cpuid);
        return cpu_features_lacking(s, vm->host_cpuid, ret, size);
}

static int check_devices(const struct vm_state *s, struct err *e)
{
        for (uint32_t i = 0; i < s->nr_devices; i++) {
                const struct device_record *d = &s->devices[i];

                if (d->kind == DEVICE_VIRTIO)
                        continue; /* its transport looks at it */
                if (d->kind != DEVICE_SERIAL)
                        return err_bad(e, "state", ERR_NO_OFFSET, "device %.31s: expected a serial port, found kind %d", d->id,
                                       (int)d->kind);
                if (d->u.serial.rx_len > SERIAL_RX_MAX)
                        return err_bad(e, "state", ERR_NO_OFFSET, "device %.31s: expected at most %d received bytes, found %u", d->id,
                                       SERIAL_RX_MAX, d->u.serial.rx_len);
        }
        return 0;
}

static int check_state(struct vm *vm, const struct vm_state *s, struct err *e)
{
        if (s->machine != vm->machine->kind)
                return err_bad(e, "state", ERR_NO_OFFSET, "machine: expected kind %d, found %d", (int)vm->machine->kind,
                               (int)s->machine);
        if (s->nr_vcpus != vm->nr_vcpus)
                return err_bad(e, "state", ERR_NO_OFFSET, "vCPUs: expected %u, found %u", vm->nr_vcpus, s->nr_vcpus);
        for (uint32_t i = 0; i < s->nr_vcpus; i++) {
                int r = vcpu_check(&vm->vcpus[i], &s->vcpus[i], e);

                if (r < 0)
                        return r;
        }
        return check_devices(s, e);
}

int vm_load(struct vm *vm, const struct vm_state *s, struct vm_load_report *ret, struct err *e)
{
        const struct device_record *d;
        struct vm_load_report       report = { 0 };
        int                         r = check_state(vm, s, e);

        if (r >= 0)
                r = platform_load(vm->vm_fd, &s->platform, false, e);
        for (uint32_t i = 0; i < s->nr_vcpus && r >= 0; i++)
                r = vcpu_load(&vm->vcpus[i], &s->vcpus[i], &report, e);
        if (r >= 0)
                r = platform_load(vm->vm_fd, &s->platform, true, e);
        if (r < 0)
                return r;
        /* after the LAPICs: a line that the port holds up interrupts them */
        d = vm_state_device(s, DEVICE_SERIAL);
        if (d)
                serial_load(vm->serial, &d->u.serial);
        /* likewise: what they raised and the guest did not acknowledge is raised again */
        r = slots_load(&vm->slots, s, e);
        if (r >= 0)
                *ret = report;
        return r;
}

/* A vCPU that ended stands in the middle of an instruction that KVM waits to have answered. */
static int check_whole(struct vm *vm, struct err *e)
{
        int r = 0;

        pthread_mutex_lock(&vm->lock);
        if (vm->nr_running || vm_want_now(vm) == VM_WANT_RUN)
                r = err_set(e, -EBUSY, "save: expected a paused VM, found a running one");
        for (uint32_t i = 0; i < vm->nr_vcpus && r >= 0; i++)
                if (vm->vcpus[i].ended)
                        r = err_set(e, -EIO, "save: vCPU %u has stopped for good: its state is not whole", i);
        pthread_mutex_unlock(&vm->lock);
        return r;
}

int vm_save(struct vm *vm, struct vm_state *ret, struct err *e)
{
        struct device_record *d;
        int                   r = check_whole(vm, e);

        if (r < 0)
                return r;
        r = vm_state_init(ret, vm->machine->kind, vm->nr_vcpus);
        if (r < 0)
                return err_set(e, r, "no memory for the state of %u vCPUs", vm->nr_vcpus);
        /* KVM hands an irqfd's interrupt over on a workqueue, which may not have run yet. We would raise it again when this
         * state is loaded, StratoVirt would not (stratovirt.md 3): it must be in the state of the chips. */
        slots_reinject(&vm->slots);
        for (uint32_t i = 0; i < vm->nr_vcpus && r >= 0; i++)
                r = vcpu_save(&vm->vcpus[i], &ret->vcpus[i], e);
        if (r >= 0)
                r = platform_save(vm->vm_fd, &ret->platform, e);
        if (r < 0)
                return r;
        d = vm_state_add_device(ret, DEVICE_SERIAL, "serial");
        if (!d)
                return err_set(e, -ENOMEM, "no memory for the state of the serial port");
        serial_save(vm->serial, &d->u.serial);
        return slots_save(&vm->slots, ret, e);
}
