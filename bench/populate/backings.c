/* bench/populate/backings.c: the same file into memory of other kinds. UFFDIO_MOVE, which only private memory has, is off: the
 * rows differ by what stands behind RAM alone. */
#include "bench/floors/memory.h"
#include "bench/populate/populate.h"
#include "core/guest_ram.h"
#include "core/huge_pool.h"
#include "core/template.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

struct backing {
        const char      *arm;
        enum ram_backing backing;
        bool             shared, later; /* later: another VM was there before */
};

static const struct backing backings[] = {
        { FLOOR_ANON, RAM_ANON, false, false },
        { "memfd", RAM_MEMFD, false, false },
        { "template, first VM", RAM_ANON, true, false },
        { "template, later VM", RAM_ANON, true, true },
        { "2 MiB pages", RAM_HUGETLB, false, false },
        { "2 MiB template, first VM", RAM_HUGETLB, true, false },
        { "2 MiB template, later VM", RAM_HUGETLB, true, true },
};

static const struct backing *find(const char *arm)
{
        size_t i = 0;

        while (strcmp(backings[i].arm, arm))
                i++;
        return &backings[i];
}

static int check_host(const struct rig *r, const struct backing *b, struct err *e)
{
        uint64_t need = (b->shared ? 2 : 1) * pages_to_bytes(r->nr_pages) / HUGE_PAGE_BYTES, there = b->backing == RAM_HUGETLB
                        ? huge_pool_to_be_had() : need;

        if (there < need)
                return err_host(e, -ENOMEM, "expected %llu free huge pages of 2 MiB, found %llu; sysctl -w vm.nr_hugepages=%llu",
                                (unsigned long long)need, (unsigned long long)there, (unsigned long long)need);
        if (b->shared && !(b->backing == RAM_HUGETLB ? r->caps.uffd_minor_hugetlbfs : r->caps.uffd_minor_shmem))
                return err_host(e, -EOPNOTSUPP, "expected userfaultfd with minor faults (Linux 5.14), found none");
        return 0;
}

static int open_template(const struct rig *r, const struct backing *b, struct template **ret, struct err *e)
{
        static const struct identity nobody = { "0" };
        struct template_ask          ask = { .identity = &nobody, .nr_pages = r->nr_pages, .huge = b->backing == RAM_HUGETLB,
                                             .ranges = &r->all, .nr_ranges = 1 };

        return b->shared ? template_find(&ask, ret, e) : 0;
}

static int fill_own(struct rig *r, const struct backing *b, struct filled *ret, struct err *e)
{
        struct fill_ram  ram = { .backing = b->backing };
        struct guest_ram g = { 0 };
        int              x = guest_ram_map_as(b->backing, pages_to_bytes(r->nr_pages), false, &g, e);

        if (x < 0)
                return x;
        ram.ram = g.base;
        x = populate_fill(r, &ram, ret, e);
        guest_ram_unmap(&g);
        return x;
}

static int fill_shared(struct rig *r, const struct backing *b, const struct template *t, struct filled *ret, struct err *e)
{
        struct fill_ram ram = { .backing = b->backing, .shared = template_pages(t) };
        void           *m = mmap(NULL, pages_to_bytes(r->nr_pages), PROT_READ | PROT_WRITE, MAP_PRIVATE, template_fd(t), 0);
        int             x;

        if (m == MAP_FAILED)
                return err_set(e, -errno, "map a template: %s", strerror(errno));
        ram.ram = m;
        x = populate_fill(r, &ram, ret, e);
        munmap(m, pages_to_bytes(r->nr_pages));
        return x;
}

int step_backing(struct populate *p, const struct step *s, uint32_t round, struct err *e)
{
        const struct backing *b = find(s->arm);
        bool                  move = p->rig.caps.uffd_move;
        struct template      *t = NULL;
        struct filled         f;
        int                   r = check_host(&p->rig, b, e);

        if (r >= 0)
                r = open_template(&p->rig, b, &t, e);
        if (r < 0)
                return r;
        rig_map_whole(&p->rig);
        p->rig.caps.uffd_move = false;
        if (b->later)
                r = fill_shared(&p->rig, b, t, &f, e);
        if (r >= 0)
                r = b->shared ? fill_shared(&p->rig, b, t, &f, e) : fill_own(&p->rig, b, &f, e);
        p->rig.caps.uffd_move = move;
        template_free(t);
        if (r >= 0)
                populate_keep(p, s->part, s->arm, round, &f);
        return r;
}
