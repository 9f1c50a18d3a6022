/* rouse bench compare A.json B.json: what changed beyond noise. */
#include "bench/report/verbs.h"

#include "bench/model/result_json.h"
#include "bench/model/result_words.h"
#include "bench/report/compare.h"

#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
        "usage: rouse bench compare A.json B.json [--threshold PERCENT] [--json]\n"
        "\n"
        "Says what changed from A to B beyond noise. Each is a file that 'rouse bench ... --json FILE' wrote.\n"
        "A time counts as changed where it changed as such and also beside what the machine itself did between the\n"
        "two, as their floors tell; a change of less than 1 % is told as none.\n"
        "\n"
        "  --threshold PERCENT   from how much worse on a change is a regression (default 5)\n"
        "  --json                one JSON document on standard output (share/rouse/schema/comparison-1.json)\n"
        "\n"
        "Exit status: 0: no regression; 3: a regression; 1: a file cannot be read, or nothing can be told of the two\n"
        "(too few runs, or no figure in common); 2: wrong usage, or the two are of different benches.\n"
        "\n"
        "Example:\n"
        "  rouse bench compare yesterday.json today.json --threshold 10 || echo slower\n";

struct words {
        const char *a, *b;
        double      threshold;
        bool        json;
};

static int parse_threshold(const char *text, double *ret)
{
        char  *end;
        double v = strtod(text, &end);

        if (end == text || strcmp(end, *end == '%' ? "%" : "") != 0 || !isfinite(v) || v < 0)
                return bench_usage("compare", "--threshold: expected a number of percent, 0 or more, found '%s'", text);
        *ret = v;
        return BENCH_EXIT_OK;
}

static int parse(int argc, char **argv, struct words *w)
{
        static const struct option options[] = {{"threshold", required_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'}, {0}};
        int                        c, r = BENCH_EXIT_OK;

        opterr = 0;
        while (r == BENCH_EXIT_OK && (c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
                if (c == 't')
                        r = parse_threshold(optarg, &w->threshold);
                else if (c == 'j')
                        w->json = true;
                else
                        r = bench_usage("compare", c == ':' ? "%s needs an argument" : "unknown option %s", argv[optind - 1]);
        }
        if (r == BENCH_EXIT_OK && argc - optind != 2)
                r = bench_usage("compare", "expected two files, found %d", argc - optind);
        if (r == BENCH_EXIT_OK) {
                w->a = argv[optind];
                w->b = argv[optind + 1];
        }
        return r;
}

static int compare(const struct words *w, const struct bench_result *a, const struct bench_result *b)
{
        struct comparison c;
        int               status;

        if (a->kind != b->kind)
                return bench_usage("compare", "%s and %s are of different benches: %s and %s", w->a, w->b,
                                   result_kind_words[a->kind], result_kind_words[b->kind]);
        compare_results(a, b, w->threshold, &c);
        if (w->json)
                compare_json_write(stdout, &c, w->a, w->b);
        else
                compare_print(stdout, &c, w->a, a, w->b, b);
        status = c.nr_regressions ? BENCH_EXIT_REGRESSION : BENCH_EXIT_OK;
        if (compare_nr_told(&c) == 0) /* whoever guards against regressions must not take that for none */
                status = bench_failed("compare", "%s and %s: %s", w->a, w->b, c.nr_rows ? "too few runs to tell anything; about ten on each side are needed"
                                                                                        : "they have no figure in common");
        compare_free(&c);
        return status;
}

static int run(int argc, char **argv)
{
        struct words        w = {.threshold = COMPARE_THRESHOLD_PERCENT};
        struct bench_result a = {0}, b = {0};
        struct err          e = {0};
        int                 status = parse(argc, argv, &w);

        if (status)
                return status;
        if (bench_json_read(w.a, &a, &e) < 0 || bench_json_read(w.b, &b, &e) < 0)
                status = bench_failed("compare", "%s", e.text);
        else
                status = compare(&w, &a, &b);
        bench_result_free(&a);
        bench_result_free(&b);
        return status;
}

const struct bench_verb bench_verb_compare = {"compare", "what changed from one result to another, beyond noise", help, run};
