/* How many neighbours come along with a fault. */
#include "core/base/units.h"
#include "uffd/streams.h"

#include <criterion/criterion.h>

static void expect(struct streams *s, uint64_t page, uint64_t first, uint64_t end)
{
        struct stream_window w = streams_fault(s, page, 16);

        cr_assert_eq(w.first, first, "fault on %llu", (unsigned long long)page);
        cr_assert_eq(w.end, end, "fault on %llu", (unsigned long long)page);
}

Test(streams, the_window_doubles_with_each_fault_behind_the_last_one_up_to_its_maximum)
{
        struct streams s = { 0 };

        expect(&s, 100, 100, 101);
        expect(&s, 101, 101, 103);
        expect(&s, 103, 103, 107);
        expect(&s, 107, 107, 115);
        expect(&s, 115, 115, 131);
        expect(&s, 131, 131, 147);
}

Test(streams, a_sequence_that_goes_down_brings_what_is_below)
{
        struct streams s = { 0 };

        expect(&s, 100, 100, 101);
        expect(&s, 99, 98, 100);
        expect(&s, 97, 94, 98);
}

Test(streams, pages_that_are_skipped_do_not_end_a_sequence)
{
        struct streams s = { 0 };

        expect(&s, 100, 100, 101);
        expect(&s, 109, 109, 111);
        expect(&s, 120, 120, 121);
}

Test(streams, several_sequences_go_on_side_by_side)
{
        struct streams s = { 0 };

        for (uint64_t i = 0; i < STREAMS; i++)
                expect(&s, i * 1000, i * 1000, i * 1000 + 1);
        for (uint64_t i = 0; i < STREAMS; i++)
                expect(&s, i * 1000 + 1, i * 1000 + 1, i * 1000 + 3);
}

Test(streams, the_sequence_that_was_quiet_for_longest_makes_room)
{
        struct streams s = { 0 };

        for (uint64_t i = 0; i <= STREAMS; i++)
                expect(&s, i * 1000, i * 1000, i * 1000 + 1);
        expect(&s, 1001, 1001, 1003);
        expect(&s, 1, 1, 2);
}

Test(streams, a_window_never_reaches_below_page_0)
{
        struct streams s = { 0 };

        expect(&s, 2, 2, 3);
        expect(&s, 1, 0, 2);
}
