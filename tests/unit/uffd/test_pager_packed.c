/* Packed runs: whole chunks are unpacked and checked, then installed; a chunk that is bad costs its own pages and no other. */
#include "tests/unit/uffd/packed_rig.h"
#include "tests/unit/uffd/sigbus.h"

#define CHUNK 16u

static void need_poison(const struct rig *g)
{
        if (!g->caps.uffd_poison)
                cr_skip_test("this kernel has no UFFDIO_POISON (Linux 6.6)");
}

static void assert_fills(struct rig *g)
{
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), 0);
        cr_assert_eq(rig_stats(g).resident_pages, g->nr_pages);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_packed, every_page_is_what_was_packed)
{
        for (uint32_t chunk_pages = 1; chunk_pages <= 512; chunk_pages = chunk_pages * 3 + 1) {
                struct rig *g = rig_new(700, RIG_TMPFS);

                rig_pack(g, chunk_pages);
                rig_start(g);
                rig_assert_all_equal(g);
                rig_free(g);
        }
}

Test(pager_packed, fill_brings_all_of_it)
{
        for (uint32_t chunk_pages = 1; chunk_pages <= 512; chunk_pages = chunk_pages * 3 + 1) {
                struct rig *g = rig_new(1500, RIG_TMPFS);

                rig_pack(g, chunk_pages);
                assert_fills(g);
        }
}

Test(pager_packed, fill_brings_all_of_a_cold_file)
{
        struct rig *g = rig_new(1500, RIG_DISK);

        rig_pack(g, CHUNK);
        rig_evict(g);
        assert_fills(g);
}

Test(pager_packed, fill_brings_all_of_it_where_no_read_can_be_told_not_to_wait)
{
        for (int cold = 0; cold < 2; cold++) {
                struct rig *g = rig_new(1500, RIG_DISK);

                rig_pack(g, CHUNK);
                g->faults.no_nowait = true;
                if (cold)
                        rig_evict(g);
                g->c.fill = g->c.paused = true;
                rig_start(g);
                cr_assert_eq(pager_wait(g->p, 10000), 0);
                rig_assert_all_equal(g);
                cr_assert_eq(rig_stats(g).cold_reads > 0, cold);
                rig_free(g);
        }
}

Test(pager_packed, fill_brings_all_of_it_where_there_is_no_io_uring)
{
        struct rig *g = rig_new(300, RIG_TMPFS);

        rig_pack(g, CHUNK);
        g->caps.io_uring = false;
        g->faults.nothing_cached = true;
        assert_fills(g);
}

Test(pager_packed, reads_that_come_short_go_on_where_they_ended)
{
        for (uint32_t nth = 1; nth < 4; nth++) {
                struct rig *g = rig_new(300, RIG_TMPFS);

                rig_pack(g, CHUNK);
                g->faults = (struct pager_faults){ .nothing_cached = true, .short_read = nth };
                assert_fills(g);
        }
}

Test(pager_packed, reads_that_come_short_by_chance_do_no_harm)
{
        for (uint64_t seed = 0; seed < 8; seed++) {
                struct rig *g = rig_new(600, RIG_TMPFS);

                rig_pack(g, 5);
                g->faults = (struct pager_faults){ .seed = seed,
                                                   .one_in = { [CHANCE_SHORT_READ] = 2, [CHANCE_NOT_CACHED] = 2,
                                                               [CHANCE_SHORT_COPY] = 3,
                                                                             [CHANCE_EAGAIN_COPY] = 3 } };
                assert_fills(g);
        }
}

Test(pager_packed, chunks_that_did_not_get_smaller_are_stored_and_served_as_they_are)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        uint64_t    x = 1;

        for (uint64_t i = 0; i < pages_to_bytes(g->nr_pages) / 8; i++)
                ((uint64_t *)g->model)[i] = x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        rig_pack(g, CHUNK);
        cr_assert_eq(g->map.chunks[1].packed_bytes, pages_to_bytes(CHUNK));
        assert_fills(g);
}

Test(pager_packed, a_demanded_page_brings_its_chunk_and_no_other)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_pack(g, CHUNK);
        rig_start(g);
        cr_assert(rig_page_equal(g, 20));
        rig_await(rig_stats(g).resident_pages == CHUNK);
        for (uint64_t page = 0; page < 64; page++)
                cr_assert_eq(rig_is_resident(g, page), page / CHUNK == 1, "page %llu", (unsigned long long)page);
        cr_assert_eq(rig_stats(g).faults[FAULT_DEMAND], 1);
        cr_assert_eq(rig_stats(g).faults[FAULT_AROUND], CHUNK - 1);
        rig_free(g);
}

