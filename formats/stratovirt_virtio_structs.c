/* formats/stratovirt_virtio_structs.c: virtio records that are structs in both generations: rng and vsock. */
#include "core/base/units.h"
#include "formats/stratovirt.h"

#include <inttypes.h>
#include <string.h>

enum rng_field { RNG_DEVICE, RNG_DRIVER, RNG_FIELDS };
static const struct sv_field rng_fields[] = {
        [RNG_DEVICE] = { "device_features", 8 },
        [RNG_DRIVER] = { "driver_features", 8 },
};
static_assert(ARRAY_LEN(rng_fields) == RNG_FIELDS, "every field has its size");

enum vsock_field { VSOCK_DEVICE, VSOCK_DRIVER, VSOCK_CONFIG, VSOCK_LAST_AVAIL, VSOCK_BROKEN, VSOCK_FIELDS };
static const struct sv_field vsock_fields[] = {
        [VSOCK_DEVICE]     = { "device_features", 8 },
        [VSOCK_DRIVER]     = { "driver_features", 8 },
        [VSOCK_CONFIG]     = { "config_space", 8 },
        [VSOCK_LAST_AVAIL] = { "last_avail_idx", 4 },
        [VSOCK_BROKEN]     = { "broken", 1 },
};
static_assert(ARRAY_LEN(vsock_fields) == VSOCK_FIELDS && VSOCK_FIELDS <= SV_FIELDS_MAX, "every field has its size");

int sv_bool_read(const struct sv_record *rec, const char *name, uint64_t at, bool *ret, struct err *e)
{
        uint8_t v = rec->body[at];

        if (v > 1)
                return err_bad(e, "state", rec->offset_bytes + at, "%s: expected 0 or 1, found %u" SV_DAMAGED, name, v);
        *ret = v;
        return 0;
}

int sv_rng_read(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        uint32_t at[SV_FIELDS_MAX];
        int      r = sv_fields_locate(descs, rec->desc, rng_fields, RNG_FIELDS, at, e);

        if (r < 0)
                return r;
        memcpy(&ret->device_features, rec->body + at[RNG_DEVICE], 8);
        memcpy(&ret->driver_features, rec->body + at[RNG_DRIVER], 8);
        return 0;
}

/* StratoVirt answers the driver's reads of its CID from the command line and keeps none in the record: zeros. */
static int read_cid(const struct sv_record *rec, uint64_t at, uint64_t *ret, struct err *e)
{
        uint64_t cid;

        memcpy(&cid, rec->body + at, sizeof(cid));
        if (cid && (cid < 3 || cid >= UINT32_MAX))
                return err_bad(e, "state", rec->offset_bytes + at, "virtio vsock: expected a CID of 3 to %u, or 0 for none, "
                               "found %" PRIu64 SV_DAMAGED, UINT32_MAX - 1, cid);
        *ret = cid;
        return 0;
}

int sv_vsock_read(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        uint32_t at[SV_FIELDS_MAX];
        uint16_t last_avail[2];
        int      r = sv_fields_locate(descs, rec->desc, vsock_fields, VSOCK_FIELDS, at, e);

        r = r < 0 ? r : sv_bool_read(rec, "virtio vsock: broken", at[VSOCK_BROKEN], &ret->broken, e);
        r = r < 0 ? r : read_cid(rec, at[VSOCK_CONFIG], &ret->u.vsock.guest_cid, e);
        if (r < 0)
                return r;
        memcpy(&ret->device_features, rec->body + at[VSOCK_DEVICE], 8);
        memcpy(&ret->driver_features, rec->body + at[VSOCK_DRIVER], 8);
        memcpy(last_avail, rec->body + at[VSOCK_LAST_AVAIL], sizeof(last_avail));
        /* vhost ran the two data queues; the transport's counters of them stand where they stood when the driver began */
        for (int i = 0; i < 2; i++)
                ret->queues[i].next_avail = ret->queues[i].next_used = last_avail[i];
        return 0;
}
