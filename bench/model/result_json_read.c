/* JSON to a result. The file is anybody's: each member is asked for by name and type and within bounds, and what is off is told
 * with its place. */
#include "bench/model/result_json.h"
#include "bench/model/result_words.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

/* Of what a person could mean; a list this long is looked up by name from its beginning. */
enum { GROUPS_MAX = 1024, ARMS_MAX = 1024, METRICS_MAX = 256, DEPTH_MAX = 16 };

struct reader {
        const char *path;
        struct err *e;
        int         r; /* the first thing that was off: nothing is read after it */
        char        where[300]; /* "groups[0].arms[2]" */
};

__attribute__((format(printf, 3, 4))) static void bad(struct reader *rd, const char *key, const char *fmt, ...)
{
        char    text[300];
        va_list args;

        if (rd->r)
                return;
        va_start(args, fmt);
        vsnprintf(text, sizeof(text), fmt, args);
        va_end(args);
        rd->r = err_set(rd->e, -EBADMSG, "%s: %s%s%s: %s; is this a file that rouse bench --json wrote?", rd->path, rd->where,
                        rd->where[0] && key[0] ? "." : "", key, text);
}

/* where goes on by one step; the caller keeps the length it had, to go back. */
static size_t enter(struct reader *rd, const char *key, size_t index)
{
        size_t was = strlen(rd->where);

        snprintf(rd->where + was, sizeof(rd->where) - was, "%s%s[%zu]", was ? "." : "", key, index);
        return was;
}

static struct json_object *member(struct reader *rd, struct json_object *o, const char *key, enum json_type type, bool needed)
{
        struct json_object *v = NULL;

        if (rd->r)
                return NULL;
        if (!json_object_object_get_ex(o, key, &v)) {
                if (needed)
                        bad(rd, key, "expected %s, found nothing", json_type_to_name(type));
                return NULL;
        }
        if (json_object_get_type(v) == type || (type == json_type_double && json_object_get_type(v) == json_type_int))
                return v;
        bad(rd, key, "expected %s, found %s", json_type_to_name(type), json_type_to_name(json_object_get_type(v)));
        return NULL;
}

