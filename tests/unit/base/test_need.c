/* test_need: the tests' own support: a lack is a skip, under CI=true a failure; a temporary directory goes without following
 * links. */
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Test(need, a_file_that_is_there_lets_the_test_go_on)
{
        need_file("/proc/self/exe");
}

Test(tmpdir, all_that_is_in_it_goes_and_what_links_lead_to_stays)
{
        struct tmpdir t = tmpdir_new(), other = tmpdir_new();
        struct stat   st;

        tmpdir_write(&other, "kept", "x", 1);
        cr_assert_eq(mkdirat(t.fd, "a", 0700), 0);
        cr_assert_eq(mkdirat(t.fd, "a/b", 0700), 0);
        tmpdir_write(&t, "a/b/c", "x", 1);
        cr_assert_eq(symlinkat(other.path, t.fd, "link"), 0);
        tmpdir_free(&t);
        cr_assert_eq(stat(t.path, &st), -1);
        cr_assert_eq(fstatat(other.fd, "kept", &st, 0), 0);
        tmpdir_free(&other);
}

Test(tmpdir, it_is_where_TMPDIR_says)
{
        struct tmpdir outer = tmpdir_new();

        cr_assert_eq(setenv("TMPDIR", outer.path, 1), 0);
        struct tmpdir inner = tmpdir_new();
        cr_assert_eq(strncmp(inner.path, outer.path, strlen(outer.path)), 0);
        tmpdir_free(&inner);
        tmpdir_free(&outer);
}
