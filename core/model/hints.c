/* core/model/hints.c: hints are checked as a whole before one page of them is asked for. */
#include "core/model/hints.h"

#include "core/base/bitmap.h"
#include "core/base/cleanup.h"

#include <errno.h>
#include <inttypes.h>

void hints_free(struct hints *h)
{
        if (!h)
                return;
        free(h->v);
        *h = (struct hints){ 0 };
}

static int check_hint(const struct hints *h, size_t i, const struct bitmap *earlier, const char *file, struct err *e)
{
        const struct hint *hint = &h->v[i];

        if (hint->page >= h->ram_pages)
                return err_bad(e, file, ERR_NO_OFFSET, "hint %zu: expected a RAM page below %" PRIu64 ", found %" PRIu32
                               "; record the hints again", i, h->ram_pages, hint->page);
        if (bitmap_test(earlier, hint->page))
                return err_bad(e, file, ERR_NO_OFFSET, "hint %zu: expected each page once, found page %" PRIu32
                               " again; record the hints again", i, hint->page);
        if (hint->seen < 1 || hint->seen > h->recordings)
                return err_bad(e, file, ERR_NO_OFFSET, "hint %zu: expected page %" PRIu32 " to be seen in 1 to %" PRIu32
                               " recordings, found %" PRIu32 "; record the hints again", i, hint->page, h->recordings,
                               hint->seen);
        if (hint->phase >= HINT_PHASES || (hint->flags & ~HINT_FLAGS) || hint->reserved)
                return err_bad(e, file, ERR_NO_OFFSET,
                               "hint %zu: expected phase 0 to %d, flags within %#x and 0, found phase %u, flags %#x and %u"
                               "; record the hints again", i, HINT_PHASES - 1, HINT_FLAGS, hint->phase, hint->flags,
                               hint->reserved);
        if (i > 0 && hint->phase < h->v[i - 1].phase)
                return err_bad(e, file, ERR_NO_OFFSET, "hint %zu: expected phases in their order, found phase %u after %u"
                               "; record the hints again", i, hint->phase, h->v[i - 1].phase);
        return 0;
}

int hints_check(const struct hints *h, const char *file, struct err *e)
{
        _cleanup_(bitmap_free) struct bitmap seen = { 0 };
        int                                  r;

        if (h->recordings > HINTS_RECORDINGS_MAX)
                return err_bad(e, file, ERR_NO_OFFSET,
                               "expected at most %d recordings, found %" PRIu32 "; record the hints again",
                               HINTS_RECORDINGS_MAX, h->recordings);
        r = bitmap_init(&seen, h->ram_pages);
        if (r < 0)
                return err_set(e, r, "%s: no memory to check hints over %" PRIu64 " RAM pages", file, h->ram_pages);
        for (size_t i = 0; i < h->nr; i++) {
                r = check_hint(h, i, &seen, file, e);
                if (r < 0)
                        return r;
                bitmap_set(&seen, h->v[i].page);
        }
        return 0;
}

uint32_t hints_min_seen(const struct hints *h)
{
        return h->recordings >= HINTS_MANY ? 2 : 1;
}

void hints_keep_seen(struct hints *h, uint32_t min_seen)
{
        size_t nr = 0;

        for (size_t i = 0; i < h->nr; i++)
                if (h->v[i].seen >= min_seen)
                        h->v[nr++] = h->v[i];
        h->nr = nr;
}

void hints_keep_first(struct hints *h, uint64_t max_pages)
{
        if (h->nr > max_pages)
                h->nr = (size_t)max_pages;
}