static void check_record(bool nothing_cached)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_pack(g, CHUNK);
        g->c.record = true;
        g->faults.nothing_cached = nothing_cached;
        rig_start(g);
        cr_assert(rig_page_equal(g, 20) && rig_page_equal(g, 17) && rig_page_equal(g, 5));
        rig_await(rig_stats(g).resident_pages == 3);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_packed, a_recording_sees_each_page_of_a_chunk)
{
        check_record(false);
        check_record(true);
}

Test(pager_packed, replay_brings_the_hinted_pages_alone)
{
        struct hint hints[] = { { .page = 33 }, { .page = 3 }, { .page = 34 }, { .page = 60 } };
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_pack(g, CHUNK);
        g->c.replay = hints;
        g->c.nr_replay = ARRAY_LEN(hints);
        rig_start(g);
        rig_await(g->replayed == 1);
        cr_assert_eq(rig_stats(g).resident_pages, 4);
        cr_assert_eq(rig_stats(g).faults[FAULT_REPLAY], 4);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_packed, replay_of_a_cold_file_is_told_when_it_is_over)
{
        struct hint hints[] = { { .page = 33 }, { .page = 3 }, { .page = 34 }, { .page = 60 } };
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_pack(g, CHUNK);
        g->c.replay = hints;
        g->c.nr_replay = ARRAY_LEN(hints);
        g->faults.nothing_cached = true;
        rig_start(g);
        rig_await(g->replayed == 1);
        rig_assert_all_equal(g);
        rig_free(g);
}

/* As a child has it that wrote pages 0 to 4 and 30 anew: they are raw, at the front of the file of a second source. */
Test(pager_packed, a_run_may_begin_and_end_within_a_chunk)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        int         fd = memfd_create("child", MFD_CLOEXEC);
        const struct page_run runs[] = {
                { .nr_pages = 5, .kind = RUN_RAW, .source = 1, .first_sum = NO_SUM },
                { .first_page = 5, .nr_pages = 25, .kind = RUN_PACKED, .skip_pages = 5 },
                { .first_page = 30, .nr_pages = 1, .kind = RUN_RAW, .source = 1, .file_offset_bytes = 5 * PAGE_BYTES,
                  .first_sum = NO_SUM },
                { .first_page = 31, .nr_pages = 33, .kind = RUN_PACKED, .first_chunk = 1, .skip_pages = 15 },
        };

        rig_pack(g, CHUNK);
        for (int i = 0; i < 6; i++) {
                uint64_t page = i < 5 ? (uint64_t)i : 30;

                memset(g->model + pages_to_bytes(page), 0x40 + i, PAGE_BYTES);
                cr_assert_eq(pwrite(fd, g->model + pages_to_bytes(page), PAGE_BYTES, i * (off_t)PAGE_BYTES), (ssize_t)PAGE_BYTES);
        }
        cr_assert_eq(page_map_add_source(&g->map, fd, 6 * PAGE_BYTES, "child"), 1);
        g->map.nr_runs = 0;
        for (size_t i = 0; i < ARRAY_LEN(runs); i++)
                cr_assert_eq(page_map_append(&g->map, &runs[i]), 0);
        cr_assert_eq(page_map_check(&g->map, NULL), 0);
        rig_start(g);
        cr_assert(rig_page_equal(g, 7));
        rig_await(rig_stats(g).resident_pages == 11);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_packed, pages_that_were_given_back_stay_zeros_when_their_chunk_comes)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        rig_pack(g, CHUNK);
        rig_start(g);
        cr_assert_eq(madvise(g->ram + pages_to_bytes(17), 3 * PAGE_BYTES, MADV_DONTNEED), 0);
        memset(g->model + pages_to_bytes(17), 0, 3 * PAGE_BYTES);
        rig_assert_all_equal(g);
        rig_free(g);
}

/* --- what cannot be had --- */

/* Pages of chunk 1 are lost, those of others are right. */
static void assert_chunk_1_is_lost(struct rig *g, int error)
{
        struct pager_lost l;

        cr_assert(touch_is_sigbus(g, 20));
        for (uint64_t page = 0; page < g->nr_pages; page++)
                if (page / CHUNK != 1)
                        cr_assert(rig_page_equal(g, page), "page %llu", (unsigned long long)page);
        for (uint64_t page = CHUNK; page < 2 * CHUNK; page++)
                cr_assert(touch_is_sigbus(g, page), "page %llu", (unsigned long long)page);
        cr_assert(pager_find_lost(g->p, 20, &l));
        cr_assert_eq(l.error, error);
        cr_assert_eq(l.chunk, 1);
        cr_assert_eq(l.file_offset_bytes, g->map.chunks[1].file_offset_bytes);
        cr_assert_eq(l.chunk_bytes, g->map.chunks[1].packed_bytes);
        cr_assert_eq(rig_stats(g).lost_pages, CHUNK);
        rig_free(g);
}

static struct rig *new_packed(void)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        need_poison(g);
        rig_pack(g, CHUNK);
        return g;
}

