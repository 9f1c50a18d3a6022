/* A device of a snapshot as JSON: all that is saved of it, but for the bytes that a serial port received. */
#include "tools/inspect_out.h"

#include "core/control/json_text.h"

#include <json-c/json.h>

static void add_bool(struct json_object *o, const char *key, bool v)
{
        json_object_object_add(o, key, json_object_new_boolean(v));
}

static struct json_object *queue_json(const struct virtqueue_state *q)
{
        struct json_object *o = json_object_new_object();

        add_bool(o, "ready", q->ready);
        json_add_u64(o, "size", q->size);
        json_add_u64(o, "max_size", q->max_size);
        inspect_add_hex(o, "desc", q->desc_gpa);
        inspect_add_hex(o, "avail", q->avail_gpa);
        inspect_add_hex(o, "used", q->used_gpa);
        json_add_u64(o, "next_avail", q->next_avail);
        json_add_u64(o, "next_used", q->next_used);
        return o;
}

static void add_queues(struct json_object *o, const struct virtio_state *v)
{
        struct json_object *a = json_object_new_array();

        for (unsigned int i = 0; i < v->nr_queues; i++)
                json_object_array_add(a, queue_json(&v->queues[i]));
        json_object_object_add(o, "queues", a);
}

static void add_blk(struct json_object *o, const struct virtio_blk_state *b)
{
        json_add_u64(o, "capacity_sectors", b->capacity_sectors);
        json_add_u64(o, "seg_max", b->seg_max);
        json_add_u64(o, "blk_size", b->blk_size);
        json_add_u64(o, "num_queues", b->num_queues);
        json_add_u64(o, "wce", b->wce);
        json_add_u64(o, "max_discard_sectors", b->max_discard_sectors);
        json_add_u64(o, "max_discard_seg", b->max_discard_seg);
        json_add_u64(o, "discard_sector_alignment", b->discard_sector_alignment);
        json_add_u64(o, "max_write_zeroes_sectors", b->max_write_zeroes_sectors);
        json_add_u64(o, "max_write_zeroes_seg", b->max_write_zeroes_seg);
        json_add_u64(o, "write_zeroes_may_unmap", b->write_zeroes_may_unmap);
}

static struct json_object *macs_json(const uint8_t macs[][6], unsigned int nr)
{
        struct json_object *a = json_object_new_array();
        char                text[INSPECT_MAC_BYTES];

        for (unsigned int i = 0; i < nr; i++)
                json_object_array_add(a, json_object_new_string(inspect_mac(macs[i], text)));
        return a;
}

static struct json_object *vlans_json(const uint8_t *vlans)
{
        struct json_object *a = json_object_new_array();

        for (int i = 0; i < 4096; i++)
                if (vlans[i / 8] >> i % 8 & 1)
                        json_object_array_add(a, json_object_new_int(i));
        return a;
}

static struct json_object *filters_json(const struct virtio_net_state *n)
{
        struct json_object *o = json_object_new_object();

        add_bool(o, "promisc", n->promisc);
        add_bool(o, "allmulti", n->allmulti);
        add_bool(o, "alluni", n->alluni);
        add_bool(o, "nomulti", n->nomulti);
        add_bool(o, "nouni", n->nouni);
        add_bool(o, "nobcast", n->nobcast);
        add_bool(o, "uni_overflow", n->uni_overflow);
        add_bool(o, "multi_overflow", n->multi_overflow);
        json_object_object_add(o, "uni", macs_json(n->uni, n->nr_uni));
        json_object_object_add(o, "multi", macs_json(n->multi, n->nr_multi));
        json_object_object_add(o, "vlans", vlans_json(n->vlans));
        return o;
}

static void add_net(struct json_object *o, const struct virtio_net_state *n)
{
        char text[INSPECT_MAC_BYTES];

        json_add_str(o, "mac", inspect_mac(n->mac, text));
        json_add_u64(o, "link_status", n->status);
        json_add_u64(o, "max_pairs", n->max_pairs);
        json_add_u64(o, "mtu", n->mtu);
        json_object_object_add(o, "filters", n->has_filters ? filters_json(n) : NULL);
}

static void add_console(struct json_object *o, const struct virtio_console_state *c)
{
        struct json_object *a = json_object_new_array();

        json_add_u64(o, "cols", c->cols);
        json_add_u64(o, "rows", c->rows);
        for (uint32_t i = 0; i < c->max_ports; i++) {
                struct json_object *port = json_object_new_object();

                add_bool(port, "guest_connected", c->ports[i].guest_connected);
                add_bool(port, "host_connected", c->ports[i].host_connected);
                json_object_array_add(a, port);
        }
        json_object_object_add(o, "ports", a);
}

static void add_kind(struct json_object *o, const struct virtio_state *v)
{
        switch (v->kind) {
        case VIRTIO_BLK:
                add_blk(o, &v->u.blk);
                break;
        case VIRTIO_NET:
                add_net(o, &v->u.net);
                break;
        case VIRTIO_CONSOLE:
                add_console(o, &v->u.console);
                break;
        case VIRTIO_BALLOON:
                json_add_u64(o, "num_pages", v->u.balloon.num_pages);
                json_add_u64(o, "actual", v->u.balloon.actual);
                break;
        case VIRTIO_VSOCK:
                json_add_u64(o, "guest_cid", v->u.vsock.guest_cid);
                break;
        case VIRTIO_RNG:
        case VIRTIO_NONE:
                break;
        }
}

/* slot is null where the format does not say it. */
static void add_virtio(struct json_object *o, const struct virtio_state *v)
{
        json_add_str(o, "kind", virtio_kind_name(v->kind));
        json_object_object_add(o, "slot", v->slot == VIRTIO_SLOT_UNKNOWN ? NULL : json_object_new_int((int)v->slot));
        add_bool(o, "active", v->activated);
        add_bool(o, "broken", v->broken);
        add_bool(o, "transport", !v->no_transport);
        json_add_u64(o, "status", v->status);
        json_add_u64(o, "interrupt_status", v->interrupt_status);
        json_add_u64(o, "config_generation", v->config_generation);
        json_add_u64(o, "queue_sel", v->queue_sel);
        json_add_u64(o, "device_features_sel", v->device_features_sel);
        json_add_u64(o, "driver_features_sel", v->driver_features_sel);
        inspect_add_hex(o, "device_features", v->device_features);
        inspect_add_hex(o, "driver_features", v->driver_features);
        add_kind(o, v);
        add_queues(o, v);
}

static void add_serial(struct json_object *o, const struct serial_state *s)
{
        json_add_str(o, "kind", "serial");
        json_add_u64(o, "ier", s->ier);
        json_add_u64(o, "iir", s->iir);
        json_add_u64(o, "fcr", s->fcr);
        json_add_u64(o, "lcr", s->lcr);
        json_add_u64(o, "mcr", s->mcr);
        json_add_u64(o, "lsr", s->lsr);
        json_add_u64(o, "msr", s->msr);
        json_add_u64(o, "scr", s->scr);
        json_add_u64(o, "divisor", s->divisor);
        add_bool(o, "thr_pending", s->thr_pending);
        json_add_u64(o, "received_bytes", s->rx_len);
}

struct json_object *inspect_device_json(const struct device_record *d)
{
        struct json_object *o = json_object_new_object();

        json_add_str(o, "id", d->id);
        if (d->kind == DEVICE_SERIAL)
                add_serial(o, &d->u.serial);
        else
                add_virtio(o, &d->u.virtio);
        return o;
}
