/* Tables in Markdown: what a reader of a README wants to know of each arm, and not all that was measured. */
#include "bench/report/summary.h"

#include "bench/report/figure.h"
#include "bench/report/text.h"
#include "bench/stats/stats.h"
#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Beside the first metric and its ratios. Of those that a group has, in this order. */
static const char *const beside[] = {"t4", "t6", "faults.demand", "stall", "cpu", "rss.end", "ok", "clone.p95", "memory.pss", "memory.drop",
                                     "p99", "p999", "cpu_per_touch", "pager_cpu_per_page"};
#define BESIDE_MAX 5

static const struct bench_look plain = {.columns = 100, .utf8 = true};

/* A cell: what others named could end it, or be taken for markup. */
static void put_cell(FILE *to, const char *text)
{
        _cleanup_free_ char *clean = text_clean(text, &plain);

        for (const char *s = clean; *s; s++) {
                if (strchr("|<>*_`[]\\", *s))
                        fputc('\\', to);
                fputc(*s, to);
        }
}

static const char *fact(const struct bench_result *r, const char *name)
{
        for (size_t i = 0; i < r->nr_machine; i++)
                if (strcmp(r->machine[i].name, name) == 0)
                        return r->machine[i].value;
        return "unknown";
}

static void put_when(FILE *to, const struct bench_result *r)
{
        time_t at = (time_t)r->started_unix_s;
        struct tm tm = {0};
        char day[40] = "";

        if (gmtime_r(&at, &tm))
                strftime(day, sizeof(day), "%Y-%m-%d", &tm);
        fprintf(to, "%s; ", day);
        put_cell(to, fact(r, "cpus"));
        fputs(" CPUs of ", to);
        put_cell(to, fact(r, "cpu"));
        fputs(", Linux ", to);
        put_cell(to, fact(r, "kernel"));
        fputs("; ", to);
        put_cell(to, fact(r, "virtualization"));
        fputs("; rouse ", to);
        put_cell(to, r->rouse_version);
        if (r->commit) {
                fputs(", commit ", to);
                put_cell(to, r->commit);
        }
}

/* --- one group --- */

struct columns {
        const struct bench_group *g;
        const char               *first;
        struct figure_scale       first_scale;
        const char               *references[2]; /* those that were measured; NULL: no more */
        const char               *ids[BESIDE_MAX];
        struct figure_scale       scales[BESIDE_MAX];
        size_t                    nr;
};

static const char *unit_of(const struct bench_group *g, const char *id)
{
        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_metric *m = bench_metric_find(&g->arms[i], id);

                if (m && m->nr)
                        return m->unit;
        }
        return NULL;
}

static bool choose_columns(const struct bench_group *g, struct columns *ret)
{
        const struct bench_metric *m = group_first_metric(g);

        if (!m)
                return false;
        *ret = (struct columns){.g = g, .first = m->id, .first_scale = figure_scale_of(m->unit, group_largest(g, m->id))};
        for (size_t i = 0, nr = 0; i < ARRAY_LEN(g->references) && g->references[i]; i++) {
                const struct bench_arm *a = bench_arm_find(g, g->references[i]);
                double median;

                if (a && stats_median(bench_metric_find(a, m->id), &median))
                        ret->references[nr++] = a->name;
        }
        for (size_t i = 0; i < ARRAY_LEN(beside) && ret->nr < BESIDE_MAX; i++) {
                const char *unit = strcmp(beside[i], m->id) ? unit_of(g, beside[i]) : NULL;

                if (!unit)
                        continue;
                ret->ids[ret->nr] = beside[i];
                ret->scales[ret->nr++] = figure_scale_of(unit, group_largest(g, beside[i]));
        }
        return true;
}

static void put_heading(FILE *to, const char *id, const struct figure_scale *scale)
{
        fprintf(to, " %s%s%s |", metric_title(id), scale->unit[0] ? ", " : "", scale->unit);
}

static void put_headings(FILE *to, const struct columns *c)
{
        size_t nr = 1;

        fputs("| |", to);
        put_heading(to, c->first, &c->first_scale);
        for (size_t i = 0; i < ARRAY_LEN(c->references) && c->references[i]; i++, nr++) {
                fputs(" against ", to);
                put_cell(to, c->references[i]);
                fputs(" |", to);
        }
        for (size_t i = 0; i < c->nr; i++, nr++)
                put_heading(to, c->ids[i], &c->scales[i]);
        fputs("\n|---|", to);
        for (size_t i = 0; i < nr; i++)
                fputs("---|", to);
        fputc('\n', to);
}

static void put_first(FILE *to, const struct bench_metric *m, const struct figure_scale *scale)
{
        struct stats_summary s;
        char v[FIGURE_BYTES], low[FIGURE_BYTES], high[FIGURE_BYTES];

        if (!stats_summarize(m, &s)) {
                fputs(" |", to);
                return;
        }
        figure_value(v, s.p50, scale);
        figure_value(low, s.ci.low, scale);
        figure_value(high, s.ci.high, scale);
        fprintf(to, s.ci.known ? " %s (%s – %s) |" : " %s |", v, low, high);
}

/* Bold: these runs tell the two apart. */
static void put_ratio(FILE *to, const struct columns *c, const struct bench_arm *a, const char *reference)
{
        const struct bench_arm *b = bench_arm_find(c->g, reference);
        struct stats_ratio r = stats_ratio_paired(bench_metric_find(a, c->first), b ? bench_metric_find(b, c->first) : NULL);
        struct figure_scale one = {1, ""};
        char v[FIGURE_BYTES];

        if (r.ratio < 0.0995)
                snprintf(v, sizeof(v), "%.2g", r.ratio);
        else
                figure_value(v, r.ratio, &one);
        if (r.verdict == STATS_NO_RATIO)
                fputs(" |", to);
        else if (a == b)
                fputs(" 1 |", to);
        else
                fprintf(to, r.verdict == STATS_LOWER || r.verdict == STATS_HIGHER ? " **%s** |" : " %s |", v);
}

