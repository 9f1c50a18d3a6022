/* rouse start: a named machine goes on from its saved state, or boots. */
#include "tools/detach.h"
#include "tools/front.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/control/machine_store.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>

#define SETTLED_POLL_NS (100 * NS_PER_MS) /* how long a state may lie there unneeded */

static const struct option options[] = {
        {"stateless", no_argument, NULL, 's'},
        {"console", no_argument, NULL, 'c'},
        {"allow-cpu-mismatch", no_argument, NULL, 'a'},
        CLI_LAST_OPTIONS,
};

struct start {
        const char               *name;
        bool                      stateless, console, allow_cpu_mismatch;
        struct detached           detached;
        struct front              front;
        struct machine_definition def;
        char                     *console_serial, *state_path, *log_path, *data_dir; /* NULL: none */
        struct session           *session;
        /* of a machine that goes on from its saved state */
        bool from_state;
        int  state_fd; /* holds it until it is dropped; else -1 */
        int  timer_fd; /* asks whether it is needed still; else -1 */
};

/* --- the saved state: when it may be used, and until when --- */

static void drop_state(struct start *st)
{
        struct err err = {0};

        if (st->timer_fd >= 0) {
                session_unwatch(st->session, st->timer_fd);
                close(TAKE_FD(st->timer_fd));
        }
        if (st->state_fd < 0)
                return;
        if (machine_store_drop_state(st->front.store, st->state_fd, &err) < 0)
                cli_message(NULL, err.text);
        close(TAKE_FD(st->state_fd));
}

/* A page that could not be read is in that file, if anywhere: it stays. */
static bool is_unneeded(const struct start *st)
{
        const struct ledger *l = session_ledger(st->session);

        return session_is_settled(st->session) && l->has_at[LEDGER_T6] && !l->at[LEDGER_T6].lost_pages;
}

static void ask_again(void *arg, int fd, short revents)
{
        struct start *st = arg;
        uint64_t n;
        (void)revents;

        if (read(fd, &n, sizeof(n)) == sizeof(n) && is_unneeded(st))
                drop_state(st);
}

static int watch_settled(struct start *st, struct err *e)
{
        struct itimerspec every = {.it_interval.tv_nsec = SETTLED_POLL_NS, .it_value.tv_nsec = SETTLED_POLL_NS};
        int r;

        st->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (st->timer_fd < 0 || timerfd_settime(st->timer_fd, 0, &every, NULL) < 0)
                return err_set(e, -errno, "timer: %s", strerror(errno));
        r = session_watch(st->session, st->timer_fd, POLLIN, ask_again, st);
        return r < 0 ? err_set(e, r, "watch the saved state: %s", strerror(-r)) : 0;
}

/* Memory that was saved before a disk was written to holds another truth about that disk than the disk: once its guest has run, a
 * state is not used again. Without a disk to write to it may be: what its peers on the network see is a machine that was
 * reset. */
static int check_unbegun(struct start *st, struct err *e)
{
        const struct identity *id = &session_ledger(st->session)->identity;

        if (!machine_definition_writes_disks(&st->def) || !machine_store_is_begun(st->front.store, id))
                return 0;
        return err_set(e, -EBUSY, "the saved state of '%s' has been woken before, and its guest may have written to its disks "
                       "since: it is not woken twice; 'rouse start %s --stateless' drops it and boots", st->name, st->name);
}

/* The last thing that can fail: what is marked or dropped is so for good. */
static int spend_state(struct start *st, struct err *e)
{
        if (!st->from_state)
                return machine_store_drop_state(st->front.store, -1, e);
        return machine_definition_writes_disks(&st->def)
               ? machine_store_mark_begun(st->front.store, &session_ledger(st->session)->identity, e) : 0;
}

static int hold_state(struct start *st, struct err *e)
{
        int r = check_unbegun(st, e);

        if (r >= 0)
                st->state_fd = r = machine_store_hold_state(st->front.store, e);
        return r < 0 ? r : watch_settled(st, e);
}