Test(pager_packed, a_chunk_that_does_not_match_its_checksum_is_lost)
{
        struct rig *g = new_packed();

        g->map.chunks[1].sum ^= 1;
        rig_start(g);
        assert_chunk_1_is_lost(g, -EBADMSG);
}

Test(pager_packed, a_chunk_that_does_not_match_is_lost_where_fill_finds_it_and_cold_too)
{
        for (int cold = 0; cold < 2; cold++) {
                struct rig *g = new_packed();

                g->map.chunks[1].sum ^= 1;
                g->faults.nothing_cached = cold;
                g->c.fill = g->c.paused = true;
                rig_start(g);
                cr_assert_eq(pager_wait(g->p, 10000), -EIO);
                cr_assert_eq(rig_stats(g).resident_pages, 48);
                assert_chunk_1_is_lost(g, -EBADMSG);
        }
}

/* Some bytes can be others and mean the same: a match further back in what repeats itself. */
Test(pager_packed, a_chunk_with_any_flipped_byte_is_lost_or_right)
{
        uint32_t lost = 0;

        for (uint32_t at = 0; at < 200; at += 7) {
                struct rig *g = new_packed();

                rig_flip(g, 1, at);
                rig_start(g);
                for (uint64_t page = 0; page < g->nr_pages; page++) {
                        bool sigbus = touch_is_sigbus(g, page);

                        lost += sigbus;
                        cr_assert(sigbus ? page / CHUNK == 1 : rig_page_equal(g, page), "page %llu", (unsigned long long)page);
                }
                rig_free(g);
        }
        cr_assert_gt(lost, 20 * CHUNK);
}

Test(pager_packed, without_verification_bytes_that_unpack_are_served)
{
        struct rig *g = new_packed();

        g->map.chunks[1].sum ^= 1;
        g->c.verify = false;
        rig_start(g);
        rig_assert_all_equal(g);
        rig_free(g);
}

Test(pager_packed, what_lz4_refuses_is_lost_without_verification_too)
{
        struct rig *g = new_packed();

        g->map.chunks[1].packed_bytes -= 9;
        g->c.verify = false;
        rig_start(g);
        assert_chunk_1_is_lost(g, -EBADMSG);
}

Test(pager_packed, a_file_that_is_cut_short_loses_the_chunks_that_are_not_whole)
{
        struct rig *g = new_packed();
        struct pager_lost l;

        cr_assert_eq(ftruncate(g->fd, (off_t)g->map.chunks[2].file_offset_bytes + 10), 0);
        g->c.fill = g->c.paused = true;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_eq(rig_stats(g).resident_pages, 2 * CHUNK);
        cr_assert(touch_is_sigbus(g, 40));
        cr_assert(pager_find_lost(g->p, 40, &l));
        cr_assert_eq(l.error, -ENODATA);
        cr_assert_eq(l.chunk, 2);
        rig_free(g);
}

/* The first read is of several chunks, the second of the first of them alone. */
Test(pager_packed, an_io_error_loses_one_chunk)
{
        struct rig *g = rig_new(64, RIG_TMPFS);

        need_poison(g);
        rig_pack(g, CHUNK);
        g->faults = (struct pager_faults){ .nothing_cached = true, .eio_read = 1, .eio_reads = 2 };
        g->c.fill = g->c.paused = true;
        g->caps.io_uring = false;
        rig_start(g);
        cr_assert_eq(pager_wait(g->p, 10000), -EIO);
        cr_assert_eq(rig_stats(g).lost_pages, CHUNK);
        cr_assert_eq(rig_stats(g).resident_pages, 48);
        rig_free(g);
}

Test(pager_packed, a_source_that_stays_silent_loses_the_chunk)
{
        struct rig *g = rig_new(64, RIG_TMPFS);
        int         fds[2];

        need_poison(g);
        rig_pack(g, CHUNK);
        cr_assert_eq(pipe(fds), 0);
        g->faults = (struct pager_faults){ .nothing_cached = true, .silent_read = 1, .silent_reads = 1, .silent_fd = fds[0] };
        g->c.source_timeout_ms = 50;
        rig_start(g);
        assert_chunk_1_is_lost(g, -ETIMEDOUT);
}

/* A chunk brings more pages than a budget has left: the rest of the hints is not asked for. */
Test(pager_packed, a_budget_ends_with_the_chunk_that_uses_it_up)
{
        struct rig *g = rig_new(1024, RIG_TMPFS);
        uint64_t    pages[40];

        for (uint64_t i = 0; i < ARRAY_LEN(pages); i++)
                pages[i] = 16 * i;
        rig_pack(g, 8);
        rig_replay(g, pages, ARRAY_LEN(pages));
        g->c.replay_budget_bytes = pages_to_bytes(20);
        g->faults.nothing_cached = true;
        rig_start(g);
        rig_await(g->replayed == 1);
        cr_assert_eq(rig_stats(g).resident_pages, 24);
        rig_free(g);
}
