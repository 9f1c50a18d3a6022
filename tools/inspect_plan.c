/* A plan in words, and as JSON. */
#include "tools/inspect_out.h"

#include "core/base/units.h"
#include "core/control/json_text.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

static double mib(uint64_t bytes)
{
        return (double)bytes / (double)MIB;
}

/* Ahead of the guest, by the kernel. */
static uint64_t populated_pages(const struct plan *p)
{
        uint64_t pages = 0;

        for (size_t i = 0; i < p->nr_populate; i++)
                pages += p->populate[i].nr_pages;
        return pages;
}

static void print_hints(FILE *to, const struct plan *p)
{
        if (!p->nr_hints)
                return;
        fprintf(to, "plan       %zu hints%s: %" PRIu64 " pages populated ahead in %zu calls, %zu replayed by the pager at most, %zu ranges of 2 MiB read whole\n",
                p->nr_hints, p->cold ? ", cold: all asked of the disk at once" : "", populated_pages(p), p->nr_populate, p->nr_replay, p->nr_prefill);
        for (size_t i = 0; i < p->nr_prefill; i++)
                fprintf(to, "prefill    page %" PRIu64 " +%" PRIu64 "\n", p->prefill[i].first_page, p->prefill[i].nr_pages);
}

static const char *template_why(const struct inspected_plan *p)
{
        return p->template_code == -ETIMEDOUT ? "who has it does not answer" : strerror(-p->template_code);
}

static void print_amount(FILE *to, const struct plan_limit_row *r, uint64_t v)
{
        if (v == PLAN_NO_LIMIT)
                fprintf(to, "no limit");
        else if (r->unit[0])
                fprintf(to, "%.1f MiB", mib(v));
        else
                fprintf(to, "%" PRIu64, v);
}

static void print_template(FILE *to, const struct inspected_plan *p)
{
        const struct template_sight *t = &p->template;
        size_t shown = MIN(t->nr_holders, (size_t)TEMPLATE_HOLDERS_SHOWN);

        if (!p->shared)
                return;
        if (p->template_code < 0) {
                fprintf(to, "template   cannot be asked about: %s\n", template_why(p));
                return;
        }
        if (!t->lives) {
                fprintf(to, "template   none lives: this restore would make one and bring all of it in\n");
                return;
        }
        fprintf(to, "template   lives: %" PRIu64 " pages (%.1f MiB) are there already; held by %zu process%s", t->present_pages, mib(pages_to_bytes(t->present_pages)),
                t->nr_holders, t->nr_holders == 1 ? "" : "es");
        for (size_t i = 0; i < shown; i++)
                fprintf(to, "%s%d", i ? ", " : ": ", t->holders[i]);
        fprintf(to, "%s\n", shown < t->nr_holders ? ", ..." : "");
}

void inspect_print_plan(FILE *to, const struct inspected_plan *p)
{
        struct plan_limit_row rows[PLAN_LIMIT_ROWS];
        size_t nr = plan_limit_rows(&p->plan, &p->limits, rows);

        fprintf(to, "plan       %s\n", p->plan.arm);
        for (size_t i = 0; i < p->plan.nr_rows; i++)
                fprintf(to, "plan       %-8s %6" PRIu64 " runs %9.1f MiB  %s\n", p->plan.rows[i].mechanism, p->plan.rows[i].runs,
                        mib(p->plan.rows[i].bytes), p->plan.rows[i].why);
        print_template(to, p);
        print_hints(to, &p->plan);
        for (size_t i = 0; i < nr; i++) {
                fprintf(to, "limit      %s: ", rows[i].name);
                print_amount(to, &rows[i], rows[i].needs);
                fprintf(to, " of ");
                print_amount(to, &rows[i], rows[i].has);
                fprintf(to, "\n");
        }
        if (p->refused.code)
                fprintf(to, "refused    %s\n", p->refused.text);
}

/* --- JSON --- */

static struct json_object *rows_json(const struct plan *p)
{
        struct json_object *a = json_object_new_array();

        for (size_t i = 0; i < p->nr_rows; i++) {
                struct json_object *o = json_object_new_object();

                json_add_str(o, "mechanism", p->rows[i].mechanism);
                json_add_u64(o, "runs", p->rows[i].runs);
                json_add_u64(o, "bytes", p->rows[i].bytes);
                json_add_str(o, "why", p->rows[i].why);
                json_object_array_add(a, o);
        }
        return a;
}

static struct json_object *prefill_json(const struct plan *p)
{
        struct json_object *a = json_object_new_array();

        for (size_t i = 0; i < p->nr_prefill; i++) {
                struct json_object *o = json_object_new_object();

                json_add_u64(o, "first_page", p->prefill[i].first_page);
                json_add_u64(o, "pages", p->prefill[i].nr_pages);
                json_object_array_add(a, o);
        }
        return a;
}

/* "has" is absent where nothing limits. */
static struct json_object *limits_json(const struct inspected_plan *p)
{
        struct plan_limit_row rows[PLAN_LIMIT_ROWS];
        size_t nr = plan_limit_rows(&p->plan, &p->limits, rows);
        struct json_object *a = json_object_new_array();

        for (size_t i = 0; i < nr; i++) {
                struct json_object *o = json_object_new_object();

                json_add_str(o, "name", rows[i].name);
                json_add_u64(o, "needs", rows[i].needs);
                if (rows[i].has != PLAN_NO_LIMIT)
                        json_add_u64(o, "has", rows[i].has);
                json_object_array_add(a, o);
        }
        return a;
}

/* "lives" is null where nobody can say. */
static struct json_object *template_json(const struct inspected_plan *p)
{
        const struct template_sight *t = &p->template;
        struct json_object *o = json_object_new_object(), *pids = json_object_new_array();

        json_object_object_add(o, "lives", p->template_code < 0 ? NULL : json_object_new_boolean(t->lives));
        if (p->template_code < 0)
                json_add_str(o, "why", template_why(p));
        json_add_u64(o, "present_pages", t->present_pages);
        json_add_u64(o, "memory_bytes", t->memory_bytes);
        json_add_u64(o, "holders", t->nr_holders);
        for (size_t i = 0; i < MIN(t->nr_holders, (size_t)TEMPLATE_HOLDERS_SHOWN); i++)
                json_object_array_add(pids, json_object_new_int(t->holders[i]));
        json_object_object_add(o, "pids", pids);
        return o;
}

struct json_object *inspect_plan_json(const struct inspected_plan *p)
{
        struct json_object *o = json_object_new_object();

        json_add_str(o, "arm", p->plan.arm);
        json_object_object_add(o, "rows", rows_json(&p->plan));
        if (p->shared)
                json_object_object_add(o, "template", template_json(p));
        json_add_u64(o, "hints", p->plan.nr_hints);
        json_object_object_add(o, "cold", json_object_new_boolean(p->plan.cold));
        json_add_u64(o, "populated_pages", populated_pages(&p->plan));
        json_add_u64(o, "replayed_pages", p->plan.nr_replay);
        json_object_object_add(o, "prefill", prefill_json(&p->plan));
        json_object_object_add(o, "limits", limits_json(p));
        if (p->refused.code)
                json_add_str(o, "refused", p->refused.text);
        return o;
}
