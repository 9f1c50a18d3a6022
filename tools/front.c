/* A VM in the foreground, from the first signal mask to the exit status. */
#include "tools/front.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/control/machine_store.h"
#include "core/base/unix_listen.h"
#include "core/control/qmp.h"
#include "core/control/server.h"
#include "tools/ledger_out.h"
#include "tools/serial_socket.h"
#include "tools/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define QMP_BACKLOG 8 /* who connects while the VM is made waits there */

void front_defaults(struct front *f, struct session_options *o, uint64_t t0_ns)
{
        *f = (struct front){.serial = "stdio", .name_fd = -1, .serial_fd = -1, .qmp_fd = -1};
        *o = (struct session_options){.t0_ns = t0_ns, .t0_from = LEDGER_T0_SELF, .message = cli_message};
}

static int bad(const struct verb *v, const char *option, const char *expected, const char *found)
{
        cli_usage(v->name, "--%s: expected %s, found '%s'", option, expected, found);
        return -1;
}

/* The path behind "file=" or "unix="; NULL: another word, or no path. */
static const char *path_of(const char *serial, const char *kind)
{
        size_t len = strlen(kind);

        return strncmp(serial, kind, len) == 0 && serial[len] ? serial + len : NULL;
}

bool front_is_serial(const char *value)
{
        return strcmp(value, "stdio") == 0 || strcmp(value, "null") == 0 || path_of(value, "file=") || path_of(value, "unix=");
}

int front_option(const struct verb *v, int c, const char *value, struct front *f, struct session_options *o)
{
        switch (c) {
        case 'n':
                o->name = value;
                return 1;
        case 's':
                f->serial = value;
                return front_is_serial(value) ? 1 : bad(v, "serial", "stdio, null, file=PATH or unix=PATH", value);
        case 'q':
                f->qmp_path = path_of(value, "unix=");
                return f->qmp_path ? 1 : bad(v, "qmp", "unix=PATH", value);
        case 'g':
                return ram_backing_find(value, &o->memory_backing) ? 1
                       : bad(v, "memory-backing", "anon, memfd or hugetlb", value);
        case 'p':
                o->paused = true;
                return 1;
        case 'u':
                o->until = value;
                return 1;
        case 'k':
                o->mark = value;
                return 1;
        case 't':
                return cli_time(value, &o->timeout_ns) && o->timeout_ns ? 1
                       : bad(v, "timeout", "a time like 500ms or 10s", value);
        case 'l':
                f->ledger_path = value;
                return 1;
        case '0':
                o->t0_from = LEDGER_T0_LAUNCHER;
                return cli_number(value, 1, o->t0_ns, &o->t0_ns) ? 1 : bad(v, "t0-ns", "CLOCK_MONOTONIC nanoseconds in the past",
                                                                           value);
        }
        return 0;
}

static void signalled(void *arg, int fd, short revents)
{
        struct signalfd_siginfo si;
        (void)revents;

        if (read(fd, &si, sizeof(si)) == sizeof(si))
                session_end_by_signal(arg, (int)si.ssi_signo);
}

/* From here on INT, TERM and HUP end the VM in order; before, while there is nothing to lose, they end the program. */
static int watch_signals(struct session *s, int *ret_fd, struct err *e)
{
        sigset_t set;

        cli_end_signals(&set);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
        *ret_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (*ret_fd < 0)
                return err_set(e, -errno, "signalfd: %s", strerror(errno));
        return session_watch(s, *ret_fd, POLLIN, signalled, s);
}

/* Where machines cannot be kept (no home, a file system that is read-only) a VM runs all the same, and that is said. */
static int open_store(struct front *f, const char *name, struct err *e)
{
        struct err mine = {0};
        char dir[4096], text[1200];

        if (!cli_state_dir(dir, sizeof(dir)))
                err_set(&mine, -ENOENT, "XDG_STATE_HOME is not set, and there is no home");
        else
                machine_store_open(dir, name, true, &f->store, &mine);
        if (f->store)
                return machine_store_lock(f->store, e);
        snprintf(text, sizeof(text), "'rouse start' will not know this machine: %s", mine.text);
        cli_message(NULL, text);
        return 0;
}

