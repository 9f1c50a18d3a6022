/* fork, a socket pair, /proc/PID/environ. */
#include "bench/run/guard.h"

#include "bench/run/scratch.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/fdio.h"
#include "core/base/units.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRS_BYTES    8192
#define ENVIRON_BYTES (8 * MIB)
/* So many looks without a finding, LOOK_MS apart: who was between fork and exec has an environment by then. */
#define QUIET_LOOKS   3
#define LOOK_MS       20
#define PATIENCE_NS   (10 * NS_PER_S) /* what does not die by then is in the kernel's hands */

/* --- what is left of the bench --- */

static bool has_entry(const char *environ_text, size_t len, const char *entry)
{
        for (const char *at = environ_text; at < environ_text + len; at += strlen(at) + 1)
                if (strcmp(at, entry) == 0)
                        return true;
        return false;
}

/* The descriptor is opened before the look: whatever becomes of the number, the signal meets the process that was looked at. */
static bool kill_if_ours(const char *pid_text, const char *entry)
{
        _cleanup_close_ int pid_fd = (int)syscall(SYS_pidfd_open, (pid_t)strtol(pid_text, NULL, 10), 0), fd = -1;
        _cleanup_free_ void *text = NULL;
        char path[300];
        size_t len;

        snprintf(path, sizeof(path), "/proc/%s/environ", pid_text);
        fd = pid_fd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fd_read_all(fd, ENVIRON_BYTES, &text, &len) < 0 || !has_entry(text, len, entry))
                return false;
        return syscall(SYS_pidfd_send_signal, pid_fd, SIGKILL, NULL, 0) == 0;
}

/* How many were found. */
static size_t kill_all(const char *entry)
{
        _cleanup_closedir_ DIR *d = opendir("/proc");
        size_t nr = 0;

        for (struct dirent *p; d && (p = readdir(d));)
                if (p->d_name[0] >= '1' && p->d_name[0] <= '9')
                        nr += kill_if_ours(p->d_name, entry);
        return nr;
}

static void clear_up(const char *scratch, const char *dirs, size_t len)
{
        uint64_t until = now_ns() + PATIENCE_NS;
        char entry[PATH_MAX + 40];

        snprintf(entry, sizeof(entry), GUARD_ENV "=%s", scratch);
        for (int quiet = 0; quiet < QUIET_LOOKS && now_ns() < until; poll(NULL, 0, LOOK_MS))
                quiet = kill_all(entry) ? 0 : quiet + 1;
        for (const char *dir = dirs; dir < dirs + len; dir += strlen(dir) + 1)
                rmdir(dir);
        scratch_clear(scratch);
}

/* --- the process --- */

enum { NEWS_FD = 3, LOCK_FD, FIRST_FREE_FD };

/* Until the bench's end of the socket is closed: the directories that it told. False: it is done, and needs nobody. */
static bool listen_to(char *dirs, size_t size, size_t *ret_len)
{
        char name[PATH_MAX];
        ssize_t n;

        for (*ret_len = 0; (n = recv(NEWS_FD, name, sizeof(name), 0)) != 0;) {
                if (n < 0 && errno != EINTR)
                        return false;
                if (n == 1) /* guard_dismiss */
                        return false;
                if (n > 1 && *ret_len + (size_t)n <= size) {
                        memcpy(dirs + *ret_len, name, (size_t)n);
                        *ret_len += (size_t)n;
                }
        }
        return true;
}

/* Signals of the bench's terminal and process group are not for it, and whoever reads what the bench says sees its end. */
static void detach(int news_fd, int lock_fd)
{
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        sigset_t none;

        setsid();
        prctl(PR_SET_NAME, "rouse-guard");
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO && null_fd >= 0; fd++)
                dup2(null_fd, fd);
        news_fd = fcntl(news_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        lock_fd = fcntl(lock_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        if (dup2(news_fd, NEWS_FD) < 0 || dup2(lock_fd, LOCK_FD) < 0)
                _exit(1);
        syscall(SYS_close_range, FIRST_FREE_FD, ~0U, 0);
}

static void stand_guard(int news_fd, int lock_fd, const char *scratch)
{
        char dirs[DIRS_BYTES];
        size_t len;

        detach(news_fd, lock_fd);
        if (listen_to(dirs, sizeof(dirs), &len))
                clear_up(scratch, dirs, len);
        _exit(0);
}

/* Forks twice: the one between ends at once, so that the guard is nobody's child here. */
static int start(int news_fd, int lock_fd, int bench_fd, const char *scratch)
{
        pid_t pid = fork();
        int status;

        if (pid < 0)
                return -errno;
        if (pid == 0) {
                close(bench_fd);
                pid = fork();
                if (pid == 0)
                        stand_guard(news_fd, lock_fd, scratch);
                _exit(pid < 0 ? errno : 0);
        }
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

int guard_start(struct guard *g, const char *scratch, int lock_fd, struct err *e)
{
        int fds[2], r;

        g->fd = 0;
        if (setenv(GUARD_ENV, scratch, 1) < 0)
                return err_set(e, -errno, "setenv: %s", strerror(errno));
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return err_set(e, -errno, "socketpair: %s", strerror(errno));
        r = start(fds[0], lock_fd, fds[1], scratch);
        close(fds[0]);
        g->fd = r < 0 ? -1 : fcntl(fds[1], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
        close(fds[1]);
        if (g->fd > 0)
                return 0;
        g->fd = 0;
        r = r < 0 ? r : -EMFILE;
        return err_set(e, r, "a process that clears up when this one is killed: %s", strerror(-r));
}

/* Where the guard is gone, nobody clears up: as without one. */
static void tell(const struct guard *g, const char *name)
{
        if (g->fd > 0 && send(g->fd, name, strlen(name) + 1, MSG_NOSIGNAL) < 0)
                return;
}

void guard_add(const struct guard *g, const char *dir)
{
        tell(g, dir);
}

void guard_dismiss(struct guard *g)
{
        tell(g, "");
        if (g->fd > 0)
                close(g->fd);
        g->fd = 0;
        unsetenv(GUARD_ENV);
}
