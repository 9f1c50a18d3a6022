/* tests/unit/uffd/rig.h: a RAM, a memory file, a model of what RAM must read as, and a pager over them.
 * Owns:    all of it; rig_free gives it back.
 * Threads: events come on the pager's thread and are counted in atomics; the rest is the test's.
 * Blocks:  rig_await until its condition holds or 10 s have passed. */
#pragma once

#include "core/base/clock.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/unit/uffd/ram.h"
#include "uffd/pager.h"
#include "uffd/pager_faults.h"
#include "uffd/uffd.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

enum rig_file { RIG_TMPFS, RIG_DISK };

struct rig {
        uint64_t            nr_pages;
        uint8_t            *ram, *model;
        struct tmpdir       dir;
        int                 fd;
        struct page_map     map;
        struct host_caps    caps;
        struct pager_range  all;
        struct pager_config c;
        struct pager_faults faults;
        struct pager       *p;
        atomic_uint         lost, lost_demanded, replayed, done;
        _Atomic uint64_t    last_lost_page;
        _Atomic int         last_lost_error;
        atomic_bool         last_lost_poisoned;
        struct hint        *hints; /* of rig_replay */
        bool                nobody_sees; /* what `lost` answers; set before the pager is armed */
};

static inline bool rig_on_lost(void *arg, const struct pager_lost *l)
{
        struct rig *g = arg;

        g->last_lost_page = l->page;
        g->last_lost_error = l->error;
        g->last_lost_poisoned = l->poisoned;
        g->lost_demanded += l->demanded;
        g->lost++;
        return g->nobody_sees;
}

static inline void rig_on_replayed(void *arg, uint64_t ns)
{
        cr_assert_gt(ns, 0);
        ((struct rig *)arg)->replayed++;
}

static inline void rig_on_done(void *arg, uint64_t ns)
{
        cr_assert_gt(ns, 0);
        ((struct rig *)arg)->done++;
}

/* Every seventh page is zero, though the file has bytes for it; the others are told apart by every word. */
static inline bool rig_page_is_zero(uint64_t page)
{
        return page % 7 == 3;
}

static inline void rig_write_model(struct rig *g)
{
        for (uint64_t page = 0; page < g->nr_pages; page++) {
                uint64_t *w = (uint64_t *)(g->model + pages_to_bytes(page));

                for (uint64_t i = 0; i < PAGE_BYTES / 8 && !rig_page_is_zero(page); i++)
                        w[i] = (page + 1) * 0x9e3779b97f4a7c15ULL + i;
        }
}

static inline void rig_write_file(struct rig *g, enum rig_file where)
{
        uint64_t bytes = pages_to_bytes(g->nr_pages);

        if (where == RIG_DISK) {
                g->dir = tmpdir_new();
                g->fd = openat(g->dir.fd, "memory", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        } else {
                g->fd = memfd_create("memory", MFD_CLOEXEC);
        }
        cr_assert_geq(g->fd, 0);
        for (uint64_t done = 0; done < bytes;) {
                ssize_t n = pwrite(g->fd, g->model + done, bytes - done, (off_t)done);

                cr_assert_gt(n, 0);
                done += (uint64_t)n;
        }
}

/* All of RAM is one raw run of one file, nobody knows where zeros are, nothing is prefetched. */
static inline struct rig *rig_new(uint64_t nr_pages, enum rig_file where)
{
        struct rig *g = calloc(1, sizeof(*g));
        uint64_t    bytes = pages_to_bytes(nr_pages);

        need_uffd();
        g->nr_pages = nr_pages;
        g->ram = ram_map(bytes);
        g->model = calloc(nr_pages, PAGE_BYTES);
        cr_assert(g->model);
        rig_write_model(g);
        rig_write_file(g, where);
        page_map_init(&g->map, nr_pages);
        cr_assert_eq(page_map_add_source(&g->map, dup(g->fd), bytes, "memory"), 0);
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .nr_pages = nr_pages, .kind = RUN_RAW }), 0);
        uffd_probe(&g->caps);
        g->caps.io_uring = true;
        g->all = (struct pager_range){ 0, nr_pages };
        g->c = (struct pager_config){
                .ram = g->ram, .map = &g->map, .served = &g->all, .nr_served = 1, .around_pages = 1, .source_timeout_ms = 10000,
                .caps = &g->caps, .faults = &g->faults,
                .events = { .arg = g, .lost = rig_on_lost, .replayed = rig_on_replayed, .done = rig_on_done },
        };
        return g;
}

static inline void rig_add_sums(struct rig *g)
{
        g->map.sums = calloc(g->nr_pages, sizeof(uint64_t));
        g->map.nr_sums = g->nr_pages;
        for (uint64_t page = 0; page < g->nr_pages; page++)
                g->map.sums[page] = XXH3_64bits(g->model + pages_to_bytes(page), PAGE_BYTES);
        g->c.verify = true;
}

