/* formats/stratovirt_write_virtio.c: virtio devices as StratoVirt's records: their transports and their kinds, in compact JSON
 * whose keys stand in the order that StratoVirt writes them in. */
#include "formats/stratovirt_write.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NO_VECTOR 65535 /* interrupts without MSI-X */

/* What StratoVirt 2.5.0 gives a slot that nobody uses. */
#define BLK_FEATURES 0x130000204ULL /* VERSION_1, EVENT_IDX, INDIRECT_DESC, FLUSH, SEG_MAX */
#define NET_FEATURES 0x1309f5da3ULL /* all but UFO that a tap may lack, and what is below; stratovirt.md 2.5 */
#define BLK_SEG_MAX  254
#define QUEUE_SIZE   256
#define NET_QUEUES   3
#define NET_LINK_UP  1

/* Its card in slot N has the MAC 52:54:00:12:34:56 + (N - 4) */
static const uint8_t mac_prefix[5] = { 0x52, 0x54, 0x00, 0x12, 0x34 };
#define MAC_FIRST 0x56

static const struct sv_write_optional optional[] = {
        { VIRTIO_CONSOLE, "VirtioSerialState", "console0", "virtio-serial-device", true },
        { VIRTIO_VSOCK, "VsockState", "vsock0", "vhost-vsock-device", true },
        { VIRTIO_RNG, "RngState", "rng0", "virtio-rng-device", false },
        { VIRTIO_BALLOON, "BalloonState", "balloon0", "virtio-balloon-device", false },
};

const char *sv_write_name(const struct device_record *d)
{
        return d->id[0] ? d->id : sv_write_optional(d->u.virtio.kind)->id;
}

const struct sv_write_optional *sv_write_optional(enum virtio_kind kind)
{
        for (size_t i = 0; i < ARRAY_LEN(optional); i++)
                if (optional[i].kind == kind)
                        return &optional[i];
        return NULL;
}

static const char *truth(bool b)
{
        return b ? "true" : "false";
}

/* --- the transport --- */

/* addr_cache holds addresses in the process that saved; StratoVirt finds its own anew when it restores. */
static void add_queue(struct byte_out *out, const struct virtqueue_state *q, uint16_t vector)
{
        uint16_t size = q->size ? q->size : q->max_size; /* a queue that nobody made has the size that it may have */

        byte_out_text(out, "{\"desc_table\":%" PRIu64 ",\"avail_ring\":%" PRIu64 ",\"used_ring\":%" PRIu64
                      ",\"addr_cache\":{\"desc_table_host\":0,\"avail_ring_host\":0,\"used_ring_host\":0}"
                      ",\"max_size\":%u,\"size\":%u,\"ready\":%s,\"vector\":%u,\"next_avail\":%u,\"next_used\":%u"
                      ",\"last_signal_used\":0,\"signal_used_valid\":false}",
                      q->desc_gpa, q->avail_gpa, q->used_gpa, q->max_size, size, truth(q->ready), vector, q->next_avail,
                      q->next_used);
}

/* Always as many queues as a device may have at most; those past its own are zeros. */
static void add_queues(struct byte_out *out, const struct virtio_state *v)
{
        static const struct virtqueue_state none;

        byte_out_text(out, "[");
        for (uint16_t i = 0; i < VIRTIO_QUEUES_MAX; i++) {
                bool real = i < v->nr_queues;

                byte_out_text(out, i ? "," : "");
                add_queue(out, real ? &v->queues[i] : &none, real ? NO_VECTOR : 0);
        }
        byte_out_text(out, "]");
}

