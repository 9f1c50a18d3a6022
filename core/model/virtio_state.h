/* core/model/virtio_state.h: a saved virtio device: its transport's registers, its queues, and what its kind adds.
 * Owns:    nothing; plain data without pointers.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include "core/base/units.h"

#include <stdbool.h>
#include <stddef.h>

/* Device ids of the virtio specification, section 5. */
enum virtio_kind {
        VIRTIO_NONE = 0,
        VIRTIO_NET = 1,
        VIRTIO_BLK = 2,
        VIRTIO_CONSOLE = 3,
        VIRTIO_RNG = 4,
        VIRTIO_BALLOON = 5,
        VIRTIO_VSOCK = 19,
};

/* "net", "blk", "console", "rng", "balloon", "vsock": in options, messages and tables; "unknown". */
const char *virtio_kind_name(enum virtio_kind kind);
/* The kind of that name, or VIRTIO_NONE. */
enum virtio_kind virtio_kind_find(const char *name);

#define VIRTIO_QUEUES_MAX     64   /* a StratoVirt console of 31 ports has that many */
#define VIRTIO_QUEUE_SIZE_MAX 1024 /* entries; StratoVirt's most, and the kernel's IOV_MAX */
#define VIRTIO_SLOT_UNKNOWN   UINT32_MAX

/* What a split queue (virtio 1.2, section 2.7) needs to go on. Nothing is in flight: what the device took it has returned. */
struct virtqueue_state {
        uint64_t desc_gpa, avail_gpa, used_gpa;
        uint16_t size, max_size; /* entries */
        uint16_t next_avail;     /* the next entry of the available ring to take, free-running */
        uint16_t next_used;      /* as used->idx; may lag behind next_avail where the saving VMM did not drain */
        bool     ready;
};

struct virtio_blk_state {
        uint64_t capacity_sectors; /* of 512 bytes; 0: an unused slot */
        uint32_t seg_max, blk_size;
        uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
        uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
        uint8_t  write_zeroes_may_unmap, wce;
        uint16_t num_queues;
};

#define VIRTIO_NET_MACS_MAX 64
struct virtio_net_state {
        uint8_t  mac[6];
        uint16_t status, max_pairs, mtu;
        /* receive filters, as the control queue set them */
        bool     has_filters, promisc, allmulti, alluni, nomulti, nouni, nobcast;
        bool     uni_overflow, multi_overflow; /* tables larger than ours: everything of that kind passes */
        uint16_t nr_uni, nr_multi;
        uint8_t  uni[VIRTIO_NET_MACS_MAX][6], multi[VIRTIO_NET_MACS_MAX][6];
        uint8_t  vlans[4096 / 8]; /* a bit each */
};

struct virtio_console_port_state {
        bool guest_connected, host_connected;
};
#define VIRTIO_CONSOLE_PORTS_MAX 31
struct virtio_console_state {
        uint16_t cols, rows;
        uint32_t max_ports;
        struct virtio_console_port_state ports[VIRTIO_CONSOLE_PORTS_MAX];
};

struct virtio_balloon_state {
        uint32_t num_pages; /* what the host asks for, in pages of 4 KiB */
        uint32_t actual;    /* what the guest says it gave */
};

struct virtio_vsock_state {
        uint64_t guest_cid;
};

struct virtio_state {
        enum virtio_kind kind;
        uint32_t         slot;   /* of the machine's virtio-mmio slots; VIRTIO_SLOT_UNKNOWN: the format does not say */
        bool             no_transport; /* the saving VMM kept no registers and queues of it: it comes up reset */
        uint64_t         device_features; /* as offered; a restored device offers the same */
        uint64_t         driver_features; /* as accepted */
        uint32_t         status;          /* virtio 1.2, section 2.1 */
        uint32_t         interrupt_status;
        uint32_t         device_features_sel, driver_features_sel, queue_sel, config_generation;
        bool             activated; /* the driver said DRIVER_OK and has not reset it since */
        bool             broken;    /* the guest broke its protocol: NEEDS_RESET */
        uint16_t         nr_queues; /* of the device, used or not */
        struct virtqueue_state queues[VIRTIO_QUEUES_MAX];
        union {
                struct virtio_blk_state     blk;
                struct virtio_net_state     net;
                struct virtio_console_state console;
                struct virtio_balloon_state balloon;
                struct virtio_vsock_state   vsock;
        } u;
};

/* Field by field. Names the first difference in ret_what ("queue 0 next_avail"), which is untouched where there is none. */
bool virtio_state_equal(const struct virtio_state *a, const struct virtio_state *b, char ret_what[64]);
