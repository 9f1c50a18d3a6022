/* bench/backings: how fast the pager fills a RAM that nobody uses, by what stands behind it: anonymous memory, a memfd, a template that is filled, one
 * that another VM has filled already, and 2 MiB pages. Rows are interleaved, round by round; the ratio is that to anonymous memory by UFFDIO_COPY. */
#include "bench/floors/memory.h"
#include "bench/floors/rig.h"
#include "bench/sample.h"
#include "core/base/clock.h"
#include "core/guest_ram.h"
#include "core/huge_pool.h"
#include "core/template.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define RAM_PAGES 65536 /* 256 MiB */

enum { ANON, MEMFD, FIRST, LATER, HUGE_OWN, HUGE_FIRST, HUGE_LATER, ROWS };

struct row {
        const char      *name;
        enum ram_backing backing;
        bool             shared, later; /* later: another VM was there before */
        struct sample    us;            /* a page */
        double           cpu_ns, pages;
};

static const struct row table[ROWS] = {
        [ANON]       = { .name = "anonymous, UFFDIO_COPY" },
        [MEMFD]      = { .name = "memfd of its own", .backing = RAM_MEMFD },
        [FIRST]      = { .name = "template, first VM", .shared = true },
        [LATER]      = { .name = "template, later VM: CONTINUE", .shared = true, .later = true },
        [HUGE_OWN]   = { .name = "2 MiB pages of its own", .backing = RAM_HUGETLB },
        [HUGE_FIRST] = { .name = "2 MiB template, first VM", .backing = RAM_HUGETLB, .shared = true },
        [HUGE_LATER] = { .name = "2 MiB template, later VM", .backing = RAM_HUGETLB, .shared = true, .later = true },
};

static void check(int r, const struct err *e)
{
        if (r >= 0)
                return;
        fprintf(stderr, "bench/backings: %s\n", e->text);
        exit(1);
}

static void note_done(void *arg, uint64_t ns)
{
        *(_Atomic uint64_t *)arg = ns;
}

static struct template *new_template(const struct rig *r, bool huge)
{
        static const struct identity nobody = { "0" };
        struct template_ask ask = { .identity = &nobody, .nr_pages = r->nr_pages, .huge = huge, .ranges = &r->all, .nr_ranges = 1 };
        struct template *t;
        struct err e = { 0 };

        check(template_find(&ask, &t, &e), &e);
        return t;
}

static void *map_ram(const struct rig *r, const struct row *row, const struct template *t, struct guest_ram *ret)
{
        struct err e = { 0 };
        void      *m;

        *ret = (struct guest_ram){ 0 };
        if (!t) {
                check(guest_ram_map_as(row->backing, pages_to_bytes(r->nr_pages), false, ret, &e), &e);
                return ret->base;
        }
        m = mmap(NULL, pages_to_bytes(r->nr_pages), PROT_READ | PROT_WRITE, MAP_PRIVATE, template_fd(t), 0);
        if (m == MAP_FAILED)
                floor_die("map a template", errno);
        return m;
}

static void fill(struct rig *r, struct row *row, struct template *t, bool counts)
{
        _Atomic uint64_t    done_ns = 0;
        struct pager_config c = r->config;
        struct pager_stats  s;
        struct guest_ram    ram;
        struct pager       *p;
        struct err          e = { 0 };
        uint64_t            from_ns;

        c.ram = map_ram(r, row, t, &ram);
        c.backing = row->backing;
        c.shared = t ? template_pages(t) : NULL;
        c.fill = c.paused = c.spare_cpu = true;
        c.events = (struct pager_events){ .arg = &done_ns, .done = note_done };
        check(pager_new(&c, &p, &e), &e);
        from_ns = now_ns();
        check(pager_arm(p, &e), &e);
        if (pager_wait(p, -1) != 0)
                floor_die("the pager lost pages", EIO);
        pager_stats(p, &s);
        for (uint64_t page = 0; page < r->nr_pages; page += 997)
                if (memcmp(c.ram + pages_to_bytes(page), r->warm + pages_to_bytes(page), PAGE_BYTES) != 0)
                        floor_die("a page differs from the file's", EBADMSG);
        if (counts) {
                sample_add(&row->us, (double)(done_ns - from_ns) / (double)NS_PER_US / (double)r->nr_pages);
                row->cpu_ns += (double)s.cpu_ns;
                row->pages += (double)r->nr_pages;
        }
        pager_free(p);
        if (ram.base)
                guest_ram_unmap(&ram);
        else
                munmap(c.ram, pages_to_bytes(r->nr_pages));
}

static void run_row(struct rig *r, struct row *row, bool counts)
{
        bool             move = r->caps.uffd_move;
        struct template *t = row->shared ? new_template(r, row->backing == RAM_HUGETLB) : NULL;

        r->caps.uffd_move = false; /* UFFDIO_MOVE is bench/populate's */
        if (row->later)
                fill(r, row, t, false);
        fill(r, row, t, counts);
        r->caps.uffd_move = move;
        template_free(t);
}

static void print(struct row *rows)
{
        double anon = sample_quantile(&rows[ANON].us, 0.5);

        printf("%-30s %3s %12s %6s %12s\n", "", "n", "p50 us/page", "ratio", "CPU us/page");
        for (int i = 0; i < ROWS; i++) {
                double p50 = sample_quantile(&rows[i].us, 0.5);

                if (rows[i].us.nr == 0)
                        printf("%-30s     not run: too few free 2 MiB pages (sysctl -w vm.nr_hugepages=%d)\n", rows[i].name, 2 * RAM_PAGES / 512);
                else
                        printf("%-30s %3zu %12.2f %6.2f %12.2f\n", rows[i].name, rows[i].us.nr, p50, p50 / anon, rows[i].cpu_ns / (double)NS_PER_US / rows[i].pages);
        }
}

int main(int argc, char **argv)
{
        unsigned    rounds = 5;
        const char *dir = ".";
        struct row  rows[ROWS];
        struct rig  r;
        int         c;

        while ((c = getopt(argc, argv, "n:d:")) != -1) {
                if (c == 'n')
                        rounds = (unsigned)strtoul(optarg, NULL, 10);
                else if (c == 'd')
                        dir = optarg;
                else {
                        fprintf(stderr, "usage: bench/backings [-n ROUNDS] [-d DIR]\n");
                        return 2;
                }
        }
        memcpy(rows, table, sizeof(rows));
        rig_open(&r, dir, RAM_PAGES);
        rig_map_whole(&r);
        memory_warm_host(pages_to_bytes(3 * RAM_PAGES));
        for (unsigned round = 0; round <= rounds; round++) {
                uint64_t order[ROWS];

                memory_shuffle(order, ROWS, round * 7919 + 1);
                for (int i = 0; i < ROWS; i++) {
                        struct row *row = &rows[order[i]];

                        if (row->backing == RAM_HUGETLB && huge_pool_to_be_had() < (row->shared ? 2 : 1) * RAM_PAGES / 512)
                                continue;
                        run_row(&r, row, round > 0); /* round 0 finds the host's memory */
                }
        }
        print(rows);
        rig_close(&r);
        for (int i = 0; i < ROWS; i++)
                sample_free(&rows[i].us);
        return 0;
}
