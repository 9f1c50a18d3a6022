/* bench/floors/rates.c: the floors of populate. */
#include "bench/floors/rates.h"

#include "bench/floors/rig.h"
#include "core/base/clock.h"
#include "uffd/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEPTH 2

static double rate(uint64_t bytes, uint64_t since_ns)
{
        return (double)bytes * (double)NS_PER_S / (double)(now_ns() - since_ns);
}

static uint8_t *map_warm(uint64_t bytes)
{
        uint8_t *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

        if (m == MAP_FAILED)
                rig_die("mmap", errno);
        return m;
}

double rate_memcpy(struct rig *r)
{
        uint64_t bytes = pages_to_bytes(r->nr_pages), t0;
        uint8_t *to = map_warm(bytes);
        double   v;

        t0 = now_ns();
        for (uint64_t at = 0; at < bytes; at += HUGE_PAGE_BYTES)
                memcpy(to + at, r->warm + at, HUGE_PAGE_BYTES);
        v = rate(bytes, t0);
        munmap(to, bytes);
        return v;
}

double rate_copy_2m(struct rig *r)
{
        uint64_t   bytes = pages_to_bytes(r->nr_pages), done, t0;
        struct err e = { 0 };
        int        uffd, x;
        double     v;

        rig_new_ram(r);
        x = uffd_open(&r->caps, UFFD_FEATURE_EVENT_REMOVE, &uffd, &e);
        if (x >= 0)
                x = uffd_register(uffd, r->ram, bytes, UFFDIO_REGISTER_MODE_MISSING);
        if (x < 0)
                rig_die("register", x);
        t0 = now_ns();
        for (uint64_t at = 0; at < bytes; at += done) {
                x = uffd_copy(uffd, r->ram + at, r->warm + at, MIN(HUGE_PAGE_BYTES, bytes - at), true, &done);
                if (x < 0)
                        rig_die("UFFDIO_COPY", x);
        }
        v = rate(bytes, t0);
        close(uffd);
        return v;
}

static void start_read(struct io_uring *ring, int fd, uint8_t *buf, uint64_t at)
{
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
        uint64_t             slot = at / HUGE_PAGE_BYTES % DEPTH;

        io_uring_prep_read(sqe, fd, buf + slot * HUGE_PAGE_BYTES, HUGE_PAGE_BYTES, at);
        if (io_uring_submit(ring) < 0)
                rig_die("io_uring_submit", EIO);
}

static void wait_read(struct io_uring *ring)
{
        struct io_uring_cqe *cqe;

        if (io_uring_wait_cqe(ring, &cqe) < 0 || cqe->res <= 0)
                rig_die("O_DIRECT read", EIO);
        io_uring_cqe_seen(ring, cqe);
}

double rate_direct(struct rig *r)
{
        uint64_t        bytes = pages_to_bytes(r->nr_pages) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES, t0;
        uint8_t        *buf = map_warm(DEPTH * HUGE_PAGE_BYTES);
        char            path[32];
        struct io_uring ring;
        int             fd;
        double          v;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", r->fd);
        fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
        if (fd < 0)
                rig_die("open with O_DIRECT", errno);
        if (io_uring_queue_init(DEPTH, &ring, 0) < 0)
                rig_die("io_uring", ENOSYS);
        t0 = now_ns();
        for (uint64_t at = 0; at < bytes; at += HUGE_PAGE_BYTES) {
                if (at >= DEPTH * HUGE_PAGE_BYTES)
                        wait_read(&ring);
                start_read(&ring, fd, buf, at);
        }
        for (int i = 0; i < DEPTH; i++)
                wait_read(&ring);
        v = rate(bytes, t0);
        io_uring_queue_exit(&ring);
        close(fd);
        munmap(buf, DEPTH * HUGE_PAGE_BYTES);
        return v;
}

static uint64_t unpack(const struct page_map *map, const struct page_source *src, const struct page_chunk *c, uint8_t *packed, uint8_t *to)
{
        uint64_t t0;

        if (pread(src->fd, packed, c->packed_bytes, (off_t)c->file_offset_bytes) != (ssize_t)c->packed_bytes)
                rig_die("read a chunk", EIO);
        t0 = now_ns();
        if (c->packed_bytes == pages_to_bytes(c->nr_pages))
                memcpy(to, packed, c->packed_bytes);
        else if (map->codec->unpack(to, pages_to_bytes(c->nr_pages), packed, c->packed_bytes) < 0)
                rig_die("unpack a chunk", EBADMSG);
        return now_ns() - t0;
}

double rate_unpack(const struct page_map *map)
{
        uint8_t *buf = map_warm(2 * HUGE_PAGE_BYTES);
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
