/* A result to JSON: raw values, and beside them what may be said of them. */
#include "bench/model/json_out.h"
#include "bench/model/result_json.h"
#include "bench/model/result_words.h"
#include "bench/stats/stats.h"

static void write_summary(struct json_out *o, const struct bench_metric *m)
{
        struct stats_summary s;

        if (!stats_summarize(m, &s))
                return;
        jout_open_inline(o, "summary", '{');
        jout_u64(o, "runs", s.runs);
        jout_num(o, "min", s.min);
        jout_num(o, "q1", s.q1);
        jout_num(o, "p50", s.p50);
        jout_num(o, "q3", s.q3);
        jout_num(o, "max", s.max);
        if (s.has_p95)
                jout_num(o, "p95", s.p95);
        if (s.has_p99)
                jout_num(o, "p99", s.p99);
        if (s.ci.known)
                jout_pair(o, "ci95", s.ci.low, s.ci.high);
        jout_close(o, '}');
}

static void write_ratio(struct json_out *o, const char *to, const struct stats_ratio *r)
{
        static const char *const words[] = {[STATS_TOO_FEW] = "too_few", [STATS_LOWER] = "lower", [STATS_HIGHER] = "higher", [STATS_ALIKE] = "alike"};

        jout_open_inline(o, NULL, '{');
        jout_str(o, "to", to);
        jout_str(o, "verdict", words[r->verdict]);
        jout_u64(o, "runs", r->runs);
        jout_num(o, "ratio", r->ratio);
        if (r->ci.known)
                jout_pair(o, "ci95", r->ci.low, r->ci.high);
        if (r->runs_needed)
                jout_u64(o, "runs_needed", r->runs_needed);
        jout_close(o, '}');
}

static void write_ratios(struct json_out *o, const struct bench_group *g, const struct bench_arm *a, const struct bench_metric *m)
{
        jout_open(o, "ratios", '[');
        for (size_t i = 0; i < 2; i++) {
                const struct bench_arm *to = g->references[i] ? bench_arm_find(g, g->references[i]) : NULL;
                struct stats_ratio      r;

                if (!to || to == a)
                        continue;
                r = stats_ratio_paired(m, bench_metric_find(to, m->id));
                if (r.verdict != STATS_NO_RATIO)
                        write_ratio(o, to->name, &r);
        }
        jout_close(o, ']');
}

static void write_metric(struct json_out *o, const struct bench_group *g, const struct bench_arm *a, const struct bench_metric *m)
{
        jout_open(o, NULL, '{');
        jout_str(o, "id", m->id);
        jout_str(o, "unit", m->unit);
        jout_str(o, "better", result_better_words[m->better]);
        write_summary(o, m);
        write_ratios(o, g, a, m);
        jout_open_inline(o, "values", '[');
        for (size_t i = 0; i < m->nr; i++) {
                jout_open(o, NULL, '[');
                jout_u64(o, NULL, m->values[i].round);
                jout_num(o, NULL, m->values[i].value);
                jout_close(o, ']');
        }
        jout_close(o, ']');
        jout_close(o, '}');
}

static void write_timeline(struct json_out *o, const struct bench_arm *a)
{
        jout_open(o, "timeline", '{');
        jout_str_if(o, "absent", a->no_timeline);
        if (a->timeline_t3_us)
                jout_u64(o, "t3_us", a->timeline_t3_us);
        jout_open(o, "faults", '[');
        for (size_t i = 0; i < a->nr_faults; i++) {
                jout_open_inline(o, NULL, '[');
                jout_u64(o, NULL, a->faults[i].t_us);
                jout_u64(o, NULL, a->faults[i].gpa);
                jout_u64(o, NULL, a->faults[i].pages);
                jout_str(o, NULL, result_class_words[a->faults[i].fault_class]);
                jout_close(o, ']');
        }
        jout_close(o, ']');
        jout_open(o, "levels", '[');
        for (size_t i = 0; i < a->nr_levels; i++) {
                jout_open_inline(o, NULL, '[');
                jout_u64(o, NULL, a->levels[i].t_us);
                jout_u64(o, NULL, a->levels[i].rss_bytes);
                jout_u64(o, NULL, a->levels[i].pss_bytes);
                jout_close(o, ']');
        }
        jout_close(o, ']');
        jout_close(o, '}');
}

