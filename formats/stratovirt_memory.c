/* formats/stratovirt_memory.c: the memory file's table of RAM, checked against the one map that a microVM has. */
#include "core/base/cleanup.h"
#include "formats/microvm_windows.h"
#include "formats/stratovirt.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define FILE_NAME "memory"
#define ALIASES_MAX 2 /* below 3 GiB, from 4 GiB on */

struct table_json {
        uint64_t         total_region_size;
        struct json_span ram_region_state, alias_region_state;
};

#define TABLE(member, type, limit) { #member, type, offsetof(struct table_json, member), limit }
static const struct json_field table_fields[] = {
        TABLE(total_region_size, JSON_U64, UINT64_MAX),
        TABLE(ram_region_state, JSON_ARRAY, 0),
        TABLE(alias_region_state, JSON_ARRAY, 0),
};

struct block_json {
        struct json_span name;
        uint64_t         offset, size;
};

#define BLOCK(member, type, limit) { #member, type, offsetof(struct block_json, member), limit }
static const struct json_field block_fields[] = {
        BLOCK(name, JSON_STRING, 0),
        BLOCK(offset, JSON_U64, UINT64_MAX),
        BLOCK(size, JSON_U64, UINT64_MAX),
};

struct alias_json {
        uint64_t alias_offset, offset, size; /* in RAM; guest physical; bytes */
};

#define ALIAS(member) { #member, JSON_U64, offsetof(struct alias_json, member), UINT64_MAX }
static const struct json_field alias_fields[] = { ALIAS(alias_offset), ALIAS(offset), ALIAS(size) };

static const struct json_field list_fields[] = { { "region_states", JSON_ARRAY, 0, 0 } };

static int not_a_block(const struct json_place *at, struct json_span where, const char *found, struct err *e)
{
        return err_bad(e, FILE_NAME, json_offset(at, where.p), "expected one block of RAM, \"DefaultRam\", found %s"
                       "; the file is damaged or of a machine that rouse cannot restore yet", found);
}

/* One block that is all of RAM. With several, StratoVirt's own order on restore is not the one it saved in. */
static int check_block(const struct json_place *at, struct json_span list, uint64_t total_bytes, struct err *e)
{
        struct json_walk  w;
        struct json_span  element, second;
        struct block_json b;
        int               r;

        if (!json_walk_begin(list, '[', &w) || json_walk_next(&w, NULL, &element) <= 0)
                return not_a_block(at, list, "none", e);
        r = json_read(at, element, block_fields, ARRAY_LEN(block_fields), &b, e);
        if (r < 0)
                return r;
        if (json_walk_next(&w, NULL, &second) != 0)
                return not_a_block(at, list, "more", e);
        if (!json_span_is(b.name, "DefaultRam"))
                return not_a_block(at, element, "one of another name", e);
        if (b.offset || b.size != total_bytes)
                return err_bad(e, FILE_NAME, json_offset(at, element.p),
                               "expected %" PRIu64 " bytes of RAM at offset 0 of the data, found %" PRIu64
                               " at %" PRIu64 SV_DAMAGED, total_bytes, b.size, b.offset);
        return 0;
}

/* Newest first in the file, so sorted here. Returns how many. */
static int read_aliases(const struct json_place *at, struct json_span list, struct alias_json ret[ALIASES_MAX], struct err *e)
{
        struct json_walk w;
        struct json_span element;
        int              nr = 0, more, r;

        if (!json_walk_begin(list, '[', &w))
                return err_bad(e, FILE_NAME, json_offset(at, list.p), "expected a list of memory windows, found broken "
                               "text" SV_DAMAGED);
        while ((more = json_walk_next(&w, NULL, &element)) > 0) {
                if (nr == ALIASES_MAX)
                        return err_bad(e, FILE_NAME, json_offset(at, element.p),
                                       "expected at most %d memory windows, found more" SV_DAMAGED, ALIASES_MAX);
                r = json_read(at, element, alias_fields, ARRAY_LEN(alias_fields), &ret[nr], e);
                if (r < 0)
                        return r;
                nr++;
        }
        if (more < 0)
                return err_bad(e, FILE_NAME, json_offset(at, w.rest.p), "expected a memory window, found broken text" SV_DAMAGED);
        if (nr == ALIASES_MAX && ret[0].offset > ret[1].offset) {
                struct alias_json first = ret[1];

                ret[1] = ret[0];
                ret[0] = first;
        }
        return nr;
}

