/* formats/verify.c: reads each stored page once and compares it with its checksum, if it has one. */
#include "formats/verify.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/fdio.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

#define CHUNK_PAGES     256ULL                  /* 1 MiB: what the page cache reads ahead at most, several times over */
#define PROGRESS_EVERY  (250 * NS_PER_MS)

struct walk {
        const struct snapshot *s;
        void                 (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);
        void                  *arg;
        uint64_t               done_bytes, all_bytes, told_ns;
        uint8_t               *buf;
        struct verify_report   report;
        struct err             first; /* what is wrong with the first bad page */
};

static void tell(struct walk *w, bool last)
{
        uint64_t now = now_ns();

        if (!w->progress || (!last && now - w->told_ns < PROGRESS_EVERY))
                return;
        w->told_ns = now;
        w->progress(w->arg, w->done_bytes, w->all_bytes);
}

/* Counts a bad page; the first one is described by its caller, into the object that this returns. */
static struct err *bad_page(struct walk *w, uint64_t page)
{
        if (w->report.bad_pages++)
                return NULL;
        w->report.first_bad_page = page;
        return &w->first;
}

static uint64_t offset_of(const struct page_run *run, uint64_t page)
{
        return run->file_offset_bytes + pages_to_bytes(page - run->first_page);
}

static void check_page(struct walk *w, const struct page_run *run, uint64_t page, const uint8_t *bytes)
{
        const struct page_map *m = &w->s->pages;
        uint64_t               expected, found;

        if (!m->sums)
                return;
        w->report.checked_pages++;
        expected = m->sums[run->first_sum + (page - run->first_page)];
        found = XXH3_64bits(bytes, PAGE_BYTES);
        if (expected != found)
                err_bad(bad_page(w, page), m->sources[run->source].name, offset_of(run, page),
                        "RAM page %" PRIu64 ": expected checksum %#" PRIx64
                        ", found %#" PRIx64 "; use another copy of the snapshot", page, expected, found);
}

/* Page by page, to know which ones cannot be read. */
static void check_slowly(struct walk *w, const struct page_run *run, uint64_t first, uint64_t nr_pages)
{
        const struct page_source *src = &w->s->pages.sources[run->source];

        for (uint64_t page = first; page < first + nr_pages; page++) {
                ssize_t n = fd_pread_full(src->fd, w->buf, PAGE_BYTES, offset_of(run, page));

                if (n == (ssize_t)PAGE_BYTES)
                        check_page(w, run, page, w->buf);
                else
                        err_bad(bad_page(w, page), src->name, offset_of(run, page),
                                "RAM page %" PRIu64 ": expected 4096 bytes, found %s"
                                "; use another copy of the snapshot", page, n < 0 ? strerror((int)-n) : "the file's end");
        }
}

static void check_chunk(struct walk *w, const struct page_run *run, uint64_t first, uint64_t nr_pages)
{
        const struct page_source *src = &w->s->pages.sources[run->source];
        ssize_t                   n = fd_pread_full(src->fd, w->buf, pages_to_bytes(nr_pages), offset_of(run, first));

        if (n < 0 || (uint64_t)n != pages_to_bytes(nr_pages)) {
                check_slowly(w, run, first, nr_pages);
                return;
        }
        for (uint64_t i = 0; i < nr_pages; i++)
                check_page(w, run, first + i, w->buf + pages_to_bytes(i));
}

static void check_run(struct walk *w, const struct page_run *run)
{
        uint64_t end = run->first_page + run->nr_pages;

        if (run->kind == RUN_ZERO)
                return;
        for (uint64_t page = run->first_page; page < end; page += CHUNK_PAGES) {
                uint64_t nr_pages = MIN(CHUNK_PAGES, end - page);

                check_chunk(w, run, page, nr_pages);
                w->done_bytes += pages_to_bytes(nr_pages);
                tell(w, false);
        }
}

int snapshot_verify(const struct snapshot *s, void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes), void *arg,
                    struct verify_report *ret, struct err *e)
{
        struct page_counts     counts = page_map_count(&s->pages);
        _cleanup_free_ uint8_t *buf = malloc(pages_to_bytes(CHUNK_PAGES));
        struct walk            w = { .s = s, .progress = progress, .arg = arg, .buf = buf, .told_ns = now_ns() };

        if (!buf)
                return err_set(e, -ENOMEM, "no memory to verify a snapshot");
        w.all_bytes = pages_to_bytes(counts.raw_pages);
        w.report.data_pages = counts.raw_pages;
        w.report.zero_pages = counts.zero_pages;
        for (size_t i = 0; i < s->pages.nr_runs; i++)
                check_run(&w, &s->pages.runs[i]);
        tell(&w, true);
        *ret = w.report;
        if (w.report.bad_pages && e)
                *e = w.first;
        return w.report.bad_pages ? -EBADMSG : 0;
}
