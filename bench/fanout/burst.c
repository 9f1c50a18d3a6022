/* clone(2) into a cgroup, and a thread at poll(2). */
#include "bench/fanout/burst.h"

#include "bench/run/peer_process.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024
#define STACK_BYTES    (64 * KIB)
/* Nobody's machine is driven out of memory: a burst stops when so little is left. */
#define KEEP_FREE_BYTES (256 * MIB)
#define LOOK_EVERY      8 /* starts */

enum clone_state { CLONE_WAITING, CLONE_ANSWERED, CLONE_ENDED };

struct clone {
        /* set before the watcher starts; it closes out_fd */
        int      out_fd;
        /* the starter's */
        int      write_fd, said_fd;
        pid_t    pid;     /* 0: could not be started */
        int      error;   /* of the start: errno */
        uint64_t due_ns;
        bool     ended_by_us;
        /* the watcher's, until state is not CLONE_WAITING: that store is a release, whoever reads the stamps loads it with
         * acquire */
        uint64_t first_ns, answer_ns;
        char     line[LINE_MAX_BYTES];
        size_t   line_len;
        _Atomic enum clone_state state;
};

struct burst {
        const struct burst_request *q;
        struct clone               *clones;
        regex_t                     mark;
        bool                        has_mark;
        int                         news_fd, quit_fd; /* eventfds: a state has changed; the watcher must end */
        void                       *stack;
        bool                        low_memory;
};

/* Who starts clones and who reads the clock must not wait for a CPU that clones keep busy. Nobody inherits it, threads
 * neither. */
bool burst_at_once(bool at_once)
{
        struct sched_param p = {.sched_priority = at_once};

        return sched_setscheduler(0, at_once ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER, &p) == 0;
}

/* --- the watcher --- */

static void set_state(struct burst *b, struct clone *c, enum clone_state state)
{
        uint64_t one = 1;

        if (atomic_load_explicit(&c->state, memory_order_relaxed) != CLONE_WAITING) /* nobody but the watcher stores */
                return;
        atomic_store_explicit(&c->state, state, memory_order_release); /* pairs with the acquire in state_of() */
        if (write(b->news_fd, &one, sizeof(one)) < 0)
                return; /* full: then there is news already */
}

static enum clone_state state_of(const struct clone *c)
{
        return atomic_load_explicit(&c->state, memory_order_acquire);
}

static void take_bytes(struct burst *b, struct clone *c, const char *p, size_t len, uint64_t ns)
{
        for (size_t i = 0; i < len && !c->answer_ns; i++) {
                if (p[i] == '\n') {
                        c->line[c->line_len] = 0;
                        c->line_len = 0;
                        if (regexec(&b->mark, c->line, 0, NULL, 0) == 0)
                                c->answer_ns = ns;
                } else if (p[i] != '\r' && p[i] != 0 && c->line_len < sizeof(c->line) - 1) {
                        c->line[c->line_len++] = p[i];
                }
        }
}

static void read_clone(struct burst *b, struct clone *c, uint64_t ns)
{
        char bytes[4096];
        ssize_t n = read(c->out_fd, bytes, sizeof(bytes));

        if (n > 0 && !c->first_ns)
                c->first_ns = ns;
        if (n > 0 && b->has_mark)
                take_bytes(b, c, bytes, (size_t)n, ns);
        else if (n > 0 && !c->answer_ns)
                c->answer_ns = ns;
        if (c->answer_ns)
                set_state(b, c, CLONE_ANSWERED);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                cleanup_close(&c->out_fd);
                c->out_fd = -1;
                set_state(b, c, CLONE_ENDED);
        }
}

/* Reads until it is told to end: a guest that nobody listens to any more would stand still. */
static void *watch(void *arg)
{
        struct burst *b = arg;
        size_t nr = b->q->starts;
        struct pollfd *fds = calloc(nr + 1, sizeof(*fds));

        burst_at_once(true);
        while (fds) {
                uint64_t now;

                for (size_t i = 0; i < nr; i++)
                        fds[i] = (struct pollfd){.fd = b->clones[i].out_fd, .events = POLLIN};
                fds[nr] = (struct pollfd){.fd = b->quit_fd, .events = POLLIN};
                poll(fds, nr + 1, -1);
                now = now_ns();
                if (fds[nr].revents)
                        break;
                for (size_t i = 0; i < nr; i++)
                        if (fds[i].revents)
                                read_clone(b, &b->clones[i], now);
        }
        free(fds);
        return NULL;
}

/* --- the starter --- */

struct child_args {
        const struct burst_request *q;
        const struct clone         *c;
        int                         null_fd;
        sigset_t                    none;
        int                         error; /* written by the child, which shares our memory until it has exec'ed */
};

/* In the child, on a stack of its own in our memory: system calls only. It joins the cgroup by itself, so that its first page
 * counts there. */
