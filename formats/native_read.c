/* formats/native_read.c: rouse's own snapshot: its three files must agree with each other before anything is believed. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "formats/codec/lz4.h"
#include "formats/format.h"
#include "formats/native_sections.h"
#include "formats/part.h"
#include "formats/table_file.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static int probe(int dir_fd, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        char                              magic[sizeof(NATIVE_MAGIC) - 1];
        ssize_t                           n;
        int                               r = part_open(dir_fd, NATIVE_STATE, &p, e);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        n = fd_pread_full(p.fd, magic, sizeof(magic), 0);
        if (n < 0)
                return err_set(e, (int)n, "read %s: %s", NATIVE_STATE, strerror((int)-n));
        return n == sizeof(magic) && !memcmp(magic, NATIVE_MAGIC, sizeof(magic));
}

static int read_state_file(int dir_fd, void **ret, size_t *ret_len, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        int                               r = part_open_needed(dir_fd, NATIVE_STATE, &p, e);

        if (r < 0)
                return r;
        r = fd_read_all(p.fd, NATIVE_STATE_MAX, ret, ret_len);
        if (r == -EFBIG)
                return err_bad(e, NATIVE_STATE, ERR_NO_OFFSET, "expected at most %u bytes, found %" PRIu64 "; the file is "
                               "damaged, use another copy",
                               NATIVE_STATE_MAX, p.size_bytes);
        return r < 0 ? err_set(e, r, "read %s: %s", NATIVE_STATE, strerror(-r)) : 0;
}

/* The name comes from a file: only what a terminal shows as one word. */
static void note_unknown(struct snapshot *s, const struct section *x)
{
        char name[NATIVE_NAME_MAX];

        for (size_t i = 0; i < sizeof(name); i++)
                name[i] = !x->name[i] || (x->name[i] > ' ' && x->name[i] <= '~') ? x->name[i] : '?';
        snapshot_note(s, "state: offset %" PRIu64 ": unknown section %.31s is ignored", x->offset_bytes, name);
}

static int read_state(struct snapshot *s, struct err *e)
{
        _cleanup_(sections_free) struct sections sections = { 0 };
        _cleanup_free_ void                     *buf = NULL;
        const struct section                    *x;
        struct native_state                      n;
        size_t                                   len, i = 0;
        int                                      r = read_state_file(s->dir_fd, &buf, &len, e);

        r = r < 0 ? r : sections_read(NATIVE_STATE, buf, len, &sections, e);
        r = r < 0 ? r : native_state_decode(&sections, &n, e);
        if (r < 0)
                return r;
        s->identity = n.self;
        s->parent = n.parent;
        s->parent_place = n.parent_place;
        s->layout = n.layout;
        s->vm = n.vm;
        snprintf(s->version, sizeof(s->version), "version %d", NATIVE_VERSION);
        while ((x = sections_unused(&sections, &i)))
                note_unknown(s, x);
        return 0;
}

static int check_owner(const struct table_file *t, const struct snapshot *s, struct err *e)
{
        if (!identity_equal(&t->identity, &s->identity))
                return err_bad(e, NATIVE_PAGES, offsetof(struct table_header, identity),
                               "expected the pages of snapshot %s, found those of %s"
                               "; the files are not of one snapshot", s->identity.s, t->identity.s);
        if (t->ram_pages != bytes_to_pages(s->layout.total_bytes))
                return err_bad(e, NATIVE_PAGES, offsetof(struct table_header, ram_pages),
                               "expected %" PRIu64 " pages of RAM, found %" PRIu64
                               "; the files are not of one snapshot", bytes_to_pages(s->layout.total_bytes), t->ram_pages);
        return 0;
}

