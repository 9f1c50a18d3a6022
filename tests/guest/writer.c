/* writer: a guest that writes its disk by interrupt and remembers in RAM what must stand there. Each tick it reads some sectors,
 * compares them, and writes them anew, several requests at once; a request that completes twice, never, or for another is counted
 * as bad.
 *
 *   TICK n nonce=.. walked=512 bad=0 writes=N lost=0 doubled=0 wrong=0 cpus=1 stuck=0 irq=ok
 *
 * A sector holds: nonce, its number, its version, and 61 words made of the three. */
#include "tests/guest/guest.h"

#define SECTORS_MAX 4096UL
#define DEPTH       8
#define VIRTIO_BLK  2

struct request {
        struct { u32 type, reserved; u64 sector; } head;
        u64 data[64];
        volatile u8 status;
};

static struct device disk;
static struct request requests[DEPTH];
static u32 versions[SECTORS_MAX];
static u64 nr_sectors, writes, lost, doubled, wrong;

static void make_sector(u64 *data, u64 sector, u64 version)
{
        data[0] = nonce;
        data[1] = sector;
        data[2] = version;
        for (u64 w = 3; w < 64; w++)
                data[w] = mix(nonce ^ sector << 40 ^ version << 8 ^ w);
}

static int sector_is_right(const u64 *data, u64 sector)
{
        static u64 expected[64];

        if (!versions[sector])
                return 1; /* what was there before is not ours to judge */
        make_sector(expected, sector, versions[sector]);
        for (int w = 0; w < 64; w++)
                if (data[w] != expected[w])
                        return 0;
        return 1;
}

static void submit(int i, int write, u64 sector)
{
        struct queue *q = &disk.q[0];
        struct request *k = &requests[i];
        u16 head = (u16)(i * 3);

        k->head.type = (u32)write;
        k->head.sector = sector;
        k->status = 0xff;
        q->d[head] = (struct desc){ (u64)&k->head, 16, DESC_NEXT, (u16)(head + 1) };
        q->d[head + 1] = (struct desc){ (u64)k->data, 512, (u16)(DESC_NEXT | (write ? 0 : DESC_WRITE)), (u16)(head + 2) };
        q->d[head + 2] = (struct desc){ (u64)&k->status, 1, DESC_WRITE, 0 };
        make_available(q, head);
}

/* All of them must come back, each once, and the device must have interrupted. */
static void complete_all(u64 irqs)
{
        u32 open = (1u << DEPTH) - 1;

        while (open) {
                if (!wait_used(&disk, &disk.q[0], irqs)) {
                        lost++;
                        return;
                }
                while (has_used(&disk.q[0])) {
                        u32 i = take_used(&disk.q[0], 0) / 3;

                        if (i >= DEPTH || !(open >> i & 1)) doubled++;
                        else open &= ~(1u << i);
                        if (i < DEPTH && requests[i].status) wrong++;
                }
                irqs = disk_irqs - 1; /* one was seen: the rest may come without another */
        }
}

static void exchange(u64 n)
{
        u64 first = mix(n * 0x9e3779b97f4a7c15UL + nonce) % nr_sectors, irqs = disk_irqs;

        for (int i = 0; i < DEPTH; i++)
                submit(i, 0, (first + (u64)i * 7) % nr_sectors);
        kick(&disk, 0);
        complete_all(irqs);
        for (int i = 0; i < DEPTH; i++)
                wrong += !sector_is_right(requests[i].data, requests[i].head.sector);
        irqs = disk_irqs;
        for (int i = 0; i < DEPTH; i++) {
                u64 s = requests[i].head.sector;

                make_sector(requests[i].data, s, ++versions[s]);
                submit(i, 1, s);
                kick(&disk, 0); /* one by one: a snapshot finds some of them under way */
        }
        complete_all(irqs);
        writes += DEPTH;
}

void guest_main(const char *cmdline)
{
        if (!find_device(cmdline, VIRTIO_BLK, 0, &disk) || !config32(&disk, 0) || !start_device(&disk, 0, 1)) {
                put("no disk\n");
                return;
        }
        nr_sectors = config32(&disk, 0);
        if (nr_sectors > SECTORS_MAX) nr_sectors = SECTORS_MAX;
        nr_sectors -= nr_sectors % 8; /* the sectors of one tick are apart: 7 and 8 have no factor in common */
        put("BOOT nonce="); hex(nonce, 16); put_number(" sectors=", nr_sectors); put("\n");
        for (u64 n = 1;; n++) {
                u64 bad = walk();

                exchange(n);
                begin_tick(n, bad + lost + doubled + wrong);
                put_number(" writes=", writes); put_number(" lost=", lost); put_number(" doubled=", doubled); put_number(" wrong=", wrong);
                end_tick();
                wait_timer();
        }
}
