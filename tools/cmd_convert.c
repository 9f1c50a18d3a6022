/* rouse convert: a snapshot of one format as another. */
#include "tools/cli.h"

#include "core/base/units.h"
#include "core/convert.h"
#include "tools/pack_option.h"

#include <inttypes.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static const struct option options[] = {
        {"format", required_argument, NULL, 'F'},
        {"base", required_argument, NULL, 'b'},
        {"hints", required_argument, NULL, 'H'},
        {"replace", no_argument, NULL, 'r'},
        PACK_OPTIONS,
        CLI_LAST_OPTIONS,
};

/* arg: an int, the signal that came, once one has. */
static bool is_signalled(void *arg)
{
        const struct timespec now = {0};
        int *signal = arg;
        sigset_t set;

        cli_end_signals(&set);
        if (*signal <= 0)
                *signal = sigtimedwait(&set, NULL, &now);
        return *signal > 0;
}

/* Whoever interrupts it must not find gigabytes under a hidden name: signals wait until they are asked for. */
static void hold_signals(void)
{
        sigset_t set;

        cli_end_signals(&set);
        pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static int convert(const struct convert_options *asked)
{
        struct convert_options o = *asked;
        struct convert_report report;
        bool shown = false;
        struct err err = {0};
        int r, signal = 0;

        hold_signals();
        o.cancelled = is_signalled;
        o.cancelled_arg = &signal;
        o.progress = isatty(STDERR_FILENO) ? cli_progress : NULL;
        o.progress_arg = &shown;
        o.say = cli_message;
        r = snapshot_convert(&o, &report, &err);
        if (shown)
                fprintf(stderr, "\n");
        if (signal > 0)
                return EXIT_SIGNAL_BASE + signal;
        if (r < 0)
                return cli_fail(&err);
        printf("%s: %s from %s, %" PRIu64 " data pages", o.dst, report.to, report.from, bytes_to_pages(report.data_bytes));
        if (o.pack && report.data_bytes)
                printf(" packed to %.1f %%", 100.0 * (double)report.stored_bytes / (double)report.data_bytes);
        printf(", %" PRIu64 " zero pages", bytes_to_pages(report.zero_bytes));
        if (report.hints)
                printf(", hints of %" PRIu64 " pages", report.hints);
        printf(", identity %s\n", report.identity.s);
        return EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct convert_options o = {.format = "native"};
        struct pack_option pack = PACK_OPTION_DEFAULT;
        struct cli_bases bases = {0};
        char data_dir[4096];
        int c;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_convert, argc, argv, options)) != -1) {
                if (c == '?' || pack_option(&verb_convert, c, optarg, &pack) < 0)
                        return EXIT_USAGE;
                if (c == 'F')
                        o.format = optarg;
                if (c == 'b' && !cli_base("convert", optarg, &bases))
                        return EXIT_USAGE;
                if (c == 'H')
                        o.hints_path = optarg;
                if (c == 'r')
                        o.replace = true;
        }
        if (argc - optind != 2)
                return cli_usage("convert", "expected SRC and DST, found %d words", argc - optind);
        if (pack_option_check(&verb_convert, &pack) != EXIT_OK)
                return EXIT_USAGE;
        o.pack = pack.lz4;
        o.pack_level = pack.level;
        o.src = argv[optind];
        o.dst = argv[optind + 1];
        o.bases = bases.v;
        o.nr_bases = bases.nr;
        o.data_dir = cli_data_dir(data_dir, sizeof(data_dir));
        return convert(&o);
}

const struct verb verb_convert = {
        .name = "convert",
        .summary = "write a snapshot of one format as another",
        .help = "usage: rouse convert SRC DST [OPTIONS]\n\n"
                "Writes the snapshot SRC, of any format, into the new directory DST. DST is there whole or not at all.\n"
                "INT, TERM and HUP give up and leave nothing behind.\n"
                "A snapshot that refers to parents becomes one that needs none.\n"
                "Checksums of SRC are checked on the way. What the other format has no place for is refused by name.\n\n"
                "  --format NAME              native (default), or stratovirt: what StratoVirt 2.5 restores\n"
                CLI_BASE_HELP
                "  --hints FILE|none          DST gets these hints, which must be of SRC, for its own (default: those that a\n"
                "                             restore of SRC would find, if any)\n"
                "  --replace                  exchange a snapshot that is there already\n"
                PACK_HELP
                "\n"
                "Exit 0: done. Exit 1: it could not be written. Exit 4: SRC is bad; file, offset, expected, found.\n"
                "Exit 128+n: ended by signal n.\n\n"
                "example: rouse convert /srv/templates/web /srv/snapshots/web\n",
        .run = run,
};
