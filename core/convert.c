/* Reads a snapshot by its page map and hands pages and state to the writer of another format. */
#include "core/convert.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/find_hints.h"
#include "formats/format.h"
#include "formats/hints_file.h"
#include "formats/page_reader.h"
#include "formats/snapshot_writer.h"

#include <errno.h>
#include <string.h>

#define CHUNK_PAGES    512ULL /* 2 MiB: what the writer likes too */
#define PROGRESS_EVERY (250 * NS_PER_MS)

struct conversion {
        const struct convert_options *o;
        struct snapshot snap;
        const struct snapshot_writer_ops *ops;
        struct snapshot_writer *writer;
        struct page_reader reader; /* checks: a page that does not match must not get a new sum that it does */
        uint8_t *buf;
        uint64_t done_bytes, all_bytes, told_ns;
        struct hints hints;
        bool has_hints;
};

static void conversion_free(struct conversion *c)
{
        if (c->writer)
                c->ops->free(c->writer);
        page_reader_fini(&c->reader);
        snapshot_close(&c->snap);
        hints_free(&c->hints);
        free(c->buf);
}

static void tell(struct conversion *c, bool last)
{
        if (!c->o->progress || (!last && now_ns() - c->told_ns < PROGRESS_EVERY))
                return;
        c->told_ns = now_ns();
        c->o->progress(c->o->progress_arg, c->done_bytes, c->all_bytes);
}

static int check_cancelled(const struct conversion *c, struct err *e)
{
        return c->o->cancelled && c->o->cancelled(c->o->cancelled_arg) ? err_set(e, -ECANCELED, "the conversion was cancelled")
               : 0;
}

/* A source without checksums that is written meanwhile would become a snapshot of two moments, with checksums that match. */
static int check_unchanged(const struct conversion *c, struct err *e)
{
        const struct page_map *m = &c->snap.pages;
        uint64_t size_bytes;

        for (size_t i = 0; i < m->nr_sources; i++)
                if (page_source_is_changed(&m->sources[i], &size_bytes)) {
                        err_bad(e, m->sources[i].name, ERR_NO_OFFSET,
                                "expected the file as it was opened, found that it was written "
                                "meanwhile; convert it again when nobody writes it");
                        return err_wrap(e, e->code, "%s", c->o->src);
                }
        return 0;
}

static int convert_run(struct conversion *c, const struct page_run *run, struct err *e)
{
        int r = check_cancelled(c, e);

        if (r < 0)
                return r;
        if (run->kind == RUN_ZERO)
                return c->ops->pages(c->writer, NULL, run->nr_pages, e);
        for (uint64_t skip = 0; r >= 0 && skip < run->nr_pages; skip += CHUNK_PAGES) {
                uint64_t nr = MIN(CHUNK_PAGES, run->nr_pages - skip);

                r = check_cancelled(c, e);
                if (r < 0)
                        return r;
                r = page_reader_read(&c->reader, run->first_page + skip, nr, c->buf, e);
                if (r < 0)
                        return err_wrap(e, r, "%s", c->o->src);
                r = c->ops->pages(c->writer, c->buf, nr, e);
                c->done_bytes += pages_to_bytes(nr);
                tell(c, false);
        }
        return r;
}

static int open_source(struct conversion *c, struct err *e)
{
        struct snapshot_open_options so = {.data_dir = c->o->data_dir, .bases = c->o->bases, .nr_bases = c->o->nr_bases};
        struct page_counts n;
        int r = snapshot_open(c->o->src, &so, &c->snap, e);

        if (r < 0)
                return r;
        c->buf = malloc(pages_to_bytes(CHUNK_PAGES));
        if (!c->buf || page_reader_init(&c->reader, &c->snap.pages, true) < 0)
                return err_set(e, -ENOMEM, "no memory to convert a snapshot");
        n = page_map_count(&c->snap.pages);
        c->all_bytes = pages_to_bytes(n.raw_pages + n.packed_pages);
        return c->ops->check(&c->snap.vm, e);
}

/* Where the source's zero pages are known, and are not packed, so is what will be written; else nothing is refused for a guess,
 * and a file system that gets full shows in time: the source is still there. */
