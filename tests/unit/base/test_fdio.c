/* test_fdio: whole reads and writes, and names that cannot leave their directory. */
#include "core/base/fdio.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

Test(fdio, a_name_below_the_directory_opens_close_on_exec)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = -1;

        tmpdir_write(&t, "memory", "abc", 3);
        fd = fd_open_beneath(t.fd, "memory", O_RDONLY, 0);
        cr_assert_geq(fd, 0);
        cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

Test(fdio, a_name_that_is_not_there_is_ENOENT)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        cr_assert_eq(fd_open_beneath(t.fd, "memory", O_RDONLY, 0), -ENOENT);
}

Test(fdio, nothing_outside_the_directory_opens)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        cr_assert_eq(symlinkat("/etc/passwd", t.fd, "absolute"), 0);
        cr_assert_eq(symlinkat("../../../../../../../../etc/passwd", t.fd, "upwards"), 0);
        cr_assert_eq(symlinkat("/proc/self/fd/0", t.fd, "magic"), 0);
        cr_assert_eq(fd_open_beneath(t.fd, "absolute", O_RDONLY, 0), -EXDEV);
        cr_assert_eq(fd_open_beneath(t.fd, "upwards", O_RDONLY, 0), -EXDEV);
        cr_assert_eq(fd_open_beneath(t.fd, "magic", O_RDONLY, 0), -EXDEV);
        cr_assert_eq(fd_open_beneath(t.fd, "..", O_RDONLY, 0), -EXDEV);
        cr_assert_eq(fd_open_beneath(t.fd, "/etc/passwd", O_RDONLY, 0), -EXDEV);
}

Test(fdio, a_link_that_stays_inside_opens)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = -1;

        tmpdir_write(&t, "memory", "abc", 3);
        cr_assert_eq(symlinkat("memory", t.fd, "link"), 0);
        fd = fd_open_beneath(t.fd, "link", O_RDONLY, 0);
        cr_assert_geq(fd, 0);
}

Test(fdio, a_file_is_created_with_its_mode)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = fd_open_beneath(t.fd, "new", O_RDWR | O_CREAT | O_EXCL, 0600);
        struct stat                    st;

        cr_assert_geq(fd, 0);
        cr_assert_eq(fstat(fd, &st), 0);
        cr_assert_eq(st.st_mode & 07777, 0600);
}

Test(fdio, a_mode_without_a_creation_is_no_error)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = -1;

        tmpdir_write(&t, "memory", "abc", 3);
        fd = fd_open_beneath(t.fd, "memory", O_RDONLY, 0600);
        cr_assert_geq(fd, 0);
}

Test(fdio, what_is_written_at_an_offset_is_read_there)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = fd_open_beneath(t.fd, "f", O_RDWR | O_CREAT, 0600);
        char                           buf[8] = { 0 };

        cr_assert_eq(fd_pwrite_full(fd, "hello", 5, 4096), 0);
        cr_assert_eq(fd_pread_full(fd, buf, 5, 4096), 5);
        cr_assert_str_eq(buf, "hello");
        cr_assert_eq(fd_pread_full(fd, buf, 5, 4101), 0, "it ends there");
}

Test(fdio, a_read_past_the_end_says_how_much_there_was)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = -1;
        char                           buf[8];

        tmpdir_write(&t, "f", "hello", 5);
        fd = fd_open_beneath(t.fd, "f", O_RDONLY, 0);
        cr_assert_eq(fd_pread_full(fd, buf, sizeof(buf), 2), 3);
        cr_assert_eq(fd_pread_full(fd, buf, sizeof(buf), 5), 0);
        cr_assert_eq(fd_pread_full(fd, buf, sizeof(buf), 1ULL << 40), 0);
}

Test(fdio, an_offset_that_no_file_has_is_refused)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = fd_open_beneath(t.fd, "f", O_RDWR | O_CREAT, 0600);
        char                           buf[8] = { 0 };

        cr_assert_eq(fd_pread_full(fd, buf, sizeof(buf), UINT64_MAX), -EINVAL);
        cr_assert_eq(fd_pread_full(fd, buf, sizeof(buf), INT64_MAX - 1), -EINVAL);
        cr_assert_eq(fd_pwrite_full(fd, buf, sizeof(buf), UINT64_MAX - 4), -EFBIG);
}

/* A file that may not grow takes less than it was given: the pieces go on from there, and fail there. */
Test(fdio, pieces_are_written_one_behind_the_other_as_far_as_there_is_room)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = openat(t.fd, "pieces", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        const struct rlimit            limit = { 10, 10 };
        char                           found[11] = "", letters[] = "abcde", digits[] = "0123456789xyz";

        cr_assert_eq(fd_pwritev_full(fd, (struct iovec[]){ { letters, 2 }, { letters, 0 }, { letters + 2, 3 } }, 3, 1), 0);
        cr_assert_eq(fd_pread_full(fd, found, 10, 0), 6);
        cr_assert_eq(memcmp(found, "\0abcde", 6), 0);
        signal(SIGXFSZ, SIG_IGN);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        cr_assert_eq(fd_pwritev_full(fd, (struct iovec[]){ { digits, 5 }, { digits + 5, 2 }, { digits + 7, 6 } }, 3, 0), -EFBIG);
        cr_assert_eq(fd_pread_full(fd, found, 10, 0), 10);
        cr_assert_str_eq(found, "0123456789");
}

