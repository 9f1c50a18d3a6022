/* Fork, and a pipe: a byte means that it runs, an end without one that it failed and has said why. */
#include "tools/detach.h"

#include "core/base/cleanup.h"
#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Who started us may wait for the end of pipes that came along. */
static void close_inherited(void)
{
#ifdef SYS_close_range
        syscall(SYS_close_range, 3U, ~0U, 0U); /* Linux 5.9 */
#endif
}

static int wait_for(int fd, pid_t pid)
{
        char byte;
        ssize_t n;
        int st;

        do
                n = read(fd, &byte, 1);
        while (n < 0 && errno == EINTR);
        if (n == 1)
                return EXIT_OK;
        while (waitpid(pid, &st, 0) < 0)
                if (errno != EINTR)
                        return EXIT_FAILED;
        if (WIFSIGNALED(st)) {
                fprintf(stderr, "rouse: the new process was ended by signal %d\n", WTERMSIG(st));
                return EXIT_SIGNAL_BASE + WTERMSIG(st);
        }
        return WEXITSTATUS(st) ? WEXITSTATUS(st) : EXIT_FAILED;
}

static int fail(const char *what)
{
        struct err err = {0};

        err_set(&err, -errno, "%s: %s", what, strerror(errno));
        return cli_fail(&err);
}

static void become_daemon(void)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        setsid();
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        close(null);
        if (chdir("/") < 0) /* no file system is kept busy for the sake of a working directory */
                return;
}

bool detach_begin(struct detached *d, int *ret_status)
{
        int fds[2];
        pid_t pid;

        close_inherited();
        if (pipe2(fds, O_CLOEXEC) < 0) {
                *ret_status = fail("pipe");
                return false;
        }
        pid = fork();
        if (pid != 0) {
                close(fds[1]);
                *ret_status = pid < 0 ? fail("fork") : wait_for(fds[0], pid);
                close(fds[0]);
                return false;
        }
        close(fds[0]);
        become_daemon();
        *d = (struct detached){.ready_fd = fds[1], .log_fd = -1};
        return true;
}

int detach_open_log(struct detached *d, const char *log_path, struct err *e)
{
        if (d->ready_fd < 0)
                return 0;
        d->log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        return d->log_fd < 0 ? err_set(e, -errno, "open %s: %s", log_path, strerror(errno)) : 0;
}

int detach_finish(struct detached *d, struct err *e)
{
        _cleanup_close_ int log_fd = TAKE_FD(d->log_fd), ready_fd = TAKE_FD(d->ready_fd);

        if (ready_fd < 0)
                return 0;
        if (dup2(log_fd, STDERR_FILENO) < 0 || write(ready_fd, "1", 1) != 1)
                return err_set(e, -errno, "detach: %s", strerror(errno));
        return 0;
}
