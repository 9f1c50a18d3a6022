/* Makes pages zero by the cheapest means that is right for what stands behind them. */
#include "core/discard.h"

#include "core/base/checked_copy.h"
#include "core/page_ranges.h"

#include <errno.h>
#include <linux/mman.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGES (HUGE_PAGE_BYTES / PAGE_BYTES)

/* --- what stands behind a page of mapped RAM --- */

/* Neighbouring pages that were one thing when RAM was mapped: a range of a file or of a template, or what lies between. */
struct piece {
        uint64_t first, end;
        bool     mapped; /* of a file or template, but for what was replaced since */
        bool     served; /* of a template: the pager must hear of it */
};

/* Narrows *p, which has page, to the range of v that has it (true), or to what lies between two of them. */
static bool narrow(const struct pager_range *v, size_t nr, uint64_t page, struct piece *p)
{
        size_t low = page_ranges_past(v, nr, page);

        if (low > 0)
                p->first = MAX(p->first, v[low - 1].first_page + v[low - 1].nr_pages);
        if (low == nr)
                return false;
        if (page < v[low].first_page) {
                p->end = MIN(p->end, v[low].first_page);
                return false;
        }
        p->first = v[low].first_page;
        p->end = v[low].first_page + v[low].nr_pages;
        return true;
}

static struct piece piece_at(const struct discard *d, uint64_t page)
{
        struct piece p = {0, bytes_to_pages(d->ram->size_bytes), false, false};

        p.mapped = narrow(d->ram->mapped, d->ram->nr_mapped, page, &p);
        if (!p.mapped)
                p.mapped = p.served = narrow(d->ram->shared, d->ram->nr_shared, page, &p);
        return p;
}

static bool is_replaced(const struct discard *d, uint64_t page)
{
        return d->replaced && (d->replaced[page / 64] >> (page % 64) & 1);
}

static bool is_mapped(const struct discard *d, const struct piece *p, uint64_t page)
{
        return p->mapped && !is_replaced(d, page);
}

static bool is_anonymous_at(const struct discard *d, uint64_t page)
{
        struct piece p = piece_at(d, page);

        return !is_mapped(d, &p, page);
}

/* How many pages from `page` on, below `end` and of the same piece, have the same behind them. */
static uint64_t same_behind(const struct discard *d, const struct piece *p, uint64_t page, uint64_t end)
{
        uint64_t stop = MIN(end, p->end), next = page + 1;
        bool mapped = is_mapped(d, p, page);

        if (!p->mapped)
                return stop - page;
        while (next < stop && is_mapped(d, p, next) == mapped)
                next++;
        return next - page;
}

enum behind discard_what(const struct discard *d, uint64_t page, uint64_t end, uint64_t *ret_nr)
{
        struct piece p = piece_at(d, page);

        *ret_nr = same_behind(d, &p, page, end);
        if (!is_mapped(d, &p, page))
                return BEHIND_MEMORY;
        return p.served ? BEHIND_TEMPLATE : BEHIND_FILE;
}

/* How many mappings more there are when [first, end) of one piece becomes anonymous: what is left of the file on either side
 * is a mapping, and anonymous neighbours become one with it.
 *
 *   FFFFFFF ─► FFaaaFF  +2        aaFFFFF ─► aaaaaFF  0        aaFFFaa ─► aaaaaaa  -2
 */
static int64_t added_mappings(const struct discard *d, const struct piece *p, uint64_t first, uint64_t end)
{
        int64_t added = 0;

        if (first > p->first && is_mapped(d, p, first - 1))
                added++;
        else if (first > 0 && is_anonymous_at(d, first - 1))
                added--;
        if (end < p->end && is_mapped(d, p, end))
                added++;
        else if (end < bytes_to_pages(d->ram->size_bytes) && is_anonymous_at(d, end))
                added--;
        return added;
}

/* --- the means --- */

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
        bool huge = d->ram->backing == RAM_HUGETLB;
        int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | (huge ? MAP_HUGETLB | MAP_HUGE_2MB : MAP_NORESERVE);
        uint8_t *at = d->ram->base + pages_to_bytes(first);
        uint64_t bytes = pages_to_bytes(nr);

        if (mmap(at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED)
                return -errno;
        madvise(at, bytes, MADV_DONTFORK);
        if (!huge)
                madvise(at, bytes, MADV_NOHUGEPAGE);
        return 0;
}

