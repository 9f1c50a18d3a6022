/* Machines by the command line, as a user has them. */
#include "tests/support/machine.h"

#include "core/base/clock.h"
#include "core/base/units.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 40000
#define WORDS_MAX   30

static char dir[] = "/tmp/rouse-e2e-XXXXXX"; /* each Criterion test is a process of its own */

void machines_begin(void)
{
        cr_assert_not_null(mkdtemp(dir));
        setenv("XDG_STATE_HOME", dir, 1);
        setenv("XDG_RUNTIME_DIR", dir, 1);
        setenv("XDG_DATA_HOME", dir, 1);
}

static struct json_object *list(void)
{
        struct child c = RUN(PATIENCE_MS, rouse_program(), "list", "--json");
        struct json_object *doc = json_tokener_parse(c.out);

        cr_expect_eq(c.status, 0, "%s", c.err);
        cr_expect(json_object_is_type(doc, json_type_array), "%s", c.out);
        child_free(&c);
        return doc;
}

void machines_end(void)
{
        struct json_object *doc = list(), *name;
        char command[100];
        struct child c;

        for (size_t i = 0; i < json_object_array_length(doc); i++)
                if (json_object_object_get_ex(json_object_array_get_idx(doc, i), "name", &name)) {
                        c = RUN(PATIENCE_MS, rouse_program(), "stop", "--force", json_object_get_string(name));
                        child_free(&c);
                }
        json_object_put(doc);
        snprintf(command, sizeof(command), "rm -rf %s", dir);
        cr_expect_eq(system(command), 0);
}

const char *machines_dir(void)
{
        return dir;
}

const char *machine_file(char buf[300], const char *name, const char *leaf)
{
        snprintf(buf, 300, "%s/rouse/machines/%s/%s", dir, name, leaf);
        return buf;
}

struct child rouse(int status, const char *const *words)
{
        const char *argv[WORDS_MAX] = {rouse_program()};
        struct child c;

        for (size_t i = 0; words[i]; i++) {
                cr_assert_lt(i, WORDS_MAX - 2);
                argv[i + 1] = words[i];
        }
        c = child_run(PATIENCE_MS, argv);
        cr_assert_eq(c.status, status, "rouse %s %s: expected exit %d, found %d; it said: %s%s", words[0],
                     words[1] ? words[1] : "", status, c.status, c.out, c.err);
        return c;
}

void rouse_does(int status, const char *const *words)
{
        struct child c = rouse(status, words);

        child_free(&c);
}

struct child machine_run(const char *name, const char *const *words)
{
        const char *argv[WORDS_MAX] = {rouse_program(), "run", "--kernel", guest_path(), "--memory", "128M", "--name", name,
                                       "--timeout", "100s"};
        struct child vm;
        size_t n = 10;

        for (size_t i = 0; words[i]; i++)
                argv[n++] = words[i];
        vm = child_start(argv);
        cr_assert(child_wait_output(&vm, "TICK 2 ", PATIENCE_MS), "the guest did not boot:\n%s%s", vm.out, vm.err);
        return vm;
}

void machine_expect_state(const char *name, const char *state)
{
        struct json_object *doc = list(), *v;
        char found[32] = "";

        for (size_t i = 0; i < json_object_array_length(doc); i++) {
                struct json_object *row = json_object_array_get_idx(doc, i);

                if (json_object_object_get_ex(row, "name", &v) && strcmp(json_object_get_string(v), name) == 0 &&
                    json_object_object_get_ex(row, "state", &v))
                        snprintf(found, sizeof(found), "%s", json_object_get_string(v));
        }
        json_object_put(doc);
        cr_assert_str_eq(found, state);
}

static char *read_file(const char *path)
{
        FILE *f = fopen(path, "re");
        char *text = calloc(1, 1);
        size_t len = 0, n = 1;

        while (f && n) {
                char *more = realloc(text, len + 65537);

                cr_assert(more);
                text = more;
                n = fread(text + len, 1, 65536, f);
                len += n;
                text[len] = 0;
        }
        if (f)
                fclose(f);
        return text;
}

char *machine_wait_log(const char *name, const char *text)
{
        uint64_t until_ns = now_ns() + 20 * NS_PER_S;
        char path[300];

        for (;;) {
                char *log = read_file(machine_file(path, name, "console.log"));

                if (strstr(log, text))
                        return log;
                cr_assert(now_ns() < until_ns, "expected '%s' in:\n%s", text, log);
                free(log);
                usleep(20000);
        }
}

bool machine_wait_file(const char *name, const char *leaf, bool there, int timeout_ms)
{
        uint64_t until_ns = now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
        char path[300];

        machine_file(path, name, leaf);
        while ((access(path, F_OK) == 0) != there) {
                if (now_ns() >= until_ns)
                        return false;
                usleep(10000);
        }
        return true;
}
