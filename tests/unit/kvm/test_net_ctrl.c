/* What a driver asks for on the control queue decides which frames reach it; what it asks for wrongly changes nothing. */
#include "tests/unit/kvm/net_rig.h"

static struct card *quiet_card(void)
{
        struct card *c = card_started(CARD_FEATURES, 16);

        cr_assert_eq(card_mode(c, NET_RX_PROMISC, 0), NET_OK);
        return c;
}

/* Two tables: nr_uni addresses and nr_multi, counted up from these. */
static uint8_t set_tables(struct card *c, uint32_t nr_uni, uint32_t nr_multi)
{
        uint8_t data[8 + 400 * ETH_ALEN], *at = data;
        uint32_t nr[2] = { nr_uni, nr_multi };

        for (unsigned int k = 0; k < 2; k++) {
                memcpy(at, &nr[k], sizeof(nr[k]));
                at += sizeof(nr[k]);
                for (uint32_t i = 0; i < nr[k]; i++, at += ETH_ALEN) {
                        memcpy(at, k ? group_mac : other_mac, ETH_ALEN);
                        at[4] = (uint8_t)i;
                }
        }
        return card_command(c, NET_MAC, NET_MAC_TABLE_SET, data, (uint32_t)(at - data));
}

Test(net_ctrl, before_any_command_everything_passes)
{
        struct card *c = card_started(CARD_FEATURES, 16);

        cr_assert(card_takes(c, other_mac));
        cr_assert(card_takes(c, group_mac));
        card_free(c);
}

Test(net_ctrl, who_is_not_promiscuous_gets_its_own_frames_and_broadcasts)
{
        struct card *c = quiet_card();

        cr_assert(card_takes(c, card_mac));
        cr_assert(card_takes(c, all_mac));
        cr_assert(!card_takes(c, other_mac));
        cr_assert(!card_takes(c, group_mac));
        cr_assert_eq(card_mode(c, NET_RX_PROMISC, 1), NET_OK);
        cr_assert(card_takes(c, other_mac));
        card_free(c);
}

Test(net_ctrl, each_receive_mode_does_what_its_name_says)
{
        struct card *c = quiet_card();

        cr_assert_eq(card_mode(c, NET_RX_ALLMULTI, 1), NET_OK);
        cr_assert(card_takes(c, group_mac));
        cr_assert_eq(card_mode(c, NET_RX_NOMULTI, 1), NET_OK);
        cr_assert(!card_takes(c, group_mac));
        cr_assert_eq(card_mode(c, NET_RX_ALLUNI, 1), NET_OK);
        cr_assert(card_takes(c, other_mac));
        cr_assert_eq(card_mode(c, NET_RX_NOBCAST, 1), NET_OK);
        cr_assert(!card_takes(c, all_mac));
        card_free(c);
}

Test(net_ctrl, addresses_in_the_tables_pass_and_their_neighbours_do_not)
{
        struct card *c = quiet_card();
        uint8_t      next[ETH_ALEN];

        cr_assert_eq(set_tables(c, 1, 2), NET_OK);
        cr_assert(card_takes(c, other_mac));
        cr_assert(card_takes(c, group_mac));
        memcpy(next, group_mac, ETH_ALEN);
        next[4] = 1;
        cr_assert(card_takes(c, next));
        next[4] = 2;
        cr_assert(!card_takes(c, next));
        memcpy(next, other_mac, ETH_ALEN);
        next[4] = 1;
        cr_assert(!card_takes(c, next));
        cr_assert_eq(set_tables(c, 0, 0), NET_OK);
        cr_assert(!card_takes(c, other_mac));
        cr_assert(!card_takes(c, group_mac));
        card_free(c);
}

Test(net_ctrl, a_table_larger_than_ours_lets_everything_of_its_kind_pass)
{
        struct card *c = quiet_card();

        cr_assert_eq(set_tables(c, 64, 65), NET_OK);
        cr_assert(card_takes(c, (uint8_t[]){ 0x33, 0x33, 9, 9, 9, 9 }));
        cr_assert(!card_takes(c, (uint8_t[]){ 2, 9, 9, 9, 9, 9 }));
        cr_assert_eq(set_tables(c, 300, 1), NET_OK);
        cr_assert(card_takes(c, (uint8_t[]){ 2, 9, 9, 9, 9, 9 }));
        cr_assert(!card_takes(c, (uint8_t[]){ 0x33, 0x33, 9, 9, 9, 9 }));
        card_free(c);
}

Test(net_ctrl, vlans_pass_that_were_added_and_untagged_frames_always)
{
        struct card *c = quiet_card();
        uint16_t     id = 7;

        cr_assert(!card_takes_vlan(c, 7));
        cr_assert(card_takes_vlan(c, 0x6000)); /* a priority, and no VLAN */
        cr_assert_eq(card_command(c, NET_VLAN, NET_VLAN_ADD, &id, sizeof(id)), NET_OK);
        cr_assert(card_takes_vlan(c, 7));
        cr_assert(card_takes_vlan(c, 0xe007));
        cr_assert(!card_takes_vlan(c, 8));
        cr_assert_eq(card_command(c, NET_VLAN, NET_VLAN_DEL, &id, sizeof(id)), NET_OK);
        cr_assert(!card_takes_vlan(c, 7));
        card_free(c);
}

