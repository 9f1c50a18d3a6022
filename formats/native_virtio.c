/* formats/native_virtio.c: a virtio device's record to the bytes of its section device.N.virtio, and back: checked one by one, as
 * nothing that stands in a file may be believed. */
#include "core/base/units.h"
#include "formats/native_sections.h"

#include <inttypes.h>
#include <string.h>

#define DAMAGED "; the file is damaged, use another copy"

/* What a kind adds at the section's end. */
union kind_part {
        struct native_blk     blk;
        struct native_net     net;
        struct native_console console;
        struct native_balloon balloon;
        struct native_vsock   vsock;
};

static const struct {
        enum virtio_kind kind;
        uint16_t         bytes; /* of its part */
} kinds[] = {
        { VIRTIO_NET, sizeof(struct native_net) },         { VIRTIO_BLK, sizeof(struct native_blk) },
        { VIRTIO_CONSOLE, sizeof(struct native_console) }, { VIRTIO_RNG, 0 },
        { VIRTIO_BALLOON, sizeof(struct native_balloon) }, { VIRTIO_VSOCK, sizeof(struct native_vsock) },
};

static bool kind_bytes(uint32_t kind, uint16_t *ret)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (kinds[i].kind == kind) {
                        *ret = kinds[i].bytes;
                        return true;
                }
        return false;
}

/* --- what a record may say, written or read --- */

static bool is_power_of_two_or_0(uint16_t n)
{
        return !(n & (n - 1));
}

/* NULL: nothing is wrong with it. Else what was expected. The size of a queue that is not in use is whatever the guest wrote: it
 * must not keep a machine from being saved, and is looked at when the queue starts. */
static const char *queue_trouble(const struct virtqueue_state *q, bool in_use)
{
        if (!is_power_of_two_or_0(q->max_size) || q->max_size > VIRTIO_QUEUE_SIZE_MAX)
                return "max_size 0 or a power of two up to 1024";
        if (in_use && (!is_power_of_two_or_0(q->size) || q->size > q->max_size))
                return "queues in use whose size is 0 or a power of two up to max_size";
        return NULL;
}

static const char *kind_trouble(const struct virtio_state *v)
{
        switch (v->kind) {
        case VIRTIO_BLK:
                return v->u.blk.capacity_sectors > UINT64_MAX / 512 ? "a capacity below 2^64 bytes" : NULL;
        case VIRTIO_NET:
                if (v->u.net.nr_uni > VIRTIO_NET_MACS_MAX || v->u.net.nr_multi > VIRTIO_NET_MACS_MAX)
                        return "at most 64 addresses in a filter";
                return NULL;
        case VIRTIO_CONSOLE:
                return v->u.console.max_ports > VIRTIO_CONSOLE_PORTS_MAX ? "at most 31 ports" : NULL;
        case VIRTIO_VSOCK:
                return v->u.vsock.guest_cid > UINT32_MAX ? "a CID of 32 bits" : NULL;
        case VIRTIO_RNG:
        case VIRTIO_BALLOON:
                return NULL;
        case VIRTIO_NONE:
                break;
        }
        return "a device of a known kind";
}

const char *native_virtio_trouble(const struct virtio_state *v)
{
        const char *what = NULL;

        if (v->slot >= DEVICE_CONFIGS_MAX && v->slot != VIRTIO_SLOT_UNKNOWN)
                return "a slot from 0 to 10, or none";
        if (v->nr_queues > VIRTIO_QUEUES_MAX)
                return "at most 64 queues";
        for (unsigned int i = 0; !what && i < v->nr_queues; i++)
                what = queue_trouble(&v->queues[i], v->activated && !v->broken && v->queues[i].ready);
        return what ? what : kind_trouble(v);
}

/* --- writing --- */

static void put_net(const struct virtio_net_state *s, struct native_net *n)
{
        *n = (struct native_net){
                .status = s->status, .max_pairs = s->max_pairs, .mtu = s->mtu,
                .has_filters = s->has_filters, .promisc = s->promisc, .allmulti = s->allmulti, .alluni = s->alluni,
                .nomulti = s->nomulti, .nouni = s->nouni, .nobcast = s->nobcast,
                .uni_overflow = s->uni_overflow, .multi_overflow = s->multi_overflow,
                .nr_uni = s->nr_uni, .nr_multi = s->nr_multi,
        };
        memcpy(n->mac, s->mac, sizeof(n->mac));
        memcpy(n->uni, s->uni, s->nr_uni * sizeof(n->uni[0]));
        memcpy(n->multi, s->multi, s->nr_multi * sizeof(n->multi[0]));
        memcpy(n->vlans, s->vlans, sizeof(n->vlans));
}

