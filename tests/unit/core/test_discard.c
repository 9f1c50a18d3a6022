/* core/discard: what a balloon gave back is zero ever after, whatever stands behind the page and whoever races with it. */
#include "core/discard.h"
#include "tests/unit/uffd/rig.h"

#include <pthread.h>

static void fill_page(uint8_t *ram, uint64_t page, uint8_t with)
{
        memset(ram + pages_to_bytes(page), with, PAGE_BYTES);
}

static bool page_is(const uint8_t *ram, uint64_t page, uint8_t what)
{
        const uint8_t *p = ram + pages_to_bytes(page);

        for (uint64_t i = 0; i < PAGE_BYTES; i++)
                if (p[i] != what)
                        return false;
        return true;
}

static uint64_t resident_pages(const uint8_t *ram, uint64_t nr_pages)
{
        uint64_t entry, nr = 0;
        int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

        for (uint64_t i = 0; i < nr_pages; i++) {
                off_t at = (off_t)(((uint64_t)ram / PAGE_BYTES + i) * sizeof(entry));

                cr_assert_eq(pread(fd, &entry, sizeof(entry), at), (ssize_t)sizeof(entry));
                nr += entry >> 63;
        }
        close(fd);
        return nr;
}

/* Mappings within [ram, +nr_pages). */
static uint64_t count_mappings(const uint8_t *ram, uint64_t nr_pages)
{
        FILE *f = fopen("/proc/self/maps", "re");
        unsigned long first, end, from = (unsigned long)ram, to = from + pages_to_bytes(nr_pages);
        uint64_t nr = 0;
        char line[512];

        while (fgets(line, sizeof(line), f))
                if (sscanf(line, "%lx-%lx", &first, &end) == 2 && first < to && end > from)
                        nr++;
        fclose(f);
        return nr;
}

/* --- anonymous: booted, eager --- */

Test(discard, anonymous_memory_reads_zero_after_and_is_free_also_a_part_of_a_huge_page)
{
        struct discard d;
        struct guest_ram ram;
        struct err e = {0};

        cr_assert_eq(guest_ram_map(2 * HUGE_PAGE_BYTES, true, &ram, &e), 0);
        memset(ram.base, 0xaa, ram.size_bytes);
        discard_init(&d, &ram, 65530);
        cr_assert_eq(discard_pages(&d, 100, 300), 0);
        for (uint64_t page = 0; page < 1024; page++)
                cr_assert(page_is(ram.base, page, page >= 100 && page < 400 ? 0 : 0xaa), "page %llu", (unsigned long long)page);
        cr_assert_eq(discard_pages(&d, 512, 512), 0);
        cr_assert_eq(resident_pages(ram.base + HUGE_PAGE_BYTES, 512), 0);
        discard_fini(&d);
        guest_ram_unmap(&ram);
}

Test(discard, what_is_written_after_stays_until_it_is_discarded_again)
{
        struct discard d;
        struct guest_ram ram;
        struct err e = {0};

        cr_assert_eq(guest_ram_map(64 * PAGE_BYTES, false, &ram, &e), 0);
        discard_init(&d, &ram, 65530);
        for (int round = 1; round < 4; round++) {
                fill_page(ram.base, 5, (uint8_t)round);
                cr_assert(page_is(ram.base, 5, (uint8_t)round));
                cr_assert_eq(discard_pages(&d, 4, 2), 0);
                cr_assert_eq(discard_pages(&d, 5, 1), 0);
                cr_assert(page_is(ram.base, 5, 0));
        }
        discard_fini(&d);
        guest_ram_unmap(&ram);
}

/* --- mmap: pages [16, nr - 16) are a file's --- */

struct mapped {
        struct tmpdir    dir;
        struct page_map  map;
        struct guest_ram ram;
        struct discard   d;
        struct pager_range range;
        uint64_t         nr_pages;
};

#define EDGE 16u

static uint8_t file_byte(uint64_t page)
{
        return (uint8_t)(page % 251 + 1);
}

