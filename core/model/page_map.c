/* core/model/page_map.c: building a page map run by run, and finding a page in it. */
#include "core/model/page_map.h"

#include "core/model/page_sums.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_CAP_RUNS 16

void page_map_init(struct page_map *m, uint64_t nr_pages)
{
        *m = (struct page_map){ .nr_pages = nr_pages };
}

void page_map_free(struct page_map *m)
{
        if (!m)
                return;
        for (size_t i = 0; i < m->nr_sources; i++)
                if (m->sources[i].fd >= 0)
                        close(m->sources[i].fd);
        free(m->sources);
        free(m->runs);
        if (!m->sums_file.mapping)
                free(m->sums);
        sums_file_close(&m->sums_file);
        free(m->chunks);
        *m = (struct page_map){ 0 };
}

void sums_file_close(struct sums_file *f)
{
        if (!f->mapping)
                return;
        munmap(f->mapping, f->mapping_bytes);
        close(f->fd);
        *f = (struct sums_file){ 0 };
}

int page_map_own_sums(struct page_map *m)
{
        const struct page_run all = { 0 }; /* whose first sum is number 0 */
        struct page_sums      sums;
        uint64_t             *own;
        int                   r;

        if (!m->sums_file.mapping)
                return 0;
        own = malloc(m->nr_sums * sizeof(*own));
        if (!own)
                return -ENOMEM;
        page_sums_init(&sums, m);
        r = page_sums_copy(&sums, &all, 0, m->nr_sums, own);
        if (r < 0) {
                free(own);
                return r;
        }
        sums_file_close(&m->sums_file);
        m->sums = own;
        return 0;
}

int page_map_add_source(struct page_map *m, int fd, uint64_t size_bytes, const char *name)
{
        struct page_source *grown = reallocarray(m->sources, m->nr_sources + 1, sizeof(*grown));
        struct page_source *s;
        struct stat st;

        if (!grown) {
                if (fd >= 0)
                        close(fd);
                return -ENOMEM;
        }
        m->sources = grown;
        s = &grown[m->nr_sources];
        *s = (struct page_source){ .fd = fd, .size_bytes = size_bytes };
        snprintf(s->name, sizeof(s->name), "%s", name);
        if (fstat(fd, &st) == 0)
                s->mtime = st.st_mtim;
        return (int)m->nr_sources++;
}

bool page_source_is_changed(const struct page_source *src, uint64_t *ret_size_bytes)
{
        struct stat st;

        if (fstat(src->fd, &st) < 0)
                return false;
        *ret_size_bytes = (uint64_t)st.st_size;
        return (uint64_t)st.st_size < src->size_bytes || st.st_mtim.tv_sec != src->mtime.tv_sec ||
               st.st_mtim.tv_nsec != src->mtime.tv_nsec;
}

static uint64_t end_of_runs(const struct page_map *m)
{
        const struct page_run *last = m->nr_runs ? &m->runs[m->nr_runs - 1] : NULL;

        return last ? last->first_page + last->nr_pages : 0;
}

/* Sums may be hung on the map after its runs are there, so an index counts as soon as one run has it. */
static bool sums_go_on(const struct page_map *m, const struct page_run *a, const struct page_run *b)
{
        if (!m->sums && !a->first_sum && !b->first_sum)
                return true;
        if (a->first_sum == NO_SUM || b->first_sum == NO_SUM)
                return a->first_sum == b->first_sum;
        return a->first_sum + a->nr_pages == b->first_sum;
}

/* Does b follow a without a seam in RAM, file and sums? Sums that wrap around can only join runs that page_map_check refuses. */
static bool goes_on(const struct page_map *m, const struct page_run *a, const struct page_run *b)
{
        if (a->kind != b->kind || (uint64_t)a->nr_pages + b->nr_pages > UINT32_MAX)
                return false;
        if (a->kind == RUN_ZERO || a->kind == RUN_PARENT)
                return true;
        if (a->kind == RUN_PACKED) /* they could only be joined where the chunk in between is full: not worth a look */
                return false;
        return a->source == b->source && a->file_offset_bytes + pages_to_bytes(a->nr_pages) == b->file_offset_bytes &&
               sums_go_on(m, a, b);
}

