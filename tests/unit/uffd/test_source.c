/* Bytes that are in memory anyway. */
#include "core/base/cleanup.h"
#include "tests/unit/uffd/rig.h"
#include "uffd/source.h"

#include <sys/resource.h>

static uint64_t read_some(struct rig *g, uint64_t page, uint64_t nr, uint8_t *buf)
{
        struct sources s;
        uint64_t       got;

        cr_assert_eq(sources_init(&s, &g->map, &g->faults), 0);
        got = sources_read_cached(&s, page_map_find(&g->map, page), page, nr, buf);
        sources_free(&s);
        return got;
}

Test(source, cached_pages_are_read_on_tmpfs_and_on_disk)
{
        for (enum rig_file where = RIG_TMPFS; where <= RIG_DISK; where++) {
                struct rig            *g = rig_new(64, where);
                _cleanup_free_ uint8_t *buf = malloc(8 * PAGE_BYTES);

                cr_assert_eq(read_some(g, 20, 8, buf), 8);
                cr_assert_arr_eq(buf, g->model + pages_to_bytes(20), 8 * PAGE_BYTES);
                rig_free(g);
        }
}

/* Did this thread give its CPU away to wait for the read? */
static bool read_sleeps(struct sources *s, const struct rig *g, uint8_t *buf)
{
        struct rusage before, after;

        cr_assert_eq(getrusage(RUSAGE_THREAD, &before), 0);
        (void)sources_read_cached(s, page_map_find(&g->map, 20), 20, 8, buf);
        cr_assert_eq(getrusage(RUSAGE_THREAD, &after), 0);
        return after.ru_nvcsw != before.ru_nvcsw;
}

/* Whether bytes come proves nothing: RWF_NOWAIT starts the read itself (Linux 5.10 and later), and where every CPU is busy a virtual
 * disk has often brought all before the kernel looks again (160 tries of 300). A read that waits sleeps: 212 of 300 then, all on an
 * idle machine; this one in none. The few that are let pass are for an allocation that had to wait for memory. */
Test(source, pages_that_are_not_cached_are_not_waited_for)
{
        enum { TRIES = 40 };
        struct rig             *g = rig_new(64, RIG_DISK);
        _cleanup_free_ uint8_t *buf = calloc(8, PAGE_BYTES);
        struct sources          s;
        unsigned                slept = 0;

        cr_assert_eq(sources_init(&s, &g->map, &g->faults), 0);
        for (int try = 0; try < TRIES; try++) {
                rig_evict(g);
                slept += read_sleeps(&s, g, buf);
        }
        cr_assert_lt(slept, TRIES / 4, "%u of %u reads slept", slept, (unsigned)TRIES);
        sources_free(&s);
        rig_free(g);
}

/* Overlayfs: containers. */
Test(source, where_no_read_can_be_told_not_to_wait_what_is_cached_is_asked_first)
{
        struct rig             *g = rig_new(64, RIG_DISK);
        _cleanup_free_ uint8_t *buf = malloc(8 * PAGE_BYTES);

        g->faults.no_nowait = true;
        cr_assert_eq(read_some(g, 20, 8, buf), 8);
        cr_assert_arr_eq(buf, g->model + pages_to_bytes(20), 8 * PAGE_BYTES);
        rig_evict(g);
        cr_assert_eq(read_some(g, 20, 8, buf), 0);
        cr_assert_eq(rig_nr_cached(g), 0);
        cr_assert_eq(pread(g->fd, buf, 1, (off_t)pages_to_bytes(20)), 1);
        cr_assert_eq(read_some(g, 20, 8, buf), 1);
        cr_assert_eq(read_some(g, 19, 8, buf), 0);
        rig_free(g);
}

Test(source, finding_out_about_a_file_reads_nothing_ahead)
{
        struct rig    *g = rig_new(64, RIG_DISK);
        struct sources s;

        rig_evict(g);
        cr_assert_eq(sources_init(&s, &g->map, NULL), 0);
        rig_sleep_ms(20);
        cr_assert_eq(rig_nr_cached(g), 0);
        sources_free(&s);
        rig_free(g);
}

Test(source, at_the_end_of_the_file_only_whole_pages_count)
{
        struct rig             *g = rig_new(64, RIG_TMPFS);
        _cleanup_free_ uint8_t *buf = malloc(8 * PAGE_BYTES);

        cr_assert_eq(ftruncate(g->fd, (off_t)pages_to_bytes(22) + 5), 0);
        cr_assert_eq(read_some(g, 20, 8, buf), 2);
        cr_assert_eq(read_some(g, 22, 8, buf), 0);
        rig_free(g);
}
