/* formats/table_file.c: header, entries, sums: read into place, each part believed only after its checksum. */
#include "formats/table_file.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are written as they are (x86-64 only)");

#define DAMAGED "; the file is damaged, make it again or use another copy"

void table_file_free(struct table_file *t)
{
        if (!t)
                return;
        free(t->entries);
        free(t->sums);
        *t = (struct table_file){ 0 };
}

static uint64_t sum_of_header(const struct table_header *h)
{
        return XXH3_64bits(h, offsetof(struct table_header, header_sum));
}

static int check_kind(const struct table_header *h, const char *name, const struct table_kind *k, struct err *e)
{
        uint64_t sum = sum_of_header(h);

        if (memcmp(h->magic, k->magic, sizeof(h->magic)))
                return err_bad(e, name, 0, "expected \"%s\", found another kind of file; it is not what its name says", k->magic);
        if (h->header_sum != sum)
                return err_bad(e, name, offsetof(struct table_header, header_sum),
                               "expected a header checksum of %#" PRIx64 ", found %#" PRIx64 DAMAGED,
                               sum, h->header_sum);
        if (h->version > k->version || h->version < (k->oldest ? k->oldest : k->version) || h->entry_bytes != k->entry_bytes)
                return err_bad(e, name, offsetof(struct table_header, version),
                               "expected version %u with entries of %u bytes, found version %u with %u"
                               "; a newer rouse may read it", k->version, k->entry_bytes, h->version, h->entry_bytes);
        return 0;
}

/* Runs are of one page at least, hints of one each, and a page has one sum: there are no more of them than pages. */
static int check_counts(const struct table_header *h, const char *name, struct err *e)
{
        if (h->nr_entries > h->ram_pages)
                return err_bad(e, name, offsetof(struct table_header, nr_entries),
                               "expected at most %" PRIu64 " entries, one for each page of RAM, found %" PRIu64 DAMAGED, h->ram_pages,
                               h->nr_entries);
        if (h->nr_sums > h->ram_pages)
                return err_bad(e, name, offsetof(struct table_header, nr_sums),
                               "expected at most %" PRIu64 " page checksums, one for each page of RAM, found %" PRIu64 DAMAGED,
                               h->ram_pages, h->nr_sums);
        return 0;
}

/* The file is exactly as long as its counts say. */
static int check_length(const struct table_header *h, const char *name, uint64_t file_bytes, struct err *e)
{
        uint64_t entries_bytes, sums_bytes, all;

        if (__builtin_mul_overflow(h->nr_entries, h->entry_bytes, &entries_bytes) ||
            __builtin_mul_overflow(h->nr_sums, sizeof(uint64_t), &sums_bytes) ||
            __builtin_add_overflow(entries_bytes, sums_bytes, &all) || __builtin_add_overflow(all, sizeof(*h), &all))
                return err_bad(e, name, offsetof(struct table_header, nr_entries),
                               "expected counts that fit a file, found %" PRIu64 " entries and %" PRIu64
                               " sums" DAMAGED, h->nr_entries, h->nr_sums);
        if (all != file_bytes)
                return err_bad(e, name, MIN(all, file_bytes), "expected %" PRIu64 " bytes, found %" PRIu64 DAMAGED, all,
                               file_bytes);
        return 0;
}

static int check_identity(const struct table_header *h, const char *name, struct identity *ret, struct err *e)
{
        struct identity id;

        memcpy(id.s, h->identity, sizeof(id.s));
        if (!identity_is_valid(&id))
                return err_bad(e, name, offsetof(struct table_header, identity),
                               "expected the identity of a snapshot, found other bytes" DAMAGED);
        *ret = id;
        return 0;
}

