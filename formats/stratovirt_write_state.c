/* formats/stratovirt_write_state.c: the files' headers, the table of RAM, and the state file's records in their groups. */
#include "core/base/cleanup.h"
#include "formats/siphash.h"
#include "formats/stratovirt_write.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- what begins and ends the files --- */

static void add_numbers(struct byte_out *out, const char *text, size_t nr)
{
        byte_out_text(out, "[");
        for (size_t i = 0; i < nr; i++)
                byte_out_text(out, "%s%u", i ? "," : "", (unsigned char)text[i]);
        byte_out_text(out, "]");
}

/* u64 length, that much text, zeros up to a page. */
static void add_framed(struct byte_out *out, struct byte_out *text)
{
        uint64_t len = text->len;

        byte_out_add(out, &len, sizeof(len));
        byte_out_add(out, text->bytes, text->len);
        byte_out_pad(out, SV_HEADER_BYTES);
        out->failed = out->failed ? out->failed : text->failed;
        byte_out_free(text);
}

void sv_write_header(struct byte_out *out, const char *vendor, const char *format, uint64_t desc_len)
{
        static const char magic[16] = "STRATOVIRT";
        struct byte_out   text = { 0 };
        char              cpu_model[16] = "";

        memcpy(cpu_model, vendor, strnlen(vendor, sizeof(cpu_model)));
        byte_out_text(&text, "{\"magic_num\":");
        add_numbers(&text, magic, sizeof(magic));
        byte_out_text(&text, ",\"compat_version\":%d,\"arch\":", SV_COMPAT_VERSION);
        add_numbers(&text, "x86_6400", 8);
        byte_out_text(&text, ",\"byte_order\":\"Little\",\"hypervisor_version\":%d,\"cpu_model\":", SV_HYPERVISOR);
        add_numbers(&text, cpu_model, sizeof(cpu_model));
        byte_out_text(&text, ",\"os_type\":");
        add_numbers(&text, "linux000", 8);
        byte_out_text(&text, ",\"format\":\"%s\",\"desc_len\":%" PRIu64 "}", format, desc_len);
        add_framed(out, &text);
}

/* CPUID leaf 0: EBX, EDX, ECX are the vendor's name. */
bool sv_write_vendor(const struct vm_state *vm, char ret[CPU_VENDOR_MAX])
{
        const struct vcpu_state *v = &vm->vcpus[0];

        memset(ret, 0, CPU_VENDOR_MAX);
        if (vm->cpu_vendor[0]) {
                memcpy(ret, vm->cpu_vendor, CPU_VENDOR_MAX - 1);
                return true;
        }
        for (uint32_t i = 0; i < v->nr_cpuid; i++) {
                const struct kvm_cpuid_entry2 *c = &v->cpuid[i];
                const uint32_t                 part[3] = { c->ebx, c->edx, c->ecx };

                if (c->function == 0) {
                        memcpy(ret, part, sizeof(part));
                        return true;
                }
        }
        return false;
}

/* --- memory --- */

static const char *window_name(const struct mem_window *w)
{
        return w->gpa ? "above4g_ram" : "below4g_ram";
}

/* The newest window first. */
static void add_windows(struct byte_out *out, const struct mem_layout *l)
{
        for (size_t i = l->nr; i-- > 0;)
                byte_out_text(out, "{\"name\":\"%s\",\"alias_offset\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"size\":%" PRIu64 "}%s",
                              window_name(&l->w[i]), l->w[i].ram_offset_bytes, l->w[i].gpa, l->w[i].size_bytes, i ? "," : "");
}

int sv_write_memory_head(const char *vendor, const struct mem_layout *l, struct byte_out *out, struct err *e)
{
        struct byte_out text = { 0 };

        /* the length of descriptors: memory has none, and StratoVirt writes this */
        sv_write_header(out, vendor, "MemoryFull", SV_HEADER_BYTES);
        byte_out_text(&text, "{\"total_region_size\":%" PRIu64 ",\"ram_region_state\":[{\"name\":\"DefaultRam\",\"offset\":0"
                      ",\"size\":%" PRIu64 "}],\"alias_region_state\":[", l->total_bytes, l->total_bytes);
        add_windows(&text, l);
        byte_out_text(&text, "]}");
        add_framed(out, &text);
        if (out->failed)
                return err_set(e, out->failed, "no memory for the head of a memory file");
        assert(out->len == SV_DATA_BYTES); /* two windows, a microVM's most, take some 300 bytes */
        return 0;
}

void sv_write_memory_tail(struct byte_out *out)
{
        struct byte_out text = { 0 };

        byte_out_text(&text, "{\"region_states\":[]}");
        add_framed(out, &text);
}

/* --- state --- */

void sv_write_record(struct byte_out *out, const char *type, const char *instance, const void *body, size_t len)
{
        struct sv_record_header h = { .object = siphash13_str(type), .size = len };
        char                    name[SIPHASH_STR_MAX + 1];

        snprintf(name, sizeof(name), "%s/%s", type, instance);
        h.name = siphash13_str(*instance ? name : "kvm"); /* the one record whose name is not made of its type */
        byte_out_add(out, &h, sizeof(h));
        byte_out_add(out, body, len);
}

/* The order of the groups is what StratoVirt's restore counts by. */
static void add_records(struct byte_out *out, const struct vm_state *vm)
{
        const struct device_record *serial = vm_state_device(vm, DEVICE_SERIAL);

        sv_write_transports(out, vm);
        sv_write_devices(out, vm);
        if (serial)
                sv_write_serial(out, &serial->u.serial);
        for (uint32_t i = 0; i < vm->nr_vcpus; i++)
                sv_write_vcpu(out, vm, i);
        sv_write_kvm(out, &vm->platform);
}

static void free_out(struct byte_out *o)
{
        byte_out_free(o);
}

int sv_write_state(const struct vm_state *vm, struct byte_out *out, struct err *e)
{
        _cleanup_(free_out) struct byte_out descs = { 0 };
        char                                vendor[CPU_VENDOR_MAX];

        (void)sv_write_vendor(vm, vendor); /* sv_write_check has seen that there is one */
        sv_write_descs(&descs, vm);
        sv_write_header(out, vendor, "Device", descs.len);
        byte_out_add(out, descs.bytes, descs.len);
        add_records(out, vm);
        if (descs.failed || out->failed)
                return err_set(e, -ENOMEM, "no memory for the state of %u vCPUs", vm->nr_vcpus);
        return 0;
}
