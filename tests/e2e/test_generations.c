/* Restore, run, snapshot, restore again: nothing wears off. */
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void check(struct saved s, const struct tmpdir *t)
{
        static const char *const modes[] = {"lazy", "eager", "mmap"};
        char path[4300];

        for (unsigned g = 0; g < 10; g++) {
                snprintf(path, sizeof(path), "%s/generation-%u", t->path, g);
                s = next_generation(&s, path, 4, WORDS("--mode", modes[g % 3]));
        }
        assert_wakes(&s, 51, WORDS("--mode", "lazy"));
}

Test(generations, no_page_is_bad_after_ten_generations_of_two_vcpus, .timeout = 200)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/first", t.path);
        check(make_native(path, "128M", "2"), &t);
}

Test(generations, no_page_is_bad_after_ten_generations_of_a_stratovirt_snapshot, .timeout = 200)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        need_kvm();
        need_uffd();
        check(use_fixture("stratovirt/microvm-128m"), &t);
}
