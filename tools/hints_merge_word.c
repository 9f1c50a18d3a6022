/* rouse hints merge: many recordings into one file. */
#include "tools/hints_words.h"

#include "core/hints_load.h"

#include <inttypes.h>
#include <string.h>

static const struct option options[] = {
        {"output", required_argument, NULL, 'o'},
        {"min-seen", required_argument, NULL, 'm'},
        CLI_LAST_OPTIONS,
};

static int merge(const char *to, uint32_t min_seen, const char *const *paths, size_t nr, const char *data_dir)
{
        struct hints_named *in = NULL;
        struct hints h = {0};
        struct err err = {0};
        int r = hints_load_all(paths, nr, data_dir, &in, &err);

        r = r < 0 ? r : hints_merge(in, nr, min_seen, &h, &err);
        r = r < 0 ? r : hints_save(to, data_dir, &h, &err);
        hints_named_free(in, nr);
        if (r >= 0)
                printf("%s: %zu pages of %" PRIu32 " recording%s\n", to, h.nr, h.recordings, h.recordings == 1 ? "" : "s");
        hints_free(&h);
        return r < 0 ? cli_fail(&err) : EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        const char *to = NULL;
        uint64_t min_seen = 1;
        char data_dir[4096];
        int c;
        (void)t0_ns;

        while ((c = cli_getopt_short(&hints_word_merge, argc, argv, "o:", options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                if (c == 'o')
                        to = optarg;
                if (c == 'm' && !cli_number(optarg, 1, HINTS_RECORDINGS_MAX, &min_seen))
                        return cli_usage("hints merge", "--min-seen: expected a number from 1 on, found '%s'", optarg);
        }
        if (!to)
                return cli_usage("hints merge", "-o FILE is missing%s", "");
        if (optind == argc)
                return cli_usage("hints merge", "expected recordings, found none%s", "");
        if (argc - optind > HINTS_RECORDINGS_MAX)
                return cli_usage("hints merge", "expected at most %d recordings", HINTS_RECORDINGS_MAX);
        if (min_seen > (uint64_t)(argc - optind)) /* no page is seen in more than there are: the file would be empty, and hold replays back */
                return cli_usage("hints merge", "--min-seen: expected at most %d, as many as there are recordings, found %" PRIu64, argc - optind, min_seen);
        if (strcmp(to, "auto") == 0 && !cli_data_dir(data_dir, sizeof(data_dir)))
                return cli_usage("hints merge", "-o auto needs a home: set XDG_DATA_HOME%s", "");
        return merge(to, (uint32_t)min_seen, (const char *const *)(argv + optind), (size_t)(argc - optind),
                     cli_data_dir(data_dir, sizeof(data_dir)));
}

const struct verb hints_word_merge = {
        .name = "hints merge",
        .summary = "many recordings into one file of hints",
        .help = "usage: rouse hints merge -o FILE|auto [--min-seen N] RECORDING...\n\n"
                "Makes one file of hints of recordings of the same snapshot: its pages in the order of their median\n"
                "first touch, phase by phase (until T3, until T4, later), and in how many recordings each was seen.\n"
                "Recordings of different snapshots are refused, with both identities.\n\n"
                "  -o, --output FILE|auto  where to; auto: where rouse restore --hints auto finds it\n"
                "  --min-seen N     leave out pages that fewer than N recordings have (default 1: keep all). A replay of\n"
                "                   five recordings or more passes over pages that only one has anyway; a file with\n"
                "                   all of them in it can be judged without its recordings.\n\n"
                "example: rouse hints merge -o auto /tmp/web.1 /tmp/web.2 /tmp/web.3 /tmp/web.4 /tmp/web.5\n",
        .run = run,
};