int table_file_read_header(const struct part *p, const char *name, const struct table_kind *k, struct table_file *ret, struct err *e)
{
        struct table_header h;
        struct identity     id;
        int                 r = part_read(p, name, "the header", 0, &h, sizeof(h), e);

        r = r < 0 ? r : check_kind(&h, name, k, e);
        r = r < 0 ? r : check_counts(&h, name, e);
        r = r < 0 ? r : check_length(&h, name, p->size_bytes, e);
        r = r < 0 ? r : check_identity(&h, name, &id, e);
        if (r < 0)
                return r;
        *ret = (struct table_file){
                .identity    = id,
                .version     = h.version,
                .ram_pages   = h.ram_pages,
                .recordings  = h.recordings,
                .nr_entries  = h.nr_entries,
                .nr_sums     = h.nr_sums,
                .entries_sum = h.entries_sum,
                .sums_sum    = h.sums_sum,
        };
        return 0;
}

static int read_array(const struct part *p, const char *name, const char *what, uint64_t offset_bytes, uint64_t len,
                      uint64_t expected_sum,
                      void **ret, struct err *e)
{
        _cleanup_free_ void *buf = NULL;
        uint64_t             sum;
        int                  r;

        buf = malloc(len ? len : 1);
        if (!buf)
                return err_set(e, -ENOMEM, "%s: no memory for %" PRIu64 " bytes of %s", name, len, what);
        r = part_read(p, name, what, offset_bytes, buf, len, e);
        if (r < 0)
                return r;
        sum = XXH3_64bits(buf, len);
        if (sum != expected_sum)
                return err_bad(e, name, offset_bytes, "%" PRIu64 " bytes of %s: expected checksum %#" PRIx64 ", found "
                               "%#" PRIx64 DAMAGED,
                               len, what, expected_sum, sum);
        *ret = TAKE_PTR(buf);
        return 0;
}

int table_file_read(const struct part *p, const char *name, const struct table_kind *k, struct table_file *t, struct err *e)
{
        _cleanup_free_ void *entries = NULL, *sums = NULL;
        uint64_t             entries_bytes = t->nr_entries * k->entry_bytes; /* the header's check_length() saw that it fits */
        int                  r;

        r = read_array(p, name, "entries", sizeof(struct table_header), entries_bytes, t->entries_sum, &entries, e);
        if (r == 0 && t->nr_sums)
                r = read_array(p, name, "page checksums", sizeof(struct table_header) + entries_bytes, t->nr_sums * sizeof(uint64_t),
                               t->sums_sum, &sums, e);
        if (r < 0)
                return r;
        t->entries = TAKE_PTR(entries);
        t->sums = TAKE_PTR(sums);
        return 0;
}

int table_file_pack(const struct table_kind *k, const struct table_file *t, void **ret, size_t *ret_len, struct err *e)
{
        size_t              entries_bytes = t->nr_entries * k->entry_bytes, sums_bytes = t->nr_sums * sizeof(uint64_t);
        size_t              len = sizeof(struct table_header) + entries_bytes + sums_bytes;
        struct table_header h = {
                .version     = k->version,
                .entry_bytes = k->entry_bytes,
                .ram_pages   = t->ram_pages,
                .nr_entries  = t->nr_entries,
                .nr_sums     = t->nr_sums,
                .recordings  = t->recordings,
                .entries_sum = XXH3_64bits(t->entries, entries_bytes),
                .sums_sum    = XXH3_64bits(t->sums, sums_bytes),
        };
        uint8_t *buf = malloc(len);

        if (!buf)
                return err_set(e, -ENOMEM, "no memory for a file of %zu bytes", len);
        memcpy(h.magic, k->magic, sizeof(h.magic));
        memcpy(h.identity, t->identity.s, strnlen(t->identity.s, sizeof(h.identity) - 1));
        h.header_sum = sum_of_header(&h);
        memcpy(buf, &h, sizeof(h));
        if (entries_bytes)
                memcpy(buf + sizeof(h), t->entries, entries_bytes);
        if (sums_bytes)
                memcpy(buf + sizeof(h) + entries_bytes, t->sums, sums_bytes);
        *ret = buf;
        *ret_len = len;
        return 0;
}
