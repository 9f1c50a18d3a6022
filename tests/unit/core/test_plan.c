/* core/plan: what is mapped, served, read ahead and left alone, decided from made-up page maps, hints and hosts. */
#include "core/plan.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE 512

static void add(struct page_map *m, enum run_kind kind, uint64_t nr)
{
        uint64_t first = m->nr_runs ? m->runs[m->nr_runs - 1].first_page + m->runs[m->nr_runs - 1].nr_pages : 0;
        struct page_run r = {.first_page = first, .nr_pages = nr, .kind = kind, .file_offset_bytes = kind == RUN_RAW ? pages_to_bytes(first) : 0,
                             .first_sum = NO_SUM};

        cr_assert_eq(page_map_append(m, &r), 0);
}

/* One plan, and all that it was made from. A host with everything; a test takes away. */
struct made {
        struct page_map     map;
        struct hints        hints;
        struct host_caps    caps;
        const char         *unmappable[1];
        struct plan_facts   facts;
        struct plan_request q;
        struct plan         plan;
};

static void made_init(struct made *m, uint64_t nr_pages)
{
        memset(m, 0, sizeof(*m));
        page_map_init(&m->map, nr_pages);
        m->map.zeros_known = true;
        m->caps.max_map_count = 65530;
        m->facts = (struct plan_facts){.unmappable = m->unmappable, .nr_sources = 1, .huge_pages = true};
        m->q = (struct plan_request){.map = &m->map, .hints = &m->hints, .mode = RESTORE_AUTO, .verify = true, .fill = true, .facts = &m->facts,
                                     .caps = &m->caps};
}

static void hint(struct made *m, uint32_t page, uint8_t flags)
{
        m->hints.v = realloc(m->hints.v, (m->hints.nr + 1) * sizeof(*m->hints.v));
        m->hints.v[m->hints.nr++] = (struct hint){.page = page, .seen = 1, .flags = flags};
}

static void hint_many(struct made *m, uint32_t first, uint32_t nr, uint32_t every)
{
        for (uint32_t i = 0; i < nr; i++)
                hint(m, first + i * every, HINT_WRITTEN);
}

/* Every data page has a checksum; their values do not matter to a plan. */
static void add_sums(struct made *m)
{
        uint64_t nr = 0;

        for (size_t i = 0; i < m->map.nr_runs; i++)
                if (m->map.runs[i].kind == RUN_RAW) {
                        m->map.runs[i].first_sum = nr;
                        nr += m->map.runs[i].nr_pages;
                }
        m->map.sums = calloc(nr + 1, sizeof(*m->map.sums));
        m->map.nr_sums = nr;
}

static void make(struct made *m)
{
        struct err e = {0};

        cr_assert_eq(plan_make(&m->q, &m->plan, &e), 0, "%s", e.text);
}

static void made_free(struct made *m)
{
        plan_free(&m->plan);
        hints_free(&m->hints);
        page_map_free(&m->map);
}

static const struct ledger_plan_row *row(const struct made *m, const char *mechanism)
{
        for (size_t i = 0; i < m->plan.nr_rows; i++)
                if (strcmp(m->plan.rows[i].mechanism, mechanism) == 0)
                        return &m->plan.rows[i];
        return NULL;
}

static void assert_range(const struct pager_range *v, size_t nr, size_t i, uint64_t first, uint64_t pages)
{
        cr_assert_gt(nr, i);
        cr_expect_eq(v[i].first_page, first, "range %zu", i);
        cr_expect_eq(v[i].nr_pages, pages, "range %zu", i);
}

/* --- mode lazy --- */

