/* Frames between a driver and a real tap, and a card's life: made, saved, restored, unplugged. */
#include "tests/unit/kvm/net_rig.h"

#include <linux/capability.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* --- receive --- */

Test(net, a_frame_lands_in_the_guests_buffer_behind_a_header_that_says_one_buffer)
{
        struct card      *c = card_started(CARD_PLAIN, 8);
        gpa_t             gpa = card_offer(c, CARD_BUFFER);
        uint8_t           f[200], found[200];
        struct net_header h;

        rig_kick(&c->t, CARD_RX);
        card_say(c, card_mac, card_frame(f, card_mac, sizeof(f), 5), 5);
        cr_assert_eq(rig_wait_used(&c->t.q[CARD_RX]).len, 12 + sizeof(f));
        rig_peek(c->r, gpa, &h, sizeof(h));
        cr_assert_eq(h.num_buffers, 1);
        cr_assert_eq(h.flags | h.gso_type, 0);
        rig_peek(c->r, gpa + 12, found, sizeof(found));
        cr_assert_arr_eq(found, f, sizeof(f));
        card_free(c);
}

Test(net, a_frame_is_whole_in_a_buffer_of_many_pieces)
{
        static const uint32_t lengths[] = { 3, 9, 1, 30, 500, 1000, 600 };
        struct card          *c = card_started(CARD_PLAIN, 16);
        struct rig_buf        b[ARRAY_LEN(lengths)];
        uint8_t               expected[1514], found[12 + 1514 + 700];
        size_t                at = 0;

        for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
                b[i] = (struct rig_buf){ rig_alloc(c->r, lengths[i] + 5, 1), lengths[i], true };
        rig_add_indirect(&c->t.q[CARD_RX], b, ARRAY_LEN(b));
        rig_publish(&c->t.q[CARD_RX]);
        rig_kick(&c->t, CARD_RX);
        card_say(c, card_mac, card_frame(expected, card_mac, sizeof(expected), 9), 9);
        cr_assert_eq(rig_wait_used(&c->t.q[CARD_RX]).len, 12 + sizeof(expected));
        for (size_t i = 0; i < ARRAY_LEN(b); at += lengths[i++])
                rig_peek(c->r, b[i].gpa, found + at, lengths[i]);
        cr_assert_arr_eq(found + 12, expected, sizeof(expected));
        card_free(c);
}

Test(net, many_waiting_frames_cost_one_interrupt)
{
        struct card *c = card_started(CARD_PLAIN, 64);

        for (unsigned int i = 0; i < 64; i++)
                card_say(c, card_mac, 100, (uint8_t)i);
        for (unsigned int i = 0; i < 64; i++)
                card_offer(c, 256);
        rig_kick(&c->t, CARD_RX);
        for (unsigned int i = 0; i < 64; i++)
                cr_assert_eq(rig_wait_used(&c->t.q[CARD_RX]).len, 112);
        virtio_device_park(c->d); /* what it does at the end of a turn is done then */
        cr_assert_eq(atomic_load(&c->t.interrupts), 1);
        card_free(c);
}

