/* formats/stratovirt_records.c: finds each record of the state file by the hashes of its type and name, whatever their order. */
#include "core/base/units.h"
#include "formats/cursor.h"
#include "formats/siphash.h"
#include "formats/stratovirt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum type { TRANSPORT, BLOCK, NET, SERIAL, VCPU, KVM, VSOCK, CONSOLE, RNG, BALLOON, TYPES };

static const struct {
        const char *name;
        bool        json; /* in generation 3; in generation 2 every body is a struct */
} types[] = {
        [TRANSPORT] = { "VirtioMmioState", true },
        [BLOCK]     = { "BlockState", true },
        [NET]       = { "VirtioNetState", true },
        [SERIAL]    = { "SerialState", false },
        [VCPU]      = { "X86CPUState", false },
        [KVM]       = { "KvmDeviceState", false },
        [VSOCK]     = { "VsockState", false },
        [CONSOLE]   = { "VirtioSerialState", true },
        [RNG]       = { "RngState", false },
        [BALLOON]   = { "BalloonState", true },
};
static_assert(ARRAY_LEN(types) == TYPES, "every type has its name");
static_assert(VSOCK + SV_CONSOLE == CONSOLE && VSOCK + SV_RNG == RNG && VSOCK + SV_BALLOON == BALLOON, "as enum sv_optional");

/* Types of devices that a microVM may have and rouse does not. */
static const struct {
        const char *type, *device;
} refused_devices[] = {
        { "FsState", "fs" },
        { "PmemState", "pmem" },
};

struct reader {
        struct cursor          c;
        const struct sv_descs *descs;
        struct sv_records     *to;
        uint64_t               objects[TYPES];
        uint64_t               vcpu_names[VCPUS_MAX]; /* as far as somebody asked for them */
        uint32_t               nr_vcpu_names;
};

static uint64_t numbered_name(enum type t, uint32_t number)
{
        char text[40];

        snprintf(text, sizeof(text), "%s/%u", types[t].name, number);
        return siphash13_str(text);
}

/* Is that the name of an instance from first to end - 1? */
static bool find_number(enum type t, uint64_t name, uint32_t first, uint32_t end, uint32_t *ret)
{
        for (uint32_t i = first; i < end; i++) {
                if (numbered_name(t, i) != name)
                        continue;
                *ret = i;
                return true;
        }
        return false;
}

/* The same for vCPUs, of which there may be many: their names are made once. */
static bool find_vcpu(struct reader *rd, uint64_t name, uint32_t *ret)
{
        for (uint32_t i = 0; i < VCPUS_MAX; i++) {
                if (i == rd->nr_vcpu_names)
                        rd->vcpu_names[rd->nr_vcpu_names++] = numbered_name(VCPU, i);
                if (rd->vcpu_names[i] != name)
                        continue;
                *ret = i;
                return true;
        }
        return false;
}

/* The two cards lie in slots 4 and 5: generation 3 names their records by slot, generation 2 counts cards. */
static bool find_card(struct reader *rd, uint64_t name, uint32_t *ret)
{
        uint32_t card;

        if (find_number(NET, name, SV_BLOCK_SLOTS, SV_SLOTS, ret))
                return true;
        if (rd->to->generation->number != 2 || !find_number(NET, name, 0, SV_SLOTS - SV_BLOCK_SLOTS, &card))
                return false;
        *ret = SV_BLOCK_SLOTS + card;
        return true;
}

/* Where the record of that type and name goes; NULL: a microVM has none of that name. */
static struct sv_record *place_of(struct reader *rd, enum type t, uint64_t name)
{
        struct sv_records *to = rd->to;
        uint32_t           i;

        switch (t) {
        case TRANSPORT:
                if (find_number(t, name, 0, SV_SLOTS, &i))
                        return &to->transport[i];
                return to->nr_further < SV_FURTHER_MAX ? &to->further[to->nr_further++] : NULL;
        case BLOCK:
                return find_number(t, name, 0, SV_BLOCK_SLOTS, &i) ? &to->device[i] : NULL;
        case NET:
                return find_card(rd, name, &i) ? &to->device[i] : NULL;
        case SERIAL:
                return name == siphash13_str("SerialState/serial") ? &to->serial : NULL;
        case VCPU:
                return find_vcpu(rd, name, &i) ? &to->vcpu[i] : NULL;
        case KVM:
                return name == siphash13_str("kvm") ? &to->kvm : NULL; /* the one name that is not made of its type */
        case VSOCK:
        case CONSOLE:
        case RNG:
        case BALLOON:
                return to->generation->read_optional[t - VSOCK] ? &to->optional[t - VSOCK] : NULL;
        case TYPES:
                break;
        }
        return NULL;
}