Test(plan, lazy_serves_data_and_leaves_zeros_to_the_kernel)
{
        struct made m;

        made_init(&m, 100);
        m.q.mode = RESTORE_LAZY;
        add(&m.map, RUN_ZERO, 10);
        add(&m.map, RUN_RAW, 5);
        add(&m.map, RUN_ZERO, 1);
        add(&m.map, RUN_RAW, 4);
        add(&m.map, RUN_ZERO, 80);
        make(&m);
        cr_assert_eq(m.plan.nr_served, 2);
        assert_range(m.plan.served, 2, 0, 10, 5);
        assert_range(m.plan.served, 2, 1, 16, 4);
        cr_expect_eq(m.plan.nr_mapped, 0);
        cr_expect_eq(row(&m, "copy")->bytes, pages_to_bytes(9));
        cr_expect_eq(row(&m, "anon")->bytes, pages_to_bytes(91));
        cr_expect_str_eq(m.plan.arm, "lazy");
        made_free(&m);
}

Test(plan, many_served_runs_are_joined_over_the_shortest_zeros_until_they_fit)
{
        struct made m;
        size_t nr;

        made_init(&m, 1000 * 3 + 100 * 33);
        m.q.mode = RESTORE_LAZY;
        for (int i = 0; i < 1000; i++) { /* 1000 runs, one or two pages apart */
                add(&m.map, RUN_RAW, 1);
                add(&m.map, RUN_ZERO, 2);
        }
        for (int i = 0; i < 100; i++) { /* 100 runs far apart */
                add(&m.map, RUN_RAW, 1);
                add(&m.map, RUN_ZERO, 32);
        }
        make(&m);
        nr = m.plan.nr_served;
        cr_expect_eq(nr, 100, "the thousand are one range with the first of the hundred, found %zu ranges", nr);
        for (size_t i = 1; i < nr; i++)
                cr_expect_gt(m.plan.served[i].first_page, m.plan.served[i - 1].first_page + m.plan.served[i - 1].nr_pages);
        cr_expect_eq(row(&m, "copy")->bytes + row(&m, "anon")->bytes, pages_to_bytes(m.map.nr_pages),
                     "zeros that were joined count once");
        made_free(&m);
}

Test(plan, a_recording_sees_all_of_ram_in_mode_auto_too)
{
        struct made m;

        made_init(&m, 50);
        m.q.record = true;
        add(&m.map, RUN_ZERO, 20);
        add(&m.map, RUN_RAW, 30);
        make(&m);
        cr_expect_eq(m.plan.nr_served, 1);
        assert_range(m.plan.served, 1, 0, 0, 50);
        cr_expect_eq(m.plan.nr_mapped, 0);
        cr_expect_str_eq(m.plan.arm, "record");
        made_free(&m);
}

Test(plan, ram_of_zeros_alone_has_nothing_to_serve_or_map)
{
        struct made m;

        made_init(&m, 50);
        add(&m.map, RUN_ZERO, 50);
        make(&m);
        cr_expect_eq(m.plan.nr_served + m.plan.nr_mapped, 0);
        made_free(&m);
}

/* --- mode auto: per run --- */

Test(plan, auto_without_hints_and_checksums_is_mmap_with_zeros_anonymous)
{
        struct made m;

        made_init(&m, 100);
        add(&m.map, RUN_RAW, 30);
        add(&m.map, RUN_ZERO, 50);
        add(&m.map, RUN_RAW, 20);
        make(&m);
        cr_expect_eq(m.plan.nr_mapped, 2);
        assert_range(m.plan.mapped, 2, 0, 0, 30);
        assert_range(m.plan.mapped, 2, 1, 80, 20);
        cr_expect_eq(m.plan.nr_served, 0);
        cr_expect_eq(m.plan.nr_prefill, 0);
        cr_expect_eq(m.plan.nr_populate, 0);
        cr_expect_eq(m.plan.needs.resident_bytes, 0);
        cr_expect_str_eq(m.plan.arm, "auto");
        made_free(&m);
}

Test(plan, auto_serves_what_is_verified_and_maps_it_when_nobody_wants_it_verified)
{
        struct made m;

        made_init(&m, 100);
        add(&m.map, RUN_RAW, 100);
        add_sums(&m);
        make(&m);
        cr_expect_eq(m.plan.nr_served, 1);
        cr_expect_eq(m.plan.nr_mapped, 0);
        cr_expect(strstr(row(&m, "copy")->why, "verified"));
        plan_free(&m.plan);
        m.q.verify = false;
        make(&m);
        cr_expect_eq(m.plan.nr_served, 0);
        cr_expect_eq(m.plan.nr_mapped, 1);
        made_free(&m);
}

