/* bench/populate: how fast the pager fills a RAM that nobody uses, beside what the bare calls reach.
 *
 * Bytes of data a second, from the call of pager_arm to the event `done`. Arms and floors are interleaved, round by round; the ratio is that of
 * the medians. Read the ratios. -p DIR adds a native snapshot as it is: packed, raw, or both, verified. */
#include "bench/floors/rates.h"
#include "bench/floors/memory.h"
#include "bench/floors/rig.h"
#include "bench/sample.h"
#include "core/base/clock.h"
#include "core/inspect.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RAM_PAGES 131072 /* 512 MiB */

enum floor { FLOOR_COPY, FLOOR_MEMCPY, FLOOR_DIRECT, FLOOR_UNPACK, FLOORS };
static const char *const floor_names[FLOORS] = { "UFFDIO_COPY, 2 MiB", "memcpy", "O_DIRECT in order", "unpack, one core" };

enum arm { ARM_WARM, ARM_WARM_COPY, ARM_IN_FILE, ARM_IN_RAM, ARM_COLD, ARM_DIR, ARMS };

struct row {
        const char   *name;
        enum floor    floor;
        double        goal;
        struct sample rate;
        double        cpu_ns, bytes;
};

struct bench {
        struct rig    r, dir; /* dir: over the snapshot of -p */
        struct inspection snapshot;
        struct row    rows[ARMS];
        struct sample floors[FLOORS];
        unsigned      only; /* this step beside the first floor, for a profile; 0: all */
};

static double data_bytes(const struct page_map *map)
{
        struct page_counts n = page_map_count(map);

        return (double)pages_to_bytes(n.raw_pages + n.packed_pages);
}

static void note_done(void *arg, uint64_t ns)
{
        *(_Atomic uint64_t *)arg = ns;
}

static void fill(struct rig *r, struct row *row)
{
        _Atomic uint64_t   done_ns = 0;
        struct pager_stats s;
        uint64_t           arm_ns;

        r->config.fill = r->config.paused = r->config.spare_cpu = true;
        r->config.events = (struct pager_events){ .arg = &done_ns, .done = note_done };
        rig_start(r, &arm_ns);
        if (pager_wait(r->pager, -1) != 0)
                floor_die("the pager lost pages", EIO);
        pager_stats(r->pager, &s);
        sample_add(&row->rate, data_bytes(r->config.map) * (double)NS_PER_S / (double)(done_ns - arm_ns));
        row->cpu_ns += (double)s.cpu_ns;
        row->bytes += data_bytes(r->config.map);
        rig_stop(r);
}

static double copy_2m(struct rig *r)
{
        struct err e = { 0 };
        double     v;

        rig_new_ram(r);
        if (rate_copy_2m(&r->caps, r->ram, r->warm, pages_to_bytes(r->nr_pages), &v, &e) < 0)
                floor_die(e.text, -e.code);
        return v;
}

static double direct(const struct rig *r)
{
        struct err e = { 0 };
        double     v;

        if (rate_direct(r->fd, "memory", pages_to_bytes(r->nr_pages), &v, &e) < 0)
                floor_die(e.text, -e.code);
        return v;
}

static void do_copy_floor(struct bench *b, unsigned round)
{
        (void)round;
        sample_add(&b->floors[FLOOR_COPY], copy_2m(&b->r));
}

static void do_memcpy_floor(struct bench *b, unsigned round)
{
        (void)round;
        sample_add(&b->floors[FLOOR_MEMCPY], rate_memcpy(b->r.warm, pages_to_bytes(b->r.nr_pages)));
}

static void do_warm(struct bench *b, unsigned round)
{
        (void)round;
        rig_map_whole(&b->r);
        fill(&b->r, &b->rows[ARM_WARM]);
}

static void do_warm_copy(struct bench *b, unsigned round)
{
        bool move = b->r.caps.uffd_move;

        (void)round;
        b->r.caps.uffd_move = false;
        rig_map_whole(&b->r);
        fill(&b->r, &b->rows[ARM_WARM_COPY]);
        b->r.caps.uffd_move = move;
}

static void do_in_ram(struct bench *b, unsigned round)
{
        (void)round;
        rig_map_scattered_ram(&b->r, 4);
        fill(&b->r, &b->rows[ARM_IN_RAM]);
}

static void do_in_file(struct bench *b, unsigned round)
{
        rig_map_scattered_file(&b->r, 4, round);
        fill(&b->r, &b->rows[ARM_IN_FILE]);
}

/* Side by side in time: a disk has its moods. */
static void do_cold(struct bench *b, unsigned round)
{
        rig_map_whole(&b->r);
        rig_evict(&b->r);
        if (round % 2)
                sample_add(&b->floors[FLOOR_DIRECT], direct(&b->r));
        fill(&b->r, &b->rows[ARM_COLD]);
        rig_evict(&b->r);
        if (round % 2 == 0)
                sample_add(&b->floors[FLOOR_DIRECT], direct(&b->r));
        rig_warm(&b->r);
}

static void do_snapshot(struct bench *b, unsigned round)
{
        (void)round;
        if (!b->snapshot.pages)
                return;
        if (b->snapshot.pages->nr_chunks > 0)
                sample_add(&b->floors[FLOOR_UNPACK], rate_unpack(b->snapshot.pages));
        fill(&b->dir, &b->rows[ARM_DIR]);
}

