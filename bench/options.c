/* bench/options.c: numbers as people write them. */
#include "bench/options.h"

#include "bench/verb.h"
#include "core/base/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool take(const char *text, char **ret_end, uint64_t *ret)
{
        errno = 0;
        *ret = text[0] >= '0' && text[0] <= '9' ? strtoull(text, ret_end, 10) : 0;
        return text[0] >= '0' && text[0] <= '9' && errno == 0;
}

bool option_number(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
        char *end;

        return take(text, &end, ret) && !*end && *ret >= min && *ret <= max;
}

bool option_size(const char *text, uint64_t min, uint64_t max, uint64_t *ret_bytes)
{
        uint64_t unit = 1, v;
        char    *end;

        if (!take(text, &end, &v))
                return false;
        if (*end == 'K' || *end == 'M' || *end == 'G') {
                unit = *end == 'K' ? KIB : *end == 'M' ? MIB : GIB;
                end++;
        }
        if (*end || v > max / unit || v * unit < min)
                return false;
        *ret_bytes = v * unit;
        return true;
}

bool option_time(const char *text, uint64_t *ret_ns)
{
        static const struct {
                const char *name;
                uint64_t    ns;
        } units[] = { { "us", NS_PER_US }, { "ms", NS_PER_MS }, { "s", NS_PER_S } };
        char *end;
        uint64_t n;

        errno = 0;
        n = strtoull(text, &end, 10);
        for (size_t i = 0; i < ARRAY_LEN(units); i++)
                if (text[0] >= '0' && text[0] <= '9' && errno == 0 && n > 0 && strcmp(end, units[i].name) == 0 &&
                    n <= INT64_MAX / units[i].ns) {
                        *ret_ns = n * units[i].ns;
                        return true;
                }
        return false;
}

bool option_numbers(const char *text, uint64_t min, uint64_t max, unsigned *v, size_t nr_max, size_t *ret_nr)
{
        char *end;

        for (size_t nr = 0; nr < nr_max; text = end + 1) {
                uint64_t n;

                if (!take(text, &end, &n) || n < min || n > max || (*end && *end != ','))
                        return false;
                v[nr++] = (unsigned)n;
                *ret_nr = nr;
                if (!*end)
                        return true;
        }
        return false;
}

bool option_names(const char *text, const char *const *names, size_t nr, bool *has)
{
        memset(has, 0, nr * sizeof(*has));
        for (;; text++) {
                size_t len = strcspn(text, ","), i = 0;

                while (i < nr && (strlen(names[i]) != len || strncmp(names[i], text, len)))
                        i++;
                if (i == nr)
                        return false;
                has[i] = true;
                text += len;
                if (!*text)
                        return true;
        }
}

static const char *take_common(int c, const char *value, struct common_options *o)
{
        uint64_t v;

        switch (c) {
        case 'n':
                if (!option_number(value, 1, 100000, &v))
                        return "a number from 1 to 100000";
                o->runs = (unsigned)v;
                return NULL;
        case 's':
                return option_number(value, 0, UINT64_MAX, &o->seed) ? NULL : "a number";
        case 'd':
                o->tmp = value;
                return NULL;
        case 'j':
                o->outputs.json = value;
                return NULL;
        case 'H':
                o->outputs.html = value;
                return NULL;
        }
        return "";
}

static bool is_common(int c)
{
        return strchr("nsdjH", c) != NULL;
}

static const char *name_of(const struct option *o, int c)
{
        while (o->val != c)
                o++;
        return o->name;
}

int options_parse(const char *word, int argc, char **argv, const struct option *options, struct common_options *common,
                  option_take take_own, void *arg)
{
        const char *wrong;
        int         c;

        *common = (struct common_options){ .runs = 20, .seed = 1, .tmp = getenv("TMPDIR") };
        optind = 0; /* GNU getopt: from the beginning, whoever used it before */
        opterr = 0;
        while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
                if (c == ':')
                        return bench_usage(word, "option '%s' needs a value", argv[optind - 1]);
                if (c == '?')
                        return bench_usage(word, "unknown option '%s'", argv[optind - 1]);
                wrong = is_common(c) ? take_common(c, optarg, common) : take_own(c, optarg, arg);
                if (wrong)
                        return bench_usage(word, "--%s: expected %s, found '%s'", name_of(options, c), wrong, optarg);
        }
        if (!common->tmp || !common->tmp[0])
                common->tmp = "/tmp";
        return BENCH_EXIT_OK;
}