int front_take_name(struct front *f, const struct session_options *o, struct err *e)
{
        char dir[4096];
        int r;

        if (!o->name)
                return 0;
        if (!cli_runtime_dir(dir, sizeof(dir)))
                return err_set(e, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
        f->name = o->name;
        f->name_fd = r = control_name_take(dir, o->name, e);
        return r < 0 ? r : open_store(f, o->name, e);
}

int front_refuse_saved(const struct front *f, const struct session_options *o, struct err *e)
{
        if (!f->store || !machine_store_has_state(f->store))
                return 0;
        return err_set(e, -EEXIST, "the machine '%s' has a saved state: wake it with 'rouse start %s', boot it without with "
                       "'rouse start %s --stateless', or give this one another --name", o->name, o->name, o->name);
}

static int open_qmp(struct front *f, struct err *e)
{
        if (f->qmp_path)
                f->qmp_fd = unix_listen(f->qmp_path, QMP_BACKLOG, e);
        return f->qmp_path ? f->qmp_fd : 0;
}

static int open_serial(struct front *f, struct session_options *o, struct err *e)
{
        const char *file = path_of(f->serial, "file="), *socket = path_of(f->serial, "unix=");

        o->serial_out_fd = strcmp(f->serial, "stdio") == 0 ? STDOUT_FILENO : -1;
        if (socket) {
                o->serial_lossy = true;
                return serial_socket_new(socket, &f->serial_socket, e);
        }
        if (!file)
                return 0;
        /* appended to: a restored VM goes on where it was */
        f->serial_fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
        if (f->serial_fd < 0)
                return err_set(e, -errno, "--serial file: open %s: %s", file, strerror(errno));
        o->serial_out_fd = f->serial_fd;
        return 0;
}

/* It is written when the VM has ended: that it cannot be is said before it runs. */
static int check_ledger(const struct front *f, struct err *e)
{
        int r = !f->ledger_path || strcmp(f->ledger_path, "-") == 0 ? 0 : fd_may_write_file(f->ledger_path);

        return r < 0 ? err_set(e, r, "--ledger %s: expected a place for a file, found none: %s", f->ledger_path, strerror(-r)) : 0;
}

int front_open(struct front *f, struct session_options *o, struct err *e)
{
        int r = check_ledger(f, e);

        if (r >= 0)
                r = open_serial(f, o, e);
        return r < 0 ? r : open_qmp(f, e);
}

static void leave_name(struct front *f)
{
        char dir[4096];

        if (f->name_fd >= 0 && cli_runtime_dir(dir, sizeof(dir)))
                control_name_leave(dir, f->name, TAKE_FD(f->name_fd));
}

void front_close(struct front *f)
{
        if (f->qmp_fd >= 0) {
                unlink(f->qmp_path);
                close(f->qmp_fd);
        }
        f->qmp_fd = -1;
        serial_socket_free(TAKE_PTR(f->serial_socket));
        machine_store_close(TAKE_PTR(f->store));
        leave_name(f);
        if (f->serial_fd >= 0)
                close(f->serial_fd);
        f->serial_fd = -1;
}

static int listen_by_name(struct front *f, struct session *s, struct control_server **ret, struct err *e)
{
        char dir[4096];

        if (f->name_fd < 0)
                return 0;
        if (!cli_runtime_dir(dir, sizeof(dir)))
                return err_set(e, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
        return control_server_new(s, dir, session_name(s), TAKE_FD(f->name_fd), ret, e);
}

static int status_of(const struct session_result *r)
{
        switch (r->why) {
        case SESSION_NONE:
        case SESSION_UNTIL:
        case SESSION_GUEST_OFF:
        case SESSION_QUIT:
                break;
        case SESSION_TIMEOUT:
                return r->lost_pages ? EXIT_LOST : EXIT_TIMEOUT;
        case SESSION_SIGNAL:
                return EXIT_SIGNAL_BASE + r->signal;
        case SESSION_LOST:
        case SESSION_ERROR:
                return cli_fail(&r->err);
        }
        return r->lost_pages ? EXIT_LOST : EXIT_OK; /* the guest never came to need them, but they were lost while it ran */
}

static int run(struct session *s, struct front *f, struct session_result *ret, struct err *e)
{
        _cleanup_close_ int signal_fd = -1;
        struct control_server *server = NULL;
        struct qmp_server *qmp = NULL;
        struct terminal *terminal = NULL;
        int r = watch_signals(s, &signal_fd, e);

        if (r >= 0)
                r = listen_by_name(f, s, &server, e);
        if (r >= 0 && f->qmp_path)
                r = qmp_server_new(s, f->qmp_fd, &qmp, e);
        if (r >= 0 && strcmp(f->serial, "stdio") == 0)
                r = terminal_new(s, &terminal, e);
        if (r >= 0 && f->serial_socket)
                r = serial_socket_serve(f->serial_socket, s, e);
        if (r >= 0 && qmp)
                qmp_server_serve(qmp);
        if (r >= 0 && f->before)
                r = f->before(f->hook_arg, s, e);
        if (r >= 0)
                session_run(s, ret);
        if (r >= 0 && f->after)
                f->after(f->hook_arg, s, ret);
        serial_socket_free(TAKE_PTR(f->serial_socket));
        terminal_free(terminal);
        qmp_server_free(qmp);
        control_server_free(server);
        return r;
}

int front_run(struct session *s, struct front *f)
{
        struct session_result result = {0};
        struct err err = {0};
        int r = run(s, f, &result, &err), status;

        status = r < 0 ? cli_fail(&err) : status_of(&result);
        if (r >= 0 && f->ledger_path && ledger_write(session_ledger(s), f->ledger_path, &err) < 0) {
                int failed = cli_fail(&err);

                status = status ? status : failed; /* how the VM ended is the greater news */
        }
        session_free(s);
        front_close(f); /* after the session, which may still be writing to it */
        return status;
}
