/* bench/faults/ground.c: a file in the page cache, its bytes in memory, and a template that another VM has filled. */
#include "bench/faults/faults.h"
#include "bench/floors/memory.h"
#include "core/huge_pool.h"
#include "core/probe.h"
#include "core/template.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* 128 MiB of them: more than a machine has by default is not to be had, and fewer would leave nothing to touch. */
#define HUGE_UNITS 64

/* As the first VM of mode shared leaves it behind. */
static int fill_template(const struct ground *g, struct err *e)
{
        struct pager_config c = g->rig.config;
        uint64_t            bytes = g->nr_units * g->page_bytes;
        struct pager       *p;
        void               *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, template_fd(g->filled), 0);
        int                 r;

        if (m == MAP_FAILED)
                return err_set(e, -errno, "map a template");
        c.ram = m;
        c.backing = g->huge ? RAM_HUGETLB : RAM_ANON;
        c.shared = template_pages(g->filled);
        c.fill = c.paused = true;
        r = pager_new(&c, &p, e);
        if (r >= 0) {
                r = pager_arm(p, e);
                if (r >= 0 && pager_wait(p, -1) != 0)
                        r = err_set(e, -EIO, "a template lost pages");
                pager_free(p);
        }
        munmap(m, bytes);
        return r;
}

static int open_template(struct ground *g, struct err *e)
{
        static const struct identity nobody = { "0" };
        struct template_ask ask = { .identity = &nobody, .nr_pages = g->rig.nr_pages, .huge = g->huge, .ranges = &g->rig.all,
                                    .nr_ranges = 1 };
        uint64_t            there = g->huge ? huge_pool_to_be_had() : 0;
        int                 r;

        if (!(g->huge ? g->rig.caps.uffd_minor_hugetlbfs : g->rig.caps.uffd_minor_shmem))
                return err_host(e, -EOPNOTSUPP, "expected userfaultfd with minor faults (Linux 5.14), found none");
        if (g->huge && there < 2 * g->nr_units)
                return err_host(e, -ENOMEM, "expected %llu free huge pages of 2 MiB, found %llu; sysctl -w vm.nr_hugepages=%llu",
                                2 * (unsigned long long)g->nr_units, (unsigned long long)there,
                                2 * (unsigned long long)g->nr_units);
        r = template_find(&ask, &g->filled, e);
        if (r >= 0)
                r = fill_template(g, e);
        if (r < 0) {
                template_free(g->filled);
                g->filled = NULL;
        }
        return r;
}

static void map_zeros(struct ground *g)
{
        struct page_run run = { .nr_pages = (uint32_t)g->rig.nr_pages, .kind = RUN_ZERO, .first_sum = NO_SUM };

        page_map_init(&g->zeros, g->rig.nr_pages);
        g->zeros.zeros_known = true;
        if (page_map_append(&g->zeros, &run) < 0)
                floor_die("page map", ENOMEM);
}

void ground_open(struct ground *g, const struct faults_options *o, bool huge)
{
        uint64_t nr_pages = huge ? HUGE_UNITS * HUGE_PAGE_BYTES / PAGE_BYTES : bytes_to_pages(o->memory_bytes);

        *g = (struct ground){ .huge = huge, .page_bytes = huge ? HUGE_PAGE_BYTES : PAGE_BYTES };
        g->nr_units = pages_to_bytes(nr_pages) / g->page_bytes;
        rig_open(&g->rig, o->dir, nr_pages);
        host_probe_all(&g->rig.caps);
        rig_map_whole(&g->rig);
        rig_warm(&g->rig);
        map_zeros(g);
        g->order = calloc(g->nr_units, sizeof(*g->order));
        g->in_order = calloc(g->nr_units, sizeof(*g->in_order));
        if (!g->order || !g->in_order)
                floor_die("order", ENOMEM);
        for (uint64_t i = 0; i < g->nr_units; i++)
                g->in_order[i] = i;
        (void)open_template(g, &g->no_template);
}

void ground_close(struct ground *g)
{
        if (!g->page_bytes)
                return;
        template_free(g->filled);
        page_map_free(&g->zeros);
        rig_close(&g->rig);
        free(g->order);
        free(g->in_order);
}
