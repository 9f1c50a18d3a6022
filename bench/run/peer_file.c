/* JSON to struct peer. Every value is looked at once, here: who uses the struct later need not check types again. */
#include "bench/run/peer_file.h"

#include "bench/run/strict_json.h"
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16
#define PLACE_MAX 160

/* An array of argument lists. */
static int check_commands(const struct strict_reader *r, const char *key, struct json_object *array)
{
        char place[PLACE_MAX], index[24];

        snprintf(place, sizeof(place), "/%s", key);
        for (size_t i = 0; array && i < json_object_array_length(array); i++) {
                struct json_object *argv = json_object_array_get_idx(array, i);
                int ret;

                snprintf(index, sizeof(index), "%zu", i);
                if (!json_object_is_type(argv, json_type_array))
                        return strict_wrong(r, place, index, "expected an array of strings: a program and its arguments");
                ret = strict_strings(r, place, index, argv, 1);
                if (ret)
                        return ret;
        }
        return 0;
}

static int check_env(const struct strict_reader *r, struct json_object *env)
{
        struct json_object_iterator at, end;

        if (!env)
                return 0;
        at = json_object_iter_begin(env);
        end = json_object_iter_end(env);
        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
                const char *name = json_object_iter_peek_name(&at);
                struct json_object *v = json_object_iter_peek_value(&at);

                if (v && !json_object_is_type(v, json_type_string))
                        return strict_wrong(r, "/env", name, "expected a string, or null to take it out of the environment");
                if (!name[0] || strchr(name, '='))
                        return strict_wrong(r, "/env", name, "no name of an environment variable");
        }
        return strict_text(r, "", "env", env);
}

/* --- the parts --- */

static int read_vars(struct strict_reader *r, struct peer *p)
{
        static const char *const built_in[] = {"snapshot", "scratch", "work", "serial", "rouse", "here"};
        struct json_object_iterator at, end;

        for (size_t i = 0; i < ARRAY_LEN(built_in); i++)
                peer_vars_set(&r->names, built_in[i], "/x");
        if (!p->vars)
                return p->given.nr ? strict_wrong(r, "", "vars", "there are none, so --peer FILE,%s=... sets nothing", p->given.v[0].name) : 0;
        at = json_object_iter_begin(p->vars);
        end = json_object_iter_end(p->vars);
        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
                const char *name = json_object_iter_peek_name(&at);
                struct json_object *v = json_object_iter_peek_value(&at);
                int ret;

                if (!json_object_is_type(v, json_type_string))
                        return strict_wrong(r, "/vars", name, "expected a string, found %s",
                                            strict_type_words(json_object_get_type(v)));
                if (peer_vars_get(&r->names, name))
                        return strict_wrong(r, "/vars", name, "this one is rouse's own");
                ret = strict_text(r, "/vars", name, v);
                if (ret)
                        return ret;
                if (!peer_vars_set(&r->names, name, "/x"))
                        return strict_wrong(r, "/vars", name, "more than %zu variables", PEER_VARS_MAX - ARRAY_LEN(built_in));
        }
        for (size_t i = 0; i < p->given.nr; i++)
                if (!strict_member(p->vars, p->given.v[i].name))
                        return strict_wrong(r, "/vars", p->given.v[i].name,
                                            "there is none of that name to be set on the command line");
        return 0;
}

static int read_helpers(const struct strict_reader *r, struct peer *p, struct json_object *array)
{
        static const struct strict_key keys[] = {{"argv", json_type_array, true}, {"ready", json_type_string, false}};

        for (size_t i = 0; array && i < json_object_array_length(array); i++) {
                struct json_object *o = json_object_array_get_idx(array, i);
                char place[PLACE_MAX];
                int ret;

                snprintf(place, sizeof(place), "/helpers/%zu", i);
                if (!json_object_is_type(o, json_type_object))
                        return strict_wrong(r, place, "", "expected an object with argv and ready");
                if (i == PEER_HELPERS_MAX)
                        return strict_wrong(r, "", "helpers", "more than %d", PEER_HELPERS_MAX);
                ret = strict_object(r, place, o, keys, ARRAY_LEN(keys));
                if (!ret)
                        ret = strict_strings(r, place, "argv", strict_member(o, "argv"), 1);
                if (!ret)
                        ret = strict_text(r, place, "ready", strict_member(o, "ready"));
                if (ret)
                        return ret;
                p->helpers[p->nr_helpers++] = (struct peer_helper){strict_member(o, "argv"), strict_string_member(o, "ready")};
        }
        return 0;
}

