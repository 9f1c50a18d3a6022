/* tests/support/sv_generation2.c: a machine to the bytes of a generation 2 snapshot, each at the offset of
 * reference/stratovirt.md. */
#include "tests/support/sv_generation2.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/is_zero.h"
#include "formats/format.h"
#include "formats/siphash.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define GARBAGE 0xa5 /* in padding */

/* --- bytes that grow --- */

static uint8_t *grow(struct sv_bytes *b, size_t more)
{
        b->p = realloc(b->p, b->len + more);
        if (!b->p)
                abort();
        b->len += more;
        return b->p + b->len - more;
}

static void add(struct sv_bytes *b, const void *p, size_t len)
{
        memcpy(grow(b, len), p, len);
}

__attribute__((format(printf, 2, 3)))
static void add_text(struct sv_bytes *b, const char *fmt, ...)
{
        char    text[4096];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        add(b, text, strlen(text));
}

/* --- the header of both files --- */

static void add_header(struct sv_bytes *b, const char *format, size_t desc_len)
{
        struct sv_bytes text = { 0 };
        uint64_t        len;

        add_text(&text,
                 "{\"magic_num\":[83,84,82,65,84,79,86,73,82,84,0,0,0,0,0,0],\"compat_version\":8194,\"arch\":[120,56,54,95,54,52,48,48],"
                 "\"byte_order\":\"Little\",\"hypervisor_version\":12,\"cpu_model\":[71,101,110,117,105,110,101,73,110,116,101,108,0,0,0,0],"
                 "\"os_type\":[108,105,110,117,120,48,48,48],\"format\":\"%s\",\"desc_len\":%zu}", format, desc_len);
        len = text.len;
        add(b, &len, 8);
        add(b, text.p, text.len);
        memset(grow(b, 4088 - text.len), 0, 4088 - text.len);
        sv_bytes_free(&text);
}

/* --- descriptors --- */

struct field {
        const char *name, *type;
        unsigned    offset, size;
};

struct type {
        const char         *name;
        unsigned            size, nr;
        const struct field *fields;
};

static const struct field mmio_fields[]   = { { "virtio_base", "VirtioBaseState", 0, 2080 } };
static const struct field block_fields[]  = { { "device_features", "u64", 0, 8 }, { "driver_features", "u64", 8, 8 },
                                              { "config_space", "VirtioBlkConfig", 16, 60 }, { "broken", "bool", 76, 1 } };
static const struct field net_fields[]    = { { "device_features", "u64", 0, 8 }, { "driver_features", "u64", 8, 8 },
                                              { "config_space", "VirtioNetConfig", 16, 17 }, { "broken", "bool", 33, 1 } };
static const struct field console_fields[] = { { "device_features", "u64", 0, 8 }, { "driver_features", "u64", 8, 8 },
                                               { "config_space", "VirtioConsoleConfig", 16, 12 } };
static const struct field vsock_fields[]  = { { "device_features", "u64", 0, 8 }, { "driver_features", "u64", 8, 8 },
                                              { "config_space", "[u8;8]", 16, 8 }, { "last_avail_idx", "[u16;2]", 24, 4 },
                                              { "broken", "bool", 28, 1 } };
static const struct field rng_fields[]    = { { "device_features", "u64", 0, 8 }, { "driver_features", "u64", 8, 8 } };
static const struct field serial_fields[] = {
        { "rbr_value", "[u8;1024]", 0, 1024 }, { "rbr_len", "usize", 1024, 8 }, { "ier", "u8", 1032, 1 },
        { "iir", "u8", 1033, 1 },
        { "lcr", "u8", 1034, 1 }, { "mcr", "u8", 1035, 1 }, { "lsr", "u8", 1036, 1 }, { "msr", "u8", 1037, 1 },
        { "scr", "u8", 1038, 1 }, { "div", "u16", 1040, 2 }, { "thr_pending", "u32", 1044, 4 },
};
static const struct field kvm_fields[] = {
        { "pit_state", "kvm_pit_state2", 0, 112 }, { "kvm_clock", "kvm_clock_data", 112, 48 },
        { "ioapic", "kvm_irqchip", 160, 520 },
};
static const struct field vcpu_fields[] = {
        { "max_vcpus", "u32", 0, 4 }, { "nr_threads", "u32", 4, 4 }, { "nr_cores", "u32", 8, 4 }, { "nr_dies", "u32", 12, 4 },
        { "nr_sockets", "u32", 16, 4 }, { "apic_id", "u32", 20, 4 }, { "regs", "Regs", 24, 144 }, { "sregs", "Sregs", 168, 312 },
        { "fpu", "Fpu", 480, 416 }, { "mp_state", "MpState", 896, 4 }, { "lapic", "LapicState", 900, 1024 },
        { "msr_len", "usize", 1928, 8 }, { "msr_list", "[MsrEntry;256]", 1936, 4096 }, { "cpu_events", "VcpuEvents", 6032, 64 },
        { "xsave", "Xsave", 6096, 4096 }, { "xcrs", "Xcrs", 10192, 392 }, { "debugregs", "DebugRegs", 10584, 128 },
};