/* In an order of chance: what an arm leaves behind (memory that the host has found, or has not) is the next one's luck. */
static void run_round(struct bench *b, unsigned round)
{
        static void (*const steps[])(struct bench *, unsigned) = { do_copy_floor, do_memcpy_floor, do_warm, do_warm_copy, do_in_ram,
                                                                   do_in_file, do_cold, do_snapshot };
        uint64_t order[ARRAY_LEN(steps)];

        memory_shuffle(order, ARRAY_LEN(steps), round * 7919 + 1);
        for (size_t i = 0; i < ARRAY_LEN(steps); i++)
                if (!b->only || order[i] == 0 || order[i] == b->only)
                        steps[order[i]](b, round);
}

static void forget(struct bench *b)
{
        for (int i = 0; i < ARMS; i++) {
                sample_free(&b->rows[i].rate);
                b->rows[i].cpu_ns = b->rows[i].bytes = 0;
        }
        for (int i = 0; i < FLOORS; i++)
                sample_free(&b->floors[i]);
}

static double floor_rate(struct bench *b, enum floor f, double q)
{
        double copy = sample_quantile(&b->floors[FLOOR_COPY], q), v = sample_quantile(&b->floors[f], q);

        return f == FLOOR_UNPACK && v > copy ? copy : v;
}

static void print(struct bench *b)
{
        for (int f = 0; f < FLOORS; f++)
                if (b->floors[f].nr > 0)
                        printf("floor  %-28s %3zu %8.2f GB/s\n", floor_names[f], b->floors[f].nr, sample_quantile(&b->floors[f], 0.5) / 1e9);
        printf("%-35s %3s %13s  %5s  %5s %8s  %s\n", "", "n", "p50", "ratio", "best", "goal", "CPU us/page   floor");
        for (int a = 0; a < ARMS; a++) {
                struct row *row = &b->rows[a];
                double      p50 = sample_quantile(&row->rate, 0.5), best = sample_quantile(&row->rate, 1), ratio;

                if (row->rate.nr == 0)
                        continue;
                ratio = p50 / floor_rate(b, row->floor, 0.5);
                printf("pager  %-28s %3zu %8.2f GB/s  %5.2f  %5.2f", row->name, row->rate.nr, p50 / 1e9, ratio, best / floor_rate(b, row->floor, 1));
                if (row->goal > 0)
                        printf(" >= %4.2f %s", row->goal, ratio >= row->goal ? "yes" : "NO ");
                else
                        printf("            ");
                printf("  %5.2f         %s%s\n", row->cpu_ns / (double)NS_PER_US / (row->bytes / (double)PAGE_BYTES), floor_names[row->floor],
                       row->floor == FLOOR_UNPACK ? " or UFFDIO_COPY: the slower" : "");
        }
}

static void open_snapshot(struct bench *b, const char *path)
{
        struct err e = { 0 };

        if (inspect_open(path, &(struct inspect_options){ 0 }, &b->snapshot, &e) < 0) {
                fprintf(stderr, "bench/populate: %s\n", e.text);
                exit(1);
        }
        rig_open_map(&b->dir, b->snapshot.pages);
        b->dir.config.verify = b->snapshot.verifiable;
}

int main(int argc, char **argv)
{
        static struct bench b = {
                .rows = {
                        [ARM_WARM]      = { .name = "raw, warm", .floor = FLOOR_COPY, .goal = 0.85 },
                        [ARM_WARM_COPY] = { .name = "raw, warm, no UFFDIO_MOVE", .floor = FLOOR_COPY },
                        [ARM_IN_FILE]   = { .name = "runs of 4, scattered in file", .floor = FLOOR_COPY, .goal = 0.60 },
                        [ARM_IN_RAM]    = { .name = "runs of 4, zeros between", .floor = FLOOR_COPY, .goal = 0.60 },
                        [ARM_COLD]      = { .name = "raw, cold", .floor = FLOOR_DIRECT, .goal = 0.80 },
                        [ARM_DIR]       = { .name = "snapshot of -p, verified", .floor = FLOOR_UNPACK, .goal = 0.90 },
                },
        };
        const char *dir = "/tmp", *snapshot = NULL;
        unsigned    rounds = 7;
        int         c;

        while ((c = getopt(argc, argv, "d:o:p:r:")) != -1) {
                if (c == 'd')
                        dir = optarg;
                else if (c == 'o')
                        b.only = (unsigned)atoi(optarg);
                else if (c == 'p')
                        snapshot = optarg;
                else if (c == 'r')
                        rounds = (unsigned)atoi(optarg);
                else
                        return fprintf(stderr, "usage: populate [-d DIR] [-o STEP] [-p SNAPSHOT] [-r ROUNDS]\n"), 2;
        }
        memory_warm_host(4 * GIB);
        rig_open(&b.r, dir, RAM_PAGES);
        if (snapshot)
                open_snapshot(&b, snapshot);
        if (snapshot && b.snapshot.pages->nr_chunks == 0)
                b.rows[ARM_DIR].floor = FLOOR_COPY;
        /* Round 0 warms the host up and is thrown away. */
        for (unsigned round = 0; round <= rounds; round++) {
                run_round(&b, round);
                if (round == 0)
                        forget(&b);
        }
        print(&b);
        forget(&b);
        rig_close(&b.r);
        if (snapshot) {
                rig_close(&b.dir);
                inspect_close(&b.snapshot);
        }
        return 0;
}
