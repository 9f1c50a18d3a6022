/* rouse verify: every byte read, every checksum checked. */
#include "tools/cli.h"

#include "core/inspect.h"

#include <inttypes.h>
#include <unistd.h>

static const struct option options[] = {{"format", required_argument, NULL, 'F'}, {"base", required_argument, NULL, 'b'}, CLI_LAST_OPTIONS};

/* The snapshot is whole without it. */
static void say_index(const struct inspection *i)
{
        char text[sizeof(i->index->text) + 64];

        snprintf(text, sizeof(text), "page index is not used: %s", i->index->text);
        cli_message(NULL, text);
}

static int verify(const struct inspection *i)
{
        bool shown = false;
        struct inspect_verified v;
        struct err err = {0};
        int r = inspect_verify(i, isatty(STDERR_FILENO) ? cli_progress : NULL, &shown, &v, &err);

        if (shown)
                fprintf(stderr, "\n");
        if (r < 0)
                return cli_fail(&err);
        if (i->index)
                say_index(i);
        printf("%s: %" PRIu64 " data pages read, %" PRIu64 " zero pages", i->path, v.data_pages, v.zero_pages);
        if (i->verifiable)
                printf(", %" PRIu64 " checksums match%s\n", v.checked_pages,
                       i->partly ? "; the pages of a foreign parent have none" : "");
        else
                printf("; memory not verifiable: format %s has no checksums\n", i->format);
        return EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct inspect_options o = {0};
        struct cli_bases bases = {0};
        char data_dir[4096];
        struct inspection i = {0};
        struct err err = {0};
        int c, status;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_verify, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                if (c == 'F')
                        o.format = optarg;
                if (c == 'b' && !cli_base("verify", optarg, &bases))
                        return EXIT_USAGE;
        }
        if (argc - optind != 1)
                return cli_usage("verify", "expected one DIR, found %d words", argc - optind);
        o.data_dir = cli_data_dir(data_dir, sizeof(data_dir));
        o.bases = bases.v;
        o.nr_bases = bases.nr;
        if (inspect_open(argv[optind], &o, &i, &err) < 0)
                return cli_fail(&err);
        status = verify(&i);
        inspect_close(&i);
        return status;
}

const struct verb verb_verify = {
        .name = "verify",
        .summary = "read every byte of a snapshot, check every checksum",
        .help = "usage: rouse verify DIR [OPTIONS]\n\n"
                "  --format NAME         insist on a format: native, stratovirt\n"
                CLI_BASE_HELP "\n"
                "Exit 0: whole. Exit 4: the first thing that is wrong, with file, offset, expected, found.\n"
                "Bad is a page, a file that is damaged (also a page index beside the snapshot, and hints in it), or an index that calls a\n"
                "page zero that is not. An index of an older state of the snapshot is left alone, which is said.\n"
                "A StratoVirt memory file has no checksums: its pages are read, and it is said that they are not verifiable.\n\n"
                "example: rouse verify /srv/snapshots/web\n",
        .run = run,
};
