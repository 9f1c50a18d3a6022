/* rouse as a tool beside the runs: recordings, merging, snapshots. */
#include "bench/run/bench.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WORDS_MAX 64

/* A process group of its own, so that Ctrl-C is the bench's to pass on; signals as ever. */
static int spawn(const char *const *argv, const char *out, int err_fd, pid_t *ret)
{
        posix_spawn_file_actions_t fa;
        posix_spawnattr_t attr;
        sigset_t none;
        int r;

        sigemptyset(&none);
        posix_spawnattr_init(&attr);
        posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
        posix_spawnattr_setpgroup(&attr, 0);
        posix_spawnattr_setsigmask(&attr, &none);
        posix_spawn_file_actions_init(&fa);
        posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&fa, STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        posix_spawn_file_actions_adddup2(&fa, err_fd, STDERR_FILENO);
        r = posix_spawn(ret, argv[0], &fa, &attr, (char *const *)(uintptr_t)argv, environ);
        posix_spawn_file_actions_destroy(&fa);
        posix_spawnattr_destroy(&attr);
        return -r;
}

/* Until it ends, or Ctrl-C: then it is ended. Its wait status. */
static int wait_for(struct bench *b, pid_t pid)
{
        _cleanup_close_ int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd fds[2] = {{.fd = pid_fd, .events = POLLIN}, {.fd = b->stop.fd, .events = POLLIN}};
        int status = 0;

        while (poll(fds, 2, -1) < 0 || !fds[0].revents)
                if (guest_stop_asked(&b->stop)) {
                        kill(-pid, SIGTERM);
                        break;
                }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return status;
}

/* What it said: the last line. */
static void last_line(int fd, char *text, size_t size)
{
        ssize_t n = pread(fd, text, size - 1, 0);
        char *line;

        while (n > 0 && text[n - 1] == '\n')
                n--;
        text[n < 0 ? 0 : n] = 0;
        line = strrchr(text, '\n');
        if (line)
                memmove(text, line + 1, strlen(line + 1) + 1);
}

int bench_rouse(struct bench *b, const char *out, const char *const *words, struct err *e)
{
        _cleanup_close_ int err_fd = memfd_create("stderr", MFD_CLOEXEC);
        const char *argv[WORDS_MAX] = {b->rouse};
        char said[800];
        size_t n = 1;
        pid_t pid = 0;
        int r, status;

        while (words[n - 1] && n < WORDS_MAX - 1) {
                argv[n] = words[n - 1];
                n++;
        }
        r = err_fd < 0 ? -errno : spawn(argv, out, err_fd, &pid);
        if (r < 0)
                return err_set(e, r, "%s: %s", b->rouse, strerror(-r));
        status = wait_for(b, pid);
        if (b->stop.signal)
                return err_set(e, -ECANCELED, "stopped by signal %d", b->stop.signal);
        if (status == 0)
                return 0;
        last_line(err_fd, said, sizeof(said));
        err_set(e, -ECHILD, "rouse %s: %s %d%s%s", argv[1], WIFEXITED(status) ? "exit" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                said[0] ? ": " : "", said);
        if (e && WIFEXITED(status) && WEXITSTATUS(status) == BENCH_EXIT_BAD_SNAPSHOT)
                e->kind = ERR_SNAPSHOT;
        return -ECHILD;
}
