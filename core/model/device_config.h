/* core/model/device_config.h: what stands behind a virtio slot on this host: a file, a tap, a socket. No snapshot holds it: it is
 * the user's to say, as a snapshot is untrusted and must not open files.
 * Owns:    nothing; strings are borrowed as long as the VM lives.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include "core/model/virtio_state.h"

struct device_config {
        enum virtio_kind kind;
        uint32_t         slot;     /* VIRTIO_SLOT_UNKNOWN: the next free one of the machine that fits the kind */
        /* blk: image file or block device; vsock: unix socket; console: unix socket or file, NULL: nowhere */
        const char      *path;
        bool             readonly; /* blk */
        bool             direct;   /* blk: O_DIRECT */
        bool             discard;  /* blk: offer DISCARD and WRITE_ZEROES */
        const char      *serial;   /* blk: what GET_ID answers, at most 20 bytes; NULL: nothing, as StratoVirt without serial= */
        bool             listen;   /* console: path is a unix socket to listen at; else a file to append to */
        const char      *tap;      /* net: an interface that exists, or NULL: a card without a cable */
        bool             has_mac;
        uint8_t          mac[6];    /* net; without one: 52:54:00:12:34:56 and upward */
        uint64_t         guest_cid; /* vsock; 3 or more; 0: as in the snapshot */
};

#define DEVICE_CONFIGS_MAX 11 /* the slots that the microVM's interrupts allow */
