/* formats/native_write.c: takes a machine's pages and state and makes the three files of a native snapshot. */
#include "formats/native_write.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/is_zero.h"
#include "core/model/page_map.h"
#include "formats/hints_file.h"
#include "formats/snapshot_dir.h"
#include "formats/native_pack.h"
#include "formats/native_sections.h"
#include "formats/table_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

struct native_writer {
        /* set when it is made */
        struct snapshot_dir dir;
        bool              replace;
        struct identity   self, parent;
        const struct parent_place *parent_place;
        int               memory_fd;
        int               pack_level;
        uint32_t          chunk_pages;
        struct native_pack *pack; /* NULL: pages lie at their RAM offset */
        /* what came so far */
        uint64_t        next_page;
        struct page_map map; /* without sums until the end */
        uint64_t       *sums;
        uint64_t        nr_sums, cap_sums;
        bool            failed; /* a snapshot with a hole in it must not be committed */
        bool            state_written, hints_written;
};

void native_writer_free(struct native_writer *w)
{
        if (!w)
                return;
        native_pack_free(w->pack);
        snapshot_dir_free(&w->dir);
        page_map_free(&w->map);
        if (w->memory_fd >= 0)
                close(w->memory_fd);
        free(w->sums);
        free(w);
}

static void free_writer(struct native_writer **w)
{
        native_writer_free(*w);
}

