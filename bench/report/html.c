/* The page: head, groups, floors, machine. It needs neither network nor script, and its policy forbids both. */
#include "bench/report/html.h"

#include "bench/report/html_parts.h"
#include "bench/stats/stats.h"

#include <time.h>

static const char *const kind_titles[BENCH_KINDS] = {
        [BENCH_RESTORE] = "What waking a VM costs", [BENCH_FAULTS] = "What one page fault costs", [BENCH_POPULATE] = "How fast memory is filled",
        [BENCH_FANOUT] = "Many clones of one snapshot",
};

static void open_page(FILE *to, const struct bench_result *r)
{
        fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
              "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
              "<meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n<link rel=\"icon\" href=\"data:,\">\n<title>", to);
        fprintf(to, "%s", kind_titles[r->kind]);
        if (r->nr_groups) {
                fputs(": ", to);
                html_text(to, r->groups[0].name);
        }
        fprintf(to, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">To the results</a>\n",
                html_style);
}

static void write_header(FILE *to, const struct bench_result *r)
{
        time_t    at = (time_t)r->started_unix_s;
        struct tm tm = {0};
        char      when[40] = "", iso[40] = "";

        if (gmtime_r(&at, &tm)) {
                strftime(when, sizeof(when), "%e %B %Y, %H:%M UTC", &tm);
                strftime(iso, sizeof(iso), "%Y-%m-%dT%H:%MZ", &tm);
        }
        fprintf(to, "<header>\n<h1>%s</h1>\n<p class=\"lead\"><time datetime=\"%s\">%s</time>. %u round%s in %.0f seconds, every arm once in each, in an order drawn anew each "
                    "time (seed %llu). rouse ", kind_titles[r->kind], iso, when[0] == ' ' ? when + 1 : when, r->rounds, r->rounds == 1 ? "" : "s", r->took_s, (unsigned long long)r->seed);
        html_text(to, r->rouse_version);
        if (r->commit) {
                fputs(", commit ", to);
                html_text(to, r->commit);
        }
        fputs(".</p>\n<code class=\"command\">", to);
        html_text(to, r->command);
        fputs("</code>\n", to);
        if (r->nr_groups > 1) {
                fputs("<nav aria-label=\"Results\"><ul>", to);
                for (size_t i = 0; i < r->nr_groups; i++) {
                        fprintf(to, "<li><a href=\"#group-%zu\">", i);
                        html_name(to, r->groups[i].name);
                        fputs("</a></li>", to);
                }
                fputs("</ul></nav>\n", to);
        }
        fputs("</header>\n", to);
}

static void write_words(FILE *to, const struct bench_group *g)
{
        if (g->nr_words == 0)
                return;
        fprintf(to, "<h3>In words</h3>\n<ul class=\"words%s\">\n", g->nr_words > 3 ? " many" : "");
        for (size_t i = 0; i < g->nr_words; i++) {
                fputs("<li>", to);
                html_text(to, g->words[i]);
                fputs("</li>\n", to);
        }
        fputs("</ul>\n", to);
}

static void write_losses(FILE *to, const struct bench_group *g)
{
        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_arm *a = &g->arms[i];

                if (!a->runs_failed && !a->runs_not_cold)
                        continue;
                fputs("<p class=\"losses\">", to);
                html_name(to, a->name);
                fputs(":", to);
                if (a->runs_not_cold)
                        fprintf(to, " %u %s not cold and thrown away.", a->runs_not_cold,
                                a->runs_not_cold == 1 ? "run was" : "runs were");
                if (a->runs_failed)
                        fprintf(to, " %u %s failed and gave no values%s", a->runs_failed, a->runs_failed == 1 ? "run" : "runs",
                                a->failure ? "; the first: " : ".");
                html_text(to, a->runs_failed ? a->failure : NULL);
                fputs("</p>\n", to);
        }
}

static void write_arms(FILE *to, const struct bench_group *g)
{
        bool any = false;

        for (size_t i = 0; i < g->nr_arms; i++)
                any |= g->arms[i].what != NULL;
        if (!any)
                return;
        fputs("<h3>The arms</h3>\n<dl>", to);
        for (size_t i = 0; i < g->nr_arms; i++) {
                if (!g->arms[i].what)
                        continue;
                fputs("<dt>", to);
                html_name(to, g->arms[i].name);
                fputs("</dt><dd>", to);
                html_text(to, g->arms[i].what);
                fputs("</dd>", to);
        }
        fputs("</dl>\n", to);
}

static void write_group(FILE *to, const struct bench_group *g, size_t number)
{
        const struct bench_metric *first = group_first_metric(g);

        fprintf(to, "<section aria-labelledby=\"group-%zu\">\n<h2 id=\"group-%zu\">", number, number);
        html_name(to, g->name);
        fputs("</h2>\n", to);
        if (g->subject) {
                fputs("<p class=\"note\">Measured: <code>", to);
                html_text(to, g->subject);
                fputs("</code></p>\n", to);
        }
        if (first)
                html_runs(to, g, first, number);
        else
                fputs("<p>No run of any arm gave a value.</p>\n", to);
        write_words(to, g);
        if (first)
                html_tables(to, g, first, number);
        write_losses(to, g);
        html_timelines(to, g, number);
        write_arms(to, g);
        fputs("</section>\n", to);
}

static void write_machine(FILE *to, const struct bench_result *r)
{
        if (r->nr_machine == 0)
                return;
        fputs("<section aria-labelledby=\"machine\">\n<h2 id=\"machine\">The machine</h2>\n<dl>", to);
        for (size_t i = 0; i < r->nr_machine; i++) {
                fputs("<dt>", to);
                html_text(to, r->machine[i].name);
                fputs("</dt><dd>", to);
                html_text(to, r->machine[i].value);
                fputs("</dd>", to);
        }
        fputs("</dl>\n</section>\n", to);
}

static void close_page(FILE *to)
{
        fprintf(to, "</main>\n<footer>\n<p>p95 is shown for %d runs or more, p99 for %d, an interval for %d. Intervals are percentile bootstraps over rounds. A ratio is the median of what it "
                    "was in each round, where both ran side by side; &ldquo;can&rsquo;t tell&rdquo; means that these runs do not tell the two apart. A dash is a figure that was not measured, "
                    "not a zero.</p>\n</footer>\n</body>\n</html>\n", STATS_RUNS_P95, STATS_RUNS_P99, STATS_RUNS_CI);
}

void bench_html_write(FILE *to, const struct bench_result *r)
{
        open_page(to, r);
        write_header(to, r);
        fputs("<main id=\"main\">\n", to);
        for (size_t i = 0; i < r->nr_groups; i++)
                write_group(to, &r->groups[i], i);
        if (r->floors.nr_arms)
                html_floors(to, &r->floors);
        write_machine(to, r);
        close_page(to);
}
