/* balloon: a guest that gives memory away and takes it back, and proves that what comes back is zeros.
 *
 * Beside the memory that every guest walks it has a pool of pages that hold a pattern from its nonce. Each tick it looks at what
 * its virtio-balloon asks for, and gives pages of the pool, or takes back those that it gave first, a few batches a tick. A page
 * that comes back must be zero in every byte; then it gets another pattern. The pages that it has are checked in turn.
 *
 *   TICK n nonce=.. walked=512 bad=0 balloon=PAGES dirty=0 cpus=1 stuck=0 irq=ok
 *
 * balloon says how many pages are given; dirty counts, since the start, pages that came back with anything but zeros. */
#define FILL_PAGES 2048UL
#include "tests/guest/guest.h"

#define POOL_BASE      0x3000000UL /* 48 MiB: past what guest.h fills */
#define POOL_PAGES     8192UL      /* 32 MiB */
#define POOL_WALK      512UL
#define BATCH_PFNS     256UL
#define BATCHES        4 /* a tick */
#define VIRTIO_BALLOON 5

static struct device balloon;
static u32 pfns[BATCH_PFNS];
static u32 generation[POOL_PAGES]; /* of a pool page's pattern */
static u8 is_away[POOL_PAGES];
static u16 order[POOL_PAGES];      /* pages are given in this order, and come back in it: [taken, given) are away */
static u64 given, taken, dirty;

static u64 *pool_page(u64 i) { return (u64 *)(POOL_BASE + i * 4096); }
static u64 pool_word(u64 i, u64 w) { return mix(nonce ^ i << 40 ^ (u64)generation[i] << 12 ^ w); }

static void pool_write(u64 i)
{
        for (u64 w = 0; w < 512; w += 51)
                pool_page(i)[w] = pool_word(i, w);
}

static int pool_is_good(u64 i)
{
        for (u64 w = 0; w < 512; w += 51)
                if (pool_page(i)[w] != pool_word(i, w))
                        return 0;
        return 1;
}

static int pool_is_zero(u64 i)
{
        u64 any = 0;

        for (int w = 0; w < 512; w++)
                any |= pool_page(i)[w];
        return !any;
}

static void swap(u64 a, u64 b)
{
        u16 t = order[a];

        order[a] = order[b];
        order[b] = t;
}

/* Runs of 1 to 8 neighbours, here and there: blocks are shuffled, then single pages torn out of them. */
static void shuffle(void)
{
        for (u64 i = 0; i < POOL_PAGES; i++)
                order[i] = (u16)i;
        for (u64 b = POOL_PAGES / 8 - 1; b > 0; b--)
                for (u64 k = 0, other = mix(nonce ^ b) % (b + 1); k < 8; k++)
                        swap(b * 8 + k, other * 8 + k);
        for (u64 i = 1; i < POOL_PAGES; i += 5)
                swap(i, mix(nonce ^ i << 20) % POOL_PAGES);
}

static void send_pfns(u32 queue, u64 nr)
{
        struct queue *q = &balloon.q[queue];
        u64 irqs = disk_irqs;

        q->d[0] = (struct desc){ (u64)pfns, (u32)(nr * 4), 0, 0 };
        make_available(q, 0);
        kick(&balloon, queue);
        if (!wait_used(&balloon, q, irqs))
                irq_dead = 1;
        else
                take_used(q, 0);
}

static void give(u64 nr)
{
        for (u64 k = 0; k < nr; k++, given++) {
                u64 i = order[given % POOL_PAGES];

                is_away[i] = 1;
                pfns[k] = (u32)((u64)pool_page(i) >> 12);
        }
        send_pfns(0, nr);
}

static void take(u64 nr)
{
        for (u64 k = 0; k < nr; k++)
                pfns[k] = (u32)((u64)pool_page(order[(taken + k) % POOL_PAGES]) >> 12);
        send_pfns(1, nr);
        for (u64 k = 0; k < nr; k++, taken++) {
                u64 i = order[taken % POOL_PAGES];

                dirty += !pool_is_zero(i);
                generation[i]++;
                pool_write(i);
                is_away[i] = 0;
        }
}

/* Towards what the host asks for. */
static void follow(void)
{
        for (int b = 0; b < BATCHES && !irq_dead; b++) {
                u64 want = config32(&balloon, 0), have = given - taken, nr;

                if (want > POOL_PAGES) want = POOL_PAGES;
                if (want == have) return;
                nr = want > have ? want - have : have - want;
                if (nr > BATCH_PFNS) nr = BATCH_PFNS;
                if (want > have) give(nr);
                else take(nr);
                balloon.r[(0x100 + 4) / 4] = (u32)(given - taken); /* actual */
        }
}

static u64 pool_walk(u64 n)
{
        u64 bad = 0;

        for (u64 k = 0; k < POOL_WALK; k++) {
                u64 i = (n * POOL_WALK + k) % POOL_PAGES;

                bad += !is_away[i] && !pool_is_good(i);
        }
        return bad;
}

void guest_main(const char *cmdline)
{
        for (u64 i = 0; i < POOL_PAGES; i++)
                pool_write(i);
        shuffle();
        put("BOOT nonce=");
        hex(nonce, 16);
        if (!find_device(cmdline, VIRTIO_BALLOON, 0, &balloon) || !start_device(&balloon, 0, 2)) {
                put(" no balloon\n");
                return;
        }
        put(" a balloon\n");
        for (u64 n = 1;; n++) {
                u64 bad = walk() + pool_walk(n);

                follow();
                begin_tick(n, bad);
                put_number(" balloon=", given - taken);
                put_number(" dirty=", dirty);
                end_tick();
                wait_timer();
        }
}
