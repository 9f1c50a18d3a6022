/* The torture chamber: schedules drawn from seeds drive a pager with everything at once, and every page must be what the model
 * says. */
#include "tests/support/huge_pool.h"
#include "tests/unit/uffd/torture.h"

TestSuite(pager_torture, .fini = huge_pool_give_back);

/* Of the schedules that may move pages several do, or there is something that keeps the fill from it, and they test nothing. */
static void assert_moves(const struct torture_seen *seen)
{
        if (seen->whole && seen->may_move > 0)
                cr_assert_gt(seen->moves, seen->may_move / 8, "UFFDIO_MOVE in %u of %u schedules", seen->moves, seen->may_move);
}

Test(pager_torture, a_guest_of_one_thread_sees_what_the_model_says_whatever_goes_wrong, .timeout = 900)
{
        struct torture_seen seen = torture(TORTURE_ALONE, 40, 600);

        assert_moves(&seen);
}

Test(pager_torture, threads_that_touch_write_and_give_back_beside_replay_and_fill_see_what_the_model_says, .timeout = 900)
{
        struct torture_seen seen = torture(TORTURE_TOGETHER, 60, 1500);

        assert_moves(&seen);
}

Test(pager_torture, pages_are_lost_exactly_where_their_bytes_cannot_be_had, .timeout = 900)
{
        torture(TORTURE_LOSING, 60, 1500);
}

Test(pager_torture, a_source_that_answers_late_loses_pages_in_time_or_none, .timeout = 900)
{
        torture(TORTURE_LATE, 10, 150);
}

Test(pager_torture, a_pager_that_is_stopped_or_given_up_at_any_moment_holds_nobody, .timeout = 900)
{
        torture(TORTURE_ENDING, 60, 1500);
}

Test(pager_torture, vms_of_one_template_see_what_the_model_says_whoever_comes_and_goes, .timeout = 900)
{
        torture(TORTURE_SHARED, 20, 300);
}

/* Pages of 2 MiB for the template, its VMs, and what they write. */
Test(pager_torture, guests_on_pages_of_2_mib_see_what_the_model_says, .timeout = 900)
{
        need_hugetlb(TORTURE_HUGE_UNITS_MAX * (2 + TORTURE_OTHERS_MAX) + 2);
        torture(TORTURE_HUGE, 20, 250);
}
