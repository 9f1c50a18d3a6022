/* test_snapshot_dir: a directory appears whole or not at all, and nothing but a snapshot is ever removed for it. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "formats/snapshot_dir.h"
#include "formats/native_layout.h"
#include "formats/snapshot_temporary.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define _cleanup_dir_ _cleanup_(snapshot_dir_free)

static void put_file(int dir_fd, const char *name, const char *text)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        cr_assert(fd >= 0);
        cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* As much of a snapshot as --replace looks at; `mark` tells one from another. */
static int make_snapshot(const struct tmpdir *t, const char *name, const char *mark)
{
        int fd;

        cr_assert_eq(mkdirat(t->fd, name, 0700), 0);
        fd = openat(t->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        put_file(fd, "state", NATIVE_MAGIC);
        put_file(fd, "memory", mark);
        put_file(fd, "pages", "");
        put_file(fd, "hints", "");
        return fd;
}

static void assert_memory(const struct tmpdir *t, const char *path, const char *mark)
{
        _cleanup_close_ int fd = openat(t->fd, path, O_RDONLY | O_CLOEXEC);
        char                text[16] = "";

        cr_assert(fd >= 0, "%s", path);
        cr_assert_eq(read(fd, text, sizeof(text) - 1), (ssize_t)strlen(mark));
        cr_assert_str_eq(text, mark);
}

static int count_entries(const char *path)
{
        DIR *d = opendir(path);
        int  n = 0;

        cr_assert_not_null(d);
        for (struct dirent *x; (x = readdir(d));)
                n += strcmp(x->d_name, ".") && strcmp(x->d_name, "..");
        closedir(d);
        return n;
}

static int new_dir(const struct tmpdir *t, const char *name, bool replace, struct snapshot_dir *ret, struct err *e)
{
        char path[PATH_MAX + 300];

        snprintf(path, sizeof(path), "%s/%s", t->path, name);
        return snapshot_dir_new(path, replace, 0, ret, e);
}

static struct snapshot_dir begin(const struct tmpdir *t, const char *name, bool replace)
{
        struct snapshot_dir d = SNAPSHOT_DIR_NONE;
        struct err        e = { 0 };

        cr_assert_eq(new_dir(t, name, replace, &d, &e), 0, "%s", e.text);
        put_file(d.fd, "state", NATIVE_MAGIC);
        put_file(d.fd, "memory", "new");
        return d;
}

static void assert_not_replaced(const struct tmpdir *t, const char *message)
{
        _cleanup_dir_ struct snapshot_dir d = SNAPSHOT_DIR_NONE;
        struct err                        e = { 0 };

        cr_assert_eq(new_dir(t, "snap", true, &d, &e), -EEXIST);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
        cr_assert_eq(count_entries(t->path), 1);
}

/* --- what is replaced --- */

Test(snapshot_dir, replace_refuses_a_snapshot_with_a_strangers_file_and_names_it)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = make_snapshot(&t, "snap", "old");

        put_file(fd, "thesis\033.tex", "x");
        assert_not_replaced(&t, "found \"thesis?.tex\" in it");
        cr_assert_eq(unlinkat(fd, "thesis\033.tex", 0), 0);
        cr_assert_eq(unlinkat(fd, "hints", 0), 0);
        cr_assert_eq(mkdirat(fd, "hints", 0700), 0);
        assert_not_replaced(&t, "found \"hints\" in it");
        assert_memory(&t, "snap/memory", "old");
}

Test(snapshot_dir, a_strangers_file_that_appears_meanwhile_stops_the_exchange)
{
        _cleanup_tmpdir_ struct tmpdir  t = tmpdir_new();
        _cleanup_close_ int             fd = make_snapshot(&t, "snap", "old");
        _cleanup_dir_ struct snapshot_dir d = begin(&t, "snap", true);
        struct err                      e = { 0 };

        put_file(fd, "notes", "x");
        cr_assert_eq(snapshot_dir_publish(&d, true, &e), -EEXIST);
        snapshot_dir_free(&d);
        assert_memory(&t, "snap/memory", "old");
        cr_assert_eq(count_entries(t.path), 1);
}

