/* posix_spawn, waitid. */
#include "bench/run/peer_process.h"

#include "bench/run/spawn_attr.h"
#include "bench/run/tree.h"
#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PATIENCE_NS  (5 * NS_PER_S)     /* from SIGTERM to SIGKILL */
#define LISTENING_NS (200 * NS_PER_MS)  /* a socket that /proc/net/unix does not know (another network namespace) is taken as ready after so long */
#define ENDED_MAX    512

/* --- command lines --- */

static void *need(void *p)
{
        if (!p) {
                fprintf(stderr, "rouse bench: no memory\n");
                exit(1);
        }
        return p;
}

static size_t count(char *const *strings)
{
        size_t n = 0;

        while (strings[n])
                n++;
        return n;
}

static bool is_named(const char *pair, const char *name)
{
        size_t n = strlen(name);

        return strncmp(pair, name, n) == 0 && pair[n] == '=';
}

/* env has room for one more; value NULL: taken out. */
static void set_env(char **env, const char *name, const char *value)
{
        size_t nr = count(env), i = 0;

        while (i < nr && !is_named(env[i], name))
                i++;
        if (i < nr) {
                free(env[i]);
                env[i] = env[--nr];
                env[nr] = NULL;
        }
        if (value && asprintf(&env[nr], "%s=%s", name, value) < 0)
                need(NULL);
}

static int expand_env(const struct peer *p, const struct peer_vars *vars, char ***ret, struct err *e)
{
        size_t n = count(environ), extra = p->env ? (size_t)json_object_object_length(p->env) : 0;
        char **env = need(calloc(n + extra + 1, sizeof(*env)));
        struct json_object_iterator at, end;

        for (size_t i = 0; i < n; i++)
                env[i] = need(strdup(environ[i]));
        *ret = env;
        if (!p->env)
                return 0;
        at = json_object_iter_begin(p->env);
        end = json_object_iter_end(p->env);
        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
                struct json_object *v = json_object_iter_peek_value(&at);
                _cleanup_free_ char *value = v ? peer_expand(vars, json_object_get_string(v), e) : NULL;

                if (v && !value)
                        return -EINVAL;
                set_env(env, json_object_iter_peek_name(&at), value);
        }
        return 0;
}

int peer_command_expand(const struct peer *p, const struct peer_vars *vars, struct json_object *argv, struct peer_command *ret,
                        struct err *e)
{
        size_t nr = json_object_array_length(argv);

        *ret = (struct peer_command){.argv = need(calloc(nr + 1, sizeof(char *)))};
        for (size_t i = 0; i < nr; i++) {
                const char *text = json_object_get_string(json_object_array_get_idx(argv, i));
                _cleanup_free_ char *word = peer_expand(vars, text, e);

                if (!word) {
                        peer_command_free(ret);
                        return -EINVAL;
                }
                ret->argv[i] = i == 0 && strchr(word, '/') ? peer_expand_path(vars, p->dir, text, e) : TAKE_PTR(word);
        }
        if (expand_env(p, vars, &ret->env, e) < 0) {
                peer_command_free(ret);
                return -EINVAL;
        }
        return 0;
}

static void free_strings(char **strings)
{
        for (size_t i = 0; strings && strings[i]; i++)
                free(strings[i]);
        free(strings);
}

void peer_command_free(struct peer_command *c)
{
        free_strings(c->argv);
        free_strings(c->env);
        *c = (struct peer_command){0};
}

int peer_command_find(const struct peer_command *c, struct err *e)
{
        const char *name = c->argv[0], *path = getenv("PATH");

        if (strchr(name, '/'))
                return access(name, X_OK) == 0 ? 0 : err_set(e, -errno, "%s: %s", name, strerror(errno));
        for (; path && *path; path += strcspn(path, ":"), path += *path == ':') {
                char file[PATH_MAX];

                snprintf(file, sizeof(file), "%.*s/%s", (int)strcspn(path, ":"), path, name);
                if (access(file, X_OK) == 0)
                        return 0;
        }
        return err_set(e, -ENOENT, "%s: there is no such program in $PATH", name);
}

/* --- start, wait --- */

int peer_helper_start(const struct peer_command *c, pid_t *ret_pid, int *ret_said_fd, struct err *e)
{
        _cleanup_close_ int said_fd = memfd_create("said", MFD_CLOEXEC);
        posix_spawn_file_actions_t fa;
        posix_spawnattr_t attr;
        int r;

        if (said_fd < 0)
                return err_set(e, -errno, "memfd_create: %s", strerror(errno));
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        spawn_attr_init(&attr);
        posix_spawn_file_actions_init(&fa);
        posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&fa, said_fd, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&fa, said_fd, STDERR_FILENO);
        r = posix_spawnp(ret_pid, c->argv[0], &fa, &attr, c->argv, c->env);
        posix_spawn_file_actions_destroy(&fa);
        posix_spawnattr_destroy(&attr);
        if (r)
                return err_set(e, -r, "%s: %s", c->argv[0], strerror(r));
        *ret_said_fd = TAKE_FD(said_fd);
        return 0;
}

