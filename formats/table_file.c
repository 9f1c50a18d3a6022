/* formats/table_file.c: header, entries, sums: read into place, each part believed only after its checksum. */
#include "formats/table_file.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "structs are written as they are (x86-64 only)");

#define SUM_STEP_BYTES (256 * KIB) /* stays in the L2 cache between the two looks at it */

#define DAMAGED "; the file is damaged, make it again or use another copy"

void table_file_free(struct table_file *t)
{
        if (!t)
                return;
        free(t->entries);
        if (!t->sums_file.mapping)
                free(t->sums);
        sums_file_close(&t->sums_file);
        free(t->chunks);
        *t = (struct table_file){ 0 };
}

static uint64_t sum_of_header(const struct table_header *h)
{
        return XXH3_64bits(h, offsetof(struct table_header, header_sum));
}

static uint64_t sum_of_packing(const struct table_packing *g)
{
        return XXH3_64bits(g, offsetof(struct table_packing, packing_sum));
}

/* Where the entries begin. */
static uint64_t entries_at(const struct table_kind *k)
{
        return sizeof(struct table_header) + (k->packed ? sizeof(struct table_packing) : 0);
}

/* *ret: k or one that is older. */
static int check_kind(const struct table_header *h, const char *name, const struct table_kind *k, const struct table_kind **ret,
                      struct err *e)
{
        const struct table_kind *is = k;
        uint64_t                 sum = sum_of_header(h);

        if (memcmp(h->magic, k->magic, sizeof(h->magic)))
                return err_bad(e, name, 0, "expected \"%s\", found another kind of file; it is not what its name says", k->magic);
        if (h->header_sum != sum)
                return err_bad(e, name, offsetof(struct table_header, header_sum),
                               "expected a header checksum of %#" PRIx64 ", found %#" PRIx64 DAMAGED,
                               sum, h->header_sum);
        while (is && (h->version != is->version || h->entry_bytes != is->entry_bytes))
                is = is->older;
        if (!is)
                return err_bad(e, name, offsetof(struct table_header, version),
                               "expected version %u with entries of %u bytes, found version %u with %u"
                               "; a newer rouse may read it", k->version, k->entry_bytes, h->version, h->entry_bytes);
        *ret = is;
        return 0;
}

static int read_packing(const struct part *p, const char *name, struct table_packing *ret, struct err *e)
{
        const uint64_t       at = sizeof(struct table_header);
        struct table_packing g;
        int                  r = part_read(p, name, "the packing", at, &g, sizeof(g), e);

        if (r < 0)
                return r;
        if (g.packing_sum != sum_of_packing(&g))
                return err_bad(e, name, at + offsetof(struct table_packing, packing_sum), "expected a checksum of %#" PRIx64 ", found %#" PRIx64
                               DAMAGED, sum_of_packing(&g), g.packing_sum);
        if (g.codec != TABLE_CODEC_LZ4 || g.reserved || g.reserved2)
                return err_bad(e, name, at + offsetof(struct table_packing, codec), "expected pages packed by LZ4 (%d), found %u"
                               "; a newer rouse may read it", TABLE_CODEC_LZ4, g.codec);
        if (g.chunk_pages == 0 || g.chunk_pages > PAGE_CHUNK_MAX)
                return err_bad(e, name, at + offsetof(struct table_packing, chunk_pages), "expected chunks of 1 to %d pages, found %u" DAMAGED,
                               PAGE_CHUNK_MAX, g.chunk_pages);
        *ret = g;
        return 0;
}

/* Runs are of one page at least, hints of one each, and a page has one sum: there are no more of them than pages. */
static int check_counts(const struct table_header *h, const struct table_packing *g, const char *name, struct err *e)
{
        if (h->nr_entries > h->ram_pages)
                return err_bad(e, name, offsetof(struct table_header, nr_entries),
                               "expected at most %" PRIu64 " entries, one for each page of RAM, found %" PRIu64 DAMAGED, h->ram_pages,
                               h->nr_entries);
        if (h->nr_sums > h->ram_pages)
                return err_bad(e, name, offsetof(struct table_header, nr_sums),
                               "expected at most %" PRIu64 " page checksums, one for each page of RAM, found %" PRIu64 DAMAGED,
                               h->ram_pages, h->nr_sums);
        if (g->nr_chunks > h->ram_pages)
                return err_bad(e, name, sizeof(*h) + offsetof(struct table_packing, nr_chunks),
                               "expected at most %" PRIu64 " chunks, one for each page of RAM, found %" PRIu64 DAMAGED, h->ram_pages,
                               g->nr_chunks);
        return 0;
}