static uint64_t cpu_us(void)
{
        struct rusage u;

        getrusage(RUSAGE_SELF, &u);
        return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

Test(net, without_buffers_frames_wait_in_the_tap_and_nobody_spins)
{
        struct card *c = card_started(CARD_FEATURES, 8);
        uint64_t     before;
        gpa_t        gpa;

        card_say(c, card_mac, 100, 1);
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
        before = cpu_us();
        nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
        cr_assert_lt(cpu_us() - before, 50000);
        gpa = card_offer(c, CARD_BUFFER);
        rig_kick(&c->t, CARD_RX);
        cr_assert_eq(rig_wait_used(&c->t.q[CARD_RX]).len, 112);
        cr_assert_eq(rig_byte(c->r, gpa + 12 + 99), 100);
        card_free(c);
}

Test(net, a_frame_longer_than_its_buffer_is_dropped_and_the_buffer_serves_the_next)
{
        struct card *c = card_started(CARD_PLAIN, 8);

        card_offer(c, 12 + 100);
        rig_kick(&c->t, CARD_RX);
        card_say(c, card_mac, 101, 1);
        card_say(c, card_mac, 100, 2);
        cr_assert_eq(rig_wait_used(&c->t.q[CARD_RX]).len, 112);
        cr_assert_eq(rig_used_idx(&c->t.q[CARD_RX]), 1);
        /* even one that ends within what is read beside the buffer */
        card_offer(c, 12 + 10);
        card_offer(c, 12 + 100);
        rig_kick(&c->t, CARD_RX);
        card_say(c, card_mac, 15, 3);
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
        cr_assert_eq(rig_used_idx(&c->t.q[CARD_RX]), 1);
        card_free(c);
}

static void assert_broken(struct card *c, const char *text)
{
        for (int i = 0; i < 200000 && !atomic_load(&c->t.resets_needed); i++)
                rig_nap();
        cr_assert_eq(atomic_load(&c->t.resets_needed), 1);
        cr_assert_not_null(strstr(c->r->message, text), "%s", c->r->message);
}

Test(net, a_receive_buffer_without_room_for_the_header_breaks_the_device)
{
        struct card *c = card_started(CARD_PLAIN, 8);

        card_offer(c, 11);
        rig_kick(&c->t, CARD_RX);
        assert_broken(c, "expected 12 bytes for the header at least, found 11");
        card_free(c);
}

/* --- transmit --- */

/* In the guest's RAM: a header of zeros, then a frame. */
static size_t with_header(uint8_t *b, const uint8_t *dst, size_t len, uint8_t seed)
{
        memset(b, 0, 12);
        return 12 + card_frame(b + 12, dst, len, seed);
}

Test(net, a_frame_of_the_guest_leaves_the_tap_whatever_its_pieces)
{
        struct card   *c = card_started(CARD_PLAIN, 8);
        uint8_t        b[12 + 1000], heard[2000];
        gpa_t          gpa = rig_alloc(c->r, sizeof(b), 1);
        struct rig_buf pieces[] = { { gpa, 5, false }, { gpa + 5, 8, false }, { gpa + 13, 600, false },
                                    { gpa + 613, 399, false } };

        with_header(b, other_mac, 1000, 3);
        rig_poke(c->r, gpa, b, sizeof(b));
        rig_send(&c->t.q[CARD_TX], pieces, ARRAY_LEN(pieces));
        rig_kick(&c->t, CARD_TX);
        cr_assert_eq(card_hear(c, heard, sizeof(heard), 20000), 1000);
        cr_assert_arr_eq(heard, b + 12, 1000);
        cr_assert_eq(rig_wait_used(&c->t.q[CARD_TX]).len, 0);
        card_free(c);
}

Test(net, frames_too_short_or_too_long_are_dropped_and_the_next_one_is_sent)
{
        struct card  *c = card_started(CARD_PLAIN, 16);
        uint8_t       b[12 + 100], heard[200];
        gpa_t         large = rig_alloc(c->r, 70000, 16);

        with_header(b, other_mac, 100, 1);
        card_transmit(c, b, 12);
        card_transmit(c, b, 12 + ETH_HLEN - 1);
        rig_send(&c->t.q[CARD_TX], &(struct rig_buf){ large, 70000, false }, 1);
        card_transmit(c, b, sizeof(b));
        for (unsigned int i = 0; i < 4; i++)
                rig_wait_used(&c->t.q[CARD_TX]);
        cr_assert_eq(card_hear(c, heard, sizeof(heard), 20000), 100);
        cr_assert_eq(card_hear(c, heard, sizeof(heard), 20), -1);
        card_free(c);
}

Test(net, a_header_that_the_kernel_does_not_understand_costs_its_frame_only)
{
        struct card *c = card_started(CARD_PLAIN, 16);
        uint8_t      b[12 + 100], heard[200];

        with_header(b, other_mac, 100, 1);
        memset(b, 0xff, 12);
        card_transmit(c, b, sizeof(b));
        memset(b, 0, 12);
        card_transmit(c, b, sizeof(b));
        rig_wait_used(&c->t.q[CARD_TX]);
        rig_wait_used(&c->t.q[CARD_TX]);
        cr_assert_eq(card_hear(c, heard, sizeof(heard), 20000), 100);
        card_free(c);
}

Test(net, a_frame_without_a_whole_header_breaks_the_device)
{
        struct card *c = card_started(CARD_PLAIN, 8);

        card_transmit(c, "elevenbytes", 11);
        assert_broken(c, "expected a header of 12 bytes, found 11");
        card_free(c);
}

/* As Linux does it: kick only where avail_event asks for it. */
static void publish_and_maybe_kick(struct card *c, uint16_t queue)
{
        struct rig_queue *q = &c->t.q[queue];
        uint16_t          before = atomic_load(rig_avail(q, 1));

        rig_publish(q);
        if ((uint16_t)(q->avail_idx - atomic_load(rig_avail_event(q)) - 1) < (uint16_t)(q->avail_idx - before))
                rig_kick(&c->t, queue);
}

Test(net, a_driver_that_never_stops_sending_is_served_turn_by_turn_beside_receiving)
{
        enum { FRAMES = 5000 };
        struct card      *c = card_started(CARD_FEATURES, 256);
        struct rig_queue *tx = &c->t.q[CARD_TX];
        uint8_t           b[12 + 60];
        gpa_t             gpa = rig_alloc(c->r, sizeof(b), 16);
        struct rig_used   u;
        unsigned int      sent = 0, done = 0;

        with_header(b, other_mac, 60, 1);
        rig_poke(c->r, gpa, b, sizeof(b));
        for (unsigned int i = 0; i < 100; i++)
                card_offer(c, 256);
        rig_kick(&c->t, CARD_RX);
        for (uint64_t idle = 0; done < FRAMES; idle++) {
                cr_assert_lt(idle, 100000000);
                for (; sent < FRAMES && tx->nr_free; sent++)
                        rig_add(tx, &(struct rig_buf){ gpa, sizeof(b), false }, 1);
                publish_and_maybe_kick(c, CARD_TX);
                if (idle < 100)
                        card_say(c, card_mac, 60, 0);
                while (rig_take_used(tx, &u))
                        done++;
        }
        cr_assert_eq(rig_wait_used(&c->t.q[CARD_RX]).len, 72);
        card_free(c);
}

/* --- offloads: a TCP segment of 4000 bytes, cut at 1000 --- */

#define TCP_HEADERS 54
static size_t tcp_frame(uint8_t *f, size_t payload)
{
        static const uint8_t ip[] = { 0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2 };
        static const uint8_t tcp[] = { 0x10, 0x00, 0x20, 0x00, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0 };
        uint32_t             sum = 0;

        memset(f, 0, TCP_HEADERS + payload);
        memcpy(f, card_mac, ETH_ALEN);
        memcpy(f + 6, other_mac, ETH_ALEN);
        f[12] = 0x08;
        memcpy(f + 14, ip, sizeof(ip));
        memcpy(f + 34, tcp, sizeof(tcp));
        f[16] = (uint8_t)((40 + payload) >> 8);
        f[17] = (uint8_t)(40 + payload);
        for (size_t i = 0; i < sizeof(ip); i += 2)
                sum += (uint32_t)(f[14 + i] << 8 | f[15 + i]);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = ~((sum & 0xffff) + (sum >> 16));
        f[24] = (uint8_t)(sum >> 8);
        f[25] = (uint8_t)sum;
        return TCP_HEADERS + payload;
}

static const struct virtio_net_hdr tso = { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                           .hdr_len = TCP_HEADERS, .gso_size = 1000, .csum_start = 34, .csum_offset = 16 };

/* Sends it to the card; the lengths of what the driver gets. */
static struct net_header receive_segment(struct card *c, uint32_t *ret_len)
{
        _cleanup_close_ int cable = card_open_cable(true);
        uint8_t             f[sizeof(tso) + TCP_HEADERS + 4000];
        struct net_header   h;
        gpa_t               gpa = card_offer(c, 65562);

        for (unsigned int i = 0; i < 4; i++)
                card_offer(c, 65562);
        rig_kick(&c->t, CARD_RX);
        memcpy(f, &tso, sizeof(tso));
        tcp_frame(f + sizeof(tso), 4000);
        cr_assert_eq(send(cable, f, sizeof(f), 0), (ssize_t)sizeof(f), "%s", strerror(errno));
        *ret_len = rig_wait_used(&c->t.q[CARD_RX]).len;
        rig_peek(c->r, gpa, &h, sizeof(h));
        return h;
}

Test(net, a_driver_that_accepted_tso_gets_a_large_segment_as_it_is)
{
        struct card      *c = card_started(CARD_PLAIN, 8);
        uint32_t          len;
        struct net_header h = receive_segment(c, &len);

        cr_assert_eq(len, 12 + TCP_HEADERS + 4000);
        cr_assert_eq(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
        cr_assert_eq(h.gso_size, 1000);
        cr_assert(h.flags & NET_HEADER_F_NEEDS_CSUM);
        card_free(c);
}

Test(net, a_driver_that_accepted_no_offload_gets_segments_with_checksums)
{
        uint64_t          without = 1ULL << NET_F_GUEST_CSUM | 1ULL << NET_F_GUEST_TSO4 | 1ULL << NET_F_GUEST_TSO6 |
                                    1ULL << NET_F_GUEST_UFO;
        struct card      *c = card_started(CARD_PLAIN & ~without, 8);
        uint32_t          len;
        struct net_header h = receive_segment(c, &len);

        cr_assert_eq(len, 12 + TCP_HEADERS + 1000);
        cr_assert_eq(h.gso_type | h.flags, 0);
        for (unsigned int i = 0; i < 3; i++)
                cr_assert_eq(rig_wait_used(&c->t.q[CARD_RX]).len, 12 + TCP_HEADERS + 1000);
        card_free(c);
}

Test(net, a_large_segment_of_the_guest_reaches_the_host_with_its_header)
{
        struct card      *c = card_started(CARD_PLAIN, 8);
        _cleanup_close_ int     cable = card_open_cable(true);
        uint8_t                 b[12 + TCP_HEADERS + 4000] = { 0 }, heard[8000];
        struct virtio_net_hdr   h;

        memcpy(b, &tso, sizeof(tso));
        tcp_frame(b + 12, 4000);
        card_transmit(c, b, sizeof(b));
        cr_assert_eq(recv(cable, heard, sizeof(heard), 0), (ssize_t)(sizeof(h) + TCP_HEADERS + 4000));
        memcpy(&h, heard, sizeof(h));
        cr_assert_eq(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
        cr_assert_eq(h.gso_size, 1000);
        card_free(c);
}

/* --- config space and life --- */

static struct net_config config_of(struct card *c)
{
        struct net_config config;

        c->d->ops->read_config(c->d, 0, (uint8_t *)&config, sizeof(config));
        return config;
}

Test(net, a_new_card_offers_what_stratovirts_does_and_counts_its_mac_by_slot)
{
        struct card *c = card_new();
        uint8_t      past[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
        struct err   e = { 0 };

        c->config.slot = 5;
        cr_assert_eq(card_make(c, NULL, &e), 0, "%s", e.text);
        cr_assert_eq(c->d->offered, CARD_FEATURES);
        cr_assert_eq(config_of(c).mac[5], 0x57);
        cr_assert_eq(config_of(c).status, NET_S_LINK_UP);
        c->d->ops->read_config(c->d, 10, past, 8);
        cr_assert_arr_eq(past, ((uint8_t[8]){ 0 }), 8);
        card_free(c);
}

Test(net, a_card_without_a_tap_is_a_card_without_a_cable)
{
        struct card *c = card_new();
        uint8_t      b[12 + 60];

        c->config.tap = NULL;
        card_start(c, CARD_FEATURES, 256);
        cr_assert_eq(config_of(c).status, 0);
        with_header(b, other_mac, 60, 1);
        for (unsigned int i = 0; i < 300; i++) {
                card_transmit(c, b, sizeof(b));
                rig_wait_used(&c->t.q[CARD_TX]);
        }
        cr_assert_eq(card_mode(c, NET_RX_PROMISC, 0), NET_OK);
        card_free(c);
}

Test(net, a_mac_other_than_the_saved_one_is_refused_with_both)
{
        struct card        *c = card_new();
        struct virtio_state saved = { .kind = VIRTIO_NET, .slot = 4, .device_features = CARD_FEATURES,
                                      .u.net.mac = { 2, 0, 0, 0, 0, 7 } };
        struct err          e = { 0 };

        c->config.has_mac = true;
        memcpy(c->config.mac, card_mac, ETH_ALEN);
        cr_assert_lt(card_make(c, &saved, &e), 0);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, "52:54:00:12:34:56"), "%s", e.text);
        cr_assert_not_null(strstr(e.text, "02:00:00:00:00:07"), "%s", e.text);
        card_free(c);
}

static struct virtio_state save(struct card *c)
{
        struct virtio_state s = { .kind = VIRTIO_NET, .slot = 4, .device_features = c->d->offered,
                                  .driver_features = c->d->features, .activated = true };
        struct err          e = { 0 };

        virtio_device_park(c->d);
        cr_assert_eq(c->d->ops->save(c->d, &s, &e), 0, "%s", e.text);
        for (uint16_t i = 0; i < c->d->nr_queues; i++)
                s.queues[i] = *virtq_state(c->d->queues[i]);
        return s;
}

/* Another device takes over the same guest. */
static void restore(struct card *c, const struct virtio_state *s)
{
        struct rig_device before = c->t;
        struct err        e = { 0 };

        c->t.d->ops->free(c->d); /* after a reset by the caller */
        cr_assert_eq(card_make(c, s, &e), 0, "%s", e.text);
        c->d->transport = &c->t;
        c->d->interrupt = rig_interrupt;
        c->d->needs_reset = rig_needs_reset;
        c->t = before;
        c->t.d = c->d;
        for (uint16_t i = 0; i < c->d->nr_queues; i++)
                *virtq_state(c->d->queues[i]) = s->queues[i];
        cr_assert_eq(c->d->ops->load(c->d, s, &e), 0, "%s", e.text);
        rig_device_activate(&c->t, s->driver_features, true);
        virtio_device_resume(c->d);
}

Test(net, filters_and_mac_and_queues_survive_a_save_and_a_restore)
{
        struct card        *c = card_started(CARD_FEATURES, 16);
        struct virtio_state s;

        cr_assert(card_takes(c, other_mac));
        cr_assert_eq(card_mode(c, NET_RX_PROMISC, 0), NET_OK);
        cr_assert_eq(card_mode(c, NET_RX_NOBCAST, 1), NET_OK);
        s = save(c);
        virtio_device_reset(c->d);
        restore(c, &s);
        cr_assert(!card_takes(c, other_mac));
        cr_assert(!card_takes(c, all_mac));
        cr_assert_eq(config_of(c).status, NET_S_LINK_UP);
        card_free(c);
}

Test(net, a_restored_card_that_gets_a_cable_tells_its_driver)
{
        struct card        *c = card_new();
        struct virtio_state s;

        c->config.tap = NULL;
        card_start(c, CARD_FEATURES, 16);
        s = save(c);
        cr_assert_eq(s.u.net.status, 0);
        virtio_device_reset(c->d);
        c->config.tap = CARD_TAP;
        restore(c, &s);
        for (int i = 0; i < 200000 && !atomic_load(&c->t.config_interrupts); i++)
                rig_nap();
        cr_assert_eq(atomic_load(&c->t.config_interrupts), 1);
        cr_assert_eq(config_of(c).status, NET_S_LINK_UP);
        card_free(c);
}

Test(net, a_restored_card_without_a_tap_keeps_the_status_that_was_saved)
{
        struct card        *c = card_started(CARD_FEATURES, 16);
        struct virtio_state s = save(c);

        virtio_device_reset(c->d);
        c->config.tap = NULL;
        restore(c, &s);
        cr_assert_eq(config_of(c).status, NET_S_LINK_UP);
        card_free(c);
}

Test(net, more_saved_filter_addresses_than_there_is_room_for_are_refused)
{
        struct card        *c = card_new();
        struct virtio_state s = { .kind = VIRTIO_NET, .device_features = CARD_FEATURES,
                                  .u.net = { .has_filters = true, .nr_multi = 65 } };
        struct err          e = { 0 };

        cr_assert_eq(card_make(c, &s, &e), 0, "%s", e.text);
        cr_assert_lt(c->d->ops->load(c->d, &s, &e), 0);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, "65"), "%s", e.text);
        card_free(c);
}

