/* formats/stratovirt_g2_virtio.c: virtio records of generation 2, whose bodies are structs as the compiler of StratoVirt laid
 * them out. */
#include "core/base/units.h"
#include "formats/stratovirt_g2.h"

#include <inttypes.h>
#include <string.h>

/* --- transports ---
 * Their descriptor has one field that is the whole body, and the struct in it is Rust's own to arrange: compilers from 1.71 on
 * and those before put its members in two orders (stratovirt.md 1.7). */
struct layout {
        uint16_t queues, queue_num;                               /* offsets: 32 of struct sv2_queue; u64 */
        uint16_t device_features_sel, driver_features_sel;        /* u32 */
        uint16_t interrupt_status, device_status;                 /* u32 */
        uint16_t queue_select, config_vector, queue_type;         /* u16 */
        uint16_t config_generation, device_activated;             /* u8 */
};

static const struct layout layouts[] = {
        { .queue_num = 0, .queues = 8, .device_features_sel = 2056, .driver_features_sel = 2060, .interrupt_status = 2064,
          .device_status = 2068, .queue_select = 2072, .config_vector = 2074, .queue_type = 2076, .config_generation = 2078,
          .device_activated = 2079 },
        { .queues = 0, .queue_num = 2048, .device_features_sel = 2056, .driver_features_sel = 2060, .interrupt_status = 2064,
          .device_status = 2068, .queue_select = 2072, .config_vector = 2074, .queue_type = 2076, .device_activated = 2078,
          .config_generation = 2079 },
};

static uint64_t get(const struct sv_record *rec, uint64_t at, size_t size)
{
        uint64_t v = 0;

        memcpy(&v, rec->body + at, size);
        return v;
}

static struct sv2_queue queue_of(const struct sv_record *rec, const struct layout *l, unsigned int i)
{
        struct sv2_queue q;

        memcpy(&q, rec->body + l->queues + i * sizeof(q), sizeof(q));
        return q;
}

/* Every device has a queue 0, so its max_size tells a layout that cannot be. */
static bool layout_fits(const struct sv_record *rec, const struct layout *l)
{
        uint16_t max_size = queue_of(rec, l, 0).max_size;

        return max_size && !(max_size & (max_size - 1)) && max_size <= VIRTIO_QUEUE_SIZE_MAX &&
               get(rec, l->queue_num, 8) <= SV2_QUEUES && get(rec, l->device_activated, 1) <= 1;
}

/* All transports are of one layout. */
static const struct layout *find_layout(const struct sv_records *all)
{
        for (size_t k = 0; k < ARRAY_LEN(layouts); k++) {
                bool fits = true;

                for (int i = 0; fits && i < SV_SLOTS; i++)
                        fits = layout_fits(&all->transport[i], &layouts[k]);
                for (uint32_t i = 0; fits && i < all->nr_further; i++)
                        fits = layout_fits(&all->further[i], &layouts[k]);
                if (fits)
                        return &layouts[k];
        }
        return NULL;
}

/* 32 in the file; those that the device does not have are zeros, but for their padding. */
static int read_queues(const struct sv_record *rec, const struct layout *l, struct virtio_state *ret,
                       struct sv_transport *ret_more, struct err *e)
{
        ret->nr_queues = 0;
        for (unsigned int i = 0; i < SV2_QUEUES; i++) {
                struct sv2_queue q = queue_of(rec, l, i);
                uint64_t         at = l->queues + i * sizeof(q);

                if (!q.max_size)
                        break;
                if (q.ready > 1)
                        return err_bad(e, "state", rec->offset_bytes + at, "queue %u: expected ready 0 or 1, found %u" SV_DAMAGED,
                                       i, q.ready);
                ret_more->queue_offset_bytes[i] = rec->offset_bytes + at;
                ret->queues[ret->nr_queues++] = (struct virtqueue_state){
                        .desc_gpa = q.desc_gpa, .avail_gpa = q.avail_gpa, .used_gpa = q.used_gpa,
                        .size = q.size, .max_size = q.max_size, .next_avail = q.next_avail, .next_used = q.next_used,
                        .ready = q.ready,
                };
        }
        return 0;
}

static int check_size(const struct sv_records *all, struct err *e)
{
        const struct sv_desc *d = all->transport[0].desc; /* one for all of them */

        if (d->size == SV2_TRANSPORT_BYTES)
                return 0;
        return err_bad(e, "state", d->offset_bytes, "VirtioMmioState: expected %d bytes, found %" PRIu64
                       "; the file is damaged or of a StratoVirt that rouse does not know yet", SV2_TRANSPORT_BYTES, d->size);
}

static int read_transport(const struct sv_records *all, const struct sv_record *rec, struct virtio_state *ret,
                          struct sv_transport *ret_more, struct err *e)
{
        const struct layout *l;
        int                  r = check_size(all, e);

