/* formats/stratovirt_records.c: finds each record of the state file by the hash of its name; their order says nothing. */
#include "core/base/units.h"
#include "formats/cursor.h"
#include "formats/siphash.h"
#include "formats/stratovirt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EXPECTED_MAX = 2 * SV_SLOTS + 2 + VCPUS_MAX };

/* A record that a microVM may have: what it is called and where it goes. */
struct expected {
        uint64_t          name, object;
        char              text[32]; /* "BlockState/0" */
        struct sv_record *to;
        bool              needed;
};

struct reader {
        struct cursor          c;
        const struct sv_descs *descs;
        size_t                 nr;
        struct expected        v[EXPECTED_MAX];
};

/* Types of devices that a microVM may have beside its six slots; none can be restored yet. */
static const struct {
        const char *type, *device;
} optional_devices[] = {
        { "VsockState", "vsock" },
        { "RngState", "rng" },
        { "BalloonState", "balloon" },
        { "FsState", "fs" },
        { "PmemState", "pmem" },
        { "VirtioSerialState", "virtio-serial" },
};

static void expect(struct reader *rd, const char *type, const char *instance, struct sv_record *to, bool needed)
{
        struct expected *x = &rd->v[rd->nr++];

        snprintf(x->text, sizeof(x->text), "%s%s%s", type, *instance ? "/" : "", instance);
        x->object = siphash13_str(type);
        x->name = siphash13_str(*instance ? x->text : "kvm"); /* the one record whose name is not made of its type */
        x->to = to;
        x->needed = needed;
}

static void expect_all(struct reader *rd, struct sv_records *ret)
{
        char id[12];

        for (int i = 0; i < SV_SLOTS; i++) {
                snprintf(id, sizeof(id), "%d", i);
                expect(rd, "VirtioMmioState", id, &ret->transport[i], true);
                expect(rd, i < SV_BLOCK_SLOTS ? "BlockState" : "VirtioNetState", id, &ret->device[i], true);
        }
        expect(rd, "SerialState", "serial", &ret->serial, false);
        for (int i = 0; i < VCPUS_MAX; i++) {
                snprintf(id, sizeof(id), "%d", i);
                expect(rd, "X86CPUState", id, &ret->vcpu[i], i == 0);
        }
        expect(rd, "KvmDeviceState", "", &ret->kvm, true);
}

static int name_length(const struct sv_desc *d)
{
        return (int)MIN(d->name.len, (size_t)40);
}

/* A type of device that is described is there, and this says which. */
static int refuse_optional_devices(const struct sv_descs *descs, struct err *e)
{
        for (size_t i = 0; i < descs->nr; i++)
                for (size_t k = 0; k < ARRAY_LEN(optional_devices); k++)
                        if (json_span_is(descs->v[i].name, optional_devices[k].type))
                                return err_bad(e, "state", descs->v[i].offset_bytes,
                                               "expected no devices but disks, network cards and a serial port"
                                               ", found a %s device (%s); rouse cannot restore this device yet",
                                               optional_devices[k].device, optional_devices[k].type);
        return 0;
}

/* No record of this name is expected: say the most that can be said about it. */
static int refuse_record(const struct sv_record_header *h, const struct sv_desc *d, uint64_t offset_bytes, struct err *e)
{
        char text[32];

        if (!d)
                return err_bad(e, "state", offset_bytes, "expected a record of a type that the file describes, found type "
                               "%#" PRIx64 SV_DAMAGED, h->object);
        for (int i = VCPUS_MAX; i < SV_STRATOVIRT_VCPUS; i++) {
                snprintf(text, sizeof(text), "X86CPUState/%d", i);
                if (siphash13_str(text) == h->name)
                        return err_bad(e, "state", offset_bytes, "expected vCPUs 0 to %d, found vCPU %d; rouse restores at most "
                                       "%d vCPUs",
                                       VCPUS_MAX - 1, i, VCPUS_MAX);
        }
        if (h->object == siphash13_str("VirtioMmioState"))
                return err_bad(e, "state", offset_bytes, "expected virtio slots 0 to %d, found the transport of a further device "
                               "(name %#" PRIx64
                               "); rouse cannot restore this device yet", SV_SLOTS - 1, h->name);
        return err_bad(e, "state", offset_bytes, "expected a record of a plain microVM, found %.*s of an unknown name (%#" PRIx64
                       "); the file is damaged or has a device that rouse cannot restore yet", name_length(d), d->name.p, h->name);
}

static struct expected *find_expected(struct reader *rd, uint64_t name)
{
        for (size_t i = 0; i < rd->nr; i++)
                if (rd->v[i].name == name)
                        return &rd->v[i];
        return NULL;
}