Test(plan, auto_mixes_verified_and_unverified_runs_in_one_restore)
{
        struct made m;

        made_init(&m, 100);
        add(&m.map, RUN_RAW, 40);
        add_sums(&m);
        add(&m.map, RUN_ZERO, 10);
        add(&m.map, RUN_RAW, 50); /* a parent's, without sums */
        make(&m);
        assert_range(m.plan.served, m.plan.nr_served, 0, 0, 40);
        assert_range(m.plan.mapped, m.plan.nr_mapped, 0, 50, 50);
        made_free(&m);
}

Test(plan, auto_copies_from_a_file_system_that_may_stall_and_says_which)
{
        struct made m;

        made_init(&m, 100);
        m.unmappable[0] = "on NFS: copied";
        add(&m.map, RUN_RAW, 100);
        make(&m);
        cr_expect_eq(m.plan.nr_mapped, 0);
        cr_expect_eq(m.plan.nr_served, 1);
        cr_expect_str_eq(row(&m, "copy")->why, "on NFS: copied");
        made_free(&m);
}

Test(plan, auto_maps_nothing_of_files_that_go_away)
{
        struct made m;

        made_init(&m, 100);
        m.q.leaves_files = true;
        add(&m.map, RUN_RAW, 100);
        make(&m);
        cr_expect_eq(m.plan.nr_mapped, 0);
        cr_expect_eq(m.plan.nr_served, 1);
        made_free(&m);
}

Test(plan, nothing_is_mapped_of_what_huge_pages_are_to_be_made_of)
{
        struct made m;

        made_init(&m, 200);
        m.q.collapse = true;
        add(&m.map, RUN_RAW, 100);
        add(&m.map, RUN_ZERO, 100);
        make(&m);
        cr_expect_eq(m.plan.nr_mapped, 0);
        cr_assert_eq(m.plan.nr_served, 1);
        cr_expect_eq(m.plan.served[0].nr_pages, 100);
        cr_expect(strstr(m.plan.rows[0].why, "--collapse"), "%s", m.plan.rows[0].why);
        made_free(&m);
}

Test(plan, runs_too_short_for_the_map_budget_go_by_copy_and_long_ones_stay_mapped)
{
        struct made m;
        struct plan_limits l = {.max_map_count = 200, .address_bytes = PLAN_NO_LIMIT, .memlock_bytes = PLAN_NO_LIMIT, .cgroup_bytes = PLAN_NO_LIMIT};
        struct err e = {0};

        made_init(&m, 10000 + 200 * 2 * 2);
        m.caps.max_map_count = 200;
        for (int i = 0; i < 200; i++) {
                add(&m.map, RUN_RAW, 2);
                add(&m.map, RUN_ZERO, 2);
        }
        add(&m.map, RUN_RAW, 10000);
        make(&m);
        cr_expect_eq(m.plan.nr_mapped, 1);
        assert_range(m.plan.mapped, 1, 0, 800, 10000);
        cr_expect_gt(m.plan.nr_served, 0);
        cr_expect(strstr(row(&m, "copy")->why, "vm.max_map_count"), "%s", row(&m, "copy")->why);
        cr_expect_eq(plan_check(&m.plan, &l, &e), 0, "%s", e.text);
        made_free(&m);
}

/* --- prefill and populate --- */

Test(plan, a_densely_hinted_range_is_read_whole_before_anything_else_and_scattered_hints_are_not)
{
        struct made m;

        made_init(&m, 8 * HUGE);
        add(&m.map, RUN_RAW, 8 * HUGE);
        hint_many(&m, 2 * HUGE, 256, 2);
        hint_many(&m, 5 * HUGE, 4, 100);
        make(&m);
        cr_expect_eq(m.plan.nr_prefill, 1);
        assert_range(m.plan.prefill, 1, 0, 2 * HUGE, HUGE);
        assert_range(m.plan.mapped, m.plan.nr_mapped, 0, 0, 2 * HUGE);
        assert_range(m.plan.mapped, m.plan.nr_mapped, 1, 3 * HUGE, 5 * HUGE);
        cr_expect_eq(m.plan.nr_populate, 4, "only the scattered ones are left, found %zu", m.plan.nr_populate);
        cr_expect_eq(m.plan.needs.prefill_bytes, HUGE_PAGE_BYTES);
        made_free(&m);
}

