/* formats/table_runs.c: the runs of a page map on disk and back. */
#include "formats/table_file.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

const struct table_kind table_pages = { .magic = "rouse-pg", .version = 1, .entry_bytes = sizeof(struct table_run), .parents = true };
const struct table_kind table_pages_packed = { .magic       = "rouse-pg",
                                               .version     = 2,
                                               .entry_bytes = sizeof(struct table_run),
                                               .packed      = true,
                                               .parents     = true,
                                               .older       = &table_pages };
const struct table_kind table_index = { .magic = "rouse-ix", .version = 1, .entry_bytes = sizeof(struct table_run) };

int table_runs_pack(const struct page_map *m, struct table_run **ret)
{
        struct table_run *v = calloc(m->nr_runs ? m->nr_runs : 1, sizeof(*v));

        if (!v)
                return -ENOMEM;
        for (size_t i = 0; i < m->nr_runs; i++) {
                const struct page_run *run = &m->runs[i];

                v[i] = (struct table_run){ .first_page = run->first_page, .nr_pages = run->nr_pages, .kind = TABLE_RUN_ZERO };
                if (run->kind == RUN_PARENT)
                        v[i].kind = TABLE_RUN_PARENT;
                if (run->kind == RUN_ZERO || run->kind == RUN_PARENT)
                        continue;
                v[i].source = run->source;
                if (run->kind == RUN_PACKED) {
                        v[i].kind = TABLE_RUN_PACKED;
                        v[i].file_offset_bytes = run->first_chunk;
                        continue;
                }
                v[i].kind = TABLE_RUN_RAW;
                v[i].file_offset_bytes = run->file_offset_bytes;
                v[i].first_sum = run->first_sum;
        }
        *ret = v;
        return 0;
}

/* The fields of a run that has bytes; false: one does not fit. */
static bool set_place(const struct table_run *v, struct page_run *run)
{
        run->source = (uint16_t)MIN(v->source, (uint32_t)UINT16_MAX);
        if (v->kind == TABLE_RUN_RAW) {
                run->kind = RUN_RAW;
                run->file_offset_bytes = v->file_offset_bytes;
                run->first_sum = v->first_sum;
                return true;
        }
        run->kind = RUN_PACKED;
        run->first_chunk = (uint32_t)v->file_offset_bytes;
        return v->file_offset_bytes <= UINT32_MAX && !v->first_sum;
}

static int check_entry(const struct table_run *v, uint64_t place, const struct table_file *t, const char *name, struct err *e)
{
        uint32_t last = t->kind->packed ? TABLE_RUN_PACKED : TABLE_RUN_RAW;
        bool     parent = t->kind->parents && v->kind == TABLE_RUN_PARENT;

        if (!parent && (v->kind < TABLE_RUN_ZERO || v->kind > last))
                return err_bad(e, name, place, "expected a run of kind 1 (zero)%s%s, found %u; a newer rouse may read it",
                               t->kind->packed ? ", 2 (raw) or 3 (packed)" : " or 2 (raw)", t->kind->parents ? ", or 4 (the parent's)" : "",
                               v->kind);
        if ((parent || v->kind == TABLE_RUN_ZERO) && (v->source || v->file_offset_bytes || v->first_sum))
                return err_bad(e, name, place, "expected a zero run (or a parent's) without a place in a file, found one; the file is damaged, "
                               "use another copy");
        return 0;
}

static int unpack(const struct table_run *v, uint64_t place, const struct table_file *t, const char *name, struct page_map *map,
                  struct err *e)
{
        struct page_run run = {
                .first_page = v->first_page,
                .nr_pages   = (uint32_t)MIN(v->nr_pages, RAM_PAGES_MAX), /* more than RAM has: refused below */
                .kind       = v->kind == TABLE_RUN_PARENT ? RUN_PARENT : RUN_ZERO,
        };
        int r = check_entry(v, place, t, name, e);

        if (r < 0)
                return r;
        if (run.kind != RUN_PARENT && v->kind != TABLE_RUN_ZERO && !set_place(v, &run))
                return err_bad(e, name, place, "expected the number of a chunk, found %" PRIu64 "; the file is damaged, use another copy",
                               v->file_offset_bytes);
        r = v->nr_pages == run.nr_pages ? page_map_append(map, &run) : -EINVAL;
        if (r == -EINVAL)
                return err_bad(e, name, place, "expected a run that begins where the last one ended and ends by page %" PRIu64 ", "
                               "found %" PRIu64
                               " pages from page %" PRIu64 "; the file is damaged, use another copy", map->nr_pages, v->nr_pages,
                               v->first_page);
        if (r < 0)
                return err_set(e, r, "%s: no memory for %zu runs", name, map->nr_runs);
        return 0;
}

int table_runs_unpack(const struct table_file *t, const char *name, struct page_map *map, struct err *e)
{
        const struct table_run *v = t->entries;
        uint64_t                at = sizeof(struct table_header) + (t->kind->packed ? sizeof(struct table_packing) : 0);
        int                     r = 0;

        for (uint64_t i = 0; r == 0 && i < t->nr_entries; i++)
                r = unpack(&v[i], at + i * sizeof(*v), t, name, map, e);
        return r;
}

/* --- chunks: what is on disk is what is in memory, field by field --- */

int table_chunks_pack(const struct page_map *m, struct table_chunk **ret)
{
        struct table_chunk *v = calloc(m->nr_chunks ? m->nr_chunks : 1, sizeof(*v));

        if (!v)
                return -ENOMEM;
        for (size_t i = 0; i < m->nr_chunks; i++) {
                const struct page_chunk *c = &m->chunks[i];

                v[i] = (struct table_chunk){ c->file_offset_bytes, c->packed_bytes, c->nr_pages, 0, c->sum };
        }
        *ret = v;
        return 0;
}

int table_chunks_unpack(const struct table_file *t, const char *name, struct page_map *map, struct err *e)
{
        _cleanup_free_ struct page_chunk *v = calloc(t->packing.nr_chunks ? t->packing.nr_chunks : 1, sizeof(*v));

        if (!v)
                return err_set(e, -ENOMEM, "%s: no memory for %" PRIu64 " chunks", name, t->packing.nr_chunks);
        for (uint64_t i = 0; i < t->packing.nr_chunks; i++) {
                const struct table_chunk *c = &t->chunks[i];

                if (c->reserved)
                        return err_bad(e, name, ERR_NO_OFFSET, "chunk %" PRIu64 ": expected a reserved number of 0, found %u; a newer rouse may "
                                       "read it", i, c->reserved);
                v[i] = (struct page_chunk){ c->file_offset_bytes, c->packed_bytes, c->nr_pages, 0, c->sum };
        }
        free(map->chunks);
        map->chunks = TAKE_PTR(v);
        map->nr_chunks = t->packing.nr_chunks;
        return 0;
}
