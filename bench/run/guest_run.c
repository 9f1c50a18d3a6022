/* posix_spawn, poll, wait4. */
#include "bench/run/guest_run.h"

#include "bench/run/spawn_attr.h"
#include "bench/run/tree.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LEVEL_NS    (5 * NS_PER_MS) /* between two looks at the tree in a timeline run */
#define PATIENCE_NS (5 * NS_PER_S)  /* from SIGTERM to SIGKILL */
#define WRAPPED_NS  (60 * NS_PER_S) /* the same, of one that has something to write first */
#define WORDS_MAX   256
#define TREE_MAX    512

/* --- Ctrl-C --- */

int guest_stop_open(struct guest_stop *s, struct err *e)
{
        sigset_t set;

        *s = (struct guest_stop){.fd = -1};
        sigemptyset(&set);
        sigaddset(&set, SIGINT);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return err_set(e, -errno, "sigprocmask: %s", strerror(errno));
        s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return s->fd < 0 ? err_set(e, -errno, "signalfd: %s", strerror(errno)) : 0;
}

void guest_stop_close(struct guest_stop *s)
{
        if (s->fd >= 0)
                close(s->fd);
        s->fd = -1;
}

bool guest_stop_asked(struct guest_stop *s)
{
        struct signalfd_siginfo si;

        if (s && s->fd >= 0 && !s->signal && read(s->fd, &si, sizeof(si)) == sizeof(si))
                s->signal = (int)si.ssi_signo;
        return s && s->signal;
}

/* --- start --- */

int guest_run_init(struct guest_run *g, const struct arm_request *q, struct err *e)
{
        const char *mark = q->setting->mark;
        int r;

        *g = (struct guest_run){.q = q, .serial_fd = -1, .stderr_fd = -1, .stdio_fd = -1};
        r = mark ? regcomp(&g->mark, mark, REG_EXTENDED | REG_NOSUB) : 0;
        if (r) {
                char why[200];

                regerror(r, &g->mark, why, sizeof(why));
                return err_usage(e, "--mark '%s': %s", mark, why);
        }
        g->has_mark = mark != NULL;
        return 0;
}

/* argv behind what it is wrapped in; in memory of the caller's. */
static const char *const *wrapped(const struct guest_run *g, const char *const *argv, const char **buf, size_t size)
{
        size_t n = 0;

        for (const char *const *w = g->q->wrap; w && *w && n + 1 < size; w++)
                buf[n++] = *w;
        for (const char *const *w = argv; *w && n + 1 < size; w++)
                buf[n++] = *w;
        buf[n] = NULL;
        return buf;
}

static int spawn(struct guest_run *g, const char *const *argv, char **env, int out_fd, char *t0_text)
{
        posix_spawn_file_actions_t fa;
        posix_spawnattr_t attr;
        int r;

        if (!argv[0])
                return -EINVAL;
        spawn_attr_init(&attr);
        posix_spawn_file_actions_init(&fa);
        if (g->stdio_fd >= 0)
                posix_spawn_file_actions_adddup2(&fa, g->stdio_fd, STDIN_FILENO);
        else
                posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&fa, out_fd, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&fa, g->stderr_fd, STDERR_FILENO);
        getrusage(RUSAGE_CHILDREN, &g->before);
        g->t0_ns = now_ns();
        if (t0_text)
                snprintf(t0_text, 32, "%llu", (unsigned long long)g->t0_ns);
        r = posix_spawnp(&g->pid, argv[0], &fa, &attr, (char *const *)(uintptr_t)argv, env ? env : environ);
        posix_spawn_file_actions_destroy(&fa);
        posix_spawnattr_destroy(&attr);
        if (r)
                g->pid = 0;
        return -r;
}

int guest_run_start(struct guest_run *g, const char *const *argv, char **env, enum guest_serial serial, char *t0_text,
                    struct err *e)
{
        _cleanup_close_ int out_fd = -1;
        const char *words[WORDS_MAX];
        int pipe_fds[2], r;

