/* Ledgers side by side, one column each, and what they say in words. */
#include "tools/ledger_out.h"

#include "core/base/units.h"
#include "core/control/json_text.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

enum row_unit { UNIT_MS, UNIT_COUNT, UNIT_MIB };

struct row {
        const char   *label;
        const char   *path; /* keys from the document down, with dots */
        enum row_unit unit;
};

static const struct row rows[] = {
        {"T1 state set", "t_us.t1", UNIT_MS},
        {"T2 guest entered", "t_us.t2", UNIT_MS},
        {"T3 first answer", "t_us.t3", UNIT_MS},
        {"T4 useful work", "t_us.t4", UNIT_MS},
        {"T5 hints resident", "t_us.t5", UNIT_MS},
        {"T6 all resident", "t_us.t6", UNIT_MS},
        {"demand pages", "faults.demand", UNIT_COUNT},
        {"around pages", "faults.around", UNIT_COUNT},
        {"replay pages", "faults.replay", UNIT_COUNT},
        {"fill pages", "faults.fill", UNIT_COUNT},
        {"zero pages", "faults.zero", UNIT_COUNT},
        {"lost pages", "lost_pages", UNIT_COUNT},
        {"installed", "bytes.installed", UNIT_MIB},
        {"read", "bytes.read", UNIT_MIB},
        {"vCPU stall", "stall_us", UNIT_MS},
        {"pager CPU", "pager_cpu_us", UNIT_MS},
        {"major faults", "major_faults", UNIT_COUNT},
        {"peak RSS", "rss_peak_bytes", UNIT_MIB},
        {"PSS", "pss_bytes", UNIT_MIB},
        {"made huge", "collapsed_bytes", UNIT_MIB},
};

/* What the plan chose, in the words of rouse inspect --plan. */
static const struct {
        const char *mechanism, *label;
} mechanisms[] = {
        {"anon", "plan: anon"},
        {"map", "plan: map"},
        {"copy", "plan: copy"},
        {"continue", "plan: continue"},
        {"prefill", "plan: prefill"},
};

/* The number at "a.b.c", or false. */
static bool find(struct json_object *doc, const char *path, uint64_t *ret)
{
        struct json_object *v = json_at(doc, path);

        if (v)
                *ret = json_object_get_uint64(v);
        return v != NULL;
}

static const char *find_text(struct json_object *doc, const char *object, const char *key)
{
        if (object && !json_object_object_get_ex(doc, object, &doc))
                return "";
        return json_object_object_get_ex(doc, key, &doc) ? json_object_get_string(doc) : "";
}

static void print_none(FILE *to)
{
        fprintf(to, "%12s", "-");
}

static void print_mib(FILE *to, uint64_t bytes)
{
        fprintf(to, "%8.1f MiB", (double)bytes / (double)MIB);
}

static void print_cell(FILE *to, struct json_object *doc, const struct row *r)
{
        uint64_t v;

        if (!find(doc, r->path, &v)) {
                print_none(to);
                return;
        }
        switch (r->unit) {
        case UNIT_MS:
                fprintf(to, "%9.2f ms", (double)v / 1000);
                return;
        case UNIT_COUNT:
                fprintf(to, "%12" PRIu64, v);
                return;
        case UNIT_MIB:
                print_mib(to, v);
                return;
        }
}

static bool any_has(struct json_object *const *docs, size_t nr, const char *path)
{
        uint64_t v;

        for (size_t i = 0; i < nr; i++)
                if (find(docs[i], path, &v))
                        return true;
        return false;
}

static void print_head(FILE *to, struct json_object *const *docs, size_t nr)
{
        fprintf(to, "%-18s", "");
        for (size_t i = 0; i < nr; i++)
                fprintf(to, "%12.12s", find_text(docs[i], NULL, "arm"));
        fprintf(to, "\n%-18s", "snapshot");
        for (size_t i = 0; i < nr; i++)
                fprintf(to, "%12.12s", find_text(docs[i], "snapshot", "format"));
        fprintf(to, "\n%-18s", "checksums");
        for (size_t i = 0; i < nr; i++)
                fprintf(to, "%12.12s", find_text(docs[i], NULL, "verify"));
        fprintf(to, "\n");
}

/* --- the plan --- */

/* NULL: a file without one. */
static struct json_object *plan_of(struct json_object *doc)
{
        struct json_object *plan = json_at(doc, "plan");

        return plan && json_object_is_type(plan, json_type_array) ? plan : NULL;
}

static bool planned(struct json_object *doc, const char *mechanism, uint64_t *ret_bytes)
{
        struct json_object *plan = plan_of(doc);
        bool found = false;

        *ret_bytes = 0;
        for (size_t i = 0; plan && i < json_object_array_length(plan); i++) {
                struct json_object *row = json_object_array_get_idx(plan, i);
                uint64_t bytes;

                if (strcmp(find_text(row, NULL, "mechanism"), mechanism) != 0 || !find(row, "bytes", &bytes))
                        continue;
                *ret_bytes += bytes;
                found = true;
        }
        return found;
}