static void last_line(int fd, char *ret, size_t size)
{
        char text[1024], *line;
        off_t end = lseek(fd, 0, SEEK_END), from = end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0;
        ssize_t n = end > 0 ? pread(fd, text, sizeof(text) - 1, from) : 0;

        while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
                n--;
        text[n < 0 ? 0 : n] = 0;
        line = strrchr(text, '\n');
        snprintf(ret, size, "%.*s", (int)size - 1, line ? line + 1 : text);
}

/* How a child has ended, if it has; it stays to be reaped. */
static bool has_ended(pid_t pid, char *how, size_t size)
{
        siginfo_t si = {0};

        if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) < 0 || si.si_pid != pid)
                return false;
        snprintf(how, size, si.si_code == CLD_EXITED ? "exit %d" : "signal %d", si.si_status);
        return true;
}

static void sleep_for(struct guest_stop *stop, int ms)
{
        struct pollfd fd = {.fd = stop ? stop->fd : -1, .events = POLLIN};

        poll(&fd, 1, ms);
}

int peer_command_run(const struct peer_command *c, struct guest_stop *stop, uint64_t timeout_ns, struct err *e)
{
        uint64_t until = now_ns() + timeout_ns;
        _cleanup_close_ int said_fd = -1;
        char how[32] = "", said[600];
        bool stopped = false;
        pid_t pid = 0;
        int r = peer_helper_start(c, &pid, &said_fd, e);

        if (r < 0)
                return r;
        while (!has_ended(pid, how, sizeof(how)) && now_ns() < until && !(stopped = guest_stop_asked(stop)))
                sleep_for(stop, 1);
        if (!how[0])
                kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
        last_line(said_fd, said, sizeof(said));
        if (stopped)
                return err_set(e, -ECANCELED, "stopped by signal %d", stop->signal);
        if (!how[0])
                return err_set(e, -ETIMEDOUT, "%s: has not ended within %g s%s%s", c->argv[0],
                               (double)timeout_ns / (double)NS_PER_S, said[0] ? ": " : "", said);
        return strcmp(how, "exit 0") == 0 ? 0 : err_set(e, -ECHILD, "%s: %s%s%s", c->argv[0], how, said[0] ? ": " : "", said);
}

/* By /proc/net/unix: "Num RefCount Protocol Flags Type St Inode Path"; 00010000 is SO_ACCEPTCON. */
static bool somebody_listens(const char *path)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/net/unix", "re");
        char line[400];

        while (f && fgets(line, sizeof(line), f)) {
                char *at = strchr(line, '/');

                line[strcspn(line, "\n")] = 0;
                if (at && strcmp(at, path) == 0 && strstr(line, " 00010000 "))
                        return true;
        }
        return false;
}

static bool is_ready(const char *path, uint64_t *since_ns)
{
        struct stat st;

        if (stat(path, &st) < 0)
                return false;
        if (!S_ISSOCK(st.st_mode))
                return true;
        *since_ns = *since_ns ? *since_ns : now_ns();
        return somebody_listens(path) || now_ns() - *since_ns > LISTENING_NS;
}

int peer_helper_ready(const struct peer_command *c, pid_t pid, int said_fd, const char *path, struct guest_stop *stop,
                      uint64_t timeout_ns, struct err *e)
{
        uint64_t until = now_ns() + timeout_ns, since_ns = 0;
        char how[32], said[600];

        while (!is_ready(path, &since_ns)) {
                last_line(said_fd, said, sizeof(said));
                if (guest_stop_asked(stop))
                        return err_set(e, -ECANCELED, "stopped by signal %d", stop->signal);
                if (has_ended(pid, how, sizeof(how)) && access(path, F_OK) < 0)
                        return err_set(e, -ECHILD, "helper %s: %s before there was a %s%s%s", c->argv[0], how, path,
                                       said[0] ? ": " : "", said);
                if (now_ns() > until)
                        return err_set(e, -ETIMEDOUT, "helper %s: no %s within %g s%s%s", c->argv[0], path, (double)timeout_ns / (double)NS_PER_S,
                                       said[0] ? ": " : "", said);
                sleep_for(stop, 1);
        }
        return 0;
}

/* --- end --- */

static void kill_all(int signal)
{
        pid_t pids[ENDED_MAX];
        size_t nr = MIN(tree_list(getpid(), pids, ENDED_MAX), (size_t)ENDED_MAX);

        for (size_t i = 0; i < nr; i++)
                kill(pids[i], signal);
}

void peer_end_all(void)
{
        uint64_t until = now_ns() + PATIENCE_NS;
        pid_t pid;

        kill_all(SIGTERM);
        for (;;) {
                while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
                        ;
                if (pid < 0)
                        return;
                if (now_ns() > until)
                        kill_all(SIGKILL);
                poll(NULL, 0, 1);
        }
}
