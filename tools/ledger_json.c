/* The ledger as JSON: the keys that scripts rely on (design/cli.md, "Ledger JSON"). */
#include "tools/ledger_out.h"

#include "core/control/json_text.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

static const char *const stamp_names[LEDGER_STAMPS] = {"t0", "t1", "t2", "t3", "t4", "t5", "t6"};

/* faults, bytes and the plain counters: at the top for the end, and under "at" for each stamp. */
static void add_counters(struct json_object *o, const struct ledger_counters *c)
{
        struct json_object *faults = json_object_new_object(), *bytes = json_object_new_object();

        for (int i = 0; i < FAULT_CLASSES; i++)
                json_add_u64(faults, ledger_fault_name((enum fault_class)i), c->faults[i]);
        json_add_u64(bytes, "installed", c->installed_bytes);
        json_add_u64(bytes, "read", c->read_bytes);
        json_object_object_add(o, "faults", faults);
        json_object_object_add(o, "bytes", bytes);
        json_add_u64(o, "lost_pages", c->lost_pages);
        if (c->has_stall) {
                json_add_u64(o, "stall_us", c->stall_us);
                json_add_u64(o, "pager_cpu_us", c->pager_cpu_us);
        }
        json_add_u64(o, "major_faults", c->major_faults);
        json_add_u64(o, "rss_peak_bytes", c->rss_peak_bytes);
        if (c->pss_bytes)
                json_add_u64(o, "pss_bytes", c->pss_bytes);
}

static struct json_object *snapshot_json(const struct ledger *l)
{
        struct json_object *o = json_object_new_object();

        json_add_str(o, "path", l->path);
        json_add_str(o, "format", l->format);
        json_add_str(o, "identity", l->identity.s);
        json_add_u64(o, "memory_bytes", l->memory_bytes);
        json_add_u64(o, "zero_bytes", l->zero_bytes);
        return o;
}

static struct json_object *plan_json(const struct ledger *l)
{
        struct json_object *rows = json_object_new_array();

        for (size_t i = 0; i < l->nr_plan; i++) {
                struct json_object *row = json_object_new_object();

                json_add_str(row, "mechanism", l->plan[i].mechanism);
                json_add_u64(row, "runs", l->plan[i].runs);
                json_add_u64(row, "bytes", l->plan[i].bytes);
                json_add_str(row, "why", l->plan[i].why);
                json_object_array_add(rows, row);
        }
        return rows;
}

static void add_stamps(struct json_object *o, const struct ledger *l)
{
        struct json_object *t_us = json_object_new_object(), *at = json_object_new_object();

        for (int st = LEDGER_T1; st < LEDGER_STAMPS; st++) {
                if (l->t_ns[st])
                        json_add_u64(t_us, stamp_names[st], ledger_us(l, (enum ledger_stamp)st));
                if (l->has_at[st]) {
                        struct json_object *c = json_object_new_object();

                        add_counters(c, &l->at[st]);
                        json_object_object_add(at, stamp_names[st], c);
                }
        }
        json_object_object_add(o, "t_us", t_us);
        json_object_object_add(o, "at", at);
}

struct json_object *ledger_to_json(const struct ledger *l)
{
        static const char *const t0_names[] = {[LEDGER_T0_SELF] = "self", [LEDGER_T0_LAUNCHER] = "launcher",
                                               [LEDGER_T0_API] = "api"};
        struct json_object *o = json_object_new_object();

        json_object_object_add(o, "version", json_object_new_int(1));
        json_add_str(o, "arm", l->arm);
        json_add_str(o, "t0", t0_names[l->t0_from]);
        json_object_object_add(o, "snapshot", snapshot_json(l));
        json_object_object_add(o, "plan", plan_json(l));
        json_add_str(o, "verify", l->verify);
        add_stamps(o, l);
        add_counters(o, &l->end);
        json_add_u64(o, "msrs_refused", l->msrs_refused);
        if (l->collapsed_bytes)
                json_add_u64(o, "collapsed_bytes", l->collapsed_bytes);
        json_add_u64(o, "slots_us", l->slots_ns / NS_PER_US);
        return o;
}

int ledger_write(const struct ledger *l, const char *path, struct err *e)
{
        struct json_object *doc = ledger_to_json(l);
        FILE *f = NULL;
        int r = 0;

        if (strcmp(path, "-") == 0) {
                ledger_table(stderr, &doc, 1);
        } else {
                f = fopen(path, "we");
                if (!f || fputs(json_object_to_json_string_ext(doc, JSON_C_TO_STRING_PRETTY), f) < 0 || fputc('\n', f) < 0)
                        r = err_set(e, -errno, "write ledger %s: %s", path, strerror(errno));
                if (f && fclose(f) != 0 && r == 0)
                        r = err_set(e, -errno, "write ledger %s: %s", path, strerror(errno));
        }
        json_object_put(doc);
        return r;
}
