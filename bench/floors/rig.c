/* bench/floors/rig.c: what the benches of the pager share. */
#include "bench/floors/rig.h"

#include "bench/floors/memory.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "uffd/uffd.h"
#include "uffd/uring_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void write_file(const struct rig *r)
{
        uint64_t bytes = pages_to_bytes(r->nr_pages);

        for (uint64_t done = 0; done < bytes;) {
                ssize_t n = pwrite(r->fd, r->warm + done, bytes - done, (off_t)done);

                if (n <= 0)
                        floor_die("write the memory file", errno);
                done += (uint64_t)n;
        }
        if (fsync(r->fd) < 0)
                floor_die("fsync", errno);
}

static void probe(struct host_caps *caps)
{
        uffd_probe(caps);
        uring_probe(caps);
        caps->nr_cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
}

void rig_open(struct rig *r, const char *dir, uint64_t nr_pages)
{
        *r = (struct rig){ .nr_pages = nr_pages, .all = { 0, nr_pages } };
        r->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (r->fd < 0)
                floor_die(dir, errno);
        r->warm = memory_map(pages_to_bytes(nr_pages));
        memory_fill(r->warm, pages_to_bytes(nr_pages));
        write_file(r);
        probe(&r->caps);
        r->config = (struct pager_config){ .map = &r->map, .served = &r->all, .nr_served = 1, .around_pages = 16,
                                           .caps = &r->caps };
}

void rig_open_map(struct rig *r, const struct page_map *map)
{
        size_t nr = 0;

        *r = (struct rig){ .nr_pages = map->nr_pages, .fd = -1, .served = calloc(map->nr_runs + 1, sizeof(*r->served)) };
        if (!r->served)
                floor_die("ranges", ENOMEM);
        for (size_t i = 0; i < map->nr_runs; i++) {
                const struct page_run *run = &map->runs[i];
                struct pager_range    *last = nr ? &r->served[nr - 1] : NULL;

                if (run->kind == RUN_ZERO)
                        continue;
                if (last && last->first_page + last->nr_pages == run->first_page)
                        last->nr_pages += run->nr_pages;
                else
                        r->served[nr++] = (struct pager_range){ run->first_page, run->nr_pages };
        }
        probe(&r->caps);
        r->config = (struct pager_config){ .map = map, .served = r->served, .nr_served = nr, .around_pages = 16,
                                           .caps = &r->caps };
}

void rig_close(struct rig *r)
{
        page_map_free(&r->map);
        if (r->ram)
                munmap(r->ram, pages_to_bytes(r->nr_pages));
        if (r->warm)
                munmap(r->warm, pages_to_bytes(r->nr_pages));
        if (r->fd >= 0)
                close(r->fd);
        free(r->served);
}

static void begin_map(struct rig *r)
{
        page_map_free(&r->map);
        page_map_init(&r->map, r->nr_pages);
        if (page_map_add_source(&r->map, dup(r->fd), pages_to_bytes(r->nr_pages), "memory") != 0)
                floor_die("page map", ENOMEM);
        r->map.zeros_known = true;
}

static void add_run(struct rig *r, uint64_t first_page, uint64_t nr_pages, enum run_kind kind, uint64_t file_page)
{
        struct page_run run = { .first_page = first_page, .nr_pages = (uint32_t)nr_pages, .kind = (uint8_t)kind,
                                .first_sum = NO_SUM,
                                .file_offset_bytes = pages_to_bytes(file_page) };
        int e = page_map_append(&r->map, &run);

        if (e < 0)
                floor_die("page map", e);
}

void rig_map_whole(struct rig *r)
{
        begin_map(r);
        add_run(r, 0, r->nr_pages, RUN_RAW, 0);
}