/* A random UUID, version 4 (RFC 9562). */
static int make_uuid(struct identity *ret, struct err *e)
{
        uint8_t b[16];

        if (getrandom(b, sizeof(b), 0) != sizeof(b))
                return err_set(e, -EIO, "getrandom: it gave too few bytes");
        b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
        b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
        *ret = (struct identity){ 0 };
        snprintf(ret->s, sizeof(ret->s), "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
                 b[2], b[3], b[4], b[5],
                 b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
        return 0;
}

static int write_failed(const struct native_writer *w, const char *name, int r, struct err *e)
{
        return err_set(e, r, "write %s of snapshot %s: %s", name, w->dir.path, strerror(-r));
}

/* Returns the descriptor of a new file in the temporary directory. */
static int create(const struct native_writer *w, const char *name, struct err *e)
{
        int fd = openat(w->dir.fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        return fd < 0 ? write_failed(w, name, -errno, e) : fd;
}

static int begin_pack(struct native_writer *w, const struct native_writer_options *o, struct err *e)
{
        struct native_pack_options po = { .fd = w->memory_fd, .map = &w->map, .level = o->pack_level,
                                          .chunk_pages = o->chunk_pages };
        int                        r = native_pack_new(&po, &w->pack);

        w->pack_level = o->pack_level;
        w->chunk_pages = o->chunk_pages ? o->chunk_pages : NATIVE_CHUNK_PAGES;
        return r < 0 ? err_set(e, r, "no memory to pack a snapshot") : 0;
}

static int create_memory(struct native_writer *w, const struct native_writer_options *o, struct err *e)
{
        w->memory_fd = create(w, NATIVE_MEMORY, e);
        if (w->memory_fd < 0)
                return w->memory_fd;
        if (o->pack)
                return begin_pack(w, o, e);
        if (ftruncate(w->memory_fd, (off_t)pages_to_bytes(o->ram_pages)) < 0)
                return write_failed(w, NATIVE_MEMORY, -errno, e);
        return 0;
}

int native_writer_new(const struct native_writer_options *o, struct native_writer **ret, struct err *e)
{
        _cleanup_(free_writer) struct native_writer *w = calloc(1, sizeof(*w));
        int                                          r;

        if (!w)
                return err_set(e, -ENOMEM, "no memory to write a snapshot");
        w->dir = (struct snapshot_dir)SNAPSHOT_DIR_NONE;
        w->memory_fd = -1;
        w->replace = o->replace;
        w->parent = o->parent;
        w->parent_place = o->parent_place;
        page_map_init(&w->map, o->ram_pages);
        r = make_uuid(&w->self, e);
        r = r < 0 ? r : snapshot_dir_new(o->path, o->replace, o->need_bytes, &w->dir, e);
        r = r < 0 ? r : create_memory(w, o, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

static int add_run(struct native_writer *w, enum run_kind kind, uint64_t nr_pages)
{
        struct page_run run = { .first_page = w->next_page, .nr_pages = nr_pages, .kind = kind };
        int             r = w->pack ? native_pack_end_run(w->pack) : 0;

        if (r < 0)
                return r;
        if (kind == RUN_RAW) {
                run.file_offset_bytes = pages_to_bytes(w->next_page);
                run.first_sum = w->nr_sums;
        }
        r = page_map_append(&w->map, &run);
        if (r < 0)
                return r;
        w->next_page += nr_pages;
        return 0;
}

static int add_sums(struct native_writer *w, const uint8_t *bytes, uint64_t nr_pages)
{
        if (w->cap_sums - w->nr_sums < nr_pages) {
                uint64_t  cap = MAX(w->cap_sums * 2, w->nr_sums + nr_pages);
                uint64_t *grown = reallocarray(w->sums, cap, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                w->sums = grown;
                w->cap_sums = cap;
        }
        for (uint64_t i = 0; i < nr_pages; i++)
                w->sums[w->nr_sums++] = XXH3_64bits(bytes + pages_to_bytes(i), PAGE_BYTES);
        return 0;
}

static int pack_data(struct native_writer *w, const uint8_t *bytes, uint64_t nr_pages)
{
        int r = native_pack_add(w->pack, w->next_page, bytes, nr_pages);

        if (r >= 0)
                w->next_page += nr_pages;
        return r;
}

/* nr_pages that are all data: one write, whatever their number. */
static int write_data(struct native_writer *w, const uint8_t *bytes, uint64_t nr_pages)
{
        int r;

        if (w->pack)
                return pack_data(w, bytes, nr_pages);
        r = fd_pwrite_full(w->memory_fd, bytes, pages_to_bytes(nr_pages), pages_to_bytes(w->next_page));

        r = r < 0 ? r : add_run(w, RUN_RAW, nr_pages);
        return r < 0 ? r : add_sums(w, bytes, nr_pages);
}

static int write_pages(struct native_writer *w, const uint8_t *bytes, uint64_t nr_pages)
{
        uint64_t begin = 0;
        int      r = 0;

        if (!bytes)
                return nr_pages ? add_run(w, RUN_ZERO, nr_pages) : 0;
        while (r == 0 && begin < nr_pages) {
                const uint8_t *from = bytes + pages_to_bytes(begin);
                bool           zero;
                uint64_t       nr = alike_pages(from, nr_pages - begin, &zero);

                r = zero ? add_run(w, RUN_ZERO, nr) : write_data(w, from, nr);
                begin += nr;
        }
        return r < 0 || !w->pack ? r : native_pack_settle(w->pack);
}

static int check_room(const struct native_writer *w, uint64_t nr_pages, struct err *e)
{
        if (range_fits(w->next_page, nr_pages, w->map.nr_pages))
                return 0;
        return err_set(e, -EINVAL, "snapshot %s: expected %" PRIu64 " pages in all, found %" PRIu64 " more after %" PRIu64,
                       w->dir.path, w->map.nr_pages, nr_pages, w->next_page);
}

int native_writer_parent_pages(struct native_writer *w, uint64_t nr_pages, struct err *e)
{
        int r = check_room(w, nr_pages, e);

        if (r == 0 && nr_pages)
                r = add_run(w, RUN_PARENT, nr_pages);
        if (r == 0)
                return 0;
        w->failed = true;
        return r == -EINVAL ? r : write_failed(w, NATIVE_PAGES, r, e);
}

int native_writer_pages(struct native_writer *w, const void *bytes, uint64_t nr_pages, struct err *e)
{
        int r = check_room(w, nr_pages, e);

        if (r == 0)
                r = write_pages(w, bytes, nr_pages);
        if (r == 0)
                return 0;
        w->failed = true;
        return r == -EINVAL ? r : write_failed(w, NATIVE_MEMORY, r, e);
}

static int write_file(const struct native_writer *w, const char *name, const void *bytes, size_t len, struct err *e)
{
        _cleanup_close_ int fd = create(w, name, e);
        int                 r;

        if (fd < 0)
                return fd;
        r = fd_pwrite_full(fd, bytes, len, 0);
        return r < 0 ? write_failed(w, name, r, e) : 0;
}

static int write_state(const struct native_writer *w, const struct vm_state *vm, const struct mem_layout *l, struct err *e)
{
        _cleanup_(section_out_free) struct section_out out = { 0 };
        int                                            r = native_state_encode(&w->self, &w->parent, w->parent_place, l, vm, &out,
                                                                               e);

        return r < 0 ? r : write_file(w, NATIVE_STATE, out.bytes, out.len, e);
}

static int write_map(const struct native_writer *w, struct err *e)
{
        _cleanup_free_ struct table_run   *runs = NULL;
        _cleanup_free_ struct table_chunk *chunks = NULL;
        _cleanup_free_ void               *buf = NULL;
        struct table_file                  t = { .identity = w->self, .ram_pages = w->map.nr_pages,
                                                 .nr_entries = w->map.nr_runs };
        size_t                             len;
        int                                r = table_runs_pack(&w->map, &runs);

        r = r < 0 ? r : table_chunks_pack(&w->map, &chunks);
        if (r < 0)
                return err_set(e, r, "no memory for %zu runs", w->map.nr_runs);
        t.entries = runs;
        t.sums = w->sums;
        t.nr_sums = w->nr_sums;
        t.chunks = chunks;
        if (w->pack)
                t.packing = (struct table_packing){ .nr_chunks = w->map.nr_chunks, .chunk_pages = w->chunk_pages,
                                                    .codec = TABLE_CODEC_LZ4,
                                                    .level = w->pack_level };
        r = table_file_pack(w->pack ? &table_pages_packed : &table_pages, &t, &buf, &len, e);
        return r < 0 ? r : write_file(w, NATIVE_PAGES, buf, len, e);
}

int native_writer_state(struct native_writer *w, const struct vm_state *vm, const struct mem_layout *l, struct err *e)
{
        int r;

        if (w->failed || w->next_page != w->map.nr_pages || bytes_to_pages(l->total_bytes) != w->map.nr_pages)
                return err_set(e, -EINVAL, "snapshot %s: expected all %" PRIu64 " pages of RAM before its state, found %" PRIu64,
                               w->dir.path,
                               w->map.nr_pages, w->next_page);
        r = w->pack ? native_pack_end_run(w->pack) : 0;
        r = r < 0 ? r : w->pack ? native_pack_settle(w->pack) : 0;
        if (r < 0)
                return write_failed(w, NATIVE_MEMORY, r, e);
        r = write_state(w, vm, l, e);
        r = r < 0 ? r : write_map(w, e);
        if (r < 0)
                return r;
        w->state_written = true;
        return 0;
}

static int sync_file(const struct native_writer *w, const char *name, struct err *e)
{
        _cleanup_close_ int fd = openat(w->dir.fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0 || fsync(fd) < 0)
                return write_failed(w, name, -errno, e);
        return 0;
}

int native_writer_hints(struct native_writer *w, const struct hints *h, struct err *e)
{
        _cleanup_free_ void *buf = NULL;
        struct hints         own = *h;
        size_t               len;
        int                  r;

        if (h->ram_pages != w->map.nr_pages)
                return err_set(e, -EINVAL, "snapshot %s: expected hints for %" PRIu64 " RAM pages, found them for %" PRIu64,
                               w->dir.path, w->map.nr_pages, h->ram_pages);
        own.snapshot = w->self;
        r = hints_file_pack(&own, &buf, &len, e);
        r = r < 0 ? r : write_file(w, HINTS_NAME, buf, len, e);
        w->hints_written |= r == 0;
        return r;
}

int native_writer_commit(struct native_writer *w, struct identity *ret_identity, struct err *e)
{
        static const char *const files[] = { NATIVE_MEMORY, NATIVE_STATE, NATIVE_PAGES };
        int                      r = 0;

        if (!w->state_written)
                return err_set(e, -EINVAL, "snapshot %s: expected its state before the commit, found none", w->dir.path);
        for (size_t i = 0; r == 0 && i < ARRAY_LEN(files); i++)
                r = sync_file(w, files[i], e);
        if (r == 0 && w->hints_written)
                r = sync_file(w, HINTS_NAME, e);
        r = r < 0 ? r : snapshot_dir_publish(&w->dir, w->replace, e);
        if (r < 0)
                return r;
        if (ret_identity)
                *ret_identity = w->self;
        return 0;
}

struct native_writer_counts native_writer_counts(const struct native_writer *w)
{
        struct page_counts          c = page_map_count(&w->map);
        struct native_writer_counts ret = { .data_pages = c.raw_pages + c.packed_pages, .zero_pages = c.zero_pages };

        ret.parent_pages = c.parent_pages;
        ret.stored_bytes = pages_to_bytes(c.raw_pages);
        for (size_t i = 0; i < w->map.nr_chunks; i++)
                ret.stored_bytes += w->map.chunks[i].packed_bytes;
        return ret;
}