#define TYPE(name, size, fields) { name, size, sizeof(fields) / sizeof((fields)[0]), fields }
static const struct type mmio_type    = TYPE("VirtioMmioState", 2080, mmio_fields);
static const struct type block_type   = TYPE("BlockState", 80, block_fields);
static const struct type net_type     = TYPE("VirtioNetState", 40, net_fields);
static const struct type console_type = TYPE("VirtioSerialState", 32, console_fields);
static const struct type vsock_type   = TYPE("VsockState", 32, vsock_fields);
static const struct type rng_type     = TYPE("RngState", 16, rng_fields);
static const struct type serial_type  = TYPE("SerialState", 1048, serial_fields);
static const struct type kvm_type     = TYPE("KvmDeviceState", 680, kvm_fields);
static const struct type vcpu_type    = TYPE("X86CPUState", 10712, vcpu_fields);

static void add_desc(struct sv_bytes *b, const struct type *t, int number, const struct sv2_options *o)
{
        char name[64];

        snprintf(name, sizeof(name), number < 0 ? "%s" : "%s/%d", t->name, number);
        add_text(b, "{\"name\":\"%s\",\"alias\":%" PRIu64 ",\"size\":%u,\"current_version\":%u,\"compat_version\":256,\"fields\":[", name,
                 siphash13_str(t->name) + (uint64_t)(number < 0 ? 0 : number), t->size, o->v23 ? 0x020300u : 0x020400u);
        for (unsigned i = 0; i < t->nr; i++)
                add_text(b, "%s{\"var_name\":\"%s\",\"type_name\":\"%s\",\"alias\":\"%s\",\"offset\":%u,\"size\":%u}",
                         i ? "," : "",
                         t->fields[i].name, t->fields[i].type, t->fields[i].name, t->fields[i].offset, t->fields[i].size);
        add_text(b, "]}");
}

static const struct virtio_state *of_kind(const struct vm_state *vm, enum virtio_kind kind)
{
        for (uint32_t i = 0; i < vm->nr_devices; i++)
                if (vm->devices[i].kind == DEVICE_VIRTIO && vm->devices[i].u.virtio.kind == kind)
                        return &vm->devices[i].u.virtio;
        return NULL;
}

static void add_descs(struct sv_bytes *b, const struct vm_state *vm, const struct sv2_options *o)
{
        add_desc(b, &mmio_type, -1, o);
        add_desc(b, &net_type, -1, o);
        add_desc(b, &block_type, -1, o);
        if (vm_state_device(vm, DEVICE_SERIAL))
                add_desc(b, &serial_type, -1, o);
        if (of_kind(vm, VIRTIO_CONSOLE))
                add_desc(b, &console_type, -1, o);
        if (of_kind(vm, VIRTIO_VSOCK))
                add_desc(b, &vsock_type, -1, o);
        if (of_kind(vm, VIRTIO_RNG))
                add_desc(b, &rng_type, -1, o);
        add_desc(b, &kvm_type, -1, o);
        for (uint32_t i = 0; i < vm->nr_vcpus; i++)
                add_desc(b, &vcpu_type, (int)i, o);
}

/* --- records --- */

/* A body of garbage, for its fields to be set. */
static uint8_t *add_record(struct sv_bytes *b, const struct type *t, const char *instance)
{
        char     name[64];
        uint64_t header[2] = { 0, siphash13_str(t->name) };

        snprintf(name, sizeof(name), "%s/%s", t->name, instance);
        header[0] = siphash13_str(t == &kvm_type ? "kvm" : name);
        add(b, header, sizeof(header));
        return memset(grow(b, t->size), GARBAGE, t->size);
}

static void set(uint8_t *body, size_t offset, uint64_t v, size_t size)
{
        memcpy(body + offset, &v, size);
}