Test(plan, a_prefilled_range_spans_zeros_and_verified_data_alike)
{
        struct made m;

        made_init(&m, 4 * HUGE);
        add(&m.map, RUN_RAW, HUGE + 100);
        add(&m.map, RUN_ZERO, 300);
        add(&m.map, RUN_RAW, 2 * HUGE + 112);
        add_sums(&m);
        hint_many(&m, HUGE, 500, 1);
        make(&m);
        assert_range(m.plan.prefill, m.plan.nr_prefill, 0, HUGE, HUGE);
        cr_expect_eq(m.plan.nr_served, 2);
        assert_range(m.plan.served, 2, 0, 0, HUGE);
        assert_range(m.plan.served, 2, 1, 2 * HUGE, 2 * HUGE);
        made_free(&m);
}

Test(plan, from_a_cold_disk_a_range_must_be_denser_to_be_read_whole)
{
        struct made m;

        made_init(&m, 2 * HUGE);
        add(&m.map, RUN_RAW, 2 * HUGE);
        hint_many(&m, 0, 80, 6);
        make(&m);
        cr_expect_eq(m.plan.nr_prefill, 1, "warm");
        plan_free(&m.plan);
        m.facts.cold = true;
        hints_free(&m.hints);
        hint_many(&m, 0, 80, 6);
        make(&m);
        cr_expect_eq(m.plan.nr_prefill, 0, "cold");
        made_free(&m);
}

Test(plan, a_host_without_huge_pages_reads_nothing_whole)
{
        struct made m;

        made_init(&m, 2 * HUGE);
        m.facts.huge_pages = false;
        add(&m.map, RUN_RAW, 2 * HUGE);
        hint_many(&m, 0, HUGE, 1);
        make(&m);
        cr_expect_eq(m.plan.nr_prefill, 0);
        cr_expect_eq(m.plan.nr_populate, 1);
        made_free(&m);
}

Test(plan, where_nothing_may_be_read_ahead_nothing_is_read_whole)
{
        struct made m;

        made_init(&m, 2 * HUGE);
        m.q.no_prefill = true;
        add(&m.map, RUN_RAW, 2 * HUGE);
        hint_many(&m, 0, HUGE, 1);
        make(&m);
        cr_expect_eq(m.plan.nr_prefill, 0);
        made_free(&m);
}

Test(plan, the_tail_of_ram_that_is_shorter_than_a_huge_page_is_never_read_whole)
{
        struct made m;

        made_init(&m, HUGE + 200);
        add(&m.map, RUN_RAW, HUGE + 200);
        hint_many(&m, HUGE, 200, 1);
        make(&m);
        cr_expect_eq(m.plan.nr_prefill, 0);
        made_free(&m);
}

Test(plan, hints_after_the_first_answer_do_not_hold_it_up)
{
        struct made m;

        made_init(&m, 2 * HUGE);
        add(&m.map, RUN_RAW, 2 * HUGE);
        hint_many(&m, 0, HUGE, 1);
        for (size_t i = 0; i < m.hints.nr; i++)
                m.hints.v[i].phase = HINT_PHASE_LATER;
        make(&m);
        cr_expect_eq(m.plan.nr_prefill, 0);
        made_free(&m);
}

