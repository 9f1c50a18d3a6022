/* rouse trace: an executable of its own, which `rouse trace` execs: it links libbpf, and a restore shall not. */
#include "core/base/units.h"
#include "tools/cli.h"
#include "tools/trace/trace.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_BYTES (8 * MIB)
#define BUFFER_MAX   (1 * GIB)

enum { OPT_PID = 1, OPT_SNAPSHOT, OPT_BASE, OPT_FORMAT, OPT_OUT, OPT_TIMEOUT, OPT_BUFFER, OPT_HUGE_PAGES, OPT_DEBUG };

static const struct option options[] = {
        {"pid", required_argument, NULL, OPT_PID},
        {"snapshot", required_argument, NULL, OPT_SNAPSHOT},
        {"base", required_argument, NULL, OPT_BASE},
        {"format", required_argument, NULL, OPT_FORMAT},
        {"out", required_argument, NULL, OPT_OUT},
        {"timeout", required_argument, NULL, OPT_TIMEOUT},
        {"buffer", required_argument, NULL, OPT_BUFFER},
        {"huge-pages", required_argument, NULL, OPT_HUGE_PAGES},
        {"debug", no_argument, NULL, OPT_DEBUG},
        CLI_LAST_OPTIONS,
};

static bool take_pid(const char *text, pid_t *ret)
{
        uint64_t n;

        if (!cli_number(text, 1, INT32_MAX, &n)) {
                cli_usage("trace", "--pid: expected the number of a process, found '%s'", text);
                return false;
        }
        *ret = (pid_t)n;
        return true;
}

static bool take_buffer(const char *text, uint64_t *ret_bytes)
{
        if (cli_size(text, ret_bytes) && *ret_bytes >= PAGE_BYTES && *ret_bytes <= BUFFER_MAX &&
            (*ret_bytes & (*ret_bytes - 1)) == 0)
                return true;
        cli_usage("trace", "--buffer: expected a power of 2 from 4K to 1G, found '%s'", text);
        return false;
}

static bool take_time(const char *text, uint64_t *ret_ns)
{
        if (cli_time(text, ret_ns) && *ret_ns)
                return true;
        cli_usage("trace", "--timeout: expected a time such as 500ms or 20s, found '%s'", text);
        return false;
}

static bool take_on_off(const char *text, bool *ret)
{
        if (cli_on_off(text, ret))
                return true;
        cli_usage("trace", "--huge-pages: expected on or off, found '%s'", text);
        return false;
}

/* False: told. */
static bool take(int option, struct trace_words *w, struct cli_bases *bases)
{
        switch (option) {
        case OPT_PID:
                return take_pid(optarg, &w->pid);
        case OPT_SNAPSHOT:
                w->snapshot = optarg;
                return true;
        case OPT_BASE:
                return cli_base("trace", optarg, bases);
        case OPT_FORMAT:
                w->format = optarg;
                return true;
        case OPT_OUT:
                w->out = optarg;
                return true;
        case OPT_TIMEOUT:
                return take_time(optarg, &w->timeout_ns);
        case OPT_BUFFER:
                return take_buffer(optarg, &w->buffer_bytes);
        case OPT_HUGE_PAGES:
                return take_on_off(optarg, &w->huge_pages);
        case OPT_DEBUG:
                w->debug = true;
                return true;
        }
        return false;
}

static int check(const struct trace_words *w)
{
        if (!w->pid && !w->command)
                return cli_usage("trace", "expected --pid PID or -- COMMAND%s", "");
        if (w->pid && w->command)
                return cli_usage("trace", "expected --pid PID or -- COMMAND, found both%s", "");
        if (!w->out)
                return cli_usage("trace", "expected --out FILE, where the hints go%s", "");
        if (!w->snapshot && (w->bases.nr || w->format))
                return cli_usage("trace", "--base and --format say how --snapshot DIR is read; expected it%s", "");
        if (!w->snapshot && strcmp(w->out, "auto") == 0)
                return cli_usage("trace", "--out auto puts hints where a snapshot's are found: expected --snapshot DIR%s", "");
        return EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns);

static const struct verb verb = {
        .name = "trace",
        .help = "usage: rouse trace --out FILE [--snapshot DIR] --pid PID\n"
                "       rouse trace --out FILE [--snapshot DIR] -- COMMAND...\n\n"
                "Records in which order a guest first touches its pages, and writes that as hints: for any VMM that uses KVM\n"
                "(StratoVirt, Firecracker, Cloud Hypervisor, QEMU), unchanged. The kernel tells (BPF): root is needed.\n"
                "A VM is best traced from its first touch on: COMMAND is started when all is armed.\n\n"
                "  --pid PID             a VMM that runs; touches of what KVM had already mapped are not seen\n"
                "  --snapshot DIR        what the VM was restored from, which the hints are for. Without it: where the file is that guest\n"
                "                        memory is mapped from (StratoVirt, Firecracker, rouse --mode mmap); where it is no file, the\n"
                "                        hints are for no snapshot: 'rouse hints show' takes them, a restore does not\n"
                "  --format NAME         of DIR; otherwise found by looking\n" CLI_BASE_HELP
                "  --out FILE            the hints; 'auto', with --snapshot: where its restores find them\n"
                "  --timeout TIME        end then, with exit 124 and the hints; otherwise when the VM's process ends, or at Ctrl-C. The VM\n"
                "                        runs on\n"
                "  --buffer SIZE         room for events that were not read yet: 8M\n"
                "  --huge-pages on|off   off: COMMAND gets no transparent huge pages as long as it lives; the first touch of one hides 511\n"
                "  --debug               what libbpf and the kernel say, on standard error\n\n"
                "Exit 0: the hints are written, the VM ended or Ctrl-C came; 124: they are written, and --timeout passed before that; 1: there\n"
                "are none. rouse(1) tells what is not seen.\n\n"
                "example: rouse trace --out web.hints --timeout 5s -- stratovirt -machine microvm ... -incoming file:/srv/web\n"
                "         rouse restore /srv/web --hints web.hints\n",
        .run = run,
};

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct trace_words w = {.buffer_bytes = BUFFER_BYTES};
        int c, status;
        (void)t0_ns;

        /* Up to the first word that is none of ours: what follows is the command's. */
        while ((c = cli_getopt_short(&verb, argc, argv, "+h", options)) != -1)
                if (c == '?' || !take(c, &w, &w.bases))
                        return EXIT_USAGE;
        w.command = optind < argc ? argv + optind : NULL;
        status = check(&w);
        return status == EXIT_OK ? trace(&w) : status;
}

int main(int argc, char **argv)
{
        return run(argc, argv, 0);
}