static int check_record(const struct expected *x, const struct sv_record_header *h, const struct sv_desc *d,
                        uint64_t offset_bytes, struct err *e)
{
        bool json = x->object == siphash13_str("VirtioMmioState") || !strncmp(x->text, "BlockState", 10) || !strncmp(x->text,
                "VirtioNetState", 14);

        if (h->object != x->object || !d)
                return err_bad(e, "state", offset_bytes, "record %s: expected type %#" PRIx64 ", described in the file, found "
                               "%#" PRIx64 SV_DAMAGED,
                               x->text, x->object, h->object);
        if (json != (d->size == 0))
                return err_bad(e, "state", d->offset_bytes, "record %s: expected a %s body, found a %s one; this snapshot is of a "
                               "development build"
                               " between StratoVirt 2.4 and 2.5, which is not supported yet: take it again with 2.5",
                               x->text, json ? "JSON" : "binary", json ? "binary" : "JSON");
        if (!json && d->size != h->size)
                return err_bad(e, "state", offset_bytes, "record %s: expected %" PRIu64 " bytes as described, found "
                               "%" PRIu64 SV_DAMAGED,
                               x->text, d->size, h->size);
        if (x->to->desc)
                return err_bad(e, "state", offset_bytes, "expected one record %s, found a second" SV_DAMAGED, x->text);
        return 0;
}

static int read_header(struct cursor *c, struct sv_record_header *ret, struct err *e)
{
        int r = cursor_u64(c, "a record's name", &ret->name, e);

        r = r < 0 ? r : cursor_u64(c, "a record's type", &ret->object, e);
        return r < 0 ? r : cursor_u64(c, "a record's size", &ret->size, e);
}

static int read_record(struct reader *rd, struct err *e)
{
        struct sv_record_header h;
        uint64_t                offset_bytes = cursor_offset(&rd->c);
        const struct sv_desc   *d;
        struct expected        *x;
        int                     r = read_header(&rd->c, &h, e);

        if (r < 0)
                return r;
        d = sv_descs_find(rd->descs, h.object);
        x = find_expected(rd, h.name);
        if (!x)
                return refuse_record(&h, d, offset_bytes, e);
        r = check_record(x, &h, d, offset_bytes, e);
        if (r < 0)
                return r;
        *x->to = (struct sv_record){ .desc = d, .len = h.size, .offset_bytes = cursor_offset(&rd->c) };
        return cursor_take(&rd->c, x->text, h.size, &x->to->body, e);
}

/* Is there a record header at `at`, with a size (24 bytes) or without one (16)? Told by its type. */
static bool type_is_described(const struct cursor *c, const struct sv_descs *descs, uint64_t at, const struct sv_desc **ret)
{
        uint64_t object;

        if (!range_fits(at, SV_RECORD_BYTES, cursor_left(c)))
                return false;
        memcpy(&object, c->bytes + c->at + at + 8, sizeof(object));
        *ret = sv_descs_find(descs, object);
        return *ret;
}

/* Generation 2 has no sizes in its record headers: a record of its first type's size, and then another header of 16 bytes. */
static int refuse_generation_2(const struct cursor *c, const struct sv_descs *descs, struct err *e)
{
        const struct sv_desc *first, *second;
        uint64_t              size;

        if (!type_is_described(c, descs, 0, &first) || !first->size)
                return 0;
        memcpy(&size, c->bytes + c->at + 16, sizeof(size));
        if (size == first->size || !type_is_described(c, descs, SV_OLD_RECORD_BYTES + first->size, &second))
                return 0;
        return err_bad(e, "state", cursor_offset(c), "expected generation 3 (StratoVirt 2.5), found generation 2 (StratoVirt "
                       "2.3/2.4)"
                       ", which is not supported yet; take the snapshot again with StratoVirt 2.5");
}

/* A vCPU beyond the first is needed when a later one is there. */
static int check_vcpus(struct sv_records *rec, uint64_t end, struct err *e)
{
        for (uint32_t i = 0; i < VCPUS_MAX; i++)
                if (rec->vcpu[i].desc)
                        rec->nr_vcpus = i + 1;
        for (uint32_t i = 0; i < rec->nr_vcpus; i++)
                if (!rec->vcpu[i].desc)
                        return err_bad(e, "state", end, "expected a record X86CPUState/%u since there is one of vCPU %u, found "
                                       "none" SV_DAMAGED,
                                       i, rec->nr_vcpus - 1);
        return 0;
}

static int check_complete(const struct reader *rd, struct sv_records *rec, struct err *e)
{
        for (size_t i = 0; i < rd->nr; i++)
                if (rd->v[i].needed && !rd->v[i].to->desc)
                        return err_bad(e, "state", rd->c.base_bytes + rd->c.len,
                                       "expected a record %s, found none before the file's end" SV_DAMAGED,
                                       rd->v[i].text);
        return check_vcpus(rec, rd->c.base_bytes + rd->c.len, e);
}

int sv_records_read(const uint8_t *state, size_t len, uint64_t begin, const struct sv_descs *descs, struct sv_records *ret,
                    struct err *e)
{
        struct reader rd = { .c = { "state", state + begin, begin, len - begin, 0 }, .descs = descs };
        int           r;

        *ret = (struct sv_records){ 0 };
        expect_all(&rd, ret);
        r = refuse_generation_2(&rd.c, descs, e);
        r = r < 0 ? r : refuse_optional_devices(descs, e);
        while (r == 0 && cursor_left(&rd.c))
                r = read_record(&rd, e);
        return r < 0 ? r : check_complete(&rd, ret, e);
}
