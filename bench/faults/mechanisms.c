/* bench/faults/mechanisms.c: who answers a fault, and from what. A table; the functions below are its rows. */
#include "bench/faults/faults.h"
#include "bench/floors/bare_loop.h"
#include "bench/floors/memory.h"
#include "core/huge_pool.h"
#include "core/probe.h"
#include "core/template.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* --- what a host may lack --- */

static int check_uffd(const struct ground *g, struct err *e)
{
        struct host_caps c = g->rig.caps;

        c.kvm_errno = 0; /* nobody asks for it here */
        return host_require(&c, true, e);
}

/* The template keeps as many for itself: twice as many do for all mechanisms. */
static int check_pool(const struct ground *g, struct err *e)
{
        uint64_t there = g->huge ? huge_pool_to_be_had() : 0;

        if (!g->huge || there >= g->nr_units)
                return 0;
        return err_host(e, -ENOMEM, "expected %llu free huge pages of 2 MiB, found %llu; sysctl -w vm.nr_hugepages=%llu",
                        (unsigned long long)g->nr_units, (unsigned long long)there, 2 * (unsigned long long)g->nr_units);
}

static int check_own(const struct ground *g, struct err *e)
{
        int r = check_uffd(g, e);

        return r < 0 ? r : check_pool(g, e);
}

static int check_template(const struct ground *g, struct err *e)
{
        int r = check_own(g, e);

        return r < 0 || g->filled ? r : err_host(e, -EOPNOTSUPP, "%s", g->no_template.text);
}

static int check_thp(const struct ground *g, struct err *e)
{
        if (strcmp(g->rig.caps.thp, "never") && g->rig.caps.thp[0])
                return 0;
        return err_host(e, -EOPNOTSUPP, "expected transparent huge pages on request, found '%s'; echo madvise "
                        ">/sys/kernel/mm/transparent_hugepage/enabled",
                        g->rig.caps.thp);
}

/* --- memory --- */

static uint8_t *map_huge(uint64_t bytes)
{
        void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

        if (m == MAP_FAILED)
                floor_die("mmap of 2 MiB pages", errno);
        return m;
}

static void map_ram(const struct ground *g, struct touched *t)
{
        t->bytes = g->nr_units * g->page_bytes;
        t->memory = g->huge ? map_huge(t->bytes) : memory_map_ram(t->bytes);
}

