/* Makes pages zero by the cheapest means that is right for what stands behind them. */
#include "core/discard.h"

#include "core/base/checked_copy.h"
#include "uffd/served.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- what stands behind a page of mapped RAM --- */

static bool is_replaced(const struct discard *d, uint64_t page)
{
        return d->replaced && (d->replaced[page / 64] >> (page % 64) & 1);
}

static const struct pager_range *find_range(const struct discard *d, uint64_t page)
{
        return served_find(&(struct served){d->mapped, d->nr_mapped}, page);
}

static bool is_file(const struct discard *d, const struct pager_range *range, uint64_t page)
{
        return range && !is_replaced(d, page);
}

/* The first page at or after `page` that a mapping of a file was made over, at most `end`. */
static uint64_t next_range(const struct discard *d, uint64_t page, uint64_t end)
{
        size_t low = 0, high = d->nr_mapped;

        while (low < high) {
                size_t mid = low + (high - low) / 2;

                if (d->mapped[mid].first_page < page)
                        low = mid + 1;
                else
                        high = mid;
        }
        return low < d->nr_mapped ? MIN(end, d->mapped[low].first_page) : end;
}

/* How many pages from `page` on, below `end` and of the same range, have the same behind them. */
static uint64_t same_behind(const struct discard *d, const struct pager_range *range, uint64_t page, uint64_t end)
{
        uint64_t stop, next = page + 1;
        bool file = is_file(d, range, page);

        if (!range)
                return next_range(d, page, end) - page;
        stop = MIN(end, range->first_page + range->nr_pages);
        while (next < stop && is_file(d, range, next) == file)
                next++;
        return next - page;
}

/* How many mappings more there are when [first, end) of one range's file becomes anonymous: what is left of the file on either side
 * is a mapping, and anonymous neighbours become one with it.
 *
 *   FFFFFFF ─► FFaaaFF  +2        aaFFFFF ─► aaaaaFF  0        aaFFFaa ─► aaaaaaa  -2
 */
static int64_t added_mappings(const struct discard *d, const struct pager_range *range, uint64_t first, uint64_t end)
{
        uint64_t range_end = range->first_page + range->nr_pages, nr_pages = bytes_to_pages(d->ram->size_bytes);
        int64_t added = 0;

        if (first > range->first_page && is_file(d, range, first - 1))
                added++;
        else if (first > 0 && !is_file(d, find_range(d, first - 1), first - 1))
                added--;
        if (end < range_end && is_file(d, range, end))
                added++;
        else if (end < nr_pages && !is_file(d, find_range(d, end), end))
                added--;
        return added;
}

/* --- the three means --- */

static int drop_anonymous(const struct discard *d, uint64_t first, uint64_t nr)
{
        return madvise(d->ram->base + pages_to_bytes(first), pages_to_bytes(nr), MADV_DONTNEED) < 0 ? -errno : 0;
}

static int write_zeros(const struct discard *d, uint64_t first, uint64_t nr)
{
        static const uint8_t zeros[16 * PAGE_BYTES];

        for (uint64_t done = 0; done < nr;) {
                uint64_t n = MIN(nr - done, sizeof(zeros) / PAGE_BYTES);
                int r = checked_write(d->ram->base + pages_to_bytes(first + done), zeros, pages_to_bytes(n));

                if (r < 0)
                        return r;
                done += n;
        }
        return 1;
}

/* The same flags as the rest of RAM has, so that the kernel joins it with anonymous neighbours. */
static int map_anonymous(const struct discard *d, uint64_t first, uint64_t nr)
{
        uint8_t *at = d->ram->base + pages_to_bytes(first);
        uint64_t bytes = pages_to_bytes(nr);

        if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
                return -errno;
        madvise(at, bytes, MADV_DONTFORK);
        madvise(at, bytes, MADV_NOHUGEPAGE);
        return 0;
}

static bool has_bits(struct discard *d)
{
        if (!d->replaced)
                d->replaced = calloc(bytes_to_pages(d->ram->size_bytes) / 64 + 1, sizeof(uint64_t));
        return d->replaced;
}

/* Pages of one range that are all still the file's. */
static int replace_file(struct discard *d, const struct pager_range *range, uint64_t first, uint64_t nr)
{
        int64_t added = added_mappings(d, range, first, first + nr);

        if (!has_bits(d) || (added > 0 && d->nr_mappings + (uint64_t)added > d->max_mappings) || map_anonymous(d, first, nr) < 0)
                return write_zeros(d, first, nr); /* the guest's own copy of these pages: never wrong, only not freed */
        d->nr_mappings += (uint64_t)added; /* wraps down where it is negative */
        for (uint64_t page = first; page < first + nr; page++)
                d->replaced[page / 64] |= 1ULL << (page % 64);
        return 0;
}

static int discard_mapped(struct discard *d, uint64_t first, uint64_t end)
{
        int r = 0, worst = 0;

        while (first < end && r >= 0) {
                const struct pager_range *range = find_range(d, first);
                uint64_t nr = same_behind(d, range, first, end);

                r = is_file(d, range, first) ? replace_file(d, range, first, nr) : drop_anonymous(d, first, nr);
                if (r < 0 && !range)
                        r = write_zeros(d, first, nr);
                first += nr;
                worst = r < 0 ? r : MAX(r, worst);
        }
        return worst;
}

void discard_init(struct discard *d, const struct guest_ram *ram, const struct pager_range *mapped, size_t nr_mapped, uint64_t nr_mappings,
                  uint64_t max_map_count)
{
        *d = (struct discard){.ram = ram, .mapped = mapped, .nr_mapped = nr_mapped, .nr_mappings = nr_mappings, .max_mappings = max_map_count / 2};
        pthread_mutex_init(&d->lock, NULL);
}

void discard_fini(struct discard *d)
{
        if (!d->ram)
                return;
        pthread_mutex_destroy(&d->lock);
        free(d->replaced);
        *d = (struct discard){0};
}

int discard_pages(struct discard *d, uint64_t first_page, uint64_t nr_pages)
{
        int r;

        if (!d->nr_mapped) {
                r = drop_anonymous(d, first_page, nr_pages);
                if (r >= 0)
                        return r;
        }
        pthread_mutex_lock(&d->lock);
        r = d->nr_mapped ? discard_mapped(d, first_page, first_page + nr_pages) : write_zeros(d, first_page, nr_pages);
        pthread_mutex_unlock(&d->lock);
        return r;
}
