/* uffd/page_state.h: what the pager knows of each page: a byte per page, and the moves between states that are allowed.
 * Owns:    its bytes, which the kernel backs only where they are touched.
 * Threads: changed by the pager thread only; page_state_get and page_state_error from any.
 * Blocks:  never.
 *
 *   absent ──► wanted ──► reading ──► installed ──► removed
 *      └───────────────────────────►      any ────► removed          removed: the guest gave it back, it is zero ever after
 *   absent, wanted, reading ──► lost ──► poisoned ──► removed        lost: its bytes cannot be had */
#pragma once

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
        uint64_t         nr_pages; /* of RAM, served or not */
        _Atomic uint8_t *v;
        uint64_t         count[PAGE_STATES];
        uint64_t         nr_marked;
};

int  page_states_init(struct page_states *s, uint64_t nr_pages); /* all absent; 0 or -ENOMEM */
void page_states_free(struct page_states *s);

/* The one function that changes a state. False, and nothing changes, where the move is not allowed. */
bool page_state_move(struct page_states *s, uint64_t page, enum page_state to);
/* To PAGE_LOST, with the reason. */
bool page_state_lose(struct page_states *s, uint64_t page, int error);

/* A fault waits, or waited, for the page. */
void page_state_demand(struct page_states *s, uint64_t page);
/* The page counts in nr_marked until it is installed, removed or lost: replay marks the hints that are being read. */
void page_state_mark(struct page_states *s, uint64_t page);

enum page_state page_state_get(const struct page_states *s, uint64_t page);
bool            page_state_demanded(const struct page_states *s, uint64_t page);
int             page_state_error(const struct page_states *s, uint64_t page); /* the reason of a lost one */

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
