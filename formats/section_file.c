/* formats/section_file.c: sections are believed only after their checksums, which cover their names too. */
#include "formats/section_file.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "formats/cursor.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define DAMAGED "; the file is damaged, use another copy"

void section_out_free(struct section_out *o)
{
        free(o->bytes);
        *o = (struct section_out){ 0 };
}

/* Makes room for len more bytes and returns where they go, or NULL. The header's place is left free at the front. */
static uint8_t *reserve(struct section_out *o, size_t len)
{
        size_t   used = o->len ? o->len : sizeof(struct native_header);
        size_t   cap = MAX(o->cap, (size_t)64 * KIB);
        uint8_t *grown;

        while (cap - used < len)
                cap *= 2;
        if (cap != o->cap) {
                grown = realloc(o->bytes, cap);
                if (!grown) {
                        o->failed = -ENOMEM;
                        return NULL;
                }
                o->bytes = grown;
                o->cap = cap;
        }
        o->len = used + len;
        return o->bytes + used;
}

static uint64_t sum_of(const struct native_section *h, const void *bytes, size_t len)
{
        return XXH3_64bits_withSeed(bytes, len, XXH3_64bits(h, offsetof(struct native_section, sum)));
}

void section_out_add(struct section_out *o, const char *name, const void *head, size_t head_len, const void *tail,
                     size_t tail_len)
{
        struct native_section h = { .version = NATIVE_SECTION_VERSION, .len = head_len + tail_len };
        uint8_t              *p;

        if (o->failed)
                return;
        p = reserve(o, sizeof(h) + head_len + tail_len);
        if (!p)
                return;
        memcpy(h.name, name, strnlen(name, sizeof(h.name) - 1));
        if (head_len)
                memcpy(p + sizeof(h), head, head_len);
        if (tail_len)
                memcpy(p + sizeof(h) + head_len, tail, tail_len);
        h.sum = sum_of(&h, p + sizeof(h), head_len + tail_len);
        memcpy(p, &h, sizeof(h));
        o->nr++;
}

static uint64_t sum_of_header(const struct native_header *h)
{
        return XXH3_64bits(h, offsetof(struct native_header, header_sum));
}

int section_out_finish(struct section_out *o)
{
        struct native_header h = { .version = NATIVE_VERSION, .nr_sections = o->nr };

        if (!o->failed)
                reserve(o, 0);
        if (o->failed)
                return o->failed;
        if (o->nr > NATIVE_SECTIONS_MAX || o->len > NATIVE_STATE_MAX)
                return -E2BIG;
        h.file_bytes = o->len;
        memcpy(h.magic, NATIVE_MAGIC, sizeof(h.magic));
        h.header_sum = sum_of_header(&h);
        memcpy(o->bytes, &h, sizeof(h));
        return 0;
}

void sections_free(struct sections *s)
{
        free(s->v);
        *s = (struct sections){ 0 };
}

static int check_header(const struct native_header *h, const char *file, uint64_t len, struct err *e)
{
        uint64_t sum = sum_of_header(h);

        if (memcmp(h->magic, NATIVE_MAGIC, sizeof(h->magic)))
                return err_bad(e, file, 0, "expected \"%s\", found other bytes; it is no snapshot of rouse", NATIVE_MAGIC);
        if (h->header_sum != sum)
                return err_bad(e, file, offsetof(struct native_header, header_sum),
                               "expected a header checksum of %#" PRIx64 ", found %#" PRIx64 DAMAGED,
                               sum, h->header_sum);
        if (h->version != NATIVE_VERSION)
                return err_bad(e, file, offsetof(struct native_header, version),
                               "expected version %d, found %u; a newer rouse may read it",
                               NATIVE_VERSION, h->version);
        if (h->file_bytes != len)
                return err_bad(e, file, MIN(h->file_bytes, len), "expected a file of %" PRIu64 " bytes, found %" PRIu64 DAMAGED,
                               h->file_bytes, len);
        if (h->nr_sections > NATIVE_SECTIONS_MAX)
                return err_bad(e, file, offsetof(struct native_header, nr_sections),
                               "expected at most %d sections, found %u" DAMAGED,
                               NATIVE_SECTIONS_MAX, h->nr_sections);
        return 0;
}