Test(net_ctrl, a_new_mac_is_the_cards_from_then_on)
{
        struct card *c = quiet_card();
        uint8_t      mac[ETH_ALEN];

        cr_assert_eq(card_command(c, NET_MAC, NET_MAC_ADDR_SET, other_mac, ETH_ALEN), NET_OK);
        c->d->ops->read_config(c->d, 0, mac, sizeof(mac));
        cr_assert_arr_eq(mac, other_mac, ETH_ALEN);
        cr_assert_eq(card_mode(c, NET_RX_PROMISC, 1), NET_OK); /* or the frames that tell would not pass */
        cr_assert(card_takes(c, other_mac));
        card_free(c);
}

Test(net_ctrl, a_malformed_command_is_answered_with_an_error_and_changes_nothing)
{
        static const struct {
                const char *what;
                uint8_t     class, command;
                uint32_t    len;
                uint8_t     data[24];
        } v[] = {
                { "no data", NET_RX, NET_RX_PROMISC, 0, { 0 } },
                { "two bytes where one belongs", NET_RX, NET_RX_PROMISC, 2, { 1, 1 } },
                { "an unknown mode", NET_RX, 6, 1, { 1 } },
                { "an unknown class", 9, 0, 1, { 1 } },
                { "more queues", 4, 0, 2, { 1, 0 } },
                { "half a count", NET_MAC, NET_MAC_TABLE_SET, 2, { 0 } },
                { "one table", NET_MAC, NET_MAC_TABLE_SET, 4, { 0 } },
                { "more addresses than data", NET_MAC, NET_MAC_TABLE_SET, 20, { 3, 0, 0, 0, 2, 2, 3, 4, 5, 6 } },
                { "2^32 - 1 addresses", NET_MAC, NET_MAC_TABLE_SET, 20, { 0xff, 0xff, 0xff, 0xff } },
                { "a count whose bytes overflow 32 bits", NET_MAC, NET_MAC_TABLE_SET, 20, { 0xab, 0xaa, 0xaa, 0x2a } },
                { "something after the tables", NET_MAC, NET_MAC_TABLE_SET, 9, { 0 } },
                { "a group as address", NET_MAC, NET_MAC_ADDR_SET, 6, { 1, 0, 0, 0, 0, 0 } },
                { "five bytes of an address", NET_MAC, NET_MAC_ADDR_SET, 5, { 2 } },
                { "a VLAN past the last", NET_VLAN, NET_VLAN_ADD, 2, { 0, 0x10 } },
                { "half a VLAN", NET_VLAN, NET_VLAN_ADD, 1, { 1 } },
        };
        struct card        *c = quiet_card();
        struct virtio_state before = { 0 }, after = { 0 };
        struct err          e;

        cr_assert_eq(set_tables(c, 3, 3), NET_OK);
        virtio_device_park(c->d);
        c->d->ops->save(c->d, &before, &e);
        virtio_device_resume(c->d);
        for (size_t i = 0; i < ARRAY_LEN(v); i++)
                cr_assert_eq(card_command(c, v[i].class, v[i].command, v[i].data, v[i].len), NET_ERR, "%s", v[i].what);
        virtio_device_park(c->d);
        c->d->ops->save(c->d, &after, &e);
        cr_assert_arr_eq((uint8_t *)&before.u.net, (uint8_t *)&after.u.net, sizeof(before.u.net));
        card_free(c);
}

Test(net_ctrl, a_command_of_a_feature_that_was_not_accepted_is_an_error)
{
        uint64_t     without = 1ULL << NET_F_CTRL_RX_EXTRA | 1ULL << NET_F_CTRL_VLAN | 1ULL << NET_F_CTRL_MAC_ADDR;
        struct card *c = card_started(CARD_FEATURES & ~without, 16);
        uint16_t     id = 7;

        cr_assert_eq(card_mode(c, NET_RX_ALLUNI, 1), NET_ERR);
        cr_assert_eq(card_command(c, NET_VLAN, NET_VLAN_ADD, &id, sizeof(id)), NET_ERR);
        cr_assert_eq(card_command(c, NET_MAC, NET_MAC_ADDR_SET, other_mac, ETH_ALEN), NET_ERR);
        cr_assert_eq(card_mode(c, NET_RX_PROMISC, 0), NET_OK);
        cr_assert(card_takes_vlan(c, 7)); /* nobody filters VLANs */
        card_free(c);
}

Test(net_ctrl, a_command_without_room_for_the_answer_breaks_the_device)
{
        struct card *c = card_started(CARD_FEATURES, 16);
        gpa_t        gpa = rig_alloc(c->r, 3, 16);

        rig_send(&c->t.q[CARD_CONTROL], &(struct rig_buf){ gpa, 3, false }, 1);
        rig_kick(&c->t, CARD_CONTROL);
        for (int i = 0; i < 200000 && !atomic_load(&c->t.resets_needed); i++)
                rig_nap();
        cr_assert_eq(atomic_load(&c->t.resets_needed), 1);
        card_free(c);
}
