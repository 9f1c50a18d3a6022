/* What may be a disk, how large it is, and that it has one writer. */
#include "kvm/device/blk_file.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "tests/support/loop.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE_BYTES (64 * KIB)

struct place {
        struct tmpdir dir;
        char          path[PATH_MAX + 16];
};

static void place_free(struct place *p)
{
        tmpdir_free(&p->dir);
}
#define _cleanup_place_ __attribute__((cleanup(place_free)))

static void cut(const struct place *p, uint64_t size_bytes)
{
        _cleanup_close_ int fd = open(p->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        cr_assert_eq(ftruncate(fd, (off_t)size_bytes), 0);
}

static struct place image(uint64_t size_bytes)
{
        struct place p = { .dir = tmpdir_new() };

        snprintf(p.path, sizeof(p.path), "%s/disk.img", p.dir.path);
        cut(&p, size_bytes);
        return p;
}

/* The error's text; the file must be refused. */
static const char *refused(const char *path, bool readonly, struct err *e)
{
        struct blk_file f = BLK_FILE_NONE;

        *e = (struct err){ 0 };
        cr_assert_lt(blk_file_open(path, readonly, false, &f, e), 0, "%s was taken", path);
        cr_assert_eq(f.fd, -1);
        return e->text;
}

static struct blk_file taken(const char *path, bool readonly, bool direct)
{
        struct blk_file f = BLK_FILE_NONE;
        struct err      e = { 0 };

        cr_assert_eq(blk_file_open(path, readonly, direct, &f, &e), 0, "%s", e.text);
        return f;
}

Test(blk_file, a_regular_file_has_its_size_and_no_rules)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES + 100);
        struct blk_file              f = taken(p.path, false, false);

        cr_assert_eq(f.size_bytes, SIZE_BYTES + 100);
        cr_assert(!f.is_block && f.block_bytes == 512 && f.mem_align == 1 && f.offset_align == 1);
        cr_assert_eq(fcntl(f.fd, F_GETFL) & (O_NONBLOCK | O_DIRECT), 0);
        blk_file_close(&f);
        cr_assert_eq(f.fd, -1);
}

Test(blk_file, a_block_device_has_its_size_and_its_blocks)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        _cleanup_loop_ struct loop   l = loop_new(p.path, 4096);
        struct blk_file              f = taken(l.path, false, true);

        cr_assert_eq(f.size_bytes, SIZE_BYTES);
        cr_assert(f.is_block && f.block_bytes == 4096 && f.offset_align == 4096);
        blk_file_close(&f);
}

Test(blk_file, direct_files_say_what_they_ask_for_and_can_be_cached_for_a_while)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        struct blk_file              f = taken(p.path, false, true);

        cr_assert(f.mem_align > 1 && f.offset_align >= 512, "%u %u", f.mem_align, f.offset_align);
        cr_assert(fcntl(f.fd, F_GETFL) & O_DIRECT);
        cr_assert_eq(blk_file_cached(&f, true), 0);
        cr_assert_eq(fcntl(f.fd, F_GETFL) & O_DIRECT, 0);
        cr_assert_eq(blk_file_cached(&f, false), 0);
        cr_assert(fcntl(f.fd, F_GETFL) & O_DIRECT);
        blk_file_close(&f);
}

Test(blk_file, a_file_system_without_direct_io_is_refused_with_the_option)
{
        struct blk_file f;
        struct err      e = { 0 };

        cr_assert_lt(blk_file_open("/sys/kernel/uevent_seqnum", true, true, &f, &e), 0);
        cr_assert(strstr(e.text, "direct=off"), "%s", e.text);
}

Test(blk_file, what_is_no_disk_is_refused_by_its_name)
{
        _cleanup_place_ struct place p = image(511);
        struct err                   e;
        char                         pipe_path[PATH_MAX + 16];

        cr_assert(strstr(refused(p.path, false, &e), "511 bytes"), "%s", e.text);
        cr_assert(strstr(e.text, p.path));
        cr_assert(strstr(refused(p.dir.path, true, &e), "neither"), "%s", e.text);
        cr_assert(strstr(refused("/dev/null", false, &e), "/dev/null: a disk is"), "%s", e.text);
        snprintf(pipe_path, sizeof(pipe_path), "%s/pipe", p.dir.path);
        cr_assert_eq(mkfifo(pipe_path, 0600), 0);
        cr_assert(strstr(refused(pipe_path, true, &e), "neither"), "%s", e.text);
        cr_assert(strstr(refused("/nowhere/disk", false, &e), "/nowhere/disk: No such file"), "%s", e.text);
}

