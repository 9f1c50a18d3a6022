/* rouse stop: ends a named VM, with its state saved or without. */
#include "tools/cli.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/control/json_text.h"
#include "core/control/machine_store.h"
#include "core/control/peer.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

static const struct option options[] = {
        {"stateful", no_argument, NULL, 's'},
        {"force", no_argument, NULL, 'f'},
        {"timeout", required_argument, NULL, 't'},
        CLI_LAST_OPTIONS,
};

struct stop {
        const char *name;
        bool        stateful, force;
        uint64_t    until_ns; /* 0: as long as it takes */
};

static int ask(struct peer *p, const struct stop *st, struct json_object *request, struct err *e)
{
        struct json_object *reply = NULL;
        int r = peer_ask(p, request, st->until_ns, &reply, e);

        json_object_put(reply);
        json_object_put(request);
        return r;
}

static struct json_object *make_request(const char *command)
{
        struct json_object *request = json_object_new_object();

        json_add_str(request, "execute", command);
        return request;
}

/* Where `start` will look for it; a machine without a definition could not be started. */
static int find_state_path(const char *name, char **ret, struct err *e)
{
        _cleanup_(machine_definition_free) struct machine_definition d = {0};
        struct machine_store *m;
        char dir[4096];
        int r;

        if (!cli_state_dir(dir, sizeof(dir)))
                return err_set(e, -ENOENT, "there is no place to save '%s' at: set XDG_STATE_HOME", name);
        r = machine_store_open(dir, name, false, &m, e);
        if (r < 0)
                return r;
        r = machine_store_read(m, &d, e);
        if (r >= 0 && !machine_store_is_locked(m)) /* the name is of one directory, the machine of another */
                r = err_set(e, -ENOENT,
                            "'%s' does not run from %s: give XDG_STATE_HOME the value that it had when the VM was started", name,
                            machine_store_path(m));
        if (r >= 0)
                *ret = machine_store_state_path(m);
        machine_store_close(m);
        if (r < 0)
                return r;
        return *ret ? 0 : err_set(e, -ENOMEM, "no memory for a path");
}

static int ask_snapshot(struct peer *p, const struct stop *st, const char *path, struct err *e)
{
        struct json_object *request = make_request("snapshot"), *args = json_object_new_object();

        json_add_str(args, "dir", path);
        json_add_str(args, "then", "quit");
        json_object_object_add(args, "replace", json_object_new_boolean(true));
        json_object_object_add(request, "arguments", args);
        return ask(p, st, request, e);
}

/* The VM itself writes its state, and ends only when it is on the disk. */
static int save(struct peer *p, const struct stop *st, struct err *e)
{
        _cleanup_free_ char *path = NULL;
        int r = ask(p, st, make_request("status"), e); /* a VM that answers has kept its definition */

        if (r == -ETIMEDOUT)
                return r;
        if (r >= 0)
                r = find_state_path(st->name, &path, e);
        if (r >= 0)
                r = ask_snapshot(p, st, path, e);
        if (r == -ETIMEDOUT)
                return err_set(e, r, "'%s' is still being saved; it ends when that is done", st->name);
        if (r == -ECONNRESET)
                return err_set(e, r, "'%s' ended before it answered; 'rouse list' tells whether it is saved", st->name);
        return r < 0 ? err_wrap(e, r, "'%s' is not saved, and goes on", st->name) : 0;
}

static int end(struct peer *p, const struct stop *st, struct err *e)
{
        int r;

        if (st->force)
                r = peer_kill(p, e);
        else if (st->stateful)
                r = save(p, st, e);
        else
                r = ask(p, st, make_request("quit"), e);
        if (r >= 0)
                r = peer_wait_end(p, st->until_ns, e);
        if (r == -ETIMEDOUT && !st->stateful)
                return err_set(e, r, "'%s' has not ended in time; 'rouse stop %s --force' kills it", st->name, st->name);
        return r;
}

static int stop(const struct stop *st, struct err *e)
{
        char runtime_dir[4096];
        struct peer *p;
        int r;

        if (!cli_runtime_dir(runtime_dir, sizeof(runtime_dir)))
                return err_set(e, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long");
        r = peer_connect(runtime_dir, st->name, &p, e);
        if (r < 0)
                return r;
        r = end(p, st, e);
        peer_free(p);
        return r;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct stop st = {0};
        struct err err = {0};
        uint64_t timeout_ns;
        int c;

        while ((c = cli_getopt(&verb_stop, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                st.stateful |= c == 's';
                st.force |= c == 'f';
                if (c == 't' && (!cli_time(optarg, &timeout_ns) || !timeout_ns))
                        return cli_usage("stop", "--timeout: expected a time like 500ms or 10s, found '%s'", optarg);
                if (c == 't')
                        st.until_ns = t0_ns + timeout_ns;
        }
        if (st.stateful && st.force)
                return cli_usage("stop", "--force kills at once: it cannot be --stateful");
        if (optind + 1 != argc)
                return cli_usage("stop", "expected NAME, found %d words", argc - optind);
        st.name = argv[optind];
        c = stop(&st, &err);
        if (c == -ETIMEDOUT) {
                cli_fail(&err);
                return EXIT_TIMEOUT;
        }
        return c < 0 ? cli_fail(&err) : EXIT_OK;
}

const struct verb verb_stop = {
        .name = "stop",
        .summary = "end a named VM, with its state saved or without",
        .help = "usage: rouse stop NAME [--stateful | --force] [--timeout TIME]\n\n"
                "Ends the VM called NAME. A microVM has no power button that its guest could be told by: what the guest has\n"
                "not written to its disks is lost, unless its state is saved.\n\n"
                "  --stateful            save its state first, for 'rouse start' to go on from; when that cannot be done it\n"
                "                        fails at once, and the VM goes on\n"
                "  --timeout TIME        wait that long at most (us, ms, s), then exit with 124\n"
                "  --force               kill its process\n\n"
                "example: rouse stop web --stateful\n",
        .run = run,
};
