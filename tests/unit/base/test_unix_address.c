/* Sockets at paths of any length. */
#include "core/base/cleanup.h"
#include "core/base/unix_address.h"
#include "core/base/unix_listen.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory in *t whose path is longer than an address. */
static void long_dir(const struct tmpdir *t, char *ret, size_t size)
{
        char name[121];

        memset(name, 'd', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        cr_assert_lt((size_t)snprintf(ret, size, "%s/%s", t->path, name), size);
        cr_assert_eq(mkdir(ret, 0700), 0);
}

Test(unix_address, who_listens_at_a_long_path_is_found_there)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int listening = -1, dir_fd = -1, fd = -1;
        char dir[PATH_MAX - 10], path[PATH_MAX];
        struct sockaddr_un a;
        struct err e = {0};
        struct stat st;

        long_dir(&t, dir, sizeof(dir));
        snprintf(path, sizeof(path), "%s/s.sock", dir);
        listening = unix_listen(path, 1, &e);
        cr_assert_geq(listening, 0, "%s", e.text);
        cr_assert_eq(lstat(path, &st), 0);
        cr_assert(S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0600);
        cr_assert_eq(unix_address(path, &a, &dir_fd), 0);
        cr_assert_geq(dir_fd, 0);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(connect(fd, (const struct sockaddr *)&a, sizeof(a)), 0, "%m");
        cr_assert_eq(unix_listen(path, 1, &e), -EADDRINUSE);
}

Test(unix_address, a_socket_that_nobody_listens_at_any_more_is_replaced_at_a_long_path_too)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int again = -1;
        char dir[PATH_MAX - 10], path[PATH_MAX];
        struct err e = {0};

        long_dir(&t, dir, sizeof(dir));
        snprintf(path, sizeof(path), "%s/s.sock", dir);
        close(unix_listen(path, 1, &e));
        again = unix_listen(path, 1, &e);
        cr_assert_geq(again, 0, "%s", e.text);
}

Test(unix_address, a_short_path_stands_in_the_address_as_it_is)
{
        struct sockaddr_un a;
        int dir_fd = 0;

        cr_assert_eq(unix_address("relative.sock", &a, &dir_fd), 0);
        cr_assert_str_eq(a.sun_path, "relative.sock");
        cr_assert_eq(dir_fd, -1);
}

Test(unix_address, a_name_that_is_too_long_or_a_directory_that_is_not_there_is_refused)
{
        struct sockaddr_un a;
        int dir_fd;
        char path[300] = "/tmp/";

        memset(path + 5, 'n', 120);
        cr_assert_eq(unix_address(path, &a, &dir_fd), -ENAMETOOLONG);
        memcpy(path + 120, "/s", 3);
        cr_assert_eq(unix_address(path, &a, &dir_fd), -ENOENT);
        cr_assert_eq(unix_address(path + 1, &a, &dir_fd), -ENOENT);
}