static void set_queue(uint8_t *q, const struct virtqueue_state *s)
{
        memset(q, 0, 62);
        q[62] = q[63] = GARBAGE;
        if (!s)
                return;
        set(q, 0, s->desc_gpa, 8);
        set(q, 8, s->avail_gpa, 8);
        set(q, 16, s->used_gpa, 8);
        for (int i = 0; s->ready && i < 3; i++)
                set(q, 24 + (size_t)i * 8, 0x7f0000000000 + (uint64_t)i * 4096, 8);
        set(q, 48, s->max_size, 2);
        set(q, 50, s->size, 2);
        set(q, 52, 65535, 2);
        set(q, 54, s->next_avail, 2);
        set(q, 56, s->next_used, 2);
        q[60] = s->ready;
}

static void add_transport(struct sv_bytes *b, const struct virtio_state *v, const char *instance, const struct sv2_options *o)
{
        uint8_t *p = add_record(b, &mmio_type, instance);
        size_t   queues = o->old_layout ? 0 : 8;

        for (unsigned i = 0; i < 32; i++)
                set_queue(p + queues + (size_t)i * 64, i < v->nr_queues ? &v->queues[i] : NULL);
        set(p, o->old_layout ? 2048 : 0, v->activated ? v->nr_queues : 0, 8);
        set(p, 2056, v->device_features_sel, 4);
        set(p, 2060, v->driver_features_sel, 4);
        set(p, 2064, v->interrupt_status, 4);
        set(p, 2068, v->status, 4);
        set(p, 2072, v->queue_sel, 2);
        set(p, 2074, 65535, 2);
        set(p, 2076, 1, 2);
        set(p, o->old_layout ? 2079 : 2078, v->config_generation, 1);
        set(p, o->old_layout ? 2078 : 2079, v->activated, 1);
}

static uint8_t *add_device(struct sv_bytes *b, const struct type *t, const char *instance, const struct virtio_state *v)
{
        uint8_t *p = add_record(b, t, instance);

        set(p, 0, v->device_features, 8);
        set(p, 8, v->driver_features, 8);
        return p;
}

/* struct virtio_blk_config, packed, at 16. */
static void add_block(struct sv_bytes *b, const char *instance, const struct virtio_state *v)
{
        const struct virtio_blk_state *s = &v->u.blk;
        uint8_t                       *p = add_device(b, &block_type, instance, v), *c = p + 16;

        memset(c, 0, 60);
        set(c, 0, s->capacity_sectors, 8);
        set(c, 12, s->seg_max, 4);
        set(c, 20, s->blk_size, 4);
        set(c, 32, s->wce, 1);
        set(c, 34, s->num_queues, 2);
        set(c, 36, s->max_discard_sectors, 4);
        set(c, 40, s->max_discard_seg, 4);
        set(c, 44, s->discard_sector_alignment, 4);
        set(c, 48, s->max_write_zeroes_sectors, 4);
        set(c, 52, s->max_write_zeroes_seg, 4);
        set(c, 56, s->write_zeroes_may_unmap, 1);
        p[76] = v->broken;
}

static void add_net(struct sv_bytes *b, const char *instance, const struct virtio_state *v)
{
        uint8_t *p = add_device(b, &net_type, instance, v), *c = p + 16;

        memset(c, 0, 17);
        memcpy(c, v->u.net.mac, 6);
        set(c, 6, v->u.net.status, 2);
        set(c, 8, v->u.net.max_pairs, 2);
        set(c, 10, v->u.net.mtu, 2);
        p[33] = v->broken;
}

static void add_optional(struct sv_bytes *b, const struct vm_state *vm, const struct sv2_options *o)
{
        const struct virtio_state *v = of_kind(vm, VIRTIO_CONSOLE);
        uint8_t                   *p;

        if (v) {
                p = add_device(b, &console_type, "con0", v);
                set(p, 16, v->u.console.cols, 2);
                set(p, 18, v->u.console.rows, 2);
                set(p, 20, v->u.console.max_ports, 4);
                set(p, 24, 0, 4);
                add_transport(b, v, "con0", o);
        }
        v = of_kind(vm, VIRTIO_VSOCK);
        if (v) {
                add_transport(b, v, "vsock0", o);
                p = add_device(b, &vsock_type, "vsock0", v);
                set(p, 16, v->u.vsock.guest_cid, 8);
                set(p, 24, v->queues[0].next_avail, 2);
                set(p, 26, v->queues[1].next_avail, 2);
                p[28] = v->broken;
        }
        v = of_kind(vm, VIRTIO_RNG);
        if (v)
                add_device(b, &rng_type, "rng0", v);
}

