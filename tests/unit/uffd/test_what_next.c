/* What to bring next: hints window by window, the rest in order, and when. */
#include "uffd/fill.h"

#include <criterion/criterion.h>

#define T (100 * NS_PER_S) /* now */

Test(fill, its_rate_follows_from_what_the_guest_did)
{
        static const struct {
                const char       *what;
                struct fill_times t;
                uint64_t          when_ns;
        } rows[] = {
                { "off", { .entered_ns = 1 }, UINT64_MAX },
                { "off but hurried", { .hurried = true }, 0 },
                { "hurried right after T2", { .on = true, .hurried = true, .entered_ns = T }, 0 },
                { "paused", { .on = true, .paused = true }, 0 },
                { "paused, then resumed", { .on = true, .paused = true, .entered_ns = T, .last_batch_ns = T },
                  T + 2 * NS_PER_MS },
                { "not entered yet", { .on = true, .last_batch_ns = T }, T + 2 * NS_PER_MS },
                { "entered, silent for 4 s", { .on = true, .entered_ns = T - 4 * NS_PER_S, .last_batch_ns = T },
                  T + 2 * NS_PER_MS },
                { "entered, silent for 5 s", { .on = true, .entered_ns = T - 5 * NS_PER_S }, 0 },
                { "spoke 1 s ago", { .on = true, .entered_ns = T - 9 * NS_PER_S, .spoke_ns = T - NS_PER_S, .last_batch_ns = T },
                  T + 2 * NS_PER_MS },
                { "spoke 2 s ago", { .on = true, .entered_ns = T - 3 * NS_PER_S, .spoke_ns = T - 2 * NS_PER_S }, 0 },
                { "spoke just now, a CPU to spare", { .on = true, .spare_cpu = true, .entered_ns = T, .spoke_ns = T,
                                                      .last_batch_ns = T }, 0 },
                { "the same, a fault just now", { .on = true, .spare_cpu = true, .entered_ns = T, .spoke_ns = T,
                                                  .last_fault_ns = T }, T + NS_PER_MS },
                { "silent, a CPU to spare", { .on = true, .spare_cpu = true, .entered_ns = T, .last_batch_ns = T },
                  T + 2 * NS_PER_MS },
                { "a fault just now", { .on = true, .entered_ns = T, .last_batch_ns = T - NS_PER_S, .last_fault_ns = T },
                  T + NS_PER_MS },
        };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
                cr_assert_eq(fill_when_ns(&rows[i].t, T), rows[i].when_ns, "%s", rows[i].what);
}

struct world {
        struct page_map    map;
        struct page_states states;
        struct replay_view view;
};

/* [0, 100) raw, [100, 150) zero, [150, 200) raw; ranges [10, +60) and [90, +100) */
static struct world *new_world(void)
{
        static const struct pager_range served[] = { { 10, 60 }, { 90, 100 } };
        struct world                   *w = calloc(1, sizeof(*w));

        page_map_init(&w->map, 200);
        cr_assert_eq(page_map_append(&w->map, &(struct page_run){ .nr_pages = 100, .kind = RUN_RAW }), 0);
        cr_assert_eq(page_map_append(&w->map, &(struct page_run){ .first_page = 100, .nr_pages = 50, .kind = RUN_ZERO }), 0);
        cr_assert_eq(page_map_append(&w->map, &(struct page_run){ .first_page = 150, .nr_pages = 50, .kind = RUN_RAW,
                                                                  .file_offset_bytes = pages_to_bytes(150) }), 0);
        cr_assert_eq(page_states_init(&w->states, 200), 0);
        w->view = (struct replay_view){ .map = &w->map, .served = { served, 2 }, .states = &w->states };
        return w;
}

static void free_world(struct world *w)
{
        page_states_free(&w->states);
        page_map_free(&w->map);
        free(w);
}