static int child(void *arg)
{
        struct child_args *a = arg;

        setpgid(0, 0);
        if (a->q->cgroup->version && write(a->q->cgroup->procs_fd, "0", 1) != 1)
                a->error = errno;
        dup2(a->null_fd, STDIN_FILENO);
        dup2(a->c->write_fd, STDOUT_FILENO);
        dup2(a->c->said_fd, STDERR_FILENO);
        sigprocmask(SIG_SETMASK, &a->none, NULL);
        if (!a->error) {
                execve(a->q->argv[0], (char *const *)(uintptr_t)a->q->argv, environ);
                a->error = errno;
        }
        _exit(127);
}

static void start_clone(struct burst *b, struct clone *c, int null_fd)
{
        struct child_args a = {.q = b->q, .c = c, .null_fd = null_fd};
        pid_t pid;

        sigemptyset(&a.none);
        pid = clone(child, (char *)b->stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, &a);
        c->error = pid < 0 ? errno : a.error;
        if (pid > 0 && a.error)
                waitpid(pid, NULL, 0);
        else if (pid > 0)
                c->pid = pid;
        close(c->write_fd); /* the watcher sees the end of one that could not be started */
        c->write_fd = -1;
}

/* Sleeps until then, or news; false: Ctrl-C. */
static bool wait_until(struct burst *b, uint64_t until_ns)
{
        struct pollfd fds[2] = {{.fd = b->news_fd, .events = POLLIN}, {.fd = b->q->stop ? b->q->stop->fd : -1, .events = POLLIN}};
        uint64_t now = now_ns(), left = until_ns > now ? until_ns - now : 0, count;
        struct timespec t = {.tv_sec = (time_t)(left / NS_PER_S), .tv_nsec = (long)(left % NS_PER_S)};

        if (ppoll(fds, 2, &t, NULL) > 0 && fds[0].revents && read(b->news_fd, &count, sizeof(count)) < 0)
                return !guest_stop_asked(b->q->stop);
        return !guest_stop_asked(b->q->stop);
}

/* Until it has answered, ended or run out of its time; false: Ctrl-C. */
static bool wait_for(struct burst *b, const struct clone *c)
{
        while (state_of(c) == CLONE_WAITING && now_ns() < c->due_ns + b->q->timeout_ns)
                if (!wait_until(b, c->due_ns + b->q->timeout_ns))
                        return false;
        return true;
}

static bool is_memory_low(struct burst *b, size_t i)
{
        if (!b->low_memory && i % LOOK_EVERY == LOOK_EVERY - 1)
                b->low_memory = burst_memory_available() < KEEP_FREE_BYTES;
        return b->low_memory;
}

/* Where the oldest must go first, what is due waits: its time goes on all the same. */
static bool make_room(struct burst *b, size_t i)
{
        struct clone *oldest = i >= b->q->alive ? &b->clones[i - b->q->alive] : NULL;

        if (!oldest)
                return true;
        if (!wait_for(b, oldest))
                return false;
        oldest->ended_by_us = true;
        if (oldest->pid)
                kill(-oldest->pid, SIGTERM);
        return true;
}

/* False: Ctrl-C. */
static bool start_all(struct burst *b)
{
        _cleanup_close_ int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        uint64_t t0 = now_ns();

        for (size_t i = 0; i < b->q->starts; i++) {
                struct clone *c = &b->clones[i];

                c->due_ns = t0 + i * b->q->every_ns;
                while (now_ns() < c->due_ns)
                        if (!wait_until(b, c->due_ns))
                                return false;
                if (!make_room(b, i) || guest_stop_asked(b->q->stop))
                        return false;
                if (!b->q->every_ns)
                        c->due_ns = now_ns();
                if (is_memory_low(b, i)) {
                        c->error = ENOMEM;
                        close(c->write_fd);
                        c->write_fd = -1;
                } else {
                        start_clone(b, c, null_fd);
                }
        }
        for (size_t i = 0; i < b->q->starts; i++)
                if (!wait_for(b, &b->clones[i]))
                        return false;
        return true;
}

/* --- what came of it --- */

static void last_line(int fd, char *ret, size_t size)
{
        char text[800], *line;
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
                n--;
        text[n < 0 ? 0 : n] = 0;
        line = strrchr(text, '\n');
        snprintf(ret, size, "%.*s", (int)size - 1, line ? line + 1 : text);
}

