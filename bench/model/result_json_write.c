/* A result to JSON: raw values, and beside them what may be said of them. */
#include "bench/model/json_out.h"
#include "bench/model/result_json.h"
#include "bench/model/result_words.h"
#include "bench/stats/stats.h"

static void write_interval(struct json_out *o, const struct stats_interval *ci)
{
        if (!ci->known)
                return;
        json_open_inline(o, "ci95", '[');
        json_num(o, NULL, ci->low);
        json_num(o, NULL, ci->high);
        json_close(o, ']');
}

static void write_summary(struct json_out *o, const struct bench_metric *m)
{
        struct stats_summary s;

        if (!stats_summarize(m, &s))
                return;
        json_open_inline(o, "summary", '{');
        json_u64(o, "runs", s.runs);
        json_num(o, "min", s.min);
        json_num(o, "q1", s.q1);
        json_num(o, "p50", s.p50);
        json_num(o, "q3", s.q3);
        json_num(o, "max", s.max);
        if (s.has_p95)
                json_num(o, "p95", s.p95);
        if (s.has_p99)
                json_num(o, "p99", s.p99);
        write_interval(o, &s.ci);
        json_close(o, '}');
}

static void write_ratio(struct json_out *o, const char *to, const struct stats_ratio *r)
{
        static const char *const words[] = {[STATS_TOO_FEW] = "too_few", [STATS_LOWER] = "lower", [STATS_HIGHER] = "higher", [STATS_ALIKE] = "alike"};

        json_open_inline(o, NULL, '{');
        json_str(o, "to", to);
        json_str(o, "verdict", words[r->verdict]);
        json_u64(o, "runs", r->runs);
        json_num(o, "ratio", r->ratio);
        write_interval(o, &r->ci);
        if (r->runs_needed)
                json_u64(o, "runs_needed", r->runs_needed);
        json_close(o, '}');
}

static void write_ratios(struct json_out *o, const struct bench_group *g, const struct bench_arm *a, const struct bench_metric *m)
{
        json_open(o, "ratios", '[');
        for (size_t i = 0; i < 2; i++) {
                const struct bench_arm *to = g->references[i] ? bench_arm_find(g, g->references[i]) : NULL;
                struct stats_ratio      r;

                if (!to || to == a)
                        continue;
                r = stats_ratio_paired(m, bench_metric_find(to, m->id));
                if (r.verdict != STATS_NO_RATIO)
                        write_ratio(o, to->name, &r);
        }
        json_close(o, ']');
}

static void write_metric(struct json_out *o, const struct bench_group *g, const struct bench_arm *a, const struct bench_metric *m)
{
        json_open(o, NULL, '{');
        json_str(o, "id", m->id);
        json_str(o, "unit", m->unit);
        json_str(o, "better", result_better_words[m->better]);
        write_summary(o, m);
        write_ratios(o, g, a, m);
        json_open_inline(o, "values", '[');
        for (size_t i = 0; i < m->nr; i++) {
                json_open(o, NULL, '[');
                json_u64(o, NULL, m->values[i].round);
                json_num(o, NULL, m->values[i].value);
                json_close(o, ']');
        }
        json_close(o, ']');
        json_close(o, '}');
}

static void write_timeline(struct json_out *o, const struct bench_arm *a)
{
        json_open(o, "timeline", '{');
        json_str_if(o, "absent", a->no_timeline);
        json_open(o, "faults", '[');
        for (size_t i = 0; i < a->nr_faults; i++) {
                json_open_inline(o, NULL, '[');
                json_u64(o, NULL, a->faults[i].t_us);
                json_u64(o, NULL, a->faults[i].gpa);
                json_u64(o, NULL, a->faults[i].pages);
                json_str(o, NULL, result_class_words[a->faults[i].fault_class]);
                json_close(o, ']');
        }
        json_close(o, ']');
        json_open(o, "levels", '[');
        for (size_t i = 0; i < a->nr_levels; i++) {
                json_open_inline(o, NULL, '[');
                json_u64(o, NULL, a->levels[i].t_us);
                json_u64(o, NULL, a->levels[i].rss_bytes);
                json_u64(o, NULL, a->levels[i].pss_bytes);
                json_close(o, ']');
        }
        json_close(o, ']');
        json_close(o, '}');
}

