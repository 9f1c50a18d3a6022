/* formats/stratovirt_g3_virtio.c: virtio records of generation 3, whose bodies are JSON. */
#include "core/base/units.h"
#include "formats/stratovirt.h"
#include "formats/stratovirt_g3.h"

#include <inttypes.h>
#include <string.h>

static struct json_place place_of(const struct sv_record *rec)
{
        return (struct json_place){ "state", (const char *)rec->body, rec->offset_bytes };
}

static int read_body(const struct sv_record *rec, const struct json_field *fields, size_t nr, void *ret, struct err *e)
{
        struct json_place at = place_of(rec);

        return json_read(&at, (struct json_span){ at.text, rec->len }, fields, nr, ret, e);
}

static int broken_list(const struct json_place *at, const char *p, const char *what, struct err *e)
{
        return err_bad(e, at->file, json_offset(at, p), "expected %s, found other text" SV_DAMAGED, what);
}

/* --- transports --- */

/* The body is an object of one member, of which StratoVirt writes no blank: what stands between is taken for its value at once,
 * and json_read sees where it is not. Skipping to its end first would go over 15 KB of filler once more. */
static int unwrap(const struct sv_record *rec, struct json_span *ret, struct err *e)
{
        static const char              head[] = "{\"virtio_base\":";
        static const struct json_field wrapper[] = { { "virtio_base", JSON_OBJECT, 0, 0 } };
        const size_t                   head_len = sizeof(head) - 1;

        if (rec->len <= head_len || memcmp(rec->body, head, head_len) != 0 || rec->body[rec->len - 1] != '}')
                return read_body(rec, wrapper, 1, ret, e);
        *ret = (struct json_span){ (const char *)rec->body + head_len, rec->len - head_len - 1 };
        return 0;
}

struct base_json {
        bool             device_activated;
        uint64_t         hfeatures_sel, gfeatures_sel, interrupt_status, device_status, config_generation, queue_select;
        struct json_span queues_config;
        uint64_t         queue_num, queue_type;
};

#define BASE(member, type, limit) { #member, type, offsetof(struct base_json, member), limit }
static const struct json_field base_fields[] = {
        BASE(device_activated, JSON_BOOL, 0),
        BASE(hfeatures_sel, JSON_U64, UINT32_MAX),
        BASE(gfeatures_sel, JSON_U64, UINT32_MAX),
        BASE(interrupt_status, JSON_U64, UINT32_MAX),
        BASE(device_status, JSON_U64, UINT32_MAX),
        BASE(config_generation, JSON_U64, UINT8_MAX),
        BASE(queue_select, JSON_U64, UINT16_MAX),
        BASE(queues_config, JSON_ARRAY, 0),
        BASE(queue_num, JSON_U64, UINT16_MAX),
        BASE(queue_type, JSON_U64, UINT16_MAX),
};

struct queue_json {
        uint64_t desc_table, avail_ring, used_ring, max_size, size, next_avail, next_used;
        bool     ready;
};

#define QUEUE(member, type, limit) { #member, type, offsetof(struct queue_json, member), limit }
static const struct json_field queue_fields[] = {
        QUEUE(desc_table, JSON_U64, UINT64_MAX),
        QUEUE(avail_ring, JSON_U64, UINT64_MAX),
        QUEUE(used_ring, JSON_U64, UINT64_MAX),
        QUEUE(max_size, JSON_U64, UINT16_MAX),
        QUEUE(size, JSON_U64, UINT16_MAX),
        QUEUE(ready, JSON_BOOL, 0),
        QUEUE(next_avail, JSON_U64, UINT16_MAX),
        QUEUE(next_used, JSON_U64, UINT16_MAX),
};

/* There are always 64 in the file; those that the device does not have are zeros, and nobody looks past the first of them: it is
 * 15 KB of filler for each device. */
static int read_queues(const struct json_place *at, struct json_span list, struct virtio_state *ret,
                       struct sv_transport *ret_more, struct err *e)
{
        struct json_walk w;
        struct json_span element;
        int              more = 0;

        if (!json_walk_begin(list, '[', &w))
                return broken_list(at, list.p, "a list of queues", e);
        ret->nr_queues = 0;
        while (ret->nr_queues < VIRTIO_QUEUES_MAX && (more = json_walk_next(&w, NULL, &element)) > 0) {
                struct queue_json q;
                int               r = json_read(at, element, queue_fields, ARRAY_LEN(queue_fields), &q, e);

                if (r < 0)
                        return r;
                if (!q.max_size)
                        return 0;
                ret_more->queue_offset_bytes[ret->nr_queues] = json_offset(at, element.p);
                ret->queues[ret->nr_queues++] = (struct virtqueue_state){
                        .desc_gpa   = q.desc_table,
                        .avail_gpa  = q.avail_ring,
                        .used_gpa   = q.used_ring,
                        .size       = (uint16_t)q.size,
                        .max_size   = (uint16_t)q.max_size,
                        .next_avail = (uint16_t)q.next_avail,
                        .next_used  = (uint16_t)q.next_used,
                        .ready      = q.ready,
                };
        }
        return more < 0 ? broken_list(at, w.rest.p, "a queue", e) : 0;
}