static void put_arm(FILE *to, const struct columns *c, const struct bench_arm *a)
{
        fputs("| ", to);
        put_cell(to, a->name);
        fputs(" |", to);
        put_first(to, bench_metric_find(a, c->first), &c->first_scale);
        for (size_t i = 0; i < ARRAY_LEN(c->references) && c->references[i]; i++)
                put_ratio(to, c, a, c->references[i]);
        for (size_t i = 0; i < c->nr; i++) {
                char v[FIGURE_BYTES] = "";
                double median;

                if (stats_median(bench_metric_find(a, c->ids[i]), &median))
                        figure_value(v, median, &c->scales[i]);
                fprintf(to, " %s |", v);
        }
        fputc('\n', to);
}

static bool is_of_interest(const struct bench_group *g)
{
        bool any = false;

        for (size_t i = 0; i < g->nr_arms; i++)
                any = any || (!g->arms[i].control && g->arms[i].nr_metrics > 0);
        return any;
}

static void put_group(FILE *to, const struct bench_group *g)
{
        struct columns c;

        if (!is_of_interest(g) || !choose_columns(g, &c))
                return;
        fputs("\n**", to);
        put_cell(to, g->name);
        fprintf(to, "**. %s:\n\n", metric_long_title(c.first));
        put_headings(to, &c);
        for (size_t i = 0; i < g->nr_arms; i++)
                if (g->arms[i].nr_metrics > 0)
                        put_arm(to, &c, &g->arms[i]);
}

static void put_floors(FILE *to, const struct bench_group *g)
{
        bool any = false;

        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_metric *m = g->arms[i].nr_metrics ? &g->arms[i].metrics[0] : NULL;
                char v[2 * FIGURE_BYTES];
                double median;

                if (!m || !stats_median(m, &median))
                        continue;
                figure_alone(v, median, m->unit);
                fputs(any ? ", " : "\nFloors: ", to);
                put_cell(to, g->arms[i].name);
                fprintf(to, " %s", v);
                any = true;
        }
        if (any)
                fputs(".\n", to);
}

char *summary_command(const struct bench_result *r)
{
        const char *s = r->command ? r->command : "";
        char       *text = text_format("%s", ""), *longer;

        while (*s) {
                size_t word = strcspn(s, " ");
                bool   output = word == strlen("--json") && (strncmp(s, "--json", word) == 0 || strncmp(s, "--html", word) == 0);

                if (output) { /* and its value */
                        word += strspn(s + word, " ");
                        word += strcspn(s + word, " ");
                }
                longer = text_format("%s%s%.*s", text, text[0] && !output ? " " : "", output ? 0 : (int)word, s);
                free(text);
                text = longer;
                s += word;
                s += strspn(s, " ");
        }
        return text;
}

static void put_command(FILE *to, const struct bench_result *r)
{
        _cleanup_free_ char *text = summary_command(r);

        for (const char *s = text; *s; s++)
                fputc(*s == '`' || (unsigned char)*s < ' ' ? ' ' : *s, to);
}

static void put_result(FILE *to, const struct bench_result *r)
{
        fputs("\n`", to);
        put_command(to, r);
        fprintf(to, "`, %u round%s:\n", r->rounds, r->rounds == 1 ? "" : "s");
        for (size_t i = 0; i < r->nr_groups; i++)
                put_group(to, &r->groups[i]);
        put_floors(to, &r->floors);
}

void summary_markdown(FILE *to, const struct bench_result *v, size_t nr)
{
        if (nr == 0)
                return;
        put_when(to, &v[0]);
        fputs(".\nMedians of rounds in which every arm ran once, with 95 % intervals; a ratio is the median of the rounds' ratios, **bold** where these rounds tell\n"
              "the two apart. Read the ratios: on other machines every figure is another. `bench/README.md` says what each figure is and is not.\n", to);
        for (size_t i = 0; i < nr; i++)
                put_result(to, &v[i]);
}

/* --- a file that keeps the section --- */

/* The only place of mark in text; NULL: there is none, or more than one. */
static char *find_only(char *text, const char *mark)
{
        char *at = strstr(text, mark);

        return at && !strstr(at + 1, mark) ? at : NULL;
}

int summary_replace(const char *path, const char *text, struct err *e)
{
        _cleanup_free_ void *old = NULL;
        _cleanup_free_ char *new = NULL;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        char *begin, *end;
        size_t len;
        int r = fd < 0 ? -errno : fd_read_all(fd, 64 * MIB, &old, &len);

        if (r < 0)
                return err_set(e, r, "%s: %s", path, strerror(-r));
        begin = old ? find_only(old, SUMMARY_BEGIN) : NULL;
        end = old ? find_only(old, SUMMARY_END) : NULL;
        if (!begin || !end || end < begin)
                return err_set(e, -EBADMSG, "%s: expected one line '<!-- bench: begin -->' and, behind it, one line '<!-- bench: end -->'; put them where the figures are to stand",
                               path);
        new = text_format("%.*s%s%s", (int)(begin + strlen(SUMMARY_BEGIN) - (char *)old), (char *)old, text, end);
        r = fd_replace_file(AT_FDCWD, path, new, strlen(new), 0644);
        return r < 0 ? err_set(e, r, "%s: %s", path, strerror(-r)) : 0;
}
