/* Makes pages zero by the cheapest means that is right for what stands behind them. */
#include "core/discard.h"

#include "core/base/checked_copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* --- what stands behind a page of mapped RAM --- */

static bool is_replaced(const struct discard *d, uint64_t page)
{
        return d->replaced && (d->replaced[page / 64] >> (page % 64) & 1);
}

static bool is_file(const struct discard *d, const struct page_run *run, uint64_t page)
{
        return run && run->kind == RUN_RAW && !is_replaced(d, page);
}

/* How many pages from `page` on, below `end` and of the same run, have the same behind them. */
static uint64_t same_behind(const struct discard *d, const struct page_run *run, uint64_t page, uint64_t end)
{
        uint64_t stop = MIN(end, run->first_page + run->nr_pages), next = page + 1;
        bool file = is_file(d, run, page);

        if (run->kind != RUN_RAW)
                return stop - page;
        while (next < stop && is_file(d, run, next) == file)
                next++;
        return next - page;
}

/* How many mappings more there are when [first, end) of one run's file becomes anonymous: what is left of the file on either side
 * is a mapping, and anonymous neighbours become one with it.
 *
 *   FFFFFFF ─► FFaaaFF  +2        aaFFFFF ─► aaaaaFF  0        aaFFFaa ─► aaaaaaa  -2
 */
static int64_t added_mappings(const struct discard *d, const struct page_run *run, uint64_t first, uint64_t end)
{
        uint64_t run_end = run->first_page + run->nr_pages;
        int64_t added = 0;

        if (first > run->first_page && is_file(d, run, first - 1))
                added++;
        else if (first > 0 && !is_file(d, page_map_find(d->files, first - 1), first - 1))
                added--;
        if (end < run_end && is_file(d, run, end))
                added++;
        else if (end < d->files->nr_pages && !is_file(d, page_map_find(d->files, end), end))
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
                d->replaced = calloc(d->files->nr_pages / 64 + 1, sizeof(uint64_t));
        return d->replaced;
}

/* Pages of one run that are all still the file's. */
static int replace_file(struct discard *d, const struct page_run *run, uint64_t first, uint64_t nr)
{
        int64_t added = added_mappings(d, run, first, first + nr);

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
                const struct page_run *run = page_map_find(d->files, first);
                uint64_t nr = same_behind(d, run, first, end);

                r = is_file(d, run, first) ? replace_file(d, run, first, nr) : drop_anonymous(d, first, nr);
                first += nr;
                worst = r < 0 ? r : MAX(r, worst);
        }
        return worst;
}

void discard_init(struct discard *d, const struct guest_ram *ram, const struct page_map *files, uint64_t max_map_count)
{
        *d = (struct discard){.ram = ram, .files = files, .max_mappings = max_map_count / 2};
        d->nr_mappings = files ? files->nr_runs : 0;
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

        if (!d->files) {
                r = drop_anonymous(d, first_page, nr_pages);
                if (r >= 0)
                        return r;
        }
        pthread_mutex_lock(&d->lock);
        r = d->files ? discard_mapped(d, first_page, first_page + nr_pages) : write_zeros(d, first_page, nr_pages);
        pthread_mutex_unlock(&d->lock);
        return r;
}