static int name_length(const struct sv_desc *d)
{
        return (int)MIN(d->name.len, (size_t)40);
}

/* A type of device that is described is there, and this says which. */
static int refuse_devices(const struct sv_descs *descs, struct err *e)
{
        for (size_t i = 0; i < descs->nr; i++)
                for (size_t k = 0; k < ARRAY_LEN(refused_devices); k++)
                        if (json_span_is(descs->v[i].name, refused_devices[k].type))
                                return err_bad(e, "state", descs->v[i].offset_bytes,
                                               "expected disks, network cards, a vsock, a console, an rng, a balloon and a "
                                               "serial port"
                                               ", found a %s device (%s); rouse has no such device, take the snapshot without it",
                                               refused_devices[k].device, refused_devices[k].type);
        return 0;
}

/* No record of this name is expected: say the most that can be said about it. */
static int refuse_record(enum type t, const struct sv_record_header *h, const struct sv_desc *d, uint64_t offset_bytes,
                         struct err *e)
{
        if (t == TRANSPORT)
                return err_bad(e, "state", offset_bytes, "expected at most %d transports beside those of slots 0 to %d, found "
                               "one more (name %#" PRIx64 "); rouse takes one vsock and one console", SV_FURTHER_MAX,
                               SV_SLOTS - 1, h->name);
        return err_bad(e, "state", offset_bytes, "expected a record of a plain microVM, found %.*s of an unknown name (%#" PRIx64
                       "); the file is damaged or has a device that rouse does not know", name_length(d), d->name.p, h->name);
}

static int refuse_second(enum type t, uint64_t offset_bytes, struct err *e)
{
        if (t < VSOCK)
                return err_bad(e, "state", offset_bytes, "expected one record %s of that name, found a second" SV_DAMAGED,
                               types[t].name);
        return err_bad(e, "state", offset_bytes, "expected one device of type %s, found a second"
                       "; the file does not say which is which, so rouse takes one of a kind: take the snapshot with one",
                       types[t].name);
}

static int check_record(const struct reader *rd, enum type t, const struct sv_record_header *h, const struct sv_desc *d,
                        uint64_t offset_bytes, struct err *e)
{
        bool json = rd->to->generation->json && types[t].json;

        if (json != (d->size == 0))
                return err_bad(e, "state", d->offset_bytes, "record %s: expected a %s body, found a %s one; this snapshot is of "
                               "a development build between StratoVirt 2.4 and 2.5, which rouse does not read: take it again "
                               "with 2.5", types[t].name, json ? "JSON" : "binary", json ? "binary" : "JSON");
        if (!json && d->size != h->size)
                return err_bad(e, "state", offset_bytes, "record %s: expected %" PRIu64 " bytes as described, found "
                               "%" PRIu64 SV_DAMAGED,
                               types[t].name, d->size, h->size);
        return 0;
}

static int read_header(struct cursor *c, const struct sv_generation *g, struct sv_record_header *ret, struct err *e)
{
        int r = cursor_u64(c, "a record's name", &ret->name, e);

        r = r < 0 ? r : cursor_u64(c, "a record's type", &ret->object, e);
        if (r < 0 || g->record_bytes == SV2_RECORD_BYTES)
                return r;
        return cursor_u64(c, "a record's size", &ret->size, e);
}

/* The type of the record, and its descriptor. */
static int find_type(const struct reader *rd, uint64_t object, uint64_t offset_bytes, enum type *ret,
                     const struct sv_desc **ret_desc, struct err *e)
{
        const struct sv_desc *d = sv_descs_find(rd->descs, object);
        unsigned int          t = 0;

        if (!d)
                return err_bad(e, "state", offset_bytes, "expected a record of a type that the file describes, found type "
                               "%#" PRIx64 SV_DAMAGED, object);
        while (t < TYPES && rd->objects[t] != object)
                t++;
        if (t == TYPES)
                return err_bad(e, "state", offset_bytes, "expected a record of a plain microVM, found one of type %.*s"
                               "; rouse has no such device, take the snapshot without it", name_length(d), d->name.p);
        *ret = t;
        *ret_desc = d;
        return 0;
}

