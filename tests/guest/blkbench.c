/* blkbench: a guest that reads its disk as bench/blk reads the file on the host, and says how long that took. It polls: what is
 * measured is the way of a request through the device, not that of an interrupt through an interrupt controller.
 *
 *   BLK <row> reads=N errors=0 cycles=<all of them> p50=<cycles of one> p99=<cycles of one>
 *
 * Cycles are those of the TSC, which at CPL 3 is the host's. */
#define FILL_PAGES 1UL
#define WALK_PAGES 1UL
#include "tests/guest/guest.h"

#include "bench/blk_reads.h"

#define VIRTIO_BLK    2
#define INDIRECT      (1UL << 28)
#define EVENT_IDX     (1UL << 29)
#define DESC_INDIRECT 4
#define BUFFERS       0x4000000UL /* 64 MiB */

struct request {
        struct { u32 type, reserved; u64 sector; } head;
        struct desc pieces[3];
        u64 started;
        volatile u8 status;
} __attribute__((aligned(64)));

struct row {
        u64 len;
        u32 depth;
        int is_random;
        u64 reads;
};

#define ROW(name, len, depth, is_random, reads) { len, depth, is_random, reads },
static const struct row rows[] = { BLK_READS(ROW) };

static struct device disk;
static u16 kicked; /* the available index at the last kick that was thought of */
static struct request requests[BLK_DEPTH_MAX];
static u32 cycles[BLK_READS_MAX];
static u64 size_bytes, errors;

static void start(u32 k, const struct row *w, u64 i)
{
        struct request *r = &requests[k];

        r->head.type = 0;
        r->head.sector = blk_read_offset(i, w->len, w->is_random, size_bytes) / 512;
        r->status = 0xff;
        r->pieces[0] = (struct desc){ (u64)&r->head, 16, DESC_NEXT, 1 };
        r->pieces[1] = (struct desc){ BUFFERS + k * BLK_READ_MAX_BYTES, (u32)w->len, DESC_NEXT | DESC_WRITE, 2 };
        r->pieces[2] = (struct desc){ (u64)&r->status, 1, DESC_WRITE, 0 };
        disk.q[0].d[k] = (struct desc){ (u64)r->pieces, sizeof(r->pieces), DESC_INDIRECT, 0 };
        r->started = tsc();
        make_available(&disk.q[0], (u16)k);
}

static void sift_down(u64 i, u64 n)
{
        for (u64 child; (child = 2 * i + 1) < n; i = child) {
                u32 was = cycles[i];

                if (child + 1 < n && cycles[child + 1] > cycles[child]) child++;
                if (cycles[child] <= was) return;
                cycles[i] = cycles[child];
                cycles[child] = was;
        }
}

static void sort(u64 n)
{
        for (u64 i = n / 2; i-- > 0;)
                sift_down(i, n);
        while (n-- > 1) {
                u32 was = cycles[0];

                cycles[0] = cycles[n];
                cycles[n] = was;
                sift_down(0, n);
        }
}

/* As Linux does it: only if the device asked to hear of an entry since the last time (virtio 1.2, section 2.7.10). */
static void kick_if_wanted(void)
{
        struct queue *q = &disk.q[0];
        u16 event = *(volatile u16 *)&q->used.avail_event, now = q->avail.idx;

        if ((u16)(now - event - 1) < (u16)(now - kicked))
                kick(&disk, 0);
        kicked = now;
}

/* Many that came at once are started again with one kick. */
static u64 finish_some(const struct row *w, u64 started, u64 *done)
{
        u64 before = started, spins = 0;

        while (!has_used(&disk.q[0]))
                if (gave_up(&spins)) return ~0UL;
        while (has_used(&disk.q[0])) {
                u32 k = take_used(&disk.q[0], 0);

                errors += requests[k].status != 0;
                cycles[(*done)++] = (u32)(tsc() - requests[k].started);
                if (started < w->reads)
                        start(k, w, started++);
        }
        if (started != before)
                kick_if_wanted();
        disk.q[0].avail.used_event = (u16)(disk.q[0].seen + 0x7fff); /* no interrupts */
        return started;
}

static void run(const struct row *w, int number)
{
        u64 begun = tsc(), started = 0, done = 0;

        errors = 0;
        for (; started < w->depth; started++)
                start((u32)started, w, started);
        kick_if_wanted();
        while (done < w->reads) {
                started = finish_some(w, started, &done);
                if (started == ~0UL) {
                        put("BLK a request never came back\n");
                        return;
                }
        }
        begun = tsc() - begun;
        sort(done);
        put_number("BLK ", (u64)number); put_number(" reads=", done); put_number(" errors=", errors); put_number(" cycles=", begun);
        put_number(" p50=", cycles[done / 2]); put_number(" p99=", cycles[done * 99 / 100]); put("\n");
}

void guest_main(const char *cmdline)
{
        if (!find_device(cmdline, VIRTIO_BLK, 0, &disk) || !config32(&disk, 0) || !start_device(&disk, INDIRECT | EVENT_IDX, 1) ||
            (~disk.features & (INDIRECT | EVENT_IDX))) {
                put("no disk\n");
                return;
        }
        size_bytes = (config32(&disk, 0) | (u64)config32(&disk, 4) << 32) * 512;
        disk.q[0].avail.used_event = 0x7fff; /* no interrupts */
        memset((void *)BUFFERS, 0, BLK_DEPTH_MAX * BLK_READ_MAX_BYTES); /* there before the clock runs */
        for (int i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++)
                run(&rows[i], i);
}
