/* uffd/bring_shared.c: what another VM has put into the template already needs no bytes, only to be mapped. */
#include "uffd/backing.h"
#include "uffd/pager_internal.h"
#include "uffd/shared.h"

#include <errno.h>

static bool is_open(const struct pager *p, uint64_t page)
{
        return page_state_is_open(page_state_get(&p->states, page));
}

/* Neighbours from page on that are open and below end. */
static uint64_t nr_open(const struct pager *p, uint64_t page, uint64_t end)
{
        uint64_t next = page;

        while (next < end && is_open(p, next))
                next++;
        return next - page;
}

/* Maps neighbours; how far it came. Pages that cannot be mapped after all are passed: their bytes come in another way. */
static uint64_t map(struct pager *p, uint64_t page, uint64_t nr_pages, enum fault_class why, uint64_t *ret_done)
{
        int r = install_shared(&p->in, page, nr_pages, ret_done);

        pager_settle(p, page, *ret_done, why);
        if (r == -EAGAIN)
                pager_hold_up(p);
        else if (r == -ESRCH)
                p->failed = r;
        else if (r < 0)
                return *ret_done + p->in.ops->unit_pages;
        return *ret_done;
}

uint64_t pager_bring_shared(struct pager *p, uint64_t first_page, uint64_t nr_pages, enum fault_class why)
{
        uint64_t end = first_page + nr_pages, page = first_page, total = 0, done;

        if (!p->in.shared)
                return 0;
        while (!pager_must_end(p) && (page = shared_next(&p->in, page, end)) < end) {
                uint64_t n = nr_open(p, page, shared_end(&p->in, page, end));

                if (n == 0) {
                        page += p->in.ops->unit_pages;
                        continue;
                }
                page += map(p, page, n, why, &done);
                total += done;
        }
        return total;
}

/* To map a neighbour costs a fifth of what it costs to copy one (0.3 us to 1.5, bench), so that they always come along. */
bool pager_answer_shared(struct pager *p, uint64_t page)
{
        const struct pager_range *r = served_find(&p->view.served, page);
        uint64_t                  near = MAX(MIN(p->c.around_pages, (uint32_t)AROUND_NEAR_PAGES), 1U);
        uint64_t                  low = MAX(r->first_page, page / near * near), high = MIN(r->first_page + r->nr_pages, page / near * near + near);

        if (!p->in.shared || shared_next(&p->in, page, page + 1) != page)
                return false;
        (void)pager_bring_shared(p, low, high - low, FAULT_AROUND);
        return page_state_get(&p->states, page) != PAGE_WANTED;
}

/* A private copy is still there, or its swap entry: -EEXIST. What is refused for now is asked for once more by the same fault. */
void pager_map_again(struct pager *p, uint64_t page)
{
        uint64_t done;

        if (p->in.shared && shared_next(&p->in, page, page + 1) == page)
                (void)install_shared(&p->in, page / p->in.ops->unit_pages * p->in.ops->unit_pages, p->in.ops->unit_pages, &done);
}