Test(plan, hinted_neighbours_of_one_kind_become_one_call_and_what_is_only_read_stays_the_page_caches)
{
        struct made m;

        made_init(&m, 2 * HUGE);
        add(&m.map, RUN_RAW, 2 * HUGE);
        hint(&m, 12, HINT_WRITTEN);
        hint(&m, 10, HINT_WRITTEN);
        hint(&m, 11, HINT_DIFFERS);
        hint(&m, 13, 0);
        hint(&m, 20, 0);
        make(&m);
        cr_assert_eq(m.plan.nr_populate, 3);
        cr_expect_eq(m.plan.populate[0].first_page, 10);
        cr_expect_eq(m.plan.populate[0].nr_pages, 3);
        cr_expect(m.plan.populate[0].write);
        cr_expect_eq(m.plan.populate[1].first_page, 13);
        cr_expect_not(m.plan.populate[1].write);
        cr_expect_eq(m.plan.needs.resident_bytes, pages_to_bytes(3));
        made_free(&m);
}

/* One small page of a 2 MiB page brings all of it, as zeros: the data beside it would be lost. */
Test(plan, of_ram_in_huge_pages_no_hinted_zero_beside_data_is_populated_ahead)
{
        struct made m;

        made_init(&m, 2 * HUGE);
        m.q.backing = RAM_HUGETLB;
        add(&m.map, RUN_ZERO, 100);
        add(&m.map, RUN_RAW, 100);
        add(&m.map, RUN_ZERO, 2 * HUGE - 200);
        hint_many(&m, 0, 100, 1);
        hint_many(&m, HUGE, 100, 1);
        make(&m);
        cr_expect_eq(m.plan.nr_served, 1);
        cr_assert_eq(m.plan.nr_populate, 1);
        cr_expect_eq(m.plan.populate[0].first_page, HUGE);
        made_free(&m);
}

/* The pager would not know of them: it serves all of a range. */
Test(plan, zeros_that_were_joined_with_what_is_served_are_not_populated_behind_the_pagers_back)
{
        struct made m;

        made_init(&m, 600 * 2 + 1000);
        for (int i = 0; i < 600; i++) { /* more ranges than there may be: joined over the zeros between them */
                add(&m.map, RUN_RAW, 1);
                add(&m.map, RUN_ZERO, i < 599 ? 1 : 1001);
        }
        add_sums(&m);
        hint(&m, 1, HINT_WRITTEN);
        hint(&m, 301, HINT_WRITTEN);
        hint(&m, 2000, HINT_WRITTEN);
        make(&m);
        cr_expect_eq(m.plan.nr_served, 1);
        cr_assert_eq(m.plan.nr_populate, 1);
        cr_expect_eq(m.plan.populate[0].first_page, 2000);
        made_free(&m);
}

Test(plan, hints_of_served_runs_are_the_pagers)
{
        struct made m;

        made_init(&m, 2 * HUGE);
        add(&m.map, RUN_RAW, 2 * HUGE);
        add_sums(&m);
        hint(&m, 7, 0);
        make(&m);
        cr_expect_eq(m.plan.nr_replay, 1);
        cr_expect_eq(m.plan.replay[0].page, 7);
        cr_expect_eq(m.plan.nr_populate, 0);
        made_free(&m);
}

/* --- limits --- */

static const struct plan_limits none = {PLAN_NO_LIMIT, PLAN_NO_LIMIT, PLAN_NO_LIMIT, PLAN_NO_LIMIT, PLAN_NO_LIMIT, "memory.max"};

static void assert_refused(const struct plan *p, const struct plan_limits *l, const char *mends)
{
        struct err e = {0};

        cr_expect_lt(plan_check(p, l, &e), 0);
        cr_expect_eq(e.kind, ERR_HOST);
        cr_expect(strstr(e.text, mends), "%s", e.text);
}

Test(plan_limits, mode_mmap_with_more_runs_than_mappings_is_refused_with_the_command_that_mends_it)
{
        struct made m;
        struct plan_limits l = none;

        made_init(&m, 400);
        m.q.mode = RESTORE_MMAP;
        for (int i = 0; i < 100; i++) {
                add(&m.map, RUN_RAW, 2);
                add(&m.map, RUN_ZERO, 2);
        }
        make(&m);
        l.max_map_count = 100;
        assert_refused(&m.plan, &l, "sysctl -w vm.max_map_count=");
        l.max_map_count = 1000;
        cr_expect_eq(plan_check(&m.plan, &l, NULL), 0);
        made_free(&m);
}