static void read_string(struct reader *rd, struct json_object *o, const char *key, bool needed, char **to)
{
        struct json_object *v = member(rd, o, key, json_type_string, needed);

        if (!v)
                return;
        if (strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
                bad(rd, key, "expected text, found a byte of zero in it");
        else
                bench_string_set(to, json_object_get_string(v));
}

static double read_number(struct reader *rd, struct json_object *o, const char *key)
{
        struct json_object *v = member(rd, o, key, json_type_double, true);
        double              d = v ? json_object_get_double(v) : 0;

        if (!isfinite(d))
                bad(rd, key, "expected a finite number, found one that no double holds");
        return d;
}

static uint64_t unsigned_of(struct reader *rd, struct json_object *v, const char *key, uint64_t max)
{
        uint64_t n = json_object_get_uint64(v);

        if (json_object_get_type(v) != json_type_int)
                bad(rd, key, "expected a whole number, found %s", json_type_to_name(json_object_get_type(v)));
        else if ((json_object_get_int64(v) < 0 && n == 0) || n > max)
                bad(rd, key, "expected a number from 0 to %llu, found %s", (unsigned long long)max,
                    json_object_to_json_string(v));
        return rd->r ? 0 : n;
}

static uint64_t read_unsigned(struct reader *rd, struct json_object *o, const char *key, uint64_t max)
{
        struct json_object *v = member(rd, o, key, json_type_int, true);

        return v ? unsigned_of(rd, v, key, max) : 0;
}

static bool read_bool(struct reader *rd, struct json_object *o, const char *key)
{
        struct json_object *v = member(rd, o, key, json_type_boolean, true);

        return v && json_object_get_boolean(v);
}

static unsigned word_of(struct reader *rd, struct json_object *v, const char *key, const char *const *words, unsigned nr)
{
        const char *s = json_object_get_type(v) == json_type_string ? json_object_get_string(v) : "";

        for (unsigned i = 0; i < nr; i++)
                if (strcmp(words[i], s) == 0)
                        return i;
        bad(rd, key, "expected one of \"%s\" to \"%s\", found %.60s", words[0], words[nr - 1], json_object_to_json_string(v));
        return 0;
}

static unsigned read_word(struct reader *rd, struct json_object *o, const char *key, const char *const *words, unsigned nr)
{
        struct json_object *v = member(rd, o, key, json_type_string, true);

        return v ? word_of(rd, v, key, words, nr) : 0;
}

static size_t length(struct reader *rd, struct json_object *list, const char *key, size_t max)
{
        size_t n = list ? json_object_array_length(list) : 0;

        if (n > max) {
                bad(rd, key, "expected at most %zu, found %zu", max, n);
                return 0;
        }
        return n;
}

/* The element, of this type; NULL after an error. */
static struct json_object *element(struct reader *rd, struct json_object *list, size_t i, enum json_type type,
                                   size_t least_length)
{
        struct json_object *v = json_object_array_get_idx(list, i);

        if (json_object_get_type(v) != type)
                bad(rd, "", "expected %s, found %s", json_type_to_name(type), json_type_to_name(json_object_get_type(v)));
        else if (type == json_type_array && json_object_array_length(v) != least_length)
                bad(rd, "", "expected %zu elements, found %zu", least_length, (size_t)json_object_array_length(v));
        return rd->r ? NULL : v;
}

static void read_value(struct reader *rd, struct json_object *pair, struct bench_metric *m)
{
        struct json_object *value = json_object_array_get_idx(pair, 1);
        enum json_type      type = json_object_get_type(value);
        uint64_t            round = unsigned_of(rd, json_object_array_get_idx(pair, 0), "round", UINT32_MAX);
        double              d = json_object_get_double(value);

        if (type != json_type_double && type != json_type_int)
                bad(rd, "value", "expected a number, found %s", json_type_to_name(type));
        else if (!isfinite(d))
                bad(rd, "value", "expected a finite number, found one that no double holds");
        if (!rd->r)
                bench_value_add(m, (uint32_t)round, d);
}

static void read_metric(struct reader *rd, struct json_object *o, struct bench_arm *a)
{
        _cleanup_free_ char *id = NULL, *unit = NULL;
        enum bench_better    better = (enum bench_better)read_word(rd, o, "better", result_better_words, BENCH_BETTERS);
        struct json_object  *values = member(rd, o, "values", json_type_array, true), *v;
        struct bench_metric *m;

        read_string(rd, o, "id", true, &id);
        read_string(rd, o, "unit", true, &unit);
        if (rd->r)
                return;
        if (bench_metric_find(a, id)) {
                bad(rd, "id", "expected each once, found '%.60s' again", id);
                return;
        }
        m = bench_metric_get(a, id, unit, better);
        for (size_t i = 0; i < json_object_array_length(values) && !rd->r; i++) {
                size_t was = enter(rd, "values", i);

                if ((v = element(rd, values, i, json_type_array, 2)))
                        read_value(rd, v, m);
                rd->where[was] = 0;
        }
}

static void read_fault(struct reader *rd, struct json_object *v, struct bench_arm *a)
{
        struct bench_fault f = {
                .t_us = unsigned_of(rd, json_object_array_get_idx(v, 0), "time", UINT64_MAX),
                .gpa = unsigned_of(rd, json_object_array_get_idx(v, 1), "address", UINT64_MAX),
                .pages = (uint32_t)unsigned_of(rd, json_object_array_get_idx(v, 2), "pages", UINT32_MAX),
                .fault_class = (uint8_t)word_of(rd, json_object_array_get_idx(v, 3), "class", result_class_words,
                                                BENCH_FAULT_CLASSES),
        };

        if (!rd->r)
                bench_fault_add(a, &f);
}

static void read_level(struct reader *rd, struct json_object *v, struct bench_arm *a)
{
        struct bench_level l = {
                .t_us = unsigned_of(rd, json_object_array_get_idx(v, 0), "time", UINT64_MAX),
                .rss_bytes = unsigned_of(rd, json_object_array_get_idx(v, 1), "rss", UINT64_MAX),
                .pss_bytes = unsigned_of(rd, json_object_array_get_idx(v, 2), "pss", UINT64_MAX),
        };

        if (!rd->r)
                bench_level_add(a, &l);
}

static void read_timeline(struct reader *rd, struct json_object *o, struct bench_arm *a)
{
        struct json_object *timeline = member(rd, o, "timeline", json_type_object, false), *faults, *levels, *v;

        if (!timeline)
                return;
        read_string(rd, timeline, "absent", false, &a->no_timeline);
        if ((v = member(rd, timeline, "t3_us", json_type_int, false)))
                a->timeline_t3_us = unsigned_of(rd, v, "t3_us", UINT64_MAX);
        faults = member(rd, timeline, "faults", json_type_array, true);
        levels = member(rd, timeline, "levels", json_type_array, true);
        for (size_t i = 0; faults && i < json_object_array_length(faults) && !rd->r; i++) {
                size_t was = enter(rd, "timeline.faults", i);

                if ((v = element(rd, faults, i, json_type_array, 4)))
                        read_fault(rd, v, a);
                rd->where[was] = 0;
        }
        for (size_t i = 0; levels && i < json_object_array_length(levels) && !rd->r; i++) {
                size_t was = enter(rd, "timeline.levels", i);

                if ((v = element(rd, levels, i, json_type_array, 3)))
                        read_level(rd, v, a);
                rd->where[was] = 0;
        }
}

static void read_arm(struct reader *rd, struct json_object *o, struct bench_group *g)
{
        _cleanup_free_ char *name = NULL;
        struct json_object  *metrics = member(rd, o, "metrics", json_type_array, true), *v;
        struct bench_arm    *a;

        read_string(rd, o, "name", true, &name);
        if (rd->r)
                return;
        if (bench_arm_find(g, name)) {
                bad(rd, "name", "expected each once, found '%.60s' again", name);
                return;
        }
        a = bench_arm_get(g, name);
        read_string(rd, o, "what", false, &a->what);
        read_string(rd, o, "failure", false, &a->failure);
        a->peer = read_bool(rd, o, "peer");
        a->control = read_bool(rd, o, "control");
        a->runs_failed = (unsigned)read_unsigned(rd, o, "runs_failed", UINT32_MAX);
        a->runs_not_cold = (unsigned)read_unsigned(rd, o, "runs_not_cold", UINT32_MAX);
        for (size_t i = 0, n = length(rd, metrics, "metrics", METRICS_MAX); i < n && !rd->r; i++) {
                size_t was = enter(rd, "metrics", i);

                if ((v = element(rd, metrics, i, json_type_object, 0)))
                        read_metric(rd, v, a);
                rd->where[was] = 0;
        }
        read_timeline(rd, o, a);
}

/* A list of at most max strings, the i-th given to take. */
static void read_strings(struct reader *rd, struct json_object *o, const char *key, size_t max,
                         void (*take)(struct bench_group *g, size_t i, const char *s), struct bench_group *g)
{
        struct json_object *list = member(rd, o, key, json_type_array, true), *v;

        for (size_t i = 0, n = length(rd, list, key, max); i < n && !rd->r; i++) {
                size_t was = enter(rd, key, i);

                if ((v = element(rd, list, i, json_type_string, 0)))
                        take(g, i, json_object_get_string(v));
                rd->where[was] = 0;
        }
}

static void take_reference(struct bench_group *g, size_t i, const char *s)
{
        bench_string_set(&g->references[i], s);
}

static void take_word(struct bench_group *g, size_t i, const char *s)
{
        (void)i;
        bench_word_add(g, "%s", s);
}

/* Everything but its name. */
static void read_group(struct reader *rd, struct json_object *o, struct bench_group *g)
{
        struct json_object *arms = member(rd, o, "arms", json_type_array, true), *v;

        read_string(rd, o, "subject", false, &g->subject);
        read_string(rd, o, "cache", false, &g->cache);
        read_string(rd, o, "first_metric", false, &g->first_metric);
        read_strings(rd, o, "references", ARRAY_LEN(g->references), take_reference, g);
        read_strings(rd, o, "words", 10000, take_word, g);
        for (size_t i = 0, n = length(rd, arms, "arms", ARMS_MAX); i < n && !rd->r; i++) {
                size_t was = enter(rd, "arms", i);

                if ((v = element(rd, arms, i, json_type_object, 0)))
                        read_arm(rd, v, g);
                rd->where[was] = 0;
        }
}

static void read_groups(struct reader *rd, struct json_object *doc, struct bench_result *r)
{
        struct json_object *groups = member(rd, doc, "groups", json_type_array, true), *v;

        for (size_t i = 0, n = length(rd, groups, "groups", GROUPS_MAX); i < n && !rd->r; i++) {
                _cleanup_free_ char *name = NULL;
                size_t               was = enter(rd, "groups", i), had = r->nr_groups;

                if ((v = element(rd, groups, i, json_type_object, 0)))
                        read_string(rd, v, "name", true, &name);
                if (!rd->r) {
                        struct bench_group *g = bench_group_get(r, name);

                        if (r->nr_groups == had)
                                bad(rd, "name", "expected each once, found '%.60s' again", name);
                        else
                                read_group(rd, v, g);
                }
                rd->where[was] = 0;
        }
}

static void read_machine(struct reader *rd, struct json_object *doc, struct bench_result *r)
{
        struct json_object *machine = member(rd, doc, "machine", json_type_array, true), *v;

        for (size_t i = 0, n = length(rd, machine, "machine", 1000); i < n && !rd->r; i++) {
                _cleanup_free_ char *name = NULL, *value = NULL;
                size_t               was = enter(rd, "machine", i);

                if ((v = element(rd, machine, i, json_type_object, 0))) {
                        read_string(rd, v, "name", true, &name);
                        read_string(rd, v, "value", true, &value);
                }
                if (!rd->r)
                        bench_fact_add(r, name, value);
                rd->where[was] = 0;
        }
}

static void read_version(struct reader *rd, struct json_object *doc)
{
        _cleanup_free_ char *schema = NULL;
        uint64_t             version;

        if (json_object_get_type(doc) != json_type_object) {
                bad(rd, "the document", "expected an object, found %s", json_type_to_name(json_object_get_type(doc)));
                return;
        }
        read_string(rd, doc, "schema", true, &schema);
        if (!rd->r && schema && strcmp(schema, RESULT_SCHEMA))
                bad(rd, "schema", "expected \"" RESULT_SCHEMA "\", found \"%.60s\"", schema);
        version = read_unsigned(rd, doc, "version", UINT32_MAX);
        if (!rd->r && version != BENCH_RESULT_VERSION)
                rd->r = err_set(rd->e, -EBADMSG,
                                "%s: expected version %d, found %llu; use the rouse that wrote it, or measure again", rd->path,
                                BENCH_RESULT_VERSION, (unsigned long long)version);
}

static void read_result(struct reader *rd, struct json_object *doc, struct bench_result *r)
{
        struct json_object *floors, *started;

        read_version(rd, doc);
        if (rd->r)
                return;
        r->kind = (enum bench_kind)read_word(rd, doc, "kind", result_kind_words, BENCH_KINDS);
        read_string(rd, doc, "command", true, &r->command);
        read_string(rd, doc, "rouse_version", true, &r->rouse_version);
        read_string(rd, doc, "commit", false, &r->commit);
        started = member(rd, doc, "started_unix_s", json_type_int, true);
        r->started_unix_s = started ? json_object_get_int64(started) : 0;
        r->took_s = read_number(rd, doc, "took_s");
        r->seed = read_unsigned(rd, doc, "seed", UINT64_MAX);
        r->rounds = (unsigned)read_unsigned(rd, doc, "rounds", UINT32_MAX);
        read_machine(rd, doc, r);
        floors = member(rd, doc, "floors", json_type_object, true);
        if (floors) {
                snprintf(rd->where, sizeof(rd->where), "floors");
                read_string(rd, floors, "name", true, &r->floors.name);
                read_group(rd, floors, &r->floors);
                rd->where[0] = 0;
        }
        read_groups(rd, doc, r);
}

/* The whole file; it may be a pipe. */
static int load(const char *path, char **ret, size_t *ret_bytes, struct err *e)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        _cleanup_free_ char   *text = NULL;
        size_t                 nr = 0, room = 0, got;

        if (!f)
                return err_set(e, -errno, "%s: %s", path, strerror(errno));
        do {
                if (nr == room) {
                        char *more = realloc(text, room = room ? room * 2 : 65536);

                        if (!more)
                                return err_set(e, -ENOMEM, "%s: no memory", path);
                        text = more;
                }
                got = fread(text + nr, 1, room - nr, f);
                nr += got;
                if (nr > BENCH_JSON_BYTES_MAX)
                        return err_set(e, -EFBIG, "%s: expected at most %llu bytes, found more", path,
                                       (unsigned long long)BENCH_JSON_BYTES_MAX);
        } while (got > 0);
        if (ferror(f))
                return err_set(e, -EIO, "%s: %s", path, strerror(errno));
        *ret = TAKE_PTR(text);
        *ret_bytes = nr;
        return 0;
}

