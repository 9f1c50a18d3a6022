/* kvm/device/net_filter.h: which frames a card takes, as its driver has asked (virtio 1.2, section 5.1.6.5), and how it asks.
 * Owns:    nothing.
 * Threads: plain functions on the caller's data.
 * Blocks:  net_control while the pager brings the command's pages. */
#pragma once

#include "core/model/virtio_state.h"
#include "kvm/virtio/queue.h"

/* Of a frame, what the rules look at: destination, source, type, VLAN. */
#define NET_FILTER_BYTES 18

/* What a driver finds that has asked for nothing yet: everything passes. */
void net_filter_default(struct virtio_net_state *s);

/* frame: its first len bytes, NET_FILTER_BYTES or all there are. features: accepted ones; without CTRL_RX everything passes. */
bool net_filter_passes(const struct virtio_net_state *s, uint64_t features, const uint8_t *frame, size_t len_bytes);

/* One command of the control queue: NET_OK and *s changed, or NET_ERR and *s as it was. -EFAULT: a page of the
 * command is lost. */
int net_control(struct virtio_net_state *s, uint64_t features, const struct virtq_chain *c);
