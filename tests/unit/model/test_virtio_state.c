/* test_virtio_state: virtio devices are compared field by field, and the first difference is named. */
#include "core/model/vm_state.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* A machine with one device, of which every byte that counts can be told from zero by flipping it. */
static struct vm_state machine(enum virtio_kind kind, uint32_t slot)
{
        struct vm_state       s;
        struct device_record *d;

        cr_assert_eq(vm_state_init(&s, MACHINE_MICROVM, 1), 0);
        d = vm_state_add_device(&s, DEVICE_VIRTIO, "");
        cr_assert_not_null(d);
        d->u.virtio = (struct virtio_state){ .kind = kind, .slot = slot, .nr_queues = 2 };
        return s;
}

struct flip {
        void       *byte; /* in the second of two machines that are equal */
        const char *what;
};

static void assert_each_is_seen(const struct vm_state *a, const struct vm_state *b, const struct flip *flips, size_t nr)
{
        char found[80];

        for (size_t i = 0; i < nr; i++) {
                uint8_t *byte = flips[i].byte;

                *byte ^= 1;
                snprintf(found, sizeof(found), "nothing");
                cr_assert(!vm_state_equal(a, b, found));
                cr_assert_str_eq(found, flips[i].what);
                cr_assert(!vm_state_equal(a, b, NULL));
                *byte ^= 1;
        }
        cr_assert(vm_state_equal(a, b, NULL));
}

