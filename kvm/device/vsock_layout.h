/* kvm/device/vsock_layout.h: a vsock packet and its words (virtio 1.2, section 5.10); little-endian.
 * Owns:    nothing.
 * Threads: constant.
 * Blocks:  never.
 *
 * <linux/virtio_vsock.h> is not used: it brings virtio_config.h, where VIRTIO_F_VERSION_1 is a bit number and not a mask. */
#pragma once

#include <assert.h>
#include <stdint.h>

#define VSOCK_CID_HOST      2
#define VSOCK_CID_GUEST_MIN 3
#define VSOCK_CID_GUEST_MAX (UINT32_MAX - 1) /* the last one stands for any (vsock(7)); the upper half is reserved */

struct vsock_header {
        uint64_t src_cid, dst_cid;
        uint32_t src_port, dst_port;
        uint32_t len; /* of the data after it */
        uint16_t type, op;
        uint32_t flags;
        uint32_t buf_alloc, fwd_cnt; /* the sender's: what it can hold, what it has consumed, free-running */
} __attribute__((packed));
static_assert(sizeof(struct vsock_header) == 44, "virtio 1.2, section 5.10.6");

enum vsock_type { VSOCK_STREAM = 1 };

enum vsock_op {
        VSOCK_NOTHING = 0, /* invalid on the wire */
        VSOCK_REQUEST = 1,
        VSOCK_RESPONSE = 2,
        VSOCK_RST = 3,
        VSOCK_SHUTDOWN = 4,
        VSOCK_RW = 5,
        VSOCK_CREDIT_UPDATE = 6,
        VSOCK_CREDIT_REQUEST = 7,
};

/* Flags of SHUTDOWN: the sender will receive no more, will send no more. */
#define VSOCK_SHUT_RECEIVE 1
#define VSOCK_SHUT_SEND    2
#define VSOCK_SHUT_BOTH    3

struct vsock_event {
        uint32_t id;
};
static_assert(sizeof(struct vsock_event) == 4, "virtio 1.2, section 5.10.6.7");
#define VSOCK_EVENT_TRANSPORT_RESET 0