struct serial_words {
        const char      *from;
        const char      *needs; /* "path", "pattern", or NULL */
};
static const struct serial_words serials[] = {
        [PEER_SERIAL_STDOUT] = {"stdout", NULL},
        [PEER_SERIAL_PTY] = {"pty", NULL},
        [PEER_SERIAL_STDIO_PTY] = {"stdio-pty", NULL},
        [PEER_SERIAL_PRINTED_PTY] = {"printed-pty", "pattern"},
        [PEER_SERIAL_ANSWERED_PTY] = {"answered-pty", NULL},
        [PEER_SERIAL_FILE] = {"file", "path"},
        [PEER_SERIAL_CONNECT] = {"socket", "path"},
        [PEER_SERIAL_LISTEN] = {"listen", "path"},
};

static int check_pattern(const struct strict_reader *r, const char *pattern)
{
        regex_t re;
        char why[200];
        int code = regcomp(&re, pattern, REG_EXTENDED);

        if (code) {
                regerror(code, &re, why, sizeof(why));
                return strict_wrong(r, "/serial", "pattern", "%s", why);
        }
        code = re.re_nsub < 1 ? strict_wrong(r, "/serial", "pattern", "expected a group: (...) around the name of the pty") : 0;
        regfree(&re);
        return code;
}

static int read_serial_part(const struct strict_reader *r, struct peer *p, struct json_object *o)
{
        static const struct strict_key keys[] = {{"from", json_type_string, true}, {"path", json_type_string, false}, {"pattern", json_type_string, false}};
        const char *from = strict_string_member(o, "from"), *extra;
        size_t i = 0;
        int ret = strict_object(r, "/serial", o, keys, ARRAY_LEN(keys));

        if (ret)
                return ret;
        while (i < ARRAY_LEN(serials) && strcmp(serials[i].from, from))
                i++;
        if (i == ARRAY_LEN(serials))
                return strict_wrong(r, "/serial", "from", "expected stdout, pty, stdio-pty, printed-pty, answered-pty, file, socket or listen, found '%s'", from);
        p->serial = (enum peer_serial)i;
        p->serial_path = strict_string_member(o, "path");
        p->serial_pattern = strict_string_member(o, "pattern");
        if (serials[i].needs && !strict_member(o, serials[i].needs))
                return strict_wrong(r, "/serial", serials[i].needs, "missing: '%s' needs it", from);
        extra = p->serial_path && (!serials[i].needs || strcmp(serials[i].needs, "path")) ? "path"
                : p->serial_pattern && (!serials[i].needs || strcmp(serials[i].needs, "pattern")) ? "pattern" : NULL;
        if (extra)
                return strict_wrong(r, "/serial", extra, "has no meaning with '%s'", from);
        ret = strict_text(r, "/serial", "path", strict_member(o, "path"));
        return ret || !p->serial_pattern ? ret : check_pattern(r, p->serial_pattern);
}

static int read_api(const struct strict_reader *r, struct peer *p, struct json_object *o)
{
        static const struct strict_key keys[] = {{"http", json_type_string, false}, {"qmp", json_type_string, false}};
        int ret = o ? strict_object(r, "/api", o, keys, ARRAY_LEN(keys)) : 0;

        if (ret || !o)
                return ret;
        if (json_object_object_length(o) != 1)
                return strict_wrong(r, "", "api", "expected either http or qmp: the path of the unix socket");
        p->api = strict_member(o, "http") ? PEER_HTTP : PEER_QMP;
        p->api_path = strict_string_member(o, p->api == PEER_HTTP ? "http" : "qmp");
        return strict_text(r, "/api", p->api == PEER_HTTP ? "http" : "qmp",
                           strict_member(o, p->api == PEER_HTTP ? "http" : "qmp"));
}

