/* formats/page_index_build.c: looks at every stored page once and finds those that are all zeros. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/is_zero.h"
#include "core/model/page_sums.h"
#include "formats/page_index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Read at once, and how often `stop` is looked at: about 1 ms from the page cache. */
#define CHUNK_PAGES 256ULL

static int copy_sums(const struct page_map *from, struct page_map *to)
{
        const struct page_run all = { 0 }; /* whose first sum is number 0 */
        struct page_sums      sums;
        int                   r;

        if (!from->nr_sums)
                return 0;
        to->sums = malloc(from->nr_sums * sizeof(*to->sums));
        if (!to->sums)
                return -ENOMEM;
        page_sums_init(&sums, from);
        r = page_sums_copy(&sums, &all, 0, from->nr_sums, to->sums);
        if (r == 0)
                to->nr_sums = from->nr_sums;
        return r;
}

static int copy_sources(const struct page_map *from, struct page_map *to)
{
        int r = copy_sums(from, to);

        for (size_t i = 0; r >= 0 && i < from->nr_sources; i++) {
                int fd = fcntl(from->sources[i].fd, F_DUPFD_CLOEXEC, 0);

                if (fd < 0)
                        return -errno;
                r = page_map_add_source(to, fd, from->sources[i].size_bytes, from->sources[i].name);
        }
        return r < 0 ? r : 0;
}

/* The part of run from its page `skip` on, nr_pages long, as kind. */
static int append_part(struct page_map *to, const struct page_run *run, uint64_t skip, uint64_t nr_pages, enum run_kind kind)
{
        struct page_run part = { .first_page = run->first_page + skip, .nr_pages = nr_pages, .kind = kind };

        if (kind == RUN_RAW) {
                part.source = run->source;
                part.file_offset_bytes = run->file_offset_bytes + pages_to_bytes(skip);
                part.first_sum = to->sums ? run->first_sum + skip : 0;
        }
        return page_map_append(to, &part);
}

/* One chunk's pages, joined into stretches of one kind. */
static int append_chunk(struct page_map *to, const struct page_run *run, uint64_t skip, const uint8_t *bytes, uint64_t nr_pages)
{
        uint64_t begin = 0;
        int      r = 0;

        while (r == 0 && begin < nr_pages) {
                bool     zero = is_zero(bytes + pages_to_bytes(begin), PAGE_BYTES);
                uint64_t end = begin + 1;

                while (end < nr_pages && is_zero(bytes + pages_to_bytes(end), PAGE_BYTES) == zero)
                        end++;
                r = append_part(to, run, skip + begin, end - begin, zero ? RUN_ZERO : RUN_RAW);
                begin = end;
        }
        return r;
}

static int read_chunk(const struct page_source *src, const struct page_run *run, uint64_t skip, uint8_t *buf, uint64_t nr_pages,
                      struct err *e)
{
        uint64_t offset_bytes = run->file_offset_bytes + pages_to_bytes(skip);
        ssize_t  n = fd_pread_full(src->fd, buf, pages_to_bytes(nr_pages), offset_bytes);

        if (n < 0)
                return err_set(e, (int)n, "read %s at offset %" PRIu64 ": %s", src->name, offset_bytes, strerror((int)-n));
        if ((uint64_t)n != pages_to_bytes(nr_pages))
                return err_bad(e, src->name, offset_bytes + (uint64_t)n, "expected %" PRIu64 " bytes in all, found the file's end"
                               "; it became shorter while it was read", src->size_bytes);
        return 0;
}

static int look_through(const struct page_map *map, const struct page_run *run, const atomic_bool *stop, uint8_t *buf,
                        struct page_map *to,
                        struct err *e)
{
        int r = 0;

        if (run->kind == RUN_ZERO)
                return page_map_append(to, run);
        for (uint64_t skip = 0; r == 0 && skip < run->nr_pages; skip += CHUNK_PAGES) {
                uint64_t nr_pages = MIN(CHUNK_PAGES, run->nr_pages - skip);

                /* relaxed: a flag alone; nothing that the stopping thread wrote is read here */
                if (stop && atomic_load_explicit(stop, memory_order_relaxed))
                        return err_set(e, -ECANCELED, "looking for zero pages was stopped");
                r = read_chunk(&map->sources[run->source], run, skip, buf, nr_pages, e);
                if (r < 0)
                        return r;
                r = append_chunk(to, run, skip, buf, nr_pages);
        }
        return r < 0 ? err_set(e, r, "no memory for the page map") : 0;
}

int page_index_build(const struct page_map *map, const atomic_bool *stop, struct page_map *ret, struct err *e)
{
        _cleanup_(page_map_free) struct page_map m;
        _cleanup_free_ uint8_t                  *buf = NULL;
        int                                      r;

        page_map_init(&m, map->nr_pages);
        buf = malloc(pages_to_bytes(CHUNK_PAGES));
        r = buf ? copy_sources(map, &m) : -ENOMEM;
        if (r < 0)
                return err_set(e, r, "prepare to look for zero pages: %s", strerror(-r));
        for (size_t i = 0; i < map->nr_runs; i++) {
                r = look_through(map, &map->runs[i], stop, buf, &m, e);
                if (r < 0)
                        return r;
        }
        m.zeros_known = true;
        *ret = m;
        m = (struct page_map){ 0 };
        return 0;
}
