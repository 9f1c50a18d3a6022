/* test_page_map_chain: levels of a chain put under one another give each page what the youngest level that has it says. */
#include "core/model/page_map.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES       96u
#define CHUNK_PAGES 8u
#define LEVELS      5

static const struct page_codec lz4 = { .name = "lz4" }, other = { .name = "other" };

static uint32_t next(uint32_t *seed)
{
        *seed = *seed * 1664525u + 1013904223u;
        return *seed >> 16;
}

/* A source that is told from others by its size alone: the tests open no file. */
static void add_source(struct page_map *m, uint32_t level, uint32_t chunk_pages)
{
        m->sources = calloc(1, sizeof(*m->sources));
        m->sources[0] = (struct page_source){ .fd = -1, .size_bytes = pages_to_bytes(PAGES + level), .chunk_pages = chunk_pages };
        m->nr_sources = 1;
}

static void append(struct page_map *m, const struct page_run *run)
{
        cr_assert_eq(page_map_append(m, run), 0);
}

/* As a writer would make it: runs of random kinds and lengths; every raw page has its sum, every packed run chunks of its own. */
static struct page_map make_level(uint32_t level, bool sums, bool is_last, uint32_t *seed)
{
        struct page_map m;

        page_map_init(&m, PAGES);
        add_source(&m, level, CHUNK_PAGES);
        m.is_level = true;
        m.zeros_known = true;
        m.sums = sums ? calloc(PAGES, sizeof(*m.sums)) : NULL;
        m.chunks = calloc(PAGES, sizeof(*m.chunks));
        m.codec = sums ? &lz4 : NULL;
        for (uint32_t page = 0; page < PAGES;) {
                uint32_t        asked = 1 + next(seed) % 24, nr = MIN(asked, PAGES - page), kind = next(seed) % (sums ? 4 : 2);
                struct page_run run = { .first_page = page, .nr_pages = nr, .kind = (uint8_t)kind };

                if (kind == RUN_RAW && sums) {
                        run.first_sum = m.nr_sums;
                        for (uint32_t i = 0; i < nr; i++)
                                m.sums[m.nr_sums++] = level * 1000 + page + i;
                }
                if (kind == RUN_RAW)
                        run.file_offset_bytes = pages_to_bytes(page);
                if (kind == RUN_PACKED) {
                        run.first_chunk = (uint32_t)m.nr_chunks;
                        for (uint32_t i = 0; i < nr; i += CHUNK_PAGES)
                                m.chunks[m.nr_chunks++] = (struct page_chunk){ .file_offset_bytes = page + i, .packed_bytes = 1,
                                                                               .nr_pages = (uint16_t)MIN(nr - i, CHUNK_PAGES), .sum = level * 1000 + page + i };
                }
                if (kind == RUN_PARENT && is_last)
                        run.kind = RUN_ZERO;
                append(&m, &run);
                page += nr;
        }
        return m;
}

/* What a page is, by whatever map: its kind, its source's size, and what stands for its bytes. */
struct origin {
        uint64_t kind, source_bytes, place, sum;
};

static struct origin origin_of(const struct page_map *m, uint64_t page)
{
        const struct page_run *run = page_map_find(m, page);
        struct origin          o = { .kind = run->kind };

        if (run->kind == RUN_RAW || run->kind == RUN_PACKED)
                o.source_bytes = m->sources[run->source].size_bytes;
        if (run->kind == RUN_RAW) {
                o.place = run->file_offset_bytes + pages_to_bytes(page - run->first_page);
                o.sum = run_sums(m, run) ? run_sums(m, run)[page - run->first_page] : 0;
        }
        if (run->kind == RUN_PACKED) {
                struct chunk_place at = page_map_find_chunk(m, run, page);

                o.place = at.chunk->file_offset_bytes * PAGES + (page - at.first_page);
                o.sum = at.chunk->sum;
        }
        return o;
}

static void assert_chain(uint32_t seed, bool oldest_has_sums)
{
        struct page_map level[LEVELS], flat;
        struct origin   expected[PAGES];
        struct err      e = { 0 };

        for (uint32_t i = 0; i < LEVELS; i++)
                level[i] = make_level(i, i < LEVELS - 1 || oldest_has_sums, i == LEVELS - 1, &seed);
        for (uint64_t page = 0; page < PAGES; page++) {
                uint32_t i = 0;

                while (page_map_find(&level[i], page)->kind == RUN_PARENT)
                        i++;
                expected[page] = origin_of(&level[i], page);
        }
        flat = level[0];
        for (uint32_t i = 1; i < LEVELS; i++) {
                cr_assert_eq(page_map_put_under(&flat, &level[i]), 0);
                page_map_free(&level[i]);
        }
        cr_assert(!page_map_needs_parent(&flat));
        flat.is_level = false;
        cr_assert_eq(page_map_check(&flat, &e), 0, "%s", e.text);
        for (uint64_t page = 0; page < PAGES; page++) {
                struct origin found = origin_of(&flat, page);

                cr_assert_eq(memcmp(&found, &expected[page], sizeof(found)), 0, "page %d", (int)page);
        }
        page_map_free(&flat);
}