Test(virtio_state, a_difference_in_any_register_or_queue_is_named)
{
        struct vm_state         a = machine(VIRTIO_RNG, 7), b = machine(VIRTIO_RNG, 7);
        struct virtio_state    *v = &b.devices[0].u.virtio;
        struct virtqueue_state *q = &v->queues[1];
        const struct flip       flips[] = {
                { &v->kind, "virtio slot 7 kind" },
                { &v->slot, "virtio slot 7 slot" },
                { &v->no_transport, "virtio slot 7 no_transport" },
                { &v->device_features, "virtio slot 7 device_features" },
                { &v->driver_features, "virtio slot 7 driver_features" },
                { &v->status, "virtio slot 7 status" },
                { &v->interrupt_status, "virtio slot 7 interrupt_status" },
                { &v->device_features_sel, "virtio slot 7 device_features_sel" },
                { &v->driver_features_sel, "virtio slot 7 driver_features_sel" },
                { &v->queue_sel, "virtio slot 7 queue_sel" },
                { &v->config_generation, "virtio slot 7 config_generation" },
                { &v->activated, "virtio slot 7 activated" },
                { &v->broken, "virtio slot 7 broken" },
                { &v->nr_queues, "virtio slot 7 nr_queues" },
                { &q->desc_gpa, "virtio slot 7 queue 1 desc_gpa" },
                { &q->avail_gpa, "virtio slot 7 queue 1 avail_gpa" },
                { &q->used_gpa, "virtio slot 7 queue 1 used_gpa" },
                { &q->size, "virtio slot 7 queue 1 size" },
                { &q->max_size, "virtio slot 7 queue 1 max_size" },
                { &q->next_avail, "virtio slot 7 queue 1 next_avail" },
                { &q->next_used, "virtio slot 7 queue 1 next_used" },
                { &q->ready, "virtio slot 7 queue 1 ready" },
        };

        assert_each_is_seen(&a, &b, flips, ARRAY_LEN(flips));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(virtio_state, a_difference_in_any_field_of_a_disk_is_named)
{
        struct vm_state          a = machine(VIRTIO_BLK, 0), b = machine(VIRTIO_BLK, 0);
        struct virtio_blk_state *v = &b.devices[0].u.virtio.u.blk;
        const struct flip        flips[] = {
                { &v->capacity_sectors, "virtio slot 0 capacity_sectors" },
                { &v->seg_max, "virtio slot 0 seg_max" },
                { &v->blk_size, "virtio slot 0 blk_size" },
                { &v->max_discard_sectors, "virtio slot 0 max_discard_sectors" },
                { &v->max_discard_seg, "virtio slot 0 max_discard_seg" },
                { &v->discard_sector_alignment, "virtio slot 0 discard_sector_alignment" },
                { &v->max_write_zeroes_sectors, "virtio slot 0 max_write_zeroes_sectors" },
                { &v->max_write_zeroes_seg, "virtio slot 0 max_write_zeroes_seg" },
                { &v->write_zeroes_may_unmap, "virtio slot 0 write_zeroes_may_unmap" },
                { &v->wce, "virtio slot 0 wce" },
                { &v->num_queues, "virtio slot 0 num_queues" },
        };

        assert_each_is_seen(&a, &b, flips, ARRAY_LEN(flips));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(virtio_state, a_difference_in_any_field_of_a_network_card_is_named)
{
        struct vm_state          a = machine(VIRTIO_NET, 5), b = machine(VIRTIO_NET, 5);
        struct virtio_net_state *v = &b.devices[0].u.virtio.u.net;
        const struct flip        flips[] = {
                { &v->mac[5], "virtio slot 5 mac" },
                { &v->status, "virtio slot 5 status" },
                { &v->max_pairs, "virtio slot 5 max_pairs" },
                { &v->mtu, "virtio slot 5 mtu" },
                { &v->has_filters, "virtio slot 5 has_filters" },
                { &v->promisc, "virtio slot 5 promisc" },
                { &v->allmulti, "virtio slot 5 allmulti" },
                { &v->alluni, "virtio slot 5 alluni" },
                { &v->nomulti, "virtio slot 5 nomulti" },
                { &v->nouni, "virtio slot 5 nouni" },
                { &v->nobcast, "virtio slot 5 nobcast" },
                { &v->uni_overflow, "virtio slot 5 uni_overflow" },
                { &v->multi_overflow, "virtio slot 5 multi_overflow" },
                { &v->nr_uni, "virtio slot 5 nr_uni" },
                { &v->nr_multi, "virtio slot 5 nr_multi" },
                { &v->uni[1][5], "virtio slot 5 uni" },
                { &v->multi[63][0], "virtio slot 5 multi" },
                { &v->vlans[511], "virtio slot 5 vlans" },
        };

        a.devices[0].u.virtio.u.net.nr_uni = v->nr_uni = 2;
        a.devices[0].u.virtio.u.net.nr_multi = v->nr_multi = 64;
        assert_each_is_seen(&a, &b, flips, ARRAY_LEN(flips));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(virtio_state, a_difference_in_any_field_of_the_other_kinds_is_named_by_kind_where_no_slot_is_known)
{
        struct vm_state      a = machine(VIRTIO_CONSOLE, VIRTIO_SLOT_UNKNOWN), b = machine(VIRTIO_CONSOLE, VIRTIO_SLOT_UNKNOWN);
        struct virtio_state *x = &a.devices[0].u.virtio, *v = &b.devices[0].u.virtio;
        const struct flip    console[] = {
                { &v->u.console.cols, "virtio console cols" },
                { &v->u.console.rows, "virtio console rows" },
                { &v->u.console.max_ports, "virtio console max_ports" },
                { &v->u.console.ports[30].guest_connected, "virtio console ports" },
                { &v->u.console.ports[0].host_connected, "virtio console ports" },
        };
        const struct flip balloon[] = {
                { &v->u.balloon.num_pages, "virtio balloon num_pages" },
                { &v->u.balloon.actual, "virtio balloon actual" },
        };
        const struct flip vsock[] = { { (uint8_t *)&v->u.vsock.guest_cid + 7, "virtio vsock guest_cid" } };

        x->u.console.max_ports = v->u.console.max_ports = VIRTIO_CONSOLE_PORTS_MAX;
        assert_each_is_seen(&a, &b, console, ARRAY_LEN(console));
        x->kind = v->kind = VIRTIO_BALLOON;
        assert_each_is_seen(&a, &b, balloon, ARRAY_LEN(balloon));
        x->kind = v->kind = VIRTIO_VSOCK;
        assert_each_is_seen(&a, &b, vsock, ARRAY_LEN(vsock));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(virtio_state, what_a_device_does_not_use_is_not_looked_at)
{
        struct vm_state      a = machine(VIRTIO_NET, 4), b = machine(VIRTIO_NET, 4);
        struct virtio_state *v = &b.devices[0].u.virtio;

        v->queues[2].size = 256;
        v->u.net.uni[0][0] = 1;
        v->u.net.multi[0][0] = 1;
        cr_assert(vm_state_equal(&a, &b, NULL));
        a.devices[0].u.virtio.kind = v->kind = VIRTIO_RNG;
        v->u.net.mac[0] = 1;
        cr_assert(vm_state_equal(&a, &b, NULL));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(virtio_state, counts_that_no_array_holds_are_compared_within_the_arrays)
{
        struct vm_state      a = machine(VIRTIO_NET, 4), b = machine(VIRTIO_NET, 4);
        struct virtio_state *x = &a.devices[0].u.virtio, *v = &b.devices[0].u.virtio;

        x->nr_queues = v->nr_queues = UINT16_MAX;
        x->u.net.nr_uni = v->u.net.nr_uni = UINT16_MAX;
        x->u.net.nr_multi = v->u.net.nr_multi = UINT16_MAX;
        cr_assert(vm_state_equal(&a, &b, NULL));
        vm_state_free(&a);
        vm_state_free(&b);
}

Test(virtio_state, every_kind_is_found_by_its_name_and_nothing_else_is)
{
        static const enum virtio_kind kinds[] = { VIRTIO_NET, VIRTIO_BLK, VIRTIO_CONSOLE, VIRTIO_RNG, VIRTIO_BALLOON,
                                                  VIRTIO_VSOCK };

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                cr_assert_eq(virtio_kind_find(virtio_kind_name(kinds[i])), kinds[i]);
        cr_assert_eq(virtio_kind_find("unknown"), VIRTIO_NONE);
        cr_assert_eq(virtio_kind_find(""), VIRTIO_NONE);
        cr_assert_str_eq(virtio_kind_name(VIRTIO_NONE), "unknown");
}
