/* core/model/page_map_check.c: what a page map says is believed only after this; no sum here may overflow before it is compared. */
#include "core/model/page_map.h"

#include <inttypes.h>

#define MAP        "page map"
#define WHAT_TO_DO "; the snapshot is damaged, use another copy"

/* So that every page number below it has a byte offset in 64 bits. */
#define PAGES_MAX (UINT64_MAX >> PAGE_SHIFT)

/* A run begins where the one before ended and does not leave RAM. */
static int check_place(const struct page_map *m, size_t i, uint64_t expected_first, struct err *e)
{
        const struct page_run *run = &m->runs[i];

        if (run->first_page != expected_first)
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected to begin at page %" PRIu64 ", found page %" PRIu64 WHAT_TO_DO,
                               i, expected_first, run->first_page);
        if (!run->nr_pages || !range_fits(run->first_page, run->nr_pages, m->nr_pages))
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu at page %" PRIu64 ": expected 1 to %" PRIu64 " pages, found %" PRIu64
                               WHAT_TO_DO, i, run->first_page, m->nr_pages - run->first_page, run->nr_pages);
        return 0;
}

/* The bytes of a raw run lie page-aligned inside its source. */
static int check_extent(const struct page_map *m, size_t i, struct err *e)
{
        const struct page_run    *run = &m->runs[i];
        const struct page_source *src;

        if (run->source >= m->nr_sources)
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected one of %zu sources, found source %" PRIu32 WHAT_TO_DO, i,
                               m->nr_sources, run->source);
        src = &m->sources[run->source];
        if (!is_page_aligned(run->file_offset_bytes))
                return err_bad(e, src->name, run->file_offset_bytes, "expected an offset in whole 4096-byte pages for RAM page %" PRIu64
                               " (run %zu)" WHAT_TO_DO, run->first_page, i);
        /* check_place bounded nr_pages by PAGES_MAX, so its bytes do not overflow */
        if (!range_fits(run->file_offset_bytes, pages_to_bytes(run->nr_pages), src->size_bytes))
                return err_bad(e, src->name, run->file_offset_bytes, "expected %" PRIu64 " bytes for RAM pages from %" PRIu64
                               " on (run %zu), found a file of %" PRIu64 " bytes" WHAT_TO_DO,
                               pages_to_bytes(run->nr_pages), run->first_page, i, src->size_bytes);
        return 0;
}

static int check_sums(const struct page_map *m, size_t i, struct err *e)
{
        const struct page_run *run = &m->runs[i];

        if (m->sums && !range_fits(run->first_sum, run->nr_pages, m->nr_sums))
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected %" PRIu64 " checksums from number %" PRIu64
                               " on, found %" PRIu64 " in all" WHAT_TO_DO, i, run->nr_pages, run->first_sum, m->nr_sums);
        return 0;
}

static int check_run(const struct page_map *m, size_t i, uint64_t expected_first, struct err *e)
{
        int r = check_place(m, i, expected_first, e);

        if (r < 0)
                return r;
        switch (m->runs[i].kind) {
        case RUN_ZERO:
                return 0;
        case RUN_RAW:
                r = check_extent(m, i, e);
                return r < 0 ? r : check_sums(m, i, e);
        }
        return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected kind %d (zero) or %d (raw), found %d; a newer rouse may know it", i,
                       RUN_ZERO, RUN_RAW, (int)m->runs[i].kind);
}

int page_map_check(const struct page_map *m, struct err *e)
{
        uint64_t covered = 0;
        int      r;

        if (m->nr_pages > PAGES_MAX)
                return err_bad(e, MAP, ERR_NO_OFFSET, "expected at most %" PRIu64 " pages, found %" PRIu64 WHAT_TO_DO, PAGES_MAX,
                               m->nr_pages);
        if (!m->sums && m->nr_sums)
                return err_bad(e, MAP, ERR_NO_OFFSET, "expected no checksums, found %" PRIu64 WHAT_TO_DO, m->nr_sums);
        for (size_t i = 0; i < m->nr_runs; i++) {
                r = check_run(m, i, covered, e);
                if (r < 0)
                        return r;
                covered += m->runs[i].nr_pages;
        }
        if (covered != m->nr_pages)
                return err_bad(e, MAP, ERR_NO_OFFSET, "expected runs for %" PRIu64 " pages, found them for %" PRIu64 WHAT_TO_DO,
                               m->nr_pages, covered);
        return 0;
}
