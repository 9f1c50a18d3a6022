/* The faults that wait. */
#include "uffd/demand.h"

#include <criterion/criterion.h>

Test(demand, entries_are_sorted_by_page_whatever_the_order_they_come_in)
{
        static const uint64_t pages[] = { 7, 3, 9, 3, 1 }, sorted[] = { 1, 3, 3, 7, 9 };
        struct demand         d = { 0 };

        for (int i = 0; i < 5; i++)
                cr_assert(demand_add(&d, pages[i], 100));
        for (int i = 0; i < 5; i++)
                cr_assert_eq(d.v[i].page, sorted[i]);
}

Test(demand, taking_a_range_sums_the_waits_of_each_message_in_it)
{
        struct demand d = { 0 };

        demand_add(&d, 4, 10);
        demand_add(&d, 5, 20);
        demand_add(&d, 5, 30);
        demand_add(&d, 8, 40);
        cr_assert_eq(demand_take(&d, 5, 3, 100), 80 + 70);
        cr_assert_eq(d.nr, 2);
        cr_assert_eq(d.v[0].page, 4);
        cr_assert_eq(d.v[1].page, 8);
        cr_assert_eq(demand_take(&d, 0, 4, 100), 0);
}

Test(demand, a_full_list_says_so_and_loses_nothing)
{
        struct demand d = { 0 };

        for (uint64_t i = 0; i < DEMAND_MAX; i++)
                cr_assert(demand_add(&d, i, 0));
        cr_assert(!demand_add(&d, 5, 0));
        cr_assert_eq(d.nr, DEMAND_MAX);
        demand_take(&d, 0, 1, 0);
        cr_assert(demand_add(&d, 5, 0));
}
