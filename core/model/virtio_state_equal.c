/* core/model/virtio_state_equal.c: compares two saved virtio devices field by field (their padding says nothing), and names the
 * first difference. */
#include "core/model/virtio_state.h"

#include <stdio.h>
#include <string.h>

#define WHAT_BYTES 64

struct field {
        const char *name;
        size_t      offset, size;
};

#define FIELD(type, member) { #member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member) }

static const struct field device_fields[] = {
        FIELD(virtio_state, no_transport),
        FIELD(virtio_state, device_features),
        FIELD(virtio_state, driver_features),
        FIELD(virtio_state, status),
        FIELD(virtio_state, interrupt_status),
        FIELD(virtio_state, device_features_sel),
        FIELD(virtio_state, driver_features_sel),
        FIELD(virtio_state, queue_sel),
        FIELD(virtio_state, config_generation),
        FIELD(virtio_state, activated),
        FIELD(virtio_state, broken),
        FIELD(virtio_state, nr_queues),
};

static const struct field queue_fields[] = {
        FIELD(virtqueue_state, desc_gpa),
        FIELD(virtqueue_state, avail_gpa),
        FIELD(virtqueue_state, used_gpa),
        FIELD(virtqueue_state, size),
        FIELD(virtqueue_state, max_size),
        FIELD(virtqueue_state, next_avail),
        FIELD(virtqueue_state, next_used),
        FIELD(virtqueue_state, ready),
};

static const struct field blk_fields[] = {
        FIELD(virtio_blk_state, capacity_sectors),
        FIELD(virtio_blk_state, seg_max),
        FIELD(virtio_blk_state, blk_size),
        FIELD(virtio_blk_state, max_discard_sectors),
        FIELD(virtio_blk_state, max_discard_seg),
        FIELD(virtio_blk_state, discard_sector_alignment),
        FIELD(virtio_blk_state, max_write_zeroes_sectors),
        FIELD(virtio_blk_state, max_write_zeroes_seg),
        FIELD(virtio_blk_state, write_zeroes_may_unmap),
        FIELD(virtio_blk_state, wce),
        FIELD(virtio_blk_state, num_queues),
};

/* Without the tables of addresses, of which only a part counts: net_tables_equal(). */
static const struct field net_fields[] = {
        FIELD(virtio_net_state, mac),
        FIELD(virtio_net_state, status),
        FIELD(virtio_net_state, max_pairs),
        FIELD(virtio_net_state, mtu),
        FIELD(virtio_net_state, has_filters),
        FIELD(virtio_net_state, promisc),
        FIELD(virtio_net_state, allmulti),
        FIELD(virtio_net_state, alluni),
        FIELD(virtio_net_state, nomulti),
        FIELD(virtio_net_state, nouni),
        FIELD(virtio_net_state, nobcast),
        FIELD(virtio_net_state, uni_overflow),
        FIELD(virtio_net_state, multi_overflow),
        FIELD(virtio_net_state, nr_uni),
        FIELD(virtio_net_state, nr_multi),
        FIELD(virtio_net_state, vlans),
};

/* Without the ports: console_ports_equal(). */
static const struct field console_fields[] = {
        FIELD(virtio_console_state, cols),
        FIELD(virtio_console_state, rows),
        FIELD(virtio_console_state, max_ports),
};

static const struct field balloon_fields[] = {
        FIELD(virtio_balloon_state, num_pages),
        FIELD(virtio_balloon_state, actual),
};

static const struct field vsock_fields[] = { FIELD(virtio_vsock_state, guest_cid) };

static const struct {
        enum virtio_kind    kind;
        const struct field *fields; /* of the union's member */
        size_t              nr;
} kinds[] = {
        { VIRTIO_NET, net_fields, ARRAY_LEN(net_fields) },
        { VIRTIO_BLK, blk_fields, ARRAY_LEN(blk_fields) },
        { VIRTIO_CONSOLE, console_fields, ARRAY_LEN(console_fields) },
        { VIRTIO_BALLOON, balloon_fields, ARRAY_LEN(balloon_fields) },
        { VIRTIO_VSOCK, vsock_fields, ARRAY_LEN(vsock_fields) },
};

/* The name of the first field that differs, or NULL. */
static const char *first_difference(const void *a, const void *b, const struct field *fields, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                if (memcmp((const uint8_t *)a + fields[i].offset, (const uint8_t *)b + fields[i].offset, fields[i].size) != 0)
                        return fields[i].name;
        return NULL;
}

static const char *net_tables_difference(const struct virtio_net_state *a, const struct virtio_net_state *b)
{
        if (memcmp(a->uni, b->uni, MIN(a->nr_uni, VIRTIO_NET_MACS_MAX) * sizeof(a->uni[0])) != 0)
                return "uni";
        return memcmp(a->multi, b->multi, MIN(a->nr_multi, VIRTIO_NET_MACS_MAX) * sizeof(a->multi[0])) != 0 ? "multi" : NULL;
}

static const char *console_ports_difference(const struct virtio_console_state *a, const struct virtio_console_state *b)
{
        for (uint32_t i = 0; i < MIN(a->max_ports, (uint32_t)VIRTIO_CONSOLE_PORTS_MAX); i++)
                if (a->ports[i].guest_connected != b->ports[i].guest_connected ||
                    a->ports[i].host_connected != b->ports[i].host_connected)
                        return "ports";
        return NULL;
}

static const char *kind_difference(const struct virtio_state *a, const struct virtio_state *b)
{
        const char *name = NULL;

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (kinds[i].kind == a->kind)
                        name = first_difference(&a->u, &b->u, kinds[i].fields, kinds[i].nr);
        if (!name && a->kind == VIRTIO_NET)
                return net_tables_difference(&a->u.net, &b->u.net);
        if (!name && a->kind == VIRTIO_CONSOLE)
                return console_ports_difference(&a->u.console, &b->u.console);
        return name;
}

static bool queues_equal(const struct virtio_state *a, const struct virtio_state *b, char *ret_what)
{
        for (unsigned int i = 0; i < MIN(a->nr_queues, VIRTIO_QUEUES_MAX); i++) {
                const char *name = first_difference(&a->queues[i], &b->queues[i], queue_fields, ARRAY_LEN(queue_fields));

                if (name) {
                        snprintf(ret_what, WHAT_BYTES, "queue %u %s", i, name);
                        return false;
                }
        }
        return true;
}

bool virtio_state_equal(const struct virtio_state *a, const struct virtio_state *b, char ret_what[WHAT_BYTES])
{
        const char *name = a->kind != b->kind ? "kind" : a->slot != b->slot ? "slot" : NULL;

        name = name ? name : first_difference(a, b, device_fields, ARRAY_LEN(device_fields));
        if (!name && !queues_equal(a, b, ret_what))
                return false;
        name = name ? name : kind_difference(a, b);
        if (name)
                snprintf(ret_what, WHAT_BYTES, "%s", name);
        return !name;
}