static void add_serial(struct sv_bytes *b, const struct serial_state *s)
{
        const uint8_t registers[] = { s->ier, s->iir, s->lcr, s->mcr, s->lsr, s->msr, s->scr };
        uint8_t      *p = add_record(b, &serial_type, "serial");

        memcpy(p, s->rx, 1024);
        set(p, 1024, s->rx_len, 8);
        memcpy(p + 1032, registers, sizeof(registers));
        set(p, 1040, s->divisor, 2);
        set(p, 1044, s->thr_pending, 4);
}

static void add_vcpu(struct sv_bytes *b, const struct vcpu_state *v, uint32_t number)
{
        const struct cpu_topology *t = &v->topology;
        const uint32_t             head[] = { t->max_vcpus, t->threads, t->cores, t->dies, t->sockets, v->apic_id };
        char                       instance[16];
        uint8_t                   *p;

        snprintf(instance, sizeof(instance), "%u", number);
        p = add_record(b, &vcpu_type, instance);
        memcpy(p, head, sizeof(head));
        memcpy(p + 24, &v->regs, 144);
        memcpy(p + 168, &v->sregs, 312);
        memset(p + 480, 0, 416); /* fpu as reset has it: nobody saved it */
        set(p, 480 + 128, 0x37f, 2);
        set(p, 480 + 408, 0x1f80, 4);
        memcpy(p + 896, &v->mp_state, 4);
        memcpy(p + 900, &v->lapic, 1024);
        set(p, 1928, v->nr_msrs, 8);
        memset(p + 1936, 0, 4096);
        memcpy(p + 1936, v->msrs, v->nr_msrs * 16);
        memcpy(p + 6032, &v->events, 64);
        memcpy(p + 6096, v->xsave, 4096);
        memcpy(p + 10192, &v->xcrs, 392);
        memcpy(p + 10584, &v->debugregs, 128);
}

static void add_kvm(struct sv_bytes *b, const struct platform_state *s)
{
        struct kvm_clock_data clock = { .clock = s->clock.clock, .realtime = 1, .host_tsc = 2 };
        uint8_t              *p = add_record(b, &kvm_type, "");

        memcpy(p, &s->pit, 112);
        memcpy(p + 112, &clock, 48);
        memset(p + 160, 0, 520);
        set(p, 160, 2, 4);
        memcpy(p + 168, &s->ioapic, sizeof(s->ioapic));
}

/* Within its groups in no order that means anything: from behind here. */
static void add_records(struct sv_bytes *b, const struct vm_state *vm, const struct sv2_options *o)
{
        const struct device_record *serial = vm_state_device(vm, DEVICE_SERIAL);
        char                        instance[16];

        for (uint32_t slot = 6; slot-- > 0;) {
                snprintf(instance, sizeof(instance), "%u", slot);
                add_transport(b, vm_state_virtio(vm, slot), instance, o);
        }
        add_optional(b, vm, o);
        for (uint32_t slot = 6; slot-- > 0;) {
                const struct virtio_state *v = vm_state_virtio(vm, slot);

                snprintf(instance, sizeof(instance), "%u", v->kind == VIRTIO_NET && !o->nets_by_slot ? slot - 4 : slot);
                if (v->kind == VIRTIO_NET)
                        add_net(b, instance, v);
                else
                        add_block(b, instance, v);
        }
        if (serial)
                add_serial(b, &serial->u.serial);
        for (uint32_t i = vm->nr_vcpus; i-- > 0;)
                add_vcpu(b, &vm->vcpus[i], i);
        add_kvm(b, &vm->platform);
}

struct sv_bytes sv2_state(const struct vm_state *vm, const struct sv2_options *o)
{
        struct sv_bytes b = { 0 }, descs = { 0 };

        add_descs(&descs, vm, o);
        add_header(&b, "Device", descs.len);
        add(&b, descs.p, descs.len);
        add_records(&b, vm, o);
        sv_bytes_free(&descs);
        return b;
}

/* --- memory --- */

struct sv_bytes sv2_memory_head(const struct mem_layout *l)
{
        struct sv_bytes b = { 0 };
        uint8_t        *p;

