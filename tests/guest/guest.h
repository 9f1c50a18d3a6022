/* tests/guest/guest.h: what the guests beside beacon share: beacon's boot assembly (beacon.S) calls build_tables, then
 * beacon_main at CPL 3. Memory that proves itself, a timer, lines on the serial port, and virtio-mmio devices driven by
 * interrupt.
 *
 * Each guest is one file that includes this one and defines `guest_main(const char *cmdline)`. Freestanding: no library at
 * all.
 * Owns:    the machine.
 * Threads: one processor; beacon.S's interrupts count, and nothing else.
 * Blocks:  what waits for an interrupt, for PATIENCE pauses at most. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#define FILL_BASE 0x2000000UL /* 32 MiB */
#ifndef FILL_PAGES
#define FILL_PAGES 4096UL
#endif
#ifndef WALK_PAGES
#define WALK_PAGES 512UL
#endif
#define TIMER_COUNT  250000 /* local APIC timer: 4 ms between ticks on KVM's 1 GHz bus */
#define TIMER_VECTOR 0x20
#define DISK_VECTOR  0x21
#define PATIENCE     100000000UL /* pauses, some seconds */

extern u64 pml4[512], pdpt[512], pd[2048], idt[96];
void isr_timer(void), isr_disk(void), isr_fault(void);
volatile u64 timer_irqs, disk_irqs; /* beacon.S counts them; every virtio device interrupts as a "disk" */

void guest_main(const char *cmdline);

static u64 boot_kind, boot_info;

void build_tables(u64 kind, u64 info)
{
        boot_kind = kind;
        boot_info = info;
        pml4[0] = (u64)pdpt | 7;
        for (u64 i = 0; i < 4; i++)
                pdpt[i] = ((u64)pd + i * 4096) | 7;
        for (u64 i = 0; i < 2048; i++)
                pd[i] = i << 21 | (i >= 1536 ? 0x9f : 0x87); /* top 1 GiB uncached: MMIO */
        for (int v = 0; v < 48; v++) {
                u64 isr = (u64)(v == TIMER_VECTOR ? isr_timer : v == DISK_VECTOR ? isr_disk : isr_fault);

                idt[v * 2] = (isr & 0xffff) | 0x10UL << 16 | 0x8e00UL << 32 | (isr >> 16 & 0xffff) << 48;
                idt[v * 2 + 1] = isr >> 32;
        }
}

void ap_main(u64 id) /* no guest here starts a second processor */
{
        (void)id;
        for (;;)
                ;
}

/* --- ports, the serial line, numbers --- */
static inline void outb(u16 port, u8 v) { __asm__ volatile("outb %0,%1" ::"a"(v), "Nd"(port)); }
static inline u64 tsc(void) { u32 a, d; __asm__ volatile("rdtsc" : "=a"(a), "=d"(d)); return (u64)d << 32 | a; }
static inline void fence(void) { __asm__ volatile("mfence" ::: "memory"); }
static void put(const char *s) { while (*s) outb(0x3f8, (u8)*s++); }
static inline void hex(u64 v, int n) { while (n--) outb(0x3f8, (u8)"0123456789abcdef"[v >> (n * 4) & 15]); }
static void dec(u64 v) { char b[21]; int i = 20; b[i] = 0; do b[--i] = (char)('0' + v % 10); while (v /= 10); put(b + i); }
static u64 mix(u64 x) { x ^= x >> 30; x *= 0xbf58476d1ce4e5b9UL; x ^= x >> 27; x *= 0x94d049bb133111ebUL; return x ^ x >> 31; }
static void put_number(const char *name, u64 v) { put(name); dec(v); }

void *memcpy(void *to, const void *from, u64 n) { for (u64 i = 0; i < n; i++) ((volatile u8 *)to)[i] = ((const u8 *)from)[i]; return to; }
void *memset(void *to, int c, u64 n) { for (u64 i = 0; i < n; i++) ((volatile u8 *)to)[i] = (u8)c; return to; }

static int gave_up(u64 *spins) { __asm__ volatile("pause"); return ++*spins > PATIENCE; }

