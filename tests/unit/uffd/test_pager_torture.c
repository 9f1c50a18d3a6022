/* The torture chamber: schedules drawn from seeds drive a pager with everything at once, and every page must be what the model says. */
#include "tests/unit/uffd/torture.h"

Test(pager_torture, a_guest_of_one_thread_sees_what_the_model_says_whatever_goes_wrong, .timeout = 900)
{
        torture(TORTURE_ALONE, 40, 600);
}

Test(pager_torture, threads_that_touch_write_and_give_back_beside_replay_and_fill_see_what_the_model_says, .timeout = 900)
{
        torture(TORTURE_TOGETHER, 60, 1500);
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