/* The windows must be those of a microVM of this size: anything else would put RAM over its devices. */
static int check_windows(const struct json_place *at, struct json_span list, const struct mem_layout *l, struct err *e)
{
        struct alias_json found[ALIASES_MAX];
        int               nr = read_aliases(at, list, found, e);

        if (nr < 0)
                return nr;
        if ((size_t)nr != l->nr)
                return err_bad(e, FILE_NAME, json_offset(at, list.p), "expected %zu memory windows for %" PRIu64 " bytes of RAM, "
                               "found %d" SV_DAMAGED,
                               l->nr, l->total_bytes, nr);
        for (size_t i = 0; i < l->nr; i++) {
                const struct mem_window *w = &l->w[i];

                if (found[i].offset != w->gpa || found[i].size != w->size_bytes || found[i].alias_offset != w->ram_offset_bytes)
                        return err_bad(e, FILE_NAME, json_offset(at, list.p),
                                       "memory window %zu: expected gpa %#" PRIx64 ", %" PRIu64
                                       " bytes, RAM offset %#" PRIx64 ", found gpa %#" PRIx64 ", %" PRIu64 " bytes, RAM offset "
                                       "%#" PRIx64 SV_DAMAGED,
                                       i, w->gpa, w->size_bytes, w->ram_offset_bytes, found[i].offset, found[i].size,
                                       found[i].alias_offset);
        }
        return 0;
}

static int read_layout(const struct json_place *at, struct json_span object, struct mem_layout *ret, struct err *e)
{
        struct table_json t;
        struct mem_layout l;
        int               r = json_read(at, object, table_fields, ARRAY_LEN(table_fields), &t, e);

        r = r < 0 ? r : microvm_windows(FILE_NAME, at->offset_bytes, t.total_region_size, &l, e);
        r = r < 0 ? r : check_block(at, t.ram_region_state, t.total_region_size, e);
        r = r < 0 ? r : check_windows(at, t.alias_region_state, &l, e);
        if (r < 0)
                return r;
        *ret = l;
        return 0;
}

/* A table in the file: u64 length, that much JSON, zeros up to a multiple of 4096. */
struct table {
        uint8_t          *bytes;
        uint64_t          end_bytes; /* offset in the file after the zeros */
        struct json_place place;
        struct json_span  object;
};

static void table_free(struct table *t)
{
        free(t->bytes);
}

static int read_length(const struct part *p, uint64_t offset_bytes, uint64_t *ret, struct err *e)
{
        uint8_t  head[9];
        uint64_t len;
        int      r = part_read(p, FILE_NAME, "a table", offset_bytes, head, sizeof(head), e);

        if (r < 0)
                return r;
        memcpy(&len, head, sizeof(len));
        *ret = le64toh(len);
        /* before its JSON table, generation 3 had a binary one: as generations 1 and 2 still do (stratovirt.md 0) */
        if (head[8] != '{' && offset_bytes == SV_HEADER_BYTES)
                return err_bad(e, FILE_NAME, offset_bytes, "expected a table of RAM in JSON, found a binary one; this snapshot is "
                               "of a development build"
                               " between StratoVirt 2.4 and 2.5 (or damaged), which is not supported yet: take it again with 2.5");
        if (*ret < 2 || *ret > SV_TABLE_MAX)
                return err_bad(e, FILE_NAME, offset_bytes, "expected a table of 2 to %d bytes, found %" PRIu64 SV_DAMAGED,
                               SV_TABLE_MAX, *ret);
        return 0;
}

static int check_zeros(const uint8_t *bytes, uint64_t from, uint64_t to, uint64_t offset_bytes, struct err *e)
{
        for (uint64_t i = from; i < to; i++)
                if (bytes[i])
                        return err_bad(e, FILE_NAME, offset_bytes + i, "expected zeros after a table, found %#x" SV_DAMAGED,
                                       bytes[i]);
        return 0;
}

static int read_table(const struct part *p, uint64_t offset_bytes, struct table *ret, struct err *e)
{
        _cleanup_(table_free) struct table t = { 0 };
        struct json_span                   text;
        uint64_t                           len, all;
        int                                r = read_length(p, offset_bytes, &len, e);

        if (r < 0)
                return r;
        all = align_up(8 + len, PAGE_BYTES);
        t.bytes = malloc(all);
        if (!t.bytes)
                return err_set(e, -ENOMEM, "no memory for a table of %" PRIu64 " bytes", all);
        r = part_read(p, FILE_NAME, "a table", offset_bytes, t.bytes, all, e);
        r = r < 0 ? r : check_zeros(t.bytes, 8 + len, all, offset_bytes, e);
        if (r < 0)
                return r;
        text = (struct json_span){ (const char *)t.bytes + 8, len };
        t.place = (struct json_place){ FILE_NAME, text.p, offset_bytes + 8 };
        t.end_bytes = offset_bytes + all;
        if (!json_take(&text, &t.object) || text.len)
                return err_bad(e, FILE_NAME, json_offset(&t.place, text.p),
                               "expected a table that is one JSON object, found other text" SV_DAMAGED);
        *ret = t;
        t.bytes = NULL;
        return 0;
}