Test(net, after_a_reset_the_next_driver_finds_no_filter_and_the_first_mac)
{
        struct card *c = card_started(CARD_FEATURES, 16);

        cr_assert_eq(card_command(c, NET_MAC, NET_MAC_ADDR_SET, other_mac, ETH_ALEN), NET_OK);
        cr_assert_eq(card_mode(c, NET_RX_PROMISC, 0), NET_OK);
        virtio_device_reset(c->d);
        cr_assert_arr_eq(config_of(c).mac, card_mac, ETH_ALEN);
        card_start(c, CARD_FEATURES, 16);
        cr_assert(card_takes(c, other_mac));
        card_free(c);
}

static void delete_interface(void)
{
        struct {
                struct nlmsghdr  h;
                struct ifinfomsg i;
        } m = { .h = { .nlmsg_len = sizeof(m), .nlmsg_type = RTM_DELLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK } };
        struct {
                struct nlmsghdr h;
                struct nlmsgerr e;
        } answer;
        struct ifreq        r = { .ifr_name = CARD_TAP };
        _cleanup_close_ int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

        cr_assert_eq(ioctl(s, SIOCGIFINDEX, &r), 0, "%s", strerror(errno));
        m.i.ifi_index = r.ifr_ifindex;
        cr_assert_eq(send(s, &m, sizeof(m), 0), (ssize_t)sizeof(m));
        cr_assert_geq(recv(s, &answer, sizeof(answer), 0), (ssize_t)sizeof(answer));
        cr_assert_eq(answer.e.error, 0);
}