static int read_transport(const struct sv_records *all, const struct sv_record *rec, struct virtio_state *ret,
                          struct sv_transport *ret_more, struct err *e)
{
        struct json_place at = place_of(rec);
        struct json_span  base;
        struct base_json  b;
        int               r = unwrap(rec, &base, e);

        (void)all;
        r = r < 0 ? r : json_read(&at, base, base_fields, ARRAY_LEN(base_fields), &b, e);
        if (r < 0)
                return r;
        ret->activated = b.device_activated;
        ret->status = (uint32_t)b.device_status;
        ret->interrupt_status = (uint32_t)b.interrupt_status;
        ret->device_features_sel = (uint32_t)b.hfeatures_sel;
        ret->driver_features_sel = (uint32_t)b.gfeatures_sel;
        ret->queue_sel = (uint32_t)b.queue_select;
        ret->config_generation = (uint32_t)b.config_generation;
        ret_more->queue_num = b.queue_num;
        ret_more->queue_type = b.queue_type;
        return read_queues(&at, b.queues_config, ret, ret_more, e);
}

/* --- devices --- */

struct device_json {
        uint64_t         device_features, driver_features;
        bool             broken;
        struct json_span config_space, more; /* more: what only this kind has */
        uint64_t         num_pages, actual;  /* of a balloon */
};

#define DEVICE(name, member, type, limit) { name, type, offsetof(struct device_json, member), limit }
#define FEATURES                                                          \
        DEVICE("device_features", device_features, JSON_U64, UINT64_MAX), \
        DEVICE("driver_features", driver_features, JSON_U64, UINT64_MAX)
#define CONFIG DEVICE("broken", broken, JSON_BOOL, 0), DEVICE("config_space", config_space, JSON_OBJECT, 0)

static const struct json_field block_fields[]   = { FEATURES, CONFIG };
static const struct json_field net_fields[]     = { FEATURES, CONFIG, DEVICE("ctrl_info", more, JSON_ANY, 0) };
static const struct json_field console_fields[] = { FEATURES, CONFIG, DEVICE("port_state", more, JSON_ARRAY, 0) };
static const struct json_field balloon_fields[] = {
        FEATURES,
        DEVICE("num_pages", num_pages, JSON_U64, UINT32_MAX),
        DEVICE("actual", actual, JSON_U64, UINT32_MAX),
};

static int read_device(const struct sv_record *rec, const struct json_field *fields, size_t nr, struct device_json *ret,
                       struct virtio_state *v, struct err *e)
{
        int r = read_body(rec, fields, nr, ret, e);

        if (r < 0)
                return r;
        v->device_features = ret->device_features;
        v->driver_features = ret->driver_features;
        v->broken = ret->broken;
        return 0;
}

struct block_json {
        uint64_t capacity, seg_max, blk_size, wce, num_queues, max_discard_sectors, max_discard_seg, discard_sector_alignment,
        max_write_zeroes_sectors, max_write_zeroes_seg, write_zeroes_may_unmap;
};

#define BLOCK(member, limit) { #member, JSON_U64, offsetof(struct block_json, member), limit }
static const struct json_field block_config_fields[] = {
        BLOCK(capacity, UINT64_MAX / 512),
        BLOCK(seg_max, UINT32_MAX),
        BLOCK(blk_size, UINT32_MAX),
        BLOCK(wce, UINT8_MAX),
        BLOCK(num_queues, UINT16_MAX),
        BLOCK(max_discard_sectors, UINT32_MAX),
        BLOCK(max_discard_seg, UINT32_MAX),
        BLOCK(discard_sector_alignment, UINT32_MAX),
        BLOCK(max_write_zeroes_sectors, UINT32_MAX),
        BLOCK(max_write_zeroes_seg, UINT32_MAX),
        BLOCK(write_zeroes_may_unmap, UINT8_MAX),
};

static int read_block(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        struct json_place  at = place_of(rec);
        struct device_json d = { 0 };
        struct block_json  b;
        int                r = read_device(rec, block_fields, ARRAY_LEN(block_fields), &d, ret, e);

        (void)descs;
        r = r < 0 ? r : json_read(&at, d.config_space, block_config_fields, ARRAY_LEN(block_config_fields), &b, e);
        if (r < 0)
                return r;
        ret->u.blk = (struct virtio_blk_state){
                .capacity_sectors         = b.capacity,
                .seg_max                  = (uint32_t)b.seg_max,
                .blk_size                 = (uint32_t)b.blk_size,
                .max_discard_sectors      = (uint32_t)b.max_discard_sectors,
                .max_discard_seg          = (uint32_t)b.max_discard_seg,
                .discard_sector_alignment = (uint32_t)b.discard_sector_alignment,
                .max_write_zeroes_sectors = (uint32_t)b.max_write_zeroes_sectors,
                .max_write_zeroes_seg     = (uint32_t)b.max_write_zeroes_seg,
                .write_zeroes_may_unmap   = (uint8_t)b.write_zeroes_may_unmap,
                .wce                      = (uint8_t)b.wce,
                .num_queues               = (uint16_t)b.num_queues,
        };
        return 0;
}

