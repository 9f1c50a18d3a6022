/* rouse probe: one JSON document with every key, whoever asks; a text that fits; a man page that knows each key. */
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "tests/support/child.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct json_object *member(struct json_object *o, const char *key)
{
        struct json_object *v = NULL;

        cr_assert(json_object_object_get_ex(o, key, &v), "expected '%s' in: %s", key, json_object_to_json_string(o));
        return v;
}

static bool is_one_of(const char *word, const char *list)
{
        const char *at = strstr(list, word);

        return word[0] && at && (at == list || at[-1] == ' ') && (at[strlen(word)] == ' ' || at[strlen(word)] == 0);
}

/* The members that a fact has, and of what type. */
static void assert_fact(const char *key, struct json_object *f)
{
        const char *state = json_object_get_string(member(f, "state"));
        struct json_object *value = member(f, "value"), *cost;

        cr_expect(is_one_of(state, "ok slow lack info unknown"), "%s: state %s", key, state);
        cr_expect(json_object_is_type(member(f, "text"), json_type_string), "%s", key);
        cr_expect(!value || json_object_is_type(value, json_type_boolean) || json_object_is_type(value, json_type_int) ||
                  json_object_is_type(value, json_type_string), "%s", key);
        if (strcmp(state, "unknown") == 0)
                cr_expect_null(value, "%s is unknown, but has a value", key);
        if (strcmp(state, "slow") != 0 && strcmp(state, "lack") != 0)
                return;
        cr_expect(json_object_object_get_ex(f, "cost", &cost) && json_object_get_string_len(cost) > 0, "%s: no cost", key);
        cr_expect(member(f, "command") || member(f, "advice"), "%s: nothing mends it", key);
}

/* Counts what is slow and lacking, and asserts that the summary says the same. */
static void assert_summary(struct json_object *doc)
{
        struct json_object *summary = member(doc, "summary");
        int64_t slow = 0, lack = 0, unknown = 0;

        json_object_object_foreach(member(doc, "facts"), key, f)
        {
                const char *state = json_object_get_string(member(f, "state"));

                assert_fact(key, f);
                slow += strcmp(state, "slow") == 0;
                lack += strcmp(state, "lack") == 0;
                unknown += strcmp(state, "unknown") == 0;
        }
        cr_expect_eq(json_object_get_int64(member(summary, "slow")), slow);
        cr_expect_eq(json_object_get_int64(member(summary, "lack")), lack);
        cr_expect_eq(json_object_get_int64(member(summary, "unknown")), unknown);
        cr_expect((member(summary, "first") != NULL) == (slow + lack > 0));
        cr_expect(json_object_get_string_len(member(summary, "text")) > 0);
}

/* The document, which is all of standard output. ready says what the exit status must be. */
static struct json_object *parse(const struct child *c)
{
        struct json_tokener *t = json_tokener_new();
        struct json_object *doc = json_tokener_parse_ex(t, c->out, (int)c->out_len);

        cr_assert_not_null(doc, "%s%s", c->out, c->err);
        cr_expect_leq(c->out_len - json_tokener_get_parse_end(t), 1, "more than one document: %s",
                      c->out + json_tokener_get_parse_end(t));
        cr_expect_eq(c->err_len, 0, "%s", c->err);
        json_tokener_free(t);
        cr_expect_eq(json_object_get_int(member(doc, "version")), 1);
        cr_expect_eq(c->status, json_object_get_boolean(member(doc, "ready")) ? 0 : 1);
        assert_summary(doc);
        return doc;
}

static struct json_object *probe(const char *dir)
{
        struct child c = RUN(20000, rouse_program(), "probe", "--json", dir);
        struct json_object *doc = parse(&c);

        child_free(&c);
        return doc;
}

/* Every key of `of` is in `in`. */
static void assert_same_keys(struct json_object *of, struct json_object *in)
{
        json_object_object_foreach(of, key, value)
        {
                (void)value;
                cr_expect(json_object_object_get_ex(in, key, NULL), "%s is missing", key);
        }
        cr_expect_eq(json_object_object_length(of), json_object_object_length(in));
}

Test(probe, the_document_has_every_fact_with_its_members, .timeout = 60)
{
        struct json_object *doc = probe(NULL);

        cr_expect_gt(json_object_object_length(member(doc, "facts")), 80);
        cr_expect_null(member(doc, "dir"));
        cr_expect_eq(json_object_get_int64(member(member(member(doc, "facts"), "cpu.count"), "value")),
                     sysconf(_SC_NPROCESSORS_ONLN));
        json_object_put(doc);
}

Test(probe, a_directory_adds_the_facts_of_what_holds_it, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct json_object *doc, *without = probe(NULL);
        size_t of_dir = 0;

        tmpdir_write(&t, "memory", (char[4096]){0}, 4096);
        doc = probe(t.path);
        cr_expect_str_eq(json_object_get_string(member(doc, "dir")), t.path);
        json_object_object_foreach(member(doc, "facts"), key, f)
        {
                (void)f;
                of_dir += strncmp(key, "dir.", 4) == 0;
        }
        cr_expect_gt(of_dir, 5);
        cr_expect_eq((size_t)json_object_object_length(member(doc, "facts")),
                     (size_t)json_object_object_length(member(without, "facts")) + of_dir);
        json_object_put(doc);
        json_object_put(without);
}

