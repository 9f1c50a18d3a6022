/* formats/native_decode.c: the sections of a native state file to a machine's state. */
#include "core/base/units.h"
#include "formats/microvm_windows.h"
#include "formats/native_sections.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define DAMAGED "; the file is damaged, use another copy"

/* The section, if there is one and its version is known: 1; 0 there is none. */
static int find(struct sections *in, const char *name, struct section **ret, struct err *e)
{
        struct section *s = sections_find(in, name);

        if (!s)
                return 0;
        if (s->version != NATIVE_SECTION_VERSION)
                return err_bad(e, in->file, s->offset_bytes, "section %s: expected version %d, found %u; a newer rouse may read "
                               "it", name, NATIVE_SECTION_VERSION, s->version);
        *ret = s;
        return 1;
}

static int lacks(struct sections *in, const char *name, struct err *e)
{
        return err_bad(e, in->file, ERR_NO_OFFSET, "expected a section %s, found none" DAMAGED, name);
}

static int find_needed(struct sections *in, const char *name, uint64_t min_bytes, struct section **ret, struct err *e)
{
        struct section *s = NULL;
        int             r = find(in, name, &s, e);

        if (r < 0)
                return r;
        if (!r)
                return lacks(in, name, e);
        if (s->len < min_bytes)
                return err_bad(e, in->file, s->offset_bytes, "section %s: expected %" PRIu64 " bytes, found %" PRIu64 DAMAGED,
                               name, min_bytes, s->len);
        *ret = s;
        return 0;
}

/* A section that is one struct of this size. */
static int read_struct(struct sections *in, const char *name, void *ret, size_t size, struct err *e)
{
        struct section *s = NULL;
        int             r = find_needed(in, name, size, &s, e);

        if (r < 0)
                return r;
        if (s->len != size)
                return err_bad(e, in->file, s->offset_bytes, "section %s: expected %zu bytes, found %" PRIu64 DAMAGED, name,
                               size, s->len);
        memcpy(ret, s->bytes, size);
        return 0;
}

static int read_identity(struct sections *in, struct native_state *ret, struct err *e)
{
        struct native_identity id;
        int                    r = read_struct(in, "identity", &id, sizeof(id), e);

        if (r < 0)
                return r;
        memcpy(ret->self.s, id.self, sizeof(ret->self.s));
        memcpy(ret->parent.s, id.parent, sizeof(ret->parent.s));
        if (!identity_is_valid(&ret->self) || (ret->parent.s[0] && !identity_is_valid(&ret->parent)))
                return err_bad(e, in->file, ERR_NO_OFFSET, "section identity: expected a UUID, and that of a parent or none, "
                               "found other bytes" DAMAGED);
        return 0;
}

static int copy_path(struct sections *in, const struct section *s, uint64_t at, uint32_t len, bool absolute, char **ret,
                     struct err *e)
{
        const char *bytes = (const char *)s->bytes + at;

        if (!len)
                return 0;
        if (!parent_place_is_path(bytes, len, absolute))
                return err_bad(e, in->file, s->offset_bytes + at,
                               "section parent: expected a%s path of less than %d plain characters, found "
                               "other bytes" DAMAGED, absolute ? "n absolute" : " relative", PATH_MAX);
        *ret = strndup(bytes, len);
        return *ret ? 0 : err_set(e, -ENOMEM, "no memory for the path of a parent");
}

static int read_parent(struct sections *in, struct parent_place *ret, struct err *e)
{
        struct native_parent n;
        struct section      *s = NULL;
        int                  r = find(in, "parent", &s, e);

        if (r <= 0)
                return r;
        if (s->len < sizeof(n))
                return err_bad(e, in->file, s->offset_bytes, "section parent: expected %zu bytes, found %" PRIu64 DAMAGED,
                               sizeof(n), s->len);
        memcpy(&n, s->bytes, sizeof(n));
        if (s->len != sizeof(n) + (uint64_t)n.absolute_bytes + n.relative_bytes)
                return err_bad(e, in->file, s->offset_bytes,
                               "section parent: expected two paths of %u and %u bytes, found %" PRIu64
                               " bytes in all" DAMAGED, n.absolute_bytes, n.relative_bytes, s->len);
        r = copy_path(in, s, sizeof(n), n.absolute_bytes, true, &ret->absolute, e);
        return r < 0 ? r : copy_path(in, s, sizeof(n) + n.absolute_bytes, n.relative_bytes, false, &ret->relative, e);
}

