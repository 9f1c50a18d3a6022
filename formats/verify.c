/* formats/verify.c: reads each stored page or chunk once and holds it against its checksum, or against the map that calls it
 * zero. */
#include "formats/verify.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/fdio.h"
#include "core/base/is_zero.h"
#include "formats/hints_file.h"
#include "formats/page_reader.h"

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
        uint8_t               *buf; /* of PAGE_CHUNK_MAX pages */
        struct page_reader     reader;
        struct page_sums       sums;
        struct verify_report   report;
        struct err             first; /* what is wrong with the first bad page */
};

/* Pages that lie one behind the other in a file, and what they must be. */
struct stretch {
        const struct page_source *src;
        uint64_t                  first_page, nr_pages;
        uint64_t                  file_offset_bytes; /* of first_page */
        const struct page_run    *summed;            /* the run that has their sums; NULL: none to hold them against */
        bool                      zero;              /* the map says so */
};

/* nr_pages of st, from its page `skip` on. */
static struct stretch part_of(const struct stretch *st, uint64_t skip, uint64_t nr_pages)
{
        struct stretch part = *st;

        part.first_page += skip;
        part.nr_pages = nr_pages;
        part.file_offset_bytes += pages_to_bytes(skip);
        return part;
}

static void tell(struct walk *w, bool last)
{
        uint64_t now = now_ns();

        if (!w->progress || (!last && now - w->told_ns < PROGRESS_EVERY))
                return;
        w->told_ns = now;
        w->progress(w->arg, w->done_bytes, w->all_bytes);
}

static void advance(struct walk *w, uint64_t nr_pages)
{
        w->done_bytes += pages_to_bytes(nr_pages);
        tell(w, false);
}

/* Counts a bad page; the first one is described by its caller, into the object that this returns. */
static struct err *bad_page(struct walk *w, uint64_t page)
{
        if (w->report.bad_pages++)
                return NULL;
        w->report.first_bad_page = page;
        return &w->first;
}

static void check_zero(struct walk *w, const struct stretch *one, const uint8_t *bytes)
{
        bool native = w->s->format == &format_native;

        if (is_zero(bytes, PAGE_BYTES))
                return;
        err_bad(bad_page(w, one->first_page), one->src->name, one->file_offset_bytes,
                "RAM page %" PRIu64 ": expected zeros, as %s says, found other bytes; %s", one->first_page,
                native ? "`pages`" : "the page index",
                native ? "use another copy of the snapshot" : "the index is wrong, `rouse inspect --index` makes a new one");
}

static void check_sum(struct walk *w, const struct stretch *one, const uint8_t *bytes)
{
        uint64_t found = XXH3_64bits(bytes, PAGE_BYTES), expected, index = one->first_page - one->summed->first_page;

        w->report.checked_pages++;
        if (!page_sums_get(&w->sums, one->summed, index, &expected)) /* the file was whole when the snapshot was opened */
                err_bad(bad_page(w, one->first_page), "pages", w->s->pages.sums_file.offset_bytes + (one->summed->first_sum + index) * sizeof(expected),
                        "expected the checksum of RAM page %" PRIu64 ", found the file's end: it was cut meanwhile; use another copy of the snapshot",
                        one->first_page);
        else if (expected != found)
                err_bad(bad_page(w, one->first_page), one->src->name, one->file_offset_bytes,
                        "RAM page %" PRIu64 ": expected checksum %#" PRIx64
                        ", found %#" PRIx64 "; use another copy of the snapshot", one->first_page, expected, found);
}

static void check_page(struct walk *w, const struct stretch *one, const uint8_t *bytes)
{
        if (one->zero)
                check_zero(w, one, bytes);
        else if (one->summed)
                check_sum(w, one, bytes);
}