static bool has_bits(struct discard *d)
{
        if (!d->replaced)
                d->replaced = calloc(bytes_to_pages(d->ram->size_bytes) / 64 + 1, sizeof(uint64_t));
        return d->replaced;
}

/* Pages of one piece that are all still the file's or the template's. */
static int replace_file(struct discard *d, const struct piece *p, uint64_t first, uint64_t nr)
{
        int64_t added = added_mappings(d, p, first, first + nr);

        if (!has_bits(d) || (added > 0 && d->nr_mappings + (uint64_t)added > d->max_mappings))
                return write_zeros(d, first, nr); /* the guest's own copy of these pages: never wrong, only not freed */
        /* A template's pages are served: once the pager has heard, it puts nothing there but zeros for who asks. */
        if ((p->served && drop_anonymous(d, first, nr) < 0) || map_anonymous(d, first, nr) < 0)
                return write_zeros(d, first, nr);
        d->nr_mappings += (uint64_t)added; /* wraps down where it is negative */
        for (uint64_t page = first; page < first + nr; page++)
                d->replaced[page / 64] |= 1ULL << (page % 64);
        return 0;
}

static int discard_mapped(struct discard *d, uint64_t first, uint64_t end)
{
        int r = 0, worst = 0;

        while (first < end && r >= 0) {
                struct piece p = piece_at(d, first);
                uint64_t nr = same_behind(d, &p, first, end);

                r = is_mapped(d, &p, first) ? replace_file(d, &p, first, nr) : drop_anonymous(d, first, nr);
                first += nr;
                worst = r < 0 ? r : MAX(r, worst);
        }
        return worst;
}

/* Not one kind of memory throughout. */
static bool is_mixed(const struct discard *d)
{
        return d->ram->nr_mapped > 0 || d->ram->nr_shared > 0;
}

static int punch(const struct discard *d, uint64_t first, uint64_t nr)
{
        return madvise(d->ram->base + pages_to_bytes(first), pages_to_bytes(nr), MADV_REMOVE) < 0 ? -errno : 0;
}

/* What lies apart from files: one kind of memory throughout. */
static int drop(struct discard *d, uint64_t first, uint64_t nr)
{
        if (is_mixed(d))
                return discard_mapped(d, first, first + nr);
        return d->ram->backing == RAM_ANON ? drop_anonymous(d, first, nr) : punch(d, first, nr);
}

/* Whole 2 MiB pages are dropped; a part of one can only be written.
 *
 *   |..zz####|########|##zzzz..|      z written   # dropped */
static int discard_huge(struct discard *d, uint64_t first, uint64_t end)
{
        uint64_t low = MIN(align_up(first, HUGE_PAGES), end), high = MAX(end / HUGE_PAGES * HUGE_PAGES, low);
        int r = low < high ? drop(d, low, high - low) : 0, worst = r;

        if (r >= 0 && first < low)
                worst = r = write_zeros(d, first, low - first);
        if (r >= 0 && high < end)
                worst = r = write_zeros(d, high, end - high);
        return worst;
}

void discard_init(struct discard *d, const struct guest_ram *ram, uint64_t max_map_count)
{
        *d = (struct discard){.ram = ram, .max_mappings = max_map_count / 2};
        d->nr_mappings = 2 * (ram->nr_mapped + ram->nr_shared) + 1;
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
        bool huge = d->ram->backing == RAM_HUGETLB;
        int r;

        if (!is_mixed(d) && !huge) {
                r = drop(d, first_page, nr_pages);
                if (r >= 0)
                        return r;
        }
        pthread_mutex_lock(&d->lock);
        if (huge)
                r = discard_huge(d, first_page, first_page + nr_pages);
        else if (is_mixed(d))
                r = discard_mapped(d, first_page, first_page + nr_pages);
        else
                r = write_zeros(d, first_page, nr_pages);
        pthread_mutex_unlock(&d->lock);
        return r;
}
