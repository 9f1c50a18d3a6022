/* A VM from a kernel: RAM, machine, kernel in place, first instruction. */
#include "core/session_internal.h"

#include "core/base/clock.h"
#include "core/probe.h"
#include "kvm/boot/boot.h"
#include "kvm/machine/machine.h"

#include <errno.h>
#include <stdio.h>

static int build(struct session *s, const struct boot_options *o, struct err *e)
{
        struct vm_config vc = {.caps = &s->caps, .layout = &s->layout, .machine = MACHINE_MICROVM, .nr_vcpus = o->nr_vcpus};
        struct boot_config bc = {.kernel = o->kernel, .initrd = o->initrd, .cmdline = o->cmdline ? o->cmdline : "", .nr_vcpus = o->nr_vcpus};
        struct boot_entry entry;
        int r;

        session_fill_vm_events(s, &vc.events);
        r = boot_load(&bc, &s->layout, &entry, e);
        if (r >= 0)
                r = vm_new(&vc, &s->vm, &s->ledger.slots_ns, e);
        if (r >= 0)
                r = boot_set_vcpus(s->vm, &entry, e);
        if (r >= 0)
                r = vm_start(s->vm, e);
        return r;
}

int session_boot(const struct boot_options *o, struct session **ret, struct err *e)
{
        struct session *s;
        int r = session_new(&o->common, &s, e);

        if (r < 0)
                return r;
        s->nr_vcpus = o->nr_vcpus;
        snprintf(s->ledger.arm, sizeof(s->ledger.arm), "boot");
        s->ledger.verify = "none";
        s->ledger.memory_bytes = o->memory_bytes;
        r = host_require(&s->caps, false, e);
        if (r >= 0)
                r = machine_layout(&machine_microvm, o->memory_bytes, &s->layout, e);
        if (r >= 0)
                r = guest_ram_map(s->layout.total_bytes, true, &s->ram, e);
        if (r >= 0) {
                s->layout.ram = s->ram.base;
                s->ram_is_anonymous = true;
                r = build(s, o, e);
        }
        if (r < 0) {
                session_free(s);
                return r;
        }
        session_stamp(s, LEDGER_T1, now_ns());
        session_count_at(s, LEDGER_T1, false);
        *ret = s;
        return 0;
}
