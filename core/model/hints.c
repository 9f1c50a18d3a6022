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
                               " recordings, found %" PRIu32 "; record the hints again", i, hint->page, h->recordings, hint->seen);
        if (hint->phase >= HINT_PHASES || (hint->flags & ~HINT_FLAGS))
                return err_bad(e, file, ERR_NO_OFFSET, "hint %zu: expected phase 0 to %d and flags within %#x, found phase %u and flags %#x"
                               "; record the hints again", i, HINT_PHASES - 1, HINT_FLAGS, hint->phase, hint->flags);
        return 0;
}

int hints_check(const struct hints *h, const char *file, struct err *e)
{
        _cleanup_(bitmap_free) struct bitmap seen = { 0 };
        int                                  r;

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
