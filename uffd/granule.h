/* uffd/granule.h: pages of 2 MiB: their parts come one by one, from wherever the page map says, and are installed together.
 * Owns:    the places where granules are put together, until granules_free.
 * Threads: pager thread only, once made.
 * Blocks:  never.
 *
 *   page map    zero | raw | packed | raw          parts that are cached at once, the others when their reads end
 *   place       [0000][####][########][....]       a part that is there is PAGE_READING, as one that is still being read
 *                                                  512 of 512: one install; then all are PAGE_INSTALLED */
#pragma once

#include "core/model/ledger.h"
#include "core/model/page_map.h"

#define GRANULE_PAGES (HUGE_PAGE_BYTES / PAGE_BYTES)

/* Two, as the pager may have 8 MiB for itself: a prefetch never takes the last one, so that a fault waits for nobody else's
 * reads. */
#define GRANULE_PLACES 2

struct granule {
        bool             used;
        uint64_t         first_page;
        uint32_t         have;                      /* of its pages */
        uint64_t         there[GRANULE_PAGES / 64]; /* which: what comes twice counts once */
        enum fault_class why;
        uint8_t         *bytes;
};

struct granules {
        struct granule v[GRANULE_PLACES];
        uint8_t       *memory; /* the places, and behind them 2 MiB that are never written; NULL: pages are 4 KiB */
};

int            granules_init(struct granules *g); /* 0 or -ENOMEM */
void           granules_free(struct granules *g); /* accepts a zeroed one */
const uint8_t *granules_zeros(const struct granules *g);

static inline uint64_t granule_of(uint64_t page)
{
        return page / GRANULE_PAGES * GRANULE_PAGES;
}

/* The one that is being put together and holds page, or NULL. */
struct granule *granules_find(struct granules *g, uint64_t page);

struct pager;

/* Brings the granule of an open page: begins it, or goes on with it. False: there is no place for it now. */
bool pager_bring_granule(struct pager *p, uint64_t page, enum fault_class why);
/* Goes on with those whose reads found no room; lets go of those that were removed or lost meanwhile. */
void pager_go_on_with_granules(struct pager *p);
/* Neighbouring open pages have come, checked; NULL: zeros. How many were dealt with, as put() of deliver.c. */
uint64_t pager_put_in_granule(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint8_t *bytes);
/* A page of it is lost: the others are, too. */
void pager_lose_granule(struct pager *p, uint64_t page, int error);
