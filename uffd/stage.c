/* uffd/stage.c: what may be staged, slices, and the move. */
#include "uffd/stage.h"

#include "core/base/is_zero.h"
#include "uffd/backing.h"
#include "uffd/pager_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/* A huge page has memory also for its pages of zeros, where UFFDIO_ZEROPAGE has none: an eighth more for the guest at most. */
#define ZEROS_MAX (STAGE_PAGES / 8)

int stage_init(struct pager *p)
{
        struct stage *s = &p->stage;
        void         *room;

        if (!p->c.caps->uffd_move || !p->in.ops->anonymous || strcmp(p->c.caps->thp, "never") == 0 ||
            (uintptr_t)p->c.ram % HUGE_PAGE_BYTES)
                return 0;
        room = mmap(NULL, 2 * HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED)
                return -ENOMEM;
        s->room = room;
        s->place = (uint8_t *)align_up((uint64_t)room, HUGE_PAGE_BYTES);
        (void)madvise(s->place, HUGE_PAGE_BYTES, MADV_HUGEPAGE); /* refused: small pages can be moved, too, only slower */
        return 0;
}

void stage_free(struct stage *s)
{
        if (s->room)
                munmap(s->room, 2 * HUGE_PAGE_BYTES);
        *s = (struct stage){ 0 };
}

static bool is_untouched(const struct pager *p, uint64_t first_page)
{
        return page_states_end_of_absent(&p->states, first_page, first_page + STAGE_PAGES) == first_page + STAGE_PAGES;
}

static uint64_t count_zeros(const struct pager *p, uint64_t first_page)
{
        uint64_t end = first_page + STAGE_PAGES, zeros = 0;

        for (uint64_t page = first_page; page < end;) {
                const struct page_run *run = page_map_find(p->c.map, page);
                uint64_t               run_end = MIN(run->first_page + run->nr_pages, end);

                if (run->kind == RUN_ZERO)
                        zeros += run_end - page;
                page = run_end;
        }
        return zeros;
}

static bool may_stage(const struct pager *p, uint64_t page)
{
        const struct pager_range *r = served_find(&p->view.served, page);

        return p->stage.place && !p->stage.refused && page % STAGE_PAGES == 0 && r && page + STAGE_PAGES <= r->first_page + r->nr_pages && is_untouched(p, page) &&
               count_zeros(p, page) <= ZEROS_MAX;
}

/* Pages of the place from `page` on are zeros. */
static void note_zeros(struct stage *s, uint64_t page, uint64_t nr_pages)
{
        for (uint64_t i = page - s->first_page; nr_pages > 0; i++, nr_pages--) {
                s->zero[i / 64] |= 1ULL << (i % 64);
                s->zeros++;
        }
}

static void begin(struct stage *s, uint64_t page)
{
        *s = (struct stage){ .room = s->room, .place = s->place, .phase = STAGE_FILLING, .first_page = page };
}

/* The place is empty again: what was moved is gone from it, what was not is given back, as zeros must be found in it next time.
 * Also where it counts as empty: a chunk that is bad was unpacked to it before that was seen. */
static void end(struct stage *s, bool moved)
{
        if (!moved)
                (void)madvise(s->place, HUGE_PAGE_BYTES, MADV_DONTNEED); /* private anonymous memory: it does not fail */
        s->phase = STAGE_IDLE;
}

static uint8_t *bytes_of(const struct stage *s, uint64_t page)
{
        return s->place + pages_to_bytes(page - s->first_page);
}

/* --- broken: what is in the place goes the usual way --- */

/* Neighbours of one run. */
static uint64_t give_some(struct pager *p, uint64_t max_pages)
{
        struct stage          *s = &p->stage;
        uint64_t               page = s->first_page + s->given;
        const struct page_run *run = page_map_find(p->c.map, page);
        uint64_t               nr = MIN(MIN(s->have - s->given, max_pages), run->first_page + run->nr_pages - page);

        if (run->kind == RUN_ZERO)
                pager_deliver_zeros(p, page, nr);
        else if (run->kind == RUN_PACKED)
                pager_deliver_checked(p, page, nr, bytes_of(s, page), FAULT_FILL);
        else
                pager_deliver(p, page, nr, bytes_of(s, page), FAULT_FILL);
        return nr;
}

