/* uffd/streams.c: recent sequences of faults, the least recent one making room. */
#include "uffd/streams.h"

#include "core/base/units.h"

#include <stdbool.h>

static bool goes_up(const struct stream *v, uint64_t page)
{
        return v->end && page > v->low && page <= v->end + STREAM_SLACK_PAGES; /* within: not all of it could be had at once */
}

static bool goes_down(const struct stream *v, uint64_t page)
{
        return v->end && page < v->low && v->low - page <= STREAM_SLACK_PAGES;
}

/* The sequence that the page goes on with, else the place for a new one. */
static struct stream *find(struct streams *s, uint64_t page)
{
        struct stream *oldest = &s->v[0];

        for (int i = 0; i < STREAMS; i++) {
                struct stream *v = &s->v[i];

                if (goes_up(v, page) || goes_down(v, page))
                        return v;
                if (s->clock - v->used > s->clock - oldest->used)
                        oldest = v;
        }
        *oldest = (struct stream){ 0 };
        return oldest;
}

struct stream_window streams_fault(struct streams *s, uint64_t page, uint32_t max_pages)
{
        struct stream *v = find(s, page);
        bool           down = goes_down(v, page);

        v->window = v->window ? MIN(2 * v->window, MAX(max_pages, 1u)) : 1;
        v->used = ++s->clock;
        v->low = down && page >= v->window - 1 ? page - (v->window - 1) : page;
        v->end = down ? page + 1 : page + v->window;
        return (struct stream_window){ v->low, v->end };
}