/* A copy of rouse where everybody may run it. */
static void copy_for_all(char dir[64], char program[80])
{
        _cleanup_close_ int fd = open(rouse_program(), O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int to = -1;
        _cleanup_free_ void *bytes = NULL;
        size_t len;

        snprintf(dir, 64, "/tmp/rouse-probe-XXXXXX");
        cr_assert_not_null(mkdtemp(dir));
        snprintf(program, 80, "%s/rouse", dir);
        cr_assert_eq(fd_read_all(fd, 256 * MIB, &bytes, &len), 0);
        to = open(program, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        cr_assert_eq(fd_write_full(to, bytes, len), 0);
        cr_assert(fchmod(to, 0755) == 0 && chmod(dir, 0755) == 0);
}

Test(probe, an_unprivileged_user_gets_the_same_keys_and_is_told_what_to_mend, .timeout = 60)
{
        struct json_object *all = probe(NULL), *doc, *device;
        char dir[64], program[80];
        struct child c;

        if (geteuid() != 0)
                need_lacks("root, who can be somebody else", EPERM);
        copy_for_all(dir, program);
        c = RUN(20000, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", program, "probe",
                "--json");
        unlink(program);
        rmdir(dir);
        doc = parse(&c);
        assert_same_keys(member(all, "facts"), member(doc, "facts"));
        cr_expect_not(json_object_get_boolean(member(member(member(doc, "facts"), "bpf.capabilities"), "value")));
        cr_expect_not(json_object_get_boolean(member(member(member(doc, "facts"), "userfaultfd.sys_ptrace"), "value")));
        device = member(member(doc, "facts"), "userfaultfd.device");
        if (strstr(json_object_get_string(member(device, "text")), strerror(EACCES)))
                cr_expect_str_eq(json_object_get_string(member(device, "command")), "setfacl -m u:65534:rw /dev/userfaultfd");
        json_object_put(all);
        json_object_put(doc);
        child_free(&c);
}

/* Longest line, in characters. */
static size_t width(const char *text)
{
        size_t widest = 0;

        while (*text) {
                size_t n = strcspn(text, "\n");

                widest = n > widest ? n : widest;
                text += n + (text[n] == '\n');
        }
        return widest;
}

Test(probe, the_text_fits_100_columns_and_ends_with_a_summary, .timeout = 60)
{
        struct child c = RUN(20000, rouse_program(), "probe"), all = RUN(20000, rouse_program(), "probe", "--all", "/");
        struct json_object *doc = probe("/");
        const char *last;

        cr_expect_leq(width(c.out), 100, "%s", c.out);
        cr_expect_leq(width(all.out), 100, "%s", all.out);
        cr_expect_gt(all.out_len, c.out_len);
        last = strstr(c.out, "\n\n");
        cr_assert_not_null(last);
        cr_expect(strstr(last, "slow") && !strstr(last + 2, "\n\n"), "%s", last);
        json_object_object_foreach(member(doc, "facts"), key, f)
        {
                (void)f;
                cr_expect(strstr(all.out, strchr(key, '.') + 1), "--all does not have %s", key);
        }
        cr_expect_null(strchr(c.out, '\033'), "colours are for terminals");
        json_object_put(doc);
        child_free(&c);
        child_free(&all);
}

Test(probe, what_is_no_directory_is_refused_by_name, .timeout = 60)
{
        struct child c = RUN(20000, rouse_program(), "probe", "/nonexistent/vm");

        cr_expect_eq(c.status, 1);
        cr_expect(strstr(c.err, "/nonexistent/vm"), "%s", c.err);
        cr_expect_eq(c.out_len, 0);
        child_free(&c);
        c = RUN(20000, rouse_program(), "probe", "/", "/");
        cr_expect_eq(c.status, 2);
        child_free(&c);
}

Test(probe, the_man_page_lists_each_key_and_no_other, .timeout = 60)
{
        _cleanup_close_ int fd = open("man/rouse.1", O_RDONLY | O_CLOEXEC);
        struct json_object *doc = probe("/");
        _cleanup_free_ void *bytes = NULL;
        char line[128], *at;
        int listed = 0;
        size_t len;

        cr_assert_eq(fd_read_all(fd, MIB, &bytes, &len), 0);
        json_object_object_foreach(member(doc, "facts"), key, f)
        {
                (void)f;
                snprintf(line, sizeof(line), "\n.It Va %s\n", key);
                cr_expect(strstr(bytes, line), "%s is not in the man page", key);
        }
        at = strstr(bytes, ".Ss rouse probe");
        cr_assert_not_null(at);
        *strstr(at + 1, "\n.Ss") = 0;
        for (; (at = strstr(at, "\n.It Va ")); at++)
                listed++;
        cr_expect_eq(listed, json_object_object_length(member(doc, "facts")));
        json_object_put(doc);
}