static int make_room(struct page_map *m)
{
        size_t           cap = m->cap_runs ? m->cap_runs * 2 : FIRST_CAP_RUNS;
        struct page_run *grown;

        if (m->nr_runs < m->cap_runs)
                return 0;
        grown = reallocarray(m->runs, cap, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        m->runs = grown;
        m->cap_runs = cap;
        return 0;
}

int page_map_append(struct page_map *m, const struct page_run *run)
{
        struct page_run *last = m->nr_runs ? &m->runs[m->nr_runs - 1] : NULL;
        int              r;

        if (!run->nr_pages || run->first_page != end_of_runs(m) || !range_fits(run->first_page, run->nr_pages, m->nr_pages))
                return -EINVAL;
        if (last && goes_on(m, last, run)) {
                last->nr_pages += run->nr_pages;
                return 0;
        }
        r = make_room(m);
        if (r < 0)
                return r;
        m->runs[m->nr_runs++] = *run;
        return 0;
}

const struct page_run *page_map_find(const struct page_map *m, uint64_t page)
{
        size_t low = 0, high = m->nr_runs; /* the runs in [low, high) may hold it */

        if (page >= m->nr_pages)
                return NULL;
        while (low < high) {
                size_t                 mid = low + (high - low) / 2;
                const struct page_run *run = &m->runs[mid];

                if (page < run->first_page)
                        high = mid;
                else if (page - run->first_page >= run->nr_pages)
                        low = mid + 1;
                else
                        return run;
        }
        return NULL;
}

struct chunk_place page_map_find_chunk(const struct page_map *m, const struct page_run *run, uint64_t page)
{
        uint64_t chunk_pages = m->sources[run->source].chunk_pages;
        uint64_t nr = (run->skip_pages + (page - run->first_page)) / chunk_pages;

        return (struct chunk_place){ .chunk = &m->chunks[run->first_chunk + nr], .first_page = run->first_page - run->skip_pages + nr * chunk_pages };
}

struct page_counts page_map_count(const struct page_map *m)
{
        struct page_counts c = { 0 };

        for (size_t i = 0; i < m->nr_runs; i++) {
                if (m->runs[i].kind == RUN_ZERO)
                        c.zero_pages += m->runs[i].nr_pages;
                else if (m->runs[i].kind == RUN_RAW)
                        c.raw_pages += m->runs[i].nr_pages;
                else if (m->runs[i].kind == RUN_PARENT)
                        c.parent_pages += m->runs[i].nr_pages;
                else
                        c.packed_pages += m->runs[i].nr_pages;
        }
        return c;
}

struct page_packing page_map_packing(const struct page_map *m)
{
        struct page_packing p = { .nr_chunks = m->nr_chunks };

        for (size_t i = 0; i < m->nr_chunks; i++) {
                uint64_t bytes = pages_to_bytes(m->chunks[i].nr_pages);

                p.unpacked_bytes += bytes;
                p.packed_bytes += m->chunks[i].packed_bytes;
                p.stored_chunks += m->chunks[i].packed_bytes == bytes;
        }
        for (size_t i = m->nr_sources; i-- > 0;) {
                if (!m->sources[i].chunk_pages)
                        continue;
                p.chunk_pages = m->sources[i].chunk_pages;
                p.level = m->sources[i].pack_level;
        }
        return p;
}

static bool run_equal(const struct page_run *a, const struct page_run *b, bool with_sums)
{
        if (a->first_page != b->first_page || a->nr_pages != b->nr_pages || a->kind != b->kind)
                return false;
        if (a->kind == RUN_ZERO || a->kind == RUN_PARENT)
                return true;
        if (a->kind == RUN_PACKED)
                return a->source == b->source && a->first_chunk == b->first_chunk && a->skip_pages == b->skip_pages;
        return a->source == b->source && a->file_offset_bytes == b->file_offset_bytes &&
               (!with_sums || a->first_sum == b->first_sum);
}

bool page_map_equal(const struct page_map *a, const struct page_map *b)
{
        bool with_sums = a->sums && b->sums;

        if (a->nr_pages != b->nr_pages || a->nr_runs != b->nr_runs)
                return false;
        for (size_t i = 0; i < a->nr_runs; i++)
                if (!run_equal(&a->runs[i], &b->runs[i], with_sums))
                        return false;
        return true;
}