static void put_object(struct json_object **o)
{
        json_object_put(*o);
}

static void free_tokener(struct json_tokener **t)
{
        if (*t)
                json_tokener_free(*t);
}

static int parse(const char *path, const char *text, size_t bytes, struct json_object **ret, struct err *e)
{
        _cleanup_(free_tokener) struct json_tokener *t = json_tokener_new_ex(DEPTH_MAX);

        if (!t)
                return err_set(e, -ENOMEM, "%s: no memory", path);
        json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        *ret = json_tokener_parse_ex(t, text, (int)bytes);
        if (json_tokener_get_error(t) == json_tokener_success && *ret)
                return 0;
        return err_set(e, -EBADMSG, "%s: offset %zu: expected JSON, found: %s; is this a file that rouse bench --json wrote?",
                       path, json_tokener_get_parse_end(t),
                       json_tokener_get_error(t) == json_tokener_continue ? "its end"
                       : json_tokener_error_desc(json_tokener_get_error(t)));
}

int bench_json_read(const char *path, struct bench_result *ret, struct err *e)
{
        _cleanup_free_ char                        *text = NULL;
        _cleanup_(put_object) struct json_object   *doc = NULL;
        _cleanup_(bench_result_free) struct bench_result result = {0};
        struct reader                               rd = {.path = path, .e = e};
        size_t                                      bytes = 0;
        int                                         r = load(path, &text, &bytes, e);

        if (r == 0)
                r = parse(path, text, bytes, &doc, e);
        if (r < 0)
                return r;
        read_result(&rd, doc, &result);
        if (rd.r)
                return rd.r;
        *ret = result;
        result = (struct bench_result){0};
        return 0;
}