static void put_kind(const struct virtio_state *v, union kind_part *k)
{
        const struct virtio_blk_state *b = &v->u.blk;

        switch (v->kind) {
        case VIRTIO_BLK:
                k->blk = (struct native_blk){
                        .capacity_sectors = b->capacity_sectors, .seg_max = b->seg_max, .blk_size = b->blk_size,
                        .max_discard_sectors = b->max_discard_sectors, .max_discard_seg = b->max_discard_seg,
                        .discard_sector_alignment = b->discard_sector_alignment,
                        .max_write_zeroes_sectors = b->max_write_zeroes_sectors, .max_write_zeroes_seg = b->max_write_zeroes_seg,
                        .num_queues = b->num_queues, .write_zeroes_may_unmap = b->write_zeroes_may_unmap, .wce = b->wce,
                };
                break;
        case VIRTIO_NET:
                put_net(&v->u.net, &k->net);
                break;
        case VIRTIO_CONSOLE:
                k->console = (struct native_console){ .cols = v->u.console.cols, .rows = v->u.console.rows,
                                                      .max_ports = v->u.console.max_ports };
                for (uint32_t i = 0; i < v->u.console.max_ports; i++)
                        k->console.ports[i] = (struct native_port){ v->u.console.ports[i].guest_connected,
                                                                    v->u.console.ports[i].host_connected };
                break;
        case VIRTIO_BALLOON:
                k->balloon = (struct native_balloon){ v->u.balloon.num_pages, v->u.balloon.actual };
                break;
        case VIRTIO_VSOCK:
                k->vsock = (struct native_vsock){ v->u.vsock.guest_cid };
                break;
        case VIRTIO_RNG:
        case VIRTIO_NONE:
                break;
        }
}

/* v has no trouble. */
void native_virtio_add(struct section_out *out, uint32_t i, const struct device_record *d)
{
        const struct virtio_state *v = &d->u.virtio;
        struct native_virtio       n = {
                      .kind = v->kind, .slot = v->slot,
                      .device_features = v->device_features, .driver_features = v->driver_features,
                      .status = v->status, .interrupt_status = v->interrupt_status, .device_features_sel = v->device_features_sel,
                      .driver_features_sel = v->driver_features_sel, .queue_sel = v->queue_sel,
                      .config_generation = v->config_generation, .no_transport = v->no_transport, .activated = v->activated,
                      .broken = v->broken, .nr_queues = v->nr_queues,
        };
        struct {
                struct native_virtqueue queues[VIRTIO_QUEUES_MAX];
                union kind_part         kind;
        } tail;
        char   name[NATIVE_NAME_MAX];
        size_t queue_bytes = v->nr_queues * sizeof(tail.queues[0]);

        memset(&tail, 0, sizeof(tail));
        memcpy(n.id, d->id, strnlen(d->id, sizeof(n.id) - 1));
        kind_bytes(v->kind, &n.kind_bytes);
        for (unsigned int q = 0; q < v->nr_queues; q++) {
                const struct virtqueue_state *s = &v->queues[q];

                tail.queues[q] = (struct native_virtqueue){
                        .desc_gpa = s->desc_gpa, .avail_gpa = s->avail_gpa, .used_gpa = s->used_gpa,
                        .size = s->size, .max_size = s->max_size, .next_avail = s->next_avail, .next_used = s->next_used,
                        .ready = s->ready,
                };
        }
        put_kind(v, &tail.kind);
        /* the kind's part follows the queues that there are */
        memmove((uint8_t *)&tail + queue_bytes, &tail.kind, n.kind_bytes);
        native_device_section(name, i, "virtio");
        section_out_add(out, name, &n, sizeof(n), &tail, queue_bytes + n.kind_bytes);
}

/* --- reading --- */

