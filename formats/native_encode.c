/* formats/native_encode.c: a machine's state to the sections of a native state file. */
#include "formats/native_sections.h"

#include <errno.h>
#include <string.h>

static void add_identity(struct section_out *out, const struct identity *self, const struct identity *parent)
{
        struct native_identity id = { 0 };

        memcpy(id.self, self->s, strnlen(self->s, sizeof(id.self) - 1));
        memcpy(id.parent, parent->s, strnlen(parent->s, sizeof(id.parent) - 1));
        section_out_add(out, "identity", &id, sizeof(id), NULL, 0);
}

static void add_parent_place(struct section_out *out, const struct parent_place *place)
{
        const char          *absolute = place->absolute ? place->absolute : "";
        const char          *relative = place->relative ? place->relative : "";
        struct native_parent n = { .absolute_bytes = (uint32_t)strlen(absolute), .relative_bytes = (uint32_t)strlen(relative) };
        char                 paths[2 * PATH_MAX];

        memcpy(paths, absolute, n.absolute_bytes); /* parent_place.h: each is shorter than PATH_MAX */
        memcpy(paths + n.absolute_bytes, relative, n.relative_bytes);
        section_out_add(out, "parent", &n, sizeof(n), paths, n.absolute_bytes + n.relative_bytes);
}

static void add_machine(struct section_out *out, const struct vm_state *vm)
{
        struct native_machine m = { .kind = NATIVE_MACHINE_MICROVM, .nr_vcpus = vm->nr_vcpus, .nr_devices = vm->nr_devices };

        section_out_add(out, "machine", &m, sizeof(m), NULL, 0);
}

static void add_cpu(struct section_out *out, const struct vm_state *vm)
{
        struct native_cpu cpu = { 0 };

        if (!vm->cpu_vendor[0])
                return;
        memcpy(cpu.vendor, vm->cpu_vendor, strnlen(vm->cpu_vendor, sizeof(cpu.vendor)));
        section_out_add(out, "cpu", &cpu, sizeof(cpu), NULL, 0);
}

static void add_memory(struct section_out *out, const struct mem_layout *l)
{
        struct native_memory m = { .total_bytes = l->total_bytes, .nr_windows = l->nr };
        struct native_window w[MEM_WINDOWS_MAX];

        for (size_t i = 0; i < l->nr; i++)
                w[i] = (struct native_window){ .gpa = l->w[i].gpa, .size_bytes = l->w[i].size_bytes };
        section_out_add(out, "memory", &m, sizeof(m), w, l->nr * sizeof(w[0]));
}

static void add_piece(struct section_out *out, const char *name, const void *object, const struct piece_place *place)
{
        struct piece_bytes b = piece_bytes(object, place);

        section_out_add(out, name, b.p, b.len, NULL, 0);
}

static void add_vcpu(struct section_out *out, uint32_t i, const struct vcpu_state *v)
{
        const struct cpu_topology *t = &v->topology;
        struct native_vcpu         info = {
                        .apic_id = v->apic_id,
                        .cpuid_origin = v->cpuid_origin == CPUID_STRATOVIRT ? NATIVE_CPUID_STRATOVIRT : NATIVE_CPUID_SAVED,
                        .u8_offsets = t->u8_offsets, .max_vcpus = t->max_vcpus, .threads = t->threads, .cores = t->cores,
                        .dies = t->dies, .sockets = t->sockets,
        };
        char name[NATIVE_NAME_MAX];

        native_vcpu_section(name, i, "info");
        section_out_add(out, name, &info, sizeof(info), NULL, 0);
        for (unsigned int p = 0; p < VCPU_PIECES; p++) {
                if (!(v->have >> p & 1))
                        continue;
                native_vcpu_section(name, i, vcpu_piece_name(p));
                add_piece(out, name, v, &vcpu_places[p]);
        }
}

static void add_platform(struct section_out *out, const struct platform_state *platform)
{
        char name[NATIVE_NAME_MAX];

        for (unsigned int p = 0; p < PLATFORM_PIECES; p++) {
                if (!(platform->have >> p & 1))
                        continue;
                native_platform_section(name, platform_piece_name(p));
                add_piece(out, name, platform, &platform_places[p]);
        }
}

static void add_serial(struct section_out *out, uint32_t i, const struct device_record *d)
{
        const struct serial_state *s = &d->u.serial;
        struct native_serial       n = {
                      .ier = s->ier, .iir = s->iir, .fcr = s->fcr, .lcr = s->lcr, .mcr = s->mcr, .lsr = s->lsr, .msr = s->msr,
                      .scr = s->scr,
                      .divisor = s->divisor, .rx_len = s->rx_len, .thr_pending = s->thr_pending,
        };
        char name[NATIVE_NAME_MAX];

        memcpy(n.id, d->id, strnlen(d->id, sizeof(n.id) - 1));
        native_device_section(name, i, "serial");
        section_out_add(out, name, &n, sizeof(n), s->rx, s->rx_len);
}

