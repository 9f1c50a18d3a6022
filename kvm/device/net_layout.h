/* kvm/device/net_layout.h: what driver and card say to each other, byte by byte (virtio 1.2, section 5.1); little-endian.
 * Owns:    nothing.
 * Threads: constant.
 * Blocks:  never.
 *
 * <linux/virtio_net.h> is not used: it brings virtio_config.h, where VIRTIO_F_VERSION_1 is a bit number and not a mask. */
#pragma once

#include <assert.h>
#include <stdint.h>

/* Features, by bit number (section 5.1.3). */
enum net_feature {
        NET_F_CSUM = 0,
        NET_F_GUEST_CSUM = 1,
        NET_F_MAC = 5,
        NET_F_GUEST_TSO4 = 7,
        NET_F_GUEST_TSO6 = 8,
        NET_F_GUEST_UFO = 10,
        NET_F_HOST_TSO4 = 11,
        NET_F_HOST_TSO6 = 12,
        NET_F_HOST_UFO = 14,
        NET_F_STATUS = 16,
        NET_F_CTRL_VQ = 17,
        NET_F_CTRL_RX = 18,
        NET_F_CTRL_VLAN = 19,
        NET_F_CTRL_RX_EXTRA = 20,
        NET_F_CTRL_MAC_ADDR = 23,
};

/* Configuration space (section 5.1.4); what follows belongs to features that are not offered and reads as zeros. */
struct net_config {
        uint8_t  mac[6];
        uint16_t status;
        uint16_t max_virtqueue_pairs;
        uint16_t mtu;
};
static_assert(sizeof(struct net_config) == 12, "virtio 1.2, section 5.1.4");
#define NET_S_LINK_UP 1

/* Before each frame (section 5.1.6); num_buffers is there without MRG_RXBUF, too, as VERSION_1 is always accepted. */
struct net_header {
        uint8_t  flags, gso_type;
        uint16_t hdr_len, gso_size, csum_start, csum_offset;
        uint16_t num_buffers;
};
static_assert(sizeof(struct net_header) == 12, "virtio 1.2, section 5.1.6");
#define NET_HEADER_F_NEEDS_CSUM 1

/* The control queue (section 5.1.6.5): class and command, data, then a byte that the device writes. */
struct net_command {
        uint8_t class, command;
};
static_assert(sizeof(struct net_command) == 2, "virtio 1.2, section 5.1.6.5");
enum net_ack { NET_OK = 0, NET_ERR = 1 };
enum net_class { NET_RX = 0, NET_MAC = 1, NET_VLAN = 2 };
enum net_rx { NET_RX_PROMISC, NET_RX_ALLMULTI, NET_RX_ALLUNI, NET_RX_NOMULTI, NET_RX_NOUNI, NET_RX_NOBCAST };
enum net_mac { NET_MAC_TABLE_SET, NET_MAC_ADDR_SET };
enum net_vlan { NET_VLAN_ADD, NET_VLAN_DEL };
