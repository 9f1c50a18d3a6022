/* rouse probe: what decides on this host how fast a restore is, what each lack costs, and what mends it. */
#include "tools/cli.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/host_facts.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS 100
#define INDENT  8

static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {"json", no_argument, NULL, 'j'}, CLI_LAST_OPTIONS};

/* What a key starts with, and what people call that. */
static const struct {
        const char *prefix, *title;
} groups[] = {
        {"kvm", "KVM"},
        {"userfaultfd", "userfaultfd"},
        {"memory", "Memory"},
        {"huge_pages", "Huge pages"},
        {"cpu", "CPU"},
        {"kernel", "Kernel"},
        {"cgroup", "cgroups"},
        {"bpf", "BPF (rouse trace)"},
        {"dir", "Directory"},
};

struct facts {
        struct host_look look;
        size_t           nr;
        struct host_fact v[HOST_FACTS_MAX];
};

/* --- text --- */

static bool in_group(const struct host_fact *f, const char *prefix)
{
        size_t n = strlen(prefix);

        return strncmp(f->key, prefix, n) == 0 && f->key[n] == '.';
}

static const char *leaf(const struct host_fact *f)
{
        return strchr(f->key, '.') + 1;
}

static bool is_bad(const struct host_fact *f)
{
        return f->state == FACT_SLOW || f->state == FACT_LACK;
}

/* Words go on the line while they fit; the next line starts below them. */
struct paragraph {
        int column, indent;
};

static void put(struct paragraph *p, const char *word, int len)
{
        if (p->column > p->indent && p->column + 1 + len > COLUMNS) {
                printf("\n%*s", p->indent, "");
                p->column = p->indent;
        } else if (p->column > p->indent) {
                printf(" ");
                p->column++;
        }
        printf("%.*s", len, word);
        p->column += len;
}

static void put_text(struct paragraph *p, const char *text)
{
        while (*text) {
                int len = (int)strcspn(text, " ");

                if (len)
                        put(p, text, len);
                text += len;
                text += *text == ' ';
        }
}

static struct paragraph begin(int indent)
{
        printf("%*s", indent, "");
        return (struct paragraph){indent, indent};
}

/* On a terminal what is bad has a colour; everywhere it has a word. */
static void print_tag(enum fact_state state)
{
        bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
        bool bad = state == FACT_SLOW || state == FACT_LACK;
        const char *name = state == FACT_UNKNOWN ? "?" : fact_state_name(state);

        if (bad)
                name = state == FACT_SLOW ? "SLOW" : "LACK";
        printf("  %s%-*s%s", colour && bad ? "\033[1;31m" : "", INDENT - 2, name, colour && bad ? "\033[0m" : "");
}

static void print_line(const char *label, const char *text)
{
        struct paragraph p = begin(INDENT);

        printf("%-7s", label);
        p = (struct paragraph){INDENT + 7, INDENT + 7};
        put_text(&p, text);
        printf("\n");
}

/* Everything about one fact. */
static void print_long(const struct host_fact *f)
{
        struct paragraph p = {INDENT, INDENT};

        print_tag(f->state);
        put_text(&p, leaf(f));
        put_text(&p, f->text);
        printf("\n");
        if (!f->cost)
                return;
        print_line(is_bad(f) ? "costs" : "lack", f->cost);
        if (f->command[0])
                print_line("mend", f->command);
        if (f->advice)
                print_line(f->command[0] ? "" : "mend", f->advice);
}

/* A value that says no more than that all is well is left out. */
static bool goes_without_saying(const struct host_fact *f)
{
        return f->state == FACT_OK && (strcmp(f->text, f->kind == FACT_FLAG && !f->number ? "no" : "yes") == 0 ||
                                       strcmp(f->text, "Not affected") == 0);
}

#define ITEM_WHOLE 40 /* an item up to here stays on one line */

static void put_item(struct paragraph *p, const char *item)
{
        if (strlen(item) <= ITEM_WHOLE)
                put(p, item, (int)strlen(item));
        else
                put_text(p, item);
}