Test(plan_limits, what_a_template_has_already_is_not_needed_once_more)
{
        struct plan_limits l = {.max_map_count = 65530, .address_bytes = PLAN_NO_LIMIT, .memlock_bytes = PLAN_NO_LIMIT, .cgroup_bytes = pages_to_bytes(100)};
        struct err e = {0};
        struct made m;

        made_init(&m, 1000);
        m.q.mode = RESTORE_SHARED;
        add(&m.map, RUN_RAW, 1000);
        make(&m);
        cr_expect_eq(plan_check(&m.plan, &l, &e), -ENOMEM);
        plan_has_already(&m.plan, pages_to_bytes(899));
        cr_expect_eq(plan_check(&m.plan, &l, &e), -ENOMEM);
        plan_has_already(&m.plan, pages_to_bytes(1));
        cr_expect_eq(plan_check(&m.plan, &l, &e), 0, "%s", e.text);
        plan_has_already(&m.plan, pages_to_bytes(1000));
        cr_expect_eq(plan_check(&m.plan, &l, &e), 0, "more than is needed");
        made_free(&m);
}

Test(plan_limits, a_cgroup_that_cannot_hold_what_will_be_brought_in_is_refused_and_without_fill_it_fits)
{
        struct made m;
        struct plan_limits l = none;

        made_init(&m, 1000);
        add(&m.map, RUN_RAW, 1000);
        add_sums(&m);
        make(&m);
        l.cgroup_bytes = pages_to_bytes(999);
        assert_refused(&m.plan, &l, "memory.max");
        plan_free(&m.plan);
        m.q.fill = false;
        make(&m);
        cr_expect_eq(plan_check(&m.plan, &l, NULL), 0);
        made_free(&m);
}

Test(plan_limits, mapped_pages_are_the_page_caches_and_need_no_memory)
{
        struct made m;
        struct plan_limits l = none;

        made_init(&m, 1000);
        add(&m.map, RUN_RAW, 1000);
        make(&m);
        l.cgroup_bytes = 4096;
        cr_expect_eq(plan_check(&m.plan, &l, NULL), 0);
        made_free(&m);
}

Test(plan_limits, eager_needs_memory_for_all_data)
{
        struct made m;
        struct plan_limits l = none;

        made_init(&m, 1000);
        m.q.mode = RESTORE_EAGER;
        add(&m.map, RUN_RAW, 600);
        add(&m.map, RUN_ZERO, 400);
        make(&m);
        l.cgroup_bytes = pages_to_bytes(599);
        assert_refused(&m.plan, &l, "--mode lazy --fill off"); /* eager itself has no --fill */
        l.cgroup_bytes = pages_to_bytes(600);
        cr_expect_eq(plan_check(&m.plan, &l, NULL), 0);
        made_free(&m);
}

Test(plan_limits, a_refusal_names_no_way_out_that_would_be_refused_as_well)
{
        struct made m;
        struct plan_limits l = none;

        made_init(&m, HUGE);
        m.q.fill = false; /* but the hints are dense */
        add(&m.map, RUN_RAW, HUGE);
        hint_many(&m, 0, HUGE, 1);
        make(&m);
        cr_assert_eq(m.plan.nr_prefill, 1);
        l.cgroup_bytes = pages_to_bytes(HUGE - 1);
        assert_refused(&m.plan, &l, "--fill off --hints none");
        made_free(&m);
}

Test(plan_limits, the_first_vm_of_a_template_of_huge_pages_needs_the_templates_and_its_own)
{
        struct made m;

        made_init(&m, 4 * HUGE);
        m.q.mode = RESTORE_SHARED;
        m.q.backing = RAM_HUGETLB;
        add(&m.map, RUN_RAW, HUGE + 1);
        add(&m.map, RUN_ZERO, 3 * HUGE - 1);
        make(&m);
        cr_expect_eq(m.plan.needs.huge_2m_pages, 4 + 2);
        plan_has_already(&m.plan, 0);
        cr_expect_eq(m.plan.needs.huge_2m_pages, 4, "a later one");
        plan_has_already(&m.plan, 0);
        cr_expect_eq(m.plan.needs.huge_2m_pages, 4);
        made_free(&m);
}

