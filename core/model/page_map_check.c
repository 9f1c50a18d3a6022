/* core/model/page_map_check.c: what a page map says is believed only after this; no sum here may overflow before it is
 * compared. */
#include "core/model/page_map.h"

#include <inttypes.h>

#define MAP        "page map"
#define WHAT_TO_DO "; the snapshot is damaged, use another copy"

#define PAGES_MAX RAM_PAGES_MAX

/* A run begins where the one before ended and does not leave RAM. */
static int check_place(const struct page_map *m, size_t i, uint64_t expected_first, struct err *e)
{
        const struct page_run *run = &m->runs[i];

        if (run->first_page != expected_first)
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected to begin at page %" PRIu64 ", found page %" PRIu64 WHAT_TO_DO,
                               i, expected_first, run->first_page);
        if (!run->nr_pages || !range_fits(run->first_page, run->nr_pages, m->nr_pages))
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu at page %" PRIu64 ": expected 1 to %" PRIu64 " pages, found %" PRIu32
                               WHAT_TO_DO, i, run->first_page, m->nr_pages - run->first_page, run->nr_pages);
        return 0;
}

static int check_source(const struct page_map *m, size_t i, struct err *e)
{
        const struct page_run *run = &m->runs[i];

        if (run->source >= m->nr_sources)
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected one of %zu sources, found source %u" WHAT_TO_DO, i,
                               m->nr_sources, run->source);
        return 0;
}

/* The bytes of a raw run lie page-aligned inside its source. */
static int check_extent(const struct page_map *m, size_t i, struct err *e)
{
        const struct page_run    *run = &m->runs[i];
        const struct page_source *src;
        int                       r = check_source(m, i, e);

        if (r < 0)
                return r;
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

        if (m->sums && run->first_sum != NO_SUM && !range_fits(run->first_sum, run->nr_pages, m->nr_sums))
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected %" PRIu32 " checksums from number %" PRIu64
                               " on, found %" PRIu64 " in all" WHAT_TO_DO, i, run->nr_pages, run->first_sum, m->nr_sums);
        return 0;
}

/* One chunk of a packed run: its bytes lie in the source, and it has as many pages as its place says. */
static int check_chunk(const struct page_map *m, size_t i, uint64_t at, uint64_t min_pages, uint64_t max_pages, struct err *e)
{
        const struct page_source *src = &m->sources[m->runs[i].source];
        const struct page_chunk  *c;

        if (at >= m->nr_chunks)
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected one of %zu chunks, found number %" PRIu64 WHAT_TO_DO, i,
                               m->nr_chunks, at);
        c = &m->chunks[at];
        if (c->nr_pages < min_pages || c->nr_pages > max_pages)
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu, chunk %" PRIu64 ": expected %" PRIu64 " to %" PRIu64 " pages, found %u"
                               WHAT_TO_DO, i, at, min_pages, max_pages, c->nr_pages);
        if (!c->packed_bytes || c->packed_bytes > pages_to_bytes(c->nr_pages))
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu, chunk %" PRIu64 ": expected 1 to %" PRIu64 " packed bytes, found %" PRIu32
                               WHAT_TO_DO, i, at, pages_to_bytes(c->nr_pages), c->packed_bytes);
        if (!range_fits(c->file_offset_bytes, c->packed_bytes, src->size_bytes))
                return err_bad(e, src->name, c->file_offset_bytes, "expected %" PRIu32 " bytes of chunk %" PRIu64 " for RAM pages from %"
                               PRIu64 " on (run %zu), found a file of %" PRIu64 " bytes" WHAT_TO_DO, c->packed_bytes, at,
                               m->runs[i].first_page, i, src->size_bytes);
        return 0;
}

/* A child may have cut the run at both ends, within a chunk; in between every chunk is full. */
static int check_chunks(const struct page_map *m, size_t i, struct err *e)
{
        const struct page_run *run = &m->runs[i];
        uint64_t               chunk_pages, left, at = run->first_chunk, skip = run->skip_pages;
        int                    r = check_source(m, i, e);

        if (r < 0)
                return r;
        chunk_pages = m->sources[run->source].chunk_pages;
        if (!m->codec || !chunk_pages || chunk_pages > PAGE_CHUNK_MAX || skip >= chunk_pages || skip > run->first_page)
                return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected chunks of 1 to %d pages and fewer of them left out, found %" PRIu64
                               " and %" PRIu64 WHAT_TO_DO, i, PAGE_CHUNK_MAX, chunk_pages, skip);
        left = skip + run->nr_pages;
        for (; left > chunk_pages; left -= chunk_pages) {
                r = check_chunk(m, i, at++, chunk_pages, chunk_pages, e);
                if (r < 0)
                        return r;
        }
        return check_chunk(m, i, at, left, chunk_pages, e);
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
        case RUN_PACKED:
                return check_chunks(m, i, e);
        case RUN_PARENT:
                if (m->is_level)
                        return 0;
                break;
        }
        return err_bad(e, MAP, ERR_NO_OFFSET, "run %zu: expected kind %d (zero), %d (raw) or %d (packed), found %d; a newer rouse may know it", i,
                       RUN_ZERO, RUN_RAW, RUN_PACKED, (int)m->runs[i].kind);
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
