/* Guest RAM is one contiguous private mapping; what stands behind each part of it is the plan's choice. */
#include "core/guest_ram.h"

#include "core/base/checked_copy.h"
#include "core/base/cleanup.h"
#include "core/base/thread.h"
#include "formats/page_reader.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int guest_ram_map(uint64_t size_bytes, bool huge, struct guest_ram *ret, struct err *e)
{
        uint64_t room_bytes = size_bytes + HUGE_PAGE_BYTES;
        uint8_t *room, *base;

        room = mmap(NULL, room_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED)
                return err_host(e, -errno, "map %llu bytes of guest RAM: %s", (unsigned long long)size_bytes, strerror(errno));
        /* Trim to a 2 MiB boundary, so that huge pages of host and guest line up. */
        base = (uint8_t *)align_up((uint64_t)room, HUGE_PAGE_BYTES);
        if (base != room)
                munmap(room, (size_t)(base - room));
        if (base + size_bytes != room + room_bytes)
                munmap(base + size_bytes, (size_t)(room + room_bytes - base - size_bytes));
        madvise(base, size_bytes, MADV_DONTFORK);
        /* A kernel without transparent huge pages answers EINVAL to both: then there are none to ask for or to fear. */
        madvise(base, size_bytes, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
        *ret = (struct guest_ram){.base = base, .size_bytes = size_bytes};
        return 0;
}

void guest_ram_unmap(struct guest_ram *r)
{
        if (r->base)
                munmap(r->base, r->size_bytes);
        if (r->base && r->backing != RAM_ANON)
                close(r->fd);
        *r = (struct guest_ram){0};
}

int guest_ram_map_files(struct guest_ram *r, const struct page_map *map, const struct pager_range *mapped, size_t nr_mapped,
                        struct err *e)
{
        for (size_t i = 0; i < nr_mapped; i++) {
                const struct page_run *run = page_map_find(map, mapped[i].first_page);
                uint64_t offset = run->file_offset_bytes + pages_to_bytes(mapped[i].first_page - run->first_page);
                uint8_t *at = r->base + pages_to_bytes(mapped[i].first_page);
                void *m = mmap(at, pages_to_bytes(mapped[i].nr_pages), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, map->sources[run->source].fd, (off_t)offset);

                if (m == MAP_FAILED)
                        return err_set(e, -errno, "map %s at offset %llu, %llu pages: %s", map->sources[run->source].name,
                                       (unsigned long long)offset, (unsigned long long)mapped[i].nr_pages, strerror(errno));
                madvise(at, pages_to_bytes(mapped[i].nr_pages), MADV_DONTFORK);
        }
        r->mapped = mapped;
        r->nr_mapped = nr_mapped;
        return 0;
}

/* --- eager: the runs cut into slices, handed out to a few threads --- */

#define SLICE_PAGES 1024ULL /* 4 MiB: two huge pages; smaller slices share page faults of one huge page between threads */

struct read_all {
        /* set before the threads start, then read-only */
        struct guest_ram      *ram;
        const struct page_map *map;
        bool                   verify;
        /* under lock */
        pthread_mutex_t lock;
        size_t          next_run;
        uint64_t        next_page; /* of runs[next_run] */
        int             error;
        struct err      err;
        uint64_t        bytes;
};

static bool take_slice(struct read_all *a, const struct page_run **ret_run, uint64_t *ret_skip, uint64_t *ret_nr)
{
        bool got = false;

        pthread_mutex_lock(&a->lock);
        while (!got && !a->error && a->next_run < a->map->nr_runs) {
                const struct page_run *run = &a->map->runs[a->next_run];

                if (run->kind != RUN_ZERO && a->next_page < run->nr_pages) {
                        *ret_run = run;
                        *ret_skip = a->next_page;
                        *ret_nr = MIN(SLICE_PAGES, run->nr_pages - a->next_page);
                        a->next_page += *ret_nr;
                        a->bytes += pages_to_bytes(*ret_nr);
                        got = true;
                } else {
                        a->next_run++;
                        a->next_page = 0;
                }
        }
        pthread_mutex_unlock(&a->lock);
        return got;
}

static void fail(struct read_all *a, int error, const struct err *why)
{
        pthread_mutex_lock(&a->lock);
        if (!a->error) {
                a->error = error;
                a->err = *why;
        }
        pthread_mutex_unlock(&a->lock);
}

/* Chunks are packed in runs from their beginning on, and slices are cut between chunks: each is unpacked once, in place. */
static void *read_slices(void *arg)
{
        struct read_all *a = arg;
        struct page_reader reader;
        const struct page_run *run;
        struct err err = {0};
        uint64_t skip, nr;

        if (page_reader_init(&reader, a->map, a->verify) < 0) {
                fail(a, err_set(&err, -ENOMEM, "no memory to read a snapshot"), &err);
                return NULL;
        }
        while (take_slice(a, &run, &skip, &nr)) {
                int r = page_reader_read(&reader, run->first_page + skip, nr,
                                         a->ram->base + pages_to_bytes(run->first_page + skip), &err);

                if (r < 0)
                        fail(a, r, &err);
        }
        page_reader_fini(&reader);
        return NULL;
}

int guest_ram_read_all(struct guest_ram *r, const struct page_map *map, bool verify, uint32_t nr_threads, uint64_t *ret_bytes,
                       struct err *e)
{
        struct read_all a = {.ram = r, .map = map, .verify = verify, .lock = PTHREAD_MUTEX_INITIALIZER};
        pthread_t helpers[15];
        uint32_t nr_helpers = 0;

        while (nr_helpers + 1 < nr_threads && nr_helpers < ARRAY_LEN(helpers) &&
               thread_start(&helpers[nr_helpers], read_slices, &a) == 0)
                nr_helpers++;
        read_slices(&a); /* also alone, where no thread could be had */
        for (uint32_t i = 0; i < nr_helpers; i++)
                pthread_join(helpers[i], NULL);
        pthread_mutex_destroy(&a.lock);
        if (a.error) {
                if (e)
                        *e = a.err;
                return a.error;
        }
        *ret_bytes = a.bytes;
        return 0;
}

int guest_ram_read(const struct guest_ram *r, uint64_t offset_bytes, void *buf, uint64_t len_bytes)
{
        return checked_read(buf, r->base + offset_bytes, len_bytes);
}
