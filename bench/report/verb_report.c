/* rouse bench report FILE.json: a result that was kept, shown again. */
#include "bench/report/verbs.h"

#include "bench/model/result_json.h"
#include "bench/report/report.h"

#include <getopt.h>

static const char help[] =
        "usage: rouse bench report FILE.json [--html FILE] [--json FILE]\n"
        "\n"
        "Prints the table of a result that 'rouse bench ... --json FILE' kept.\n"
        "\n"
        "  --html FILE           write its page, too\n"
        "  --json FILE           write it as JSON again, with medians and intervals worked out anew\n"
        "\n"
        "Example:\n"
        "  rouse bench report web.json --html web.html\n";

static int run(int argc, char **argv)
{
        static const struct option options[] = {{"html", required_argument, NULL, 'h'}, {"json", required_argument, NULL, 'j'}, {0}};
        struct bench_outputs       to = {0};
        struct bench_result        r = {0};
        struct err                 e = {0};
        int                        c, status;

        opterr = 0;
        while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
                if (c == 'h')
                        to.html = optarg;
                else if (c == 'j')
                        to.json = optarg;
                else
                        return bench_usage("report", c == ':' ? "%s needs an argument" : "unknown option %s", argv[optind - 1]);
        }
        if (argc - optind != 1)
                return bench_usage("report", "expected one file, found %d", argc - optind);
        if (bench_json_read(argv[optind], &r, &e) < 0)
                return bench_failed("report", "%s", e.text);
        status = bench_report("report", &r, &to);
        bench_result_free(&r);
        return status;
}

const struct bench_verb bench_verb_report = {"report", "the table, and the page, of a result that was kept", help, run};
