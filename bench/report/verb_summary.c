/* rouse bench summary FILE.json...: several results in one place. */
#include "bench/report/verbs.h"

#include "bench/model/result_json.h"
#include "bench/report/summary.h"
#include "bench/report/text.h"
#include "core/base/cleanup.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORD        "summary"
#define RESULTS_MAX 64

static const char help[] =
        "usage: rouse bench summary FILE.json... [--into FILE.md] [--html FILE]\n"
        "\n"
        "Prints several results as Markdown: date, machine and commit, then a table of few columns for each\n"
        "snapshot, or for each kind of figure: medians, intervals, ratios, and what they cost. All the rest\n"
        "stays in the results.\n"
        "\n"
        "  --into FILE.md        put them into FILE.md, between its lines <!-- bench: begin --> and\n"
        "                        <!-- bench: end -->, in place of what stands there; nothing else changes\n"
        "  --html FILE           an index with a link to X.html for each X.json beside it\n"
        "\n"
        "example: rouse bench summary bench/results/*.json --into README.md\n";

struct summary {
        struct bench_result v[RESULTS_MAX];
        char               *pages[RESULTS_MAX]; /* NULL: there is none */
        size_t              nr;
};

static void summary_free(struct summary *s)
{
        for (size_t i = 0; i < s->nr; i++) {
                bench_result_free(&s->v[i]);
                free(s->pages[i]);
        }
}

/* "dir/X.json" has its page in "dir/X.html". */
static char *page_of(const char *path)
{
        size_t stem = strlen(path) - (strlen(path) > 5 && strcmp(path + strlen(path) - 5, ".json") == 0 ? 5 : 0);
        char  *page = text_format("%.*s.html", (int)stem, path), *name = NULL;

        if (access(page, R_OK) == 0)
                name = text_format("%s", strrchr(page, '/') ? strrchr(page, '/') + 1 : page);
        free(page);
        return name;
}

static int read_all(struct summary *s, char **paths, size_t nr, struct err *e)
{
        int r = 0;

        for (size_t i = 0; i < nr && r >= 0; i++) {
                r = bench_json_read(paths[i], &s->v[i], e);
                if (r >= 0) {
                        s->pages[i] = page_of(paths[i]);
                        s->nr++;
                }
        }
        return r;
}

static int write_index(const struct summary *s, const char *path)
{
        FILE *to = fopen(path, "we");

        if (!to)
                return bench_failed(WORD, "%s: %s", path, strerror(errno));
        summary_index(to, s->v, (const char *const *)s->pages, s->nr);
        return fclose(to) == 0 ? BENCH_EXIT_OK : bench_failed(WORD, "%s: %s", path, strerror(errno));
}

static int write_markdown(const struct summary *s, const char *into)
{
        _cleanup_free_ char *text = NULL;
        size_t               len = 0;
        struct err           e = {0};
        FILE                *to;

        if (!into) {
                summary_markdown(stdout, s->v, s->nr);
                return BENCH_EXIT_OK;
        }
        to = open_memstream(&text, &len);
        if (!to)
                return bench_failed(WORD, "no memory");
        summary_markdown(to, s->v, s->nr);
        if (fclose(to) != 0)
                return bench_failed(WORD, "no memory");
        return summary_replace(into, text, &e) < 0 ? bench_failed(WORD, "%s", e.text) : BENCH_EXIT_OK;
}

static int run(int argc, char **argv)
{
        static const struct option         options[] = {{"into", required_argument, NULL, 'i'}, {"html", required_argument, NULL, 'h'}, {0}};
        _cleanup_(summary_free) struct summary s = {0};
        const char                        *into = NULL, *html = NULL;
        struct err                         e = {0};
        int                                c, status;

        opterr = 0;
        while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
                if (c == 'i')
                        into = optarg;
                else if (c == 'h')
                        html = optarg;
                else
                        return bench_usage(WORD, c == ':' ? "%s needs an argument" : "unknown option %s", argv[optind - 1]);
        }
        if (optind == argc || argc - optind > RESULTS_MAX)
                return bench_usage(WORD, "expected 1 to %d files, found %d", RESULTS_MAX, argc - optind);
        if (read_all(&s, argv + optind, (size_t)(argc - optind), &e) < 0)
                return bench_failed(WORD, "%s", e.text);
        status = html ? write_index(&s, html) : BENCH_EXIT_OK;
        return status == BENCH_EXIT_OK && (into || !html) ? write_markdown(&s, into) : status;
}

const struct bench_verb bench_verb_summary = {WORD, "several results as one table for a README, or one index", help, run};