/* Raw pages lie at their RAM offset, and each has the next checksum: what lets a reader map the file and check it. */
static int check_raw_places(const struct page_map *m, struct err *e)
{
        const uint64_t entries_at = sizeof(struct table_header);
        uint64_t       sums = 0;

        for (size_t i = 0; i < m->nr_runs; i++) {
                const struct page_run *run = &m->runs[i];

                if (run->kind == RUN_ZERO || run->kind == RUN_PARENT)
                        continue;
                if (run->kind == RUN_PACKED)
                        return err_bad(e, NATIVE_PAGES, entries_at,
                                       "run %zu at page %" PRIu64 ": expected a raw run, as others are, found a packed "
                                       "one; the file is damaged, use another copy", i, run->first_page);
                if (run->file_offset_bytes != pages_to_bytes(run->first_page) || run->first_sum != sums)
                        return err_bad(e, NATIVE_PAGES, entries_at,
                                       "run %zu at page %" PRIu64 ": expected file offset %" PRIu64 " and checksum number %" PRIu64
                                       ", found %" PRIu64 " and %" PRIu64 "; the file is damaged, use another copy", i,
                                       run->first_page,
                                       pages_to_bytes(run->first_page), sums, run->file_offset_bytes, run->first_sum);
                sums += run->nr_pages;
        }
        if (sums != m->nr_sums)
                return err_bad(e, NATIVE_PAGES, offsetof(struct table_header, nr_sums),
                               "expected a checksum for each of %" PRIu64 " data pages, found %" PRIu64
                               "; the file is damaged, use another copy", sums, m->nr_sums);
        return 0;
}

/* Chunks lie back to back to the end of `memory`, ... */
static int check_chunk_places(const struct page_map *m, struct err *e)
{
        uint64_t at = 0;

        for (size_t i = 0; i < m->nr_chunks; i++) {
                if (m->chunks[i].file_offset_bytes != at)
                        return err_bad(e, NATIVE_PAGES, ERR_NO_OFFSET,
                                       "chunk %zu: expected file offset %" PRIu64 ", found %" PRIu64
                                       "; the file is damaged, use another copy", i, at, m->chunks[i].file_offset_bytes);
                at += m->chunks[i].packed_bytes;
        }
        if (at != m->sources[0].size_bytes)
                return err_bad(e, NATIVE_MEMORY, MIN(at, m->sources[0].size_bytes),
                               "expected %" PRIu64 " bytes, as much as its chunks have, "
                               "found %" PRIu64 "; the file is cut short or of another snapshot", at, m->sources[0].size_bytes);
        return 0;
}

/* ... and each belongs to one run, that begins with it and ends with its last page. */
static int check_packed_places(const struct page_map *m, struct err *e)
{
        uint64_t chunks = 0;

        for (size_t i = 0; i < m->nr_runs; i++) {
                const struct page_run *run = &m->runs[i];
                uint64_t               chunk_pages = m->sources[0].chunk_pages, tail;

                if (run->kind == RUN_ZERO || run->kind == RUN_PARENT)
                        continue;
                if (run->kind != RUN_PACKED || run->first_chunk != chunks)
                        return err_bad(e, NATIVE_PAGES, sizeof(struct table_header) + sizeof(struct table_packing),
                                       "run %zu at page %" PRIu64 ": expected a packed run from chunk %" PRIu64 " on, found %s %" PRIu32
                                       "; the file is damaged, use another copy", i, run->first_page, chunks,
                                       run->kind == RUN_PACKED ? "chunk" : "a raw run",
                                       run->kind == RUN_PACKED ? run->first_chunk : 0);
                chunks += (run->nr_pages + chunk_pages - 1) / chunk_pages;
                tail = run->nr_pages % chunk_pages;
                if (tail && m->chunks[chunks - 1].nr_pages != tail)
                        return err_bad(e, NATIVE_PAGES, ERR_NO_OFFSET,
                                       "chunk %" PRIu64 ": expected %" PRIu64 " pages, found %u; the file is "
                                       "damaged, use another copy", chunks - 1, tail, m->chunks[chunks - 1].nr_pages);
        }
        if (chunks != m->nr_chunks)
                return err_bad(e, NATIVE_PAGES, sizeof(struct table_header),
                               "expected %" PRIu64 " chunks, found %zu; the file is damaged, use "
                               "another copy", chunks, m->nr_chunks);
        return check_chunk_places(m, e);
}

static int check_places(const struct page_map *m, struct err *e)
{
        return m->codec ? check_packed_places(m, e) : check_raw_places(m, e);
}

static int read_pages_file(const struct snapshot *s, struct table_file *ret, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        int                               r = part_open_needed(s->dir_fd, NATIVE_PAGES, &p, e);

        r = r < 0 ? r : table_file_read_header(&p, NATIVE_PAGES, &table_pages_packed, ret, e);
        r = r < 0 ? r : check_owner(ret, s, e);
        return r < 0 ? r : table_file_read(&p, NATIVE_PAGES, ret, e);
}