static void mapped_init(struct mapped *m, uint64_t nr_pages, uint64_t max_map_count)
{
        uint64_t raw = nr_pages - 2 * EDGE;
        uint8_t *bytes = malloc(pages_to_bytes(raw));
        struct page_run runs[] = {{.nr_pages = EDGE}, {.first_page = EDGE, .nr_pages = raw, .kind = RUN_RAW},
                                  {.first_page = nr_pages - EDGE, .nr_pages = EDGE}};
        struct err e = {0};

        *m = (struct mapped){.dir = tmpdir_new(), .nr_pages = nr_pages};
        for (uint64_t i = 0; i < raw; i++)
                fill_page(bytes, i, file_byte(EDGE + i));
        tmpdir_write(&m->dir, "memory", bytes, pages_to_bytes(raw));
        free(bytes);
        page_map_init(&m->map, nr_pages);
        cr_assert_eq(page_map_add_source(&m->map, openat(m->dir.fd, "memory", O_RDONLY | O_CLOEXEC),
                                         pages_to_bytes(raw), "memory"),
                     0);
        for (size_t i = 0; i < 3; i++)
                cr_assert_eq(page_map_append(&m->map, &runs[i]), 0);
        cr_assert_eq(guest_ram_map(pages_to_bytes(nr_pages), false, &m->ram, &e), 0);
        m->range = (struct pager_range){EDGE, raw};
        cr_assert_eq(guest_ram_map_files(&m->ram, &m->map, &m->range, 1, &e), 0, "%s", e.text);
        discard_init(&m->d, &m->ram, max_map_count);
}

static void mapped_free(struct mapped *m)
{
        discard_fini(&m->d);
        guest_ram_unmap(&m->ram);
        page_map_free(&m->map);
        tmpdir_free(&m->dir);
}

static uint8_t mapped_byte(const struct mapped *m, uint64_t page)
{
        return page < EDGE || page >= m->nr_pages - EDGE ? 0 : file_byte(page);
}

Test(discard, a_mapped_file_is_covered_and_its_neighbours_stay)
{
        struct mapped m;

        mapped_init(&m, 256, 65530);
        fill_page(m.ram.base, 41, 0xee); /* a private copy */
        cr_assert_eq(discard_pages(&m.d, 40, 4), 0);
        cr_assert_eq(discard_pages(&m.d, 8, 12), 0); /* zeros, then file */
        for (uint64_t page = 0; page < 256; page++) {
                bool gone = (page >= 40 && page < 44) || (page >= 8 && page < 20);

                cr_assert(page_is(m.ram.base, page, gone ? 0 : mapped_byte(&m, page)), "page %llu", (unsigned long long)page);
        }
        mapped_free(&m);
}

Test(discard, a_mapped_page_written_after_and_discarded_again_is_zero)
{
        struct mapped m;

        mapped_init(&m, 256, 65530);
        for (int round = 0; round < 3; round++) {
                cr_assert_eq(discard_pages(&m.d, 100, 3), 0);
                cr_assert(page_is(m.ram.base, 101, 0));
                fill_page(m.ram.base, 101, 7);
                cr_assert(page_is(m.ram.base, 101, 7));
        }
        mapped_free(&m);
}

/* A guest gives page by page, downwards, in batches: all of it must become one mapping. */
Test(discard, neighbours_that_were_given_one_by_one_are_one_mapping)
{
        struct mapped m;

        mapped_init(&m, 1024, 65530);
        for (uint64_t page = 1024 - EDGE; page-- > EDGE;) {
                cr_assert_eq(discard_pages(&m.d, page, 1), 0);
                fill_page(m.ram.base, page, 1); /* in use again at once */
        }
        cr_expect_leq(count_mappings(m.ram.base, 1024), 3);
        cr_expect_leq(m.d.nr_mappings, 3);
        mapped_free(&m);
}

Test(discard, the_count_of_mappings_is_the_kernels)
{
        struct mapped m;
        uint64_t seed = 0x2545f4914f6cdd1d;

        mapped_init(&m, 2048, 65530);
        for (int i = 0; i < 400; i++) {
                uint64_t first, nr;

                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
                first = seed >> 33 & 2047;
                nr = MIN(1 + (seed >> 50 & 7), 2048 - first);
                cr_assert_eq(discard_pages(&m.d, first, nr), 0);
                if (i % 50 == 0)
                        cr_assert_eq(m.d.nr_mappings, count_mappings(m.ram.base, 2048), "after %d", i);
        }
        mapped_free(&m);
}