/* --- interrupts --- */
static inline volatile u32 *lapic(u32 reg) { return (volatile u32 *)(0xfee00000UL + reg); }
static inline void ioapic(u32 reg, u32 v) { *(volatile u32 *)0xfec00000UL = reg; *(volatile u32 *)0xfec00010UL = v; }
static void route_irq(u32 gsi) { ioapic(0x11 + gsi * 2, *lapic(0x20) & 0xff000000); ioapic(0x10 + gsi * 2, DISK_VECTOR); }

static void start_timer(void)
{
        *lapic(0xf0) = 0x1ff;
        *lapic(0x350) = 1 << 16; /* LINT0 masked: the PICs are not in every snapshot */
        *lapic(0x3e0) = 3;       /* divide by 16 */
        *lapic(0x320) = 1 << 17 | TIMER_VECTOR;
        *lapic(0x380) = TIMER_COUNT;
}

static int timer_dead, irq_dead;

static void wait_timer(void)
{
        u64 irqs = timer_irqs, spins = 0;

        while (timer_irqs == irqs && !timer_dead)
                timer_dead = gave_up(&spins);
}

/* --- memory that proves itself, as beacon's --- */
static u64 nonce, counter[FILL_PAGES];

static inline u64 *page(u64 i) { return (u64 *)(FILL_BASE + i * 4096); }

static inline void fill_page(u64 i)
{
        u64 *p = page(i);

        p[0] = mix(nonce + i);
        p[1] = 0;
        for (int w = 2; w < 512; w += 51)
                p[w] = mix(p[0] + (u64)w);
}

static inline int page_is_good(u64 i)
{
        u64 *p = page(i);

        if (p[0] != mix(nonce + i) || p[1] != counter[i])
                return 0;
        for (int w = 2; w < 512; w += 51)
                if (p[w] != mix(p[0] + (u64)w))
                        return 0;
        return 1;
}

/* Walks some pages and counts the bad ones; every page's second word counts its visits. */
static inline u64 walk(void)
{
        u64 bad = 0;

        for (u64 k = 0; k < WALK_PAGES; k++) {
                u64 i = mix(k * 2654435761UL) % FILL_PAGES;

                bad += !page_is_good(i);
                page(i)[1] = ++counter[i];
        }
        return bad;
}

/* "TICK n nonce=.. walked=.. bad=..": what the tests' reader needs; the guest adds its own words, then end_tick. */
static inline void begin_tick(u64 n, u64 bad)
{
        put_number("TICK ", n);
        put(" nonce=");
        hex(nonce, 16);
        put_number(" walked=", WALK_PAGES);
        put_number(" bad=", bad);
}

static inline void end_tick(void)
{
        put(" cpus=1 stuck=0 irq=");
        put(irq_dead ? "disk" : timer_dead ? "timer" : "ok");
        put("\n");
}

/* --- virtio-mmio, version 2; split queues; VERSION_1 and what the guest asks for --- */
#define QUEUE_SIZE 64
#define QUEUES_MAX 8
#define DESC_NEXT  1
#define DESC_WRITE 2

struct desc { u64 addr; u32 len; u16 flags, next; };
struct queue {
        struct desc d[QUEUE_SIZE];
        struct { u16 flags, idx, ring[QUEUE_SIZE], used_event; } avail;
        struct { u16 flags, idx; struct { u32 id, len; } ring[QUEUE_SIZE]; u16 avail_event; } used __attribute__((aligned(4)));
        u16 seen; /* of used */
} __attribute__((aligned(4096)));

struct device {
        volatile u32 *r; /* its registers; 0: not found */
        u32 gsi;
        u64 features;
        struct queue q[QUEUES_MAX];
};

static inline u8 config8(const struct device *d, u32 at) { return ((volatile u8 *)d->r)[0x100 + at]; }
static inline u32 config32(const struct device *d, u32 at) { return d->r[(0x100 + at) / 4]; }

static u64 number(const char **s, u64 base)
{
        u64 v = 0;

        for (;; (*s)++) {
                char c = **s;

                if (c >= '0' && c <= '9') v = v * base + (u64)(c - '0');
                else if (base == 16 && c >= 'a' && c <= 'f') v = v * base + (u64)(c - 'a' + 10);
                else return v;
        }
}

