/* Several results as Markdown: where they come from, their tables, and the file that keeps them. */
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
        summary_cell(to, fact(r, "cpus"));
        fputs(" CPUs of ", to);
        summary_cell(to, fact(r, "cpu"));
        fputs(", Linux ", to);
        summary_cell(to, fact(r, "kernel"));
        fputs("; ", to);
        summary_cell(to, fact(r, "virtualization"));
        fputs("; rouse ", to);
        summary_cell(to, r->rouse_version);
        if (r->commit) {
                fputs(", commit ", to);
                summary_cell(to, r->commit);
        }
}

static bool put_floors(FILE *to, const struct bench_group *g)
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
                summary_cell(to, g->arms[i].name);
                fprintf(to, " %s", v);
                any = true;
        }
        if (any)
                fputs(".\n", to);
        return any;
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
        summary_tables(to, r);
}

void summary_markdown(FILE *to, const struct bench_result *v, size_t nr)
{
        bool floors = false;

        if (nr == 0)
                return;
        put_when(to, &v[0]);
        fputs(".\nMedians (p50) of rounds in which every arm ran once, with 95 % intervals; a ratio is the median of the rounds' ratios, **bold** where these rounds tell\n"
              "the two apart. Read the ratios: on other machines every figure is another. `bench/README.md` says what each figure is and is not; all the others are in\n"
              "the pages that `make bench` leaves in `bench/results/`.\n", to);
        for (size_t i = 0; i < nr; i++) {
                put_result(to, &v[i]);
                floors = floors || put_floors(to, &v[i].floors); /* one machine's: those of one result will do */
        }
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