        add_header(&b, "MemoryFull", 4096);
        p = memset(grow(&b, 4096), 0, 4096);
        set(p, 0, 1, 8);
        set(p, 16, l->total_bytes, 8);
        set(p, 24, 8192, 8);
        set(p, 392, l->nr, 8);
        for (size_t i = 0; i < l->nr; i++) { /* newest first */
                uint8_t *w = p + 400 + (l->nr - 1 - i) * 24;

                set(w, 0, l->w[i].ram_offset_bytes, 8);
                set(w, 8, l->w[i].size_bytes, 8);
                set(w, 16, l->w[i].gpa, 8);
        }
        return b;
}

/* --- whole directories --- */

static int write_file(int dir_fd, const char *name, const struct sv_bytes *b)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        return fd < 0 ? -errno : fd_pwrite_full(fd, b->p, b->len, 0);
}

static int copy_ram(int dir_fd, const struct snapshot *s)
{
        _cleanup_close_ int    to = openat(dir_fd, "memory", O_RDWR | O_CLOEXEC);
        _cleanup_free_ void   *buf = malloc(MIB);
        const struct page_run *run = &s->raw_pages.runs[0];

        if (to < 0 || ftruncate(to, (off_t)(8192 + s->layout.total_bytes)) < 0)
                return -errno;
        for (uint64_t at = 0; at < s->layout.total_bytes; at += MIB) {
                size_t  len = MIN(MIB, s->layout.total_bytes - at);
                ssize_t n = fd_pread_full(s->pages.sources[run->source].fd, buf, len, run->file_offset_bytes + at);
                int     r = n < 0 ? (int)n : is_zero(buf, len) ? 0 : fd_pwrite_full(to, buf, len, 8192 + at);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int write_snapshot(const struct snapshot *s, const char *dir)
{
        const struct sv2_options     o = { 0 };
        _cleanup_sv_ struct sv_bytes state = sv2_state(&s->vm, &o), head = sv2_memory_head(&s->layout);
        _cleanup_close_ int          dir_fd = -1;
        int                          r;

        if (mkdir(dir, 0700) < 0 && errno != EEXIST)
                return -errno;
        dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0)
                return -errno;
        r = write_file(dir_fd, "state", &state);
        r = r < 0 ? r : write_file(dir_fd, "memory", &head);
        return r < 0 ? r : copy_ram(dir_fd, s);
}

/* In RAM below 3 GiB, where the gpa is the offset in RAM. */
static int take_back_used(const char *dir, uint64_t used_gpa, uint16_t nr)
{
        _cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                     fd = openat(dir_fd, "memory", O_RDWR | O_CLOEXEC);
        uint16_t            index;
        ssize_t             n;

        if (fd < 0)
                return -errno;
        n = fd_pread_full(fd, &index, sizeof(index), 8192 + used_gpa + 2);
        if (n < 0)
                return (int)n;
        index = (uint16_t)(index - nr);
        return fd_pwrite_full(fd, &index, sizeof(index), 8192 + used_gpa + 2);
}

static struct virtqueue_state *queue_of(struct vm_state *vm, uint32_t slot)
{
        for (uint32_t i = 0; i < vm->nr_devices; i++)
                if (vm->devices[i].kind == DEVICE_VIRTIO && vm->devices[i].u.virtio.slot == slot)
                        return &vm->devices[i].u.virtio.queues[0];
        return NULL;
}

int sv2_convert_in_flight(const char *g3_dir, const char *g2_dir, uint32_t slot, uint16_t nr)
{
        _cleanup_(snapshot_close) struct snapshot s = { 0 };
        const struct snapshot_open_options        o = { .format = "stratovirt" };
        struct virtqueue_state                   *q;
        struct err                                e = { 0 };
        int                                       r = snapshot_open(g3_dir, &o, &s, &e);

        if (r < 0) {
                fprintf(stderr, "%s\n", e.text);
                return r;
        }
        q = nr ? queue_of(&s.vm, slot) : NULL;
        if (q)
                q->next_used = (uint16_t)(q->next_used - nr);
        r = write_snapshot(&s, g2_dir);
        if (r == 0 && q)
                r = take_back_used(g2_dir, q->used_gpa, nr);
        if (r < 0)
                fprintf(stderr, "write %s: %s\n", g2_dir, strerror(-r));
        return r;
}

int sv2_convert(const char *g3_dir, const char *g2_dir)
{
        return sv2_convert_in_flight(g3_dir, g2_dir, 0, 0);
}
