/* ping: a guest with a network card. Each tick it asks by ARP for 10.77.0.1, pings it, and waits for both answers; it answers ARP
 * and pings that come for 10.77.0.2 itself. A question that is not answered is asked again, at most RETRIES times, then it counts
 * as bad.
 *
 *   TICK n nonce=.. walked=512 bad=0 sent=N received=N answered=N again=0 cpus=1 stuck=0 irq=ok */
#include "tests/guest/guest.h"

#define VIRTIO_NET 1
#define F_MAC      (1UL << 5)
#define RX_BUFFERS 32
#define RETRIES    20
#define RX 0
#define TX 1

static const u8 our_ip[4] = { 10, 77, 0, 2 }, their_ip[4] = { 10, 77, 0, 1 };
static u8 our_mac[6], their_mac[6] = { 255, 255, 255, 255, 255, 255 };

struct packet {
        u8 header[12]; /* struct virtio_net_hdr_v1 */
        u8 frame[1526];
} __attribute__((aligned(16)));

static struct device card;
static struct packet rx[RX_BUFFERS], tx;
static u64 sent, received, answered, again, arp_seen, echo_seen;
static u16 echo_seq;

static u16 get16(const u8 *p) { return (u16)(p[0] << 8 | p[1]); }
static void set16(u8 *p, u32 v) { p[0] = (u8)(v >> 8); p[1] = (u8)v; }

static int same(const u8 *a, const u8 *b, int n)
{
        for (int i = 0; i < n; i++)
                if (a[i] != b[i]) return 0;
        return 1;
}

static u16 checksum(const u8 *p, u32 len)
{
        u32 sum = 0;

        for (u32 i = 0; i + 1 < len; i += 2) sum += get16(p + i);
        if (len & 1) sum += (u32)p[len - 1] << 8;
        while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
        return (u16)~sum;
}

static void give_buffer(u16 i)
{
        card.q[RX].d[i] = (struct desc){ (u64)&rx[i], sizeof(rx[i]), DESC_WRITE, 0 };
        make_available(&card.q[RX], i);
}

static void send(u32 len)
{
        struct queue *q = &card.q[TX];
        u64 spins = 0;

        memset(tx.header, 0, sizeof(tx.header));
        q->d[0] = (struct desc){ (u64)&tx, 12 + (len < 60 ? 60 : len), 0, 0 };
        make_available(q, 0);
        kick(&card, TX);
        while (!has_used(q) && !gave_up(&spins))
                ;
        if (has_used(q)) take_used(q, 0);
        else irq_dead = 1;
        sent++;
}

static void ethernet(const u8 *to, u16 type)
{
        memcpy(tx.frame, to, 6);
        memcpy(tx.frame + 6, our_mac, 6);
        set16(tx.frame + 12, type);
}

static void send_arp(u16 op, const u8 *mac, const u8 *ip)
{
        static const u8 ethernet_ipv4[6] = { 0, 1, 8, 0, 6, 4 };
        u8 *a = tx.frame + 14;

        ethernet(mac, 0x0806);
        memcpy(a, ethernet_ipv4, 6);
        set16(a + 6, op);
        memcpy(a + 8, our_mac, 6);
        memcpy(a + 14, our_ip, 4);
        memcpy(a + 18, mac, 6);
        memcpy(a + 24, ip, 4);
        send(42);
}

/* type 8: a question, 0: the answer to the one in `from`. */
static void send_echo(u8 type, const u8 *mac, const u8 *ip, const u8 *icmp, u32 len)
{
        u8 *p = tx.frame + 14;

        ethernet(mac, 0x0800);
        memset(p, 0, 20);
        p[0] = 0x45;
        set16(p + 2, 20 + len);
        p[8] = 64;
        p[9] = 1;
        memcpy(p + 12, our_ip, 4);
        memcpy(p + 16, ip, 4);
        set16(p + 10, checksum(p, 20));
        memcpy(p + 20, icmp, len);
        p[20] = type;
        set16(p + 22, 0);
        set16(p + 22, checksum(p + 20, len));
        send(34 + len);
}

static void take_arp(const u8 *f)
{
        const u8 *a = f + 14;

        if (get16(a + 6) == 2 && same(a + 14, their_ip, 4)) {
                memcpy(their_mac, a + 8, 6);
                arp_seen++;
        } else if (get16(a + 6) == 1 && same(a + 24, our_ip, 4)) {
                send_arp(2, a + 8, a + 14);
                answered++;
        }
}

static void take_icmp(const u8 *f, u32 len)
{
        const u8 *p = f + 14, *icmp = p + 20;

        if (get16(p + 2) < 28 || get16(p + 2) > len - 14 || p[9] != 1 || !same(p + 16, our_ip, 4)) return;
        if (icmp[0] == 0 && get16(icmp + 6) == echo_seq) echo_seen++;
        if (icmp[0] == 8) {
                send_echo(0, f + 6, p + 12, icmp, get16(p + 2) - 20u);
                answered++;
        }
}

static void take_all(void)
{
        struct queue *q = &card.q[RX];

        while (has_used(q)) {
                u32 len, i = take_used(q, &len);

                if (i >= RX_BUFFERS) {
                        irq_dead = 1;
                        return;
                }
                received++;
                if (len >= 12 + 42 && get16(rx[i].frame + 12) == 0x0806) take_arp(rx[i].frame);
                if (len >= 12 + 42 && get16(rx[i].frame + 12) == 0x0800) take_icmp(rx[i].frame, len - 12);
                give_buffer((u16)i);
        }
        kick(&card, RX);
        acknowledge(&card);
}

static void ask_echo(void)
{
        u8 icmp[40] = { 8, 0, 0, 0, 0x77, 0x77 };

        set16(icmp + 6, ++echo_seq);
        for (int i = 8; i < 40; i++) icmp[i] = (u8)i;
        send_echo(8, their_mac, their_ip, icmp, sizeof(icmp));
}

/* Asks until the answer is there. One timer tick of patience for each question. */
static u64 ask(int echo)
{
        volatile u64 *seen = echo ? &echo_seen : &arp_seen;
        u64 before = *seen;

        for (int t = 0; t < RETRIES; t++) {
                u64 irqs = timer_irqs, card_irqs = disk_irqs;

                again += t > 0;
                if (echo) ask_echo();
                else send_arp(1, their_mac, their_ip);
                while (timer_irqs - irqs < 4 && *seen == before && !timer_dead)
                        if (disk_irqs != card_irqs || has_used(&card.q[RX])) {
                                card_irqs = disk_irqs;
                                take_all();
                        }
                if (*seen != before) return 0;
        }
        return 1;
}

void guest_main(const char *cmdline)
{
        if (!find_device(cmdline, VIRTIO_NET, 0, &card) || !start_device(&card, F_MAC, 3)) {
                put("no network card\n");
                return;
        }
        for (u32 i = 0; i < 6; i++) our_mac[i] = config8(&card, i);
        for (u16 i = 0; i < RX_BUFFERS; i++) give_buffer(i);
        kick(&card, RX);
        put("BOOT nonce="); hex(nonce, 16); put("\n");
        for (u64 n = 1, unanswered = 0;; n++) {
                u64 bad = walk();

                unanswered += ask(0) + ask(1);
                begin_tick(n, bad + unanswered);
                put_number(" sent=", sent); put_number(" received=", received); put_number(" answered=", answered); put_number(" again=", again);
                end_tick();
                wait_timer();
        }
}
