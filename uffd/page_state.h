/* uffd/page_state.h: what the pager knows of each page: two bits, and the moves between states that are allowed.
 * Owns:    its bits; what the few busy pages need besides stands in a bounded table, the reasons of lost ones in a place that the
 *          kernel backs only where pages are lost.
 * Threads: the pager thread only; page_state_find_loss from any.
 * Blocks:  never.
 *
 *   absent ──► wanted ──► reading ──► installed ──► removed
 *      └───────────────────────────►      any ────► removed          removed: the guest gave it back, it is zero ever after
 *   absent, wanted, reading ──► lost ──► poisoned ──► removed        lost: its bytes cannot be had
 *
 *   two bits:  absent  installed  removed  other ──► busy: wanted, reading (and who asked)
 *                                                └─► loss: lost, poisoned (and why) */
#pragma once

#include "uffd/busy_pages.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum page_state {
        PAGE_ABSENT,    /* nobody asked for it; ends with a fault, a prefetch or a discard */
        PAGE_WANTED,    /* a fault waits and no read is under way; the next round of the loop answers it */
        PAGE_READING,   /* a slow read owns it: nobody else may read it; ends when that read ends or is given up */
        PAGE_INSTALLED, /* it is there; a fault message that comes late is only woken */
        PAGE_REMOVED,   /* discarded by the guest: answered with zeros as often as it is asked for, never with the snapshot's bytes */
        PAGE_LOST,      /* told to the session; a fault on it is told again, and let go where that is safe */
        PAGE_POISONED,  /* lost, and a touch is SIGBUS */
        PAGE_STATES,
};

struct page_states {
        uint64_t          nr_pages; /* of RAM, served or not */
        _Atomic uint64_t *words;    /* 32 pages each */
        _Atomic uint8_t  *losses;   /* a byte a page */
        struct busy_pages busy;
        uint64_t          count[PAGE_STATES];
        uint64_t          nr_marked;
};

int  page_states_init(struct page_states *s, uint64_t nr_pages); /* all absent; 0 or -ENOMEM */
void page_states_free(struct page_states *s);

/* The one function that changes the state of a page. False, and nothing changes, where the move is not allowed, or where too many
 * pages are busy for one more to become wanted or reading. */
bool page_state_move(struct page_states *s, uint64_t page, enum page_state to);
/* To PAGE_LOST, with the reason. */
bool page_state_lose(struct page_states *s, uint64_t page, int error);
/* Neighbours that are all absent become installed. */
void page_states_install_absent(struct page_states *s, uint64_t first_page, uint64_t nr_pages);
/* Is there room for nr pages more to become wanted or reading? */
bool page_states_have_room(const struct page_states *s, uint64_t nr);

/* A fault waits for the page. It is remembered until the page is installed or removed. */
void page_state_demand(struct page_states *s, uint64_t page);
/* The page counts in nr_marked until it is installed, removed or lost: replay marks the hints that are being read. */
void page_state_mark(struct page_states *s, uint64_t page);

enum page_state page_state_get(const struct page_states *s, uint64_t page);
bool            page_state_demanded(const struct page_states *s, uint64_t page);

/* Of [page, end): the first that is absent, the first that is not; end where there is none. 32 pages at a time. */
uint64_t page_states_next_absent(const struct page_states *s, uint64_t page, uint64_t end);
uint64_t page_states_end_of_absent(const struct page_states *s, uint64_t page, uint64_t end);
/* How many pages are installed in the aligned block of nr pages (a power of two up to 32) that holds page. */
uint32_t page_states_near(const struct page_states *s, uint64_t page, uint32_t nr);

struct page_loss {
        int  error;
        bool demanded, poisoned;
};
/* Any thread. False: the page is not lost (or removed since). *ret may be NULL. */
bool page_state_find_loss(const struct page_states *s, uint64_t page, struct page_loss *ret);

/* Any thread: its bytes never came, and it was neither removed nor lost. */
bool page_state_is_unfetched(const struct page_states *s, uint64_t page);

/* Still without its bytes, and nobody has given it up. */
static inline bool page_state_is_open(enum page_state st)
{
        return st == PAGE_ABSENT || st == PAGE_WANTED || st == PAGE_READING;
}

/* May a new read ask for it? */
static inline bool page_state_is_free(enum page_state st)
{
        return st == PAGE_ABSENT || st == PAGE_WANTED;
}