static void give(struct pager *p, uint64_t max_pages)
{
        struct stage *s = &p->stage;

        s->phase = STAGE_GIVING;
        for (uint64_t pages = 0; pages < max_pages && s->given < s->have && !pager_must_end(p);) {
                uint64_t nr = give_some(p, max_pages - pages);

                s->given += nr;
                pages += nr;
        }
        if (s->given == s->have)
                end(s, false);
}

/* --- slices --- */

/* Checks pages in the place; false: one is bad. */
static bool check(struct pager *p, const struct page_run *run, uint64_t page, uint64_t nr_pages)
{
        struct stage *s = &p->stage;

        for (uint64_t i = 0; i < nr_pages; i++) {
                enum verdict v = pager_judge(p, run, page + i, bytes_of(s, page + i));

                if (v == VERDICT_BAD)
                        return false;
                if (v == VERDICT_ZERO)
                        note_zeros(s, page + i, 1);
        }
        return true;
}

/* Of a file that is cold somewhere it is asked first: a read of what is not cached makes the kernel read it, and prefetch.c does
 * that better. */
static uint64_t read_cached(struct pager *p, const struct page_run *run, uint64_t page, uint64_t nr_pages)
{
        bool cached = true;

        if (cold_is_known(&p->cold, run))
                nr_pages = cold_look(&p->cold, run, page, nr_pages, &cached);
        nr_pages = cached ? sources_read_cached(&p->sources, run, page, nr_pages, bytes_of(&p->stage, page)) : 0;
        if (nr_pages == 0)
                cold_note(&p->cold, run);
        return nr_pages;
}

/* Neighbours of one run, from the first that is not in the place yet. 0: the next page is not cached, or bad, or cannot be
 * staged. */
static uint64_t take_some(struct pager *p, uint64_t max_pages)
{
        struct stage          *s = &p->stage;
        uint64_t               page = s->first_page + s->have;
        const struct page_run *run = page_map_find(p->c.map, page);
        uint64_t               nr = MIN(MIN(STAGE_PAGES - s->have, max_pages), run->first_page + run->nr_pages - page);

        if (run->kind == RUN_ZERO) {
                note_zeros(s, page, nr);
        } else if (run->kind == RUN_RAW) {
                nr = read_cached(p, run, page, nr);
                count(&p->n.read_bytes, pages_to_bytes(nr));
                s->have += nr; /* also where one is bad: it is given to who loses it by name */
                return check(p, run, page, nr) ? nr : 0;
        } else {
                nr = packed_unpack_to(p, run, page, nr, bytes_of(s, page));
        }
        s->have += nr;
        return nr;
}

static bool take(struct pager *p, uint64_t max_pages)
{
        struct stage *s = &p->stage;

        for (uint64_t pages = 0; pages < max_pages && s->have < STAGE_PAGES;) {
                uint64_t nr = take_some(p, max_pages - pages);

                if (nr == 0)
                        return false;
                pages += nr;
        }
        return s->zeros <= ZEROS_MAX;
}

/* All of it, or as much as the kernel does. What is left is copied. */
static void move(struct pager *p, uint64_t max_pages)
{
        struct stage *s = &p->stage;
        int           r = install_move(&p->in, s->first_page, s->place, STAGE_PAGES, &s->given);

        s->refused = r == -EINVAL;
        if (s->given > 0)
                pager_settle_moved(p, s->first_page, s->given, s->zero, FAULT_FILL);
        if (s->given == STAGE_PAGES)
                end(s, true);
        else if (r == -EAGAIN && s->given == 0)
                pager_hold_up(p); /* an event is unread, and may be about these pages: they are looked at again */
        else if (r == -ESRCH)
                p->failed = r;
        else
                give(p, max_pages);
}

bool stage_step(struct pager *p, uint64_t page, uint64_t max_pages)
{
        struct stage *s = &p->stage;

        if (s->phase == STAGE_IDLE && !may_stage(p, page))
                return false;
        if (s->phase == STAGE_IDLE)
                begin(s, page);
        if (s->phase == STAGE_FILLING && is_untouched(p, s->first_page) && (s->have == STAGE_PAGES || take(p, max_pages))) {
                if (s->have == STAGE_PAGES)
                        move(p, max_pages);
                return true;
        }
        if (s->have == 0) { /* not even the first page is cached: its read is begun in another way, and the 2 MiB are no more untouched */
                end(s, false);
                return false;
        }
        give(p, max_pages);
        return true;
}