Test(blk_file, two_writers_of_one_process_exclude_one_another)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        struct blk_file              f = taken(p.path, false, false);
        struct err                   e;

        cr_assert(strstr(refused(p.path, false, &e), p.path), "%s", e.text);
        cr_assert_eq(e.code, -EBUSY);
        blk_file_close(&f);
        f = taken(p.path, false, false);
        blk_file_close(&f);
}

Test(blk_file, readers_share_and_a_writer_does_not_join_them)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        struct blk_file              a = taken(p.path, true, false), b = taken(p.path, true, false);
        struct err                   e;

        refused(p.path, false, &e);
        blk_file_close(&a);
        blk_file_close(&b);
        a = taken(p.path, false, false);
        cr_assert(strstr(refused(p.path, true, &e), "for writing"), "%s", e.text);
        blk_file_close(&a);
}

Test(blk_file, closing_another_descriptor_of_the_file_keeps_its_lock)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        struct blk_file              f = taken(p.path, false, false);
        struct err                   e;

        close(open(p.path, O_RDONLY | O_CLOEXEC));
        refused(p.path, false, &e);
        blk_file_close(&f);
}

/* As StratoVirt does it: locks of the process, on the bytes 101, 102 and 202. */
static int stratovirt_locks(const char *path, bool readonly)
{
        int fd = open(path, readonly ? O_RDONLY : O_RDWR);

        for (int i = 0; i < 3; i++) {
                struct flock l = { .l_type = readonly ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET,
                                   .l_start = (int[]){ 101, 102, 202 }[i], .l_len = 1 };

                if (fcntl(fd, F_SETLK, &l) < 0)
                        return errno;
        }
        return 0;
}

/* A process that tries to lock the file so, and stays until it is waited for. */
struct other {
        pid_t pid;
        int   error; /* what it got */
};

static struct other other_new(const char *path, bool readonly)
{
        struct other o;
        int          p[2];

        cr_assert_eq(pipe(p), 0);
        o.pid = fork();
        if (o.pid == 0) {
                int error = stratovirt_locks(path, readonly);

                if (write(p[1], &error, sizeof(error)) == (ssize_t)sizeof(error))
                        pause();
                _exit(0);
        }
        cr_assert_eq(read(p[0], &o.error, sizeof(o.error)), (ssize_t)sizeof(o.error));
        close(p[0]);
        close(p[1]);
        return o;
}

static void other_end(struct other *o)
{
        kill(o->pid, SIGKILL);
        waitpid(o->pid, NULL, 0);
}

Test(blk_file, a_stratovirt_that_has_the_file_is_named_and_left_alone)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        struct other                 o = other_new(p.path, false);
        struct err                   e;
        char                         process[40];

        cr_assert_eq(o.error, 0);
        snprintf(process, sizeof(process), "process %d", (int)o.pid);
        cr_assert(strstr(refused(p.path, false, &e), p.path), "%s", e.text);
        cr_assert(strstr(e.text, process), "%s", e.text);
        cr_assert(strstr(refused(p.path, true, &e), process), "%s", e.text);
        other_end(&o);
        blk_file_close(&(struct blk_file[1]){ taken(p.path, false, false) }[0]);
}

Test(blk_file, a_stratovirt_does_not_get_what_we_have)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        struct blk_file              f = taken(p.path, false, false);
        struct other                 o = other_new(p.path, false);

        cr_assert(o.error == EAGAIN || o.error == EACCES, "%d", o.error);
        other_end(&o);
        o = other_new(p.path, true);
        cr_assert(o.error == EAGAIN || o.error == EACCES, "%d", o.error);
        other_end(&o);
        blk_file_close(&f);
}

Test(blk_file, a_stratovirt_reads_beside_our_reader)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        struct blk_file              f = taken(p.path, true, false);
        struct other                 o = other_new(p.path, true);

        cr_assert_eq(o.error, 0);
        other_end(&o);
        blk_file_close(&f);
}

Test(blk_file, a_block_device_that_is_mounted_is_not_written)
{
        _cleanup_place_ struct place p = image(SIZE_BYTES);
        _cleanup_loop_ struct loop   l = loop_new(p.path, 512);
        _cleanup_close_ int          mount_like = open(l.path, O_RDONLY | O_EXCL | O_CLOEXEC);
        struct blk_file              f;
        struct err                   e;

        cr_assert_geq(mount_like, 0);
        cr_assert(strstr(refused(l.path, false, &e), "mounted or in use"), "%s", e.text);
        f = taken(l.path, true, false);
        blk_file_close(&f);
}