/* After RAM comes a list of further regions, of which a microVM has none; then the file ends. */
static int check_trailer(const struct part *p, uint64_t begin, struct err *e)
{
        _cleanup_(table_free) struct table t = { 0 };
        struct json_span                   list, element;
        struct json_walk                   w;
        int                                r;

        if (p->size_bytes < begin + PAGE_BYTES)
                return err_bad(e, FILE_NAME, p->size_bytes, "expected %" PRIu64 " bytes, found %" PRIu64 "; the file is cut "
                               "short, use another copy",
                               begin + (uint64_t)PAGE_BYTES, p->size_bytes);
        r = read_table(p, begin, &t, e);
        r = r < 0 ? r : json_read(&t.place, t.object, list_fields, ARRAY_LEN(list_fields), &list, e);
        if (r < 0)
                return r;
        if (!json_walk_begin(list, '[', &w) || json_walk_next(&w, NULL, &element) != 0)
                return err_bad(e, FILE_NAME, json_offset(&t.place, list.p),
                               "expected an empty list of further regions, found one that is not"
                               "; rouse cannot restore these yet");
        if (p->size_bytes != t.end_bytes)
                return err_bad(e, FILE_NAME, t.end_bytes, "expected the file to end after %" PRIu64 " bytes, found %" PRIu64
                               "; it is not the memory of this state or damaged, use another copy", t.end_bytes, p->size_bytes);
        return 0;
}

static int read_header(const struct part *p, const struct sv_header *state, struct err *e)
{
        uint8_t          page[SV_HEADER_BYTES];
        struct sv_header h;
        int              r = part_read(p, FILE_NAME, "the header", 0, page, sizeof(page), e);

        r = r < 0 ? r : sv_header_read(FILE_NAME, page, "MemoryFull", &h, e);
        if (r < 0)
                return r;
        if (strcmp(h.vendor, state->vendor))
                return err_bad(e, FILE_NAME, 8, "cpu_model: expected \"%s\" as in state, found \"%s\"; the two files are not of "
                               "one snapshot",
                               state->vendor, h.vendor);
        return 0;
}

/* Raw over all of RAM: its zero pages are stored as bytes, and nobody has looked at them yet. */
static int map_pages(struct part *p, uint64_t data_bytes, uint64_t total_bytes, struct page_map *ret, struct err *e)
{
        _cleanup_(page_map_free) struct page_map m;
        int                                      r;

        page_map_init(&m, bytes_to_pages(total_bytes));
        r = page_map_add_source(&m, TAKE_FD(p->fd), p->size_bytes, FILE_NAME);
        if (r >= 0) {
                struct page_run run = { .nr_pages = m.nr_pages, .kind = RUN_RAW, .source = (uint32_t)r,
                .file_offset_bytes = data_bytes };

                r = page_map_append(&m, &run);
        }
        if (r < 0)
                return err_set(e, r, "no memory for the page map");
        r = page_map_check(&m, e);
        if (r < 0)
                return r;
        *ret = m;
        m = (struct page_map){ 0 };
        return 0;
}

int sv_memory_read(struct part *p, const struct sv_header *state, struct mem_layout *ret_layout, struct page_map *ret_pages,
                   struct err *e)
{
        _cleanup_(table_free) struct table t = { 0 };
        struct mem_layout                  l;
        int                                r = read_header(p, state, e);

        r = r < 0 ? r : read_table(p, SV_HEADER_BYTES, &t, e);
        r = r < 0 ? r : read_layout(&t.place, t.object, &l, e);
        if (r < 0)
                return r;
        if (!range_fits(t.end_bytes, l.total_bytes, p->size_bytes))
                return err_bad(e, FILE_NAME, p->size_bytes, "expected %" PRIu64 " bytes of RAM from offset %" PRIu64 " on and a "
                               "list after them"
                               ", found a file of %" PRIu64 " bytes; it is cut short, use another copy", l.total_bytes,
                               t.end_bytes, p->size_bytes);
        r = check_trailer(p, t.end_bytes + l.total_bytes, e);
        r = r < 0 ? r : map_pages(p, t.end_bytes, l.total_bytes, ret_pages, e);
        if (r < 0)
                return r;
        *ret_layout = l;
        return 0;
}