/* The nth (from 0) device of this virtio id among the "virtio_mmio.device=512@0xBASE:IRQ" of the command line. */
static int find_device(const char *s, u32 id, int nth, struct device *ret)
{
        static const char key[] = "virtio_mmio.device=";

        for (; *s; s++) {
                int n = 0;

                while (key[n] && s[n] == key[n]) n++;
                if (key[n]) continue;
                s += n;
                while (*s && *s != '@') s++;
                if (!*s) return 0;
                s += s[1] == '0' && s[2] == 'x' ? 3 : 1;
                u64 base = number(&s, 16);
                u32 gsi = 0;
                if (*s == ':') {
                        s++;
                        gsi = (u32)number(&s, 10);
                }
                volatile u32 *r = (volatile u32 *)base;
                if (r[0] == 0x74726976 && r[1] == 2 && r[2] == id && nth-- == 0) {
                        ret->r = r;
                        ret->gsi = gsi;
                        return 1;
                }
                if (!*s) return 0;
        }
        return 0;
}

static int start_device(struct device *d, u64 wanted, u32 nr_queues)
{
        volatile u32 *r = d->r;

        r[0x1c] = 0;
        r[0x1c] = 1;
        r[0x1c] = 3;
        r[0x05] = 0;
        d->features = r[0x04];
        r[0x05] = 1;
        d->features |= (u64)r[0x04] << 32;
        d->features &= wanted | 1UL << 32;
        r[0x09] = 1; r[0x08] = (u32)(d->features >> 32);
        r[0x09] = 0; r[0x08] = (u32)d->features;
        r[0x1c] = 11;
        if (!(r[0x1c] & 8)) return 0;
        for (u32 i = 0; i < nr_queues; i++) {
                struct queue *q = &d->q[i];

                r[0x0c] = i;
                r[0x0e] = QUEUE_SIZE;
                r[0x20] = (u32)(u64)q->d; r[0x21] = (u32)((u64)q->d >> 32);
                r[0x24] = (u32)(u64)&q->avail; r[0x25] = (u32)((u64)&q->avail >> 32);
                r[0x28] = (u32)(u64)&q->used; r[0x29] = (u32)((u64)&q->used >> 32);
                r[0x11] = 1;
        }
        r[0x1c] = 15;
        route_irq(d->gsi);
        return 1;
}

/* Makes the chain that begins at descriptor `head` available; kick tells the device. */
static void make_available(struct queue *q, u16 head)
{
        q->avail.ring[q->avail.idx % QUEUE_SIZE] = head;
        __asm__ volatile("" ::: "memory");
        q->avail.idx++;
        fence();
}
static inline void kick(struct device *d, u32 queue) { d->r[0x14] = queue; }

static inline int has_used(struct queue *q) { return *(volatile u16 *)&q->used.idx != q->seen; }
static inline u32 take_used(struct queue *q, u32 *ret_len)
{
        u32 at = q->seen++ % QUEUE_SIZE;

        __asm__ volatile("" ::: "memory");
        if (ret_len) *ret_len = *(volatile u32 *)&q->used.ring[at].len;
        return *(volatile u32 *)&q->used.ring[at].id;
}
static inline void acknowledge(struct device *d) { d->r[0x19] = d->r[0x18]; }

/* Waits until the queue has something and the device has interrupted since `irqs`. False: it never came. */
static inline int wait_used(struct device *d, struct queue *q, u64 irqs)
{
        u64 spins = 0;

        while (!has_used(q))
                if (gave_up(&spins)) return 0;
        while (disk_irqs == irqs && !irq_dead)
                irq_dead = gave_up(&spins);
        acknowledge(d);
        return 1;
}

void beacon_main(void)
{
        const char *cmdline = boot_kind == 1 ? (const char *)(u64)*(u32 *)(boot_info + 0x228) : (const char *)*(u64 *)(boot_info + 24);

        nonce = mix(tsc());
        for (u64 i = 0; i < FILL_PAGES; i++)
                fill_page(i);
        start_timer();
        guest_main(cmdline);
        put("END\n");
        for (;;)
                wait_timer();
}