/* The next of a group in this state, from index i on; NULL at the end. */
static const struct host_fact *next_in(const struct facts *f, const char *prefix, enum fact_state state, size_t i)
{
        for (; i < f->nr; i++)
                if (in_group(&f->v[i], prefix) && f->v[i].state == state)
                        return &f->v[i];
        return NULL;
}

/* All of a group that are in one state, as one paragraph: "api 12, dirty_ring". What follows a semicolon in a value is for
 * --all. */
static void print_short(const struct facts *f, const char *prefix, enum fact_state state)
{
        const struct host_fact *x = next_in(f, prefix, state, 0), *next;
        struct paragraph p = {INDENT, INDENT};
        char item[400];

        if (!x)
                return;
        print_tag(state);
        for (; x; x = next) {
                next = next_in(f, prefix, state, (size_t)(x - f->v) + 1);
                if (goes_without_saying(x))
                        snprintf(item, sizeof(item), "%s%s", leaf(x), next ? "," : "");
                else
                        snprintf(item, sizeof(item), "%s %.*s%s", leaf(x), (int)strcspn(x->text, ";"), x->text, next ? "," : "");
                put_item(&p, item);
        }
        printf("\n");
}

/* One line for each reason: "swap_max_bytes, pids_max: no such limit". */
static void print_unknown(const struct facts *f, const char *prefix)
{
        bool said[HOST_FACTS_MAX] = {false};
        char item[400];

        for (const struct host_fact *x = next_in(f, prefix, FACT_UNKNOWN, 0); x;
             x = next_in(f, prefix, FACT_UNKNOWN, (size_t)(x - f->v) + 1)) {
                struct paragraph p = {INDENT, INDENT};

                if (said[x - f->v])
                        continue;
                print_tag(FACT_UNKNOWN);
                for (const struct host_fact *y = x, *next; y; y = next) {
                        next = next_in(f, prefix, FACT_UNKNOWN, (size_t)(y - f->v) + 1);
                        while (next && strcmp(next->text, x->text) != 0)
                                next = next_in(f, prefix, FACT_UNKNOWN, (size_t)(next - f->v) + 1);
                        said[y - f->v] = true;
                        snprintf(item, sizeof(item), "%s%s", leaf(y), next ? "," : ":");
                        put_item(&p, item);
                }
                put_text(&p, x->text);
                printf("\n");
        }
}

static void print_group(const struct facts *f, const char *prefix, bool all)
{
        for (size_t i = 0; i < f->nr; i++)
                if (in_group(&f->v[i], prefix) && (all || is_bad(&f->v[i])))
                        print_long(&f->v[i]);
        if (all)
                return;
        print_short(f, prefix, FACT_OK);
        print_short(f, prefix, FACT_INFO);
        print_unknown(f, prefix);
}

static void summary_text(const struct fact_summary *s, char *ret, size_t size)
{
        const struct host_fact *f = s->first;

        if (f)
                snprintf(ret, size, "%zu thing%s slow%s restores down here, %zu cannot be done; the first to mend: %s: %s",
                         s->nr_slow, s->nr_slow == 1 ? "" : "s",
                         s->nr_slow == 1 ? "s" : "", s->nr_lack, f->key, f->command[0] ? f->command : f->advice ? f->advice
                         : f->cost);
        else
                snprintf(ret, size, "Nothing that is known slows restores down here.");
}

static void print_text(const struct facts *f, bool all)
{
        struct fact_summary s = host_facts_sum_up(f->v, f->nr);
        struct paragraph p;
        char text[700];

        for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
                bool is_dir = strcmp(groups[i].prefix, "dir") == 0;

                if (is_dir && !f->look.has_dir)
                        continue;
                printf("%s%s%s\n", groups[i].title, is_dir ? " " : "", is_dir ? f->look.dir.path : "");
                print_group(f, groups[i].prefix, all);
        }
        summary_text(&s, text, sizeof(text));
        printf("\n");
        p = begin(0);
        put_text(&p, text);
        printf("\n");
}

/* --- JSON --- */