/* Page by page, to know which ones cannot be read. */
static void check_slowly(struct walk *w, const struct stretch *st)
{
        for (uint64_t i = 0; i < st->nr_pages; i++) {
                struct stretch one = part_of(st, i, 1);
                ssize_t        n = fd_pread_full(one.src->fd, w->buf, PAGE_BYTES, one.file_offset_bytes);

                if (n == (ssize_t)PAGE_BYTES)
                        check_page(w, &one, w->buf);
                else
                        err_bad(bad_page(w, one.first_page), one.src->name, one.file_offset_bytes,
                                "RAM page %" PRIu64 ": expected 4096 bytes, found %s"
                                "; use another copy of the snapshot", one.first_page, n < 0 ? strerror((int)-n) : "the file's end");
        }
}

static void check_chunk(struct walk *w, const struct stretch *chunk)
{
        ssize_t n = fd_pread_full(chunk->src->fd, w->buf, pages_to_bytes(chunk->nr_pages), chunk->file_offset_bytes);

        if (n < 0 || (uint64_t)n != pages_to_bytes(chunk->nr_pages)) {
                check_slowly(w, chunk);
                return;
        }
        for (uint64_t i = 0; i < chunk->nr_pages; i++) {
                struct stretch one = part_of(chunk, i, 1);

                check_page(w, &one, w->buf + pages_to_bytes(i));
        }
}

static void check_stretch(struct walk *w, const struct stretch *st)
{
        for (uint64_t skip = 0; skip < st->nr_pages; skip += CHUNK_PAGES) {
                struct stretch chunk = part_of(st, skip, MIN(CHUNK_PAGES, st->nr_pages - skip));

                check_chunk(w, &chunk);
                advance(w, chunk.nr_pages);
        }
}

/* [begin, end): the first pages from `skip` on that are no hole. False: there is only a hole left. A file system that knows no
 * holes says that all is data, which costs time only. */
static bool next_data(const struct stretch *st, uint64_t skip, uint64_t *ret_begin, uint64_t *ret_end)
{
        off_t data = lseek(st->src->fd, (off_t)(st->file_offset_bytes + pages_to_bytes(skip)), SEEK_DATA);
        off_t hole = data < 0 ? data : lseek(st->src->fd, data, SEEK_HOLE);

        *ret_begin = skip;
        *ret_end = st->nr_pages;
        if (data < 0)
                return errno != ENXIO; /* ENXIO: no data up to the file's end */
        *ret_begin = bytes_to_pages((uint64_t)data - st->file_offset_bytes);
        if (hole >= 0)
                *ret_end = MIN(st->nr_pages, bytes_to_pages(align_up((uint64_t)hole - st->file_offset_bytes, PAGE_BYTES)));
        return *ret_begin < st->nr_pages;
}

/* Zero pages that have a place in a file: only what is on disk there is read. */
static void check_zero_stretch(struct walk *w, const struct stretch *st)
{
        uint64_t skip = 0, begin, end;

        while (skip < st->nr_pages && next_data(st, skip, &begin, &end)) {
                struct stretch data = part_of(st, begin, end - begin);

                advance(w, begin - skip);
                check_stretch(w, &data);
                skip = end;
        }
        advance(w, st->nr_pages - skip);
}

static struct stretch stretch_of(const struct snapshot *s, const struct page_run *raw)
{
        return (struct stretch){
                .src               = &s->pages.sources[raw->source],
                .first_page        = raw->first_page,
                .nr_pages          = raw->nr_pages,
                .file_offset_bytes = raw->file_offset_bytes,
        };
}

static void check_raw_run(struct walk *w, const struct page_run *run)
{
        const struct page_map *m = &w->s->pages;
        struct stretch         st = stretch_of(w->s, run);

        st.summed = run_sums(m, run) ? run : NULL;
        check_stretch(w, &st);
}

