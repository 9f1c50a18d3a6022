/* Restore, run, snapshot, restore again: nothing wears off. */
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Wakes s in this mode, lets it run, saves it at path. */
static struct saved next_generation(const struct saved *s, const char *mode, const char *path)
{
        char name[64], text[64];
        struct child vm = START(rouse_program(), "restore", s->path, "--mode", mode, "--name", unique_name(name), "--timeout", "60s");
        struct saved ret;

        snprintf(text, sizeof(text), "TICK %llu ", (unsigned long long)s->next.n + 4);
        cr_assert(child_wait_output(&vm, text, 60000), "no %s in:\n%s%s", text, vm.out, vm.err);
        ret = save_and_quit(&vm, name, path);
        assert_joins(s, vm.out, 4);
        child_free(&vm);
        return ret;
}

static void check(struct saved s, const struct tmpdir *t)
{
        static const char *const modes[] = {"lazy", "eager", "mmap"};
        char path[4300];

        for (unsigned g = 0; g < 10; g++) {
                snprintf(path, sizeof(path), "%s/generation-%u", t->path, g);
                s = next_generation(&s, modes[g % 3], path);
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
