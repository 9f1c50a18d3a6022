/* rouse VERB: a table of verbs and a dispatch. */
#include "core/base/clock.h"
#include "core/base/units.h"
#include "tools/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct verb *const verbs[] = {
        &verb_run, &verb_restore, &verb_snapshot, &verb_inspect, &verb_verify, &verb_convert, &verb_hints, &verb_probe,
                &verb_ledger,
        &verb_list, &verb_start, &verb_stop, &verb_delete, &verb_stratovirt_args, &verb_bench, &verb_trace,
};

static void print_help(FILE *to)
{
        fprintf(to, "rouse wakes saved virtual machines in milliseconds.\n\nusage: rouse VERB [OPTIONS]\n\n");
        for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
                fprintf(to, "  %-15s %s\n", verbs[i]->name, verbs[i]->summary);
        fprintf(to, "\n'rouse VERB --help' tells the rest. An example:\n\n"
                    "  rouse restore /srv/snapshots/web --until 'ready' --ledger -\n\n"
                    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 bench compare found a regression,\n"
                    "4 bad snapshot, 5 a page was lost, 124 --timeout passed, 128+n ended by signal n.\n");
}

/* A result that could not be written is no result. */
static int finish(int status)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        fprintf(stderr, "rouse: standard output: %s\n", strerror(errno));
        return status ? status : EXIT_FAILED;
}

static bool wants_help(int argc, char **argv)
{
        /* Right behind the verb only: later it may be the value of an option. */
        return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

/* Where standard output or error is closed, the next file to be opened, a disk maybe, would have its number, and be written to.
 * What is opened in its place cannot be written to, or read from: that is said as if it were closed. */
static bool keep_standard_fds(void)
{
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
                        return false;
        return true;
}

int main(int argc, char **argv)
{
        uint64_t t0_ns = now_ns(); /* T0 where no launcher gives one: as near to the first instruction as C comes */
        const char *name = argc > 1 ? argv[1] : "";

        if (!keep_standard_fds())
                return EXIT_FAILED;
        if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
                print_help(stdout);
                return EXIT_OK;
        }
        if (strcmp(name, "--version") == 0) {
                printf("rouse %s\n", ROUSE_VERSION);
                return EXIT_OK;
        }
        for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
                if (strcmp(verbs[i]->name, name))
                        continue;
                if (verbs[i]->help && wants_help(argc - 1, argv + 1)) {
                        printf("%s", verbs[i]->help);
                        return EXIT_OK;
                }
                return finish(verbs[i]->run(argc - 1, argv + 1, t0_ns));
        }
        if (name[0])
                fprintf(stderr, "rouse: unknown verb '%s'; see 'rouse --help'\n", name);
        else
                print_help(stderr);
        return EXIT_USAGE;
}