static int read_record(struct reader *rd, struct err *e)
{
        struct sv_record_header h = { 0 };
        uint64_t                offset_bytes = cursor_offset(&rd->c);
        const struct sv_desc   *d = NULL;
        struct sv_record       *to;
        enum type               t = TYPES;
        int                     r = read_header(&rd->c, rd->to->generation, &h, e);

        r = r < 0 ? r : find_type(rd, h.object, offset_bytes, &t, &d, e);
        if (r < 0)
                return r;
        if (rd->to->generation->record_bytes == SV2_RECORD_BYTES)
                h.size = d->size;
        r = check_record(rd, t, &h, d, offset_bytes, e);
        if (r < 0)
                return r;
        to = place_of(rd, t, h.name);
        if (!to)
                return refuse_record(t, &h, d, offset_bytes, e);
        if (to->desc)
                return refuse_second(t, offset_bytes, e);
        *to = (struct sv_record){ .desc = d, .len = h.size, .offset_bytes = cursor_offset(&rd->c) };
        return cursor_take(&rd->c, types[t].name, h.size, &to->body, e);
}

/* Generation 2 describes transports as structs, and its record headers have no sizes: where a struct's size would be, its body
 * begins. Nothing else tells the two apart: the header's version is the same. A build in between has structs, with sizes. */
static const struct sv_generation *find_generation(const struct reader *rd)
{
        const struct sv_desc   *transport = sv_descs_find(rd->descs, rd->objects[TRANSPORT]), *first;
        struct sv_record_header h;

        if (!transport || !transport->size)
                return &sv_generation_3;
        if (cursor_left(&rd->c) < sizeof(h))
                return &sv_generation_2;
        memcpy(&h, rd->c.bytes, sizeof(h));
        first = sv_descs_find(rd->descs, h.object);
        return first && first->size == h.size ? &sv_generation_3 : &sv_generation_2;
}

/* number: -1 where there is one without a number. */
static int lacks(const struct reader *rd, enum type t, int number, struct err *e)
{
        char instance[16] = "";

        if (number >= 0)
                snprintf(instance, sizeof(instance), "/%d", number);
        return err_bad(e, "state", rd->c.base_bytes + rd->c.len, "expected a record %s%s, found none before the file's "
                       "end" SV_DAMAGED, types[t].name, instance);
}

static int check_slots(const struct reader *rd, struct err *e)
{
        for (int i = 0; i < SV_SLOTS; i++) {
                if (!rd->to->transport[i].desc)
                        return lacks(rd, TRANSPORT, i, e);
                if (!rd->to->device[i].desc)
                        return lacks(rd, i < SV_BLOCK_SLOTS ? BLOCK : NET, i, e);
        }
        return 0;
}

/* A vCPU is needed when a later one is there. */
static int check_vcpus(const struct reader *rd, struct err *e)
{
        struct sv_records *to = rd->to;

        for (uint32_t i = 0; i < VCPUS_MAX; i++)
                if (to->vcpu[i].desc)
                        to->nr_vcpus = i + 1;
        if (!to->nr_vcpus)
                return lacks(rd, VCPU, 0, e);
        for (uint32_t i = 0; i < to->nr_vcpus; i++)
                if (!to->vcpu[i].desc)
                        return err_bad(e, "state", rd->c.base_bytes + rd->c.len, "expected a record X86CPUState/%u since there "
                                       "is one of vCPU %u, found none" SV_DAMAGED, i, to->nr_vcpus - 1);
        return 0;
}

static int check_complete(const struct reader *rd, struct err *e)
{
        int r = check_slots(rd, e);

        r = r < 0 ? r : check_vcpus(rd, e);
        if (r < 0)
                return r;
        return rd->to->kvm.desc ? 0 : lacks(rd, KVM, -1, e);
}

int sv_records_read(const uint8_t *state, size_t len, uint64_t begin, const struct sv_descs *descs, struct sv_records *ret,
                    struct err *e)
{
        struct reader rd = { .c = { "state", state + begin, begin, len - begin, 0 }, .descs = descs, .to = ret };
        int           r = refuse_devices(descs, e);

        memset(ret, 0, sizeof(*ret));
        for (unsigned int t = 0; t < TYPES; t++)
                rd.objects[t] = siphash13_str(types[t].name);
        ret->generation = find_generation(&rd);
        while (r == 0 && cursor_left(&rd.c))
                r = read_record(&rd, e);
        return r < 0 ? r : check_complete(&rd, e);
}