/* "until": {"/status": "completed"} */
static int read_until(const struct strict_reader *r, const char *place, struct json_object *o, struct peer_step *s)
{
        struct json_object_iterator at;

        if (!o)
                return 0;
        if (json_object_object_length(o) != 1)
                return strict_wrong(r, place, "until",
                                    "expected one member: a JSON pointer into the answer, and what must be there");
        at = json_object_iter_begin(o);
        s->until = json_object_iter_peek_name(&at);
        s->until_is = json_object_iter_peek_value(&at);
        return s->until[0] == '/' ? 0 : strict_wrong(r, place, "until", "expected a JSON pointer that begins with a slash, found '%s'", s->until);
}

static int check_request(const struct strict_reader *r, const char *place, const char *what)
{
        const char *path = strchr(what, ' ');

        if (!path || path == what || path[1] != '/' || strpbrk(what, "\r\n") || strchr(path + 1, ' '))
                return strict_wrong(r, place, "http", "expected a method and a path, as in \"PUT /vm.restore\", found '%s'",
                                    what);
        return 0;
}

static int read_step(const struct strict_reader *r, struct peer *p, const char *place, struct json_object *o)
{
        static const struct strict_key http[] = {{"http", json_type_string, true}, {"body", json_type_null, false}, {"status", json_type_int, false},
                                          {"t0", json_type_boolean, false}, {"serial", json_type_string, false}, {"until", json_type_object, false}};
        static const struct strict_key qmp[] = {{"qmp", json_type_string, true}, {"arguments", json_type_object, false}, {"t0", json_type_boolean, false},
                                         {"serial", json_type_string, false}, {"until", json_type_object, false}};
        static const struct strict_key event[] = {{"event", json_type_string, true}};
        struct peer_step *s = &p->steps[p->nr_steps++];
        struct json_object *v;
        int ret;

        if (p->api == PEER_HTTP) {
                ret = strict_object(r, place, o, http, ARRAY_LEN(http));
                *s = (struct peer_step){PEER_STEP_HTTP, strict_string_member(o, "http"), .body = strict_member(o, "body"), .status = json_object_get_int(strict_member(o, "status"))};
                ret = ret ? ret : check_request(r, place, s->what);
        } else if (strict_member(o, "event")) {
                ret = strict_object(r, place, o, event, ARRAY_LEN(event));
                *s = (struct peer_step){.kind = PEER_STEP_EVENT, .what = strict_string_member(o, "event")};
        } else {
                ret = strict_object(r, place, o, qmp, ARRAY_LEN(qmp));
                *s = (struct peer_step){PEER_STEP_QMP, strict_string_member(o, "qmp"), .body = strict_member(o, "arguments")};
        }
        if (ret)
                return ret;
        v = strict_member(o, "t0");
        s->t0 = v && json_object_get_boolean(v);
        s->serial = strict_string_member(o, "serial");
        if (s->t0 && p->t0_is_step)
                return strict_wrong(r, place, "t0", "there is another step with t0: T0 is one moment");
        if (s->serial && p->serial != PEER_SERIAL_ANSWERED_PTY)
                return strict_wrong(r, place, "serial", "has a meaning only with the serial port from 'answered-pty'");
        p->t0_is_step |= s->t0;
        ret = read_until(r, place, strict_member(o, "until"), s);
        ret = ret ? ret : strict_text(r, place, "body", s->body);
        return ret ? ret : strict_text(r, place, "http", strict_member(o, "http"));
}

static int read_steps(const struct strict_reader *r, struct peer *p, struct json_object *array)
{
        bool serial = false;

        if (array && p->api == PEER_NO_API)
                return strict_wrong(r, "", "talk", "there is no \"api\" to talk to");
        for (size_t i = 0; array && i < json_object_array_length(array); i++) {
                struct json_object *o = json_object_array_get_idx(array, i);
                char place[PLACE_MAX];
                int ret;

                snprintf(place, sizeof(place), "/talk/%zu", i);
                if (i == PEER_STEPS_MAX)
                        return strict_wrong(r, "", "talk", "more than %d steps", PEER_STEPS_MAX);
                if (!json_object_is_type(o, json_type_object))
                        return strict_wrong(r, place, "", "expected an object");
                ret = read_step(r, p, place, o);
                if (ret)
                        return ret;
                serial |= p->steps[i].serial != NULL;
        }
        return p->serial == PEER_SERIAL_ANSWERED_PTY && !serial
                       ? strict_wrong(r, "/serial", "from", "'answered-pty' needs a step with \"serial\": the place of the name in its answer") : 0;
}