Test(fill, extents_follow_ram_and_cross_neither_run_nor_range_nor_what_is_there)
{
        static const struct { uint64_t first, nr; } expect[] = { { 10, 32 }, { 42, 8 }, { 51, 19 }, { 90, 10 }, { 100, 32 },
                                                                 { 132, 18 },
                                                                 { 150, 32 }, { 182, 8 } };
        struct world *w = new_world();
        struct fill   f = { 0 };

        page_state_move(&w->states, 50, PAGE_READING);
        for (size_t i = 0; i < ARRAY_LEN(expect); i++) {
                struct extent x = fill_peek(&f, &w->view, 32);

                cr_assert_eq(x.first_page, expect[i].first, "extent %zu", i);
                cr_assert_eq(x.nr_pages, expect[i].nr, "extent %zu", i);
                cr_assert_eq(x.run, page_map_find(&w->map, x.first_page));
                for (uint64_t page = x.first_page; page < x.first_page + x.nr_pages; page++)
                        page_state_move(&w->states, page, PAGE_INSTALLED);
        }
        cr_assert_eq(fill_peek(&f, &w->view, 32).nr_pages, 0);
        free_world(w);
}

static struct hint_walk *new_walk(const struct hint *list, size_t nr)
{
        struct hint_walk *h = calloc(1, sizeof(*h));

        hint_walk_init(h, list, nr);
        return h;
}

Test(replay, a_window_is_sorted_and_neighbours_become_one_extent)
{
        static const struct hint list[] = { { .page = 60 }, { .page = 12 }, { .page = 11 }, { .page = 30 }, { .page = 13 },
                                            { .page = 11 }, { .page = 120 }, { .page = 5 }, { .page = 61 }, { .page = 500 } };
        static const struct { uint64_t first, nr; } expect[] = { { 11, 3 }, { 30, 1 }, { 60, 2 } };
        struct world     *w = new_world();
        struct hint_walk *h = new_walk(list, ARRAY_LEN(list));

        for (size_t i = 0; i < ARRAY_LEN(expect); i++) {
                struct extent x = hint_walk_peek(h, &w->view, 64, 0, true);

                cr_assert_eq(x.first_page, expect[i].first);
                cr_assert_eq(x.nr_pages, expect[i].nr);
                hint_walk_pass(h, x.first_page + x.nr_pages);
        }
        cr_assert_eq(hint_walk_peek(h, &w->view, 64, 0, true).nr_pages, 0);
        cr_assert(hint_walk_is_over(h));
        free(h);
        free_world(w);
}

Test(replay, later_windows_come_later)
{
        struct hint       list[HINT_WINDOW + 1];
        struct world     *w = new_world();
        struct hint_walk *h = new_walk(list, ARRAY_LEN(list));

        for (size_t i = 0; i < HINT_WINDOW; i++)
                list[i] = (struct hint){ .page = 40 };
        list[HINT_WINDOW] = (struct hint){ .page = 20 };
        cr_assert_eq(hint_walk_peek(h, &w->view, 64, 0, true).first_page, 40);
        page_state_move(&w->states, 40, PAGE_INSTALLED);
        cr_assert_eq(hint_walk_peek(h, &w->view, 64, 0, true).first_page, 20);
        free(h);
        free_world(w);
}

Test(replay, an_extent_crosses_holes_only_as_far_as_it_is_told)
{
        static const struct hint list[] = { { .page = 20 }, { .page = 24 }, { .page = 28 }, { .page = 33 } };
        struct world         *w = new_world();
        struct hint_walk     *h = new_walk(list, ARRAY_LEN(list));

        cr_assert_eq(hint_walk_peek(h, &w->view, 64, 0, false).nr_pages, 1);
        cr_assert_eq(hint_walk_peek(h, &w->view, 64, 3, false).nr_pages, 9);
        cr_assert_eq(hint_walk_peek(h, &w->view, 5, 3, false).nr_pages, 5);
        free(h);
        free_world(w);
}

Test(replay, hints_that_are_being_read_are_marked_and_passed)
{
        static const struct hint list[] = { { .page = 20 }, { .page = 21 }, { .page = 22 } };
        struct world         *w = new_world();
        struct hint_walk     *h = new_walk(list, ARRAY_LEN(list));

        page_state_move(&w->states, 20, PAGE_READING);
        page_state_move(&w->states, 21, PAGE_INSTALLED);
        cr_assert_eq(hint_walk_peek(h, &w->view, 64, 0, true).first_page, 22);
        cr_assert_eq(w->states.nr_marked, 1);
        free(h);
        free_world(w);
}