Test(page_map_chain, each_page_is_what_the_youngest_level_that_has_it_says)
{
        for (uint32_t seed = 0; seed < 2000; seed++)
                assert_chain(seed, true);
}

Test(page_map_chain, an_oldest_level_without_checksums_leaves_the_others_theirs)
{
        for (uint32_t seed = 0; seed < 2000; seed++)
                assert_chain(seed, false);
}

/* The child has page 4 of a chunk of eight: the parent's chunk is cut in two runs, and there once. */
Test(page_map_chain, a_chunk_that_is_cut_in_the_middle_is_there_once)
{
        struct page_map child, parent;
        struct err      e = { 0 };

        page_map_init(&child, 8);
        add_source(&child, 0, 0);
        child.is_level = true;
        append(&child, &(struct page_run){ .nr_pages = 4, .kind = RUN_PARENT });
        append(&child, &(struct page_run){ .first_page = 4, .nr_pages = 1, .kind = RUN_ZERO });
        append(&child, &(struct page_run){ .first_page = 5, .nr_pages = 3, .kind = RUN_PARENT });
        page_map_init(&parent, 8);
        add_source(&parent, 1, 8);
        parent.codec = &lz4;
        parent.chunks = calloc(1, sizeof(*parent.chunks));
        parent.nr_chunks = 1;
        parent.chunks[0] = (struct page_chunk){ .packed_bytes = 100, .nr_pages = 8, .sum = 7 };
        append(&parent, &(struct page_run){ .nr_pages = 8, .kind = RUN_PACKED });
        cr_assert_eq(page_map_put_under(&child, &parent), 0);
        child.is_level = false;
        cr_assert_eq(page_map_check(&child, &e), 0, "%s", e.text);
        cr_assert_eq(child.nr_chunks, 1);
        cr_assert_eq(child.nr_runs, 3);
        cr_assert_eq(child.runs[2].skip_pages, 5);
        cr_assert_eq(child.runs[2].first_chunk, 0);
        cr_assert_eq(child.runs[2].source, 1);
        page_map_free(&child);
        page_map_free(&parent);
}

Test(page_map_chain, levels_of_two_codecs_are_refused)
{
        struct page_map child = { .codec = &lz4 }, parent = { .codec = &other };

        cr_assert_eq(page_map_put_under(&child, &parent), -ENOTSUP);
}

Test(page_map_chain, a_parent_of_another_size_is_refused)
{
        struct page_map child, parent;

        page_map_init(&child, 8);
        page_map_init(&parent, 9);
        cr_assert_eq(page_map_put_under(&child, &parent), -EINVAL);
        page_map_free(&child);
}

Test(page_map_chain, only_a_level_may_leave_pages_to_its_parent)
{
        struct page_map m;

        page_map_init(&m, 8);
        append(&m, &(struct page_run){ .nr_pages = 8, .kind = RUN_PARENT });
        cr_assert_eq(page_map_check(&m, NULL), -EBADMSG);
        m.is_level = true;
        cr_assert_eq(page_map_check(&m, NULL), 0);
        page_map_free(&m);
}

/* As if its file had been cut between open and here: of a mapping that would be a SIGBUS. */
Test(page_map_chain, sums_of_a_parent_that_are_cut_meanwhile_are_an_error)
{
        uint32_t         seed = 7;
        struct page_map  child = make_level(0, true, false, &seed), parent = make_level(1, true, true, &seed);
        struct sums_file f = { .mapping_bytes = PAGE_BYTES, .fd = memfd_create("pages", MFD_CLOEXEC) };

        cr_assert_gt(parent.nr_sums, 0);
        cr_assert_eq(ftruncate(f.fd, PAGE_BYTES), 0);
        f.mapping = mmap(NULL, f.mapping_bytes, PROT_READ, MAP_SHARED, f.fd, 0);
        cr_assert_neq(f.mapping, MAP_FAILED);
        cr_assert_eq(ftruncate(f.fd, 0), 0);
        free(parent.sums);
        parent.sums = f.mapping;
        parent.sums_file = f;
        cr_assert_eq(page_map_put_under(&child, &parent), -EBADMSG);
        page_map_free(&child);
        page_map_free(&parent);
}