struct net_json {
        uint8_t  mac[6];
        uint64_t status, max_virtqueue_pairs, mtu;
};

#define NET(member, type, limit) { #member, type, offsetof(struct net_json, member), limit }
static const struct json_field net_config_fields[] = {
        NET(mac, JSON_BYTES, 6),
        NET(status, JSON_U64, UINT16_MAX),
        NET(max_virtqueue_pairs, JSON_U64, UINT16_MAX),
        NET(mtu, JSON_U64, UINT16_MAX),
};

static int read_net(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        struct json_place  at = place_of(rec);
        struct device_json d = { 0 };
        struct net_json    n;
        int                r = read_device(rec, net_fields, ARRAY_LEN(net_fields), &d, ret, e);

        (void)descs;
        r = r < 0 ? r : json_read(&at, d.config_space, net_config_fields, ARRAY_LEN(net_config_fields), &n, e);
        if (r < 0)
                return r;
        ret->u.net = (struct virtio_net_state){
                .status    = (uint16_t)n.status,
                .max_pairs = (uint16_t)n.max_virtqueue_pairs,
                .mtu       = (uint16_t)n.mtu,
        };
        memcpy(ret->u.net.mac, n.mac, sizeof(n.mac));
        return json_span_is(d.more, "null") ? 0 : sv3_filters_read(&at, d.more, &ret->u.net, e);
}

struct console_json {
        uint64_t cols, rows, max_nr_ports;
};

#define CONSOLE(member, limit) { #member, JSON_U64, offsetof(struct console_json, member), limit }
static const struct json_field console_config_fields[] = {
        CONSOLE(cols, UINT16_MAX),
        CONSOLE(rows, UINT16_MAX),
        CONSOLE(max_nr_ports, VIRTIO_CONSOLE_PORTS_MAX),
};

struct port_json {
        uint64_t nr;
        bool     guest_connected, host_connected;
};

#define PORT(member, type, limit) { #member, type, offsetof(struct port_json, member), limit }
static const struct json_field port_fields[] = {
        PORT(nr, JSON_U64, VIRTIO_CONSOLE_PORTS_MAX - 1),
        PORT(guest_connected, JSON_BOOL, 0),
        PORT(host_connected, JSON_BOOL, 0),
};

/* In any order; a port that has nothing behind it is not listed. */
static int read_ports(const struct json_place *at, struct json_span list, struct virtio_console_state *ret, struct err *e)
{
        struct json_walk w;
        struct json_span element;
        struct port_json p;
        int              more, r;

        if (!json_walk_begin(list, '[', &w))
                return broken_list(at, list.p, "a list of ports", e);
        while ((more = json_walk_next(&w, NULL, &element)) > 0) {
                r = json_read(at, element, port_fields, ARRAY_LEN(port_fields), &p, e);
                if (r < 0)
                        return r;
                if (p.nr >= ret->max_ports)
                        return err_bad(e, at->file, json_offset(at, element.p), "console: expected ports below %u, found port "
                                       "%" PRIu64 SV_DAMAGED, ret->max_ports, p.nr);
                ret->ports[p.nr] = (struct virtio_console_port_state){ p.guest_connected, p.host_connected };
        }
        return more < 0 ? broken_list(at, w.rest.p, "a port", e) : 0;
}

static int read_console(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        struct json_place   at = place_of(rec);
        struct device_json  d = { 0 };
        struct console_json c;
        int                 r = read_device(rec, console_fields, ARRAY_LEN(console_fields), &d, ret, e);

        (void)descs;
        r = r < 0 ? r : json_read(&at, d.config_space, console_config_fields, ARRAY_LEN(console_config_fields), &c, e);
        if (r < 0)
                return r;
        ret->u.console = (struct virtio_console_state){
                .cols = (uint16_t)c.cols, .rows = (uint16_t)c.rows, .max_ports = (uint32_t)c.max_nr_ports,
        };
        return read_ports(&at, d.more, &ret->u.console, e);
}

static int read_balloon(const struct sv_descs *descs, const struct sv_record *rec, struct virtio_state *ret, struct err *e)
{
        struct device_json d = { 0 };
        int                r = read_device(rec, balloon_fields, ARRAY_LEN(balloon_fields), &d, ret, e);

        (void)descs;
        if (r < 0)
                return r;
        ret->u.balloon = (struct virtio_balloon_state){ .num_pages = (uint32_t)d.num_pages, .actual = (uint32_t)d.actual };
        return 0;
}

const struct sv_generation sv_generation_3 = {
        .number          = 3,
        .record_bytes    = SV_RECORD_BYTES,
        .topology_bytes  = 1,
        .u8_offsets      = true,
        .json            = true,
        .read_transport  = read_transport,
        .read_block      = read_block,
        .read_net        = read_net,
        .read_optional   = {
                [SV_VSOCK] = sv_vsock_read, [SV_CONSOLE] = read_console, [SV_RNG] = sv_rng_read, [SV_BALLOON] = read_balloon,
        },
        .read_ram        = sv3_ram_read,
        .check_after_ram = sv3_trailer_check,
};
