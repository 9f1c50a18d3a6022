/* fuzz_native_pages: any bytes as `pages` of a native snapshot and, behind them, its `memory`: refused in one line, or a page map
 * whose every page can be asked for. Checksums are made right first, so that what is behind them is seen; counts are kept
 * small. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "formats/codec/lz4.h"
#include "formats/page_reader.h"
#include "formats/table_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define COUNT_MAX 200
#define PAGES_MAX 1024 /* 4 MiB of RAM */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool yes)
{
        if (!yes)
                abort();
}

static void check_message(int r, const struct err *e)
{
        must(r == -EBADMSG && e->kind == ERR_SNAPSHOT && strstr(e->text, "expected ") && !strchr(e->text, '\n'));
}

/* Where each part of the file begins; all of it is at least this long. */
struct parts {
        size_t entries, sums, chunks, end;
};

static struct parts find_parts(const struct table_header *h, const struct table_packing *g)
{
        struct parts p = { .entries = sizeof(*h) + (g ? sizeof(*g) : 0) };

        p.sums = p.entries + h->nr_entries * sizeof(struct table_run);
        p.chunks = p.sums + h->nr_sums * sizeof(uint64_t);
        p.end = p.chunks + (g ? g->nr_chunks : 0) * sizeof(struct table_chunk);
        return p;
}

static void put_header_right(struct table_header *h)
{
        memcpy(h->magic, "rouse-pg", sizeof(h->magic));
        h->entry_bytes = sizeof(struct table_run);
        memset(h->identity, 0, sizeof(h->identity));
        memcpy(h->identity, "0123-abc", 8);
        h->ram_pages %= PAGES_MAX + 1;
        h->nr_entries %= COUNT_MAX;
        h->nr_sums %= COUNT_MAX;
}

/* Makes the checksums right; how long `pages` is. buf has room for all that the counts can ask for. */
static size_t put_right(uint8_t *buf)
{
        struct table_header  h;
        struct table_packing g;
        struct parts         p;
        bool                 packed;

        memcpy(&h, buf, sizeof(h));
        memcpy(&g, buf + sizeof(h), sizeof(g));
        put_header_right(&h);
        packed = h.version == table_pages_packed.version;
        g.nr_chunks %= COUNT_MAX;
        p = find_parts(&h, packed ? &g : NULL);
        h.entries_sum = XXH3_64bits(buf + p.entries, p.sums - p.entries);
        h.sums_sum = XXH3_64bits(buf + p.sums, p.chunks - p.sums);
        g.chunks_sum = XXH3_64bits(buf + p.chunks, p.end - p.chunks);
        g.packing_sum = XXH3_64bits(&g, offsetof(struct table_packing, packing_sum));
        h.header_sum = XXH3_64bits(&h, offsetof(struct table_header, header_sum));
        memcpy(buf, &h, sizeof(h));
        if (packed)
                memcpy(buf + sizeof(h), &g, sizeof(g));
        return p.end;
}

static int file_of(const uint8_t *bytes, size_t len)
{
        int fd = memfd_create("part", MFD_CLOEXEC);

        must(fd >= 0 && fd_pwrite_full(fd, bytes, len, 0) == 0);
        return fd;
}

/* Every page reads, or says why not. Verified, few bytes get as far as to be right. */
static void read_pages(const struct page_map *m, bool verify)
{
        struct page_reader r;
        uint8_t            page[PAGE_BYTES];

        must(page_reader_init(&r, m, verify) == 0);
        for (uint64_t i = 0; i < m->nr_pages; i++) {
                struct err e = { 0 };
                int        k = page_map_find(m, i)->kind == RUN_PARENT ? 0 : page_reader_read(&r, i, 1, page, &e);

                if (k < 0)
                        check_message(k, &e);
        }
        page_reader_fini(&r);
}

static int make_map(const struct part *pages, int memory_fd, uint64_t memory_bytes, struct page_map *ret, struct err *e)
{
        _cleanup_(table_file_free) struct table_file t = { 0 };
        int                                          r = table_file_read_header(pages, "pages", &table_pages_packed, &t, e);

        r = r < 0 ? r : table_file_read(pages, "pages", &t, e);
        if (r < 0) {
                close(memory_fd);
                return r;
        }
        page_map_init(ret, t.ram_pages);
        ret->is_level = true;
        must(page_map_add_source(ret, memory_fd, memory_bytes, "memory") == 0);
        ret->sources[0].chunk_pages = t.packing.chunk_pages;
        ret->codec = t.kind->packed ? &codec_lz4 : NULL;
        if (t.kind->packed)
                r = table_chunks_unpack(&t, "pages", ret, e);
        r = r < 0 ? r : table_runs_unpack(&t, "pages", ret, e);
        if (r < 0)
                return r;
        ret->sums = TAKE_PTR(t.sums);
        ret->nr_sums = t.nr_sums;
        ret->sums_file = t.sums_file;
        t.sums_file = (struct sums_file){ 0 };
        return page_map_check(ret, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        size_t                                   room = sizeof(struct table_header) + sizeof(struct table_packing) + COUNT_MAX * 80 + size;
        _cleanup_free_ uint8_t                  *buf = calloc(1, room);
        _cleanup_(part_close) struct part        pages = { .fd = -1 };
        _cleanup_(page_map_free) struct page_map map = { 0 };
        struct err                               e = { 0 };
        size_t                                   memory_bytes;
        int                                      r;

        must(buf != NULL);
        memcpy(buf, data, size);
        pages.size_bytes = put_right(buf);
        pages.fd = file_of(buf, pages.size_bytes);
        memory_bytes = size > pages.size_bytes ? size - pages.size_bytes : 0;
        r = make_map(&pages, file_of(buf + pages.size_bytes, memory_bytes), memory_bytes, &map, &e);
        if (r < 0)
                check_message(r, &e);
        else
                read_pages(&map, size % 2);
        return 0;
}