static int before(void *arg, struct session *s, struct err *e)
{
        struct start *st = arg;
        int r;

        st->session = s;
        r = detach_open_log(&st->detached, st->log_path, e);
        if (r >= 0 && st->from_state)
                r = hold_state(st, e);
        if (r >= 0)
                r = spend_state(st, e);
        return r < 0 ? r : detach_finish(&st->detached, e);
}

/* Whoever ended it meant to; one that failed may be woken from its state again, as far as begin_from_state lets it. */
static void after(void *arg, struct session *s, const struct session_result *result)
{
        struct start *st = arg;
        bool failed = result->why == SESSION_LOST || result->why == SESSION_ERROR || result->lost_pages;
        (void)s;

        if (!failed)
                drop_state(st);
}

/* --- from the definition to a session --- */

static void fill_common(struct start *st, struct session_options *o)
{
        o->name = st->name;
        o->memory_backing = st->def.memory_backing;
        o->devices = st->def.devices;
        o->nr_devices = st->def.nr_devices;
}

static int wake(struct start *st, struct session_options *common, struct session **ret, struct err *e)
{
        struct restore_options o = {.mode = RESTORE_AUTO, .leaves_files = true, .hints = HINTS_AUTO, .fill = true, .verify = true,
                                    .source_timeout_ms = 30000};

        o.common = *common;
        o.path = st->state_path;
        o.data_dir = st->data_dir;
        o.allow_cpu_mismatch = st->allow_cpu_mismatch;
        return session_restore(&o, ret, e);
}

static int boot(struct start *st, struct session_options *common, struct session **ret, struct err *e)
{
        struct boot_options o = {.kernel = st->def.kernel, .initrd = st->def.initrd, .cmdline = st->def.append};

        o.common = *common;
        o.memory_bytes = st->def.memory_bytes;
        o.nr_vcpus = st->def.nr_vcpus;
        return session_boot(&o, ret, e);
}

static int check_bootable(const struct start *st, struct err *e)
{
        if (st->from_state || st->def.kernel)
                return 0;
        return err_set(e, -ENOENT, "the machine '%s' was restored from %s and has no kernel to boot, only a saved state starts "
                       "it; 'rouse restore %s --name %s' makes it anew",
                       st->name, st->def.restored_from ? st->def.restored_from : "a snapshot",
                       st->def.restored_from ? st->def.restored_from : "DIR", st->name);
}

/* Detached, what would go to the terminal goes to a file of the machine's. */
static int choose_serial(struct start *st, struct err *e)
{
        if (!front_is_serial(st->def.serial))
                return err_usage(e, "\"serial\": expected stdio, null, file=PATH or unix=PATH, found '%s'", st->def.serial);
        st->front.serial = st->def.serial;
        st->front.qmp_path = st->def.qmp;
        if (st->console)
                st->front.serial = "stdio";
        if (st->console || strcmp(st->def.serial, "stdio") != 0)
                return 0;
        if (asprintf(&st->console_serial, "file=%s/console.log", machine_store_path(st->front.store)) < 0)
                return err_set(e, -ENOMEM, "no memory for a path");
        st->front.serial = st->console_serial;
        return 0;
}

/* The machine is there, is ours, and says what it is made of. */
static int read_machine(struct start *st, const struct session_options *o, struct err *e)
{
        struct machine_store *m;
        char dir[4096];
        bool running;
        int r;

        if (!cli_state_dir(dir, sizeof(dir)))
                return err_set(e, -ENOENT, "XDG_STATE_HOME is not set, and there is no home");
        r = machine_store_open(dir, st->name, false, &m, e);
        if (r < 0)
                return r;
        running = machine_store_is_locked(m);
        machine_store_close(m);
        if (running)
                return err_set(e, -EADDRINUSE, "the machine '%s' is running already", st->name);
        r = front_take_name(&st->front, o, e);
        if (r < 0)
                return r == -EADDRINUSE ? err_set(e, r, "the machine '%s' is running already", st->name) : r;
        if (!st->front.store)
                return err_set(e, -EIO, "the machine '%s' cannot be locked", st->name);
        r = machine_store_read(st->front.store, &st->def, e);
        st->from_state = !st->stateless && machine_store_has_state(st->front.store);
        st->state_path = machine_store_state_path(st->front.store);
        st->log_path = machine_store_file(st->front.store, "log");
        if (r >= 0 && (!st->state_path || !st->log_path))
                r = err_set(e, -ENOMEM, "no memory for a path");
        return r < 0 ? r : check_bootable(st, e);
}

