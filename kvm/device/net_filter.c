/* kvm/device/net_filter.c: the rules for a received frame, in the order promiscuous, VLAN, then by kind of address. */
#include "kvm/device/net_filter.h"
#include "kvm/device/net_layout.h"

#include <linux/if_ether.h>
#include <string.h>

#define VLAN_ID_MASK 0x0fff

static const uint8_t broadcast[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

void net_filter_default(struct virtio_net_state *s)
{
        struct virtio_net_state kept = *s;

        *s = (struct virtio_net_state){ .status = kept.status, .max_pairs = kept.max_pairs, .mtu = kept.mtu };
        memcpy(s->mac, kept.mac, sizeof(s->mac));
        s->has_filters = true;
        s->promisc = true;
}

static bool in_table(const uint8_t (*table)[ETH_ALEN], uint16_t nr, const uint8_t *mac)
{
        for (uint16_t i = 0; i < nr; i++)
                if (!memcmp(table[i], mac, ETH_ALEN))
                        return true;
        return false;
}

/* An id of 0 names no VLAN, only a priority (IEEE 802.1Q): such a frame counts as untagged. */
static uint16_t vlan_of(const uint8_t *frame, size_t len_bytes)
{
        if (len_bytes < NET_FILTER_BYTES || frame[12] != ETH_P_8021Q >> 8 || frame[13] != (ETH_P_8021Q & 0xff))
                return 0;
        return (uint16_t)((frame[14] << 8 | frame[15]) & VLAN_ID_MASK);
}

static bool vlan_passes(const struct virtio_net_state *s, uint16_t vlan)
{
        return !vlan || (s->vlans[vlan / 8] >> vlan % 8 & 1);
}

static bool multicast_passes(const struct virtio_net_state *s, const uint8_t *mac)
{
        if (!memcmp(mac, broadcast, ETH_ALEN))
                return !s->nobcast;
        return !s->nomulti && (s->allmulti || s->multi_overflow || in_table(s->multi, s->nr_multi, mac));
}

static bool unicast_passes(const struct virtio_net_state *s, const uint8_t *mac)
{
        return !s->nouni && (s->alluni || s->uni_overflow || !memcmp(s->mac, mac, ETH_ALEN) || in_table(s->uni, s->nr_uni, mac));
}

bool net_filter_passes(const struct virtio_net_state *s, uint64_t features, const uint8_t *frame, size_t len_bytes)
{
        if (!(features >> NET_F_CTRL_RX & 1) || s->promisc)
                return true;
        if (len_bytes < ETH_HLEN)
                return false;
        if ((features >> NET_F_CTRL_VLAN & 1) && !vlan_passes(s, vlan_of(frame, len_bytes)))
                return false;
        return frame[0] & 1 ? multicast_passes(s, frame) : unicast_passes(s, frame);
}
