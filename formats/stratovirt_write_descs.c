/* formats/stratovirt_write_descs.c: the descriptors: one JSON object for each type, saying where a struct's fields lie. */
#include "formats/siphash.h"
#include "formats/stratovirt_write.h"

#include <inttypes.h>
#include <stdio.h>

#define STRUCT_VERSION 132352 /* 2.5.0: a struct has the version of the program */
#define STRUCT_COMPAT  256
#define JSON_VERSION   256    /* 0.1.0 */
#define JSON_COMPAT    0

struct field {
        const char *name, *type; /* as Rust calls them */
        size_t      offset, size;
};

#define FIELD(body, member, type) { #member, type, offsetof(struct body, member), sizeof(((struct body *)0)->member) }

static const struct field vcpu_fields[] = {
        FIELD(sv_vcpu_body, max_vcpus, "u8"),
        FIELD(sv_vcpu_body, nr_threads, "u8"),
        FIELD(sv_vcpu_body, nr_cores, "u8"),
        FIELD(sv_vcpu_body, nr_dies, "u8"),
        FIELD(sv_vcpu_body, nr_sockets, "u8"),
        FIELD(sv_vcpu_body, apic_id, "u32"),
        FIELD(sv_vcpu_body, regs, "Regs"),
        FIELD(sv_vcpu_body, sregs, "Sregs"),
        FIELD(sv_vcpu_body, fpu, "Fpu"),
        FIELD(sv_vcpu_body, mp_state, "MpState"),
        FIELD(sv_vcpu_body, lapic, "LapicState"),
        FIELD(sv_vcpu_body, msr_len, "usize"),
        FIELD(sv_vcpu_body, msr_list, "[MsrEntry;256usize]"),
        FIELD(sv_vcpu_body, cpu_events, "VcpuEvents"),
        FIELD(sv_vcpu_body, xsave, "Xsave"),
        FIELD(sv_vcpu_body, xcrs, "Xcrs"),
        FIELD(sv_vcpu_body, debugregs, "DebugRegs"),
};

static const struct field kvm_fields[] = {
        FIELD(sv_kvm_body, pit_state, "kvm_pit_state2"),
        FIELD(sv_kvm_body, kvm_clock, "kvm_clock_data"),
        FIELD(sv_kvm_body, ioapic, "kvm_irqchip"),
};

static const struct field serial_fields[] = {
        FIELD(sv_serial_body, rbr_value, "[u8;1024usize]"),
        FIELD(sv_serial_body, rbr_len, "usize"),
        FIELD(sv_serial_body, ier, "u8"),
        FIELD(sv_serial_body, iir, "u8"),
        FIELD(sv_serial_body, lcr, "u8"),
        FIELD(sv_serial_body, mcr, "u8"),
        FIELD(sv_serial_body, lsr, "u8"),
        FIELD(sv_serial_body, msr, "u8"),
        FIELD(sv_serial_body, scr, "u8"),
        FIELD(sv_serial_body, div, "u16"),
        FIELD(sv_serial_body, thr_pending, "u32"),
};

static const struct field rng_fields[] = {
        FIELD(sv_rng_body, device_features, "u64"),
        FIELD(sv_rng_body, driver_features, "u64"),
};

static const struct field vsock_fields[] = {
        FIELD(sv_vsock_body, device_features, "u64"),
        FIELD(sv_vsock_body, driver_features, "u64"),
        FIELD(sv_vsock_body, config_space, "[u8;8usize]"),
        FIELD(sv_vsock_body, last_avail_idx, "[u16;2usize]"),
        FIELD(sv_vsock_body, broken, "bool"),
};

struct desc {
        const char         *type;
        size_t              size; /* 0: JSON */
        const struct field *fields;
        size_t              nr;
};

static const struct desc kvm_desc = { "KvmDeviceState", sizeof(struct sv_kvm_body), kvm_fields, ARRAY_LEN(kvm_fields) };
static const struct desc vcpu_desc = { "X86CPUState", sizeof(struct sv_vcpu_body), vcpu_fields, ARRAY_LEN(vcpu_fields) };
static const struct desc serial_desc = { "SerialState", sizeof(struct sv_serial_body), serial_fields, ARRAY_LEN(serial_fields) };
static const struct desc mmio_desc = { .type = "VirtioMmioState" };
static const struct desc blk_desc = { .type = "BlockState" };
static const struct desc net_desc = { .type = "VirtioNetState" };

static const struct {
        enum virtio_kind kind;
        struct desc      desc;
} optional_descs[] = {
        { VIRTIO_CONSOLE, { .type = "VirtioSerialState" } },
        { VIRTIO_BALLOON, { .type = "BalloonState" } },
        { VIRTIO_RNG, { "RngState", sizeof(struct sv_rng_body), rng_fields, ARRAY_LEN(rng_fields) } },
        { VIRTIO_VSOCK, { "VsockState", sizeof(struct sv_vsock_body), vsock_fields, ARRAY_LEN(vsock_fields) } },
};

static void add_field(struct byte_out *out, const struct field *f, bool first)
{
        byte_out_text(out, "%s{\"var_name\":\"%s\",\"type_name\":\"%s\",\"alias\":\"%s\",\"offset\":%zu,\"size\":%zu}",
                      first ? "" : ",", f->name, f->type, f->name, f->offset, f->size);
}

static void add_desc(struct byte_out *out, const struct desc *d, const char *name, uint64_t alias)
{
        byte_out_text(out, "{\"name\":\"%s\",\"alias\":%" PRIu64 ",\"size\":%zu,\"current_version\":%d,\"compat_version\":%d"
                      ",\"fields\":[",
                      name, alias, d->size, d->size ? STRUCT_VERSION : JSON_VERSION, d->size ? STRUCT_COMPAT : JSON_COMPAT);
        for (size_t i = 0; i < d->nr; i++)
                add_field(out, &d->fields[i], i == 0);
        byte_out_text(out, "]}");
}

static void add_type(struct byte_out *out, const struct desc *d)
{
        add_desc(out, d, d->type, siphash13_str(d->type));
}

/* One each, though every record is of the type that is described first: StratoVirt counts the alias up and nobody reads it. */
static void add_vcpus(struct byte_out *out, const struct vm_state *vm)
{
        char name[32];

        for (uint32_t i = 0; i < vm->nr_vcpus; i++) {
                snprintf(name, sizeof(name), "%s/%u", vcpu_desc.type, i);
                add_desc(out, &vcpu_desc, name, siphash13_str(vcpu_desc.type) + i);
        }
}

static bool has_virtio(const struct vm_state *vm, enum virtio_kind kind)
{
        for (uint32_t i = 0; i < vm->nr_devices; i++)
                if (vm->devices[i].kind == DEVICE_VIRTIO && vm->devices[i].u.virtio.kind == kind)
                        return true;
        return false;
}

void sv_write_descs(struct byte_out *out, const struct vm_state *vm)
{
        add_type(out, &mmio_desc);
        add_type(out, &blk_desc);
        add_type(out, &net_desc);
        for (size_t i = 0; i < ARRAY_LEN(optional_descs); i++)
                if (has_virtio(vm, optional_descs[i].kind))
                        add_type(out, &optional_descs[i].desc);
        if (vm_state_device(vm, DEVICE_SERIAL))
                add_type(out, &serial_desc);
        add_vcpus(out, vm);
        add_type(out, &kvm_desc);
}