/* The words that are wrong are those of a file, or do not fit the state: the command's were right. */
static int blame(const struct start *st, int r, struct err *e)
{
        if (e->kind == ERR_SNAPSHOT)
                return err_wrap(e, r, "'%s' does not go on from its saved state, which 'rouse start %s --stateless' would drop",
                                st->name, st->name);
        if (e->kind != ERR_USAGE)
                return r;
        e->kind = ERR_FAILED;
        return err_wrap(e, r, "%s/definition.json", machine_store_path(st->front.store));
}

static int make_session(struct start *st, struct session_options *o, struct session **ret, struct err *e)
{
        int r = choose_serial(st, e);

        if (r >= 0)
                r = front_open(&st->front, o, e);
        if (r < 0)
                return r;
        fill_common(st, o);
        st->front.before = before;
        st->front.after = after;
        st->front.hook_arg = st;
        return st->from_state ? wake(st, o, ret, e) : boot(st, o, ret, e);
}

static int start(struct start *st, uint64_t t0_ns)
{
        struct session_options o;
        struct session *s;
        struct err err = {0};
        char data_dir[4096];
        int status, r;

        front_defaults(&st->front, &o, t0_ns);
        o.name = st->name;
        st->data_dir = cli_data_dir(data_dir, sizeof(data_dir)) ? data_dir : NULL;
        r = read_machine(st, &o, &err);
        if (r >= 0)
                r = blame(st, make_session(st, &o, &s, &err), &err);
        if (r < 0) {
                front_close(&st->front);
                status = cli_fail(&err);
        } else {
                status = front_run(s, &st->front);
        }
        if (st->state_fd >= 0)
                close(st->state_fd);
        if (st->timer_fd >= 0)
                close(st->timer_fd);
        machine_definition_free(&st->def);
        free(st->console_serial);
        free(st->state_path);
        free(st->log_path);
        return status;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct start st = {.state_fd = -1, .timer_fd = -1, .detached = {.ready_fd = -1, .log_fd = -1}};
        int c;

        while ((c = cli_getopt(&verb_start, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                st.stateless |= c == 's';
                st.console |= c == 'c';
                st.allow_cpu_mismatch |= c == 'a';
        }
        if (optind + 1 != argc)
                return cli_usage("start", "expected NAME, found %d words", argc - optind);
        st.name = argv[optind];
        if (!st.console && !detach_begin(&st.detached, &c))
                return c;
        return start(&st, t0_ns);
}

const struct verb verb_start = {
        .name = "start",
        .summary = "wake a named machine from its saved state, or boot it",
        .help = "usage: rouse start NAME [--stateless] [--console]\n\n"
                "Starts the machine that 'rouse run --name NAME' or 'rouse restore --name NAME' made. If its state was saved\n"
                "('rouse stop NAME --stateful') it goes on from there, and its memory comes in while it runs; else it boots.\n"
                "The saved state is removed when the VM does not need it any more. The command returns when the VM runs;\n"
                "its serial port is appended to console.log and messages to log, beside its definition.\n\n"
                "  --stateless           boot; a saved state is dropped\n"
                "  --console             stay, with the serial port on this terminal; Ctrl-A x ends the VM\n"
                "  --allow-cpu-mismatch  go on even where this CPU lacks what the guest saw\n\n"
                "example: rouse start web\n",
        .run = run,
};
