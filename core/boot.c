/* A VM from a kernel: RAM, machine, kernel in place, first instruction. */
#include "core/session_internal.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/probe.h"
#include "kvm/boot/boot.h"
#include "kvm/machine/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CMDLINE_MAX 65536 /* no boot protocol of ours takes more */

/* The user's words, and then the devices: a guest without ACPI learns of them here (stratovirt.md 2.6). */
static int make_cmdline(const struct vm *vm, const char *words, char **ret, struct err *e)
{
        size_t                len = strnlen(words, CMDLINE_MAX);
        uint32_t              slots = vm_slots(vm);
        size_t                more = (size_t)machine_cmdline(&machine_microvm, slots, NULL, 0);
        _cleanup_free_ char  *line = malloc(len + more + 1);

        if (!line)
                return err_set(e, -ENOMEM, "no memory for a command line");
        memcpy(line, words, len);
        machine_cmdline(&machine_microvm, slots, line + len, more + 1);
        *ret = TAKE_PTR(line);
        return 0;
}

static int load_kernel(struct session *s, const struct boot_options *o, struct err *e)
{
        struct boot_config   bc = {.kernel = o->kernel, .initrd = o->initrd, .nr_vcpus = o->nr_vcpus};
        _cleanup_free_ char *cmdline = NULL;
        struct boot_entry    entry;
        int                  r = make_cmdline(s->vm, o->cmdline ? o->cmdline : "", &cmdline, e);

        if (r < 0)
                return r;
        bc.cmdline = cmdline;
        r = boot_load(&bc, &s->layout, &entry, e);
        return r < 0 ? r : boot_set_vcpus(s->vm, &entry, e);
}

static int build(struct session *s, const struct boot_options *o, struct err *e)
{
        struct vm_config vc = {.caps = &s->caps, .layout = &s->layout, .machine = MACHINE_MICROVM, .nr_vcpus = o->nr_vcpus,
                               .devices = o->common.devices, .nr_devices = o->common.nr_devices};
        int r;

        session_fill_vm_events(s, &vc.events);
        r = vm_new(&vc, &s->vm, &s->ledger.slots_ns, e);
        if (r < 0)
                return r;
        vm_settled(s->vm);
        r = load_kernel(s, o, e);
        return r < 0 ? r : vm_start(s->vm, e);
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
                r = guest_ram_map_as(o->common.memory_backing, s->layout.total_bytes, true, &s->ram, e);
        if (r >= 0) {
                s->layout.ram = s->ram.base;
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
