/* test_replace_file: the old file or the new one, and nothing else in the directory. */
#include "core/base/fdio.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void assert_holds(const struct tmpdir *t, const char *name, const char *text)
{
        _cleanup_close_ int  fd = fd_open_beneath(t->fd, name, O_RDONLY, 0);
        _cleanup_free_ void *buf = NULL;
        size_t               len = 0;

        cr_assert_eq(fd_read_all(fd, 4096, &buf, &len), 0);
        cr_assert_str_eq((char *)buf, text);
}

static int count_names(const struct tmpdir *t)
{
        DIR *d = opendir(t->path);
        int  n = 0;

        for (struct dirent *e = readdir(d); e; e = readdir(d))
                n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
        closedir(d);
        return n;
}

Test(replace_file, a_new_file_has_its_bytes_and_its_mode)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct stat                    st;

        cr_assert_eq(fd_replace_file(t.fd, "hints", "abc", 3, 0600), 0);
        assert_holds(&t, "hints", "abc");
        cr_assert_eq(fstatat(t.fd, "hints", &st, 0), 0);
        cr_assert_eq(st.st_mode & 07777, 0600);
        cr_assert_eq(count_names(&t), 1);
}

Test(replace_file, whoever_has_the_old_file_open_keeps_it)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            old_fd = -1;
        char                           buf[4] = { 0 };

        tmpdir_write(&t, "hints", "old", 3);
        old_fd = fd_open_beneath(t.fd, "hints", O_RDONLY, 0);
        cr_assert_eq(fd_replace_file(t.fd, "hints", "new!", 4, 0600), 0);
        assert_holds(&t, "hints", "new!");
        cr_assert_eq(fd_pread_full(old_fd, buf, 3, 0), 3);
        cr_assert_str_eq(buf, "old");
        cr_assert_eq(count_names(&t), 1);
}

Test(replace_file, a_write_that_fails_leaves_the_old_file_alone)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        static char                    bytes[64 * 1024];
        struct rlimit                  small = { .rlim_cur = 4096, .rlim_max = RLIM_INFINITY };

        tmpdir_write(&t, "hints", "old", 3);
        signal(SIGXFSZ, SIG_IGN);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        cr_assert_eq(fd_replace_file(t.fd, "hints", bytes, sizeof(bytes), 0600), -EFBIG);
        assert_holds(&t, "hints", "old");
        cr_assert_eq(count_names(&t), 1);
}

Test(replace_file, a_name_may_lead_into_a_directory_below)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        cr_assert_eq(mkdirat(t.fd, "index", 0700), 0);
        cr_assert_eq(fd_replace_file(t.fd, "index/ab-1-2", "abc", 3, 0600), 0);
        assert_holds(&t, "index/ab-1-2", "abc");
        cr_assert_eq(fd_replace_file(t.fd, "nowhere/x", "abc", 3, 0600), -ENOENT);
}

Test(replace_file, a_name_may_not_lead_out_of_the_directory)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        cr_assert_eq(symlinkat("/tmp", t.fd, "out"), 0);
        cr_assert_eq(fd_replace_file(t.fd, "out/rouse-test-file", "abc", 3, 0600), -EXDEV);
        cr_assert_eq(fd_replace_file(t.fd, "../rouse-test-file", "abc", 3, 0600), -EXDEV);
        cr_assert_eq(fd_replace_file(t.fd, "/tmp/rouse-test-file", "abc", 3, 0600), -EXDEV);
}

Test(replace_file, without_a_directory_any_path_will_do)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];

        snprintf(path, sizeof(path), "%s/hints", t.path);
        cr_assert_eq(fd_replace_file(AT_FDCWD, path, "abc", 3, 0600), 0);
        assert_holds(&t, "hints", "abc");
        cr_assert_eq(chdir(t.path), 0);
        cr_assert_eq(fd_replace_file(AT_FDCWD, "hints", "def", 3, 0600), 0);
        assert_holds(&t, "hints", "def");
}

Test(replace_file, what_would_be_refused_is_told_before_and_nothing_is_written)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];

        snprintf(path, sizeof(path), "%s/hints", t.path);
        cr_expect_eq(fd_may_replace_file(AT_FDCWD, path), 0);
        cr_expect_eq(fd_may_replace_file(t.fd, "hints"), 0);
        cr_expect_eq(count_names(&t), 0);
        cr_assert_eq(mkdirat(t.fd, "dir", 0700), 0);
        cr_assert_eq(symlinkat("fifo", t.fd, "link"), 0);
        cr_expect_eq(fd_may_replace_file(t.fd, "nowhere/x"), -ENOENT);
        cr_expect_eq(fd_may_replace_file(t.fd, "dir"), -EISDIR);
        cr_expect_eq(fd_may_replace_file(t.fd, "link"), -ELOOP);
        cr_expect_eq(fd_may_replace_file(t.fd, "dir/x"), 0);
        cr_expect_lt(fd_may_replace_file(AT_FDCWD, "/proc/self/rouse-test"), 0, "a place where nobody makes files");
}

Test(replace_file, what_is_written_in_place_may_be_a_fifo_or_behind_a_link_but_no_directory)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];

        cr_assert_eq(mkdirat(t.fd, "dir", 0700), 0);
        cr_assert_eq(mkfifoat(t.fd, "fifo", 0600), 0);
        cr_assert_eq(symlinkat("fifo", t.fd, "link"), 0);
        cr_assert_eq(chdir(t.path), 0);
        cr_expect_eq(fd_may_write_file("fifo"), 0);
        cr_expect_eq(fd_may_write_file("link"), 0);
        cr_expect_eq(fd_may_write_file("/dev/null"), 0);
        cr_expect_eq(fd_may_write_file("new"), 0);
        cr_expect_eq(fd_may_write_file("dir"), -EISDIR);
        cr_expect_eq(fd_may_write_file("nowhere/x"), -ENOENT);
        snprintf(path, sizeof(path), "%s/fifo/x", t.path);
        cr_expect_eq(fd_may_write_file(path), -ENOTDIR);
        cr_expect_eq(count_names(&t), 3);
}

Test(replace_file, what_is_not_a_regular_file_is_not_replaced)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        cr_assert_eq(mkdirat(t.fd, "dir", 0700), 0);
        cr_assert_eq(mkfifoat(t.fd, "fifo", 0600), 0);
        cr_assert_eq(symlinkat("fifo", t.fd, "link"), 0);
        cr_assert_eq(fd_replace_file(t.fd, "dir", "abc", 3, 0600), -EISDIR);
        cr_assert_eq(fd_replace_file(t.fd, "fifo", "abc", 3, 0600), -EINVAL);
        cr_assert_eq(fd_replace_file(t.fd, "link", "abc", 3, 0600), -ELOOP);
        cr_assert_eq(fd_replace_file(t.fd, "dir/", "abc", 3, 0600), -EINVAL);
        cr_assert_eq(fd_replace_file(t.fd, "..", "abc", 3, 0600), -EINVAL);
        cr_assert_eq(count_names(&t), 3);
}
