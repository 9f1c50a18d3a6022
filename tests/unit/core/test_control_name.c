/* test_control_name: a name is one process's at a time, and leaves no file. */
#include "core/control/server.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROCESSES 4
#define TIMES     500

static unsigned nr_files(const char *path)
{
        DIR           *d = opendir(path);
        struct dirent *e;
        unsigned       nr = 0;

        cr_assert(d);
        while ((e = readdir(d)))
                nr += e->d_name[0] != '.';
        closedir(d);
        return nr;
}

Test(control_name, one_that_is_taken_is_refused_until_it_is_left_and_then_no_file_is_left_either)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct err                     e = { 0 };
        int                            fd = control_name_take(t.path, "web", &e);

        cr_assert_geq(fd, 0, "%s", e.text);
        cr_expect_eq(nr_files(t.path), 1);
        cr_expect_eq(control_name_take(t.path, "web", &e), -EADDRINUSE);
        control_name_leave(t.path, "web", fd);
        cr_expect_eq(nr_files(t.path), 0);
        fd = control_name_take(t.path, "web", &e);
        cr_assert_geq(fd, 0, "%s", e.text);
        control_name_leave(t.path, "web", fd);
}

/* 0: it had the name often enough, and never beside somebody else, who would have the other file. */
static int take_and_leave(const char *dir, const char *mine)
{
        for (int had = 0; had < TIMES;) {
                struct err e = { 0 };
                int        fd = control_name_take(dir, "web", &e), only;

                if (fd == -EADDRINUSE)
                        continue;
                only = fd < 0 ? -1 : open(mine, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
                if (only < 0 || unlink(mine) < 0)
                        return 1;
                close(only);
                control_name_leave(dir, "web", fd);
                had++;
        }
        return 0;
}

Test(control_name, of_many_who_take_and_leave_it_only_one_has_it_at_a_time)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           dir[4300], mine[4300];
        pid_t                          pids[PROCESSES];

        snprintf(dir, sizeof(dir), "%s/run", t.path);
        snprintf(mine, sizeof(mine), "%s/mine", t.path);
        for (int i = 0; i < PROCESSES; i++) {
                pids[i] = fork();
                cr_assert_geq(pids[i], 0);
                if (pids[i] == 0)
                        _exit(take_and_leave(dir, mine));
        }
        for (int i = 0; i < PROCESSES; i++) {
                int st = -1;

                cr_assert_eq(waitpid(pids[i], &st, 0), pids[i]);
                cr_expect(WIFEXITED(st) && WEXITSTATUS(st) == 0, "status %#x", (unsigned)st);
        }
        cr_expect_eq(nr_files(dir), 0);
}
