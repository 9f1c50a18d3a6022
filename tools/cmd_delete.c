/* rouse delete: forgets a named machine. */
#include "tools/cli.h"

#include "core/base/cleanup.h"
#include "core/control/machine_store.h"

#include <errno.h>

static const struct option options[] = {CLI_LAST_OPTIONS};

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct machine_store *m;
        struct err err = {0};
        char dir[4096];
        int r;
        (void)t0_ns;

        if (cli_getopt(&verb_delete, argc, argv, options) != -1)
                return EXIT_USAGE;
        if (optind + 1 != argc)
                return cli_usage("delete", "expected NAME, found %d words", argc - optind);
        if (!cli_state_dir(dir, sizeof(dir)))
                r = err_set(&err, -ENOENT, "XDG_STATE_HOME is not set, and there is no home");
        else
                r = machine_store_open(dir, argv[optind], false, &m, &err);
        if (r < 0)
                return cli_fail(&err);
        r = machine_store_lock(m, &err);
        if (r >= 0)
                r = machine_store_delete(m, &err);
        machine_store_close(m);
        return r < 0 ? cli_fail(&err) : EXIT_OK;
}

const struct verb verb_delete = {
        .name = "delete",
        .summary = "forget a named machine and its saved state",
        .help = "usage: rouse delete NAME\n\n"
                "Removes the definition, the logs and the saved state of a machine that does not run. Its kernel and its\n"
                "disks stay where they are.\n\n"
                "example: rouse delete web\n",
        .run = run,
};
