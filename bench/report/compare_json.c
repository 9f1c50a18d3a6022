/* A comparison for programs: bench/schema/comparison-1.json. */
#include "bench/model/json_out.h"
#include "bench/report/compare.h"

static void write_row(struct json_out *o, const struct compare_row *row)
{
        jout_open_inline(o, NULL, '{');
        jout_str(o, "group", row->group->name);
        jout_str(o, "arm", row->arm->name);
        jout_str(o, "metric", row->a->id);
        jout_str(o, "unit", row->a->unit);
        jout_num(o, "p50_a", row->p50_a);
        jout_num(o, "p50_b", row->p50_b);
        if (row->ratio.verdict != STATS_NO_RATIO)
                jout_num(o, "ratio", row->ratio.ratio);
        if (row->ratio.ci.known)
                jout_pair(o, "ci95", row->ratio.ci.low, row->ratio.ci.high);
        jout_num(o, "p", row->p);
        jout_str(o, "verdict", compare_verdict_word(row->verdict));
        jout_num(o, "percent", row->percent);
        jout_bool(o, "regression", row->regression);
        jout_close(o, '}');
}

void compare_json_write(FILE *to, const struct comparison *c, const char *path_a, const char *path_b)
{
        struct json_out o = {.to = to};

        jout_open(&o, NULL, '{');
        jout_str(&o, "schema", "rouse-bench-comparison");
        jout_u64(&o, "version", 1);
        jout_str(&o, "a", path_a);
        jout_str(&o, "b", path_b);
        jout_num(&o, "threshold_percent", c->threshold_percent);
        jout_u64(&o, "regressions", c->nr_regressions);
        if (c->nr_floors) {
                jout_open_inline(&o, "machine", '{');
                jout_u64(&o, "floors", c->nr_floors);
                jout_num(&o, "ratio", c->machine);
                if (c->machine_ci.known)
                        jout_pair(&o, "ci95", c->machine_ci.low, c->machine_ci.high);
                jout_close(&o, '}');
        }
        jout_open(&o, "notes", '[');
        for (size_t i = 0; i < c->nr_notes; i++)
                jout_str(&o, NULL, c->notes[i]);
        jout_close(&o, ']');
        jout_open(&o, "rows", '[');
        for (size_t i = 0; i < c->nr_rows; i++)
                write_row(&o, &c->rows[i]);
        jout_close(&o, ']');
        jout_close(&o, '}');
}
