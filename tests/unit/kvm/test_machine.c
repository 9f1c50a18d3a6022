/* The microvm's memory map. */
#include "kvm/machine/machine.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(machine, memory_up_to_3_gib_is_one_window_at_0)
{
        struct mem_layout l;
        struct err        e = { 0 };

        cr_assert_eq(machine_layout(&machine_microvm, 3 * GIB, &l, &e), 0, "%s", e.text);
        cr_assert_eq(l.nr, 1);
        cr_assert_eq(l.w[0].gpa, 0);
        cr_assert_eq(l.total_bytes, 3 * GIB);
}

Test(machine, memory_above_3_gib_goes_on_at_4_gib_without_a_gap_in_ram)
{
        struct mem_layout l;
        struct err        e = { 0 };

        cr_assert_eq(machine_layout(&machine_microvm, 4 * GIB, &l, &e), 0, "%s", e.text);
        cr_assert_eq(l.nr, 2);
        cr_assert_eq(l.w[0].size_bytes, 3 * GIB);
        cr_assert_eq(l.w[1].gpa, 4 * GIB);
        cr_assert_eq(l.w[1].size_bytes, GIB);
        cr_assert_eq(l.w[1].ram_offset_bytes, 3 * GIB);
}

Test(machine, a_size_that_is_not_in_pages_or_out_of_range_is_wrong_usage)
{
        const uint64_t bad[] = { 0, MIB - PAGE_BYTES, MIB + 1, 512 * GIB + PAGE_BYTES, UINT64_MAX };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct mem_layout l = { .nr = 77 };
                struct err        e = { 0 };

                cr_assert_eq(machine_layout(&machine_microvm, bad[i], &l, &e), -EINVAL);
                cr_assert_eq(e.kind, ERR_USAGE);
                cr_assert_eq(l.nr, 77, "the output stays untouched");
        }
}

Test(machine, a_kind_is_found_or_not)
{
        cr_assert_eq(machine_find(MACHINE_MICROVM), &machine_microvm);
        cr_assert_null(machine_find((enum machine_kind)99));
}
