/* One table of commands, each with the arguments that it takes. Values have their keys in the order of the alphabet, as
 * StratoVirt's have. */
#include "core/control/qmp_vm.h"

#include "core/base/units.h"
#include "core/control/json_text.h"
#include "core/control/qmp_parser.h"
#include "core/model/vm_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIELDS_MAX 8

struct field {
        const char    *name;
        enum json_type type; /* string, boolean, int: an u64 */
        bool           optional;
};

struct command {
        const char *name;
        int (*run)(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a);
        struct field fields[FIELDS_MAX];
};

/* --- running and ending --- */

/* On a VM that is stopped already it succeeds and says STOP again, as 2.5.0 does. */
static int run_stop(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)args;
        if (vm->saving)
                vm->then = THEN_STOP;
        else if (session_is_paused(vm->session))
                vm->say_event(vm->server, "STOP");
        else
                session_pause(vm->session);
        /* A page that it waited for was lost: it is stopped for good. */
        return session_why(vm->session) == SESSION_NONE ? 0 : err_set(&a->err, -EIO, "Failed to pause VM");
}

static int run_cont(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)args;
        if (vm->saving) {
                vm->then = THEN_CONT;
                return 0;
        }
        if (!session_is_paused(vm->session))
                vm->say_event(vm->server, "RESUME");
        else
                session_resume(vm->session);
        return session_is_paused(vm->session) ? err_set(&a->err, -EIO, "Failed to resume VM") : 0;
}

static int end(struct qmp_vm *vm, const char *reason)
{
        vm->end_reason = reason;
        vm->cancelled = true;
        session_quit(vm->session);
        return 0;
}

static int run_quit(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)args, (void)a;
        return end(vm, "host-qmp-quit");
}

static int run_reset(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)args, (void)a;
        return end(vm, "host-qmp-system-reset");
}

/* --- migration --- */

static int run_migrate_cancel(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)args, (void)a;
        if (vm->saving)
                vm->cancelled = true;
        return 0;
}

static int run_query_migrate(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)args;
        a->value = json_object_new_object();
        json_add_str(a->value, "status", migration_name(vm->migration));
        return 0;
}

/* --- balloon --- */

static int no_balloon(struct qmp_answer *a, int r)
{
        if (r != -ENODEV)
                return err_set(&a->err, r, "balloon: %s", strerror(-r));
        a->error_class = "DeviceNotActive";
        return err_set(&a->err, r, "No balloon device has been activated");
}

/* QMP counts what the guest keeps, the device what it gives. */
static int run_balloon(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        uint64_t all_bytes = session_memory_bytes(vm->session);
        uint64_t keep_bytes = MIN(json_object_get_uint64(json_object_object_get(args, "value")), all_bytes);
        int r = session_balloon_set(vm->session, all_bytes - keep_bytes);

        return r < 0 ? no_balloon(a, r) : 0;
}

static int run_query_balloon(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        uint64_t given_bytes, all_bytes = session_memory_bytes(vm->session);
        int r = session_balloon_get(vm->session, &given_bytes);
        (void)args;

        if (r < 0)
                return no_balloon(a, r);
        a->value = json_object_new_object();
        json_add_u64(a->value, "actual", all_bytes - MIN(given_bytes, all_bytes));
        return 0;
}

/* --- what it is --- */

static int run_nothing(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)vm, (void)args, (void)a;
        return 0;
}

static int run_query_status(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        bool running = !session_is_paused(vm->session);
        (void)args;

        a->value = json_object_new_object();
        json_object_object_add(a->value, "running", json_object_new_boolean(running));
        json_object_object_add(a->value, "singlestep", json_object_new_boolean(false));
        json_add_str(a->value, "status", running ? "running" : "paused");
        return 0;
}

static int run_query_version(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        struct json_object *qemu = json_object_new_object();
        (void)vm, (void)args;

        json_add_u64(qemu, "major", 5);
        json_add_u64(qemu, "micro", 1);
        json_add_u64(qemu, "minor", 0);
        a->value = json_object_new_object();
        json_add_str(a->value, "package", "rouse-" ROUSE_VERSION);
        json_object_object_add(a->value, "qemu", qemu);
        return 0;
}

static int run_query_cpus(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)args;
        a->value = json_object_new_array();
        for (uint32_t i = 0; i < session_nr_vcpus(vm->session); i++) {
                struct json_object *cpu = json_object_new_object();
                char path[64];

                snprintf(path, sizeof(path), "/machine/unattached/device[%" PRIu32 "]", i);
                json_add_u64(cpu, "CPU", i);
                json_add_str(cpu, "arch", "x86");
                json_object_object_add(cpu, "current", json_object_new_boolean(i == 0));
                json_object_object_add(cpu, "halted", json_object_new_boolean(false));
                json_add_str(cpu, "qom_path", path);
                json_add_u64(cpu, "thread_id", (uint64_t)session_vcpu_tid(vm->session, i));
                json_object_array_add(a->value, cpu);
        }
        return 0;
}