/* The file is exactly as long as its counts say. */
static int check_length(const struct table_header *h, const struct table_kind *k, const struct table_packing *g, const char *name,
                        uint64_t file_bytes, struct err *e)
{
        uint64_t entries_bytes, sums_bytes, chunks_bytes, all;

        if (__builtin_mul_overflow(h->nr_entries, h->entry_bytes, &entries_bytes) ||
            __builtin_mul_overflow(h->nr_sums, sizeof(uint64_t), &sums_bytes) ||
            __builtin_mul_overflow(g->nr_chunks, sizeof(struct table_chunk), &chunks_bytes) ||
            __builtin_add_overflow(entries_bytes, sums_bytes, &all) || __builtin_add_overflow(all, chunks_bytes, &all) ||
            __builtin_add_overflow(all, entries_at(k), &all))
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

int table_file_read_header(const struct part *p, const char *name, const struct table_kind *k, struct table_file *ret,
                           struct err *e)
{
        struct table_packing g = { 0 };
        struct table_header  h;
        struct identity      id;
        int                  r = part_read(p, name, "the header", 0, &h, sizeof(h), e);

        r = r < 0 ? r : check_kind(&h, name, k, &k, e);
        if (r >= 0 && k->packed)
                r = read_packing(p, name, &g, e);
        r = r < 0 ? r : check_counts(&h, &g, name, e);
        r = r < 0 ? r : check_length(&h, k, &g, name, p->size_bytes, e);
        r = r < 0 ? r : check_identity(&h, name, &id, e);
        if (r < 0)
                return r;
        *ret = (struct table_file){
                .kind        = k,
                .identity    = id,
                .ram_pages   = h.ram_pages,
                .recordings  = h.recordings,
                .min_seen    = h.min_seen,
                .nr_entries  = h.nr_entries,
                .nr_sums     = h.nr_sums,
                .entries_sum = h.entries_sum,
                .sums_sum    = h.sums_sum,
                .packing     = g,
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

/* The checksum of what is read once and not kept. */
static int check_bytes(const struct part *p, const char *name, const char *what, uint64_t offset_bytes, uint64_t len, uint64_t expected_sum,
                       struct err *e)
{
        _cleanup_free_ uint8_t *buf = malloc(SUM_STEP_BYTES);
        XXH3_state_t           *x = XXH3_createState();
        uint64_t                sum = 0;
        int                     r = buf && x ? 0 : err_set(e, -ENOMEM, "%s: no memory to read %s", name, what);

        if (r == 0)
                XXH3_64bits_reset(x);
        for (uint64_t at = 0, n; r == 0 && at < len; at += n) {
                n = MIN(len - at, (uint64_t)SUM_STEP_BYTES);
                r = part_read(p, name, what, offset_bytes + at, buf, n, e);
                if (r == 0)
                        XXH3_64bits_update(x, buf, n);
        }
        if (r == 0)
                sum = XXH3_64bits_digest(x);
        XXH3_freeState(x);
        if (r == 0 && sum != expected_sum)
                return err_bad(e, name, offset_bytes, "%" PRIu64 " bytes of %s: expected checksum %#" PRIx64 ", found %#" PRIx64 DAMAGED, len, what,
                               expected_sum, sum);
        return r;
}

/* Eight bytes a page of RAM: looked at once, then left to the page cache. What changes there later only makes a page lost. */
static int map_sums(const struct part *p, const char *name, uint64_t offset_bytes, uint64_t len, uint64_t expected_sum, struct sums_file *ret,
                    struct err *e)
{
        uint64_t from = offset_bytes / PAGE_BYTES * PAGE_BYTES;
        int      r = check_bytes(p, name, "page checksums", offset_bytes, len, expected_sum, e), fd;
        void    *m;

        if (r < 0)
                return r;
        m = mmap(NULL, offset_bytes + len - from, PROT_READ, MAP_SHARED, p->fd, (off_t)from);
        if (m == MAP_FAILED)
                return err_set(e, -errno, "%s: map %" PRIu64 " bytes of page checksums: %s", name, len, strerror(errno));
        fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
                munmap(m, offset_bytes + len - from);
                return err_set(e, -errno, "%s: keep it open: %s", name, strerror(errno));
        }
        *ret = (struct sums_file){ .mapping = m, .mapping_bytes = offset_bytes + len - from, .fd = fd, .offset_bytes = offset_bytes };
        return 0;
}

int table_file_read(const struct part *p, const char *name, struct table_file *t, struct err *e)
{
        _cleanup_(sums_file_close) struct sums_file file = { 0 };
        _cleanup_free_ void *entries = NULL, *chunks = NULL;
        uint64_t             at = entries_at(t->kind), len = t->nr_entries * t->kind->entry_bytes; /* the header's check_length() saw that it fits */
        int                  r = read_array(p, name, "entries", at, len, t->entries_sum, &entries, e);

        at += len;
        len = t->nr_sums * sizeof(uint64_t);
        if (r == 0 && len)
                r = map_sums(p, name, at, len, t->sums_sum, &file, e);
        at += len;
        len = t->packing.nr_chunks * sizeof(struct table_chunk);
        if (r == 0 && len)
                r = read_array(p, name, "chunks", at, len, t->packing.chunks_sum, &chunks, e);
        if (r < 0)
                return r;
        t->entries = TAKE_PTR(entries);
        if (file.mapping) /* where it begins in its page */
                t->sums = (void *)((uint8_t *)file.mapping + file.offset_bytes % PAGE_BYTES);
        t->sums_file = file;
        file = (struct sums_file){ 0 };
        t->chunks = TAKE_PTR(chunks);
        return 0;
}

/* Appends len bytes; bytes may be NULL where len is 0. */
static uint8_t *put(uint8_t *at, const void *bytes, size_t len)
{
        if (len)
                memcpy(at, bytes, len);
        return at + len;
}

int table_file_pack(const struct table_kind *k, const struct table_file *t, void **ret, size_t *ret_len, struct err *e)
{
        size_t              entries_bytes = t->nr_entries * k->entry_bytes, sums_bytes = t->nr_sums * sizeof(uint64_t);
        size_t              chunks_bytes = t->packing.nr_chunks * sizeof(struct table_chunk);
        size_t              len = entries_at(k) + entries_bytes + sums_bytes + chunks_bytes;
        struct table_header h = {
                .version     = k->version,
                .entry_bytes = k->entry_bytes,
                .ram_pages   = t->ram_pages,
                .nr_entries  = t->nr_entries,
                .nr_sums     = t->nr_sums,
                .recordings  = t->recordings,
                .min_seen    = t->min_seen,
                .entries_sum = XXH3_64bits(t->entries, entries_bytes),
                .sums_sum    = XXH3_64bits(t->sums, sums_bytes),
        };
        struct table_packing g = t->packing;
        uint8_t             *buf = malloc(len), *at = buf;

        if (!buf)
                return err_set(e, -ENOMEM, "no memory for a file of %zu bytes", len);
        memcpy(h.magic, k->magic, sizeof(h.magic));
        memcpy(h.identity, t->identity.s, strnlen(t->identity.s, sizeof(h.identity) - 1));
        h.header_sum = sum_of_header(&h);
        g.chunks_sum = XXH3_64bits(t->chunks, chunks_bytes);
        g.packing_sum = sum_of_packing(&g);
        at = put(at, &h, sizeof(h));
        at = put(at, &g, k->packed ? sizeof(g) : 0);
        at = put(at, t->entries, entries_bytes);
        at = put(at, t->sums, sums_bytes);
        (void)put(at, t->chunks, chunks_bytes);
        *ret = buf;
        *ret_len = len;
        return 0;
}
