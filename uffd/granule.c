/* uffd/granule.c: puts 2 MiB pages together. */
#include "uffd/granule.h"

#include "uffd/backing.h"
#include "uffd/pager_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

int granules_init(struct granules *g)
{
        void *m = mmap(NULL, (GRANULE_PLACES + 1) * HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (m == MAP_FAILED)
                return -ENOMEM;
        g->memory = m;
        for (int i = 0; i < GRANULE_PLACES; i++)
                g->v[i] = (struct granule){ .bytes = g->memory + (uint64_t)i * HUGE_PAGE_BYTES };
        /* a huge page of zeros would be memory of its own; the small one is the kernel's */
        madvise(g->memory + GRANULE_PLACES * HUGE_PAGE_BYTES, HUGE_PAGE_BYTES, MADV_NOHUGEPAGE);
        return 0;
}

void granules_free(struct granules *g)
{
        if (g->memory)
                munmap(g->memory, (GRANULE_PLACES + 1) * HUGE_PAGE_BYTES);
        g->memory = NULL;
}

const uint8_t *granules_zeros(const struct granules *g)
{
        return g->memory + GRANULE_PLACES * HUGE_PAGE_BYTES;
}

struct granule *granules_find(struct granules *g, uint64_t page)
{
        for (int i = 0; i < GRANULE_PLACES; i++)
                if (g->v[i].used && g->v[i].first_page == granule_of(page))
                        return &g->v[i];
        return NULL;
}

static struct granule *take_place(struct granules *g, uint64_t page, enum fault_class why)
{
        struct granule *free_one = NULL;
        int             nr_free = 0;

        for (int i = 0; i < GRANULE_PLACES; i++)
                if (!g->v[i].used) {
                        free_one = &g->v[i];
                        nr_free++;
                }
        if (nr_free <= (why == FAULT_DEMAND ? 0 : 1))
                return NULL;
        *free_one = (struct granule){ .used = true, .first_page = granule_of(page), .why = why, .bytes = free_one->bytes };
        return free_one;
}

static bool is_free(const struct pager *p, uint64_t page)
{
        return page_state_is_free(page_state_get(&p->states, page));
}

/* The next pages of the granule that nobody reads, of one run, as many as are judged at once; nr_pages 0: none. */
static struct extent next_part(const struct pager *p, const struct granule *g, uint64_t page)
{
        uint64_t      end = g->first_page + GRANULE_PAGES;
        struct extent x = { 0 };

        while (page < end && !is_free(p, page))
                page++;
        if (page == end)
                return x;
        x = (struct extent){ .run = page_map_find(p->c.map, page), .first_page = page, .nr_pages = 1 };
        end = MIN(end, x.run->first_page + x.run->nr_pages);
        end = MIN(end, page + ARRAY_LEN(p->verdicts));
        while (page + x.nr_pages < end && is_free(p, page + x.nr_pages))
                x.nr_pages++;
        return x;
}

/* Straight into its place, where it is cached. False: there is no room for its read. */
static bool bring_part(struct pager *p, struct granule *g, const struct extent *x)
{
        uint8_t *to = g->bytes + pages_to_bytes(x->first_page - g->first_page);
        uint64_t got;

        if (x->run->kind == RUN_ZERO) {
                pager_deliver_zeros(p, x->first_page, x->nr_pages);
                return true;
        }
        if (x->run->kind == RUN_PACKED && packed_bring(p, x, g->why) > 0)
                return true;
        got = x->run->kind == RUN_PACKED ? 0 : sources_read_cached(&p->sources, x->run, x->first_page, x->nr_pages, to);
        if (got == 0)
                return slow_start(p, x, g->why) > 0;
        count(&p->n.read_bytes, pages_to_bytes(got));
        pager_deliver(p, x->first_page, got, to, g->why);
        return true;
}

/* Delivering its last part ends it: the place may then be free, or another's. */
static void bring_parts(struct pager *p, struct granule *g)
{
        uint64_t      first = g->first_page;
        struct extent x = next_part(p, g, first);

        while (x.nr_pages > 0 && g->used && g->first_page == first && !pager_must_end(p) && bring_part(p, g, &x))
                x = next_part(p, g, x.first_page);
}

bool pager_bring_granule(struct pager *p, uint64_t page, enum fault_class why)
{
        struct granule *g = granules_find(&p->granules, page);

        if (!g)
                g = take_place(&p->granules, page, why);
        if (!g)
                return false;
        bring_parts(p, g);
        return true;
}

void pager_go_on_with_granules(struct pager *p)
{
        for (int i = 0; i < GRANULE_PLACES; i++) {
                struct granule *g = &p->granules.v[i];

                if (g->used && !page_state_is_open(page_state_get(&p->states, g->first_page)))
                        g->used = false; /* removed or lost: reads that are under way find their pages closed */
                if (g->used)
                        bring_parts(p, g);
        }
}

static void install(struct pager *p, struct granule *g)
{
        uint64_t done = 0;
        int      r = -EAGAIN;

        while (r == -EAGAIN && !pager_must_end(p) && page_state_is_open(page_state_get(&p->states, g->first_page))) {
                r = install_copy(&p->in, g->first_page, g->bytes, GRANULE_PAGES, &done);
                if (r == -EAGAIN)
                        pager_hold_up(p);
        }
        g->used = false;
        if (r == 0)
                pager_settle(p, g->first_page, GRANULE_PAGES, g->why == FAULT_DEMAND ? FAULT_AROUND : g->why);
        else if (r == -ESRCH)
                p->failed = r;
        else if (r != -EAGAIN)
                pager_lose(p, g->first_page, r);
}

static void note_there(struct granule *g, uint64_t i)
{
        g->have += !(g->there[i / 64] >> (i % 64) & 1);
        g->there[i / 64] |= UINT64_C(1) << (i % 64);
}

uint64_t pager_put_in_granule(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint8_t *bytes)
{
        struct granule *g = granules_find(&p->granules, first_page);
        uint64_t        n = MIN(nr_pages, granule_of(first_page) + GRANULE_PAGES - first_page);
        uint8_t        *to;

        if (!g) /* what a read brought for a granule that nobody puts together: it was given up */
                return n;
        to = g->bytes + pages_to_bytes(first_page - g->first_page);
        if (!bytes)
                memset(to, 0, pages_to_bytes(n));
        else if (bytes != to)
                memcpy(to, bytes, pages_to_bytes(n));
        for (uint64_t i = 0; i < n; i++) {
                note_there(g, first_page + i - g->first_page);
                page_state_move(&p->states, first_page + i, PAGE_READING); /* refused where it is that already */
        }
        if (g->have == GRANULE_PAGES)
                install(p, g);
        return n;
}

void pager_lose_granule(struct pager *p, uint64_t page, int error)
{
        struct granule *g = granules_find(&p->granules, page);

        if (g)
                g->used = false;
        for (uint64_t i = granule_of(page); i < granule_of(page) + GRANULE_PAGES; i++)
                if (page_state_lose(&p->states, i, error))
                        count(&p->n.lost_pages, 1);
}