/* The piece that is there, but in a number that no reader takes; VCPU_PIECES: none. */
static enum vcpu_piece wrong_count(const struct vcpu_state *v)
{
        for (unsigned int p = 0; p < VCPU_PIECES; p++) {
                const struct piece_rule *rule = &native_vcpu_rules[p];
                size_t                   count;

                if (!(v->have >> p & 1))
                        continue;
                count = piece_bytes(v, &vcpu_places[p]).len / vcpu_places[p].element_bytes;
                if (count < rule->count_min || count > rule->count_max)
                        return p;
        }
        return VCPU_PIECES;
}

static int check_vcpu(const struct vm_state *vm, uint32_t i, struct err *e)
{
        const struct vcpu_state *v = &vm->vcpus[i];
        const char              *trouble = native_vcpu_trouble(v, vm->nr_vcpus);
        enum vcpu_piece          p = native_vcpu_lacks(v);

        if (p != VCPU_PIECES)
                return err_set(e, -EINVAL, "native state: vCPU %u: expected its %s as KVM gives it, found none", i,
                               vcpu_piece_name(p));
        if (trouble)
                return err_set(e, -EINVAL, "native state: vCPU %u: expected %s, found another", i, trouble);
        p = wrong_count(v);
        if (p != VCPU_PIECES)
                return err_set(e, -EINVAL, "native state: vCPU %u: expected a number of %s that KVM takes, found another", i,
                               vcpu_piece_name(p));
        return 0;
}

static int check_device(const struct vm_state *vm, uint32_t i, struct err *e)
{
        const struct device_record *d = &vm->devices[i];
        const char                 *trouble = "a serial port or a virtio device";

        if (d->kind == DEVICE_SERIAL)
                trouble = d->u.serial.rx_len > SERIAL_RX_MAX ? "a serial port with at most 1024 received bytes" : NULL;
        else if (d->kind == DEVICE_VIRTIO)
                trouble = native_virtio_trouble(&d->u.virtio);
        if (!trouble)
                return 0;
        return err_set(e, -EINVAL, "native state: device %u: expected %s, found another", i, trouble);
}

/* What a reader would refuse must not be written. */
static int check(const struct mem_layout *l, const struct vm_state *vm, struct err *e)
{
        int r = 0;

        if (vm->machine != MACHINE_MICROVM || vm->nr_vcpus < 1 || vm->nr_vcpus > VCPUS_MAX || l->nr > MEM_WINDOWS_MAX)
                return err_set(e, -EINVAL, "native state: expected a microVM of 1 to %d vCPUs, found machine %d with %u",
                               VCPUS_MAX, (int)vm->machine, vm->nr_vcpus);
        for (uint32_t i = 0; r == 0 && i < vm->nr_vcpus; i++)
                r = check_vcpu(vm, i, e);
        if (r == 0 && native_platform_lacks(vm->platform.have) != PLATFORM_PIECES)
                return err_set(e, -EINVAL, "native state: expected a %s, found none",
                               platform_piece_name(native_platform_lacks(vm->platform.have)));
        for (uint32_t i = 0; r == 0 && i < vm->nr_devices; i++)
                r = check_device(vm, i, e);
        return r;
}

int native_state_encode(const struct identity *self, const struct identity *parent, const struct parent_place *place,
                        const struct mem_layout *l, const struct vm_state *vm, struct section_out *out, struct err *e)
{
        int r = check(l, vm, e);

        if (r < 0)
                return r;
        add_identity(out, self, parent);
        if (place && parent->s[0])
                add_parent_place(out, place);
        add_machine(out, vm);
        add_memory(out, l);
        add_cpu(out, vm);
        for (uint32_t i = 0; i < vm->nr_vcpus; i++)
                add_vcpu(out, i, &vm->vcpus[i]);
        add_platform(out, &vm->platform);
        for (uint32_t i = 0; i < vm->nr_devices; i++) {
                if (vm->devices[i].kind == DEVICE_SERIAL)
                        add_serial(out, i, &vm->devices[i]);
                else
                        native_virtio_add(out, i, &vm->devices[i]);
        }
        r = section_out_finish(out);
        return r < 0 ? err_set(e, r, "native state: %s", strerror(-r)) : 0;
}