static int add_memory(struct snapshot *s, const struct table_file *t, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        int                               r = part_open_needed(s->dir_fd, NATIVE_MEMORY, &p, e);

        if (r < 0)
                return r;
        if (!t->kind->packed && p.size_bytes != s->layout.total_bytes)
                return err_bad(e, NATIVE_MEMORY, MIN(p.size_bytes, s->layout.total_bytes),
                               "expected %" PRIu64 " bytes, as much as RAM, found %" PRIu64
                               "; the file is cut short or of another snapshot", s->layout.total_bytes, p.size_bytes);
        r = page_map_add_source(&s->pages, TAKE_FD(p.fd), p.size_bytes, NATIVE_MEMORY);
        if (r < 0)
                return err_set(e, r, "no memory for the page map");
        s->pages.sources[r].chunk_pages = t->packing.chunk_pages;
        s->pages.sources[r].pack_level = t->packing.level;
        return 0;
}

/* A memory that is not packed has a place for every page, for zero pages too: holes, if nobody filled them. Those of a parent's
 * pages are its own. */
static int add_raw_pages(struct snapshot *s, struct err *e)
{
        int r = 0;

        page_map_init(&s->raw_pages, s->pages.nr_pages);
        if (s->pages.codec && !page_map_needs_parent(&s->pages))
                return 0;
        for (size_t i = 0; i < s->pages.nr_runs && r >= 0; i++) {
                const struct page_run *run = &s->pages.runs[i];
                struct page_run        place = { .first_page = run->first_page, .nr_pages = run->nr_pages, .kind = RUN_PARENT };

                if (run->kind != RUN_PARENT && s->pages.codec)
                        place.kind = RUN_ZERO;
                else if (run->kind != RUN_PARENT) {
                        place.kind = RUN_RAW;
                        place.file_offset_bytes = pages_to_bytes(run->first_page);
                }
                r = page_map_append(&s->raw_pages, &place);
        }
        return r < 0 ? err_set(e, r, "no memory for the page map") : 0;
}

static int add_chunks(struct snapshot *s, const struct table_file *t, struct err *e)
{
        s->pages.codec = &codec_lz4; /* no other passes the header */
        return table_chunks_unpack(t, NATIVE_PAGES, &s->pages, e);
}

static int read_pages(struct snapshot *s, struct err *e)
{
        _cleanup_(table_file_free) struct table_file t = { 0 };
        int                                          r = read_pages_file(s, &t, e);

        if (r < 0)
                return r;
        page_map_init(&s->pages, t.ram_pages);
        r = add_memory(s, &t, e);
        if (r >= 0 && t.kind->packed)
                r = add_chunks(s, &t, e);
        r = r < 0 ? r : table_runs_unpack(&t, NATIVE_PAGES, &s->pages, e);
        r = r < 0 ? r : add_raw_pages(s, e);
        if (r < 0)
                return r;
        s->pages.sums = TAKE_PTR(t.sums);
        s->pages.sums_file = t.sums_file;
        t.sums_file = (struct sums_file){ 0 };
        s->pages.nr_sums = t.nr_sums;
        s->pages.zeros_known = true;
        s->pages.is_level = true;
        r = page_map_check(&s->pages, e);
        if (r < 0)
                return err_wrap(e, r, NATIVE_PAGES);
        return check_places(&s->pages, e);
}

static int read_snapshot(struct snapshot *s, const struct snapshot_open_options *o, struct err *e)
{
        int r = read_state(s, e);

        (void)o; /* a native snapshot knows its zero pages: there is no index to look for */
        r = r < 0 ? r : read_pages(s, e);
        if (r < 0)
                return r;
        if (page_map_needs_parent(&s->pages) && !s->parent.s[0])
                return err_bad(e, NATIVE_STATE, ERR_NO_OFFSET,
                               "expected a parent in section identity, as pages are left to it, found none"
                               "; the files are not of one snapshot");
        s->verifiable = true;
        return 0;
}

const struct format_ops format_native = {
        .name  = "native",
        .probe = probe,
        .read  = read_snapshot,
};