static void write_transport(struct byte_out *out, const struct virtio_state *v, const char *instance)
{
        struct byte_out body = { 0 };

        byte_out_text(&body, "{\"virtio_base\":{\"device_activated\":%s,\"hfeatures_sel\":%u,\"gfeatures_sel\":%u"
                      ",\"interrupt_status\":%u,\"device_status\":%u"
                      ",\"config_generation\":%u,\"queue_select\":%u,\"config_vector\":%u,\"queues_config\":",
                      truth(v->activated), v->device_features_sel, v->driver_features_sel, v->interrupt_status, v->status,
                      v->config_generation & 0xff, MIN(v->queue_sel, UINT16_MAX), NO_VECTOR);
        add_queues(&body, v);
        byte_out_text(&body, ",\"queue_num\":%u,\"queue_type\":1}}", v->activated ? v->nr_queues : 0);
        sv_write_record(out, "VirtioMmioState", instance, body.bytes, body.len);
        out->failed = out->failed ? out->failed : body.failed;
        byte_out_free(&body);
}

/* --- kinds --- */

static void add_features(struct byte_out *out, const struct virtio_state *v)
{
        byte_out_text(out, "{\"device_features\":%" PRIu64 ",\"driver_features\":%" PRIu64, v->device_features,
                      v->driver_features);
}

static void add_blk(struct byte_out *out, const struct virtio_state *v)
{
        const struct virtio_blk_state *b = &v->u.blk;

        add_features(out, v);
        byte_out_text(out, ",\"config_space\":{\"capacity\":%" PRIu64 ",\"size_max\":0,\"seg_max\":%u"
                      ",\"geometry\":{\"cylinders\":0,\"heads\":0,\"sectors\":0},\"blk_size\":%u,\"physical_block_exp\":0"
                      ",\"alignment_offset\":0,\"min_io_size\":0,\"opt_io_size\":0,\"wce\":%u,\"unused\":0,\"num_queues\":%u",
                      b->capacity_sectors, b->seg_max, b->blk_size, b->wce, b->num_queues);
        byte_out_text(out, ",\"max_discard_sectors\":%u,\"max_discard_seg\":%u,\"discard_sector_alignment\":%u"
                      ",\"max_write_zeroes_sectors\":%u,\"max_write_zeroes_seg\":%u,\"write_zeroes_may_unmap\":%u"
                      ",\"unused1\":[0,0,0]},\"broken\":%s}",
                      b->max_discard_sectors, b->max_discard_seg, b->discard_sector_alignment, b->max_write_zeroes_sectors,
                      b->max_write_zeroes_seg, b->write_zeroes_may_unmap, truth(v->broken));
}