static int bad(const struct sections *in, const struct section *s, uint64_t at, const char *expected, uint64_t found,
               struct err *e)
{
        return err_bad(e, in->file, s->offset_bytes + at, "section %.31s: expected %s, found %" PRIu64 DAMAGED, s->name, expected,
                       found);
}

/* Bytes that are 0 or 1. */
static int check_bools(const struct sections *in, const struct section *s, const uint8_t *p, size_t nr, struct err *e)
{
        for (size_t i = 0; i < nr; i++)
                if (p[i] > 1)
                        return bad(in, s, 0, "flags that are 0 or 1", p[i], e);
        return 0;
}

/* What only a newer rouse gives a meaning. */
static int check_zeros(const struct sections *in, const struct section *s, const uint8_t *p, size_t nr, struct err *e)
{
        for (size_t i = 0; i < nr; i++)
                if (p[i])
                        return err_bad(e, in->file, s->offset_bytes, "section %.31s: expected zeros in what is reserved, found "
                                       "%#x; a newer rouse may read it", s->name, p[i]);
        return 0;
}

static int check_head(const struct sections *in, const struct section *s, const struct native_virtio *n, struct err *e)
{
        const uint8_t flags[] = { n->no_transport, n->activated, n->broken };
        uint16_t      bytes;
        int           r;

        if (!kind_bytes(n->kind, &bytes))
                return err_bad(e, in->file, s->offset_bytes + offsetof(struct native_virtio, kind), "section %.31s: expected a "
                               "device of a known kind, found kind %u; a newer rouse may read it", s->name, n->kind);
        if (n->nr_queues > VIRTIO_QUEUES_MAX)
                return bad(in, s, offsetof(struct native_virtio, nr_queues), "at most 64 queues", n->nr_queues, e);
        if (n->kind_bytes != bytes || s->len != sizeof(*n) + n->nr_queues * sizeof(struct native_virtqueue) + bytes)
                return err_bad(e, in->file, s->offset_bytes, "section %.31s: expected %u queues and %u bytes of a %s device, "
                               "found %u bytes in a section of %" PRIu64 DAMAGED, s->name, n->nr_queues, bytes,
                               virtio_kind_name(n->kind), n->kind_bytes, s->len);
        if (!native_id_is_good(n->id))
                return err_bad(e, in->file, s->offset_bytes, "section %.31s: expected a name that is a word or none, found other "
                               "bytes" DAMAGED, s->name);
        r = check_zeros(in, s, &n->reserved, sizeof(n->reserved), e);
        return r < 0 ? r : check_bools(in, s, flags, sizeof(flags), e);
}

static int read_queues(const struct sections *in, const struct section *s, struct virtio_state *v, struct err *e)
{
        for (unsigned int i = 0; i < v->nr_queues; i++) {
                struct native_virtqueue n;
                uint64_t                at = sizeof(struct native_virtio) + i * sizeof(n);
                int                     r;

                memcpy(&n, s->bytes + at, sizeof(n));
                r = check_zeros(in, s, n.reserved, sizeof(n.reserved), e);
                if (r < 0)
                        return r;
                if (n.ready > 1)
                        return bad(in, s, at + offsetof(struct native_virtqueue, ready), "ready 0 or 1", n.ready, e);
                v->queues[i] = (struct virtqueue_state){ .desc_gpa = n.desc_gpa, .avail_gpa = n.avail_gpa, .used_gpa = n.used_gpa,
                                                         .size = n.size, .max_size = n.max_size, .next_avail = n.next_avail,
                                                         .next_used = n.next_used, .ready = n.ready };
        }
        return 0;
}

static int take_net(const struct sections *in, const struct section *s, const struct native_net *n, struct virtio_net_state *ret,
                    struct err *e)
{
        const size_t flags = offsetof(struct native_net, has_filters);
        int          r = check_bools(in, s, (const uint8_t *)n + flags, offsetof(struct native_net, reserved) - flags, e);