/* A chunk that is bad is bad in all its pages. */
static void check_packed_run(struct walk *w, const struct page_run *run)
{
        uint64_t page = run->first_page, end = run->first_page + run->nr_pages, nr;

        for (; page < end; page += nr) {
                struct chunk_place at = page_map_find_chunk(&w->s->pages, run, page);
                struct err         why = { 0 };

                nr = MIN(end, at.first_page + at.chunk->nr_pages) - page;
                w->report.checked_pages += nr;
                if (page_reader_read(&w->reader, page, nr, w->buf, &why) < 0) {
                        for (uint64_t i = 0; i < nr; i++) {
                                struct err *first = bad_page(w, page + i);

                                if (first)
                                        *first = why;
                        }
                }
                advance(w, nr);
        }
}

static void check_zero_run(struct walk *w, const struct page_run *run)
{
        const struct page_map *raw_pages = &w->s->raw_pages;
        uint64_t               page = run->first_page, end = run->first_page + run->nr_pages;

        while (page < end) {
                const struct page_run *raw = page_map_find(raw_pages, page);
                struct stretch         all, st;

                if (!raw)
                        return;
                if (raw->kind != RUN_RAW) { /* of a parent whose zeros have no bytes */
                        page = raw->first_page + raw->nr_pages;
                        continue;
                }
                all = stretch_of(w->s, raw);
                st = part_of(&all, page - raw->first_page, MIN(end, raw->first_page + raw->nr_pages) - page);
                st.zero = true;
                check_zero_stretch(w, &st);
                page += st.nr_pages;
        }
}

/* Hints are found by their name, so those that are there must be this snapshot's. */
static int check_hints(const struct snapshot *s, struct err *e)
{
        _cleanup_(hints_free) struct hints h = { 0 };
        struct err                         why = { 0 };
        int                                r = 0;

        if (s->format == &format_native)
                r = hints_file_read(s->dir_fd, HINTS_NAME, &s->identity, s->pages.nr_pages, &h, &why);
        if (r >= 0 || r == -ENOENT)
                return 0;
        if (e)
                *e = why;
        return r;
}

/* One of another state of the snapshot is left behind by whoever wrote the memory anew: that is no damage. */
static int check_index(const struct snapshot *s, struct err *e)
{
        if (!s->index_beside || !s->index.code || s->index.code == -ESTALE)
                return 0;
        if (e)
                *e = s->index;
        return s->index.code;
}

static int verdict(const struct walk *w, struct err *e)
{
        int r = w->report.bad_pages ? 0 : check_index(w->s, e);

        if (!w->report.bad_pages)
                return r < 0 ? r : check_hints(w->s, e);
        if (e)
                *e = w->first;
        return -EBADMSG;
}

int snapshot_verify(const struct snapshot *s, void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes), void *arg,
                    struct verify_report *ret, struct err *e)
{
        struct page_counts     counts = page_map_count(&s->pages);
        _cleanup_free_ uint8_t *buf = malloc(pages_to_bytes(PAGE_CHUNK_MAX));
        struct walk            w = { .s = s, .progress = progress, .arg = arg, .buf = buf, .told_ns = now_ns() };

        if (!buf || page_reader_init(&w.reader, &s->pages, true) < 0)
                return err_set(e, -ENOMEM, "no memory to verify a snapshot");
        page_sums_init(&w.sums, &s->pages);
        w.all_bytes = pages_to_bytes(counts.raw_pages + counts.packed_pages + (s->raw_pages.nr_runs ? counts.zero_pages : 0));
        w.report.data_pages = counts.raw_pages + counts.packed_pages;
        w.report.zero_pages = counts.zero_pages;
        for (size_t i = 0; i < s->pages.nr_runs; i++) {
                if (s->pages.runs[i].kind == RUN_ZERO)
                        check_zero_run(&w, &s->pages.runs[i]);
                else if (s->pages.runs[i].kind == RUN_PACKED)
                        check_packed_run(&w, &s->pages.runs[i]);
                else
                        check_raw_run(&w, &s->pages.runs[i]);
        }
        tell(&w, true);
        page_reader_fini(&w.reader);
        *ret = w.report;
        return verdict(&w, e);
}
