/* One table of commands; each row one function from arguments to an answer. */
#include "core/control/commands.h"

#include "core/base/units.h"
#include "core/control/json_text.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <unistd.h>

struct command {
        const char *name;
        /* Fills *ret (an empty object when called) or sets *e. */
        int (*run)(struct session *s, struct json_object *args, struct json_object *ret, struct err *e);
};

static int run_status(struct session *s, struct json_object *args, struct json_object *ret, struct err *e)
{
        (void)args, (void)e;
        json_add_str(ret, "name", session_name(s) ? session_name(s) : "");
        json_add_u64(ret, "pid", (uint64_t)getpid());
        json_add_str(ret, "state", session_is_paused(s) ? "paused" : "running");
        json_add_u64(ret, "vcpus", session_nr_vcpus(s));
        json_add_u64(ret, "memory_bytes", session_memory_bytes(s));
        return 0;
}

static int run_pause(struct session *s, struct json_object *args, struct json_object *ret, struct err *e)
{
        (void)args, (void)ret, (void)e;
        session_pause(s);
        return 0;
}

static int run_resume(struct session *s, struct json_object *args, struct json_object *ret, struct err *e)
{
        (void)args, (void)ret, (void)e;
        session_resume(s);
        return 0;
}

static int run_quit(struct session *s, struct json_object *args, struct json_object *ret, struct err *e)
{
        (void)args, (void)ret, (void)e;
        session_quit(s);
        return 0;
}

static const char *get_string(struct json_object *args, const char *key, const char *otherwise)
{
        struct json_object *v;

        if (!args || !json_object_object_get_ex(args, key, &v) || !json_object_is_type(v, json_type_string))
                return otherwise;
        return json_object_get_string(v);
}

static bool get_bool(struct json_object *args, const char *key)
{
        struct json_object *v;

        return args && json_object_object_get_ex(args, key, &v) && json_object_get_boolean(v);
}

static int take_pack(struct json_object *args, struct save_options *o, struct err *e)
{
        const char *pack = get_string(args, "pack", "none");
        struct json_object *level;

        o->pack = strcmp(pack, "lz4") == 0;
        o->pack_level = 1;
        if (!o->pack && strcmp(pack, "none"))
                return err_usage(e, "snapshot: expected \"pack\" to be lz4 or none, found '%s'", pack);
        if (args && json_object_object_get_ex(args, "pack-level", &level))
                o->pack_level = json_object_get_int(level);
        return 0;
}

static void add_base(struct json_object *ret, const struct save_report *rep)
{
        json_add_u64(ret, "parent_bytes", rep->parent_bytes);
        json_add_u64(ret, "unfetched_bytes", rep->unfetched_bytes);
        json_add_u64(ret, "clean_bytes", rep->clean_bytes);
        json_add_u64(ret, "compared_bytes", rep->compared_bytes);
        json_add_u64(ret, "same_bytes", rep->same_bytes);
}

int control_snapshot(struct session *s, struct json_object *args, struct save_options *o, struct json_object *ret, struct err *e)
{
        const char *then = get_string(args, "then", "resume");
        struct save_report rep;
        int r;

        o->path = get_string(args, "dir", NULL);
        o->format = get_string(args, "format", NULL);
        o->replace = get_bool(args, "replace");
        r = take_pack(args, o, e);
        if (r < 0)
                return r;
        o->base = get_string(args, "base", NULL);
        if (!o->path || o->path[0] != '/')
                return err_usage(e, "snapshot: expected \"dir\" with an absolute path");
        if (o->base && o->base[0] != '/')
                return err_usage(e, "snapshot: expected \"base\" with an absolute path");
        if (strcmp(then, "resume") && strcmp(then, "pause") && strcmp(then, "quit"))
                return err_usage(e, "snapshot: expected \"then\" to be resume, pause or quit, found '%s'", then);
        o->pause_after = strcmp(then, "resume") != 0;
        r = session_save(s, o, &rep, e);
        if (r < 0)
                return r;
        if (strcmp(then, "quit") == 0)
                session_quit(s);
        json_add_str(ret, "identity", rep.identity.s);
        json_add_u64(ret, "pause_us", rep.pause_ns / NS_PER_US);
        json_add_u64(ret, "total_us", rep.total_ns / NS_PER_US);
        json_add_u64(ret, "data_bytes", rep.data_bytes);
        json_add_u64(ret, "zero_bytes", rep.zero_bytes);
        json_add_u64(ret, "stored_bytes", rep.stored_bytes);
        if (o->base)
                add_base(ret, &rep);
        return 0;
}

/* With "bytes": what the guest is to give, from now on. It answers, with or without, what the guest has given so far. */
static int run_balloon(struct session *s, struct json_object *args, struct json_object *ret, struct err *e)
{
        struct json_object *v;
        uint64_t given_bytes;
        int r = 0;

        if (args && json_object_object_get_ex(args, "bytes", &v)) {
                if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0)
                        return err_usage(e, "balloon: expected \"bytes\" to be a number of bytes");
                r = session_balloon_set(s, json_object_get_uint64(v));
        }
        if (r >= 0)
                r = session_balloon_get(s, &given_bytes);
        if (r < 0)
                return err_set(e, r, "balloon: %s", r == -ENODEV ? "this VM has none; run --balloon makes one" : strerror(-r));
        json_add_u64(ret, "given_bytes", given_bytes);
        return 0;
}

static int run_snapshot(struct session *s, struct json_object *args, struct json_object *ret, struct err *e)
{
        struct save_options o = {0};

        return control_snapshot(s, args, &o, ret, e);
}

static const struct command commands[] = {
        {"balloon", run_balloon}, {"pause", run_pause}, {"quit", run_quit}, {"resume", run_resume}, {"snapshot", run_snapshot},
        {"status", run_status},
};

static int execute(struct session *s, struct json_object *request, struct json_object *ret, struct err *e)
{
        const char *name = get_string(request, "execute", NULL);
        struct json_object *args = NULL;

        if (!name)
                return err_usage(e, "expected {\"execute\":NAME,\"arguments\":{...}}");
        json_object_object_get_ex(request, "arguments", &args);
        if (args && !json_object_is_type(args, json_type_object))
                return err_usage(e, "%s: expected \"arguments\" to be an object", name);
        for (size_t i = 0; i < ARRAY_LEN(commands); i++)
                if (strcmp(commands[i].name, name) == 0)
                        return commands[i].run(s, args, ret, e);
        return err_usage(e, "unknown command '%s'", name);
}

struct json_object *control_execute(struct session *s, const char *request)
{
        struct json_object *parsed = json_tokener_parse(request), *ret = json_object_new_object(),
                           *answer = json_object_new_object();
        struct err err = {0};
        int r;

        if (json_object_is_type(parsed, json_type_object))
                r = execute(s, parsed, ret, &err);
        else
                r = err_usage(&err, "expected one JSON object a line");
        json_object_put(parsed);
        if (r >= 0) {
                json_object_object_add(answer, "return", ret);
                return answer;
        }
        json_object_put(ret);
        ret = json_object_new_object();
        json_add_str(ret, "class", "GenericError");
        json_add_str(ret, "desc", err.text);
        json_object_object_add(answer, "error", ret);
        return answer;
}
