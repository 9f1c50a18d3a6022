/* rouse list: every named machine, running or not. */
#include "tools/cli.h"

#include "core/base/cleanup.h"
#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/control/json_text.h"
#include "core/control/machine_store.h"
#include "core/control/peer.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#define ANSWER_NS NS_PER_S /* one that is being saved does not answer until it is */

static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        CLI_LAST_OPTIONS,
};

struct row {
        const char *name;
        char        state[16];
        pid_t       pid; /* 0: it does not run */
        uint64_t    memory_bytes, vcpus; /* 0: not known */
};

/* What the running VM says of itself; one that does not answer is busy. */
static bool ask_vm(const char *runtime_dir, struct row *r)
{
        struct json_object *request = json_object_new_object(), *reply = NULL, *state, *memory, *vcpus;
        struct peer *p;

        if (peer_connect(runtime_dir, r->name, &p, NULL) < 0) {
                json_object_put(request);
                return false;
        }
        json_add_str(request, "execute", "status");
        r->pid = peer_pid(p);
        snprintf(r->state, sizeof(r->state), "busy");
        if (peer_ask(p, request, now_ns() + ANSWER_NS, &reply, NULL) >= 0 && (state = json_at(reply, "state")) &&
            (memory = json_at(reply, "memory_bytes")) && (vcpus = json_at(reply, "vcpus"))) {
                snprintf(r->state, sizeof(r->state), "%s", json_object_get_string(state));
                r->memory_bytes = json_object_get_uint64(memory);
                r->vcpus = json_object_get_uint64(vcpus);
        }
        json_object_put(reply);
        json_object_put(request);
        peer_free(p);
        return true;
}

/* False: there is nothing to list of that name. A definition that cannot be read is one: `delete` removes it. */
static bool fill(const char *state_dir, const char *runtime_dir, struct row *row)
{
        _cleanup_(machine_definition_free) struct machine_definition d = {0};
        struct machine_store *m;
        struct err err = {0};
        bool saved, locked, running = ask_vm(runtime_dir, row);
        int r;

        if (machine_store_open(state_dir, row->name, false, &m, NULL) < 0)
                return running;
        r = machine_store_read(m, &d, &err);
        saved = machine_store_has_state(m);
        locked = machine_store_is_locked(m);
        machine_store_close(m);
        if (r < 0 && r != -ENOENT)
                cli_message(NULL, err.text);
        if (!row->memory_bytes) {
                row->memory_bytes = d.memory_bytes;
                row->vcpus = d.nr_vcpus;
        }
        if (!running) /* locked: it runs with another runtime directory, or is just starting or ending */
                snprintf(row->state, sizeof(row->state), locked ? "busy" : saved ? "saved" : "stopped");
        return r != -ENOENT || saved || running;
}

static struct json_object *row_to_json(const struct row *r)
{
        struct json_object *o = json_object_new_object();

        json_add_str(o, "name", r->name);
        json_add_str(o, "state", r->state);
        if (r->pid)
                json_add_u64(o, "pid", (uint64_t)r->pid);
        if (r->memory_bytes) {
                json_add_u64(o, "memory_bytes", r->memory_bytes);
                json_add_u64(o, "vcpus", r->vcpus);
        }
        return o;
}

#define NAME_WIDTH_MIN 24

static int name_width(const struct row *rows, size_t nr)
{
        size_t width = NAME_WIDTH_MIN;

        for (size_t i = 0; i < nr; i++)
                width = MAX(width, strlen(rows[i].name));
        return (int)width;
}

static void print_row(const struct row *r, int width)
{
        char pid[16] = "-", memory[32] = "-", vcpus[16] = "-";

        if (r->pid)
                snprintf(pid, sizeof(pid), "%d", (int)r->pid);
        if (r->memory_bytes) {
                snprintf(memory, sizeof(memory), "%lluM", (unsigned long long)(r->memory_bytes / MIB));
                snprintf(vcpus, sizeof(vcpus), "%llu", (unsigned long long)r->vcpus);
        }
        printf("%-*s %-8s %8s %8s %6s\n", width, r->name, r->state, pid, memory, vcpus);
}

static void print_table(const struct row *rows, size_t nr)
{
        int width = name_width(rows, nr);

        printf("%-*s %-8s %8s %8s %6s\n", width, "NAME", "STATE", "PID", "MEMORY", "VCPUS");
        for (size_t i = 0; i < nr; i++)
                print_row(&rows[i], width);
}

static void print_json(const struct row *rows, size_t nr)
{
        struct json_object *array = json_object_new_array();

        for (size_t i = 0; i < nr; i++)
                json_object_array_add(array, row_to_json(&rows[i]));
        printf("%s\n", json_object_to_json_string_ext(array, JSON_C_TO_STRING_PRETTY));
        json_object_put(array);
}

static int list(const char *state_dir, const char *runtime_dir, bool json, struct err *e)
{
        _cleanup_free_ struct row *rows = NULL;
        char **names;
        size_t nr_names, nr = 0;
        int r = machine_store_list(state_dir, &names, &nr_names, e);

        if (r < 0)
                return r;
        rows = calloc(nr_names + 1, sizeof(*rows));
        for (size_t i = 0; rows && i < nr_names; i++) {
                rows[nr] = (struct row){.name = names[i]};
                nr += fill(state_dir, runtime_dir, &rows[nr]);
        }
        if (rows)
                (json ? print_json : print_table)(rows, nr);
        for (size_t i = 0; i < nr_names; i++)
                free(names[i]);
        free(names);
        return rows ? 0 : err_set(e, -ENOMEM, "no memory for a list of %zu machines", nr_names);
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        char state_dir[4096], runtime_dir[4096];
        struct err err = {0};
        bool json = false;
        int c;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_list, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                json |= c == 'j';
        }
        if (optind < argc)
                return cli_usage("list", "unexpected word '%s'", argv[optind]);
        if (!cli_state_dir(state_dir, sizeof(state_dir)) || !cli_runtime_dir(runtime_dir, sizeof(runtime_dir)))
                err_set(&err, -ENOENT, "XDG_STATE_HOME is not set, and there is no home");
        if (err.code < 0)
                return cli_fail(&err);
        return list(state_dir, runtime_dir, json, &err) < 0 ? cli_fail(&err) : EXIT_OK;
}

const struct verb verb_list = {
        .name = "list",
        .summary = "named machines and what they are doing",
        .help = "usage: rouse list [--json]\n\n"
                "Lists the machines that 'rouse run --name' or 'rouse restore --name' made, and their states:\n"
                "running, paused, busy (being saved, or just starting or ending), stopped, and saved: stopped with a state\n"
                "that 'rouse start' wakes.\n\n"
                "  --json                an array of {\"name\",\"state\",\"pid\",\"memory_bytes\",\"vcpus\"}\n\n"
                "example: rouse list\n",
        .run = run,
};
