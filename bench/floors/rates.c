/* bench/floors/rates.c: loops of one call each. */
#include "bench/floors/rates.h"

#include "bench/floors/memory.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/model/page_map.h"
#include "uffd/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH 2

static double rate(uint64_t bytes, uint64_t since_ns)
{
        return (double)bytes * (double)NS_PER_S / (double)(now_ns() - since_ns);
}

double rate_memcpy(const uint8_t *warm, uint64_t bytes)
{
        uint8_t *to = memory_map_there(bytes);
        uint64_t t0 = now_ns();
        double   v;

        for (uint64_t at = 0; at < bytes; at += HUGE_PAGE_BYTES)
                memcpy(to + at, warm + at, MIN(HUGE_PAGE_BYTES, bytes - at));
        v = rate(bytes, t0);
        munmap(to, bytes);
        return v;
}

int rate_copy_2m(const struct host_caps *caps, uint8_t *ram, const uint8_t *warm, uint64_t bytes, double *ret, struct err *e)
{
        _cleanup_close_ int uffd = -1;
        uint64_t            done, t0;
        int                 r = uffd_open(caps, UFFD_FEATURE_EVENT_REMOVE, &uffd, e);

        if (r < 0)
                return r;
        r = uffd_register(uffd, ram, bytes, UFFDIO_REGISTER_MODE_MISSING);
        if (r < 0)
                return err_set(e, r, "UFFDIO_REGISTER of %llu bytes: %s", (unsigned long long)bytes, strerror(-r));
        t0 = now_ns();
        for (uint64_t at = 0; at < bytes; at += done) {
                r = uffd_copy(uffd, ram + at, warm + at, MIN(HUGE_PAGE_BYTES, bytes - at), true, &done);
                if (r < 0)
                        return err_set(e, r, "UFFDIO_COPY of 2 MiB: %s", strerror(-r));
        }
        *ret = rate(bytes, t0);
        return 0;
}

static int start_read(struct io_uring *ring, int fd, uint8_t *buf, uint64_t at)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

        io_uring_prep_read(sqe, fd, buf + at / HUGE_PAGE_BYTES % DEPTH * HUGE_PAGE_BYTES, HUGE_PAGE_BYTES, at);
        return MIN(io_uring_submit(ring), 0);
}

static int wait_read(struct io_uring *ring)
{
        struct io_uring_cqe *cqe;
        int                  r = io_uring_wait_cqe(ring, &cqe);

        if (r < 0)
                return r;
        r = cqe->res < 0 ? cqe->res : cqe->res == 0 ? -ENODATA : 0;
        io_uring_cqe_seen(ring, cqe);
        return r;
}

/* 0 or -errno of the first read that failed; then some may be under way, until the ring is given back. */
static int read_in_order(struct io_uring *ring, int fd, uint8_t *buf, uint64_t bytes)
{
        int r = 0;

        for (uint64_t at = 0; at < bytes && r >= 0; at += HUGE_PAGE_BYTES) {
                r = at >= DEPTH * HUGE_PAGE_BYTES ? wait_read(ring) : 0;
                r = r < 0 ? r : start_read(ring, fd, buf, at);
        }
        for (uint64_t at = 0; at < MIN(bytes, DEPTH * HUGE_PAGE_BYTES) && r >= 0; at += HUGE_PAGE_BYTES)
                r = wait_read(ring);
        return r;
}

/* One read less than its size, where that is no multiple of 2 MiB. */
static int bytes_to_read(int fd, const char *name, uint64_t *bytes, struct err *e)
{
        struct stat st;

        if (fstat(fd, &st) < 0)
                return err_set(e, -errno, "%s: %s", name, strerror(errno));
        *bytes = MIN(*bytes, (uint64_t)st.st_size) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
        return *bytes ? 0 : err_set(e, -ENODATA, "%s: expected a file of 2 MiB or more to read, found %llu bytes", name,
                                    (unsigned long long)st.st_size);
}

int rate_direct(int fd, const char *name, uint64_t bytes, double *ret, struct err *e)
{
        _cleanup_close_ int direct = -1;
        char                path[32];
        struct io_uring     ring;
        uint8_t            *buf;
        uint64_t            t0;
        int                 r = bytes_to_read(fd, name, &bytes, e);

        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (direct < 0)
                return err_host(e, -errno, "%s: open with O_DIRECT: %s; put it on a local disk", name, strerror(errno));
        r = io_uring_queue_init(DEPTH, &ring, 0);
        if (r < 0)
                return err_host(e, r, "io_uring_setup: %s; sysctl -w kernel.io_uring_disabled=0", strerror(-r));
        buf = memory_map_there(DEPTH * HUGE_PAGE_BYTES);
        t0 = now_ns();
        r = read_in_order(&ring, direct, buf, bytes);
        *ret = rate(bytes, t0);
        io_uring_queue_exit(&ring);
        munmap(buf, DEPTH * HUGE_PAGE_BYTES);
        return r < 0 ? err_set(e, r, "%s: read with O_DIRECT: %s", name, strerror(-r)) : 0;
}

static uint64_t unpack(const struct page_map *map, const struct page_source *src, const struct page_chunk *c, uint8_t *packed,
                       uint8_t *to)
{
        uint64_t t0;

        if (pread(src->fd, packed, c->packed_bytes, (off_t)c->file_offset_bytes) != (ssize_t)c->packed_bytes)
                floor_die("read a chunk", EIO);
        t0 = now_ns();
        if (c->packed_bytes == pages_to_bytes(c->nr_pages))
                memcpy(to, packed, c->packed_bytes);
        else if (map->codec->unpack(to, pages_to_bytes(c->nr_pages), packed, c->packed_bytes) < 0)
                floor_die("unpack a chunk", EBADMSG);
        return now_ns() - t0;
}

double rate_unpack(const struct page_map *map)
{
        uint8_t *buf = memory_map_there(2 * HUGE_PAGE_BYTES);
        uint64_t ns = 0, bytes = 0;

        for (size_t i = 0; i < map->nr_runs; i++) {
                const struct page_run *run = &map->runs[i];

                for (uint64_t page = run->first_page; run->kind == RUN_PACKED && page < run->first_page + run->nr_pages;) {
                        struct chunk_place at = page_map_find_chunk(map, run, page);

                        ns += unpack(map, &map->sources[run->source], at.chunk, buf, buf + HUGE_PAGE_BYTES);
                        bytes += pages_to_bytes(at.chunk->nr_pages);
                        page = at.first_page + at.chunk->nr_pages;
                }
        }
        munmap(buf, 2 * HUGE_PAGE_BYTES);
        return ns ? (double)bytes * (double)NS_PER_S / (double)ns : 0;
}
