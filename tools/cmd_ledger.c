/* rouse ledger: ledgers that restores wrote, side by side. */
#include "tools/cli.h"
#include "tools/ledger_out.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>

static const struct option options[] = {CLI_LAST_OPTIONS};

/* A ledger has some KiB; what has no end is none. */
#define LEDGER_BYTES_MAX MIB

/* NULL: after its one line. */
static struct json_object *read_ledger(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ void *bytes = NULL;
        struct json_tokener *tokener = json_tokener_new();
        struct json_object *doc = NULL;
        size_t len = 0;
        int r = fd < 0 ? -errno : fd_read_all(fd, LEDGER_BYTES_MAX, &bytes, &len);

        if (r >= 0 && tokener)
                doc = json_tokener_parse_ex(tokener, bytes, (int)len);
        if (tokener)
                json_tokener_free(tokener);
        if (doc && json_object_is_type(doc, json_type_object))
                return doc;
        json_object_put(doc);
        fprintf(stderr, "rouse: %s: expected a ledger (JSON, written by --ledger FILE), found %s\n", path, r == -EFBIG ? "more than 1 MiB" : r < 0 ? strerror(-r) : "none");
        return NULL;
}

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
                docs[nr] = read_ledger(argv[optind]);
                if (docs[nr])
                        nr++;
                else
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
