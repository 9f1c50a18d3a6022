/* core/mapper: hinted pages of mapped runs are there before they are touched, the rest after the first answer; a cut file is an
 * error, no signal. */
#include "core/mapper.h"
#include "tests/support/tmpdir.h"

#include "core/base/clock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 2048

struct rig {
        struct tmpdir      dir;
        struct page_map    map;
        struct guest_ram   ram;
        struct plan        plan;
        struct pager_range mapped;
        struct plan_extent extents[2];
        struct mapper     *m;
        _Atomic int        populated, settled, failed, masked;
        _Atomic uint64_t   failed_page;
};

static void on_populated(void *arg, uint64_t ns)
{
        sigset_t mine;

        (void)ns;
        pthread_sigmask(SIG_SETMASK, NULL, &mine);
        atomic_store(&((struct rig *)arg)->masked, sigismember(&mine, SIGTERM));
        atomic_fetch_add(&((struct rig *)arg)->populated, 1);
}

static void on_settled(void *arg, uint64_t ns)
{
        (void)ns;
        atomic_fetch_add(&((struct rig *)arg)->settled, 1);
}

static void on_failed(void *arg, uint64_t page, int error)
{
        struct rig *g = arg;

        cr_expect_lt(error, 0);
        atomic_store(&g->failed_page, page);
        atomic_fetch_add(&g->failed, 1);
}

static void rig_init(struct rig *g)
{
        struct page_run run = {.nr_pages = PAGES, .kind = RUN_RAW, .first_sum = NO_SUM};
        uint8_t *bytes = malloc(pages_to_bytes(PAGES));
        struct err e = {0};

        memset(g, 0, sizeof(*g));
        g->dir = tmpdir_new();
        memset(bytes, 0x5a, pages_to_bytes(PAGES));
        tmpdir_write(&g->dir, "memory", bytes, pages_to_bytes(PAGES));
        free(bytes);
        page_map_init(&g->map, PAGES);
        cr_assert_eq(page_map_add_source(&g->map, openat(g->dir.fd, "memory", O_RDWR | O_CLOEXEC), pages_to_bytes(PAGES),
                                         "memory"), 0);
        cr_assert_eq(page_map_append(&g->map, &run), 0);
        cr_assert_eq(guest_ram_map(pages_to_bytes(PAGES), false, &g->ram, &e), 0);
        g->mapped = (struct pager_range){0, PAGES};
        cr_assert_eq(guest_ram_map_files(&g->ram, &g->map, &g->mapped, 1, &e), 0, "%s", e.text);
        g->extents[0] = (struct plan_extent){.first_page = 100, .nr_pages = 3, .write = true};
        g->extents[1] = (struct plan_extent){.first_page = 900, .nr_pages = 1};
        g->plan = (struct plan){.mapped = &g->mapped, .nr_mapped = 1, .populate = g->extents, .nr_populate = 2};
}

static void start(struct rig *g, bool settle, bool paused)
{
        struct mapper_config c = {.ram = &g->ram, .map = &g->map, .plan = &g->plan, .settle = settle, .paused = paused, .arg = g,
                                  .populated = on_populated, .settled = on_settled, .failed = on_failed};
        struct err e = {0};

        cr_assert_eq(mapper_start(&c, &g->m, &e), 0, "%s", e.text);
}

static void rig_free(struct rig *g)
{
        mapper_free(g->m);
        guest_ram_unmap(&g->ram);
        page_map_free(&g->map);
        tmpdir_free(&g->dir);
}

/* /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst): bit 63 present, bit 61 a page of a file. */
static uint64_t entry_of(const struct rig *g, uint64_t page)
{
        int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        uint64_t entry;
        off_t at = (off_t)((bytes_to_pages((uint64_t)g->ram.base) + page) * sizeof(entry));

        cr_assert_eq(pread(fd, &entry, sizeof(entry), at), (ssize_t)sizeof(entry));
        close(fd);
        return entry;
}