        r = r < 0 ? r : check_zeros(in, s, n->reserved, sizeof(n->reserved), e);
        if (r < 0)
                return r;
        *ret = (struct virtio_net_state){
                .status = n->status, .max_pairs = n->max_pairs, .mtu = n->mtu,
                .has_filters = n->has_filters, .promisc = n->promisc, .allmulti = n->allmulti, .alluni = n->alluni,
                .nomulti = n->nomulti, .nouni = n->nouni, .nobcast = n->nobcast,
                .uni_overflow = n->uni_overflow, .multi_overflow = n->multi_overflow,
                .nr_uni = n->nr_uni, .nr_multi = n->nr_multi,
        };
        memcpy(ret->mac, n->mac, sizeof(n->mac));
        memcpy(ret->uni, n->uni, sizeof(n->uni));
        memcpy(ret->multi, n->multi, sizeof(n->multi));
        memcpy(ret->vlans, n->vlans, sizeof(n->vlans));
        return 0;
}

static int take_kind(const struct sections *in, const struct section *s, const union kind_part *k, struct virtio_state *v,
                     struct err *e)
{
        const struct native_blk *b = &k->blk;
        int                      r = 0;

        switch (v->kind) {
        case VIRTIO_BLK:
                v->u.blk = (struct virtio_blk_state){
                        .capacity_sectors = b->capacity_sectors, .seg_max = b->seg_max, .blk_size = b->blk_size,
                        .max_discard_sectors = b->max_discard_sectors, .max_discard_seg = b->max_discard_seg,
                        .discard_sector_alignment = b->discard_sector_alignment,
                        .max_write_zeroes_sectors = b->max_write_zeroes_sectors, .max_write_zeroes_seg = b->max_write_zeroes_seg,
                        .num_queues = b->num_queues, .write_zeroes_may_unmap = b->write_zeroes_may_unmap, .wce = b->wce,
                };
                break;
        case VIRTIO_NET:
                r = take_net(in, s, &k->net, &v->u.net, e);
                break;
        case VIRTIO_CONSOLE:
                r = check_bools(in, s, (const uint8_t *)k->console.ports, sizeof(k->console.ports), e);
                r = r < 0 ? r : check_zeros(in, s, k->console.reserved, sizeof(k->console.reserved), e);
                v->u.console = (struct virtio_console_state){ .cols = k->console.cols, .rows = k->console.rows,
                                                              .max_ports = k->console.max_ports };
                for (unsigned int i = 0; i < VIRTIO_CONSOLE_PORTS_MAX; i++)
                        v->u.console.ports[i] = (struct virtio_console_port_state){ k->console.ports[i].guest_connected == 1,
                                                                                    k->console.ports[i].host_connected == 1 };
                break;
        case VIRTIO_BALLOON:
                v->u.balloon = (struct virtio_balloon_state){ k->balloon.num_pages, k->balloon.actual };
                break;
        case VIRTIO_VSOCK:
                v->u.vsock = (struct virtio_vsock_state){ k->vsock.guest_cid };
                break;
        case VIRTIO_RNG:
        case VIRTIO_NONE:
                break;
        }
        return r;
}

int native_virtio_read(const struct sections *in, const struct section *s, struct device_record *ret, struct err *e)
{
        struct virtio_state *v = &ret->u.virtio;
        struct native_virtio n;
        union kind_part      k = { 0 };
        const char          *trouble;
        int                  r;

        if (s->len < sizeof(n))
                return bad(in, s, 0, "the registers of a device", s->len, e);
        memcpy(&n, s->bytes, sizeof(n));
        r = check_head(in, s, &n, e);
        if (r < 0)
                return r;
        memcpy(&k, s->bytes + s->len - n.kind_bytes, n.kind_bytes);
        memcpy(ret->id, n.id, sizeof(ret->id));
        *v = (struct virtio_state){
                .kind = n.kind, .slot = n.slot, .device_features = n.device_features, .driver_features = n.driver_features,
                .status = n.status, .interrupt_status = n.interrupt_status, .device_features_sel = n.device_features_sel,
                .driver_features_sel = n.driver_features_sel, .queue_sel = n.queue_sel, .config_generation = n.config_generation,
                .no_transport = n.no_transport, .activated = n.activated, .broken = n.broken, .nr_queues = n.nr_queues,
        };
        r = read_queues(in, s, v, e);
        r = r < 0 ? r : take_kind(in, s, &k, v, e);
        if (r < 0)
                return r;
        trouble = native_virtio_trouble(v);
        if (trouble)
                return err_bad(e, in->file, s->offset_bytes, "section %.31s: expected %s, found something else" DAMAGED, s->name,
                               trouble);
        return 0;
}
