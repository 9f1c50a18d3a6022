/* rouse verify: every byte read, every checksum checked. */
#include "tools/cli.h"

#include "core/base/units.h"
#include "core/inspect.h"

#include <inttypes.h>
#include <unistd.h>

static const struct option options[] = {{"format", required_argument, NULL, 'F'}, CLI_LAST_OPTIONS};

static void show_progress(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
        (void)arg;
        fprintf(stderr, "\r%3u %%  %" PRIu64 " of %" PRIu64 " MiB", (unsigned)(all_bytes ? done_bytes * 100 / all_bytes : 100), done_bytes / MIB,
                all_bytes / MIB);
}

static int verify(const struct inspection *i)
{
        bool tty = isatty(STDERR_FILENO);
        struct inspect_verified v;
        struct err err = {0};
        int r = inspect_verify(i, tty ? show_progress : NULL, NULL, &v, &err);

        if (tty)
                fprintf(stderr, "\n");
        if (r < 0)
                return cli_fail(&err);
        printf("%s: %" PRIu64 " data pages read, %" PRIu64 " zero pages", i->path, v.data_pages, v.zero_pages);
        if (i->verifiable)
                printf(", %" PRIu64 " checksums match\n", v.checked_pages);
        else
                printf("; memory not verifiable: format %s has no checksums\n", i->format);
        return EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        const char *format = NULL;
        char data_dir[4096];
        struct inspection i = {0};
        struct err err = {0};
        int c, status;
        (void)t0_ns;

        while ((c = cli_getopt(&verb_verify, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                format = optarg;
        }
        if (argc - optind != 1)
                return cli_usage("verify", "expected one DIR, found %d words", argc - optind);
        if (inspect_open(argv[optind], format, cli_data_dir(data_dir, sizeof(data_dir)), &i, &err) < 0)
                return cli_fail(&err);
        status = verify(&i);
        inspect_close(&i);
        return status;
}

const struct verb verb_verify = {
        .name = "verify",
        .summary = "read every byte of a snapshot, check every checksum",
        .help = "usage: rouse verify DIR [--format NAME]\n\n"
                "Exit 0: whole. Exit 4: the first thing that is wrong, with file, offset, expected, found.\n"
                "A StratoVirt memory file has no checksums: its pages are read, and it is said that they are not verifiable.\n\n"
                "example: rouse verify /srv/snapshots/web\n",
        .run = run,
};
