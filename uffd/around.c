/* uffd/around.c: recent sequences of faults, and how dense faults are. */
#include "uffd/around.h"

#include "core/base/units.h"

#include <stdbool.h>

/* The average follows a change within some 16 faults: arbitrary. */
#define NEAR_FOLLOWS 16
/* Whole neighbourhoods hide how near the next fault would have been: trust in the average fades, until lone faults tell it
 * anew. */
#define NEAR_FADES 256

/* From here on the rest of a neighbourhood (15 pages, 22 us) is brought with a fault near others: where one fault in 4 is near,
 * some neighbourhood has many. And whole ones where three in 8 would be saved. */
#define NEAR_REST  (AROUND_ALL / 4)
#define NEAR_WHOLE (AROUND_ALL / 8 * 3)

static bool goes_up(const struct around_stream *v, uint64_t page)
{
        return v->end && page > v->low && page <= v->end + AROUND_SLACK_PAGES; /* within: not all of it could be had at once */
}

static bool goes_down(const struct around_stream *v, uint64_t page)
{
        return v->end && page < v->low && v->low - page <= AROUND_SLACK_PAGES;
}

/* The sequence that the page goes on with, else the place for a new one: the one that was quiet for longest makes room. */
static struct around_stream *find(struct around *a, uint64_t page)
{
        struct around_stream *oldest = &a->v[0];

        for (int i = 0; i < AROUND_STREAMS; i++) {
                struct around_stream *v = &a->v[i];

                if (goes_up(v, page) || goes_down(v, page))
                        return v;
                if (a->clock - v->used > a->clock - oldest->used)
                        oldest = v;
        }
        *oldest = (struct around_stream){ 0 };
        return oldest;
}

static struct around_window follow(struct around *a, uint64_t page, uint32_t max_pages)
{
        struct around_stream *v = find(a, page);
        bool                  down = goes_down(v, page);

        v->window = v->window ? MIN(2 * v->window, max_pages) : 1;
        v->used = ++a->clock;
        v->low = down ? page - MIN(page, v->window - 1) : page;
        v->end = down ? page + 1 : page + v->window;
        return (struct around_window){ v->low, v->end };
}

static bool brings_neighbourhood(struct around *a, uint32_t nr_near)
{
        bool rest = nr_near > 0 && a->near >= NEAR_REST, whole = nr_near == 0 && a->near >= NEAR_WHOLE;

        if (nr_near > 0)
                a->near += (AROUND_ALL - a->near) / NEAR_FOLLOWS;
        else
                a->near -= a->near / (whole ? NEAR_FADES : NEAR_FOLLOWS);
        return rest || whole;
}

struct around_window around_fault(struct around *a, uint64_t page, uint32_t nr_near, uint32_t max_pages)
{
        struct around_window w = { page, page + 1 };
        uint64_t             near = page / AROUND_NEAR_PAGES * AROUND_NEAR_PAGES;

        if (max_pages <= 1)
                return w;
        w = follow(a, page, max_pages);
        if (w.end - w.first > 1 || !brings_neighbourhood(a, nr_near) || max_pages < AROUND_NEAR_PAGES)
                return w;
        return (struct around_window){ near, near + AROUND_NEAR_PAGES };
}
