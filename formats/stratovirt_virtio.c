/* formats/stratovirt_virtio.c: what the guest uses and rouse does not have is refused by name; what nobody uses is left out. */
#include "core/base/units.h"
#include "formats/stratovirt.h"

#include <inttypes.h>
#include <stdio.h>

struct transport_json {
        bool     device_activated;
        uint64_t device_status, queue_num;
};

#define TRANSPORT(member, type, limit) { #member, type, offsetof(struct transport_json, member), limit }
static const struct json_field transport_fields[] = {
        TRANSPORT(device_activated, JSON_BOOL, 0),
        TRANSPORT(device_status, JSON_U64, UINT32_MAX),
        TRANSPORT(queue_num, JSON_U64, UINT16_MAX),
};

struct config {
        uint64_t capacity_sectors; /* of a disk */
        uint8_t  mac[6];           /* of a network card */
};

static const struct json_field wrapper_field[] = { { "virtio_base", JSON_OBJECT, 0, 0 } };
static const struct json_field config_field[]  = { { "config_space", JSON_OBJECT, 0, 0 } };
static const struct json_field block_field[]   = { { "capacity", JSON_U64, offsetof(struct config, capacity_sectors),
UINT64_MAX / 512 } };
static const struct json_field net_field[]     = { { "mac", JSON_BYTES, offsetof(struct config, mac), 6 } };

static struct json_place place_of(const struct sv_record *rec)
{
        return (struct json_place){ "state", (const char *)rec->body, rec->offset_bytes };
}

/* The body is one JSON object that holds another one: that one. */
static int read_inner(const struct sv_record *rec, const struct json_field *field, struct json_span *ret, struct err *e)
{
        struct json_place at = place_of(rec);

        return json_read(&at, (struct json_span){ at.text, rec->len }, field, 1, ret, e);
}

static int read_transport(const struct sv_record *rec, struct transport_json *ret, struct err *e)
{
        struct json_place at = place_of(rec);
        struct json_span  base;
        int               r = read_inner(rec, wrapper_field, &base, e);

        return r < 0 ? r : json_read(&at, base, transport_fields, ARRAY_LEN(transport_fields), ret, e);
}

static int read_config(const struct sv_record *rec, bool block, struct config *ret, struct err *e)
{
        struct json_place at = place_of(rec);
        struct json_span  space;
        int               r = read_inner(rec, config_field, &space, e);

        return r < 0 ? r : json_read(&at, space, block ? block_field : net_field, 1, ret, e);
}

static void describe(bool block, const struct config *c, char *ret, size_t size)
{
        if (block)
                snprintf(ret, size, "block device of %" PRIu64 " bytes (%" PRIu64 " sectors)", c->capacity_sectors * 512,
                         c->capacity_sectors);
        else
                snprintf(ret, size, "network card %02x:%02x:%02x:%02x:%02x:%02x", c->mac[0], c->mac[1], c->mac[2], c->mac[3],
                         c->mac[4], c->mac[5]);
}

/* Any status but 0 means that a driver has begun with the device, even where it is not done (DRIVER_OK) yet. */
static bool in_use(const struct transport_json *t)
{
        return t->device_activated || t->device_status || t->queue_num;
}

static int check_slot(const struct sv_records *rec, int slot, struct snapshot *s, struct err *e)
{
        struct transport_json t;
        struct config         c = { 0 };
        bool                  block = slot < SV_BLOCK_SLOTS;
        char                  what[80];
        int                   r = read_transport(&rec->transport[slot], &t, e);

        r = r < 0 ? r : read_config(&rec->device[slot], block, &c, e);
        if (r < 0)
                return r;
        describe(block, &c, what, sizeof(what));
        if (in_use(&t))
                return err_bad(e, "state", rec->transport[slot].offset_bytes, "virtio slot %d: expected no device in use"
                               ", found an active %s; rouse cannot restore this device yet", slot, what);
        if (c.capacity_sectors)
                snapshot_note(s, "virtio slot %d: %s, which the guest never used, is not there after the restore", slot, what);
        return 0;
}

int sv_virtio_check(const struct sv_records *rec, struct snapshot *s, struct err *e)
{
        int r = 0;

        for (int slot = 0; r == 0 && slot < SV_SLOTS; slot++)
                r = check_slot(rec, slot, s, e);
        return r;
}