void rig_map_scattered_file(struct rig *r, uint64_t run_pages, uint64_t seed)
{
        uint64_t  nr = r->nr_pages / run_pages;
        uint64_t *order = calloc(nr, sizeof(*order));

        if (!order)
                floor_die("order", ENOMEM);
        memory_shuffle(order, nr, seed);
        begin_map(r);
        for (uint64_t i = 0; i < nr; i++)
                add_run(r, i * run_pages, run_pages, RUN_RAW, order[i] * run_pages);
        free(order);
}

void rig_map_scattered_ram(struct rig *r, uint64_t run_pages)
{
        begin_map(r);
        for (uint64_t page = 0; page < r->nr_pages; page += 2 * run_pages) {
                add_run(r, page, run_pages, RUN_RAW, page);
                add_run(r, page + run_pages, run_pages, RUN_ZERO, 0);
        }
}

void rig_new_ram(struct rig *r)
{
        uint64_t bytes = pages_to_bytes(r->nr_pages);

        if (r->ram)
                munmap(r->ram, bytes);
        r->ram = memory_map_ram(bytes);
}

int rig_start(struct rig *r, uint8_t *ram, uint64_t *ret_arm_ns, struct err *e)
{
        int x;

        if (!ram)
                rig_new_ram(r);
        r->config.ram = ram ? ram : r->ram;
        x = pager_new(&r->config, &r->pager, e);
        if (x < 0)
                return x;
        *ret_arm_ns = now_ns();
        x = pager_arm(r->pager, e);
        if (x < 0)
                pager_free(TAKE_PTR(r->pager));
        return x;
}

/* Every 61st run, at both ends. A pager that is fast and wrong is not fast. */
static void check(const struct rig *r)
{
        for (size_t i = 0; i < r->map.nr_runs; i += r->map.nr_runs > 61 ? 61 : 1) {
                const struct page_run *run = &r->map.runs[i];
                uint64_t               last = run->nr_pages - 1;
                const uint64_t        *ram = (const uint64_t *)(r->config.ram + pages_to_bytes(run->first_page));
                const uint64_t        *file = (const uint64_t *)(r->warm + run->file_offset_bytes);
                uint64_t               words = PAGE_BYTES / 8;
                bool                   zero = run->kind == RUN_ZERO;

                if (run->kind == RUN_PACKED)
                        continue;
                if (ram[0] != (zero ? 0 : file[0]) || ram[last * words + 511] != (zero ? 0 : file[last * words + 511]))
                        floor_die("RAM differs from the file", EIO);
        }
}

void rig_stop(struct rig *r)
{
        if (r->pager && r->warm)
                check(r);
        if (!pager_free(r->pager))
                floor_die("the pager does not end", EBUSY);
        r->pager = NULL;
}

void rig_warm(const struct rig *r)
{
        uint8_t *buf = memory_map(HUGE_PAGE_BYTES);

        for (uint64_t at = 0; at < pages_to_bytes(r->nr_pages); at += HUGE_PAGE_BYTES)
                if (pread(r->fd, buf, HUGE_PAGE_BYTES, (off_t)at) <= 0)
                        floor_die("read the memory file", errno);
        munmap(buf, HUGE_PAGE_BYTES);
}

uint64_t rig_evict(const struct rig *r)
{
        uint64_t       bytes = pages_to_bytes(r->nr_pages), left = 1;
        unsigned char *in = calloc(r->nr_pages, 1);
        void          *m = mmap(NULL, bytes, PROT_READ, MAP_SHARED, r->fd, 0);

        if (m == MAP_FAILED || !in)
                floor_die("mmap the memory file", errno);
        for (int i = 0; i < 50 && left > 0; i++) {
                if (fsync(r->fd) < 0 || posix_fadvise(r->fd, 0, 0, POSIX_FADV_DONTNEED) != 0 || mincore(m, bytes, in) < 0)
                        floor_die("evict the memory file", errno);
                left = 0;
                for (uint64_t page = 0; page < r->nr_pages; page++)
                        left += in[page] & 1;
        }
        munmap(m, bytes);
        free(in);
        return left;
}