static int read_timeout(const struct strict_reader *r, struct peer *p, const char *text)
{
        static const struct {
                const char *unit;
                uint64_t    ns;
        } units[] = {{"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};
        char *end;
        unsigned long long n;

        if (!text)
                return 0;
        errno = 0;
        n = strtoull(text, &end, 10);
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
                if (end != text && text[0] != '-' && !errno && n > 0 && strcmp(end, units[i].unit) == 0 && n <= UINT64_MAX / 4 / units[i].ns) {
                        p->timeout_ns = n * units[i].ns;
                        return 0;
                }
        return strict_wrong(r, "", "timeout", "expected a time as in 30s or 500ms, found '%s'", text);
}

static int read_document(struct strict_reader *r, struct peer *p)
{
        static const struct strict_key keys[] = {
                {"$schema", json_type_string, false}, {"name", json_type_string, true}, {"what", json_type_string, true}, {"vars", json_type_object, false},
                {"files", json_type_array, false}, {"prepare", json_type_array, false}, {"before", json_type_array, false}, {"helpers", json_type_array, false},
                {"argv", json_type_array, true}, {"env", json_type_object, false}, {"serial", json_type_object, true}, {"api", json_type_object, false},
                {"talk", json_type_array, false}, {"after", json_type_array, false}, {"timeout", json_type_string, false},
        };
        struct json_object *d = p->doc;
        int ret = strict_object(r, "", d, keys, ARRAY_LEN(keys));

        if (ret)
                return ret;
        p->name = p->other_name ? p->other_name : strict_string_member(d, "name");
        p->what = strict_string_member(d, "what");
        p->vars = strict_member(d, "vars");
        p->files = strict_member(d, "files");
        p->prepare = strict_member(d, "prepare");
        p->before = strict_member(d, "before");
        p->argv = strict_member(d, "argv");
        p->env = strict_member(d, "env");
        p->after = strict_member(d, "after");
        if (!p->name[0] || strpbrk(p->name, "\n,"))
                return strict_wrong(r, "", "name", "expected a name without comma or line break, found '%s'", p->name);
        ret = read_vars(r, p);
        ret = ret ? ret : strict_strings(r, "", "files", p->files, 0);
        ret = ret ? ret : check_commands(r, "prepare", p->prepare);
        ret = ret ? ret : check_commands(r, "before", p->before);
        ret = ret ? ret : check_commands(r, "after", p->after);
        ret = ret ? ret : strict_strings(r, "", "argv", p->argv, 1);
        ret = ret ? ret : check_env(r, p->env);
        ret = ret ? ret : read_helpers(r, p, strict_member(d, "helpers"));
        ret = ret ? ret : read_serial_part(r, p, strict_member(d, "serial"));
        ret = ret ? ret : read_api(r, p, strict_member(d, "api"));
        ret = ret ? ret : read_steps(r, p, strict_member(d, "talk"));
        return ret ? ret : read_timeout(r, p, strict_string_member(d, "timeout"));
}

/* --- the file --- */

static int parse_text(const char *file, const char *text, size_t len, struct json_object **ret, struct err *e)
{
        struct json_tokener *t = json_tokener_new_ex(DEPTH_MAX);
        struct json_object *doc;
        size_t at;
        unsigned line = 1;

        if (!t)
                return err_set(e, -ENOMEM, "no memory");
        json_tokener_set_flags(t, JSON_TOKENER_STRICT);
        doc = json_tokener_parse_ex(t, text, (int)len + 1); /* with its NUL: the end of the text is the end of the document */
        at = json_tokener_get_parse_end(t);
        for (size_t i = 0; i < at && i < len; i++)
                line += text[i] == '\n';
        if (!doc || !json_object_is_type(doc, json_type_object)) {
                const char *why = doc ? "expected an object" : json_tokener_error_desc(json_tokener_get_error(t));

                json_object_put(doc);
                json_tokener_free(t);
                return err_usage(e, "%s: line %u: %s", file, line, why);
        }
        json_tokener_free(t);
        *ret = doc;
        return 0;
}

static void set_variable(struct peer *p, const char *name, const char *value)
{
        _cleanup_free_ char *absolute = strchr(value, '/') ? realpath(value, NULL) : NULL;

        peer_vars_set(&p->given, name, absolute ? absolute : value);
}

/* ",name=OTHER" is no variable: it names the arm, so that one file can be two arms. */
static void set_given(struct peer *p, const char *name, const char *value)
{
        if (strcmp(name, "name") == 0) {
                free(p->other_name);
                p->other_name = strdup(value);
                return;
        }
        set_variable(p, name, value);
}

/* FILE[,NAME=VALUE...]: file gets FILE. */
static int take_spec(struct peer *p, const char *spec, char *file, size_t size, struct err *e)
{
        const char *rest = spec + strcspn(spec, ",");
        char pair[PATH_MAX + 64];

        if ((size_t)snprintf(file, size, "%.*s", (int)(rest - spec), spec) >= size)
                return err_usage(e, "--peer: the name of the file is too long");
        while (*rest == ',') {
                size_t n = strcspn(rest + 1, ",");
                char *value;

                snprintf(pair, sizeof(pair), "%.*s", (int)n, rest + 1);
                value = strchr(pair, '=');
                if (!value || value == pair || n >= sizeof(pair))
                        return err_usage(e, "--peer %s: '%s': expected FILE[,NAME=VALUE...]", spec, pair);
                *value++ = 0;
                set_given(p, pair, value);
                rest += n + 1;
        }
        return 0;
}

static int load(struct peer *p, const char *spec, struct err *e)
{
        char file[PATH_MAX];
        _cleanup_free_ char *absolute = NULL;
        _cleanup_free_ void *text = NULL;
        _cleanup_close_ int fd = -1;
        struct strict_reader r = {.file = file, .e = e};
        size_t len;
        int ret = take_spec(p, spec, file, sizeof(file), e);

        if (ret)
                return ret;
        absolute = realpath(file, NULL);
        fd = absolute ? open(absolute, O_RDONLY | O_CLOEXEC | O_NOCTTY) : -1;
        if (fd < 0)
                return err_usage(e, "%s: %s", file, strerror(errno));
        ret = fd_read_all(fd, PEER_FILE_MAX, &text, &len);
        if (ret < 0)
                return err_usage(e, "%s: %s", file, ret == -EFBIG ? "larger than 256 KiB: this is no peer file" : strerror(-ret));
        snprintf(p->dir, sizeof(p->dir), "%.*s", (int)(strrchr(absolute, '/') - absolute), absolute);
        ret = parse_text(file, text, len, &p->doc, e);
        if (ret)
                return ret;
        r.text = text;
        ret = read_document(&r, p);
        peer_vars_free(&r.names);
        return ret;
}

int peer_load(struct peer *ret, const char *spec, struct err *e)
{
        int r;

        *ret = (struct peer){0};
        r = load(ret, spec, e);
        if (r)
                peer_free(ret);
        return r;
}

void peer_free(struct peer *p)
{
        json_object_put(p->doc);
        peer_vars_free(&p->given);
        free(p->other_name);
        *p = (struct peer){0};
}

int peer_vars_fill(const struct peer *p, const struct peer_places *at_run, struct peer_vars *ret, struct err *e)
{
        struct json_object_iterator at, end;

        peer_vars_set(ret, "snapshot", at_run->snapshot);
        peer_vars_set(ret, "scratch", at_run->scratch);
        peer_vars_set(ret, "work", at_run->work);
        peer_vars_set(ret, "serial", at_run->serial);
        peer_vars_set(ret, "rouse", at_run->rouse);
        peer_vars_set(ret, "here", p->dir);
        if (!p->vars)
                return 0;
        at = json_object_iter_begin(p->vars);
        end = json_object_iter_end(p->vars);
        for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
                const char *name = json_object_iter_peek_name(&at), *given = peer_vars_get(&p->given, name);
                _cleanup_free_ char *value = peer_expand(ret,
                                                         given ? given : json_object_get_string(json_object_iter_peek_value(&at)),
                                                         e);

                if (!value)
                        return -EINVAL;
                peer_vars_set(ret, name, value);
        }
        return 0;
}