Test(snapshot_dir, replace_says_of_a_link_that_it_is_one)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new(), other = tmpdir_new();
        _cleanup_close_ int            fd = make_snapshot(&other, "real", "old");
        char                           path[PATH_MAX + 16];

        snprintf(path, sizeof(path), "%s/real", other.path);
        cr_assert_eq(symlinkat(path, t.fd, "snap"), 0);
        assert_not_replaced(&t, "is a symbolic link");
        assert_memory(&other, "real/memory", "old");
}

Test(snapshot_dir, a_snapshot_that_another_process_replaces_is_left_to_it)
{
        _cleanup_tmpdir_ struct tmpdir  t = tmpdir_new();
        _cleanup_close_ int             fd = make_snapshot(&t, "snap", "old"), lock = snapshot_lock(t.fd, "snap");
        _cleanup_dir_ struct snapshot_dir d = SNAPSHOT_DIR_NONE;
        struct err                        e = { 0 };

        cr_assert(lock >= 0);
        cr_assert_eq(new_dir(&t, "snap", true, &d, &e), -EBUSY);
        cr_assert_eq(count_entries(t.path), 1);
}

/* --- a directory that cannot be synced --- */

/* From now on fsync(fd) is EIO, as from a disk that goes away; of other descriptors it works. */
static void break_fsync(int fd)
{
        struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsync, 0, 3),
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned int)fd, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EIO),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog prog = { ARRAY_LEN(code), code };

        cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

Test(snapshot_dir, a_parent_that_cannot_be_synced_leaves_nothing)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot_dir            d = begin(&t, "snap", false);
        struct err                     e = { 0 };

        break_fsync(d.parent_fd);
        cr_assert_eq(snapshot_dir_publish(&d, false, &e), -EIO);
        cr_assert_not_null(strstr(e.text, "fsync of the directory of "), "%s", e.text);
        snapshot_dir_free(&d);
        cr_assert_eq(count_entries(t.path), 0);
}

Test(snapshot_dir, a_parent_that_cannot_be_synced_leaves_the_old_snapshot_whole)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = make_snapshot(&t, "snap", "old");
        struct snapshot_dir            d = begin(&t, "snap", true);
        char                           path[PATH_MAX + 16];
        struct err                     e = { 0 };

        break_fsync(d.parent_fd);
        cr_assert_eq(snapshot_dir_publish(&d, true, &e), -EIO);
        snapshot_dir_free(&d);
        assert_memory(&t, "snap/memory", "old");
        snprintf(path, sizeof(path), "%s/snap", t.path);
        cr_assert_eq(count_entries(path), 4);
        cr_assert_eq(count_entries(t.path), 1);
}

Test(snapshot_dir, an_empty_directory_gives_its_place_without_replace)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot_dir            d;
        struct err                     e = { 0 };

        cr_assert_eq(mkdirat(t.fd, "snap", 0755), 0);
        d = begin(&t, "snap", false);
        cr_assert_eq(snapshot_dir_publish(&d, false, &e), 0, "%s", e.text);
        snapshot_dir_free(&d);
        assert_memory(&t, "snap/memory", "new");
        cr_assert_eq(count_entries(t.path), 1);
}

Test(snapshot_dir, a_parent_that_cannot_be_synced_leaves_the_empty_directory)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 16];
        struct snapshot_dir            d;
        struct err                     e = { 0 };

        cr_assert_eq(mkdirat(t.fd, "snap", 0755), 0);
        d = begin(&t, "snap", false);
        break_fsync(d.parent_fd);
        cr_assert_eq(snapshot_dir_publish(&d, false, &e), -EIO);
        snapshot_dir_free(&d);
        snprintf(path, sizeof(path), "%s/snap", t.path);
        cr_assert_eq(count_entries(path), 0);
        cr_assert_eq(count_entries(t.path), 1);
}