static struct json_object *string_or_null(const char *s)
{
        return s && s[0] ? json_object_new_string(s) : NULL;
}

static struct json_object *value_json(const struct host_fact *f)
{
        switch (f->kind) {
        case FACT_FLAG:
                return json_object_new_boolean(f->number != 0);
        case FACT_NUMBER:
                return json_object_new_int64(f->number);
        case FACT_TEXT:
                return json_object_new_string(f->text);
        case FACT_NULL:
                break;
        }
        return NULL;
}

static struct json_object *fact_json(const struct host_fact *f)
{
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "state", json_object_new_string(fact_state_name(f->state)));
        json_object_object_add(o, "value", value_json(f));
        json_object_object_add(o, "text", json_object_new_string(f->text));
        if (!f->cost)
                return o;
        json_object_object_add(o, "cost", json_object_new_string(f->cost));
        json_object_object_add(o, "command", string_or_null(f->command));
        json_object_object_add(o, "advice", string_or_null(f->advice));
        return o;
}

static struct json_object *summary_json(const struct fact_summary *s)
{
        struct json_object *o = json_object_new_object();
        char text[700];

        summary_text(s, text, sizeof(text));
        json_object_object_add(o, "slow", json_object_new_int64((int64_t)s->nr_slow));
        json_object_object_add(o, "lack", json_object_new_int64((int64_t)s->nr_lack));
        json_object_object_add(o, "unknown", json_object_new_int64((int64_t)s->nr_unknown));
        json_object_object_add(o, "first", string_or_null(s->first ? s->first->key : NULL));
        json_object_object_add(o, "text", json_object_new_string(text));
        return o;
}

static void print_json(const struct facts *f, bool ready)
{
        struct json_object *doc = json_object_new_object(), *facts = json_object_new_object();
        struct fact_summary s = host_facts_sum_up(f->v, f->nr);

        for (size_t i = 0; i < f->nr; i++)
                json_object_object_add(facts, f->v[i].key, fact_json(&f->v[i]));
        json_object_object_add(doc, "version", json_object_new_int(1));
        json_object_object_add(doc, "ready", json_object_new_boolean(ready));
        json_object_object_add(doc, "dir", string_or_null(f->look.has_dir ? f->look.dir.path : NULL));
        json_object_object_add(doc, "facts", facts);
        json_object_object_add(doc, "summary", summary_json(&s));
        printf("%s\n", json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(doc);
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        bool json = false, all = false, ready;
        _cleanup_free_ struct facts *f = calloc(1, sizeof(*f));
        struct err e = {0};
        int c;
        (void)t0_ns;

        if (!f)
                return EXIT_FAILED;
        while ((c = cli_getopt(&verb_probe, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                *(c == 'j' ? &json : &all) = true;
        }
        if (optind + 1 < argc)
                return cli_usage("probe", "unexpected word '%s'", argv[optind + 1]);
        if (host_look(argv[optind], &f->look, &e) < 0)
                return cli_fail(&e);
        f->nr = host_facts_judge(&f->look, f->v);
        ready = f->look.caps.kvm_errno == 0 && f->look.caps.uffd_way != UFFD_WAY_NONE;
        if (json)
                print_json(f, ready);
        else
                print_text(f, all);
        return ready ? EXIT_OK : EXIT_FAILED;
}

const struct verb verb_probe = {
        .name = "probe",
        .summary = "what this host can do, what each lack costs, what mends it",
        .help = "usage: rouse probe [--all | --json] [DIR]\n\n"
                "What on this host decides how fast a restore is. SLOW makes restores slower, LACK keeps something from being\n"
                "done; both say what that costs and what mends it: a command for a root shell, or words.\n\n"
                "  DIR     also of the file system and the device that hold this snapshot\n"
                "  --all   each fact on lines of its own, also those that are fine\n"
                "  --json  one document; rouse(1) lists its keys\n\n"
                "Exit 0: this host can restore lazily. Exit 1: KVM or userfaultfd is missing, or DIR cannot be read.\n\n"
                "example: rouse probe /srv/snapshots/web\n",
        .run = run,
};
