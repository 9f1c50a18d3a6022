/* test_ledger: stamps are read from T0. */
#include "core/model/ledger.h"

#include <criterion/criterion.h>

Test(ledger, a_stamp_is_read_in_microseconds_from_T0)
{
        struct ledger l = { .t_ns = { [LEDGER_T0] = 5000, [LEDGER_T3] = 2005999 } };

        cr_assert_eq(ledger_us(&l, LEDGER_T3), 2000);
        cr_assert_eq(ledger_us(&l, LEDGER_T0), 0);
}

Test(ledger, a_stamp_that_was_not_reached_is_0)
{
        struct ledger l = { .t_ns = { [LEDGER_T0] = 5000 } };

        cr_assert_eq(ledger_us(&l, LEDGER_T4), 0);
}

Test(ledger, a_stamp_before_T0_or_without_one_is_0)
{
        struct ledger late = { .t_ns = { [LEDGER_T0] = 9000, [LEDGER_T1] = 5000 } };
        struct ledger none = { .t_ns = { [LEDGER_T1] = 5000 } };

        cr_assert_eq(ledger_us(&late, LEDGER_T1), 0);
        cr_assert_eq(ledger_us(&none, LEDGER_T1), 0);
}

Test(ledger, classes_of_faults_have_the_names_of_the_json_keys)
{
        static const char *const names[FAULT_CLASSES] = { "demand", "around", "replay", "fill", "zero" };

        for (unsigned int c = 0; c < FAULT_CLASSES; c++)
                cr_assert_str_eq(ledger_fault_name(c), names[c]);
        cr_assert_str_eq(ledger_fault_name(FAULT_CLASSES), "unknown");
}