/* Before the rest is ended: how one ended that nobody ended. */
static void explain(const struct burst *b, const struct clone *c, char *ret, size_t size)
{
        siginfo_t si = {0};
        char said[500];

        last_line(c->said_fd, said, sizeof(said));
        if (!c->pid && b->low_memory && c->error == ENOMEM)
                snprintf(ret, size, "not started: less than %llu MiB of memory were left",
                         (unsigned long long)(KEEP_FREE_BYTES / MIB));
        else if (!c->pid)
                snprintf(ret, size, "could not be started: %s", strerror(c->error));
        else if (waitid(P_PID, (id_t)c->pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid == c->pid)
                snprintf(ret, size, "%s %d before it answered%s%s", si.si_code == CLD_EXITED ? "exit" : "signal", si.si_status,
                         said[0] ? ": " : "", said);
        else
                snprintf(ret, size, "no answer within %g s%s%s", (double)b->q->timeout_ns / (double)NS_PER_S, said[0] ? ": " : "",
                         said);
}

static void sum_up(const struct burst *b, struct burst_result *ret)
{
        for (size_t i = 0; i < b->q->starts; i++) {
                const struct clone *c = &b->clones[i];

                if (state_of(c) == CLONE_ANSWERED) {
                        ret->answer_us[ret->succeeded] = (double)(c->answer_ns - c->due_ns) / (double)NS_PER_US;
                        ret->first_us[ret->succeeded++] = (double)(c->first_ns - c->due_ns) / (double)NS_PER_US;
                        ret->whole_ns = MAX(ret->whole_ns, c->answer_ns - b->clones[0].due_ns);
                } else if (!ret->failure[0]) {
                        explain(b, c, ret->failure, sizeof(ret->failure));
                }
        }
}

/* --- before and after --- */

static int open_clone(struct clone *c)
{
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        c->out_fd = fds[0];
        c->write_fd = fds[1];
        fcntl(c->out_fd, F_SETFL, O_NONBLOCK);
        c->said_fd = memfd_create(BURST_OWN_MEMFD, MFD_CLOEXEC);
        return c->said_fd < 0 ? -errno : 0;
}

static int open_burst(struct burst *b, struct err *e)
{
        const struct burst_request *q = b->q;
        int r = q->mark ? regcomp(&b->mark, q->mark, REG_EXTENDED | REG_NOSUB) : 0;

        if (r)
                return err_usage(e, "--mark '%s' is no regular expression", q->mark);
        b->has_mark = q->mark != NULL;
        b->stack = malloc(STACK_BYTES);
        b->clones = calloc(q->starts, sizeof(*b->clones));
        b->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        b->quit_fd = eventfd(0, EFD_CLOEXEC);
        if (!b->stack || !b->clones || b->news_fd < 0 || b->quit_fd < 0)
                return err_set(e, -ENOMEM, "no memory for %u clones", q->starts);
        for (size_t i = 0; i < q->starts; i++)
                b->clones[i].out_fd = b->clones[i].write_fd = b->clones[i].said_fd = -1;
        for (size_t i = 0; i < q->starts && !r; i++)
                r = open_clone(&b->clones[i]);
        return r < 0 ? err_set(e, r, "pipes for %u clones: %s; ulimit -n says how many files may be open", q->starts,
                               strerror(-r)) : 0;
}

static void close_burst(struct burst *b)
{
        for (size_t i = 0; b->clones && i < b->q->starts; i++) {
                cleanup_close(&b->clones[i].out_fd);
                cleanup_close(&b->clones[i].write_fd);
                cleanup_close(&b->clones[i].said_fd);
        }
        cleanup_close(&b->news_fd);
        cleanup_close(&b->quit_fd);
        if (b->has_mark)
                regfree(&b->mark);
        free(b->clones);
        free(b->stack);
}

/* Clones, from the first start to their end. */
static bool run_clones(struct burst *b, uint64_t available_before, struct burst_result *ret)
{
        uint64_t until;
        bool all;

        burst_at_once(true);
        all = start_all(b);
        burst_at_once(false);
        until = now_ns() + b->q->settle_ns;
        while (all && now_ns() < until)
                all = wait_until(b, until);
        if (all)
                burst_memory_look(b->q->cgroup, available_before, &ret->memory);
        sum_up(b, ret);
        peer_end_all(); /* while the watcher still reads: who cannot write does not end */
        return all;
}

int burst_run(const struct burst_request *q, struct burst_result *ret, struct err *e)
{
        struct burst b = {.q = q, .news_fd = -1, .quit_fd = -1};
        uint64_t one = 1, available = burst_memory_available();
        pthread_t watcher;
        bool all;
        int r;

        *ret = (struct burst_result){.answer_us = calloc(q->starts, sizeof(double)),
                                     .first_us = calloc(q->starts, sizeof(double))};
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        r = ret->answer_us && ret->first_us ? open_burst(&b, e) : err_set(e, -ENOMEM, "no memory");
        if (!r)
                r = -pthread_create(&watcher, NULL, watch, &b);
        if (r) {
                close_burst(&b);
                return e->code ? e->code : err_set(e, r, "a thread: %s", strerror(-r));
        }
        all = run_clones(&b, available, ret);
        if (write(b.quit_fd, &one, sizeof(one)) == sizeof(one))
                pthread_join(watcher, NULL);
        close_burst(&b);
        return all ? 0 : err_set(e, -ECANCELED, "stopped by signal %d", q->stop->signal);
}

void burst_result_free(struct burst_result *r)
{
        free(r->answer_us);
        free(r->first_us);
        *r = (struct burst_result){.answer_us = NULL};
}