Test(mapper, hinted_pages_are_there_and_those_that_will_be_written_are_copies_already, .timeout = 30)
{
        struct rig g;

        rig_init(&g);
        start(&g, false, false);
        cr_assert_eq(mapper_wait(g.m, 20000), 0);
        cr_expect_eq(atomic_load(&g.populated), 1);
        cr_expect_eq(atomic_load(&g.settled), 0);
        cr_expect(entry_of(&g, 101) >> 63 & 1);
        cr_expect_not(entry_of(&g, 101) >> 61 & 1, "a private copy");
        cr_expect(entry_of(&g, 900) >> 63 & 1);
        cr_expect(entry_of(&g, 900) >> 61 & 1, "still the page cache's");
        cr_expect_not(entry_of(&g, 2000) >> 63 & 1, "nobody asked for it");
        cr_expect_eq(g.ram.base[pages_to_bytes(101)], 0x5a);
        rig_free(&g);
}

Test(mapper, a_signal_for_the_process_never_meets_its_thread)
{
        struct rig g;

        rig_init(&g);
        start(&g, false, false);
        cr_assert_eq(mapper_wait(g.m, 20000), 0);
        cr_expect_eq(atomic_load(&g.masked), 1);
        rig_free(&g);
}

Test(mapper, the_rest_comes_after_the_first_answer_and_not_before, .timeout = 30)
{
        struct rig g;

        rig_init(&g);
        start(&g, true, false);
        mapper_guest_entered(g.m, now_ns());
        cr_expect_eq(mapper_wait(g.m, 300), -ETIMEDOUT);
        cr_expect_eq(atomic_load(&g.settled), 0);
        mapper_guest_spoke(g.m, now_ns());
        cr_assert_eq(mapper_wait(g.m, 20000), 0);
        cr_expect_eq(atomic_load(&g.settled), 1);
        for (uint64_t page = 0; page < PAGES; page++)
                cr_assert(entry_of(&g, page) >> 63 & 1, "page %llu", (unsigned long long)page);
        rig_free(&g);
}

Test(mapper, what_one_step_brings_in_does_not_wait_for_the_guest, .timeout = 30)
{
        struct rig g;

        rig_init(&g);
        g.mapped.nr_pages = 512;
        start(&g, true, false);
        cr_assert_eq(mapper_wait(g.m, 20000), 0);
        cr_expect_eq(atomic_load(&g.populated), 1);
        cr_expect_eq(atomic_load(&g.settled), 1);
        for (uint64_t page = 0; page < 512; page++)
                cr_assert(entry_of(&g, page) >> 63 & 1, "page %llu", (unsigned long long)page);
        rig_free(&g);
}

Test(mapper, of_a_paused_guest_all_comes_at_once, .timeout = 30)
{
        struct rig g;

        rig_init(&g);
        start(&g, true, true);
        cr_expect_eq(mapper_wait(g.m, 20000), 0);
        cr_expect_eq(atomic_load(&g.settled), 1);
        rig_free(&g);
}

Test(mapper, a_file_that_was_cut_is_told_with_its_page_and_no_signal_comes, .timeout = 30)
{
        struct rig g;

        rig_init(&g);
        cr_assert_eq(ftruncate(g.map.sources[0].fd, (off_t)pages_to_bytes(1024)), 0);
        start(&g, true, true);
        cr_expect_eq(mapper_wait(g.m, 20000), -EIO);
        cr_expect_eq(atomic_load(&g.failed), 1);
        cr_expect_eq(atomic_load(&g.settled), 0);
        cr_expect_eq(atomic_load(&g.failed_page), 1024);
        rig_free(&g);
}

Test(mapper, it_ends_when_it_is_told_to_although_the_guest_never_spoke, .timeout = 30)
{
        struct rig g;

        rig_init(&g);
        start(&g, true, false);
        mapper_guest_entered(g.m, now_ns());
        rig_free(&g);
}
