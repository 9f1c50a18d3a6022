/* kill -9 at any moment of a restore: the snapshot is untouched and the next restore works. */
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void read_sums(const char *dir, char sums[300])
{
        struct child c = RUN(60000, "sh", "-c", "cd \"$0\" && cat state memory pages 2>/dev/null | cksum", dir);

        snprintf(sums, 300, "%s", c.out);
        child_free(&c);
}

static void kill_one(const struct saved *s, unsigned after_us)
{
        struct child vm = START(rouse_program(), "restore", s->path, "--mode", "lazy", "--timeout", "60s");

        usleep(after_us);
        child_kill(&vm, SIGKILL);
        cr_expect_eq(child_wait(&vm, 10000), 128 + SIGKILL);
        child_free(&vm);
}

static void check(unsigned kills)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = use_fixture("stratovirt/microvm-128m");
        char before[300], after[300];

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", t.path, 1); /* the index is killed in the middle too */
        read_sums(s.path, before);
        srandom(20261121);
        for (unsigned i = 0; i < kills; i++)
                kill_one(&s, (unsigned)random() % 60000); /* a restore reaches its first ticks in that time */
        read_sums(s.path, after);
        cr_expect_str_eq(after, before, "the snapshot has changed");
        assert_wakes(&s, 20, WORDS("--mode", "lazy"));
}

Test(kill, kills_at_random_moments_leave_the_snapshot_untouched_and_restorable, .timeout = 300)
{
        check(getenv("ROUSE_FULL") ? 200 : 20); /* make check-full has the 200 */
}
