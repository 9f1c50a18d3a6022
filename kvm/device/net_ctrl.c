/* kvm/device/net_ctrl.c: the commands of a card's control queue. Each works on a copy of the state, so that one that is refused
 * half-way has changed nothing. */
#include "kvm/device/net_filter.h"
#include "kvm/device/net_layout.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

/* Where in the chain's out bytes a command is being read. Once a byte is missing or lost, error is set, and reads give zeros. */
struct reader {
        const struct virtq_chain *c;
        uint64_t                  at_bytes;
        int                       error; /* -EBADMSG: the command is too short; -EFAULT */
};

static void take(struct reader *r, void *ret, size_t len_bytes)
{
        ssize_t n = r->error ? r->error : virtq_chain_read(r->c, r->at_bytes, ret, len_bytes);

        if (n == (ssize_t)len_bytes) {
                r->at_bytes += len_bytes;
                return;
        }
        memset(ret, 0, len_bytes);
        if (!r->error)
                r->error = n < 0 ? (int)n : -EBADMSG;
}

static uint64_t left_bytes(const struct reader *r)
{
        return r->c->out_bytes - r->at_bytes;
}

/* 0 once all of the command was there and nothing follows it. */
static int finish(const struct reader *r)
{
        if (r->error)
                return r->error;
        return left_bytes(r) ? -EBADMSG : 0;
}

static bool has(uint64_t features, unsigned int bit)
{
        return features >> bit & 1;
}

static int set_rx_mode(struct virtio_net_state *s, uint64_t features, uint8_t command, struct reader *r)
{
        bool *const modes[] = {
                [NET_RX_PROMISC] = &s->promisc, [NET_RX_ALLMULTI] = &s->allmulti,
                [NET_RX_ALLUNI] = &s->alluni,   [NET_RX_NOMULTI] = &s->nomulti,
                [NET_RX_NOUNI] = &s->nouni,     [NET_RX_NOBCAST] = &s->nobcast,
        };
        unsigned int needed = command <= NET_RX_ALLMULTI ? NET_F_CTRL_RX : NET_F_CTRL_RX_EXTRA;
        uint8_t      on;

        take(r, &on, sizeof(on));
        if (command >= ARRAY_LEN(modes) || !has(features, needed))
                return -EBADMSG;
        *modes[command] = on;
        return finish(r);
}

/* A table too large for us is not an error: then everything of its kind passes (section 5.1.6.5.2). */
static void take_table(struct reader *r, uint8_t (*table)[ETH_ALEN], uint16_t *ret_nr, bool *ret_overflow)
{
        uint32_t raw = 0;
        uint64_t nr;

        take(r, &raw, sizeof(raw));
        nr = le32toh(raw);
        if (!r->error && nr * ETH_ALEN > left_bytes(r))
                r->error = -EBADMSG;
        if (r->error)
                return;
        memset(table, 0, sizeof(*table) * VIRTIO_NET_MACS_MAX);
        *ret_overflow = nr > VIRTIO_NET_MACS_MAX;
        *ret_nr = *ret_overflow ? 0 : (uint16_t)nr;
        if (*ret_overflow)
                r->at_bytes += nr * ETH_ALEN;
        else if (nr)
                take(r, table, nr * ETH_ALEN);
}

static int set_mac_tables(struct virtio_net_state *s, uint64_t features, struct reader *r)
{
        if (!has(features, NET_F_CTRL_RX))
                return -EBADMSG;
        take_table(r, s->uni, &s->nr_uni, &s->uni_overflow);
        take_table(r, s->multi, &s->nr_multi, &s->multi_overflow);
        return finish(r);
}

static int set_mac(struct virtio_net_state *s, uint64_t features, struct reader *r)
{
        if (!has(features, NET_F_CTRL_MAC_ADDR))
                return -EBADMSG;
        take(r, s->mac, sizeof(s->mac));
        return s->mac[0] & 1 ? -EBADMSG : finish(r); /* nobody is a group */
}

static int set_vlan(struct virtio_net_state *s, uint64_t features, bool on, struct reader *r)
{
        uint16_t raw, id;

        take(r, &raw, sizeof(raw));
        id = le16toh(raw);
        if (!has(features, NET_F_CTRL_VLAN) || id / 8 >= sizeof(s->vlans))
                return -EBADMSG;
        if (on)
                s->vlans[id / 8] |= (uint8_t)(1U << id % 8);
        else
                s->vlans[id / 8] &= (uint8_t)~(1U << id % 8);
        return finish(r);
}

static int obey(struct virtio_net_state *s, uint64_t features, struct reader *r)
{
        struct net_command h;

        take(r, &h, sizeof(h));
        if (r->error)
                return r->error;
        switch (h.class << 8 | h.command) {
        case NET_MAC << 8 | NET_MAC_TABLE_SET:
                return set_mac_tables(s, features, r);
        case NET_MAC << 8 | NET_MAC_ADDR_SET:
                return set_mac(s, features, r);
        case NET_VLAN << 8 | NET_VLAN_ADD:
        case NET_VLAN << 8 | NET_VLAN_DEL:
                return set_vlan(s, features, h.command == NET_VLAN_ADD, r);
        default:
                return h.class == NET_RX ? set_rx_mode(s, features, h.command, r) : -EBADMSG;
        }
}

int net_control(struct virtio_net_state *s, uint64_t features, const struct virtq_chain *c)
{
        struct virtio_net_state next = *s;
        struct reader           r = { .c = c };
        int                     result = obey(&next, features, &r);

        if (result == -EFAULT)
                return result;
        if (result < 0)
                return NET_ERR;
        *s = next;
        return NET_OK;
}
