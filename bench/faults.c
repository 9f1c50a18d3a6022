/* bench/faults: from the touch of a page to the touch done: the pager beside a bare loop of poll, read and one UFFDIO_COPY of warm memory.
 *
 * Pages are touched in an order of chance (each thread has its own), or one after another. No VM: a thread touches, so that nothing but the
 * fault is measured. Arms are interleaved, round by round. The file is warm, verify is off. Read the ratios. */
#include "bench/floors/bare_loop.h"
#include "bench/floors/memory.h"
#include "bench/floors/rig.h"
#include "bench/sample.h"
#include "core/base/clock.h"

#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define RAM_PAGES   262144 /* 1 GiB: what is touched by chance must stay far apart */
#define THREADS_MAX 64

enum arm { ARM_BARE, ARM_PAGER, ARMS };

struct row {
        const char  *name;
        unsigned int threads;
        bool         in_order;
        unsigned int touches; /* of each thread, in a round */
        double       goal[2]; /* p50, p99; 0: none */
        struct sample us[ARMS];
        double        cpu_us, cpu_touches; /* of the pager */
};

struct toucher {
        const struct rig  *rig;
        pthread_barrier_t *start;
        const uint64_t    *pages;
        unsigned int       nr;
        double            *us;
        pthread_t          thread;
};

static void *touch(void *arg)
{
        struct toucher *t = arg;

        pthread_barrier_wait(t->start);
        for (unsigned int i = 0; i < t->nr; i++) {
                const volatile uint8_t *at = t->rig->ram + pages_to_bytes(t->pages[i]);
                uint64_t                t0 = now_ns();

                (void)*at;
                t->us[i] = (double)(now_ns() - t0) / (double)NS_PER_US;
        }
        return NULL;
}

/* All threads through their pages; the times go to s. */
static void touch_all(const struct rig *r, const struct row *row, const uint64_t *order, struct sample *s)
{
        struct toucher    t[THREADS_MAX];
        double           *us = calloc((size_t)row->threads * row->touches, sizeof(*us));
        pthread_barrier_t start;

        if (!us)
                floor_die("samples", ENOMEM);
        pthread_barrier_init(&start, NULL, row->threads);
        for (unsigned int i = 0; i < row->threads; i++) {
                size_t from = row->in_order ? (size_t)i * (r->nr_pages / row->threads) : (size_t)i * row->touches;

                t[i] = (struct toucher){ .rig = r, .start = &start, .pages = order + from, .nr = row->touches, .us = us + (size_t)i * row->touches };
                pthread_create(&t[i].thread, NULL, touch, &t[i]);
        }
        for (unsigned int i = 0; i < row->threads; i++)
                pthread_join(t[i].thread, NULL);
        pthread_barrier_destroy(&start);
        for (size_t i = 0; i < (size_t)row->threads * row->touches; i++)
                sample_add(s, us[i]);
        free(us);
}

static void run_bare(struct rig *r, struct row *row, const uint64_t *order)
{
        struct bare_loop *l;
        struct err        e = { 0 };

        rig_new_ram(r);
        l = bare_loop_start(&r->caps, r->ram, r->warm, pages_to_bytes(r->nr_pages), &e);
        if (!l)
                floor_die(e.text, -e.code);
        touch_all(r, row, order, &row->us[ARM_BARE]);
        bare_loop_stop(l);
}

static void run_pager(struct rig *r, struct row *row, const uint64_t *order)
{
        struct pager_stats s;
        uint64_t           t0;

        r->config.spare_cpu = row->threads < r->caps.nr_cpus;
        rig_start(r, &t0);
        touch_all(r, row, order, &row->us[ARM_PAGER]);
        pager_stats(r->pager, &s);
        row->cpu_us += (double)s.cpu_ns / (double)NS_PER_US;
        row->cpu_touches += (double)row->threads * row->touches;
        rig_stop(r);
}

static void print(struct row *row)
{
        static const double quantiles[] = { 0.5, 0.99 };

        printf("%-22s %7zu", row->name, row->us[ARM_PAGER].nr);
        for (int q = 0; q < 2; q++) {
                double bare = sample_quantile(&row->us[ARM_BARE], quantiles[q]), own = sample_quantile(&row->us[ARM_PAGER], quantiles[q]);

                printf("   %7.1f %7.1f %5.2f", bare, own, own / bare);
                if (row->goal[q] > 0)
                        printf(" <= %4.2f %s", row->goal[q], own / bare <= row->goal[q] ? "yes" : "NO ");
                else
                        printf("            ");
        }
        printf("   %6.1f\n", row->cpu_us / row->cpu_touches);
}

int main(int argc, char **argv)
{
        struct row rows[] = {
                { .name = "1 thread, random", .threads = 1, .touches = 2000, .goal = { 1.25, 1.25 } },
                { .name = "8 threads, random", .threads = 8, .touches = 250, .goal = { 1.25 } },
                { .name = "1 thread, in order", .threads = 1, .touches = 2000, .in_order = true },
                { .name = "8 threads, in order", .threads = 8, .touches = 250, .in_order = true },
        };
        const char *dir = "/tmp";
        unsigned    rounds = 10, seed = 1;
        uint64_t   *order = calloc(RAM_PAGES, sizeof(*order)), *in_order = calloc(RAM_PAGES, sizeof(*in_order));
        struct rig  r;
        int         c;

        while ((c = getopt(argc, argv, "d:r:s:")) != -1) {
                if (c == 'd')
                        dir = optarg;
                else if (c == 'r')
                        rounds = (unsigned)atoi(optarg);
                else if (c == 's')
                        seed = (unsigned)atoi(optarg);
                else
                        return fprintf(stderr, "usage: faults [-d DIR] [-r ROUNDS] [-s SEED]\n"), 2;
        }
        if (!order || !in_order)
                floor_die("order", ENOMEM);
        memory_warm_host(2 * GIB);
        rig_open(&r, dir, RAM_PAGES);
        rig_map_whole(&r);
        rig_warm(&r);
        for (uint64_t i = 0; i < RAM_PAGES; i++)
                in_order[i] = i;
        /* Round 0 warms the host up and is thrown away. */
        for (unsigned round = 0; round <= rounds; round++) {
                memory_shuffle(order, RAM_PAGES, seed + round);
                for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                        const uint64_t *o = rows[i].in_order ? in_order : order;

                        if (round % 2)
                                run_pager(&r, &rows[i], o);
                        run_bare(&r, &rows[i], o);
                        if (round % 2 == 0)
                                run_pager(&r, &rows[i], o);
                        for (int a = 0; a < ARMS && round == 0; a++)
                                sample_free(&rows[i].us[a]);
                }
        }
        printf("microseconds from the touch to the touch done, file warm, verify off; %u rounds\n", rounds);
        printf("%-22s %7s   %-33s   %-33s   %s\n", "", "n", "   bare   pager  p50 ratio", "   bare   pager  p99 ratio", "pager CPU us/touch");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                print(&rows[i]);
        rig_close(&r);
        free(order);
        free(in_order);
        return 0;
}
