/* rouse inspect: what is in a snapshot. */
#include "tools/cli.h"

#include "core/base/units.h"
#include "core/inspect.h"
#include "tools/inspect_out.h"

static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"pages", no_argument, NULL, 'p'},
        {"index", no_argument, NULL, 'i'},
        {"format", required_argument, NULL, 'F'},
        {"base", required_argument, NULL, 'b'},
        CLI_LAST_OPTIONS,
};

struct words {
        const char      *format;
        struct cli_bases bases;
        bool             json, pages, index;
};

static int inspect(const char *path, const struct words *w)
{
        char data_dir[4096];
        struct inspection i = {0};
        struct err err = {0};
        struct inspect_options o = {.format = w->format, .data_dir = cli_data_dir(data_dir, sizeof(data_dir)),
                                    .bases = w->bases.v, .nr_bases = w->bases.nr};
        int r = inspect_open(path, &o, &i, &err);

        if (r >= 0 && w->index)
                r = inspect_index(&i, &err);
        if (r >= 0 && w->json)
                inspect_print_json(stdout, &i, w->pages);
        else if (r >= 0)
                inspect_print(stdout, &i, w->pages);
        inspect_close(&i);
        return r < 0 ? cli_fail(&err) : EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct words w = {0};
        int c;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_inspect, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                w.json |= c == 'j';
                w.pages |= c == 'p';
                w.index |= c == 'i';
                if (c == 'F')
                        w.format = optarg;
                if (c == 'b' && !cli_base("inspect", optarg, &w.bases))
                        return EXIT_USAGE;
        }
        if (argc - optind != 1)
                return cli_usage("inspect", "expected one DIR, found %d words", argc - optind);
        return inspect(argv[optind], &w);
}

const struct verb verb_inspect = {
        .name = "inspect",
        .summary = "what is in a snapshot",
        .help = "usage: rouse inspect DIR [OPTIONS]\n\n"
                "Format, version, machine, vCPUs, devices, memory, identity, parents, hints. Nothing is started.\n\n"
                "  --json                one JSON document\n"
                "  --pages               every run of pages\n"
                "  --index               find the zero pages of a foreign memory file now, and write the page map beside it\n"
                "  --format NAME         insist on a format: native, stratovirt\n"
                CLI_BASE_HELP "\n"
                "example: rouse inspect --index /srv/templates/microvm\n",
        .run = run,
};
