/* A running VM is found by its name, and only by it. */
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct child boot(const char *name)
{
        struct child vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--name", name, "--timeout",
                                "60s");

        cr_assert(child_wait_output(&vm, "TICK 1 ", 60000), "%s", vm.err);
        return vm;
}

Test(names, a_snapshot_of_a_name_that_nobody_has_fails_and_says_so, .timeout = 30)
{
        struct child c = RUN(10000, rouse_program(), "snapshot", "nobody-has-this", "/tmp/never");

        cr_expect_eq(c.status, 1);
        cr_expect(strstr(c.err, "nobody-has-this"), "%s", c.err);
        child_free(&c);
}

Test(names, a_second_vm_of_the_same_name_is_refused, .timeout = 60)
{
        char name[64];
        struct child vm, second;

        need_kvm();
        vm = boot(unique_name(name));
        second = RUN(20000, rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--name", name);
        cr_expect_eq(second.status, 1, "exit %d", second.status);
        cr_expect(strstr(second.err, name), "%s", second.err);
        child_kill(&vm, SIGTERM);
        cr_expect_eq(child_wait(&vm, 10000), 128 + SIGTERM);
        child_free(&vm);
        child_free(&second);
}

Test(names, a_name_is_free_again_after_a_kill, .timeout = 60)
{
        char name[64];
        struct child vm;

        need_kvm();
        vm = boot(unique_name(name));
        child_kill(&vm, SIGKILL);
        child_wait(&vm, 10000);
        child_free(&vm);
        vm = boot(name);
        child_free(&vm);
}

static bool is_there(const char *dir, const char *name, const char *what)
{
        char path[4500];

        snprintf(path, sizeof(path), "%s/rouse/%s.%s", dir, name, what);
        return access(path, F_OK) == 0;
}

Test(names, what_has_ended_or_never_ran_leaves_no_file_in_the_runtime_directory, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct child vm, failed;

        need_kvm();
        setenv("XDG_RUNTIME_DIR", t.path, 1);
        vm = boot("web");
        cr_expect(is_there(t.path, "web", "sock") && is_there(t.path, "web", "lock"));
        child_kill(&vm, SIGTERM);
        cr_expect_eq(child_wait(&vm, 10000), 128 + SIGTERM);
        cr_expect(!is_there(t.path, "web", "sock") && !is_there(t.path, "web", "lock"));
        failed = RUN(20000, rouse_program(), "restore", t.path, "--name", "bad");
        cr_expect_eq(failed.status, 4, "%s", failed.err);
        cr_expect(!is_there(t.path, "bad", "lock"));
        child_free(&failed);
        child_free(&vm);
}

Test(names, a_snapshot_over_an_existing_directory_is_refused_without_replace, .timeout = 90)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char name[64], path[4300];
        struct child vm, c;
        struct stat before, after;

        need_kvm();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        vm = boot(unique_name(name));
        c = RUN(30000, rouse_program(), "snapshot", name, path);
        cr_expect_eq(c.status, 0, "%s", c.err);
        child_free(&c);
        cr_assert_eq(stat(path, &before), 0);
        cr_expect_eq(before.st_mode & 0777, 0700);
        c = RUN(30000, rouse_program(), "snapshot", name, path);
        cr_expect_eq(c.status, 1, "exit %d: %s", c.status, c.err);
        cr_assert_eq(stat(path, &after), 0);
        cr_expect_eq(before.st_ino, after.st_ino);
        child_free(&c);
        c = RUN(30000, rouse_program(), "snapshot", name, path, "--replace", "--then", "quit");
        cr_expect_eq(c.status, 0, "%s", c.err);
        cr_expect_eq(child_wait(&vm, 10000), 0);
        cr_assert_eq(stat(path, &after), 0);
        cr_expect_neq(before.st_ino, after.st_ino);
        child_free(&vm);
        child_free(&c);
}

Test(names, a_vm_goes_on_after_a_snapshot_that_resumes_it, .timeout = 90)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char name[64], path[4300];
        struct beacon_tick first;
        struct child vm, c;
        const char *ticks;

        need_kvm();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--cpus", "2", "--name",
                   unique_name(name), "--until", "TICK 60 ",
                   "--timeout", "60s");
        cr_assert(child_wait_output(&vm, "TICK 2 ", 60000), "%s", vm.err);
        c = RUN(30000, rouse_program(), "snapshot", name, path, "--then", "resume");
        cr_expect_eq(c.status, 0, "%s", c.err);
        cr_expect_eq(child_wait(&vm, 60000), 0, "%s", vm.err);
        cr_assert(beacon_first(vm.out, &first));
        ticks = strstr(vm.out, "TICK ");
        beacon_assert_goes_on(ticks, 1, first.nonce, 60);
        child_free(&vm);
        child_free(&c);
}

static int connect_to(const char *runtime_dir, const char *name)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        snprintf(a.sun_path, sizeof(a.sun_path), "%.40s/rouse/%.50s.sock", runtime_dir, name);
        cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0, "connect to %s", a.sun_path);
        return fd;
}

static void send_text(int fd, const char *text)
{
        cr_assert_eq(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* One request, one line. */
static void assert_answer(int fd, const char *holds)
{
        char answer[2000] = "";
        size_t len = 0;

        while (len < sizeof(answer) - 1 && recv(fd, answer + len, 1, 0) == 1 && answer[len] != '\n')
                len++;
        cr_assert(strstr(answer, holds), "expected %s in: %s", holds, answer);
}

Test(names, garbage_half_a_line_and_a_client_that_hangs_up_harm_nothing, .timeout = 60)
{
        char name[64], dir[] = "/tmp/rouse-e2e-XXXXXX"; /* short: a socket's path has 108 bytes */
        struct child vm;
        int one, two;

        need_kvm();
        cr_assert_not_null(mkdtemp(dir));
        setenv("XDG_RUNTIME_DIR", dir, 1);
        vm = boot(unique_name(name));
        one = connect_to(dir, name);
        two = connect_to(dir, name);
        send_text(one, "\x01\x02 nonsense\n");
        assert_answer(one, "error");
        send_text(one, "[1]\n{\"execute\":7}\n");
        assert_answer(one, "error");
        assert_answer(one, "error");
        send_text(one, "{\"execute\":\"snapshot\",\"arguments\":{\"dir\":\"relative\"}}\n");
        assert_answer(one, "absolute");
        send_text(two, "{\"execute\":");
        close(one);
        send_text(two, "\"status\"}\n{\"execute\":\"pause\"}\n");
        assert_answer(two, "running");
        assert_answer(two, "return");
        send_text(two, "{\"execute\":\"status\"}\n");
        assert_answer(two, "paused");
        send_text(two, "{\"execute\":\"resume\"}\n{\"execute\":\"quit\"}\n");
        cr_expect_eq(child_wait(&vm, 20000), 0, "%s", vm.err);
        close(two);
        child_free(&vm);
}