/* The middle of RAM is zero by the page map: [first, +nr), no bytes are read for it. */
static inline void rig_cut_zero_run(struct rig *g, uint64_t first, uint64_t nr)
{
        uint64_t end = first + nr;

        g->map.nr_runs = 0;
        memset(g->model + pages_to_bytes(first), 0, pages_to_bytes(nr));
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .nr_pages = first, .kind = RUN_RAW }), 0);
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .first_page = first, .nr_pages = nr, .kind = RUN_ZERO }), 0);
        cr_assert_eq(page_map_append(&g->map, &(struct page_run){ .first_page = end, .nr_pages = g->nr_pages - end,
                                                                  .kind = RUN_RAW,
                                                                  .file_offset_bytes = pages_to_bytes(end) }), 0);
}

static inline uint64_t rig_nr_cached(const struct rig *g)
{
        unsigned char *in = calloc(g->nr_pages, 1);
        void          *m = mmap(NULL, pages_to_bytes(g->nr_pages), PROT_READ, MAP_SHARED, g->fd, 0);
        uint64_t       nr = 0;

        cr_assert(m != MAP_FAILED && mincore(m, pages_to_bytes(g->nr_pages), in) == 0);
        for (uint64_t page = 0; page < g->nr_pages; page++)
                nr += in[page] & 1;
        munmap(m, pages_to_bytes(g->nr_pages));
        free(in);
        return nr;
}

/* Out of the page cache, proved. Without read-ahead: the first miss would bring all of it, on a fast disk before anybody looks
 * again. */
static inline void rig_evict(struct rig *g)
{
        cr_assert_eq(posix_fadvise(g->fd, 0, 0, POSIX_FADV_RANDOM), 0);
        for (int i = 0; i < 50 && (i == 0 || rig_nr_cached(g) > 0); i++) {
                cr_assert_eq(fsync(g->fd), 0);
                cr_assert_eq(posix_fadvise(g->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        }
        cr_assert_eq(rig_nr_cached(g), 0);
}

static inline void rig_start(struct rig *g)
{
        struct err e = { 0 };

        cr_assert_eq(pager_new(&g->c, &g->p, &e), 0, "%s", e.text);
        cr_assert_eq(pager_arm(g->p, &e), 0, "%s", e.text);
}

/* These pages are the hints, all of one phase. */
static inline void rig_replay(struct rig *g, const uint64_t *pages, size_t nr)
{
        free(g->hints);
        g->hints = calloc(nr + 1, sizeof(*g->hints));
        for (size_t i = 0; i < nr; i++)
                g->hints[i] = (struct hint){ .page = (uint32_t)pages[i], .seen = 1 };
        g->c.replay = g->hints;
        g->c.nr_replay = nr;
}

static inline void rig_free(struct rig *g)
{
        pager_free(g->p);
        page_map_free(&g->map);
        munmap(g->ram, pages_to_bytes(g->nr_pages));
        free(g->hints);
        free(g->model);
        close(g->fd);
        if (g->dir.path[0])
                tmpdir_free(&g->dir);
        free(g);
}

static inline struct pager_stats rig_stats(const struct rig *g)
{
        struct pager_stats s;

        pager_stats(g->p, &s);
        return s;
}

static inline bool rig_page_equal(const struct rig *g, uint64_t page)
{
        return memcmp(g->ram + pages_to_bytes(page), g->model + pages_to_bytes(page), PAGE_BYTES) == 0;
}

/* Touches every page, so each is brought in if it was not. */
static inline void rig_assert_all_equal(const struct rig *g)
{
        for (uint64_t page = 0; page < g->nr_pages; page++)
                cr_assert(rig_page_equal(g, page), "page %llu differs from the model", (unsigned long long)page);
}

static inline uint8_t rig_touch(const struct rig *g, uint64_t page)
{
        return *(volatile uint8_t *)(g->ram + pages_to_bytes(page));
}

static inline void rig_sleep_ms(unsigned ms)
{
        usleep(ms * 1000);
}

#define rig_await(cond)                                                                    \
        do {                                                                               \
                uint64_t until_ = now_ns() + 10 * NS_PER_S;                                \
                while (!(cond) && now_ns() < until_)                                       \
                        usleep(500);                                                       \
                cr_assert(cond, "still not so after 10 s: %s", #cond);                     \
        } while (0)

static inline bool rig_is_resident(const struct rig *g, uint64_t page)
{
        unsigned char in = 0;

        mincore(g->ram + pages_to_bytes(page), PAGE_BYTES, &in);
        return in & 1;
}

/* Does the pager's thread live? By its name: Criterion has threads of its own. */
static inline bool rig_has_pager_thread(void)
{
        DIR *d = opendir("/proc/self/task");
        bool found = false;

        for (struct dirent *e; (e = readdir(d));) {
                char    path[300], name[32] = "";
                ssize_t n;
                int     fd;

                snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                n = fd >= 0 ? read(fd, name, sizeof(name) - 1) : 0;
                found = found || (n > 0 && strcmp(name, "rouse-pager\n") == 0);
                close(fd);
        }
        closedir(d);
        return found;
}