Test(fdio, a_full_device_is_ENOSPC)
{
        _cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

        cr_assert_eq(fd_write_full(fd, "x", 1), -ENOSPC);
}

/* Writes as a child, so that the pipe fills up while somebody reads. */
static pid_t write_in_child(int read_fd, int write_fd, const void *buf, size_t len_bytes)
{
        pid_t child = fork();

        if (child == 0) {
                close(read_fd);
                _exit(fd_write_full(write_fd, buf, len_bytes) == 0 ? 0 : 1);
        }
        close(write_fd);
        return child;
}

Test(fdio, a_write_into_a_pipe_goes_on_until_all_is_out)
{
        static char bytes[MIB]; /* 16 times what a pipe holds */
        char        part[4096];
        size_t      all = 0;
        ssize_t     n;
        int         ends[2], status = -1;
        pid_t       child;

        cr_assert_eq(pipe(ends), 0);
        child = write_in_child(ends[0], ends[1], bytes, sizeof(bytes));
        while ((n = read(ends[0], part, sizeof(part))) > 0)
                all += (size_t)n;
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0);
        cr_assert_eq(all, sizeof(bytes));
}

Test(fdio, a_whole_file_ends_with_a_nul_that_is_not_counted)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = -1;
        _cleanup_free_ void           *buf = NULL;
        size_t                         len = 0;

        tmpdir_write(&t, "f", "hello", 5);
        fd = fd_open_beneath(t.fd, "f", O_RDONLY, 0);
        cr_assert_eq(fd_read_all(fd, 5, &buf, &len), 0);
        cr_assert_eq(len, 5);
        cr_assert_str_eq((char *)buf, "hello");
}

Test(fdio, a_file_one_byte_past_the_limit_is_EFBIG)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = -1;
        void                          *buf = NULL;
        size_t                         len = 7;

        tmpdir_write(&t, "f", "hello", 5);
        fd = fd_open_beneath(t.fd, "f", O_RDONLY, 0);
        cr_assert_eq(fd_read_all(fd, 4, &buf, &len), -EFBIG);
        cr_assert_null(buf);
        cr_assert_eq(len, 7);
}

Test(fdio, an_empty_file_is_read_as_an_empty_string)
{
        _cleanup_close_ int  fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        _cleanup_free_ void *buf = NULL;
        size_t               len = 7;

        cr_assert_eq(fd_read_all(fd, 0, &buf, &len), 0);
        cr_assert_eq(len, 0);
        cr_assert_str_eq((char *)buf, "");
}

Test(fdio, a_file_that_hides_its_size_is_read_whole_or_refused)
{
        _cleanup_close_ int  fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC); /* st_size 0, some MiB long */
        _cleanup_free_ void *buf = NULL;
        size_t               len = 0;

        cr_assert_eq(fd_read_all(fd, 8192, &buf, &len), -EFBIG);
        cr_assert_eq(fd_read_all(fd, 64 * MIB, &buf, &len), 0);
        cr_assert_gt(len, 8192);
        cr_assert_eq(strlen(buf), len);
}

Test(fdio, directories_are_made_down_to_the_last)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];
        struct stat                    st;

        snprintf(path, sizeof(path), "%s/a//b/c/", t.path);
        cr_assert_eq(fd_make_dirs(path, 0700), 0);
        cr_assert_eq(fd_make_dirs(path, 0700), 0, "a second time");
        cr_assert_eq(fstatat(t.fd, "a/b/c", &st, 0), 0);
        cr_assert(S_ISDIR(st.st_mode));
        cr_assert_eq(st.st_mode & 0777, 0700);
        cr_assert_eq(fd_make_dirs("/", 0700), 0);
        cr_assert_eq(fd_make_dirs("", 0700), -ENOENT);
}

Test(fdio, a_file_in_the_way_of_a_directory_is_ENOTDIR)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];

        tmpdir_write(&t, "a", "x", 1);
        snprintf(path, sizeof(path), "%s/a", t.path);
        cr_assert_eq(fd_make_dirs(path, 0700), -ENOTDIR);
        snprintf(path, sizeof(path), "%s/a/b", t.path);
        cr_assert_eq(fd_make_dirs(path, 0700), -ENOTDIR);
}

Test(fdio, a_path_longer_than_the_kernel_takes_is_ENAMETOOLONG)
{
        static char path[2 * PATH_MAX];

        memset(path, '/', sizeof(path) - 1);
        cr_assert_eq(fd_make_dirs(path, 0700), -ENAMETOOLONG);
}

static int names_in(int dir_fd, const char *name)
{
        _cleanup_closedir_ DIR *d = NULL;
        int                 r = fd_list(dir_fd, name, &d), nr = 0;

        while (r >= 0 && readdir(d))
                nr++;
        return r < 0 ? r : nr;
}

Test(fdio, a_directory_is_listed_from_the_beginning_each_time_and_no_link_followed)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            dir = open(t.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        cr_assert(dir >= 0);
        cr_assert_eq(mkdirat(dir, "empty", 0700), 0);
        cr_assert_eq(symlinkat("empty", dir, "link"), 0);
        for (int i = 0; i < 2; i++)
                cr_expect_eq(names_in(dir, "."), 4);
        cr_expect_eq(names_in(dir, "empty"), 2);
        cr_expect_eq(names_in(dir, "none"), -ENOENT);
        cr_expect_lt(names_in(dir, "link"), 0);
}
