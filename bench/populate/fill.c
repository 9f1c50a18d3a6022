/* bench/populate/fill.c: nobody runs, so that nothing but the filling is measured. */
#include "bench/floors/memory.h"
#include "bench/populate/populate.h"
#include "core/base/clock.h"

#include <errno.h>
#include <string.h>

static double data_bytes(const struct page_map *map)
{
        struct page_counts n = page_map_count(map);

        return (double)pages_to_bytes(n.raw_pages + n.packed_pages);
}

static void note_done(void *arg, uint64_t ns)
{
        *(_Atomic uint64_t *)arg = ns;
}

int populate_fill(struct rig *r, const struct fill_ram *ram, struct filled *ret, struct err *e)
{
        _Atomic uint64_t    done_ns = 0;
        struct pager_stats  s;
        uint64_t            arm_ns;
        double              bytes = data_bytes(r->config.map);
        int                 x;

        r->config.fill = r->config.paused = r->config.spare_cpu = true;
        r->config.events = (struct pager_events){ .arg = &done_ns, .done = note_done };
        r->config.backing = ram->backing;
        r->config.shared = ram->shared;
        x = rig_start(r, ram->ram, &arm_ns, e);
        if (x < 0)
                return x;
        if (pager_wait(r->pager, -1) != 0)
                floor_die("the pager lost pages", EIO);
        pager_stats(r->pager, &s);
        *ret = (struct filled){ .rate = bytes * (double)NS_PER_S / (double)(done_ns - arm_ns),
                                .cpu_us = (double)s.cpu_ns / (double)NS_PER_US / (bytes / (double)PAGE_BYTES) };
        rig_stop(r);
        return 0;
}
