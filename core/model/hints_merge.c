/* core/model/hints_merge.c: all observations sorted by page, one hint made of each page's, and the hints sorted by time. */
#include "core/model/hints_merge.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

/* One page in one recording. */
struct seen_page {
        uint32_t page, touch_us, place; /* place: in its recording */
        uint8_t  phase, flags;
};

/* A hint and what breaks a tie. */
struct placed_hint {
        struct hint hint;
        uint32_t    place;
};

static int compare(uint32_t a, uint32_t b)
{
        return a < b ? -1 : a > b;
}

static int by_page_and_time(const void *x, const void *y)
{
        const struct seen_page *a = x, *b = y;
        int                     c = compare(a->page, b->page);

        c = c ? c : compare(a->phase, b->phase);
        c = c ? c : compare(a->touch_us, b->touch_us);
        return c ? c : compare(a->place, b->place);
}

static int by_phase_and_time(const void *x, const void *y)
{
        const struct placed_hint *a = x, *b = y;
        int                       c = compare(a->hint.phase, b->hint.phase);

        c = c ? c : compare(a->hint.touch_us, b->hint.touch_us);
        c = c ? c : compare(a->place, b->place);
        return c ? c : compare(a->hint.page, b->hint.page);
}

int hints_same_snapshot(const struct hints_named *a, const struct hints_named *b, struct err *e)
{
        if (!identity_equal(&a->hints.snapshot, &b->hints.snapshot))
                return err_bad(e, b->file, ERR_NO_OFFSET,
                               "expected hints for snapshot %s, as %s has them, found them for %s; only files of one "
                               "snapshot belong together", a->hints.snapshot.s, a->file, b->hints.snapshot.s);
        if (a->hints.ram_pages != b->hints.ram_pages)
                return err_bad(e, b->file, ERR_NO_OFFSET,
                               "expected hints for %" PRIu64 " RAM pages, as %s has them, found them for %" PRIu64
                               "; only files of one snapshot belong together", a->hints.ram_pages, a->file, b->hints.ram_pages);
        return 0;
}

static bool knows_times(const struct hints *h)
{
        for (size_t i = 0; i < h->nr; i++)
                if (h->v[i].touch_us)
                        return true;
        return false;
}

static int check(const struct hints_named *in, size_t nr, struct err *e)
{
        for (size_t i = 0; i < nr; i++) {
                int r = i ? hints_same_snapshot(&in[0], &in[i], e) : 0;

                if (r < 0)
                        return r;
                if (in[i].hints.recordings != 1)
                        return err_bad(e, in[i].file, ERR_NO_OFFSET, "expected the recording of one run, found hints of %" PRIu32
                                       "; merge the recordings that they were made of", in[i].hints.recordings);
                if (i && in[i].hints.nr && in[0].hints.nr && knows_times(&in[i].hints) != knows_times(&in[0].hints))
                        return err_bad(e, in[i].file, ERR_NO_OFFSET,
                                       "expected the times of touches in all files or in none, found them in only one "
                                       "of %s and this; record again what was recorded by an older rouse", in[0].file);
        }
        return 0;
}

static struct seen_page *gather(const struct hints_named *in, size_t nr, size_t *ret_nr)
{
        struct seen_page *v;
        size_t            all = 0, n = 0;

        for (size_t i = 0; i < nr; i++)
                all += in[i].hints.nr;
        v = calloc(all + 1, sizeof(*v));
        for (size_t i = 0; v && i < nr; i++)
                for (size_t k = 0; k < in[i].hints.nr; k++) {
                        const struct hint *h = &in[i].hints.v[k];

                        v[n++] = (struct seen_page){ h->page, h->touch_us, (uint32_t)k, h->phase, h->flags };
                }
        *ret_nr = n;
        return v;
}

static uint8_t flags_of_half(const struct seen_page *v, size_t nr)
{
        uint8_t flags = 0;

        for (unsigned bit = 1; bit <= HINT_FLAGS; bit <<= 1) {
                size_t n = 0;

                for (size_t i = 0; i < nr; i++)
                        n += (v[i].flags & bit) != 0;
                if (2 * n >= nr)
                        flags |= (uint8_t)bit;
        }
        return flags;
}

/* v: all observations of one page, in the order of their times. */
static struct placed_hint make_hint(const struct seen_page *v, size_t nr)
{
        const struct seen_page *median = &v[(nr - 1) / 2];

        return (struct placed_hint){
                .hint = { .page = median->page, .seen = (uint32_t)nr, .touch_us = median->touch_us, .phase = median->phase,
                          .flags = flags_of_half(v, nr) },
                .place = median->place,
        };
}

/* Returns how many hints were made of nr observations, which are sorted. */
static size_t make_hints(const struct seen_page *v, size_t nr, uint32_t min_seen, struct placed_hint *to)
{
        size_t made = 0;

        for (size_t i = 0, end; i < nr; i = end) {
                for (end = i + 1; end < nr && v[end].page == v[i].page;)
                        end++;
                if (end - i >= min_seen)
                        to[made++] = make_hint(v + i, end - i);
        }
        return made;
}

int hints_merge(const struct hints_named *in, size_t nr, uint32_t min_seen, struct hints *ret, struct err *e)
{
        _cleanup_free_ struct seen_page   *seen = NULL;
        _cleanup_free_ struct placed_hint *placed = NULL;
        struct hints                       h = { 0 };
        size_t                             nr_seen;
        int                                r = check(in, nr, e);

        if (r < 0)
                return r;
        seen = gather(in, nr, &nr_seen);
        placed = calloc(nr_seen + 1, sizeof(*placed));
        h.v = calloc(nr_seen + 1, sizeof(*h.v));
        if (!seen || !placed || !h.v) {
                free(h.v);
                return err_set(e, -ENOMEM, "no memory to merge %zu recordings", nr);
        }
        qsort(seen, nr_seen, sizeof(*seen), by_page_and_time);
        h.nr = make_hints(seen, nr_seen, min_seen, placed);
        qsort(placed, h.nr, sizeof(*placed), by_phase_and_time);
        for (size_t i = 0; i < h.nr; i++)
                h.v[i] = placed[i].hint;
        h.snapshot = in[0].hints.snapshot;
        h.ram_pages = in[0].hints.ram_pages;
        h.recordings = (uint32_t)nr;
        h.min_seen = min_seen;
        *ret = h;
        return 0;
}
