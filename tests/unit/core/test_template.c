/* A template is found by who comes later, and its socket file goes with who has it last. */
#include "core/template.h"

#include "core/base/units.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 512

static const struct identity one = {"11111111-1111-4111-8111-111111111111"};
static const struct pager_range all = {0, N};

/* Short enough for a socket. */
static void begin(char dir[32])
{
        snprintf(dir, 32, "/tmp/rouse-tpl-XXXXXX");
        cr_assert_not_null(mkdtemp(dir));
}

static size_t sockets(const char *dir)
{
        char pattern[64];
        glob_t g = {0};
        size_t nr;

        snprintf(pattern, sizeof(pattern), "%s/*.sock", dir);
        glob(pattern, 0, NULL, &g);
        nr = g.gl_pathc;
        globfree(&g);
        return nr;
}

static void end(const char *dir)
{
        char path[64];

        snprintf(path, sizeof(path), "%s/templates.lock", dir);
        unlink(path);
        cr_expect_eq(rmdir(dir), 0, "%s is not empty: %m", dir);
}

static void find(const char *dir, struct template **ret)
{
        struct template_ask ask = {.runtime_dir = dir, .identity = &one, .nr_pages = N, .ranges = &all, .nr_ranges = 1};
        struct err e = {0};

        cr_assert_eq(template_find(&ask, ret, &e), 0, "%s", e.text);
        cr_assert_null(template_alone(*ret), "%s", template_alone(*ret));
}

Test(template, the_last_to_have_it_takes_the_socket_file_along)
{
        struct template *first, *second;
        char dir[32];

        begin(dir);
        find(dir, &first);
        find(dir, &second);
        cr_expect(!template_was_there(first) && template_was_there(second));
        cr_expect_eq(sockets(dir), 1);
        template_free(first);
        cr_expect_eq(sockets(dir), 1, "the second one still gives it to others");
        find(dir, &first);
        cr_expect(template_was_there(first));
        template_free(first);
        template_free(second);
        cr_expect_eq(sockets(dir), 0);
        end(dir);
}

/* Another process dies with it, without a chance to remove anything. */
Test(template, what_one_who_was_killed_left_is_replaced_and_then_removed)
{
        struct template *t;
        char dir[32];
        int status;
        pid_t pid;

        begin(dir);
        pid = fork();
        if (pid == 0) {
                find(dir, &t);
                raise(SIGKILL);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status));
        cr_expect_eq(sockets(dir), 1);
        find(dir, &t);
        cr_expect(!template_was_there(t));
        template_free(t);
        cr_expect_eq(sockets(dir), 0);
        end(dir);
}

static struct template_sight look_for(const char *dir)
{
        struct template_ask ask = {.runtime_dir = dir, .identity = &one, .nr_pages = N};
        struct template_sight sight = {.present_pages = 99};

        cr_assert_eq(template_look(&ask, &sight), 0);
        return sight;
}

Test(template, who_looks_where_none_lives_makes_nothing)
{
        char dir[32];

        begin(dir);
        cr_expect(!look_for(dir).lives);
        cr_expect(!look_for("/nonexistent/rouse").lives);
        cr_assert_eq(rmdir(dir), 0, "%s is not empty: %m", dir);
}

/* Has it until it is told to go, with these pages there. */
static pid_t hold(const char *dir, int *ret_go_fd)
{
        int ready[2], go[2];
        char byte;
        pid_t pid;

        cr_assert(pipe(ready) == 0 && pipe(go) == 0);
        pid = fork();
        if (pid == 0) {
                struct template *t;

                close(go[1]);
                find(dir, &t);
                shared_pages_set(template_pages(t), 3, 1);
                shared_pages_set(template_pages(t), 100, 70);
                _exit(write(ready[1], "x", 1) != 1 || read(go[0], &byte, 1) != 0 || (template_free(t), false));
        }
        close(ready[1]);
        close(go[0]);
        cr_assert_eq(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        *ret_go_fd = go[1];
        return pid;
}

Test(template, who_looks_sees_pages_and_holders_and_does_not_keep_it_alive)
{
        struct template_sight sight;
        int go_fd, status;
        char dir[32];
        pid_t pid;

        begin(dir);
        pid = hold(dir, &go_fd);
        for (int i = 0; i < 3; i++) {
                sight = look_for(dir);
                cr_expect(sight.lives);
                cr_expect_eq(sight.present_pages, 71);
                cr_expect(sight.nr_holders == 1 && sight.holders[0] == pid);
        }
        close(go_fd);
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_expect_eq(status, 0);
        cr_expect_eq(sockets(dir), 0);
        cr_expect(!look_for(dir).lives);
        end(dir);
}
