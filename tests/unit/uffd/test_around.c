/* How many neighbours come along with a fault. */
#include "core/base/units.h"
#include "uffd/around.h"

#include <criterion/criterion.h>

static void expect(struct around *s, uint64_t page, uint64_t first, uint64_t end)
{
        struct around_window w = around_fault(s, page, 0, 16);

        cr_assert_eq(w.first, first, "fault on %llu", (unsigned long long)page);
        cr_assert_eq(w.end, end, "fault on %llu", (unsigned long long)page);
}

Test(around, the_window_doubles_with_each_fault_behind_the_last_one_up_to_its_maximum)
{
        struct around s = { 0 };

        expect(&s, 100, 100, 101);
        expect(&s, 101, 101, 103);
        expect(&s, 103, 103, 107);
        expect(&s, 107, 107, 115);
        expect(&s, 115, 115, 131);
        expect(&s, 131, 131, 147);
}

Test(around, a_sequence_that_goes_down_brings_what_is_below)
{
        struct around s = { 0 };

        expect(&s, 100, 100, 101);
        expect(&s, 99, 98, 100);
        expect(&s, 97, 94, 98);
}

Test(around, pages_that_are_skipped_do_not_end_a_sequence)
{
        struct around s = { 0 };

        expect(&s, 100, 100, 101);
        expect(&s, 109, 109, 111);
        expect(&s, 120, 120, 121);
}

Test(around, several_sequences_go_on_side_by_side)
{
        struct around s = { 0 };

        for (uint64_t i = 0; i < AROUND_STREAMS; i++)
                expect(&s, i * 1000, i * 1000, i * 1000 + 1);
        for (uint64_t i = 0; i < AROUND_STREAMS; i++)
                expect(&s, i * 1000 + 1, i * 1000 + 1, i * 1000 + 3);
}

Test(around, the_sequence_that_was_quiet_for_longest_makes_room)
{
        struct around s = { 0 };

        for (uint64_t i = 0; i <= AROUND_STREAMS; i++)
                expect(&s, i * 1000, i * 1000, i * 1000 + 1);
        expect(&s, 1001, 1001, 1003);
        expect(&s, 1, 1, 2);
}

Test(around, a_window_never_reaches_below_page_0)
{
        struct around s = { 0 };

        expect(&s, 2, 2, 3);
        expect(&s, 1, 0, 2);
}

/* Faults too far apart to be a sequence, each with so many pages of its neighbourhood there. */
static uint64_t fault_for_long(struct around *a, uint64_t page, uint32_t nr_near)
{
        for (int i = 0; i < 100; i++)
                (void)around_fault(a, page += 1000, nr_near, 16);
        return page;
}

Test(around, where_faults_are_often_near_others_they_bring_their_neighbourhood)
{
        struct around a = { 0 };
        uint64_t      page = fault_for_long(&a, 0, 3) + 1000;

        struct around_window w = around_fault(&a, page, 0, 16);

        cr_assert_eq(w.first, page / 16 * 16, "also the first fault of one");
        cr_assert_eq(w.end, page / 16 * 16 + 16);
}

Test(around, where_faults_are_seldom_near_others_even_one_that_is_comes_alone)
{
        struct around a = { 0 };
        uint64_t      page;

        fault_for_long(&a, 0, 3);
        page = fault_for_long(&a, 1 << 20, 0);
        page = fault_for_long(&a, page, 0);
        page = fault_for_long(&a, page, 0) + 1000;
        expect(&a, page, page, page + 1);
        cr_assert_eq(around_fault(&a, page + 1000, 1, 16).end, page + 1001);
}

Test(around, a_maximum_of_one_page_is_kept)
{
        struct around a = { 0 };
        uint64_t      page = fault_for_long(&a, 0, 3) + 1000;

        cr_assert_eq(around_fault(&a, page, 3, 1).end, page + 1);
        cr_assert_eq(around_fault(&a, page + 1, 3, 1).end, page + 2);
}
