/* kill -9 at any moment of a restore: the snapshot is untouched, nothing that others need is held, and the next restore works. */
#include "tests/support/fixture.h"
#include "tests/support/huge_pool.h"
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

static void kill_one(const struct saved *s, unsigned after_us, const char *const *words)
{
        const char *argv[24] = { rouse_program(), "restore", s->path, "--timeout", "60s" };
        struct child vm;

        for (size_t i = 0; words[i]; i++)
                argv[5 + i] = words[i];
        vm = child_start(argv);
        usleep(after_us);
        child_kill(&vm, SIGKILL);
        cr_expect_eq(child_wait(&vm, 10000), 128 + SIGKILL, "%s%s", vm.out, vm.err);
        child_free(&vm);
}

/* A restore reaches its first ticks in 60 ms. */
static void kill_many(const struct saved *s, unsigned kills, const char *const *words)
{
        char before[300], after[300];

        read_sums(s->path, before);
        srandom(20261121);
        for (unsigned i = 0; i < kills; i++)
                kill_one(s, (unsigned)random() % 60000, words);
        read_sums(s->path, after);
        cr_expect_str_eq(after, before, "the snapshot has changed");
        assert_wakes(s, 20, words);
}

/* make check-full has ten times as many. */
static unsigned full(unsigned kills)
{
        return getenv("ROUSE_FULL") ? 10 * kills : kills;
}

static struct tmpdir begin(void)
{
        struct tmpdir t = tmpdir_new();

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", t.path, 1); /* the index is killed in the middle too */
        setenv("XDG_RUNTIME_DIR", t.path, 1);
        return t;
}

Test(kill, kills_at_random_moments_leave_the_snapshot_untouched_and_restorable, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = begin();
        struct saved s = use_fixture("stratovirt/microvm-128m");

        kill_many(&s, full(20), WORDS("--mode", "lazy"));
}

Test(kill, the_same_with_a_memfd_and_in_mode_auto_under_one_name, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = begin();
        struct saved s = use_fixture("stratovirt/microvm-128m");

        kill_many(&s, full(6), WORDS("--name", "victim", "--memory-backing", "memfd", "--mode", "lazy"));
        kill_many(&s, full(6), WORDS("--name", "victim"));
}

Test(kill, the_same_of_a_packed_snapshot, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = begin();
        struct saved s = use_fixture("stratovirt/microvm-128m");
        char packed[4300];
        struct child c;

        snprintf(packed, sizeof(packed), "%s/packed", t.path);
        c = RUN(60000, rouse_program(), "convert", s.path, packed, "--pack", "lz4");
        cr_assert_eq(c.status, 0, "%s", c.err);
        child_free(&c);
        snprintf(s.path, sizeof(s.path), "%s/packed", t.path);
        kill_many(&s, full(6), WORDS("--mode", "lazy"));
        kill_many(&s, full(3), WORDS("--mode", "auto"));
}

static long huge_pages_free(void)
{
        struct child c = RUN(10000, "sed", "-n", "s/^HugePages_Free: *//p", "/proc/meminfo");
        long n = strtol(c.out, NULL, 10);

        child_free(&c);
        return n;
}

TestSuite(kill, .fini = huge_pool_give_back);

Test(kill, huge_pages_of_killed_vms_go_back_to_the_pool, .timeout = 300)
{
        _cleanup_tmpdir_ struct tmpdir t = begin();
        struct saved s = use_fixture("stratovirt/microvm-128m");

        need_hugetlb(80); /* for one VM and no second one, were anything left behind */
        for (unsigned i = 0; i < full(3); i++)
                kill_one(&s, 10000 + (unsigned)random() % 60000, WORDS("--memory-backing", "hugetlb", "--mode", "eager"));
        for (int tries = 0; huge_pages_free() < 64 && tries < 100; tries++)
                usleep(100000); /* another test may use some for a while */
        assert_wakes(&s, 20, WORDS("--memory-backing", "hugetlb", "--mode", "eager"));
}