        prctl(PR_SET_CHILD_SUBREAPER, 1); /* what daemons leave behind is counted, and ended, here */
        g->stderr_fd = memfd_create("stderr", MFD_CLOEXEC);
        if (g->stderr_fd < 0)
                return err_set(e, -errno, "memfd_create: %s", strerror(errno));
        if (serial == GUEST_SERIAL_STDOUT) {
                if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                        return err_set(e, -errno, "pipe: %s", strerror(errno));
                g->serial_fd = pipe_fds[0];
                out_fd = pipe_fds[1];
                fcntl(g->serial_fd, F_SETFL, O_NONBLOCK);
        }
        r = spawn(g, wrapped(g, argv, words, WORDS_MAX), env,
                  out_fd >= 0 ? out_fd : g->stdio_fd >= 0 ? g->stdio_fd : g->stderr_fd, t0_text);
        return r < 0 ? err_set(e, r, "%s: %s", argv[0], strerror(-r)) : 0;
}

void guest_run_t0(struct guest_run *g)
{
        g->t0_ns = now_ns();
        g->t3_ns = g->t4_ns = g->next_level_ns = 0;
        g->line_len = 0;
        g->awaits_t0 = false;
}

/* --- watch --- */

static void end_line(struct guest_run *g, uint64_t ns)
{
        g->line[g->line_len] = 0;
        g->line_len = 0;
        if (g->has_mark && !g->t4_ns && regexec(&g->mark, g->line, 0, NULL, 0) == 0)
                g->t4_ns = ns;
}

/* As rouse's own --mark has lines (core/console.c): without CR and NUL, and no more than so much of one. */
static void take_bytes(struct guest_run *g, const char *p, size_t len, uint64_t ns)
{
        for (size_t i = 0; i < len; i++) {
                if (p[i] == '\n')
                        end_line(g, ns);
                else if (p[i] != '\r' && p[i] != 0 && g->line_len < sizeof(g->line) - 1)
                        g->line[g->line_len++] = p[i];
        }
}

static void read_serial(struct guest_run *g, uint64_t ns)
{
        char bytes[16384];
        ssize_t n = read(g->serial_fd, bytes, sizeof(bytes));

        if (n > 0 && !g->t3_ns)
                g->t3_ns = ns;
        if (n > 0)
                take_bytes(g, bytes, (size_t)n, ns);
        else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                g->serial_ended = true; /* a pty says EIO */
}

static void look_at_t3(struct guest_run *g)
{
        struct tree_levels l;

        if (!g->t3_ns || g->awaits_t0 || g->seen.has[METRIC_RSS_T3])
                return;
        tree_look(getpid(), false, &l); /* no PSS: a walk of page tables between T3 and T4 would count against who has more of them */
        metric_set(&g->seen, METRIC_RSS_T3, (double)l.rss_bytes);
}

static void add_level(struct guest_run *g, uint64_t now)
{
        struct tree_levels l;

        if (!g->q->timeline || g->awaits_t0 || now < g->next_level_ns)
                return;
        tree_look(getpid(), true, &l);
        bench_level_add(g->q->timeline, &(struct bench_level){(now - g->t0_ns) / NS_PER_US, l.rss_bytes, l.pss_bytes});
        g->next_level_ns = now + LEVEL_NS;
}

static uint64_t settle_end(const struct guest_run *g)
{
        return g->t0_ns + g->q->setting->settle_ns;
}

static bool has_said_all(const struct guest_run *g)
{
        return !g->awaits_t0 && g->t3_ns && (!g->has_mark || g->t4_ns);
}

static bool is_answered(const struct guest_run *g)
{
        return !g->talks && has_said_all(g);
}

/* Until when poll(2) may sleep: the next thing that is due by time; ms, rounded up. */
static int next_ms(const struct guest_run *g, uint64_t now, uint64_t limit_ns)
{
        uint64_t due = g->t0_ns + g->q->setting->timeout_ns;

        if (limit_ns)
                due = MIN(due, limit_ns);
        if (g->q->setting->settle_ns && is_answered(g))
                due = MIN(due, settle_end(g));
        if (g->q->timeline && !g->awaits_t0)
                due = MIN(due, g->next_level_ns);
        return due <= now ? 0 : (int)MIN((due - now + NS_PER_MS - 1) / NS_PER_MS, UINT64_C(60000));
}

/* Processes of the tree that are not of the helpers' (one that has ended is there until it is reaped, at the end). */
static size_t count_own(const struct guest_run *g)
{
        pid_t pids[TREE_MAX];
        size_t nr = tree_list(getpid(), pids, TREE_MAX), theirs = g->nr_helpers;

        for (size_t i = 0; i < g->nr_helpers; i++)
                theirs += tree_list(g->helpers[i], pids, TREE_MAX);
        return nr > theirs ? nr - theirs : 0;
}