static int begin(struct conversion *c, struct err *e)
{
        struct snapshot_writer_options wo = {.path = c->o->dst, .replace = c->o->replace, .ram_pages = c->snap.pages.nr_pages,
                                             .pack = c->o->pack, .pack_level = c->o->pack_level};

        if (c->snap.pages.zeros_known && !c->o->pack)
                wo.need_bytes = c->all_bytes;
        return c->ops->new(&wo, &c->writer, e);
}

static void say(const struct conversion *c, const char *what, const char *why)
{
        char text[1100];

        if (!c->o->say)
                return;
        snprintf(text, sizeof(text), "%s: %s", what, why);
        c->o->say(c->o->say_arg, text);
}

/* What the user named must fit; what is merely there is left behind where it does not. */
static int take_hints(struct conversion *c, struct err *e)
{
        struct err mine = {0};
        int r;

        if (c->o->hints_path && strcmp(c->o->hints_path, "none") == 0)
                return 0;
        if (c->o->hints_path)
                r = hints_file_read_path(c->o->hints_path, &c->snap.identity, c->snap.pages.nr_pages, &c->hints, e);
        else
                r = hints_find(&c->snap, c->o->data_dir, &c->hints, &mine);
        c->has_hints = r >= 0;
        if (r < 0 && c->o->hints_path)
                return r;
        if (r < 0 && r != -ENOENT)
                say(c, "hints are not taken along", mine.text);
        return 0;
}

/* Hints of a format that has no place for them lie where a restore looks for them. The snapshot is whole already: it is kept
 * without. */
static void keep_hints_beside(struct conversion *c, struct convert_report *report)
{
        struct err err = {0};

        if (!c->has_hints || c->ops->hints)
                return;
        c->hints.snapshot = report->identity;
        if (!c->o->data_dir)
                err_set(&err, -ENOENT, "there is no home for them: set XDG_DATA_HOME");
        else if (hints_file_write_data_dir(c->o->data_dir, &c->hints, &err) == 0)
                report->hints = c->hints.nr;
        if (err.code)
                say(c, "hints are not taken along", err.text);
}

static int write_hints(struct conversion *c, struct convert_report *report, struct err *e)
{
        int r = c->has_hints && c->ops->hints ? c->ops->hints(c->writer, &c->hints, e) : -ENOENT;

        if (r == 0)
                report->hints = c->hints.nr;
        return r == -ENOENT ? 0 : r;
}

static int convert(struct conversion *c, struct convert_report *ret, struct err *e)
{
        struct convert_report report = {.from = c->snap.format->name, .to = c->ops->name};
        struct snapshot_writer_counts n;
        int r = begin(c, e);

        for (size_t i = 0; r >= 0 && i < c->snap.pages.nr_runs; i++)
                r = convert_run(c, &c->snap.pages.runs[i], e);
        r = r < 0 ? r : check_unchanged(c, e);
        r = r < 0 ? r : check_cancelled(c, e);
        if (r < 0)
                return r;
        tell(c, true);
        r = c->ops->state(c->writer, &c->snap.vm, &c->snap.layout, e);
        r = r < 0 ? r : write_hints(c, &report, e);
        r = r < 0 ? r : c->ops->commit(c->writer, &report.identity, e);
        if (r < 0)
                return r;
        keep_hints_beside(c, &report);
        n = c->ops->counts(c->writer);
        report.data_bytes = pages_to_bytes(n.data_pages);
        report.zero_bytes = pages_to_bytes(n.zero_pages);
        report.stored_bytes = n.stored_bytes;
        if (c->o->say)
                c->ops->advise(&c->snap.vm, c->o->say, c->o->say_arg);
        *ret = report;
        return 0;
}

int snapshot_convert(const struct convert_options *o, struct convert_report *ret, struct err *e)
{
        _cleanup_(conversion_free) struct conversion c = {.o = o, .ops = snapshot_writer_find(o->format, e), .told_ns = now_ns()};
        int r;

        if (!c.ops)
                return -EINVAL;
        if (o->pack && snapshot_writer_check_pack(c.ops, o->pack_level, e) < 0)
                return -EINVAL;
        r = open_source(&c, e);
        r = r < 0 ? r : take_hints(&c, e);
        return r < 0 ? r : convert(&c, ret, e);
}
