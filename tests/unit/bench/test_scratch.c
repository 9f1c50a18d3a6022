/* The directory of a bench: gone at its end, also where that was kill -9, and never another one's. */
#include "bench/run/scratch.h"

#include "core/base/cleanup.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 30000

static bool is_there(const struct tmpdir *t, const char *name)
{
        return faccessat(t->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct tmpdir place_new(void)
{
        struct tmpdir t = tmpdir_new();

        setenv("TMPDIR", t.path, 1);
        return t;
}

static void make_dir(const struct tmpdir *t, const char *name, bool marked)
{
        char leaf[100];

        cr_assert_eq(mkdirat(t->fd, name, 0700), 0);
        snprintf(leaf, sizeof(leaf), "%s/" SCRATCH_MARK, name);
        if (marked)
                tmpdir_write(t, leaf, "", 0);
        snprintf(leaf, sizeof(leaf), "%s/file", name);
        tmpdir_write(t, leaf, "x", 1);
}

Test(scratch, what_a_dead_bench_left_is_removed_and_nothing_that_is_not_surely_its)
{
        _cleanup_tmpdir_ struct tmpdir t = place_new();
        _cleanup_close_ int held = -1;
        struct scratch s;
        struct err e = {0};

        make_dir(&t, "rouse-bench-dead00", true);
        make_dir(&t, "rouse-bench-held00", true);
        make_dir(&t, "rouse-bench-bare00", false);
        make_dir(&t, "rouse-bench-open00", true);
        make_dir(&t, "somebody-else", true);
        cr_assert_eq(fchmodat(t.fd, "rouse-bench-open00", 0755, 0), 0);
        cr_assert_eq(symlinkat("somebody-else", t.fd, "rouse-bench-link00"), 0);
        held = openat(t.fd, "rouse-bench-held00", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert(held >= 0 && flock(held, LOCK_EX) == 0);
        cr_assert_eq(scratch_make(&s, &e), 0, "%s", e.text);
        cr_expect_not(is_there(&t, "rouse-bench-dead00"));
        cr_expect(is_there(&t, "rouse-bench-held00/file"), "its bench lives");
        cr_expect(is_there(&t, "rouse-bench-bare00/file"), "no bench has marked it");
        cr_expect(is_there(&t, "rouse-bench-open00/file"), "a bench makes none with that mode");
        cr_expect(is_there(&t, "rouse-bench-link00") && is_there(&t, "somebody-else/file"));
        scratch_remove(&s);
}

Test(scratch, a_second_bench_leaves_the_first_ones_directory_alone)
{
        _cleanup_tmpdir_ struct tmpdir t = place_new();
        struct scratch a, b;
        struct err e = {0};

        cr_assert_eq(scratch_make(&a, &e), 0, "%s", e.text);
        cr_assert_eq(scratch_make(&b, &e), 0, "%s", e.text);
        cr_expect_eq(access(a.path, F_OK), 0);
        cr_expect_eq(access(b.path, F_OK), 0);
        scratch_remove(&a);
        cr_expect_eq(access(b.path, F_OK), 0);
        scratch_remove(&b);
}

Test(scratch, a_relative_tmpdir_becomes_an_absolute_path_for_those_who_stand_elsewhere)
{
        _cleanup_tmpdir_ struct tmpdir t = place_new();
        struct scratch s;
        struct err e = {0};

        cr_assert_eq(chdir(t.path), 0);
        setenv("TMPDIR", ".", 1);
        cr_assert_eq(scratch_make(&s, &e), 0, "%s", e.text);
        cr_expect_eq(s.path[0], '/', "%s", s.path);
        cr_expect_str_eq(getenv(GUARD_ENV), s.path);
        scratch_remove(&s);
}

static void wait_gone(const char *path)
{
        for (int i = 0; i < PATIENCE_MS / 10 && access(path, F_OK) == 0; i++)
                usleep(10000);
        cr_expect_neq(access(path, F_OK), 0, "%s stays", path);
}

/* Its path goes to fd; then it waits to be killed. */
static pid_t fork_owner(int fd, const char *also)
{
        pid_t pid = fork();
        struct scratch s;
        struct err e = {0};

        cr_assert_geq(pid, 0);
        if (pid)
                return pid;
        if (scratch_make(&s, &e) < 0)
                _exit(1);
        guard_add(&s.guard, also);
        if (write(fd, s.path, sizeof(s.path)) < 0)
                _exit(1);
        for (;;)
                pause();
}

Test(scratch, an_owner_that_is_killed_has_its_directory_removed_and_those_that_it_named_if_they_are_empty)
{
        _cleanup_tmpdir_ struct tmpdir t = place_new();
        char path[PATH_MAX], also[PATH_MAX + 8];
        int fds[2];
        pid_t pid;

        snprintf(also, sizeof(also), "%s/also", t.path);
        cr_assert_eq(mkdir(also, 0700), 0);
        cr_assert_eq(pipe(fds), 0);
        pid = fork_owner(fds[1], also);
        cr_assert_eq(read(fds[0], path, sizeof(path)), (ssize_t)sizeof(path));
        cr_assert_eq(access(path, F_OK), 0);
        cr_assert_eq(kill(pid, SIGKILL), 0);
        cr_assert_eq(waitpid(pid, NULL, 0), pid);
        wait_gone(path);
        wait_gone(also);
        close(fds[0]);
        close(fds[1]);
}

Test(scratch, a_scratch_that_is_removed_dismisses_its_guard_which_kills_nobody)
{
        _cleanup_tmpdir_ struct tmpdir t = place_new();
        struct scratch s;
        struct err e = {0};
        pid_t pid;
        int status = 0;

        cr_assert_eq(scratch_make(&s, &e), 0, "%s", e.text);
        pid = fork();
        if (pid == 0) {
                execlp("sleep", "sleep", "1", (char *)NULL); /* ours by its environment, and longer here than a guard looks */
                _exit(127);
        }
        usleep(100000);
        scratch_remove(&s);
        cr_expect_null(getenv(GUARD_ENV));
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", status);
}