Test(snapshot_dir, a_snapshot_of_stratovirt_may_be_replaced)
{
        static const char              state[4096] = "\x20\0\0\0\0\0\0\0{\"magic_num\":[]}";
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot_dir            d;
        struct err                     e = { 0 };

        cr_assert_eq(mkdirat(t.fd, "snap", 0755), 0);
        tmpdir_write(&t, "snap/state", state, sizeof(state));
        tmpdir_write(&t, "snap/memory", "old", 3);
        d = begin(&t, "snap", true);
        cr_assert_eq(snapshot_dir_publish(&d, true, &e), 0, "%s", e.text);
        snapshot_dir_free(&d);
        assert_memory(&t, "snap/memory", "new");
        cr_assert_eq(count_entries(t.path), 1);
}

Test(snapshot_dir, replace_leaves_the_new_snapshot_alone)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_close_ int            fd = make_snapshot(&t, "snap", "old");
        struct snapshot_dir            d = begin(&t, "snap", true);
        struct err                     e = { 0 };

        cr_assert_eq(snapshot_dir_publish(&d, true, &e), 0, "%s", e.text);
        snapshot_dir_free(&d);
        assert_memory(&t, "snap/memory", "new");
        cr_assert_eq(count_entries(t.path), 1);
}

/* --- leftovers --- */

static void leave_one(const struct tmpdir *t, const char *name)
{
        pid_t pid = fork();
        int   status;

        if (pid == 0) {
                struct snapshot_dir d = begin(t, name, false);

                (void)d;
                kill(getpid(), SIGKILL);
        }
        cr_assert_eq(waitpid(pid, &status, 0), pid);
        cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

Test(snapshot_dir, what_a_killed_snapshot_left_is_removed_by_the_next_of_its_name)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot_dir            d = SNAPSHOT_DIR_NONE;

        leave_one(&t, "snap");
        leave_one(&t, "snap.other");
        close(make_snapshot(&t, ".snap.abcdef.rouse-tmp", "old"));
        cr_assert_eq(count_entries(t.path), 3);
        d = begin(&t, "snap", false);
        cr_assert_eq(count_entries(t.path), 2);
        snapshot_dir_free(&d);
        cr_assert_eq(count_entries(t.path), 1);
        d = begin(&t, "snap.other", false);
        snapshot_dir_free(&d);
        cr_assert_eq(count_entries(t.path), 0);
}

Test(snapshot_dir, what_somebody_still_writes_is_not_swept_away)
{
        _cleanup_tmpdir_ struct tmpdir  t = tmpdir_new();
        _cleanup_dir_ struct snapshot_dir first = begin(&t, "snap", false), second = begin(&t, "snap", false);
        struct err                      e = { 0 };

        cr_assert_eq(count_entries(t.path), 2);
        cr_assert_eq(snapshot_dir_publish(&first, false, &e), 0, "%s", e.text);
        assert_memory(&t, "snap/memory", "new");
        cr_assert_eq(snapshot_dir_publish(&second, false, &e), -EEXIST);
        snapshot_dir_free(&second);
        cr_assert_eq(count_entries(t.path), 1);
}

Test(snapshot_dir, only_the_files_of_a_snapshot_are_removed_from_a_leftover)
{
        _cleanup_tmpdir_ struct tmpdir  t = tmpdir_new();
        _cleanup_close_ int             fd = make_snapshot(&t, ".snap.abcdef.rouse-tmp", "old");
        _cleanup_dir_ struct snapshot_dir d = SNAPSHOT_DIR_NONE;
        char                            path[PATH_MAX + 32];

        put_file(fd, "notes", "x");
        d = begin(&t, "snap", false);
        snprintf(path, sizeof(path), "%s/.snap.abcdef.rouse-tmp", t.path);
        cr_assert_eq(count_entries(path), 1);
}