static void add_mac(struct byte_out *out, const uint8_t mac[6])
{
        byte_out_text(out, "[%u,%u,%u,%u,%u,%u]", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static void add_mac_table(struct byte_out *out, const char *name, const uint8_t (*macs)[6], uint16_t nr)
{
        byte_out_text(out, "\"%s\":[", name);
        for (int i = 0; i < MIN(nr, VIRTIO_NET_MACS_MAX); i++) {
                byte_out_text(out, "%s{\"address\":", i ? "," : "");
                add_mac(out, macs[i]);
                byte_out_text(out, "}");
        }
        byte_out_text(out, "]");
}

/* 32 of them in a number, under the number of the first one divided by 32; without those that are all off. */
static void add_vlans(struct byte_out *out, const struct virtio_net_state *n)
{
        bool first = true;

        byte_out_text(out, "\"vlan_map\":{");
        for (unsigned int i = 0; i < sizeof(n->vlans) / sizeof(uint32_t); i++) {
                uint32_t word;

                memcpy(&word, n->vlans + i * sizeof(word), sizeof(word));
                if (!word)
                        continue;
                byte_out_text(out, "%s\"%u\":%u", first ? "" : ",", i, le32toh(word));
                first = false;
        }
        byte_out_text(out, "}");
}

static void add_filters(struct byte_out *out, const struct virtio_net_state *n)
{
        if (!n->has_filters) {
                byte_out_text(out, "null");
                return;
        }
        byte_out_text(out, "{\"rx_mode\":{\"promisc\":%s,\"all_multi\":%s,\"all_uni\":%s,\"no_multi\":%s,\"no_uni\":%s"
                      ",\"no_bcast\":%s}",
                      truth(n->promisc), truth(n->allmulti), truth(n->alluni), truth(n->nomulti), truth(n->nouni),
                      truth(n->nobcast));
        byte_out_text(out, ",\"mac_info\":{");
        add_mac_table(out, "uni_mac_table", n->uni, n->nr_uni);
        byte_out_text(out, ",\"uni_mac_of\":%s,", truth(n->uni_overflow));
        add_mac_table(out, "multi_mac_table", n->multi, n->nr_multi);
        byte_out_text(out, ",\"multi_mac_of\":%s},", truth(n->multi_overflow));
        add_vlans(out, n);
        byte_out_text(out, "}");
}

/* Which last bytes of a MAC its process has given away, and how often: of use to that process only, and yet it wants one. */
static void add_used_macs(struct byte_out *out, const struct virtio_net_state *n)
{
        bool ours = !memcmp(n->mac, mac_prefix, sizeof(mac_prefix));

        byte_out_text(out, "\"used_mac\":[");
        for (unsigned int i = 0; i < 255; i++)
                byte_out_text(out, "%s%u", i ? "," : "", ours && n->mac[5] == i ? 1 : 0);
        byte_out_text(out, "]");
}

/* StratoVirt gives a card a link whether there is a tap or not. One that no driver has looked at gets it too, so that it has one
 * when it is restored with a tap. */
static uint16_t link_status(const struct virtio_state *v)
{
        return v->activated || v->status ? v->u.net.status : v->u.net.status | NET_LINK_UP;
}

static void add_net(struct byte_out *out, const struct virtio_state *v)
{
        const struct virtio_net_state *n = &v->u.net;

        add_features(out, v);
        byte_out_text(out, ",\"config_space\":{\"mac\":");
        add_mac(out, n->mac);
        byte_out_text(out, ",\"status\":%u,\"max_virtqueue_pairs\":%u,\"mtu\":%u,\"speed\":0,\"duplex\":0},\"broken\":%s"
                      ",\"ctrl_info\":",
                      link_status(v), n->max_pairs, n->mtu, truth(v->broken));
        add_filters(out, n);
        byte_out_text(out, ",");
        add_used_macs(out, n);
        byte_out_text(out, "}");
}

/* Port 0 is always there; of the others only those that somebody has opened matter. */
static void add_console(struct byte_out *out, const struct virtio_state *v)
{
        const struct virtio_console_state *c = &v->u.console;

        add_features(out, v);
        byte_out_text(out, ",\"config_space\":{\"cols\":%u,\"rows\":%u,\"max_nr_ports\":%u,\"emerg_wr\":0},\"port_state\":[",
                      c->cols, c->rows, c->max_ports);
        for (unsigned int i = 0; i < VIRTIO_CONSOLE_PORTS_MAX; i++) {
                const struct virtio_console_port_state *p = &c->ports[i];

                if (i == 0 || p->guest_connected || p->host_connected)
                        byte_out_text(out, "%s{\"nr\":%u,\"guest_connected\":%s,\"host_connected\":%s}", i ? "," : "", i,
                                      truth(p->guest_connected), truth(p->host_connected));
        }
        byte_out_text(out, "],\"broken\":%s}", truth(v->broken));
}

static void add_balloon(struct byte_out *out, const struct virtio_state *v)
{
        add_features(out, v);
        byte_out_text(out, ",\"num_pages\":%u,\"actual\":%u}", v->u.balloon.num_pages, v->u.balloon.actual);
}

static void add_rng(struct byte_out *out, const struct virtio_state *v)
{
        struct sv_rng_body b = { .device_features = v->device_features, .driver_features = v->driver_features };

        byte_out_add(out, &b, sizeof(b));
}

static void add_vsock(struct byte_out *out, const struct virtio_state *v)
{
        struct sv_vsock_body b;
        uint64_t             cid = htole64(v->u.vsock.guest_cid);

        memset(&b, 0, sizeof(b)); /* its padding goes into the file */
        b.device_features = v->device_features;
        b.driver_features = v->driver_features;
        memcpy(b.config_space, &cid, sizeof(b.config_space));
        for (size_t i = 0; i < ARRAY_LEN(b.last_avail_idx); i++)
                b.last_avail_idx[i] = v->queues[i].next_avail;
        b.broken = v->broken;
        byte_out_add(out, &b, sizeof(b));
}

static const struct {
        enum virtio_kind kind;
        void (*add)(struct byte_out *out, const struct virtio_state *v);
} kinds[] = {
        { VIRTIO_BLK, add_blk },         { VIRTIO_NET, add_net }, { VIRTIO_CONSOLE, add_console },
        { VIRTIO_BALLOON, add_balloon }, { VIRTIO_RNG, add_rng }, { VIRTIO_VSOCK, add_vsock },
};

static void write_kind(struct byte_out *out, const struct virtio_state *v, const char *type, const char *instance)
{
        struct byte_out body = { 0 };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (kinds[i].kind == v->kind)
                        kinds[i].add(&body, v);
        sv_write_record(out, type, instance, body.bytes, body.len);
        out->failed = out->failed ? out->failed : body.failed;
        byte_out_free(&body);
}

/* --- slots --- */

/* As StratoVirt makes it where the command line names no disk and no card for it. */
static struct virtio_state unused_slot(uint32_t slot)
{
        bool                   blk = slot < SV_BLOCK_SLOTS;
        struct virtqueue_state q = { .size = QUEUE_SIZE, .max_size = QUEUE_SIZE };
        struct virtio_state    v = { .kind = blk ? VIRTIO_BLK : VIRTIO_NET, .slot = slot };

        v.device_features = blk ? BLK_FEATURES : NET_FEATURES;
        v.nr_queues = blk ? 1 : NET_QUEUES;
        for (uint16_t i = 0; i < v.nr_queues; i++)
                v.queues[i] = q;
        if (blk) {
                v.u.blk.seg_max = BLK_SEG_MAX;
                return v;
        }
        v.u.net.status = NET_LINK_UP;
        memcpy(v.u.net.mac, mac_prefix, sizeof(mac_prefix));
        v.u.net.mac[5] = (uint8_t)(MAC_FIRST + slot - SV_BLOCK_SLOTS);
        return v;
}

static struct virtio_state slot_state(const struct vm_state *vm, uint32_t slot)
{
        const struct virtio_state *v = vm_state_virtio(vm, slot);

        return v ? *v : unused_slot(slot);
}

void sv_write_transports(struct byte_out *out, const struct vm_state *vm)
{
        char instance[12];

        for (uint32_t slot = 0; slot < SV_SLOTS; slot++) {
                struct virtio_state v = slot_state(vm, slot);

                snprintf(instance, sizeof(instance), "%u", slot);
                write_transport(out, &v, instance);
        }
}

static void write_optional(struct byte_out *out, const struct device_record *d)
{
        const struct virtio_state      *v = &d->u.virtio;
        const struct sv_write_optional *o = sv_write_optional(v->kind);

        write_kind(out, v, o->type, sv_write_name(d));
        /* not among the transports, but right here (stratovirt.md 2.5) */
        if (o->has_transport)
                write_transport(out, v, sv_write_name(d));
}

void sv_write_devices(struct byte_out *out, const struct vm_state *vm)
{
        char instance[12];

        for (uint32_t slot = 0; slot < SV_SLOTS; slot++) {
                struct virtio_state v = slot_state(vm, slot);

                snprintf(instance, sizeof(instance), "%u", slot);
                write_kind(out, &v, slot < SV_BLOCK_SLOTS ? "BlockState" : "VirtioNetState", instance);
        }
        for (uint32_t i = 0; i < vm->nr_devices; i++)
                if (vm->devices[i].kind == DEVICE_VIRTIO && sv_write_optional(vm->devices[i].u.virtio.kind))
                        write_optional(out, &vm->devices[i]);
}