static void write_arm(struct json_out *o, const struct bench_group *g, const struct bench_arm *a)
{
        jout_open(o, NULL, '{');
        jout_str(o, "name", a->name);
        jout_str_if(o, "what", a->what);
        jout_bool(o, "peer", a->peer);
        jout_bool(o, "control", a->control);
        jout_u64(o, "runs_failed", a->runs_failed);
        jout_u64(o, "runs_not_cold", a->runs_not_cold);
        jout_str_if(o, "failure", a->failure);
        jout_open(o, "metrics", '[');
        for (size_t i = 0; i < a->nr_metrics; i++)
                write_metric(o, g, a, &a->metrics[i]);
        jout_close(o, ']');
        write_timeline(o, a);
        jout_close(o, '}');
}

static void write_group(struct json_out *o, const char *key, const struct bench_group *g)
{
        jout_open(o, key, '{');
        jout_str(o, "name", g->name ? g->name : "floors");
        jout_str_if(o, "subject", g->subject);
        jout_str_if(o, "cache", g->cache);
        jout_str_if(o, "first_metric", g->first_metric);
        jout_open_inline(o, "references", '[');
        for (size_t i = 0; i < 2; i++)
                jout_str_if(o, NULL, g->references[i]);
        jout_close(o, ']');
        jout_open(o, "arms", '[');
        for (size_t i = 0; i < g->nr_arms; i++)
                write_arm(o, g, &g->arms[i]);
        jout_close(o, ']');
        jout_open(o, "words", '[');
        for (size_t i = 0; i < g->nr_words; i++)
                jout_str(o, NULL, g->words[i]);
        jout_close(o, ']');
        jout_close(o, '}');
}

static void write_statistics(struct json_out *o)
{
        jout_open(o, "statistics", '{');
        jout_str(o, "quantile", "linear between order statistics (Hyndman and Fan 1996, type 7)");
        jout_str(o, "interval", "95 %, percentile bootstrap over rounds, expanded for few of them (Hesterberg 2014)");
        jout_str(o, "ratio", "median over the rounds that both have of what the ratio was in the round");
        jout_u64(o, "resamples", STATS_RESAMPLES);
        jout_close(o, '}');
}

void bench_json_write(FILE *to, const struct bench_result *r)
{
        struct json_out o = {.to = to};

        jout_open(&o, NULL, '{');
        jout_str(&o, "schema", RESULT_SCHEMA);
        jout_u64(&o, "version", BENCH_RESULT_VERSION);
        jout_str(&o, "kind", result_kind_words[r->kind]);
        jout_str(&o, "command", r->command ? r->command : "");
        jout_str(&o, "rouse_version", r->rouse_version ? r->rouse_version : "");
        jout_str_if(&o, "commit", r->commit);
        jout_i64(&o, "started_unix_s", r->started_unix_s);
        jout_num(&o, "took_s", r->took_s);
        jout_u64(&o, "seed", r->seed);
        jout_u64(&o, "rounds", r->rounds);
        jout_open(&o, "machine", '[');
        for (size_t i = 0; i < r->nr_machine; i++) {
                jout_open_inline(&o, NULL, '{');
                jout_str(&o, "name", r->machine[i].name);
                jout_str(&o, "value", r->machine[i].value);
                jout_close(&o, '}');
        }
        jout_close(&o, ']');
        write_statistics(&o);
        write_group(&o, "floors", &r->floors);
        jout_open(&o, "groups", '[');
        for (size_t i = 0; i < r->nr_groups; i++)
                write_group(&o, NULL, &r->groups[i]);
        jout_close(&o, ']');
        jout_close(&o, '}');
}
