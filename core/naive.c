/* Run after run, in order, on the thread that asks. */
#include "core/naive.h"

#include "core/base/is_zero.h"
#include "formats/page_reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define STEP_PAGES UINT64_C(512)

/* A memory file that holds RAM in order has its zeros, too: where, a run of data beside them tells. NULL: nobody knows. */
static const struct page_run *find_raw(const struct page_map *map)
{
        for (size_t i = 0; i < map->nr_runs; i++)
                if (map->runs[i].kind == RUN_RAW && map->runs[i].file_offset_bytes >= pages_to_bytes(map->runs[i].first_page))
                        return &map->runs[i];
        return NULL;
}

/* Zeros as a VMM without a page map gets them: read, from the file where it has them, else written. What the file has there is
 * held against the map: the map is right. */
static void read_zeros(const struct page_map *map, const struct page_run *raw, uint64_t page, uint64_t nr, uint8_t *to,
                       uint64_t *bytes)
{
        uint64_t len = pages_to_bytes(nr);
        uint64_t offset = raw ? raw->file_offset_bytes - pages_to_bytes(raw->first_page) + pages_to_bytes(page) : 0;

        if (raw && range_fits(offset, len, map->sources[raw->source].size_bytes) &&
            pread(map->sources[raw->source].fd, to, len, (off_t)offset) == (ssize_t)len && is_zero(to, len))
                *bytes += len;
        else
                memset(to, 0, len);
}

int naive_read_all(const struct guest_ram *r, const struct page_map *map, bool verify, uint64_t *ret_bytes, struct err *e)
{
        const struct page_run *raw = find_raw(map);
        struct page_reader reader;
        uint64_t bytes = 0;
        int x = 0;

        if (page_reader_init(&reader, map, verify) < 0)
                return err_set(e, -ENOMEM, "no memory to read a snapshot");
        for (size_t i = 0; i < map->nr_runs && x >= 0; i++) {
                const struct page_run *run = &map->runs[i];

                for (uint64_t at = run->first_page, end = at + run->nr_pages, nr; at < end && x >= 0; at += nr) {
                        uint8_t *to = r->base + pages_to_bytes(at);

                        nr = MIN(STEP_PAGES, end - at);
                        if (run->kind == RUN_ZERO) {
                                read_zeros(map, raw, at, nr, to, &bytes);
                                continue;
                        }
                        x = page_reader_read(&reader, at, nr, to, e);
                        bytes += pages_to_bytes(nr);
                }
        }
        page_reader_fini(&reader);
        if (x < 0)
                return x;
        *ret_bytes = bytes;
        return 0;
}