        if (r < 0)
                return r;
        l = find_layout(all);
        if (!l)
                return err_bad(e, "state", rec->offset_bytes, "expected the transports of all devices in one of the two layouts "
                               "that compilers gave them, found neither; the file is damaged or of a build that rouse does not "
                               "know yet");
        ret->activated = get(rec, l->device_activated, 1);
        ret->status = (uint32_t)get(rec, l->device_status, 4);
        ret->interrupt_status = (uint32_t)get(rec, l->interrupt_status, 4);
        ret->device_features_sel = (uint32_t)get(rec, l->device_features_sel, 4);
        ret->driver_features_sel = (uint32_t)get(rec, l->driver_features_sel, 4);
        ret->queue_sel = (uint32_t)get(rec, l->queue_select, 2);
        ret->config_generation = (uint32_t)get(rec, l->config_generation, 1);
        ret_more->queue_num = get(rec, l->queue_num, 8);
        ret_more->queue_type = get(rec, l->queue_type, 2);
        return read_queues(rec, l, ret, ret_more, e);
}

/* --- devices --- */

enum device_field { DEVICE_FEATURES, DRIVER_FEATURES, CONFIG_SPACE, BROKEN, DEVICE_FIELDS };
#define FIELDS(config)                                    \
        {                                                 \
                [DEVICE_FEATURES] = { "device_features", 8 }, \
                [DRIVER_FEATURES] = { "driver_features", 8 }, \
                [CONFIG_SPACE]    = { "config_space", config }, \
                [BROKEN]          = { "broken", 1 },          \
        }
static const struct sv_field block_fields[DEVICE_FIELDS]   = FIELDS(sizeof(struct sv2_block_config));
static const struct sv_field net_fields[DEVICE_FIELDS]     = FIELDS(sizeof(struct sv2_net_config));
static const struct sv_field console_fields[DEVICE_FIELDS] = FIELDS(sizeof(struct sv2_console_config)); /* it has no `broken` */

/* The features, and the configuration into ret_config. nr: CONFIG_SPACE + 1 for a record without `broken`. */
static int read_device(const struct sv_descs *descs, const struct sv_record *rec, const struct sv_field *fields, size_t nr,
                       struct virtio_state *v, void *ret_config, struct err *e)
{
        uint32_t at[SV_FIELDS_MAX];
        int      r = sv_fields_locate(descs, rec->desc, fields, nr, at, e);

        if (r == 0 && nr > BROKEN)
                r = sv_bool_read(rec, "broken", at[BROKEN], &v->broken, e);
        if (r < 0)
                return r;
        memcpy(&v->device_features, rec->body + at[DEVICE_FEATURES], 8);
        memcpy(&v->driver_features, rec->body + at[DRIVER_FEATURES], 8);
        memcpy(ret_config, rec->body + at[CONFIG_SPACE], fields[CONFIG_SPACE].size_bytes);
        return 0;
}

static int read_block(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        struct sv2_block_config c;
        int                     r = read_device(descs, rec, block_fields, DEVICE_FIELDS, ret, &c, e);

        if (r < 0)
                return r;
        if (c.capacity > UINT64_MAX / 512)
                return err_bad(e, "state", rec->offset_bytes, "disk: expected at most %" PRIu64 " sectors, found "
                               "%" PRIu64 SV_DAMAGED, UINT64_MAX / 512, c.capacity);
        ret->u.blk = (struct virtio_blk_state){
                .capacity_sectors         = c.capacity,
                .seg_max                  = c.seg_max,
                .blk_size                 = c.blk_size,
                .max_discard_sectors      = c.max_discard_sectors,
                .max_discard_seg          = c.max_discard_seg,
                .discard_sector_alignment = c.discard_sector_alignment,
                .max_write_zeroes_sectors = c.max_write_zeroes_sectors,
                .max_write_zeroes_seg     = c.max_write_zeroes_seg,
                .write_zeroes_may_unmap   = c.write_zeroes_may_unmap,
                .wce                      = c.wce,
                .num_queues               = c.num_queues,
        };
        return 0;
}

/* Its receive filters are not in the file; a card starts promiscuous, so that none is lost to the guest. */
static int read_net(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        struct sv2_net_config c;
        int                   r = read_device(descs, rec, net_fields, DEVICE_FIELDS, ret, &c, e);

        if (r < 0)
                return r;
        ret->u.net = (struct virtio_net_state){ .status = c.status, .max_pairs = c.max_virtqueue_pairs, .mtu = c.mtu };
        memcpy(ret->u.net.mac, c.mac, sizeof(c.mac));
        return 0;
}

/* Which ports are open is not in the file. Taken for open: what is sent to one that is not, the guest's driver drops, while one
 * that is taken for closed would be dead until the guest opens it again. */
static int read_console(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        struct sv2_console_config c;
        int                       r = read_device(descs, rec, console_fields, BROKEN, ret, &c, e);

        if (r < 0)
                return r;
        ret->u.console = (struct virtio_console_state){ .cols = c.cols, .rows = c.rows, .max_ports = c.max_nr_ports };
        for (uint32_t i = 0; ret->activated && i < MIN(c.max_nr_ports, (uint32_t)VIRTIO_CONSOLE_PORTS_MAX); i++)
                ret->u.console.ports[i] = (struct virtio_console_port_state){ .guest_connected = true, .host_connected = true };
        return 0;
}

const struct sv_generation sv_generation_2 = {
        .number          = 2,
        .record_bytes    = SV2_RECORD_BYTES,
        .topology_bytes  = 4,
        .read_transport  = read_transport,
        .read_block      = read_block,
        .read_net        = read_net,
        .read_optional   = { [SV_VSOCK] = sv_vsock_read, [SV_CONSOLE] = read_console, [SV_RNG] = sv_rng_read },
        .read_ram        = sv2_ram_read,
        .check_after_ram = sv2_end_check,
};