static bool has_ended(struct guest_run *g)
{
        siginfo_t si = {0};

        /* A program that starts another one and ends has not ended while that one runs. */
        return waitid(P_PID, (id_t)g->pid, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid == g->pid && count_own(g) <= 1;
}

static bool decide(struct guest_run *g, uint64_t now, uint64_t limit_ns, bool other, bool ended, enum guest_event *ret)
{
        if (guest_stop_asked(g->q->setting->stop))
                *ret = GUEST_STOPPED;
        else if (is_answered(g) && (!g->q->setting->settle_ns || now >= settle_end(g)))
                *ret = GUEST_DONE;
        else if (other)
                *ret = GUEST_OTHER;
        else if (ended)
                *ret = GUEST_ENDED;
        else if (now >= g->t0_ns + g->q->setting->timeout_ns)
                *ret = GUEST_TIMEOUT;
        else if (limit_ns && now >= limit_ns)
                *ret = GUEST_LIMIT;
        else
                return false;
        return true;
}

enum guest_event guest_run_wait(struct guest_run *g, int other_fd, short other_events, uint64_t limit_ns)
{
        _cleanup_close_ int pid_fd = (int)syscall(SYS_pidfd_open, g->pid, 0);
        struct guest_stop *stop = g->q->setting->stop;
        enum guest_event ev;
        bool ended = false, other = false;
        uint64_t now = now_ns();

        while (!decide(g, now, limit_ns, other, ended, &ev)) {
                struct pollfd fds[4] = {{.fd = g->serial_ended ? -1 : g->serial_fd, .events = POLLIN}, {.fd = ended ? -1 : pid_fd, .events = POLLIN},
                                        {.fd = stop ? stop->fd : -1, .events = POLLIN}, {.fd = other_fd, .events = other_events}};
                int timeout = next_ms(g, now, limit_ns);

                poll(fds, ARRAY_LEN(fds), fds[1].fd < 0 && timeout > 100 ? 100 : timeout);
                now = now_ns();
                if (fds[0].revents)
                        read_serial(g, now);
                look_at_t3(g);
                add_level(g, now);
                other = fds[3].revents != 0;
                /* what it said last is read before its end counts */
                ended = !fds[0].revents && (fds[1].revents || fds[1].fd < 0) && has_ended(g);
                if (fds[1].revents && !ended && !fds[0].revents) {
                        cleanup_close(&pid_fd);
                        pid_fd = -1;
                }
        }
        return ev;
}

/* --- end --- */

/* The last lines that are not empty of its standard error, as one line. */
static void last_words(const struct guest_run *g, char *ret, size_t size)
{
        char text[700];
        off_t end = g->stderr_fd < 0 ? 0 : lseek(g->stderr_fd, 0, SEEK_END);
        ssize_t n = end <= 0 ? 0 : pread(g->stderr_fd, text, sizeof(text) - 1, end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0);
        const char *lines[GUEST_LAST_LINES] = {NULL};
        size_t nr = 0, len = 0;

        text[n < 0 ? 0 : n] = 0;
        for (char *line; nr < GUEST_LAST_LINES && n > 0;) {
                while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
                        text[--n] = 0;
                while (n > 0 && text[n - 1] != '\n')
                        n--;
                line = text + n;
                if (line[0])
                        lines[nr++] = line;
        }
        for (ret[0] = 0; nr-- > 0 && len < size - 1;)
                len += (size_t)snprintf(ret + len, size - len, "%s%s", lines[nr], nr ? " | " : "");
}

static void how_it_ended(const struct guest_run *g, char *ret, size_t size)
{
        siginfo_t si = {0};

        if (waitid(P_PID, (id_t)g->pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid != g->pid)
                snprintf(ret, size, "it ended");
        else if (si.si_code == CLD_EXITED)
                snprintf(ret, size, "exit %d", si.si_status);
        else
                snprintf(ret, size, "signal %d", si.si_status);
}

int guest_run_explain(struct guest_run *g, enum guest_event ev, const char *arm, struct err *e)
{
        const struct arm_setting *s = g->q->setting;
        char said[900], how[40];

        last_words(g, said, sizeof(said));
        if (ev == GUEST_STOPPED)
                return err_set(e, -ECANCELED, "stopped by signal %d", s->stop->signal);
        if (ev == GUEST_ENDED) {
                how_it_ended(g, how, sizeof(how));
                return err_set(e, -ECHILD, "%s: %s before %s%s%s", arm, how,
                               has_said_all(g) ? "it had answered all that it was told"
                               : g->t3_ns      ? "the guest came to the mark"
                                               : "the guest said anything",
                               said[0] ? ": " : "", said);
        }
        if (has_said_all(g))
                return err_set(e, -ETIMEDOUT, "%s: not all that it was told was answered within %g s (--timeout)%s%s", arm,
                               (double)s->timeout_ns / (double)NS_PER_S, said[0] ? ": " : "", said);
        if (!g->t3_ns)
                return err_set(e, -ETIMEDOUT, "%s: no byte at the serial port within %g s (--timeout)%s%s", arm, (double)s->timeout_ns / (double)NS_PER_S,
                               said[0] ? ": " : "", said);
        return err_set(e, -ETIMEDOUT, "%s: no line matched --mark '%s' within %g s (--timeout)%s%s", arm, s->mark ? s->mark : "",
                       (double)s->timeout_ns / (double)NS_PER_S, said[0] ? ": " : "", said);
}

static void kill_tree(const struct guest_run *g, int signal)
{
        pid_t pids[TREE_MAX];
        size_t nr = MIN(tree_list(getpid(), pids, TREE_MAX), (size_t)TREE_MAX);

        kill(-g->pid, signal);
        for (size_t i = 0; i < nr; i++)
                if (signal == SIGKILL || getpgid(pids[i]) != g->pid)
                        kill(pids[i], signal);
}

/* Reaps what has ended; false: some are left. */
static bool reap(struct guest_run *g)
{
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                if (pid == g->pid)
                        g->status = status;
        return pid < 0; /* ECHILD */
}

/* What it still says is read: a program that cannot write does not end. */
static void wait_all(struct guest_run *g)
{
        uint64_t until = now_ns() + (g->q->wrap ? WRAPPED_NS : PATIENCE_NS);
        char bytes[16384];

        while (!reap(g)) {
                struct pollfd serial = {.fd = g->serial_ended ? -1 : g->serial_fd, .events = POLLIN};

                if (now_ns() > until) {
                        kill_tree(g, SIGKILL);
                        until = now_ns() + PATIENCE_NS;
                }
                if (poll(&serial, 1, 1) > 0 && read(g->serial_fd, bytes, sizeof(bytes)) <= 0 && errno != EAGAIN)
                        g->serial_ended = true;
        }
}

static double us_of(struct timeval t)
{
        return (double)t.tv_sec * 1e6 + (double)t.tv_usec;
}

static void count_costs(struct guest_run *g)
{
        struct rusage after;

        getrusage(RUSAGE_CHILDREN, &after);
        metric_set(&g->seen, METRIC_CPU,
                   us_of(after.ru_utime) + us_of(after.ru_stime) - us_of(g->before.ru_utime) - us_of(g->before.ru_stime));
        metric_set(&g->seen, METRIC_MAJOR_FAULTS, (double)(after.ru_majflt - g->before.ru_majflt));
}

static void look_at_end(struct guest_run *g)
{
        struct tree_levels l;

        tree_look(getpid(), true, &l);
        metric_set(&g->seen, METRIC_RSS_END, (double)l.rss_bytes);
        metric_set(&g->seen, METRIC_RSS_PEAK, (double)l.peak_bytes);
        if (l.pss_bytes)
                metric_set(&g->seen, METRIC_PSS_END, (double)l.pss_bytes);
}

void guest_run_end(struct guest_run *g, bool done, struct metric_values *ret)
{
        if (done && g->pid)
                look_at_end(g);
        if (g->pid) {
                kill_tree(g, SIGTERM);
                wait_all(g);
                count_costs(g);
        }
        if (g->t3_ns)
                metric_set(&g->seen, METRIC_T3, (double)(g->t3_ns - g->t0_ns) / (double)NS_PER_US);
        if (g->t4_ns)
                metric_set(&g->seen, METRIC_T4, (double)(g->t4_ns - g->t0_ns) / (double)NS_PER_US);
        *ret = g->seen;
        if (g->has_mark)
                regfree(&g->mark);
        if (g->serial_fd >= 0)
                close(g->serial_fd);
        if (g->stderr_fd >= 0)
                close(g->stderr_fd);
        g->pid = 0;
        g->has_mark = false;
        g->serial_fd = g->stderr_fd = -1;
}
