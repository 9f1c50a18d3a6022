/* uffd/answer.c: reads what the kernel tells, and answers the faults that wait. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"
#include "uffd/uffd.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

/* Rounds of PAGER_MSGS before somebody is answered: more than all vCPUs with their asynchronous faults can have waiting. */
#define DRAIN_ROUNDS 16

/* How long to sleep when a madvise holds the uffd up and its event was read already: its thread has to run, for a few us. */
#define HOLD_UP_NS (100 * NS_PER_US)

static void note_touch(struct pager *p, const struct uffd_msg *m, uint64_t page, uint64_t now)
{
        struct pager_touch t = { .ns = now, .page = (uint32_t)page };

        if (!record_is_on(&p->record))
                return;
        t.kind = record_kind(m->arg.pagefault.flags, m->arg.pagefault.feat.ptid);
        record_add(&p->record, &t);
}

static void note_fault(struct pager *p, const struct uffd_msg *m, uint64_t now)
{
        uint64_t page = bytes_to_pages(m->arg.pagefault.address - (uintptr_t)p->c.ram);

        if (!served_find(&p->view.served, page))
                return; /* not ours to answer */
        switch (page_state_get(&p->states, page)) {
        case PAGE_ABSENT:
                if (!page_state_move(&p->states, page, PAGE_WANTED)) {
                        p->missed = true; /* too many are busy */
                        return;
                }
                note_touch(p, m, page, now);
                break;
        case PAGE_LOST:
                if (page_state_demanded(&p->states, page))
                        return; /* told already, and left unanswered on purpose */
                break;
        default:
                break;
        }
        page_state_demand(&p->states, page);
        if (!demand_add(&p->demand, page, now))
                p->missed = true;
}

static void remove_range(struct pager *p, const struct pager_range *r, uint64_t first, uint64_t end)
{
        uint64_t lost_before = p->states.count[PAGE_LOST];

        first = MAX(first, r->first_page);
        end = MIN(end, r->first_page + r->nr_pages);
        for (uint64_t page = first; page < end; page++)
                page_state_move(&p->states, page, PAGE_REMOVED);
        pager_publish_resident(p);
        /* Faults on lost pages were left unanswered; as zeros they can be answered. */
        if (first < end && p->states.count[PAGE_LOST] < lost_before)
                install_wake(&p->in, first, end - first);
}

/* Addresses are those of whole pages of mappings that we registered. */
static void note_remove(struct pager *p, uint64_t start, uint64_t end)
{
        uint64_t ram = (uintptr_t)p->c.ram, ram_end = ram + pages_to_bytes(p->c.map->nr_pages);

        start = MAX(start, ram);
        end = MIN(end, ram_end);
        for (size_t i = 0; start < end && i < p->view.served.nr; i++)
                remove_range(p, &p->view.served.v[i], bytes_to_pages(start - ram), bytes_to_pages(end - ram));
}

static void note(struct pager *p, const struct uffd_msg *m, uint64_t now)
{
        switch (m->event) {
        case UFFD_EVENT_PAGEFAULT:
                count(&p->n.messages, 1);
                p->last_fault_ns = now;
                note_fault(p, m, now);
                break;
        case UFFD_EVENT_REMOVE:
                note_remove(p, m->arg.remove.start, m->arg.remove.end);
                break;
        default:
                break; /* no other event was asked for */
        }
}

int pager_drain(struct pager *p)
{
        int total = 0;

        for (int round = 0; round < DRAIN_ROUNDS; round++) {
                int      n = uffd_read_events(p->in.uffd, p->msgs, PAGER_MSGS);
                uint64_t now;

                if (n < 0)
                        p->failed = n;
                if (n <= 0)
                        break;
                now = now_ns();
                for (int i = 0; i < n; i++)
                        note(p, &p->msgs[i], now);
                total += n;
                p->fresh = true;
                if (n < PAGER_MSGS)
                        break;
        }
        return total;
}

void pager_hold_up(struct pager *p)
{
        struct pollfd   fd = { .fd = p->in.uffd, .events = POLLIN };
        struct timespec t = { .tv_nsec = HOLD_UP_NS };

        if (pager_drain(p) == 0)
                (void)ppoll(&fd, 1, &t, NULL);
}

/* A removed page stays removed: the madvise that told of it may only now take away what was put there. */
void pager_answer_removed(struct pager *p, uint64_t page)
{
        uint64_t done;
        int      r = install_zero(&p->in, page, 1, &done);

        if (r == -ESRCH)
                p->failed = r;
        if (r == -ENOENT) { /* the discard has mapped anonymous memory over it by now */
                install_wake(&p->in, page, 1);
                r = 0;
        }
        if (r == 0) {
                count(&p->n.faults[FAULT_ZERO], 1);
                timeline_add(&p->timeline, timeline_now(&p->timeline), page, 1, FAULT_ZERO);
                count(&p->n.stall_ns, demand_take(&p->demand, page, 1, now_ns()));
                return;
        }
        pager_hold_up(p); /* EAGAIN, or no memory just now */
        p->fresh = true;  /* it still waits: look again in the next round, do not sleep on it */
}

static bool is_free(const struct pager *p, uint64_t page)
{
        return page_state_is_free(page_state_get(&p->states, page));
}

static bool is_wanted(const struct pager *p, uint64_t page)
{
        return page_state_get(&p->states, page) == PAGE_WANTED;
}