/* Every other page: two mappings each. Half of the limit is 100. */
Test(discard, without_mappings_left_pages_are_zero_all_the_same_and_the_caller_is_told)
{
        struct mapped m;
        bool told = false;

        mapped_init(&m, 1024, 200);
        for (uint64_t page = EDGE + 1; page < 1024 - EDGE; page += 2)
                told |= discard_pages(&m.d, page, 1) == 1;
        cr_expect(told);
        cr_expect_leq(count_mappings(m.ram.base, 1024), 100);
        for (uint64_t page = 0; page < 1024; page++) {
                bool gone = page > EDGE && page < 1024 - EDGE && page % 2;

                cr_assert(page_is(m.ram.base, page, gone ? 0 : mapped_byte(&m, page)), "page %llu", (unsigned long long)page);
        }
        /* What joins neighbours frees mappings, so it works again. */
        cr_expect_eq(discard_pages(&m.d, EDGE, 64), 0);
        mapped_free(&m);
}

/* --- served: a real pager --- */

struct served_ram {
        struct rig      *g;
        struct guest_ram ram;
        struct discard   d;
};

static void served_init(struct served_ram *s, uint64_t nr_pages)
{
        s->g = rig_new(nr_pages, RIG_TMPFS);
        s->ram = (struct guest_ram){.base = s->g->ram, .size_bytes = pages_to_bytes(nr_pages)};
        discard_init(&s->d, &s->ram, 65530);
}

static void served_free(struct served_ram *s)
{
        discard_fini(&s->d);
        rig_free(s->g);
}

Test(discard, a_served_page_is_zero_also_when_fill_and_replay_come_later)
{
        static const uint64_t hints[] = {9, 10, 11, 12, 200};
        struct served_ram s;

        served_init(&s, 256);
        rig_replay(s.g, hints, 5);
        rig_start(s.g);
        cr_assert_eq(discard_pages(&s.d, 10, 20), 0);
        cr_assert_eq(discard_pages(&s.d, 10, 5), 0);
        pager_hurry(s.g->p);
        cr_assert_eq(pager_wait(s.g->p, 10000), 0);
        for (uint64_t page = 0; page < 256; page++)
                cr_assert(page >= 10 && page < 30 ? page_is(s.g->ram, page, 0) : rig_page_equal(s.g, page), "page %llu",
                          (unsigned long long)page);
        /* and when the pager is gone */
        cr_assert_eq(discard_pages(&s.d, 100, 10), 0);
        cr_assert(page_is(s.g->ram, 105, 0));
        cr_assert(rig_page_equal(s.g, 99) && rig_page_equal(s.g, 110));
        served_free(&s);
}

Test(discard, a_served_page_written_after_and_discarded_again_is_zero)
{
        struct served_ram s;

        served_init(&s, 64);
        rig_start(s.g);
        for (int round = 0; round < 3; round++) {
                cr_assert_eq(discard_pages(&s.d, 20, 4), 0);
                cr_assert(page_is(s.g->ram, 21, 0));
                fill_page(s.g->ram, 21, 9);
                cr_assert(page_is(s.g->ram, 21, 9));
        }
        served_free(&s);
}

Test(discard, a_lost_page_that_is_given_back_is_zero_with_poison_and_without)
{
        for (int poison = 0; poison < 2; poison++) {
                struct served_ram s;

                served_init(&s, 64);
                cr_assert_eq(ftruncate(s.g->fd, (off_t)pages_to_bytes(60)), 0);
                s.g->c.fill = s.g->c.paused = true;
                s.g->caps.uffd_poison &= poison;
                rig_start(s.g);
                cr_assert_eq(pager_wait(s.g->p, 10000), -EIO);
                cr_assert_eq(discard_pages(&s.d, 58, 6), 0);
                for (uint64_t page = 58; page < 64; page++)
                        cr_assert(page_is(s.g->ram, page, 0));
                served_free(&s);
        }
}

/* --- seeded schedules: a balloon, readers and the fill over the same RAM --- */

#define SCHEDULE_PAGES 2048u

