/* Reads words, sizes and times; says what went wrong in one line. */
#include "tools/cli.h"

#include "core/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_fail(const struct err *e)
{
        fprintf(stderr, "rouse: %s\n", e->text);
        switch (e->kind) {
        case ERR_FAILED:
        case ERR_HOST:
                return EXIT_FAILED;
        case ERR_SNAPSHOT:
                return EXIT_SNAPSHOT;
        case ERR_LOST:
                return EXIT_LOST;
        case ERR_USAGE:
                return EXIT_USAGE;
        }
        return EXIT_FAILED;
}

int cli_usage(const char *verb, const char *fmt, ...)
{
        va_list ap;

        fprintf(stderr, "rouse %s: ", verb);
        va_start(ap, fmt);
        vfprintf(stderr, fmt, ap);
        va_end(ap);
        fprintf(stderr, "; see 'rouse %s --help'\n", verb);
        return EXIT_USAGE;
}

void cli_message(void *arg, const char *text)
{
        (void)arg;
        fprintf(stderr, "rouse: %s\n", text);
}

void cli_progress(void *arg, uint64_t done_bytes, uint64_t all_bytes)
{
        bool *ret_shown = arg;

        *ret_shown = true;
        fprintf(stderr, "\r%3u %%  %" PRIu64 " of %" PRIu64 " MiB", (unsigned)(all_bytes ? done_bytes * 100 / all_bytes : 100),
                done_bytes / MIB, all_bytes / MIB);
}

int cli_getopt(const struct verb *v, int argc, char **argv, const struct option *options)
{
        return cli_getopt_short(v, argc, argv, "", options);
}

int cli_getopt_short(const struct verb *v, int argc, char **argv, const char *letters, const struct option *options)
{
        bool in_order = letters[0] == '+';
        char all[32];
        int c;

        opterr = 0;
        snprintf(all, sizeof(all), "%s:%s", in_order ? "+" : "", letters + in_order);
        c = getopt_long(argc, argv, all, options, NULL);
        if (c == 'h') {
                printf("%s", v->help);
                exit(fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED);
        }
        if (c == ':') {
                cli_usage(v->name, "option '%s' needs a value", argv[optind - 1]);
                return '?';
        }
        if (c == '?' && optopt)
                cli_usage(v->name, "unknown option '-%c'", optopt);
        else if (c == '?')
                cli_usage(v->name, "unknown option '%s'", argv[optind - 1]);
        return c;
}

/* A whole number with a suffix: *ret_rest points behind the digits. */
static bool parse_number(const char *text, uint64_t *ret, const char **ret_rest)
{
        char *end;

        if (text[0] < '0' || text[0] > '9')
                return false;
        errno = 0;
        *ret = strtoull(text, &end, 10);
        *ret_rest = end;
        return errno == 0;
}

struct unit {
        const char *name;
        uint64_t    factor;
};

static bool parse_with_unit(const char *text, const struct unit *units, size_t nr_units, uint64_t *ret)
{
        const char *rest;
        uint64_t n;

        if (!parse_number(text, &n, &rest))
                return false;
        for (size_t i = 0; i < nr_units; i++)
                if (strcmp(rest, units[i].name) == 0) {
                        if (n > UINT64_MAX / units[i].factor)
                                return false;
                        *ret = n * units[i].factor;
                        return true;
                }
        return false;
}

bool cli_size(const char *text, uint64_t *ret_bytes)
{
        static const struct unit units[] = {{"", 1}, {"K", KIB}, {"M", MIB}, {"G", GIB}};

        return parse_with_unit(text, units, ARRAY_LEN(units), ret_bytes);
}

bool cli_time(const char *text, uint64_t *ret_ns)
{
        static const struct unit units[] = {{"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};

        return parse_with_unit(text, units, ARRAY_LEN(units), ret_ns);
}

bool cli_on_off(const char *text, bool *ret)
{
        *ret = strcmp(text, "on") == 0;
        return *ret || strcmp(text, "off") == 0;
}

bool cli_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
        const char *rest;

        return parse_number(text, ret, &rest) && *rest == 0 && *ret >= min && *ret <= max;
}

static const char *join(char *buf, size_t size, const char *dir, const char *tail)
{
        int n = snprintf(buf, size, "%s%s", dir, tail);

        return n > 0 && (size_t)n < size ? buf : NULL;
}

/* The rules of XDG's base directories; root's are the system's own. */
static const char *base_dir(const char *variable, const char *below_home, char *buf, size_t size)
{
        const char *xdg = getenv(variable), *home = getenv("HOME");

        if (xdg && xdg[0] == '/')
                return join(buf, size, xdg, "/rouse");
        if (geteuid() == 0)
                return join(buf, size, "/var/lib", "/rouse");
        return home && home[0] == '/' ? join(buf, size, home, below_home) : NULL;
}

const char *cli_data_dir(char *buf, size_t size)
{
        return base_dir("XDG_DATA_HOME", "/.local/share/rouse", buf, size);
}

const char *cli_state_dir(char *buf, size_t size)
{
        return base_dir("XDG_STATE_HOME", "/.local/state/rouse", buf, size);
}

const char *cli_runtime_dir(char *buf, size_t size)
{
        const char *xdg = getenv("XDG_RUNTIME_DIR");
        char uid[32];

        if (xdg && xdg[0] == '/')
                return join(buf, size, xdg, "/rouse");
        if (geteuid() == 0)
                return join(buf, size, "/run", "/rouse");
        snprintf(uid, sizeof(uid), "-%u", (unsigned)geteuid());
        return join(buf, size, "/tmp/rouse", uid);
}

void cli_end_signals(sigset_t *ret)
{
        static const int all[] = {SIGINT, SIGTERM, SIGHUP};
        struct sigaction sa;

        sigemptyset(ret);
        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                if (sigaction(all[i], NULL, &sa) == 0 && sa.sa_handler != SIG_IGN)
                        sigaddset(ret, all[i]);
}

bool cli_base(const char *verb, const char *dir, struct cli_bases *ret)
{
        if (ret->nr == CLI_BASES_MAX) {
                cli_usage(verb, "--base: expected at most %d, found more", CLI_BASES_MAX);
                return false;
        }
        ret->v[ret->nr++] = dir;
        return true;
}