static int read_memory(struct sections *in, struct mem_layout *ret, struct err *e)
{
        struct native_memory m;
        struct native_window w;
        struct mem_layout    l;
        struct section      *s = NULL;
        int                  r = find_needed(in, "memory", sizeof(m), &s, e);

        if (r < 0)
                return r;
        memcpy(&m, s->bytes, sizeof(m));
        r = microvm_windows(in->file, s->offset_bytes, m.total_bytes, &l, e);
        if (r < 0)
                return r;
        if (m.nr_windows != l.nr || s->len != sizeof(m) + l.nr * sizeof(w))
                return err_bad(e, in->file, s->offset_bytes, "section memory: expected %zu windows for %" PRIu64 " bytes of RAM, "
                               "found %" PRIu64 " in %" PRIu64
                               " bytes" DAMAGED, l.nr, m.total_bytes, m.nr_windows, s->len);
        for (size_t i = 0; i < l.nr; i++) {
                memcpy(&w, s->bytes + sizeof(m) + i * sizeof(w), sizeof(w));
                if (w.gpa != l.w[i].gpa || w.size_bytes != l.w[i].size_bytes)
                        return err_bad(e, in->file, s->offset_bytes, "section memory, window %zu: expected gpa %#" PRIx64 ", "
                                       "%" PRIu64 " bytes, found gpa %#" PRIx64
                                       ", %" PRIu64 " bytes" DAMAGED, i, l.w[i].gpa, l.w[i].size_bytes, w.gpa, w.size_bytes);
        }
        *ret = l;
        return 0;
}

static int check_size(struct sections *in, const struct section *s, const struct piece_place *p, const struct piece_rule *rule,
                      struct err *e)
{
        uint64_t min = rule->count_min * p->element_bytes, max = rule->count_max * p->element_bytes;

        if (s->len < min || s->len > max || s->len % p->element_bytes)
                return err_bad(e, in->file, s->offset_bytes, "section %.31s: expected %" PRIu64 " to %" PRIu64 " bytes, a "
                               "multiple of %zu, found %" PRIu64 DAMAGED,
                               s->name, min, max, p->element_bytes, s->len);
        return 0;
}

/* An array goes into memory of its own, which the object then owns. */
static int copy_array(const struct section *s, const struct piece_place *p, uint8_t *object, struct err *e)
{
        uint32_t count = (uint32_t)(s->len / p->element_bytes);
        void    *array = malloc(s->len);

        if (!array)
                return err_set(e, -ENOMEM, "no memory for section %.31s", s->name);
        memcpy(array, s->bytes, s->len);
        memcpy(object + p->offset, &array, sizeof(array));
        memcpy(object + p->count_offset, &count, sizeof(count));
        return 0;
}

/* 1 it is there now, 0 the file has none. */
static int read_piece(struct sections *in, const char *name, const struct piece_place *p, const struct piece_rule *rule,
                      void *object, struct err *e)
{
        struct section *s = NULL;
        int             r = find(in, name, &s, e);

        if (r <= 0)
                return r;
        r = check_size(in, s, p, rule, e);
        if (r < 0)
                return r;
        if (p->count_offset != PIECE_INLINE)
                r = copy_array(s, p, object, e);
        else
                memcpy((uint8_t *)object + p->offset, s->bytes, s->len);
        return r < 0 ? r : 1;
}

static int read_vcpu_info(struct sections *in, const char *name, struct vcpu_state *v, struct err *e)
{
        static const uint8_t zeros[sizeof(((struct native_vcpu *)NULL)->reserved)];
        struct native_vcpu   n;
        int                  r = read_struct(in, name, &n, sizeof(n), e);

        if (r < 0)
                return r;
        if (memcmp(n.reserved, zeros, sizeof(zeros)) != 0 || n.u8_offsets > 1 || n.cpuid_origin > NATIVE_CPUID_STRATOVIRT)
                return err_bad(e, in->file, ERR_NO_OFFSET, "section %s: expected an APIC id, a topology and zeros, found other "
                               "bytes; a newer rouse may read it", name);
        v->apic_id = n.apic_id;
        v->cpuid_origin = n.cpuid_origin == NATIVE_CPUID_STRATOVIRT ? CPUID_STRATOVIRT : CPUID_SAVED;
        v->topology = (struct cpu_topology){ .max_vcpus = n.max_vcpus, .threads = n.threads, .cores = n.cores, .dies = n.dies,
                                             .sockets = n.sockets, .u8_offsets = n.u8_offsets };
        return 0;
}