struct schedule {
        uint8_t             *ram;
        const uint8_t       *model; /* what the snapshot holds; NULL: file_byte */
        struct discard      *d;
        uint64_t             seed;
        _Atomic uint8_t     *given; /* set before the discard begins: from then on either, and after `gone` zeros only */
        _Atomic uint8_t     *gone;
        atomic_bool          stop;
        atomic_uint_fast64_t wrong;
};

static uint64_t next_random(uint64_t *s)
{
        *s ^= *s << 13;
        *s ^= *s >> 7;
        *s ^= *s << 17;
        return *s;
}

static bool is_original(const struct schedule *s, uint64_t page)
{
        if (s->model)
                return memcmp(s->ram + pages_to_bytes(page), s->model + pages_to_bytes(page), PAGE_BYTES) == 0;
        return page_is(s->ram, page, page < EDGE || page >= SCHEDULE_PAGES - EDGE ? 0 : file_byte(page));
}

static void *read_at_random(void *arg)
{
        struct schedule *s = arg;
        uint64_t seed = s->seed ^ (uint64_t)pthread_self();

        while (!atomic_load(&s->stop)) {
                uint64_t page = next_random(&seed) % SCHEDULE_PAGES;
                bool gone = atomic_load(&s->gone[page]), zero = page_is(s->ram, page, 0);

                if (gone && !zero)
                        s->wrong++;
                if (!zero && !is_original(s, page) && !atomic_load(&s->given[page])) /* asked last: it may be given meanwhile */
                        s->wrong++;
        }
        return NULL;
}

static void give_at_random(struct schedule *s, int batches)
{
        uint64_t seed = s->seed;

        for (int i = 0; i < batches; i++) {
                uint64_t first = next_random(&seed) % SCHEDULE_PAGES, nr = 1 + next_random(&seed) % 24;

                nr = MIN(nr, SCHEDULE_PAGES - first);
                for (uint64_t p = first; p < first + nr; p++)
                        atomic_store(&s->given[p], 1);
                cr_assert_geq(discard_pages(s->d, first, nr), 0);
                for (uint64_t p = first; p < first + nr; p++)
                        atomic_store(&s->gone[p], 1);
        }
}

static void run_schedule(struct schedule *s)
{
        pthread_t readers[3];

        s->given = calloc(SCHEDULE_PAGES, 1);
        s->gone = calloc(SCHEDULE_PAGES, 1);
        for (int i = 0; i < 3; i++)
                pthread_create(&readers[i], NULL, read_at_random, s);
        give_at_random(s, 150);
        usleep(2000);
        s->stop = true;
        for (int i = 0; i < 3; i++)
                pthread_join(readers[i], NULL);
        cr_assert_eq(s->wrong, 0, "seed %llu", (unsigned long long)s->seed);
        for (uint64_t page = 0; page < SCHEDULE_PAGES; page++)
                cr_assert(s->gone[page] ? page_is(s->ram, page, 0) : is_original(s, page), "seed %llu: page %llu",
                          (unsigned long long)s->seed, (unsigned long long)page);
        free((void *)s->given);
        free((void *)s->gone);
}

Test(discard, served_pages_keep_their_word_beside_faults_and_fill)
{
        for (uint64_t seed = 1; seed <= 8; seed++) {
                struct served_ram s;
                struct schedule sch;

                served_init(&s, SCHEDULE_PAGES);
                s.g->c.around_pages = 16;
                s.g->c.fill = s.g->c.paused = seed % 2;
                s.g->faults.nothing_cached = seed % 4 == 1;
                rig_start(s.g);
                sch = (struct schedule){.ram = s.g->ram, .model = s.g->model, .d = &s.d, .seed = seed * 0x9e3779b97f4a7c15ULL};
                run_schedule(&sch);
                cr_assert_eq(rig_stats(s.g).lost_pages, 0);
                served_free(&s);
        }
}

Test(discard, mapped_pages_keep_their_word_beside_readers)
{
        for (uint64_t seed = 1; seed <= 8; seed++) {
                struct mapped m;
                struct schedule sch;

                mapped_init(&m, SCHEDULE_PAGES, seed % 2 ? 65530 : 100);
                sch = (struct schedule){.ram = m.ram.base, .d = &m.d, .seed = seed * 0x9e3779b97f4a7c15ULL};
                run_schedule(&sch);
                mapped_free(&m);
        }
}