static void write_arm(struct json_out *o, const struct bench_group *g, const struct bench_arm *a)
{
        json_open(o, NULL, '{');
        json_str(o, "name", a->name);
        json_str_if(o, "what", a->what);
        json_bool(o, "peer", a->peer);
        json_bool(o, "control", a->control);
        json_u64(o, "runs_failed", a->runs_failed);
        json_u64(o, "runs_not_cold", a->runs_not_cold);
        json_str_if(o, "failure", a->failure);
        json_open(o, "metrics", '[');
        for (size_t i = 0; i < a->nr_metrics; i++)
                write_metric(o, g, a, &a->metrics[i]);
        json_close(o, ']');
        write_timeline(o, a);
        json_close(o, '}');
}

static void write_group(struct json_out *o, const char *key, const struct bench_group *g)
{
        json_open(o, key, '{');
        json_str(o, "name", g->name ? g->name : "floors");
        json_str_if(o, "subject", g->subject);
        json_str_if(o, "cache", g->cache);
        json_str_if(o, "first_metric", g->first_metric);
        json_open_inline(o, "references", '[');
        for (size_t i = 0; i < 2; i++)
                json_str_if(o, NULL, g->references[i]);
        json_close(o, ']');
        json_open(o, "arms", '[');
        for (size_t i = 0; i < g->nr_arms; i++)
                write_arm(o, g, &g->arms[i]);
        json_close(o, ']');
        json_open(o, "words", '[');
        for (size_t i = 0; i < g->nr_words; i++)
                json_str(o, NULL, g->words[i]);
        json_close(o, ']');
        json_close(o, '}');
}

static void write_statistics(struct json_out *o)
{
        json_open(o, "statistics", '{');
        json_str(o, "quantile", "linear between order statistics (Hyndman and Fan 1996, type 7)");
        json_str(o, "interval", "95 %, percentile bootstrap over rounds, expanded for few of them (Hesterberg 2014)");
        json_str(o, "ratio", "median over the rounds that both have of what the ratio was in the round");
        json_u64(o, "resamples", STATS_RESAMPLES);
        json_close(o, '}');
}

void bench_json_write(FILE *to, const struct bench_result *r)
{
        struct json_out o = {.to = to};

        json_open(&o, NULL, '{');
        json_str(&o, "schema", RESULT_SCHEMA);
        json_u64(&o, "version", BENCH_RESULT_VERSION);
        json_str(&o, "kind", result_kind_words[r->kind]);
        json_str(&o, "command", r->command ? r->command : "");
        json_str(&o, "rouse_version", r->rouse_version ? r->rouse_version : "");
        json_str_if(&o, "commit", r->commit);
        json_i64(&o, "started_unix_s", r->started_unix_s);
        json_num(&o, "took_s", r->took_s);
        json_u64(&o, "seed", r->seed);
        json_u64(&o, "rounds", r->rounds);
        json_open(&o, "machine", '[');
        for (size_t i = 0; i < r->nr_machine; i++) {
                json_open_inline(&o, NULL, '{');
                json_str(&o, "name", r->machine[i].name);
                json_str(&o, "value", r->machine[i].value);
                json_close(&o, '}');
        }
        json_close(&o, ']');
        write_statistics(&o);
        write_group(&o, "floors", &r->floors);
        json_open(&o, "groups", '[');
        for (size_t i = 0; i < r->nr_groups; i++)
                write_group(&o, NULL, &r->groups[i]);
        json_close(&o, ']');
        json_close(&o, '}');
}