static int read_vcpu_pieces(struct sections *in, uint32_t i, struct vcpu_state *v, struct err *e)
{
        char            name[NATIVE_NAME_MAX];
        enum vcpu_piece lacking;

        for (unsigned int p = 0; p < VCPU_PIECES; p++) {
                int r;

                native_vcpu_section(name, i, vcpu_piece_name(p));
                r = read_piece(in, name, &vcpu_places[p], &native_vcpu_rules[p], v, e);
                if (r < 0)
                        return r;
                v->have |= (uint32_t)r << p;
        }
        lacking = native_vcpu_lacks(v);
        if (lacking == VCPU_PIECES)
                return 0;
        native_vcpu_section(name, i, vcpu_piece_name(lacking));
        return lacks(in, name, e);
}

static int read_vcpu(struct sections *in, uint32_t i, uint32_t nr_vcpus, struct vcpu_state *v, struct err *e)
{
        const char *trouble;
        char        name[NATIVE_NAME_MAX];
        int         r;

        native_vcpu_section(name, i, "info");
        r = read_vcpu_info(in, name, v, e);
        r = r < 0 ? r : read_vcpu_pieces(in, i, v, e);
        if (r < 0)
                return r;
        trouble = native_vcpu_trouble(v, nr_vcpus);
        return trouble ? err_bad(e, in->file, ERR_NO_OFFSET, "section %s: expected %s, found another" DAMAGED, name, trouble) : 0;
}

static int read_platform(struct sections *in, struct platform_state *ret, struct err *e)
{
        char name[NATIVE_NAME_MAX];

        for (unsigned int p = 0; p < PLATFORM_PIECES; p++) {
                int r;

                native_platform_section(name, platform_piece_name(p));
                r = read_piece(in, name, &platform_places[p], &native_platform_rules[p], ret, e);
                if (r < 0)
                        return r;
                ret->have |= (uint32_t)r << p;
        }
        if (native_platform_lacks(ret->have) == PLATFORM_PIECES)
                return 0;
        native_platform_section(name, platform_piece_name(native_platform_lacks(ret->have)));
        return lacks(in, name, e);
}

static int check_serial(struct sections *in, const struct section *s, const struct native_serial *n, struct err *e)
{
        if (n->rx_len > SERIAL_RX_MAX || s->len != sizeof(*n) + n->rx_len)
                return err_bad(e, in->file, s->offset_bytes, "section %.31s: expected at most %d received bytes after the "
                               "registers, found %u in %" PRIu64 " bytes" DAMAGED,
                               s->name, SERIAL_RX_MAX, n->rx_len, s->len);
        if (n->thr_pending > 1 || !native_id_is_good(n->id))
                return err_bad(e, in->file, s->offset_bytes, "section %.31s: expected thr_pending 0 or 1 and a name that is a "
                               "word or none, found others" DAMAGED, s->name);
        return 0;
}

static int read_serial(struct sections *in, uint32_t i, struct vm_state *vm, struct err *e)
{
        struct device_record *d;
        struct native_serial  n;
        struct section       *s = NULL;
        char                  name[NATIVE_NAME_MAX];
        int                   r;

        native_device_section(name, i, "serial");
        r = find_needed(in, name, sizeof(n), &s, e);
        if (r < 0)
                return r;
        memcpy(&n, s->bytes, sizeof(n));
        r = check_serial(in, s, &n, e);
        if (r < 0)
                return r;
        d = vm_state_add_device(vm, DEVICE_SERIAL, n.id);
        if (!d)
                return err_set(e, -ENOMEM, "no memory for the state of a serial port");
        d->u.serial = (struct serial_state){
                .ier = n.ier, .iir = n.iir, .fcr = n.fcr, .lcr = n.lcr, .mcr = n.mcr, .lsr = n.lsr, .msr = n.msr, .scr = n.scr,
                .divisor = n.divisor, .rx_len = n.rx_len, .thr_pending = n.thr_pending,
        };
        memcpy(d->u.serial.rx, s->bytes + sizeof(n), n.rx_len);
        return 0;
}

