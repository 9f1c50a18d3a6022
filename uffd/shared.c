/* uffd/shared.c: UFFDIO_COPY into the template, UFFDIO_CONTINUE out of it.
 *
 * UFFDIO_COPY is the way in because the kernel fills a page before anybody can see it; write(2) may show it half done to another
 * VM. */
#include "uffd/shared.h"

#include "core/base/bitmap.h"
#include "core/model/shared_pages.h"
#include "uffd/backing.h"
#include "uffd/uffd.h"

#include <errno.h>

static bool is_written(const struct installer *in, uint64_t page)
{
        return in->written && bitmap_test(in->written, page / in->ops->unit_pages);
}

static bool is_ready(const struct installer *in, uint64_t page)
{
        return shared_pages_get(in->shared, page) && !is_written(in, page);
}

uint64_t shared_next(const struct installer *in, uint64_t page, uint64_t end)
{
        while (page < end && !is_ready(in, page))
                page++;
        return page;
}

uint64_t shared_end(const struct installer *in, uint64_t page, uint64_t end)
{
        while (page < end && is_ready(in, page))
                page++;
        return page;
}

int shared_map(const struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_bytes)
{
        return uffd_continue(in->uffd, in->ram + pages_to_bytes(first_page), pages_to_bytes(nr_pages), ret_done_bytes);
}

static int copy_privately(const struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages,
                          uint64_t *ret_done_bytes)
{
        return uffd_copy(in->uffd, in->ram + pages_to_bytes(first_page), src, pages_to_bytes(nr_pages), true, ret_done_bytes);
}

/* How many of the pages the template has now, from the first on. 0 with -EEXIST: a page is there that nobody vouches for. */
static int put(const struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages, uint64_t *ret_pages)
{
        uint64_t bytes;
        int      r;

        if (shared_pages_get(in->shared, first_page)) {
                *ret_pages = shared_end(in, first_page, first_page + nr_pages) - first_page;
                return 0;
        }
        r = uffd_copy(in->uffd, in->shared->view + pages_to_bytes(first_page), src, pages_to_bytes(nr_pages), false, &bytes);
        *ret_pages = bytes_to_pages(bytes);
        shared_pages_set(in->shared, first_page, *ret_pages);
        return *ret_pages > 0 ? 0 : r;
}

static uint64_t same_kind(const struct installer *in, uint64_t page, uint64_t end)
{
        bool     written = is_written(in, page);
        uint64_t next = page + 1;

        while (next < end && is_written(in, next) == written)
                next++;
        return next - page;
}

int shared_copy(const struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages, uint64_t *ret_done_bytes)
{
        uint64_t n = same_kind(in, first_page, first_page + nr_pages), there = 0;
        int      r;

        *ret_done_bytes = 0;
        if (is_written(in, first_page))
                return copy_privately(in, first_page, src, n, ret_done_bytes);
        r = put(in, first_page, src, n, &there);
        if (r == -EEXIST) /* another VM is just putting it there, or one was killed over it */
                return copy_privately(in, first_page, src, in->ops->unit_pages, ret_done_bytes);
        if (r < 0)
                return r;
        r = shared_map(in, first_page, there, ret_done_bytes);
        if (r == -EFAULT && *ret_done_bytes == 0) /* a page that is vouched for is not there: nobody takes pages out */
                return copy_privately(in, first_page, src, in->ops->unit_pages, ret_done_bytes);
        return r;
}
