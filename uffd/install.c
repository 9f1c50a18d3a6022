/* uffd/install.c: the EEXIST, EAGAIN and short-copy rules of UFFDIO_COPY and UFFDIO_ZEROPAGE, in one loop: and of what stands in
 * for them where memory is shared or huge. */
#include "uffd/install.h"

#include "core/base/units.h"
#include "uffd/backing.h"
#include "uffd/shared.h"
#include "uffd/uffd.h"

#include <errno.h>

static uint8_t *page_hva(const struct installer *in, uint64_t page)
{
        return in->ram + pages_to_bytes(page);
}

/* The first page of the unit that holds page. */
static uint64_t unit_of(const struct installer *in, uint64_t page)
{
        return page / in->ops->unit_pages * in->ops->unit_pages;
}

void install_wake(struct installer *in, uint64_t first_page, uint64_t nr_pages)
{
        /* It fails where the range is no longer registered, and then nobody waits. */
        uint64_t first = unit_of(in, first_page), end = unit_of(in, first_page + nr_pages - 1) + in->ops->unit_pages;

        (void)uffd_wake(in->uffd, page_hva(in, first), pages_to_bytes(end - first));
}

/* What a test makes of the next installing ioctl: how many pages it may do, or its -errno. */
static int64_t spoil(struct installer *in, uint64_t first_page, uint64_t nr_pages)
{
        uint64_t n = pager_fault_clip(in->faults, CHANCE_NO_MEMORY, first_page, nr_pages);
        uint64_t half = n / 2 / in->ops->unit_pages * in->ops->unit_pages; /* the kernel stops between units, too */

        in->nr_chances++;
        if (pager_fault_hits(in->faults, CHANCE_EAGAIN_COPY, in->nr_chances))
                return -EAGAIN;
        if (n == 0)
                return pager_fault_no_room(first_page);
        return (int64_t)(half > 0 && pager_fault_hits(in->faults, CHANCE_SHORT_COPY, in->nr_chances) ? half : n);
}

/* One UFFDIO_COPY, unless a test wants it to go wrong. */
static int copy_once(struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages, uint64_t *ret_done_bytes)
{
        const struct pager_faults *f = in->faults;
        int64_t                    may = f ? spoil(in, first_page, nr_pages) : (int64_t)nr_pages;
        int                        r;

        if (may < 0) {
                *ret_done_bytes = 0;
                return (int)may;
        }
        nr_pages = (uint64_t)may;
        if (f && f->eagain_copy && ++in->nr_copies == f->eagain_copy) {
                *ret_done_bytes = 0;
                return -EAGAIN;
        }
        if (f && f->short_copy && nr_pages > 1 && ++in->nr_long_copies == f->short_copy) {
                r = in->ops->copy(in, first_page, src, nr_pages / 2, ret_done_bytes);
                return r < 0 ? r : -EAGAIN;
        }
        return in->ops->copy(in, first_page, src, nr_pages, ret_done_bytes);
}

enum how { HOW_COPY, HOW_ZERO, HOW_SHARED };

static int install_some(struct installer *in, enum how how, uint64_t first_page, const void *src, uint64_t nr_pages,
                        uint64_t *ret_done_bytes)
{
        switch (how) {
        case HOW_ZERO:
                return in->ops->zero(in, first_page, nr_pages, ret_done_bytes);
        case HOW_SHARED:
                return shared_map(in, first_page, nr_pages, ret_done_bytes);
        case HOW_COPY:
                break;
        }
        return copy_once(in, first_page, src, nr_pages, ret_done_bytes);
}

static int install_all(struct installer *in, enum how how, uint64_t first_page, const uint8_t *src, uint64_t nr_pages,
                       uint64_t *ret_done_pages)
{
        uint64_t done = 0, bytes;
        int      r = 0;

        while (done < nr_pages) {
                r = install_some(in, how, first_page + done, src ? src + pages_to_bytes(done) : NULL, nr_pages - done, &bytes);
                done += bytes_to_pages(bytes);
                if (r == -EEXIST) {
                        install_wake(in, first_page + done, 1);
                        done += in->ops->unit_pages;
                } else if (r < 0 && bytes == 0) {
                        *ret_done_pages = done;
                        return r;
                }
        }
        *ret_done_pages = done;
        return 0;
}

int install_copy(struct installer *in, uint64_t first_page, const void *src, uint64_t nr_pages, uint64_t *ret_done_pages)
{
        return install_all(in, HOW_COPY, first_page, src, nr_pages, ret_done_pages);
}

int install_zero(struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_pages)
{
        uint64_t first = unit_of(in, first_page), end = unit_of(in, first_page + nr_pages - 1) + in->ops->unit_pages;

        return install_all(in, HOW_ZERO, first, NULL, end - first, ret_done_pages);
}

int install_shared(struct installer *in, uint64_t first_page, uint64_t nr_pages, uint64_t *ret_done_pages)
{
        return install_all(in, HOW_SHARED, first_page, NULL, nr_pages, ret_done_pages);
}

int install_move(struct installer *in, uint64_t first_page, void *src, uint64_t nr_pages, uint64_t *ret_done_pages)
{
        int64_t  may = in->faults ? spoil(in, first_page, nr_pages) : (int64_t)nr_pages;
        uint64_t bytes = 0;
        int      r = may < 0 ? (int)may : -EBUSY;

        if (in->faults && in->faults->eagain_copy && ++in->nr_copies == in->faults->eagain_copy)
                r = -EAGAIN;
        else if (may > 0)
                r = uffd_move(in->uffd, page_hva(in, first_page), src, pages_to_bytes((uint64_t)may), &bytes);
        *ret_done_pages = bytes_to_pages(bytes);
        return r;
}

int install_poison(struct installer *in, uint64_t page)
{
        uint64_t bytes;

        return uffd_poison(in->uffd, page_hva(in, unit_of(in, page)), pages_to_bytes(in->ops->unit_pages), &bytes);
}
