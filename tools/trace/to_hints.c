/* Guest page numbers become RAM page numbers, times become phases. */
#include "tools/trace/to_hints.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static uint32_t us_since(uint64_t first_ns, uint64_t ns)
{
        return ns > first_ns ? (uint32_t)MIN(MAX((ns - first_ns) / NS_PER_US, 1), (uint64_t)UINT32_MAX) : 0;
}

static struct hint hint_of(const struct first_touch *t, uint64_t page, uint64_t first_ns, uint64_t serial_ns)
{
        return (struct hint){
                .page = (uint32_t)page,
                .seen = 1,
                .touch_us = us_since(first_ns, t->ns),
                .phase = !serial_ns || t->ns <= serial_ns ? HINT_PHASE_T3 : HINT_PHASE_T4,
                .flags = (uint8_t)((t->write ? HINT_WRITTEN : 0) | (t->written ? HINT_DIFFERS : 0)),
        };
}

static struct identity identity_of(const struct place *p)
{
        struct identity unbound = {UNBOUND};

        return p->bound ? p->snapshot.identity : unbound;
}

int to_hints(const struct first_touches *t, const struct place *p, uint64_t first_ns, uint64_t serial_ns, struct hints *ret, struct to_hints_report *report,
             struct err *e)
{
        const struct mem_layout *layout = place_layout(p);
        _cleanup_(hints_free) struct hints h = {.snapshot = identity_of(p), .ram_pages = bytes_to_pages(layout->total_bytes), .recordings = 1};

        h.v = calloc(t->nr + 1, sizeof(*h.v));
        if (!h.v)
                return err_set(e, -ENOMEM, "no memory for %zu hints", t->nr);
        *report = (struct to_hints_report){0};
        for (size_t i = 0; i < t->nr; i++) {
                uint64_t offset;

                if (mem_layout_gpa_to_offset(layout, pages_to_bytes(t->v[i].gfn), PAGE_BYTES, &offset))
                        h.v[h.nr++] = hint_of(&t->v[i], bytes_to_pages(offset), first_ns, serial_ns);
                else if (report->outside++ == 0)
                        report->outside_gfn = t->v[i].gfn;
        }
        *ret = h;
        h.v = NULL;
        return 0;
}