static void print_planned(FILE *to, struct json_object *const *docs, size_t nr, size_t which)
{
        bool any = false;
        uint64_t bytes;

        for (size_t i = 0; i < nr; i++)
                any |= planned(docs[i], mechanisms[which].mechanism, &bytes);
        if (!any)
                return;
        fprintf(to, "%-18s", mechanisms[which].label);
        for (size_t i = 0; i < nr; i++)
                if (planned(docs[i], mechanisms[which].mechanism, &bytes))
                        print_mib(to, bytes);
                else
                        print_none(to);
        fprintf(to, "\n");
}

/* Why, where there is room for it. */
static void print_reasons(FILE *to, struct json_object *doc)
{
        struct json_object *plan = plan_of(doc);

        for (size_t i = 0; plan && i < json_object_array_length(plan); i++) {
                struct json_object *row = json_object_array_get_idx(plan, i);
                uint64_t runs, bytes;

                if (find(row, "runs", &runs) && find(row, "bytes", &bytes))
                        fprintf(to, "%s: %.1f MiB in %" PRIu64 " runs: %s\n", find_text(row, NULL, "mechanism"), (double)bytes / (double)MIB, runs, find_text(row, NULL, "why"));
        }
}

/* The document with this arm of the same snapshot as doc. */
static struct json_object *find_arm(struct json_object *const *docs, size_t nr, struct json_object *doc, const char *arm)
{
        const char *identity = find_text(doc, "snapshot", "identity");

        for (size_t i = 0; i < nr; i++)
                if (strcmp(find_text(docs[i], NULL, "arm"), arm) == 0 &&
                    strcmp(find_text(docs[i], "snapshot", "identity"), identity) == 0)
                        return docs[i];
        return NULL;
}

static void say_difference(FILE *to, const char *against, uint64_t theirs_us, uint64_t ours_us)
{
        double ms = ((double)theirs_us - (double)ours_us) / 1000;

        fprintf(to, " %s%.1f ms against %s", ms < 0 ? "lost " : "saved ", ms < 0 ? -ms : ms, against);
}

/* What paging cost after the first answer: the pager's own CPU and the vCPUs' waiting. */
static void say_cost(FILE *to, struct json_object *doc)
{
        uint64_t stall = 0, stall3 = 0, cpu = 0, cpu3 = 0;

        if (!find(doc, "stall_us", &stall) || !find(doc, "pager_cpu_us", &cpu))
                return;
        if (!find(doc, "at.t3.stall_us", &stall3) || !find(doc, "at.t3.pager_cpu_us", &cpu3))
                return;
        fprintf(to, "; paging cost %.1f ms of waiting and %.1f ms of CPU afterwards", (double)(stall - stall3) / 1000,
                (double)(cpu - cpu3) / 1000);
}

static void say_total(FILE *to, struct json_object *doc, struct json_object *eager)
{
        uint64_t t6, eager_t6;

        if (!find(doc, "t_us.t6", &t6)) {
                fprintf(to, "; T6 was not reached");
                return;
        }
        fprintf(to, "; total to T6 %.1f ms", (double)t6 / 1000);
        if (eager && find(eager, "t_us.t6", &eager_t6))
                fprintf(to, " (eager %.1f ms)", (double)eager_t6 / 1000);
}

static void say_in_words(FILE *to, struct json_object *const *docs, size_t nr, struct json_object *doc)
{
        struct json_object *eager = find_arm(docs, nr, doc, "eager"), *mmap = find_arm(docs, nr, doc, "mmap");
        uint64_t t3, theirs;

        if (!find(doc, "t_us.t3", &t3))
                return;
        fprintf(to, "%s, %s: T3 after %.1f ms", find_text(doc, "snapshot", "format"), find_text(doc, NULL, "arm"),
                (double)t3 / 1000);
        if (eager && find(eager, "t_us.t3", &theirs)) {
                fprintf(to, ",");
                say_difference(to, "eager", theirs, t3);
        }
        if (mmap && find(mmap, "t_us.t3", &theirs)) {
                fprintf(to, eager ? " and" : ",");
                say_difference(to, "mmap", theirs, t3);
        }
        say_cost(to, doc);
        say_total(to, doc, eager);
        fprintf(to, ".\n");
}

void ledger_table(FILE *to, struct json_object *const *docs, size_t nr)
{
        nr = MIN(nr, (size_t)LEDGER_COLUMNS_MAX);
        print_head(to, docs, nr);
        for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
                print_planned(to, docs, nr, i);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                if (!any_has(docs, nr, rows[i].path))
                        continue;
                fprintf(to, "%-18s", rows[i].label);
                for (size_t k = 0; k < nr; k++)
                        print_cell(to, docs[k], &rows[i]);
                fprintf(to, "\n");
        }
        if (nr == 1)
                print_reasons(to, docs[0]);
        for (size_t k = 0; k < nr; k++)
                if (strcmp(find_text(docs[k], NULL, "arm"), "hints") == 0 ||
                    strcmp(find_text(docs[k], NULL, "arm"), "auto") == 0 ||
                    (nr == 1 && strcmp(find_text(docs[k], NULL, "arm"), "lazy") == 0))
                        say_in_words(to, docs, nr, docs[k]);
}
