/* tests/unit/uffd/torture_model.h: what every page of a schedule's RAM must be, and the files that hold it.
 * Owns:    its arrays, the files, and the page map over them.
 * Threads: built and freed by one; a page's part of `want`, `bad`, `may` and `removed` belongs to the guest thread that owns the
 *          page in this step; the rest is constant.
 * Blocks:  never. */
#pragma once

#include "tests/unit/uffd/torture_packed.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

static void model_open_files(struct model *m)
{
        for (unsigned i = 0; i < m->s->sources; i++) {
                char name[24];

                snprintf(name, sizeof(name), "memory%u", i);
                m->fds[i] = m->s->disk ? openat(m->dir.fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
                            : memfd_create(name, MFD_CLOEXEC);
                cr_assert(m->fds[i] >= 0);
        }
}

/* A raw run somewhere behind what its file has already; its bytes and sums. */
static struct page_run model_raw_run(struct model *m, uint64_t first, uint64_t nr, uint64_t *r)
{
        unsigned source = (unsigned)torture_random(r, m->s->sources);
        uint64_t at = bytes_to_pages(align_up(m->end_bytes[source],
                                              PAGE_BYTES)) + (torture_chance(r, 3) ? torture_random(r, 4) : 0);
        bool     summed = m->map.sums && !torture_chance(r, 4);

        for (uint64_t page = first; page < first + nr; page++) {
                uint8_t *w = m->want + pages_to_bytes(page);

                model_page_bytes(m->s, page, (uint64_t *)w);
                cr_assert_eq(pwrite(m->fds[source], w, PAGE_BYTES, (off_t)pages_to_bytes(at + page - first)),
                             (ssize_t)PAGE_BYTES);
                if (summed)
                        m->map.sums[page] = XXH3_64bits(w, PAGE_BYTES);
        }
        m->end_bytes[source] = pages_to_bytes(at + nr);
        return (struct page_run){ .first_page = first, .nr_pages = (uint32_t)nr, .source = (uint16_t)source, .kind = RUN_RAW,
                                  .file_offset_bytes = pages_to_bytes(at), .first_sum = summed ? first : NO_SUM };
}

static void model_write_runs(struct model *m, uint64_t *r)
{
        const struct schedule *s = m->s;
        struct err             e = { 0 };

        page_map_init(&m->map, s->nr_pages);
        m->map.zeros_known = s->zeros_known;
        if (s->verify || torture_chance(r, 3)) {
                m->map.sums = calloc(s->nr_pages, sizeof(uint64_t));
                m->map.nr_sums = s->nr_pages;
        }
        m->map.chunks = calloc(2 * s->nr_pages + 16, sizeof(*m->map.chunks));
        m->map.codec = &torture_codec;
        for (uint64_t page = 0, nr; page < s->nr_pages; page += nr) {
                struct page_run run;

                nr = torture_size(r, s->nr_pages - page);
                if (s->packed && torture_chance(r, 2)) {
                        packed_append_runs(m, page, nr, r);
                        continue;
                }
                run = (struct page_run){ .first_page = page, .nr_pages = (uint32_t)nr, .kind = RUN_ZERO };
                if (!torture_chance(r, torture_zeros(s, page) / 2))
                        run = model_raw_run(m, page, nr, r);
                cr_assert_eq(page_map_append(&m->map, &run), 0);
        }
        for (unsigned i = 0; i < s->sources; i++) {
                cr_assert_eq(page_map_add_source(&m->map, dup(m->fds[i]), m->end_bytes[i], "memory"), (int)i);
                m->map.sources[i].chunk_pages = m->chunk_pages[i];
        }
        cr_assert_eq(page_map_check(&m->map, &e), 0, "%s", e.text);
}

/* Served ranges with holes between them; what nobody serves is anonymous and zero, whatever the page map has. */
static void model_draw_ranges(struct model *m, uint64_t *r)
{
        uint64_t n = m->s->nr_pages, unit = torture_unit(m->s), at = m->s->ranges == 1 ? 0 : torture_random(r, 4) / unit * unit;

        for (unsigned i = 0; i < m->s->ranges && at < n; i++) {
                uint64_t nr = i + 1 == m->s->ranges ? n - at : 1 + torture_random(r, n / m->s->ranges);

                nr = MIN(align_up(nr, unit), n - at);
                m->ranges[m->nr_ranges++] = (struct pager_range){ at, nr };
                memset(m->served + at, 1, nr);
                at += nr + align_up(1 + torture_random(r, 9), unit);
        }
        for (uint64_t page = 0; page < n; page++)
                if (!m->served[page])
                        memset(m->want + pages_to_bytes(page), 0, PAGE_BYTES);
}

static bool model_is_summed(const struct model *m, const struct page_run *run)
{
        return m->s->verify && run_sums(&m->map, run);
}

static bool model_bytes_are_zero(const uint8_t *v)
{
        return v[0] == 0 && memcmp(v, v + 1, PAGE_BYTES - 1) == 0;
}

static uint64_t model_cut_bytes(const struct model *m)
{
        uint64_t pages = bytes_to_pages(m->end_bytes[0]);

        return pages_to_bytes(pages - MIN(m->s->cut_pages, pages)) + (m->s->cut_within ? 100 : 0);
}

/* Where the last of the bytes is that a page needs. */
static uint64_t model_end_of_page(const struct model *m, const struct page_run *run, uint64_t page)
{
        const struct page_chunk *c;

        if (run->kind == RUN_RAW)
                return run->file_offset_bytes + pages_to_bytes(page - run->first_page + 1);
        c = page_map_find_chunk(&m->map, run, page).chunk;
        return c->file_offset_bytes + c->packed_bytes;
}

static bool model_is_bad_sum(const struct model *m, const struct page_run *run, uint64_t page)
{
        const struct schedule *s = m->s;

        if (run->kind == RUN_PACKED)
                return packed_is_flipped(m, page_map_find_chunk(&m->map, run, page).chunk);
        return s->flip_one_in && model_is_summed(m, run) && torture_mix(s->seed + page * 7) % s->flip_one_in == 0;
}

/* Why the bytes of a page cannot be had, in the order in which the pager comes upon it. */
static int model_why_bad(const struct model *m, const struct page_run *run, uint64_t page)
{
        const struct schedule *s = m->s;

        if (run->source == 0 && s->cut_pages && model_end_of_page(m, run, page) > model_cut_bytes(m))
                return -ENODATA;
        if (run->kind == RUN_PACKED ? packed_is_unreadable(m, run, page) : pager_fault_hits(&s->faults, CHANCE_EIO, page))
                return -EIO;
        if (model_is_bad_sum(m, run, page))
                return -EBADMSG;
        if (pager_fault_hits(&s->faults, CHANCE_NO_MEMORY, page) &&
            (run->kind == RUN_PACKED || s->zeros_known || !model_bytes_are_zero(m->want + pages_to_bytes(page))))
                return pager_fault_no_room(page);
        return 0;
}

static void model_flip(struct model *m, const struct page_run *run, uint64_t page)
{
        uint64_t in_page = torture_mix(page) % PAGE_BYTES,
                 at = run->file_offset_bytes + pages_to_bytes(page - run->first_page) + in_page;
        uint8_t  other = m->want[pages_to_bytes(page) + in_page] ^ 1;

        cr_assert_eq(pwrite(m->fds[run->source], &other, 1, (off_t)at), 1);
}

static void model_draw_losses(struct model *m)
{
        packed_flip_all(m);
        for (uint64_t page = 0; page < m->s->nr_pages; page++) {
                const struct page_run *run = page_map_find(&m->map, page);

                if (run->kind == RUN_ZERO || !m->served[page])
                        continue;
                m->bad[page] = model_why_bad(m, run, page);
                if (m->bad[page] == -EBADMSG && run->kind == RUN_RAW)
                        model_flip(m, run, page);
                /* cut while it is read: whoever comes first */
                m->may[page] = m->bad[page] == -ENODATA && m->s->cut_late;
                if (m->s->timeout_ms < 60000) {
                        m->bad[page] = -ETIMEDOUT;
                        m->may[page] = true;
                }
        }
        memcpy(m->first_bad, m->bad, m->s->nr_pages * sizeof(*m->bad));
        memcpy(m->first_may, m->may, m->s->nr_pages * sizeof(*m->may));
}

static void model_cut(struct model *m)
{
        if (m->s->cut_pages)
                cr_assert_eq(ftruncate(m->fds[0], (off_t)model_cut_bytes(m)), 0);
}

static void model_make_cold(struct model *m)
{
        for (unsigned i = 0; i < m->s->sources; i++) {
                cr_assert_eq(fsync(m->fds[i]), 0);
                cr_assert_eq(posix_fadvise(m->fds[i], 0, 0, POSIX_FADV_DONTNEED), 0);
        }
}

/* Source 0 is read through a file system of our own from now on. */
static void model_begin_hushes(struct model *m)
{
        char path[5000];

        snprintf(path, sizeof(path), "%s/memory0", m->dir.path);
        m->silent = silent_file_new(path, 0);
        close(m->map.sources[0].fd);
        m->map.sources[0].fd = open(path, O_RDONLY | O_CLOEXEC);
        cr_assert(m->map.sources[0].fd >= 0);
}

static void model_init(struct model *m, const struct schedule *s)
{
        uint64_t r = torture_mix(s->seed ^ 0xb17e5);

        *m = (struct model){ .s = s, .dir.fd = -1 };
        m->want = mmap(NULL, pages_to_bytes(s->nr_pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert(m->want != MAP_FAILED);
        m->bad = calloc(s->nr_pages, sizeof(*m->bad));
        m->first_bad = calloc(s->nr_pages, sizeof(*m->bad));
        m->may = calloc(s->nr_pages, sizeof(*m->may));
        m->first_may = calloc(s->nr_pages, sizeof(*m->may));
        m->removed = calloc(s->nr_pages, sizeof(*m->removed));
        m->served = calloc(s->nr_pages, sizeof(*m->served));
        if (s->disk)
                m->dir = tmpdir_new();
        for (unsigned i = 0; i < s->sources; i++)
                m->chunk_pages[i] = torture_chance(&r, 8) ? PAGE_CHUNK_MAX : (uint32_t)torture_size(&r, 64);
        model_open_files(m);
        model_write_runs(m, &r);
        model_draw_ranges(m, &r);
        model_draw_losses(m);
        if (!s->cut_late)
                model_cut(m);
        if (s->cold)
                model_make_cold(m);
        if (s->hushes)
                model_begin_hushes(m);
}

static void model_free(struct model *m)
{
        if (m->s->hushes)
                silent_file_free(&m->silent);
        page_map_free(&m->map);
        for (unsigned i = 0; i < m->s->sources; i++)
                close(m->fds[i]);
        if (m->s->disk)
                tmpdir_free(&m->dir);
        munmap(m->want, pages_to_bytes(m->s->nr_pages));
        free(m->bad);
        free(m->first_bad);
        free(m->may);
        free(m->first_may);
        free(m->removed);
        free(m->served);
}

static const uint8_t *model_page(const struct model *m, uint64_t page)
{
        return m->want + pages_to_bytes(page);
}

/* It must be right: nothing excuses another answer. */
static bool model_is_sure(const struct model *m, uint64_t page)
{
        return m->bad[page] == 0;
}