Test(net, a_tap_that_somebody_removes_is_a_pulled_cable_and_the_user_hears_of_it)
{
        struct card *c = card_started(CARD_FEATURES, 8);

        delete_interface();
        for (int i = 0; i < 200000 && !atomic_load(&c->t.config_interrupts); i++)
                rig_nap();
        virtio_device_park(c->d);
        cr_assert_eq(config_of(c).status, 0);
        cr_assert_not_null(strstr(c->r->message, "tap " CARD_TAP " is gone"), "%s", c->r->message);
        card_free(c);
}

/* --- errors --- */

static struct err refused(struct card *c, const char *tap)
{
        struct err e = { 0 };

        c->config.tap = tap;
        cr_assert_lt(card_make(c, NULL, &e), 0);
        return e;
}

Test(net, a_tap_in_use_says_so)
{
        struct card *c = card_started(CARD_FEATURES, 8);
        struct err   e = refused(c, CARD_TAP);

        cr_assert_eq(e.kind, ERR_HOST);
        cr_assert_not_null(strstr(e.text, "in use"), "%s", e.text);
        cr_assert_not_null(strstr(e.text, CARD_TAP), "%s", e.text);
        card_free(c);
}

static void drop_net_admin(void)
{
        struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct   d[2];

        cr_assert_eq(syscall(SYS_capget, &h, d), 0);
        d[CAP_NET_ADMIN / 32].effective &= ~(1U << CAP_NET_ADMIN % 32);
        cr_assert_eq(syscall(SYS_capset, &h, d), 0);
}

Test(net, who_may_not_make_a_tap_is_told_how_it_is_made)
{
        struct card *c = card_new();
        struct err   e;

        drop_net_admin();
        e = refused(c, "nosuchtap");
        cr_assert_eq(e.kind, ERR_HOST);
        cr_assert_not_null(strstr(e.text, "ip tuntap add dev nosuchtap mode tap user $USER"), "%s", e.text);
        card_free(c);
}

Test(net, an_interface_that_is_no_tap_and_a_name_that_is_none_are_refused)
{
        struct card *c = card_new();

        cr_assert_not_null(strstr(refused(c, "lo").text, "not a tap"));
        cr_assert_eq(refused(c, "a-name-of-sixteen").kind, ERR_USAGE);
        cr_assert_eq(refused(c, "tap%d").kind, ERR_USAGE);
        cr_assert_eq(refused(c, "").kind, ERR_USAGE);
        card_free(c);
}

Test(net, a_tap_that_was_not_there_is_made_and_the_user_hears_that_it_is_down)
{
        struct card *c = card_new();

        c->config.tap = "fresh0";
        card_start(c, CARD_FEATURES, 8);
        cr_assert_not_null(strstr(c->r->message, "no tap fresh0"), "%s", c->r->message);
        card_free(c);
}