Test(plan_limits, too_little_address_space_names_ulimit)
{
        struct made m;
        struct plan_limits l = none;

        made_init(&m, 1000);
        add(&m.map, RUN_RAW, 1000);
        make(&m);
        l.address_bytes = MIB;
        assert_refused(&m.plan, &l, "ulimit -v");
        made_free(&m);
}

Test(plan_limits, a_pool_of_huge_pages_that_is_too_small_names_its_sysctl)
{
        struct plan p = {.needs.huge_2m_pages = 5};
        struct plan_limits l = none;

        l.huge_2m_free = 4;
        assert_refused(&p, &l, "vm.nr_hugepages");
}

Test(plan_limits, too_little_lockable_memory_names_ulimit)
{
        struct plan p = {.needs.locked_bytes = 5 * MIB};
        struct plan_limits l = none;

        l.memlock_bytes = MIB;
        assert_refused(&p, &l, "ulimit -l");
}

/* --- what a host says --- */

static uint64_t nr_cached(int fd, uint64_t pages)
{
        void *m = mmap(NULL, pages_to_bytes(pages), PROT_READ, MAP_SHARED, fd, 0);
        unsigned char in[1024];
        uint64_t nr = 0;

        cr_assert(m != MAP_FAILED && pages <= sizeof(in) && mincore(m, pages_to_bytes(pages), in) == 0);
        for (uint64_t i = 0; i < pages; i++)
                nr += in[i] & 1;
        munmap(m, pages_to_bytes(pages));
        return nr;
}

Test(plan, that_hints_are_cold_is_found_out_without_a_read)
{
        enum { PAGES = 1024 };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        uint8_t *bytes = calloc(PAGES, PAGE_BYTES);
        struct plan_facts f;
        struct made m;
        int fd;

        tmpdir_write(&t, "memory", bytes, pages_to_bytes(PAGES));
        free(bytes);
        fd = openat(t.fd, "memory", O_RDWR | O_CLOEXEC);
        made_init(&m, PAGES);
        cr_assert_eq(page_map_add_source(&m.map, fd, pages_to_bytes(PAGES), "memory"), 0);
        add(&m.map, RUN_RAW, PAGES);
        hint_many(&m, 0, PAGES / 2, 2);
        for (int i = 0; i < 50 && (i == 0 || nr_cached(fd, PAGES) > 0); i++)
                cr_assert(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
        cr_assert_eq(nr_cached(fd, PAGES), 0);
        cr_assert_eq(plan_facts_probe(&m.map, &m.hints, &f), 0);
        cr_expect(f.cold);
        usleep(20000); /* what was asked for would be there by now */
        cr_expect_eq(nr_cached(fd, PAGES), 0);
        plan_facts_free(&f);
        made_free(&m);
}

/* --- limits --- */

Test(plan, pages_of_the_pool_are_no_cgroups_memory_and_a_template_takes_address_space_of_its_own)
{
        struct plan_limits l = {.max_map_count = 65530, .address_bytes = PLAN_NO_LIMIT, .memlock_bytes = PLAN_NO_LIMIT, .cgroup_bytes = MIB, .huge_2m_free = 4};
        struct err e = {0};
        struct made m;

        made_init(&m, 4 * HUGE);
        m.q.backing = RAM_HUGETLB;
        add(&m.map, RUN_RAW, 4 * HUGE);
        make(&m);
        cr_expect_eq(plan_check(&m.plan, &l, &e), 0, "%s", e.text);
        plan_free(&m.plan);
        m.q.backing = RAM_ANON;
        m.q.mode = RESTORE_SHARED;
        make(&m);
        cr_expect_eq(m.plan.needs.address_bytes, 2 * pages_to_bytes(4 * HUGE));
        made_free(&m);
}
