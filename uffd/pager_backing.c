/* uffd/pager_backing.c: what of a pager depends on the memory behind guest RAM, from its making to its end. */
#include "uffd/backing.h"
#include "uffd/pager_internal.h"
#include "uffd/uffd.h"

#include <string.h>

void pager_find_backing(struct pager *p)
{
        const struct pager_config *c = &p->c;

        p->in = (struct installer){ .uffd = -1, .ram = c->ram, .faults = c->faults, .shared = c->shared,
                                    .ops = backing_find(c->backing == RAM_ANON, c->shared, c->backing == RAM_HUGETLB) };
}

/* What the hints say is written, in units: a page of the template that is written costs a second fault, and its copy all the
 * same. */
static int find_written(struct pager *p)
{
        int r = bitmap_init(&p->written, p->c.map->nr_pages / p->in.ops->unit_pages + 1);

        for (size_t i = 0; r >= 0 && i < p->c.nr_replay; i++)
                if (p->c.replay[i].flags & (HINT_WRITTEN | HINT_DIFFERS) && p->c.replay[i].page < p->c.map->nr_pages)
                        bitmap_set(&p->written, p->c.replay[i].page / p->in.ops->unit_pages);
        p->in.written = &p->written;
        return r;
}

int pager_prepare_backing(struct pager *p)
{
        int r = p->in.ops->unit_pages > 1 ? granules_init(&p->granules) : 0;

        p->in.zeros = p->granules.memory ? granules_zeros(&p->granules) : NULL;
        return r >= 0 && p->in.shared ? find_written(p) : r;
}

void pager_free_backing(struct pager *p)
{
        bitmap_free(&p->written);
        granules_free(&p->granules);
}

/* A range of RAM and, where there is a template, of it: bytes go into it by UFFDIO_COPY, and nobody can read what is absent of
 * it. */
static int register_range(const struct pager *p, const struct pager_range *s)
{
        uint64_t from = pages_to_bytes(s->first_page), len = pages_to_bytes(s->nr_pages);
        int      r = uffd_register(p->in.uffd, p->c.ram + from, len, p->in.ops->register_mode);

        if (r >= 0 && p->in.shared)
                r = uffd_register(p->in.uffd, p->in.shared->view + from, len, UFFDIO_REGISTER_MODE_MISSING);
        return r;
}

int pager_register(struct pager *p, struct err *e)
{
        for (size_t i = 0; i < p->c.nr_served; i++) {
                const struct pager_range *s = &p->c.served[i];
                int r = register_range(p, s);

                if (r < 0)
                        return err_set(e, r, "userfaultfd: register RAM pages [%llu, +%llu): %s", (unsigned long long)s->first_page,
                                       (unsigned long long)s->nr_pages, strerror(-r));
        }
        return 0;
}
