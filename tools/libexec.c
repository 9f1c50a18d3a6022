/* Verbs that are programs of their own: rouse-VERB is found where it was built or installed, and takes this process over. */
#include "tools/libexec.h"
#include "tools/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* Where rouse itself stands, without a slash at its end; "" where /proc is not there to tell. */
static void own_folder(char *ret, size_t size)
{
        ssize_t n = readlink("/proc/self/exe", ret, size - 1);
        char *slash;

        ret[n > 0 ? n : 0] = '\0';
        slash = strrchr(ret, '/');
        if (slash)
                *slash = '\0';
}

/* Does not return where the program is there and starts. */
static int become(const char *folder, const char *below, char **argv, char *ret_path, size_t size)
{
        if (snprintf(ret_path, size, "%s/%srouse-%s", folder, below, argv[0]) >= (int)size)
                return -ENAMETOOLONG;
        execv(ret_path, argv);
        return -errno;
}

int libexec_run(int argc, char **argv)
{
        char folder[PATH_MAX], path[PATH_MAX + 64], installed[PATH_MAX + 64];
        const char *failed = path;
        int r;
        (void)argc;

        own_folder(folder, sizeof(folder));
        r = become(folder, "", argv, path, sizeof(path));
        if (r == -ENOENT) {
                failed = installed;
                r = become(folder, "../libexec/rouse/", argv, installed, sizeof(installed));
        }
        if (r == -ENOENT)
                fprintf(stderr, "rouse: 'rouse %s' is a program of its own, and is neither %s nor %s; 'make' builds it, 'make "
                        "install' installs it\n",
                        argv[0], path, installed);
        else
                fprintf(stderr, "rouse: %s: %s\n", failed, strerror(-r));
        return EXIT_FAILED;
}

static int run_apart(int argc, char **argv, uint64_t t0_ns)
{
        (void)t0_ns;
        return libexec_run(argc, argv);
}

/* Their help is their own. */
const struct verb verb_bench = {.name = "bench", .summary = "what restores cost, arm beside arm, and what the host allows",
                                .run = run_apart};
const struct verb verb_trace = {.name = "trace", .summary = "record which guest pages any KVM process touches, as hints",
                                .run = run_apart};
