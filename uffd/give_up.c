/* uffd/give_up.c: the VM is condemned: whoever waits for a page is let go at once, whatever the page waits for itself. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"

#include <errno.h>

/* Over poison, else over zeros that nobody will see. */
static void let_lost_go(struct pager *p, uint64_t page)
{
        if (p->c.caps->uffd_poison && pager_let_go(p, page, true) == 0)
                pager_note_poisoned(p, page);
        else
                (void)pager_let_go(p, page, false);
}

static void let_one_go(struct pager *p, uint64_t page)
{
        if (page_state_is_open(page_state_get(&p->states, page)))
                page_state_lose(&p->states, page, -ECANCELED);
        if (page_state_get(&p->states, page) == PAGE_LOST)
                let_lost_go(p, page);
        if (page_state_get(&p->states, page) == PAGE_REMOVED) { /* also meanwhile: a guest gives memory back until its last moment */
                pager_answer_removed(p, page);
                return;
        }
        install_wake(&p->in, page, 1);
        (void)demand_take(&p->demand, page, 1, now_ns());
}

/* Where the kernel cannot poison, faults on lost pages were left unanswered and stand in no list. */
static void let_unanswered_go(struct pager *p)
{
        for (size_t i = 0; i < p->view.served.nr && p->states.count[PAGE_LOST] > 0; i++) {
                const struct pager_range *r = &p->view.served.v[i];

                for (uint64_t page = r->first_page; page < r->first_page + r->nr_pages && !pager_must_end(p); page++)
                        if (page_state_get(&p->states, page) == PAGE_LOST)
                                let_lost_go(p, page);
        }
}

void pager_let_all_go(struct pager *p)
{
        if (!p->let_lost_go)
                let_unanswered_go(p);
        p->let_lost_go = true;
        while (p->demand.nr > 0 && !pager_must_end(p))
                let_one_go(p, p->demand.v[0].page);
        pager_wake_missed(p);
}