static int run_query_kvm(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)vm, (void)args;
        a->value = json_object_new_object();
        json_object_object_add(a->value, "enabled", json_object_new_boolean(true));
        json_object_object_add(a->value, "present", json_object_new_boolean(true));
        return 0;
}

static int run_query_name(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        const char *name = session_name(vm->session);
        (void)args;

        if (name) {
                a->value = json_object_new_object();
                json_add_str(a->value, "name", name);
        }
        return 0;
}

static int run_query_target(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        (void)vm, (void)args;
        a->value = json_object_new_object();
        json_add_str(a->value, "arch", "x86_64");
        return 0;
}

static int run_query_machines(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        struct json_object *m = json_object_new_object();
        (void)vm, (void)args;

        json_add_u64(m, "cpu-max", BOOT_VCPUS_MAX);
        json_object_object_add(m, "deprecated", json_object_new_boolean(false));
        json_object_object_add(m, "hotpluggable-cpus", json_object_new_boolean(false));
        json_add_str(m, "name", "microvm");
        json_object_object_add(m, "numa-mem-supported", json_object_new_boolean(false));
        a->value = json_object_new_array();
        json_object_array_add(a->value, m);
        return 0;
}

static struct json_object *make_names(const char *const *names, size_t nr)
{
        struct json_object *list = json_object_new_array();

        for (size_t i = 0; i < nr; i++) {
                struct json_object *o = json_object_new_object();

                json_add_str(o, "name", names[i]);
                json_object_array_add(list, o);
        }
        return list;
}

static int run_query_events(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        static const char *const names[] = {"RESUME", "SHUTDOWN", "STOP"};
        (void)vm, (void)args;

        a->value = make_names(names, ARRAY_LEN(names));
        return 0;
}

static int run_query_commands(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a);

/* --- the table --- */

static const struct command commands[] = {
        {"balloon", run_balloon, {{"value", json_type_int, false}}},
        {"cont", run_cont, {{0}}},
        {"migrate", qmp_migrate, {{"uri", json_type_string, false}}},
        {"migrate_cancel", run_migrate_cancel, {{0}}},
        {"qmp_capabilities", run_nothing, {{"enable", json_type_array, true}}},
        {"query-balloon", run_query_balloon, {{0}}},
        {"query-commands", run_query_commands, {{0}}},
        {"query-cpus", run_query_cpus, {{0}}},
        {"query-events", run_query_events, {{0}}},
        {"query-kvm", run_query_kvm, {{0}}},
        {"query-machines", run_query_machines, {{0}}},
        {"query-migrate", run_query_migrate, {{0}}},
        {"query-name", run_query_name, {{0}}},
        {"query-status", run_query_status, {{0}}},
        {"query-target", run_query_target, {{0}}},
        {"query-version", run_query_version, {{0}}},
        {"quit", run_quit, {{0}}},
        {"stop", run_stop, {{0}}},
        {"system_powerdown", run_quit, {{0}}},
        {"system_reset", run_reset, {{0}}},
        {"x-rouse-snapshot", qmp_snapshot,
         {{"dir", json_type_string, false}, {"format", json_type_string, true}, {"then", json_type_string, true},
          {"replace", json_type_boolean, true}, {"pack", json_type_string, true}, {"pack-level", json_type_int, true},
          {"base", json_type_string, true}}},
};

static int run_query_commands(struct qmp_vm *vm, struct json_object *args, struct qmp_answer *a)
{
        const char *names[ARRAY_LEN(commands)];
        (void)vm, (void)args;

        for (size_t i = 0; i < ARRAY_LEN(commands); i++)
                names[i] = commands[i].name;
        a->value = make_names(names, ARRAY_LEN(commands));
        return 0;
}

/* --- arguments, and what is wrong with them in the words that StratoVirt has --- */

/* "`a`", "`a` or `b`", "one of `a`, `b`, `c`" */
static void join_names(char *ret, size_t size, const char *const *names, size_t nr)
{
        size_t n = (size_t)snprintf(ret, size, "%s", nr > 2 ? "one of " : "");

        for (size_t i = 0; i < nr && n < size; i++)
                n += (size_t)snprintf(ret + n, size - n, "%s`%s`", i == 0 ? "" : nr == 2 ? " or " : ", ", names[i]);
}