/* 1 there is one, 0 there is none. */
static int read_virtio(struct sections *in, uint32_t i, struct vm_state *vm, struct err *e)
{
        struct device_record *d;
        struct section       *s = NULL;
        char                  name[NATIVE_NAME_MAX];
        int                   r;

        native_device_section(name, i, "virtio");
        r = find(in, name, &s, e);
        if (r <= 0)
                return r;
        d = vm_state_add_device(vm, DEVICE_VIRTIO, "");
        if (!d)
                return err_set(e, -ENOMEM, "no memory for the state of a virtio device");
        r = native_virtio_read(in, s, d, e);
        return r < 0 ? r : 1;
}

/* Each device has one section, whose name says what it is. */
static int read_device(struct sections *in, uint32_t i, struct vm_state *vm, struct err *e)
{
        int r = read_virtio(in, i, vm, e);

        return r ? MIN(r, 0) : read_serial(in, i, vm, e);
}

/* Messages show it: only what a terminal shows as one word. */
static int read_cpu(struct sections *in, struct vm_state *vm, struct err *e)
{
        struct native_cpu cpu;
        struct section   *s = NULL;
        int               r = find(in, "cpu", &s, e);

        if (r <= 0)
                return r;
        r = read_struct(in, "cpu", &cpu, sizeof(cpu), e);
        if (r < 0)
                return r;
        for (size_t i = 0; i < sizeof(cpu.vendor); i++)
                if (cpu.vendor[i] && (cpu.vendor[i] <= ' ' || cpu.vendor[i] > '~'))
                        return err_bad(e, in->file, s->offset_bytes + i, "section cpu: expected a vendor's name, found byte "
                                       "%#x" DAMAGED, (unsigned char)cpu.vendor[i]);
        memcpy(vm->cpu_vendor, cpu.vendor, sizeof(cpu.vendor));
        return 0;
}

static int read_vm(struct sections *in, struct vm_state *vm, struct err *e)
{
        struct native_machine m;
        int                   r = read_struct(in, "machine", &m, sizeof(m), e);

        if (r < 0)
                return r;
        if (m.kind != NATIVE_MACHINE_MICROVM || m.nr_vcpus < 1 || m.nr_vcpus > VCPUS_MAX)
                return err_bad(e, in->file, ERR_NO_OFFSET, "section machine: expected kind %d (microVM) with 1 to %d vCPUs, "
                               "found kind %u with %u; a newer rouse may read it", NATIVE_MACHINE_MICROVM, VCPUS_MAX, m.kind,
                               m.nr_vcpus);
        r = vm_state_init(vm, MACHINE_MICROVM, m.nr_vcpus);
        if (r < 0)
                return err_set(e, r, "no memory for the state of %u vCPUs", m.nr_vcpus);
        r = read_cpu(in, vm, e);
        for (uint32_t i = 0; r == 0 && i < m.nr_vcpus; i++)
                r = read_vcpu(in, i, m.nr_vcpus, &vm->vcpus[i], e);
        r = r < 0 ? r : read_platform(in, &vm->platform, e);
        for (uint32_t i = 0; r == 0 && i < m.nr_devices; i++)
                r = read_device(in, i, vm, e);
        return r;
}

int native_state_decode(struct sections *in, struct native_state *ret, struct err *e)
{
        struct native_state s = { 0 };
        int                 r = read_identity(in, &s, e);

        r = r < 0 ? r : read_parent(in, &s.parent_place, e);
        r = r < 0 ? r : read_memory(in, &s.layout, e);
        r = r < 0 ? r : read_vm(in, &s.vm, e);
        r = r < 0 ? r : sections_check_unused(in, e);
        if (r < 0) {
                native_state_free(&s);
                return r;
        }
        *ret = s;
        return 0;
}
