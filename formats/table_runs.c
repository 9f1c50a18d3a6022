/* formats/table_runs.c: the runs of a page map on disk and back. */
#include "formats/table_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

const struct table_kind table_pages = { "rouse-pg", 1, sizeof(struct table_run), 0 };
const struct table_kind table_index = { "rouse-ix", 1, sizeof(struct table_run), 0 };

int table_runs_pack(const struct page_map *m, struct table_run **ret)
{
        struct table_run *v = calloc(m->nr_runs ? m->nr_runs : 1, sizeof(*v));

        if (!v)
                return -ENOMEM;
        for (size_t i = 0; i < m->nr_runs; i++) {
                const struct page_run *run = &m->runs[i];

                v[i] = (struct table_run){ .first_page = run->first_page, .nr_pages = run->nr_pages, .kind = TABLE_RUN_ZERO };
                if (run->kind == RUN_ZERO)
                        continue;
                v[i].kind = TABLE_RUN_RAW;
                v[i].source = run->source;
                v[i].file_offset_bytes = run->file_offset_bytes;
                v[i].first_sum = run->first_sum;
        }
        *ret = v;
        return 0;
}

static int unpack(const struct table_run *v, uint64_t place, const char *name, struct page_map *map, struct err *e)
{
        struct page_run run = {
                .first_page        = v->first_page,
                .nr_pages          = (uint32_t)MIN(v->nr_pages, RAM_PAGES_MAX), /* more than RAM has: refused below */
                .kind              = v->kind == TABLE_RUN_RAW ? RUN_RAW : RUN_ZERO,
                .source            = (uint16_t)MIN(v->source, (uint32_t)UINT16_MAX),
                .file_offset_bytes = v->file_offset_bytes,
                .first_sum         = v->first_sum,
        };
        int r;

        if (v->kind != TABLE_RUN_ZERO && v->kind != TABLE_RUN_RAW)
                return err_bad(e, name, place, "expected a run of kind %d (zero) or %d (raw), found %u; a newer rouse may read it",
                               TABLE_RUN_ZERO, TABLE_RUN_RAW, v->kind);
        if (v->kind == TABLE_RUN_ZERO && (v->source || v->file_offset_bytes || v->first_sum))
                return err_bad(e, name, place, "expected a zero run without a place in a file, found one; the file is damaged, "
                               "use another copy");
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
        int                     r = 0;

        for (uint64_t i = 0; r == 0 && i < t->nr_entries; i++)
                r = unpack(&v[i], sizeof(struct table_header) + i * sizeof(*v), name, map, e);
        return r;
}
