/* Reads in the order of pages, neighbours at once, whatever the order of touches was. */
#include "core/compare_hints.h"

#include "core/base/cleanup.h"
#include "core/base/is_zero.h"
#include "core/base/units.h"
#include "formats/page_reader.h"

#include <errno.h>
#include <string.h>

#define AT_ONCE_PAGES 256 /* 1 MiB: arbitrary, past where a read costs by its bytes alone */

/* A hint's page and its place in the list. */
struct place {
        uint32_t page, at;
};

static int by_page(const void *x, const void *y)
{
        const struct place *a = x, *b = y;

        return a->page < b->page ? -1 : a->page > b->page;
}

static size_t count_neighbours(const struct place *v, size_t nr)
{
        size_t n = 1;

        while (n < nr && n < AT_ONCE_PAGES && v[n].page == v[0].page + n)
                n++;
        return n;
}

static void compare_page(struct hint *h, const uint8_t *saved, const uint8_t *now)
{
        if (is_zero(saved, PAGE_BYTES))
                h->flags |= HINT_ZERO;
        if (now && memcmp(saved, now, PAGE_BYTES) != 0)
                h->flags |= HINT_DIFFERS;
}

int hints_compare(struct hints *h, const struct page_map *map, const uint8_t *ram, bool (*has)(const void *arg, uint64_t page),
                  const void *arg, struct err *e)
{
        _cleanup_(page_reader_fini) struct page_reader reader = {0};
        _cleanup_free_ struct place *v = calloc(h->nr + 1, sizeof(*v));
        _cleanup_free_ uint8_t *buf = malloc(pages_to_bytes(AT_ONCE_PAGES));
        int r = page_reader_init(&reader, map, false); /* what the guest got was checked then */

        if (!v || !buf || r < 0)
                return err_set(e, -ENOMEM, "no memory to compare %zu pages", h->nr);
        for (size_t i = 0; i < h->nr; i++)
                v[i] = (struct place){h->v[i].page, (uint32_t)i};
        qsort(v, h->nr, sizeof(*v), by_page);
        for (size_t i = 0, n; i < h->nr; i += n) {
                n = count_neighbours(v + i, h->nr - i);
                r = page_reader_read(&reader, v[i].page, n, buf, e);
                if (r < 0)
                        return r;
                for (size_t k = 0; k < n; k++)
                        compare_page(&h->v[v[i + k].at], buf + pages_to_bytes(k),
                                     has(arg, v[i + k].page) ? ram + pages_to_bytes(v[i + k].page) : NULL);
        }
        return 0;
}
