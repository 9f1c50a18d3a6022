/* An index of results: a line for each, with its page. */
#include "bench/report/summary.h"

#include "bench/report/html_parts.h"
#include "core/base/cleanup.h"

#include <time.h>

static void put_result(FILE *to, const struct bench_result *r, const char *page)
{
        time_t at = (time_t)r->started_unix_s;
        struct tm tm = {0};
        _cleanup_free_ char *command = summary_command(r);
        char when[40] = "";

        if (gmtime_r(&at, &tm))
                strftime(when, sizeof(when), "%Y-%m-%d %H:%M UTC", &tm);
        fputs("<h2>", to);
        if (page) {
                fputs("<a href=\"", to);
                html_text(to, page);
                fputs("\">", to);
        }
        html_text(to, command);
        fprintf(to, "%s</h2>\n<p class=\"lead\">%s, %u round%s, %.0f s</p>\n", page ? "</a>" : "", when, r->rounds, r->rounds == 1 ? "" : "s", r->took_s);
        for (size_t i = 0; i < r->nr_groups; i++) {
                fputs("<h3>", to);
                html_name(to, r->groups[i].name);
                fputs("</h3>\n<ul>\n", to);
                for (size_t k = 0; k < r->groups[i].nr_words; k++) {
                        fputs("<li>", to);
                        html_text(to, r->groups[i].words[k]);
                        fputs("</li>\n", to);
                }
                fputs("</ul>\n", to);
        }
}

void summary_index(FILE *to, const struct bench_result *v, const char *const *pages, size_t nr)
{
        fprintf(to, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                    "<title>rouse: what was measured</title>\n<style>\n%s</style>\n</head>\n<body>\n<main>\n<h1>What was measured</h1>\n", html_style);
        for (size_t i = 0; nr > 0 && i < v[0].nr_machine; i++) {
                fputs(i ? "; " : "<p class=\"lead\">", to);
                html_text(to, v[0].machine[i].name);
                fputs(": ", to);
                html_text(to, v[0].machine[i].value);
        }
        if (nr > 0 && v[0].nr_machine)
                fputs("</p>\n", to);
        for (size_t i = 0; i < nr; i++)
                put_result(to, &v[i], pages[i]);
        fputs("</main>\n</body>\n</html>\n", to);
}
