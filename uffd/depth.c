/* uffd/depth.c: doubling, as long as that pays. */
#include "uffd/depth.h"

#include "core/base/units.h"

void depth_init(struct depth *d)
{
        *d = (struct depth){ .now = DEPTH_START };
}

static void begin_window(struct depth *d, uint64_t now_ns)
{
        d->nr_reads = 0;
        d->nr_pages = 0;
        d->begin_ns = now_ns;
}

static void probe(struct depth *d, uint64_t cost)
{
        d->best = cost;
        d->probing = d->now < DEPTH_MAX;
        if (d->probing)
                d->now *= 2;
}

static void end_window(struct depth *d, uint64_t cost)
{
        if (d->probing && cost + cost / 8 > d->best) {
                d->now = MAX(d->now / 2, (uint32_t)DEPTH_MIN);
                d->probing = false;
                d->nr_windows = 0;
        } else if (d->probing || d->best == 0 || ++d->nr_windows >= DEPTH_AGAIN) {
                d->nr_windows = 0;
                probe(d, cost);
        }
}

void depth_answered(struct depth *d, uint32_t nr_pages, size_t nr_flying, uint64_t now_ns)
{
        if (d->begin_ns == 0 || nr_flying < d->now / 2) { /* nobody asked for as many: that says nothing of the device */
                begin_window(d, now_ns);
                return;
        }
        d->nr_reads++;
        d->nr_pages += nr_pages;
        if (d->nr_reads < d->now)
                return;
        end_window(d, (now_ns - d->begin_ns) * 1024 / d->nr_pages);
        begin_window(d, now_ns);
}
