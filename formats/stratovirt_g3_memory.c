/* formats/stratovirt_g3_memory.c: the memory file of generation 3: a JSON table of RAM before it, a JSON list after it. */
#include "core/base/cleanup.h"
#include "formats/microvm_windows.h"
#include "formats/stratovirt_g3.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

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
        return err_bad(e, SV_MEMORY, json_offset(at, where.p), "expected one block of RAM, \"DefaultRam\", found %s"
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
                return err_bad(e, SV_MEMORY, json_offset(at, element.p),
                               "expected %" PRIu64 " bytes of RAM at offset 0 of the data, found %" PRIu64
                               " at %" PRIu64 SV_DAMAGED, total_bytes, b.size, b.offset);
        return 0;
}

/* Returns how many. */
static int read_aliases(const struct json_place *at, struct json_span list, struct sv_window ret[SV_WINDOWS_MAX], struct err *e)
{
        struct json_walk  w;
        struct json_span  element;
        struct alias_json a;
        int               nr = 0, more, r;

        if (!json_walk_begin(list, '[', &w))
                return err_bad(e, SV_MEMORY, json_offset(at, list.p), "expected a list of memory windows, found broken "
                               "text" SV_DAMAGED);
        while ((more = json_walk_next(&w, NULL, &element)) > 0) {
                if (nr == SV_WINDOWS_MAX)
                        return err_bad(e, SV_MEMORY, json_offset(at, element.p),
                                       "expected at most %d memory windows, found more" SV_DAMAGED, SV_WINDOWS_MAX);
                r = json_read(at, element, alias_fields, ARRAY_LEN(alias_fields), &a, e);
                if (r < 0)
                        return r;
                ret[nr++] = (struct sv_window){ .gpa = a.offset, .size_bytes = a.size, .ram_offset_bytes = a.alias_offset };
        }
        if (more < 0)
                return err_bad(e, SV_MEMORY, json_offset(at, w.rest.p), "expected a memory window, found broken text" SV_DAMAGED);
        return nr;
}

static int read_layout(const struct json_place *at, struct json_span object, struct mem_layout *ret, struct err *e)
{
        struct sv_window  windows[SV_WINDOWS_MAX];
        struct table_json t;
        struct mem_layout l;
        int               nr, r = json_read(at, object, table_fields, ARRAY_LEN(table_fields), &t, e);

        r = r < 0 ? r : microvm_windows(SV_MEMORY, at->offset_bytes, t.total_region_size, &l, e);
        r = r < 0 ? r : check_block(at, t.ram_region_state, t.total_region_size, e);
        if (r < 0)
                return r;
        nr = read_aliases(at, t.alias_region_state, windows, e);
        if (nr < 0)
                return nr;
        r = sv_windows_check(json_offset(at, t.alias_region_state.p), windows, (size_t)nr, &l, e);
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
        int      r = part_read(p, SV_MEMORY, "a table", offset_bytes, head, sizeof(head), e);

        if (r < 0)
                return r;
        memcpy(&len, head, sizeof(len));
        *ret = le64toh(len);
        /* before its JSON table, what became generation 3 had that of generation 2 (stratovirt.md 0) */
        if (head[8] != '{' && offset_bytes == SV_HEADER_BYTES)
                return err_bad(e, SV_MEMORY, offset_bytes,
                               "expected a table of RAM in JSON, found a binary one; this snapshot is "
                               "of a development build"
                               " between StratoVirt 2.4 and 2.5 (or damaged), which rouse does not read: take it again with 2.5");
        if (*ret < 2 || *ret > SV_TABLE_MAX)
                return err_bad(e, SV_MEMORY, offset_bytes, "expected a table of 2 to %d bytes, found %" PRIu64 SV_DAMAGED,
                               SV_TABLE_MAX, *ret);
        return 0;
}

static int check_zeros(const uint8_t *bytes, uint64_t from, uint64_t to, uint64_t offset_bytes, struct err *e)
{
        for (uint64_t i = from; i < to; i++)
                if (bytes[i])
                        return err_bad(e, SV_MEMORY, offset_bytes + i, "expected zeros after a table, found %#x" SV_DAMAGED,
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
        r = part_read(p, SV_MEMORY, "a table", offset_bytes, t.bytes, all, e);
        r = r < 0 ? r : check_zeros(t.bytes, 8 + len, all, offset_bytes, e);
        if (r < 0)
                return r;
        text = (struct json_span){ (const char *)t.bytes + 8, len };
        t.place = (struct json_place){ SV_MEMORY, text.p, offset_bytes + 8 };
        t.end_bytes = offset_bytes + all;
        if (!json_take(&text, &t.object) || text.len)
                return err_bad(e, SV_MEMORY, json_offset(&t.place, text.p),
                               "expected a table that is one JSON object, found other text" SV_DAMAGED);
        *ret = t;
        t.bytes = NULL;
        return 0;
}

/* After RAM comes a list of further regions, of which a microVM has none; then the file ends. */
int sv3_trailer_check(const struct part *p, uint64_t begin, struct err *e)
{
        _cleanup_(table_free) struct table t = { 0 };
        struct json_span                   list, element;
        struct json_walk                   w;
        int                                r;

        if (p->size_bytes < begin + PAGE_BYTES)
                return err_bad(e, SV_MEMORY, p->size_bytes, "expected %" PRIu64 " bytes, found %" PRIu64 "; the file is cut "
                               "short, use another copy",
                               begin + (uint64_t)PAGE_BYTES, p->size_bytes);
        r = read_table(p, begin, &t, e);
        r = r < 0 ? r : json_read(&t.place, t.object, list_fields, ARRAY_LEN(list_fields), &list, e);
        if (r < 0)
                return r;
        if (!json_walk_begin(list, '[', &w) || json_walk_next(&w, NULL, &element) != 0)
                return err_bad(e, SV_MEMORY, json_offset(&t.place, list.p),
                               "expected an empty list of further regions, found one that is not"
                               "; rouse cannot restore these yet");
        if (p->size_bytes != t.end_bytes)
                return err_bad(e, SV_MEMORY, t.end_bytes, "expected the file to end after %" PRIu64 " bytes, found %" PRIu64
                               "; it is not the memory of this state or damaged, use another copy", t.end_bytes, p->size_bytes);
        return 0;
}

int sv3_ram_read(const struct part *p, struct sv_ram *ret, struct err *e)
{
        _cleanup_(table_free) struct table t = { 0 };
        int                                r = read_table(p, SV_HEADER_BYTES, &t, e);

        r = r < 0 ? r : read_layout(&t.place, t.object, &ret->layout, e);
        if (r < 0)
                return r;
        ret->data_bytes = t.end_bytes;
        return 0;
}
