/* kvm/device/net_internal.h: a network card's inside, shared by its files.
 * Owns:    struct net owns its tap.
 * Threads: as each field says.
 * Blocks:  never.
 *
 * Each direction stops at a budget and goes on in its next turn, so that none starves the other, the control queue or a park. */
#pragma once

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "kvm/device/later.h"
#include "kvm/device/net_layout.h"
#include "kvm/virtio/device.h"

#include <linux/if_ether.h>
#include <pthread.h>

enum { NET_RX_QUEUE, NET_TX_QUEUE, NET_CONTROL_QUEUE, NET_NR_QUEUES };
#define NET_BUDGET       256 /* chains a turn: a whole queue */
#define NET_HEADER_BYTES sizeof(struct net_header)

struct net {
        struct virtio_device d;
        /* set by new, then read-only */
        int     tap_fd; /* -1: no cable */
        uint8_t first_mac[ETH_ALEN];
        char    tap[32]; /* its name, for messages */
        /* worker thread */
        bool         cable;                 /* false: frames to send are gone, none arrive */
        bool         rx_dry, rx_lost;       /* the driver gave no buffers; a page of them is lost */
        bool         tx_full, tx_lost;      /* the tap takes no more for now; a page of a frame is lost */
        bool         tx_more, control_more; /* the budget ended before the queue did */
        bool         link_news;             /* the driver has not heard yet that the link is up */
        uint32_t     tap_events;            /* watched now */
        struct later next_turn;
        /* Written by the worker under `lock`; config space is read under it by vCPUs. */
        pthread_mutex_t         lock;
        struct virtio_net_state s;
};

static inline bool net_accepted(const struct net *n, enum net_feature feature)
{
        return n->d.features >> feature & 1;
}

/* --- worker thread; what a turn leaves to do is watched by net_watch --- */

void net_receive(struct net *n);
void net_transmit(struct net *n);
void net_watch(struct net *n);
void net_set_link(struct net *n, bool up); /* and tells the driver */
/* Somebody removed the interface. The guest sees its cable pulled, and the user hears of it. */
void net_cable_gone(struct net *n, int error);
