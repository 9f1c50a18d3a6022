/* The guest's serial port as a file and as a socket. */
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_to(const char *path)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
        for (int i = 0; connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0; i++) {
                cr_assert_lt(i, 1000, "connect to %s", path);
                usleep(10000);
        }
        return fd;
}

static void expect_text(int fd, const char *text)
{
        char buf[20000] = "";
        size_t len = 0;

        while (!strstr(buf, text)) {
                ssize_t n = recv(fd, buf + len, sizeof(buf) - 1 - len, 0);

                cr_assert(n > 0, "expected '%s' in:\n%s", text, buf);
                len += (size_t)n;
                buf[len] = 0;
        }
}

Test(serial_socket, a_client_reads_what_was_said_before_it_came_and_the_next_one_goes_on, .timeout = 60)
{
        char dir[] = "/tmp/rouse-e2e-XXXXXX", path[64], word[80]; /* short: a socket's path has 108 bytes */
        struct child vm;
        struct stat st;
        int fd;

        need_kvm();
        cr_assert_not_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/s", dir);
        snprintf(word, sizeof(word), "unix=%s", path);
        vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--serial", word, "--mark", "TICK 3 ",
                   "--timeout", "40s");
        fd = connect_to(path);
        expect_text(fd, "BOOT ");
        expect_text(fd, "TICK 2 ");
        cr_assert_eq(stat(path, &st), 0);
        cr_expect_eq(st.st_mode & 0777, 0600);
        close(fd);
        fd = connect_to(path);
        expect_text(fd, "TICK ");
        child_kill(&vm, SIGTERM);
        cr_expect_eq(child_wait(&vm, 10000), 128 + SIGTERM);
        cr_expect_str_empty(vm.out);
        cr_expect_neq(stat(path, &st), 0, "the socket file is gone with its VM");
        close(fd);
        child_free(&vm);
        rmdir(dir);
}

/* beacon never reads its serial port. */
Test(serial_socket, a_client_that_typed_what_the_guest_never_reads_can_leave_and_another_one_come, .timeout = 60)
{
        char dir[] = "/tmp/rouse-e2e-XXXXXX", path[64], word[80], typed[64 << 10];
        struct child vm;
        int fd;

        need_kvm();
        cr_assert_not_null(mkdtemp(dir));
        snprintf(path, sizeof(path), "%s/s", dir);
        snprintf(word, sizeof(word), "unix=%s", path);
        vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--serial", word, "--timeout", "40s");
        memset(typed, 'x', sizeof(typed));
        for (int i = 0; i < 2; i++) {
                fd = connect_to(path);
                expect_text(fd, "TICK ");
                cr_assert_gt(send(fd, typed, sizeof(typed), MSG_DONTWAIT), 16 << 10);
                usleep(200000);
                close(fd);
        }
        fd = connect_to(path);
        expect_text(fd, "TICK ");
        close(fd);
        child_kill(&vm, SIGTERM);
        cr_expect_eq(child_wait(&vm, 10000), 128 + SIGTERM);
        child_free(&vm);
        rmdir(dir);
}

Test(serial_socket, a_file_is_appended_to, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char word[4300], text[20000] = "";
        struct child vm;
        int fd;

        need_kvm();
        tmpdir_write(&t, "log", "before\n", 7);
        snprintf(word, sizeof(word), "file=%s/log", t.path);
        vm = RUN(50000, rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--serial", word, "--until",
                 "TICK 1 ", "--timeout", "40s");
        cr_expect_eq(vm.status, 0, "%s", vm.err);
        cr_expect_str_empty(vm.out);
        fd = openat(t.fd, "log", O_RDONLY | O_CLOEXEC);
        cr_assert_gt(read(fd, text, sizeof(text) - 1), 0);
        cr_expect_eq(strncmp(text, "before\nBOOT ", 12), 0, "%s", text);
        cr_expect(strstr(text, "TICK 1 "), "%s", text);
        close(fd);
        child_free(&vm);
}

Test(serial_socket, a_path_that_is_no_socket_is_refused_before_anything_starts, .timeout = 20)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char word[4300];
        struct child vm;

        tmpdir_write(&t, "file", "x", 1);
        snprintf(word, sizeof(word), "unix=%s/file", t.path);
        vm = RUN(10000, rouse_program(), "run", "--kernel", guest_path(), "--serial", word);
        cr_expect_eq(vm.status, 1, "exit %d", vm.status);
        cr_expect(strstr(vm.err, "file"), "%s", vm.err);
        child_free(&vm);
}
