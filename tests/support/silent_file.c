/* The least of a FUSE server: its root is one regular file. While it is to be silent it does not even take requests, so that
 * whoever waits for one can still be killed. */
#include "tests/support/silent_file.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_MAX (128 * 1024)

static void answer(int fuse_fd, uint64_t unique, int error, const void *body, size_t len)
{
        struct fuse_out_header h = {.len = (uint32_t)(sizeof(h) + len), .error = error, .unique = unique};
        struct iovec v[2] = {{.iov_base = &h, .iov_len = sizeof(h)}, {.iov_base = (void *)(uintptr_t)body, .iov_len = len}};

        if (writev(fuse_fd, v, 2) < 0 && errno != ENOENT) /* ENOENT: he does not wait any more */
                _exit(1);
}

static void answer_init(int fuse_fd, const struct fuse_in_header *h, const struct fuse_init_in *in, unsigned int max_background)
{
        uint16_t most = max_background ? (uint16_t)max_background : UINT16_MAX;
        struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
                                    .minor = in->minor < FUSE_KERNEL_MINOR_VERSION ? in->minor : FUSE_KERNEL_MINOR_VERSION,
                                    .max_write = 4096, .flags = FUSE_ASYNC_READ, .max_readahead = READ_MAX,
                                    .max_background = most, .congestion_threshold = most};

        answer(fuse_fd, h->unique, 0, &out, sizeof(out));
}

static void answer_attr(int fuse_fd, const struct fuse_in_header *h, int fd)
{
        struct fuse_attr_out out = {.attr_valid = 1000};
        struct stat st;

        fstat(fd, &st);
        out.attr = (struct fuse_attr){.ino = FUSE_ROOT_ID, .size = (uint64_t)st.st_size, .blocks = (uint64_t)st.st_blocks,
                                      .mtime = (uint64_t)st.st_mtim.tv_sec,
                                      .mtimensec = (uint32_t)st.st_mtim.tv_nsec, .mode = S_IFREG | 0400, .nlink = 1,
                                      .blksize = 4096};
        answer(fuse_fd, h->unique, 0, &out, sizeof(out));
}

static void answer_read(int fuse_fd, const struct fuse_in_header *h, const struct fuse_read_in *in, int fd)
{
        static char bytes[READ_MAX]; /* the server's process has one thread */
        ssize_t n = pread(fd, bytes, in->size < READ_MAX ? in->size : READ_MAX, (off_t)in->offset);

        answer(fuse_fd, h->unique, n < 0 ? -errno : 0, bytes, n < 0 ? 0 : (size_t)n);
}

static void serve_one(int fuse_fd, int fd, unsigned int max_background)
{
        static char buf[READ_MAX + 4096] __attribute__((aligned(8)));
        const struct fuse_in_header *h = (const void *)buf;
        const void *in = buf + sizeof(*h);
        struct fuse_open_out open_out = {.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH};
        ssize_t n = read(fuse_fd, buf, sizeof(buf));

        if (n < 0 && errno == ENODEV) /* unmounted */
                _exit(0);
        if (n < (ssize_t)sizeof(*h))
                return;
        switch (h->opcode) {
        case FUSE_INIT:
                answer_init(fuse_fd, h, in, max_background);
                break;
        case FUSE_GETATTR:
                answer_attr(fuse_fd, h, fd);
                break;
        case FUSE_OPEN:
                answer(fuse_fd, h->unique, 0, &open_out, sizeof(open_out));
                break;
        case FUSE_READ:
                answer_read(fuse_fd, h, in, fd);
                break;
        case FUSE_FLUSH:
        case FUSE_RELEASE:
                answer(fuse_fd, h->unique, 0, NULL, 0);
                break;
        case FUSE_FORGET:
        case FUSE_BATCH_FORGET:
        case FUSE_INTERRUPT:
                break;
        default:
                answer(fuse_fd, h->unique, -ENOSYS, NULL, 0);
        }
}

static void serve(int fuse_fd, int fd, unsigned int max_background, _Atomic int *silent)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
                struct pollfd p = {.fd = fuse_fd, .events = POLLIN};

                if (atomic_load_explicit(silent, memory_order_relaxed))
                        usleep(1000);
                else if (poll(&p, 1, 1) > 0)
                        serve_one(fuse_fd, fd, max_background);
        }
}

struct silent_file silent_file_new(const char *path, unsigned int max_background)
{
        struct silent_file f = {.fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC)};
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        char options[128];

        cr_assert(fd >= 0, "open %s: %m", path);
        if (f.fuse_fd < 0 || unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
                cr_skip_test("a file that falls silent needs root and /dev/fuse: %m");
        snprintf(f.path, sizeof(f.path), "%s", path);
        snprintf(options, sizeof(options), "fd=%d,rootmode=100400,user_id=%u,group_id=%u", f.fuse_fd, getuid(), getgid());
        f.silent = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        cr_assert(f.silent != MAP_FAILED);
        cr_assert_eq(mount("silent", path, "fuse", MS_NOSUID | MS_NODEV, options), 0, "mount over %s: %m", path);
        f.pid = fork();
        cr_assert(f.pid >= 0);
        if (f.pid == 0)
                serve(f.fuse_fd, fd, max_background, f.silent);
        close(fd);
        return f;
}

void silent_file_hush(struct silent_file *f)
{
        atomic_store_explicit(f->silent, 1, memory_order_relaxed);
}

void silent_file_speak(struct silent_file *f)
{
        atomic_store_explicit(f->silent, 0, memory_order_relaxed);
}

void silent_file_free(struct silent_file *f)
{
        if (!f->pid)
                return;
        kill(f->pid, SIGKILL);
        waitpid(f->pid, NULL, 0);
        close(f->fuse_fd); /* ends the connection, and with it every read that waits */
        umount2(f->path, MNT_DETACH);
        munmap(f->silent, 4096);
        f->pid = 0;
}
