/* Whose VM is traced. A command is forked before anything is armed, so that its pid is known, and execs when all is. */
#include "tools/trace/process.h"

#include "core/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_PROCESS ((struct process){.pidfd = -1, .go_fd = -1, .result_fd = -1})

static void read_name(pid_t pid, char ret[16])
{
        char path[64];
        _cleanup_fclose_ FILE *f = NULL;

        snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        f = fopen(path, "re");
        if (!f || !fgets(ret, 16, f))
                snprintf(ret, 16, "?");
        ret[strcspn(ret, "\n")] = '\0';
}

/* 1: it has a VM; 0: it has none. */
static int has_vm(pid_t pid, struct err *e)
{
        char path[64], target[64];
        _cleanup_closedir_ DIR *d = NULL;
        const struct dirent *entry;
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        d = opendir(path);
        if (!d && errno == EACCES)
                return err_host(e, -EACCES, "%s: not permitted to look into process %d; run it as root", path, pid);
        if (!d)
                return err_set(e, -errno, "%s: %s", path, strerror(errno));
        while ((entry = readdir(d)) != NULL) {
                n = readlinkat(dirfd(d), entry->d_name, target, sizeof(target) - 1);
                target[n > 0 ? n : 0] = '\0';
                if (strcmp(target, "anon_inode:kvm-vm") == 0)
                        return 1;
        }
        return 0;
}

int process_attach(pid_t pid, struct process *ret, struct err *e)
{
        _cleanup_(process_free) struct process p = NO_PROCESS;
        int r;

        p.pidfd = pidfd_open(pid, 0);
        if (p.pidfd < 0 && errno == ESRCH)
                return err_set(e, -ESRCH, "--pid %d: there is no such process", pid);
        if (p.pidfd < 0)
                return err_set(e, -errno, "--pid %d: %s", pid,
                               errno == EINVAL ? "a thread of a process; give the process's own number" : strerror(errno));
        p.pid = pid;
        read_name(pid, p.name);
        r = has_vm(pid, e);
        if (r == 0)
                return err_set(e, -ENODEV, "process %d (%s) has no VM of KVM's: expected a descriptor 'anon_inode:kvm-vm' in /proc/%d/fd, found none; "
                               "a VM that is yet to start is traced by 'rouse trace ... -- COMMAND'", pid, p.name, pid);
        if (r < 0)
                return r;
        *ret = p;
        p = NO_PROCESS;
        return 0;
}

/* In the child. Never returns. */
static void become_command(char **argv, const sigset_t *mask, bool huge_pages, int go_fd, int result_fd)
{
        char go;
        int error;

        /* Nothing comes when the tracer gave up: then nothing is to be started. */
        if (read(go_fd, &go, 1) != 1)
                _exit(0);
        sigprocmask(SIG_SETMASK, mask, NULL);
        if (!huge_pages && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0) {
                error = errno;
                goto failed;
        }
        execvp(argv[0], argv);
        error = errno;
failed:
        if (write(result_fd, &error, sizeof(error)) < 0)
                _exit(126);
        _exit(127);
}

int process_start(char **argv, const sigset_t *mask, bool huge_pages, struct process *ret, struct err *e)
{
        _cleanup_(process_free) struct process p = NO_PROCESS;
        _cleanup_close_ int held_fd = -1, tell_fd = -1;
        int go[2], result[2];

        if (pipe2(go, O_CLOEXEC) < 0)
                return err_set(e, -errno, "pipe: %s", strerror(errno));
        held_fd = go[0];
        p.go_fd = go[1];
        if (pipe2(result, O_CLOEXEC) < 0)
                return err_set(e, -errno, "pipe: %s", strerror(errno));
        p.result_fd = result[0];
        tell_fd = result[1];
        p.pid = fork();
        if (p.pid < 0)
                return err_set(e, -errno, "fork: %s", strerror(errno));
        if (p.pid == 0) {
                close(p.go_fd); /* else it would wait for itself */
                become_command(argv, mask, huge_pages, held_fd, tell_fd);
        }
        p.command = argv[0];
        p.pidfd = pidfd_open(p.pid, 0);
        if (p.pidfd < 0)
                return err_set(e, -errno, "%s: pidfd_open: %s", argv[0], strerror(errno));
        *ret = p;
        p = NO_PROCESS;
        return 0;
}

int process_let_go(struct process *p, struct err *e)
{
        int error = 0;

        if (!p->command)
                return 0;
        signal(SIGPIPE, SIG_IGN); /* it may have been killed meanwhile; it itself was forked before this */
        if (write(p->go_fd, "g", 1) != 1)
                return err_set(e, -errno, "%s: %s", p->command, strerror(errno));
        close(p->go_fd);
        p->go_fd = -1;
        if (read(p->result_fd, &error, sizeof(error)) == sizeof(error))
                return err_set(e, -error, "%s: cannot be started: %s", p->command, strerror(error));
        return 0;
}

bool process_has_ended(struct process *p)
{
        struct pollfd f = {.fd = p->pidfd, .events = POLLIN};
        int status;

        if (p->ended)
                return true;
        if (poll(&f, 1, 0) != 1)
                return false;
        p->ended = true;
        if (p->command && waitpid(p->pid, &status, WNOHANG) == p->pid)
                p->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        return true;
}

void process_free(struct process *p)
{
        bool held = p->go_fd >= 0;

        cleanup_close(&p->go_fd); /* one that was never let go ends by this */
        cleanup_close(&p->result_fd);
        cleanup_close(&p->pidfd);
        if (held && p->pid > 0)
                waitpid(p->pid, NULL, 0);
        *p = NO_PROCESS;
}
