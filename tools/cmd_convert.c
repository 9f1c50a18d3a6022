/* rouse convert: a snapshot of one format as another. */
#include "tools/cli.h"

#include "core/base/units.h"
#include "core/convert.h"

#include <inttypes.h>
#include <unistd.h>

static const struct option options[] = {
        {"format", required_argument, NULL, 'F'},
        {"replace", no_argument, NULL, 'r'},
        CLI_LAST_OPTIONS,
};

static int convert(struct convert_options *o)
{
        struct convert_report report;
        bool shown = false;
        struct err err = {0};
        int r;

        o->progress = isatty(STDERR_FILENO) ? cli_progress : NULL;
        o->progress_arg = &shown;
        o->say = cli_message;
        r = snapshot_convert(o, &report, &err);
        if (shown)
                fprintf(stderr, "\n");
        if (r < 0)
                return cli_fail(&err);
        printf("%s: %s from %s, %" PRIu64 " data pages, %" PRIu64 " zero pages, identity %s\n", o->dst, report.to, report.from,
               bytes_to_pages(report.data_bytes), bytes_to_pages(report.zero_bytes), report.identity.s);
        return EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct convert_options o = {.format = "native"};
        char data_dir[4096];
        int c;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_convert, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                if (c == 'F')
                        o.format = optarg;
                if (c == 'r')
                        o.replace = true;
        }
        if (argc - optind != 2)
                return cli_usage("convert", "expected SRC and DST, found %d words", argc - optind);
        o.src = argv[optind];
        o.dst = argv[optind + 1];
        o.data_dir = cli_data_dir(data_dir, sizeof(data_dir));
        return convert(&o);
}

const struct verb verb_convert = {
        .name = "convert",
        .summary = "write a snapshot of one format as another",
        .help = "usage: rouse convert SRC DST [--format native|stratovirt] [--replace]\n\n"
                "Writes the snapshot SRC, of any format, into the new directory DST. DST is there whole or not at all.\n"
                "Checksums of SRC are checked on the way. What the other format has no place for is refused by name.\n\n"
                "  --format NAME   native (default), or stratovirt: what StratoVirt 2.5 restores\n"
                "  --replace       exchange a snapshot that is there already\n\n"
                "Exit 0: done. Exit 1: it could not be written. Exit 4: SRC is bad; file, offset, expected, found.\n\n"
                "example: rouse convert /srv/templates/web /srv/snapshots/web\n",
        .run = run,
};