/* What recent faults call for: asked once per fault, as the answer depends on how often it was asked. */
static struct around_window window_of(struct pager *p, uint64_t page)
{
        if (record_is_on(&p->record))
                return (struct around_window){ page, page + 1 };
        return around_fault(&p->around, page, page_states_near(&p->states, page, AROUND_NEAR_PAGES),
                            MIN(p->c.around_pages, FILL_POLITE_PAGES));
}

/* The pages around a wanted one that one read and one UFFDIO_COPY may bring: of its run and range, free, at most the window and
 * the wanted ones behind it.
 *
 *   |..window...|........|           . absent  W wanted  # there
 *   #..W...WW...W.....#|             from the page after the first # to the end of the window, or of the wanted ones that follow it */
static struct extent around(const struct pager *p, const struct page_run *run, uint64_t page, const struct around_window *w)
{
        const struct pager_range *r = served_find(&p->view.served, page);
        uint64_t                  low = MAX(MAX(r->first_page, run->first_page), w->first);
        uint64_t                  high = MIN(r->first_page + r->nr_pages, run->first_page + run->nr_pages);
        uint64_t                  first = page, end = page + 1;

        while (first > low && is_free(p, first - 1))
                first--;
        while (end < high && end - first < FILL_POLITE_PAGES && (end < w->end ? is_free(p, end) : is_wanted(p, end)))
                end++;
        return (struct extent){ .run = run, .first_page = first, .nr_pages = end - first };
}

static struct extent wanted_from(const struct pager *p, const struct extent *x, uint64_t page)
{
        uint64_t end = page + 1;

        while (end < x->first_page + x->nr_pages && is_wanted(p, end))
                end++;
        return (struct extent){ .run = x->run, .first_page = page, .nr_pages = end - page };
}

static uint64_t read_cached(struct pager *p, const struct page_run *run, uint64_t first_page, uint64_t end_page)
{
        uint64_t got = sources_read_cached(&p->sources, run, first_page, end_page - first_page, p->buf);

        count(&p->n.read_bytes, pages_to_bytes(got));
        return got;
}

/* What is cached is delivered at once, the window first and, where that begins with holes, from the page itself on. */
static bool answer_cached(struct pager *p, const struct extent *x, uint64_t page)
{
        uint64_t first = x->first_page, end = x->first_page + x->nr_pages;
        uint64_t got = read_cached(p, x->run, first, end);

        if (first + got <= page && first < page) {
                first = page;
                got = read_cached(p, x->run, first, end);
        }
        if (first + got <= page)
                return false;
        pager_deliver(p, first, got, p->buf, FAULT_AROUND);
        return true;
}

static void answer_wanted(struct pager *p, uint64_t page)
{
        const struct page_run *run = page_map_find(p->c.map, page);
        struct around_window   w;
        struct extent          x, wanted;

        if (pager_answer_shared(p, page))
                return;
        w = window_of(p, page);
        x = around(p, run, page, &w);
        wanted = wanted_from(p, &x, page);
        if (run->kind == RUN_ZERO)
                pager_deliver_zeros(p, wanted.first_page, wanted.nr_pages);
        else if (run->kind == RUN_PACKED ? !packed_answer(p, run, page) : !answer_cached(p, &x, page))
                (void)slow_start(p, &wanted, FAULT_DEMAND); /* busy: it stays wanted until a read has ended */
}

/* A 2 MiB page is asked for by its first one, whatever of it is being read. False: it is not open. */
static bool answer_granule(struct pager *p, uint64_t page)
{
        if (!p->granules.memory || !page_state_is_open(page_state_get(&p->states, page)))
                return false;
        if (!pager_bring_shared(p, granule_of(page), GRANULE_PAGES, FAULT_AROUND))
                (void)pager_bring_granule(p, page, FAULT_DEMAND); /* no place: when one has become free */
        return true;
}

static void answer_page(struct pager *p, uint64_t page)
{
        if (answer_granule(p, page))
                return;
        switch (page_state_get(&p->states, page)) {
        case PAGE_WANTED:
                answer_wanted(p, page);
                break;
        case PAGE_REMOVED:
                pager_answer_removed(p, page);
                break;
        case PAGE_LOST:
                pager_answer_lost(p, page);
                break;
        case PAGE_INSTALLED:
        case PAGE_POISONED:
                pager_map_again(p, page);
                install_wake(&p->in, page, 1);
                count(&p->n.stall_ns, demand_take(&p->demand, page, 1, now_ns()));
                break;
        default:
                break; /* being read */
        }
}

void pager_wake_missed(struct pager *p)
{
        if (!p->missed || p->demand.nr > DEMAND_MAX / 2)
                return;
        p->missed = false;
        for (size_t i = 0; i < p->view.served.nr; i++)
                install_wake(&p->in, p->view.served.v[i].first_page, p->view.served.v[i].nr_pages);
}

/* Answers take entries away and may add some; those that are added before `page` are found in the next round (p->fresh). */
void pager_answer(struct pager *p)
{
        uint64_t page = 0;

        p->fresh = false;
        for (size_t i = 0; i < p->demand.nr && !pager_must_end(p); i = demand_find(&p->demand, page)) {
                page = p->demand.v[i].page;
                answer_page(p, page);
                page++;
        }
        pager_wake_missed(p);
}