static int map_file(const struct ground *g, int fd, struct touched *t, struct err *e)
{
        void *m;

        t->bytes = g->nr_units * g->page_bytes;
        m = mmap(NULL, t->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (m == MAP_FAILED)
                return err_set(e, -errno, "MAP_PRIVATE of %llu bytes: %s", (unsigned long long)t->bytes, strerror(errno));
        t->memory = m;
        return 0;
}

/* --- who answers --- */

static int begin_bare(struct ground *g, bool spare_cpu, struct touched *t, struct err *e)
{
        (void)spare_cpu;
        map_ram(g, t);
        t->bare = bare_loop_start(&g->rig.caps, t->memory, g->rig.warm, t->bytes, g->page_bytes, e);
        return t->bare ? 0 : -ENOSYS;
}

static int start_pager(struct pager_config *c, bool spare_cpu, struct touched *t, struct err *e)
{
        int r;

        c->ram = t->memory;
        c->spare_cpu = spare_cpu;
        r = pager_new(c, &t->pager, e);
        return r < 0 ? r : pager_arm(t->pager, e);
}

static int begin_copy(struct ground *g, bool spare_cpu, struct touched *t, struct err *e)
{
        struct pager_config c = g->rig.config;

        map_ram(g, t);
        c.backing = g->huge ? RAM_HUGETLB : RAM_ANON;
        return start_pager(&c, spare_cpu, t, e);
}

static int begin_zeros(struct ground *g, bool spare_cpu, struct touched *t, struct err *e)
{
        struct pager_config c = g->rig.config;

        map_ram(g, t);
        c.map = &g->zeros;
        c.backing = g->huge ? RAM_HUGETLB : RAM_ANON;
        return start_pager(&c, spare_cpu, t, e);
}

static int begin_continue(struct ground *g, bool spare_cpu, struct touched *t, struct err *e)
{
        struct pager_config c = g->rig.config;
        int                 r = map_file(g, template_fd(g->filled), t, e);

        c.backing = g->huge ? RAM_HUGETLB : RAM_ANON;
        c.shared = template_pages(g->filled);
        return r < 0 ? r : start_pager(&c, spare_cpu, t, e);
}

static int begin_mapped(struct ground *g, bool spare_cpu, struct touched *t, struct err *e)
{
        (void)spare_cpu;
        return map_file(g, g->huge ? template_fd(g->filled) : g->rig.fd, t, e);
}

static int begin_anonymous(struct ground *g, bool spare_cpu, struct touched *t, struct err *e)
{
        (void)spare_cpu;
        (void)e;
        map_ram(g, t);
        return 0;
}

static int begin_thp(struct ground *g, bool spare_cpu, struct touched *t, struct err *e)
{
        (void)spare_cpu;
        t->bytes = g->nr_units * g->page_bytes;
        t->memory = memory_map_ram(t->bytes);
        return madvise(t->memory, t->bytes, MADV_HUGEPAGE) < 0 ? err_set(e, -errno, "MADV_HUGEPAGE: %s", strerror(errno)) : 0;
}

static int check_mapped(const struct ground *g, struct err *e)
{
        return g->huge ? check_template(g, e) : 0;
}

const struct mechanism mechanisms[] = {
        { .name = FAULTS_FLOOR, .small = true, .huge = true, .check = check_own, .begin = begin_bare,
          .what = "the floor: poll, read of one message, one UFFDIO_COPY of warm memory, and nothing else" },
        { .name = FAULTS_OWN, .small = true, .huge = true, .check = check_own, .begin = begin_copy,
          .what = "rouse's pager: userfaultfd MISSING, read from the cached file, UFFDIO_COPY" },
        { .name = "MISSING, zero page", .small = true, .huge = true, .check = check_own, .begin = begin_zeros,
          .what = "rouse's pager for pages that the snapshot knows to be zero" },
        { .name = "MINOR, CONTINUE", .small = true, .huge = true, .check = check_template, .begin = begin_continue,
          .what = "rouse's pager in mode shared, for pages that another VM has in the template: only mapped" },
        { .name = "MAP_PRIVATE, read", .small = true, .huge = true, .check = check_mapped, .begin = begin_mapped,
          .what = "the kernel alone: a read of a private mapping of the cached file (of 2 MiB pages: of a memfd), neighbours "
          "mapped along" },
        { .name = "MAP_PRIVATE, write", .small = true, .huge = true, .write = true, .check = check_mapped, .begin = begin_mapped,
          .what = "the kernel alone: a write to it, which copies the page" },
        { .name = "anonymous, write", .small = true, .huge = true, .write = true, .check = check_pool, .begin = begin_anonymous,
          .what = "the kernel alone: a write to memory without a file, which gets zeros" },
        { .name = "transparent, write", .huge = true, .write = true, .check = check_thp, .begin = begin_thp,
          .what = "the kernel alone: a write to memory without a file, by transparent huge pages" },
};
const size_t nr_mechanisms = ARRAY_LEN(mechanisms);

uint64_t touched_cpu_ns(const struct touched *t)
{
        struct pager_stats s = { 0 };

        if (t->pager)
                pager_stats(t->pager, &s);
        return t->bare ? bare_loop_cpu_ns(t->bare) : s.cpu_ns;
}

void touched_end(struct touched *t)
{
        if (t->bare)
                bare_loop_stop(t->bare);
        if (t->pager && !pager_free(t->pager))
                floor_die("the pager does not end", EBUSY);
        if (t->memory)
                munmap(t->memory, t->bytes);
        *t = (struct touched){ 0 };
}