static int err_unknown_command(const char *name, struct err *e)
{
        const char *names[ARRAY_LEN(commands)];
        char list[700];

        for (size_t i = 0; i < ARRAY_LEN(commands); i++)
                names[i] = commands[i].name;
        join_names(list, sizeof(list), names, ARRAY_LEN(commands));
        return err_set(e, -ENOENT, "unknown variant `%.*s`, expected %s", qmp_clip(name, 64), name, list);
}

static size_t nr_fields(const struct command *c)
{
        size_t n = 0;

        while (n < FIELDS_MAX && c->fields[n].name)
                n++;
        return n;
}

static int err_unknown_field(const struct command *c, const char *name, struct err *e)
{
        const char *names[FIELDS_MAX];
        char list[200];
        size_t nr = nr_fields(c);

        if (!nr)
                return err_set(e, -EINVAL, "unknown field `%.*s`, there are no fields", qmp_clip(name, 64), name);
        for (size_t i = 0; i < nr; i++)
                names[i] = c->fields[i].name;
        join_names(list, sizeof(list), names, nr);
        return err_set(e, -EINVAL, "unknown field `%.*s`, expected %s", qmp_clip(name, 64), name, list);
}

static int err_type(struct json_object *found, const char *expected, struct err *e)
{
        const char *text = json_object_get_string(found);

        switch (json_object_get_type(found)) {
        case json_type_string:
                return err_set(e, -EINVAL, "invalid type: string \"%.*s\", expected %s", qmp_clip(text, 64), text, expected);
        case json_type_int:
                return err_set(e, -EINVAL, "invalid type: integer `%s`, expected %s", text, expected);
        case json_type_double:
                return err_set(e, -EINVAL, "invalid type: floating point `%.*s`, expected %s", qmp_clip(text, 64), text,
                               expected);
        case json_type_boolean:
                return err_set(e, -EINVAL, "invalid type: boolean `%s`, expected %s", text, expected);
        case json_type_array:
                return err_set(e, -EINVAL, "invalid type: sequence, expected %s", expected);
        case json_type_object:
                return err_set(e, -EINVAL, "invalid type: map, expected %s", expected);
        case json_type_null:
                break;
        }
        return err_set(e, -EINVAL, "invalid type: null, expected %s", expected);
}

static const char *type_name(enum json_type t)
{
        return t == json_type_string ? "a string" : t == json_type_int ? "u64" : t == json_type_boolean ? "a boolean"
               : "a sequence";
}

static int check_field(const struct field *f, struct json_object *args, struct err *e)
{
        struct json_object *v;

        if (!json_object_object_get_ex(args, f->name, &v))
                return f->optional ? 0 : err_set(e, -EINVAL, "missing field `%s`", f->name);
        if (!json_object_is_type(v, f->type))
                return err_type(v, type_name(f->type), e);
        if (f->type == json_type_int && json_object_get_int64(v) < 0)
                return err_set(e, -EINVAL, "invalid value: integer `%s`, expected u64", json_object_get_string(v));
        /* a path that ends in its middle is another path */
        if (f->type == json_type_string && strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
                return err_set(e, -EINVAL, "invalid value: `%s` has a NUL character", f->name);
        return 0;
}

static int check_arguments(const struct command *c, struct json_object *args, struct err *e)
{
        size_t nr = nr_fields(c);
        int r = 0;

        if (!args)
                return nr && !c->fields[0].optional ? err_set(e, -EINVAL, "missing field `arguments`") : 0;
        json_object_object_foreach(args, key, value) {
                size_t i = 0;
                (void)value;

                while (i < nr && strcmp(c->fields[i].name, key))
                        i++;
                if (i == nr)
                        return err_unknown_field(c, key, e);
        }
        for (size_t i = 0; i < nr && r >= 0; i++)
                r = check_field(&c->fields[i], args, e);
        return r;
}

int qmp_execute(struct qmp_vm *vm, const char *name, struct json_object *arguments, struct json_object *bad_arguments,
                struct qmp_answer *a)
{
        const struct command *c = NULL;
        char expected[80];
        int r;

        for (size_t i = 0; i < ARRAY_LEN(commands); i++)
                if (strcmp(commands[i].name, name) == 0)
                        c = &commands[i];
        if (!c)
                return err_unknown_command(name, &a->err);
        snprintf(expected, sizeof(expected), "struct %s", c->name);
        if (bad_arguments)
                return err_type(bad_arguments, expected, &a->err);
        r = check_arguments(c, arguments, &a->err);
        return r < 0 ? r : c->run(vm, arguments, a);
}
