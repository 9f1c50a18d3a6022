/* rouse ledger: ledgers that restores wrote, side by side. */
#include "tools/cli.h"
#include "tools/ledger_out.h"

#include <json-c/json.h>

static const struct option options[] = {CLI_LAST_OPTIONS};

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct json_object *docs[LEDGER_COLUMNS_MAX] = {0};
        int nr = 0, status = EXIT_OK;
        (void)t0_ns;

        if (cli_getopt(&verb_ledger, argc, argv, options) != -1)
                return EXIT_USAGE;
        if (optind == argc || argc - optind > LEDGER_COLUMNS_MAX)
                return cli_usage("ledger", "expected 1 to %d files, found %d", LEDGER_COLUMNS_MAX, argc - optind);
        for (; optind < argc && status == EXIT_OK; optind++) {
                docs[nr] = json_object_from_file(argv[optind]);
                if (docs[nr] && json_object_is_type(docs[nr], json_type_object)) {
                        nr++;
                        continue;
                }
                fprintf(stderr, "rouse: %s: expected a ledger (JSON, written by --ledger FILE), found none\n", argv[optind]);
                status = EXIT_FAILED;
        }
        if (status == EXIT_OK)
                ledger_table(stdout, docs, (size_t)nr);
        for (int i = 0; i < LEDGER_COLUMNS_MAX; i++)
                json_object_put(docs[i]);
        return status;
}

const struct verb verb_ledger = {
        .name = "ledger",
        .summary = "print ledgers side by side",
        .help = "usage: rouse ledger FILE...\n\n"
                "Prints ledgers that 'rouse restore --ledger FILE' wrote as one table, a column each (at most 7),\n"
                "and what they say in words.\n\n"
                "example: rouse ledger eager.json mmap.json hints.json\n",
        .run = run,
};
