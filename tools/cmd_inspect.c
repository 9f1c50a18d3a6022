/* rouse inspect: what is in a snapshot. */
#include "tools/cli.h"

#include "core/base/units.h"
#include "core/inspect.h"
#include "tools/inspect_out.h"
#include "tools/restore_words.h"

static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"pages", no_argument, NULL, 'p'},
        {"index", no_argument, NULL, 'i'},
        {"plan", no_argument, NULL, 'P'},
        {"mode", required_argument, NULL, 'M'},
        {"hints", required_argument, NULL, 'H'},
        {"verify", required_argument, NULL, 'V'},
        {"fill", required_argument, NULL, 'L'},
        {"collapse", required_argument, NULL, 'K'},
        {"memory-backing", required_argument, NULL, 'm'},
        {"format", required_argument, NULL, 'F'},
        {"base", required_argument, NULL, 'b'},
        CLI_LAST_OPTIONS,
};

struct words {
        const char      *format;
        struct cli_bases bases;
        bool             json, pages, index, plan;
        struct restore_options restore; /* that the plan is for */
};

static void print(const struct inspection *i, const struct words *w, const struct inspected_plan *plan)
{
        if (w->json) {
                inspect_print_json(stdout, i, w->pages, w->plan ? plan : NULL);
                return;
        }
        inspect_print(stdout, i, w->pages);
        if (w->plan)
                inspect_print_plan(stdout, plan);
}

static int inspect(const char *path, struct words *w)
{
        struct inspected_plan plan = {0};
        char data_dir[4096], runtime_dir[4096];
        struct inspection i = {0};
        struct err err = {0};
        struct inspect_options o = {.format = w->format, .data_dir = cli_data_dir(data_dir, sizeof(data_dir)),
                                    .bases = w->bases.v, .nr_bases = w->bases.nr};
        int r = inspect_open(path, &o, &i, &err);

        if (r >= 0 && w->index)
                r = inspect_index(&i, &err);
        if (r >= 0 && w->index) { /* what is said of it is what the next one finds */
                inspect_close(&i);
                r = inspect_open(path, &o, &i, &err);
        }
        w->restore.data_dir = o.data_dir;
        w->restore.runtime_dir = cli_runtime_dir(runtime_dir, sizeof(runtime_dir));
        if (r >= 0 && w->plan)
                r = inspect_plan(&i, &w->restore, &plan, &err);
        if (r >= 0)
                print(&i, w, &plan);
        inspect_plan_close(&plan);
        inspect_close(&i);
        return r < 0 ? cli_fail(&err) : EXIT_OK;
}

/* What the plan is for, as restore takes it. */
static int take_of_restore(int c, struct restore_options *o)
{
        switch (c) {
        case 'M':
                return take_mode(optarg, &o->mode) ? EXIT_OK : cli_usage("inspect", "--mode: expected " MODE_WORDS ", found '%s'", optarg);
        case 'V':
                return cli_on_off(optarg, &o->verify) ? EXIT_OK : cli_usage("inspect", "--verify: expected on or off, found '%s'", optarg);
        case 'L':
                return cli_on_off(optarg, &o->fill) ? EXIT_OK : cli_usage("inspect", "--fill: expected on or off, found '%s'", optarg);
        case 'K':
                return cli_on_off(optarg, &o->collapse) ? EXIT_OK : cli_usage("inspect", "--collapse: expected on or off, found '%s'", optarg);
        case 'm':
                return ram_backing_find(optarg, &o->common.memory_backing) ? EXIT_OK : cli_usage("inspect", "--memory-backing: expected anon, memfd or hugetlb, found '%s'", optarg);
        case 'H':
                take_hints(optarg, o);
        }
        return EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct words w = {.restore = {.mode = RESTORE_AUTO, .fill = true, .verify = true}};
        int c;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_inspect, argc, argv, options)) != -1) {
                if (c == '?' || take_of_restore(c, &w.restore) != EXIT_OK)
                        return EXIT_USAGE;
                w.json |= c == 'j';
                w.pages |= c == 'p';
                w.index |= c == 'i';
                w.plan |= c == 'P';
                if (c == 'F')
                        w.format = optarg;
                if (c == 'b' && !cli_base("inspect", optarg, &w.bases))
                        return EXIT_USAGE;
        }
        if (!mode_has_backing("inspect", &w.restore))
                return EXIT_USAGE;
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
                "  --plan                how it would be restored on this host, and why; what of each limit that takes,\n"
                "                        and in mode shared what of it other VMs have in memory already, and which processes these are:\n"
                "  --mode MODE             of that restore (default auto)\n"
                "  --hints auto|none|FILE  (default auto)\n"
                "  --verify on|off         (default on)\n"
                "  --fill on|off           (default on)\n"
                "  --collapse on|off       (default off)\n"
                "  --memory-backing anon|memfd|hugetlb  (default anon)\n"
                "  --format NAME         insist on a format: native, stratovirt\n"
                CLI_BASE_HELP "\n"
                "example: rouse inspect --index /srv/templates/microvm\n",
        .run = run,
};
