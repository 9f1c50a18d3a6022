/* formats/stratovirt_descriptors.c: the state file's own account of its types and of where their fields lie. */
#include "core/base/units.h"
#include "formats/stratovirt.h"

#include <inttypes.h>
#include <string.h>

struct desc_json {
        struct json_span name, fields;
        uint64_t         alias, size, current_version, compat_version;
};

#define DESC(member, type, limit) { #member, type, offsetof(struct desc_json, member), limit }
static const struct json_field desc_fields[] = {
        DESC(name, JSON_STRING, 0),
        DESC(alias, JSON_U64, UINT64_MAX),
        DESC(size, JSON_U64, SV_BODY_MAX),
        DESC(current_version, JSON_U64, UINT32_MAX),
        DESC(compat_version, JSON_U64, UINT32_MAX),
        DESC(fields, JSON_ARRAY, 0),
};

struct field_json {
        struct json_span var_name;
        uint64_t         offset, size;
};

#define PART(member, type, limit) { #member, type, offsetof(struct field_json, member), limit }
static const struct json_field field_fields[] = {
        PART(var_name, JSON_STRING, 0),
        PART(offset, JSON_U64, SV_BODY_MAX),
        PART(size, JSON_U64, SV_BODY_MAX),
};

static int broken(const struct json_place *at, struct json_span rest, struct err *e)
{
        return err_bad(e, at->file, json_offset(at, rest.p), "expected a descriptor (a JSON object), found broken "
                       "text" SV_DAMAGED);
}

/* It goes into messages. */
static bool is_printable(struct json_span text)
{
        for (size_t i = 0; i < text.len; i++)
                if (text.p[i] < ' ' || text.p[i] > '~')
                        return false;
        return true;
}

static int add(struct sv_descs *all, struct json_span object, struct err *e)
{
        struct desc_json d;
        uint64_t         offset_bytes = json_offset(&all->place, object.p);
        int              r;

        if (all->nr == SV_DESCS_MAX)
                return err_bad(e, all->place.file, offset_bytes, "expected at most %d descriptors, found one more" SV_DAMAGED,
                               SV_DESCS_MAX);
        r = json_read(&all->place, object, desc_fields, ARRAY_LEN(desc_fields), &d, e);
        if (r < 0)
                return r;
        if (!is_printable(d.name))
                return err_bad(e, all->place.file, offset_bytes, "expected a descriptor with a name of printable characters, "
                               "found other bytes" SV_DAMAGED);
        if (sv_descs_find(all, d.alias))
                return err_bad(e, all->place.file, offset_bytes, "expected one descriptor of alias %" PRIu64 ", found a "
                               "second" SV_DAMAGED, d.alias);
        all->v[all->nr++] = (struct sv_desc){
                .name         = d.name,
                .fields       = d.fields,
                .alias        = d.alias,
                .size         = d.size,
                .version      = d.current_version,
                .offset_bytes = offset_bytes,
        };
        return 0;
}

int sv_descs_read(const uint8_t *state, uint64_t desc_len, struct sv_descs *ret, struct err *e)
{
        struct json_span rest = { (const char *)state + SV_HEADER_BYTES, desc_len }, object;
        int              r;

        ret->place = (struct json_place){ "state", rest.p, SV_HEADER_BYTES };
        ret->nr = 0;
        while (rest.len) {
                if (!json_take(&rest, &object))
                        return broken(&ret->place, rest, e);
                r = add(ret, object, e);
                if (r < 0)
                        return r;
        }
        return 0;
}

const struct sv_desc *sv_descs_find(const struct sv_descs *all, uint64_t alias)
{
        for (size_t i = 0; i < all->nr; i++)
                if (all->v[i].alias == alias)
                        return &all->v[i];
        return NULL;
}

/* Where the fields that were found so far lie. */
struct located {
        const struct sv_field *fields;
        size_t                 nr;
        uint32_t               seen; /* a bit for each field */
        uint32_t              *offsets;
};

static_assert(SV_FIELDS_MAX <= 32, "a bit for each field");

static int check_overlap(const struct json_place *at, const struct located *l, size_t i, uint64_t place, struct err *e)
{
        for (size_t k = 0; k < l->nr; k++) {
                const struct sv_field *f = &l->fields[k];

                if (k == i || !(l->seen >> k & 1))
                        continue;
                if (l->offsets[i] < l->offsets[k] + f->size_bytes && l->offsets[k] < l->offsets[i] + l->fields[i].size_bytes)
                        return err_bad(e, at->file, place, "field \"%s\": expected a place of its own, found it over field "
                                       "\"%s\"" SV_DAMAGED,
                                       l->fields[i].name, f->name);
        }
        return 0;
}

static int locate_one(const struct json_place *at, const struct sv_desc *d, struct located *l, size_t i,
                      const struct field_json *found,
                      uint64_t place, struct err *e)
{
        const struct sv_field *f = &l->fields[i];

        if (l->seen >> i & 1)
                return err_bad(e, at->file, place, "expected field \"%s\" once, found it again" SV_DAMAGED, f->name);
        if (found->size != f->size_bytes)
                return err_bad(e, at->file, place, "field \"%s\": expected %" PRIu64 " bytes, found %" PRIu64
                               "; the file is damaged or of a StratoVirt that rouse does not know yet", f->name, f->size_bytes,
                               found->size);
        if (!range_fits(found->offset, found->size, d->size))
                return err_bad(e, at->file, place, "field \"%s\": expected it inside the %" PRIu64 " bytes of its record, found "
                               "offset %" PRIu64
                               SV_DAMAGED, f->name, d->size, found->offset);
        l->offsets[i] = (uint32_t)found->offset;
        l->seen |= 1u << i;
        return check_overlap(at, l, i, place, e);
}

static int locate_element(const struct json_place *at, const struct sv_desc *d, struct located *l, struct json_span element,
                          struct err *e)
{
        struct field_json f;
        int               r = json_read(at, element, field_fields, ARRAY_LEN(field_fields), &f, e);

        if (r < 0)
                return r;
        for (size_t i = 0; i < l->nr; i++)
                if (json_span_is(f.var_name, l->fields[i].name))
                        return locate_one(at, d, l, i, &f, json_offset(at, element.p), e);
        return 0; /* a field that rouse does not need */
}

int sv_fields_locate(const struct sv_descs *all, const struct sv_desc *d, const struct sv_field *fields, size_t nr,
                     uint32_t ret_offsets[SV_FIELDS_MAX], struct err *e)
{
        struct located   l = { .fields = fields, .nr = nr };
        struct json_walk w;
        struct json_span element;
        int              more, r;

        l.offsets = ret_offsets;
        if (!json_walk_begin(d->fields, '[', &w))
                return broken(&all->place, d->fields, e);
        while ((more = json_walk_next(&w, NULL, &element)) > 0) {
                r = locate_element(&all->place, d, &l, element, e);
                if (r < 0)
                        return r;
        }
        if (more < 0)
                return broken(&all->place, w.rest, e);
        for (size_t i = 0; i < nr; i++)
                if (!(l.seen >> i & 1))
                        return err_bad(e, all->place.file, d->offset_bytes, "%.*s: expected a field \"%s\", found none"
                                       "; the file is damaged or of a StratoVirt that rouse does not know yet",
                                       (int)MIN(d->name.len, (size_t)40), d->name.p, fields[i].name);
        return 0;
}
