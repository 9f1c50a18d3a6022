/* bench/floors/floors.c: a table of floors. One more is a row, and a function that measures once and adds its metrics to the
 * arm. */
#include "bench/floors/floors.h"

#include "bench/floors/bare_loop.h"
#include "bench/floors/memory.h"
#include "bench/floors/rates.h"
#include "bench/floors/touch.h"
#include "bench/stats/stats.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "uffd/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES_DEFAULT (64 * MIB)
#define TOUCHES       1000

struct floors {
        struct floors_config c;
        struct host_caps     caps;
        int                  file_fd; /* -1: none */
        uint8_t             *warm;    /* c.bytes of memory that is there */
        uint64_t            *order;   /* of its pages */
        double               us[TOUCHES];
};

struct floor_row {
        const char *name, *what;
        /* Once: its metrics go to the arm. 0, or -errno and *e: this host cannot, or it failed. */
        int (*measure)(struct floors *f, struct bench_arm *a, uint32_t round, struct err *e);
        bool needs_file;
};

static void add_rate(struct bench_arm *a, uint32_t round, double rate)
{
        bench_value_add(bench_metric_get(a, "rate", "bytes/s", BENCH_HIGHER), round, rate);
}

static int measure_fault(struct floors *f, struct bench_arm *a, uint32_t round, struct err *e)
{
        uint8_t          *ram = memory_map_ram(f->c.bytes);
        struct touch_plan p = { .memory = ram, .us = f->us, .threads = 1,
                                .touches = (unsigned)MIN(TOUCHES, bytes_to_pages(f->c.bytes)),
                                .pages = f->order, .page_bytes = PAGE_BYTES };
        struct bare_loop *l = bare_loop_start(&f->caps, ram, f->warm, f->c.bytes, PAGE_BYTES, e);

        if (l) {
                memory_shuffle(f->order, bytes_to_pages(f->c.bytes), f->c.seed + round);
                touch_run(&p);
                bare_loop_stop(l);
                stats_sort(f->us, p.touches);
                bench_value_add(bench_metric_get(a, "p50", "us", BENCH_LOWER), round, stats_quantile(f->us, p.touches, 0.5));
                bench_value_add(bench_metric_get(a, "p99", "us", BENCH_LOWER), round, stats_quantile(f->us, p.touches, 0.99));
        }
        munmap(ram, f->c.bytes);
        return l ? 0 : -ENOSYS;
}

static int measure_copy_2m(struct floors *f, struct bench_arm *a, uint32_t round, struct err *e)
{
        uint8_t *ram = memory_map_ram(f->c.bytes);
        double   rate;
        int      r = rate_copy_2m(&f->caps, ram, f->warm, f->c.bytes, &rate, e);

        munmap(ram, f->c.bytes);
        if (r >= 0)
                add_rate(a, round, rate);
        return r;
}

static int measure_memcpy(struct floors *f, struct bench_arm *a, uint32_t round, struct err *e)
{
        (void)e;
        add_rate(a, round, rate_memcpy(f->warm, f->c.bytes));
        return 0;
}

static int measure_direct(struct floors *f, struct bench_arm *a, uint32_t round, struct err *e)
{
        double rate;
        int    r = rate_direct(f->file_fd, f->c.file, f->c.bytes, &rate, e);

        if (r >= 0)
                add_rate(a, round, rate);
        return r;
}

static const struct floor_row rows[] = {
        { .name = "fault: UFFDIO_COPY of 4 KiB", .measure = measure_fault,
          .what = "a touch of a page, answered by a loop of poll, read of one message and one UFFDIO_COPY of warm memory" },
        { .name = "UFFDIO_COPY of 2 MiB", .measure = measure_copy_2m,
          .what = "UFFDIO_COPY of warm memory, 2 MiB a call, into RAM that nobody has touched" },
        { .name = "memcpy", .measure = measure_memcpy, .what = "memcpy of memory that is there, on one core" },
        { .name = "O_DIRECT read", .measure = measure_direct, .needs_file = true,
          .what = "the memory file read in order past the page cache, 2 MiB a read, two under way" },
};

int floors_open(const struct floors_config *c, struct floors **ret, struct err *e)
{
        struct floors      *f;
        _cleanup_close_ int fd = -1;

        if (c->file && (fd = open(c->file, O_RDONLY | O_CLOEXEC)) < 0)
                return err_set(e, -errno, "%s: %s", c->file, strerror(errno));
        f = calloc(1, sizeof(*f));
        if (!f)
                return err_set(e, -ENOMEM, "no memory for the floors");
        f->c = *c;
        f->c.bytes = c->bytes ? align_up(c->bytes, HUGE_PAGE_BYTES) : BYTES_DEFAULT;
        f->file_fd = TAKE_FD(fd);
        uffd_probe(&f->caps);
        f->order = calloc(bytes_to_pages(f->c.bytes), sizeof(*f->order));
        if (!f->order)
                floor_die("floors", ENOMEM);
        memory_warm_host(3 * f->c.bytes);
        f->warm = memory_map_there(f->c.bytes);
        memory_fill(f->warm, f->c.bytes);
        *ret = f;
        return 0;
}

static void measure(struct floors *f, const struct floor_row *row, struct bench_result *r, uint32_t round)
{
        struct bench_arm *a = bench_arm_get(&r->floors, row->name);
        struct err        e = { 0 };

        bench_string_set(&a->what, row->what);
        if (row->measure(f, a, round, &e) < 0 && !a->failure)
                bench_string_set(&a->failure, e.text);
}

void floors_round(struct floors *f, struct bench_result *r, uint32_t round)
{
        uint64_t order[ARRAY_LEN(rows)];

        bench_string_set(&r->floors.name, "floors");
        memory_shuffle(order, ARRAY_LEN(rows), f->c.seed * 31 + round);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                if (f->file_fd >= 0 || !rows[order[i]].needs_file)
                        measure(f, &rows[order[i]], r, round);
}

void floors_close(struct floors *f)
{
        if (!f)
                return;
        if (f->file_fd >= 0)
                close(f->file_fd);
        munmap(f->warm, f->c.bytes);
        free(f->order);
        free(f);
}