static uint64_t sum_of_name(const char *name)
{
        return XXH3_64bits(name, strnlen(name, NATIVE_NAME_MAX));
}

static int read_section(struct cursor *c, struct section *ret, struct err *e)
{
        struct native_section h;
        uint64_t              begin = cursor_offset(c), sum;
        const uint8_t        *p;
        int                   r = cursor_take(c, "a section's header", sizeof(h), &p, e);

        if (r < 0)
                return r;
        memcpy(&h, p, sizeof(h));
        r = cursor_take(c, "a section", h.len, &p, e);
        if (r < 0)
                return r;
        sum = sum_of(&h, p, h.len);
        if (h.sum != sum || h.name[NATIVE_NAME_MAX - 1])
                return err_bad(e, c->file, begin, "section of %" PRIu64 " bytes: expected checksum %#" PRIx64 ", found "
                               "%#" PRIx64 DAMAGED, h.len, sum, h.sum);
        *ret = (struct section){ .version = h.version, .bytes = p, .len = h.len, .offset_bytes = begin + sizeof(h) };
        memcpy(ret->name, h.name, sizeof(ret->name));
        ret->name_sum = sum_of_name(h.name);
        return 0;
}

int sections_read(const char *file, const uint8_t *bytes, size_t len, struct sections *ret, struct err *e)
{
        _cleanup_(sections_free) struct sections s = { .file = file };
        struct cursor                            c = { file, bytes, 0, len, 0 };
        struct native_header                     h;
        const uint8_t                           *p;
        int                                      r = cursor_take(&c, "the header", sizeof(h), &p, e);

        if (r < 0)
                return r;
        memcpy(&h, p, sizeof(h));
        r = check_header(&h, file, len, e);
        if (r < 0)
                return r;
        s.v = calloc(h.nr_sections ? h.nr_sections : 1, sizeof(*s.v));
        if (!s.v)
                return err_set(e, -ENOMEM, "%s: no memory for %u sections", file, h.nr_sections);
        for (; r == 0 && s.nr < h.nr_sections; s.nr++)
                r = read_section(&c, &s.v[s.nr], e);
        if (r < 0)
                return r;
        if (cursor_left(&c))
                return err_bad(e, file, cursor_offset(&c), "expected the file to end after %u sections, found %zu more "
                               "bytes" DAMAGED,
                               h.nr_sections, cursor_left(&c));
        *ret = s;
        s = (struct sections){ 0 };
        return 0;
}

struct section *sections_find(struct sections *s, const char *name)
{
        uint64_t sum = sum_of_name(name);

        for (size_t i = 0, k = s->next; i < s->nr; i++, k++) {
                struct section *x = &s->v[k < s->nr ? k : k - s->nr];

                if (x->name_sum != sum || strncmp(x->name, name, sizeof(x->name)))
                        continue;
                s->next = (size_t)(x - s->v) + 1;
                x->used = true;
                return x;
        }
        return NULL;
}

const struct section *sections_unused(const struct sections *s, size_t *i)
{
        while (*i < s->nr) {
                const struct section *x = &s->v[(*i)++];

                if (!x->used)
                        return x;
        }
        return NULL;
}

int sections_check_unused(const struct sections *s, struct err *e)
{
        const struct section *x;
        size_t                i = 0;

        while ((x = sections_unused(s, &i)))
                for (size_t k = 0; k < s->nr; k++)
                        if (&s->v[k] != x && !strncmp(s->v[k].name, x->name, sizeof(x->name)))
                                return err_bad(e, s->file, x->offset_bytes, "expected one section %.31s, found a second" DAMAGED,
                                               x->name);
        return 0;
}
