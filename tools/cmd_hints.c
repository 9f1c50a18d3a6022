/* rouse hints: what is done with recordings: merged, judged, shown. */
#include "tools/hints_words.h"

#include "core/base/units.h"

#include <string.h>

static const struct verb *const words[] = {&hints_word_merge, &hints_word_score, &hints_word_show};

const char *hints_percent(char buf[16], uint64_t part, uint64_t whole)
{
        if (whole)
                snprintf(buf, 16, "%.1f%%", 100.0 * (double)part / (double)whole);
        else
                snprintf(buf, 16, "-");
        return buf;
}

/* A word's name is "hints merge": what messages say; what the user types is the last part of it. */
static const char *short_name(const struct verb *v)
{
        return v->name + strlen("hints ");
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        for (size_t i = 0; argc > 1 && i < ARRAY_LEN(words); i++)
                if (strcmp(short_name(words[i]), argv[1]) == 0)
                        return words[i]->run(argc - 1, argv + 1, t0_ns);
        if (argc > 1)
                return cli_usage("hints", "expected merge, score or show, found '%s'", argv[1]);
        return cli_usage("hints", "expected merge, score or show%s", "");
}

const struct verb verb_hints = {
        .name = "hints",
        .summary = "merge, judge and show what guests touch after a restore",
        .help = "usage: rouse hints merge -o FILE RECORDING...\n"
                "       rouse hints score HINTS RECORDING...\n"
                "       rouse hints show FILE [--plot FILE.svg]\n\n"
                "A recording (rouse restore --record) holds the pages that a guest touched, when, and how. Runs differ:\n"
                "merge makes hints of several, score tells what they are worth for other runs, show what is in them.\n"
                "'rouse hints WORD --help' tells the rest. All of it:\n\n"
                "  for i in 1 2 3 4 5 6; do rouse restore /srv/web --record /tmp/web.$i --until ready; done\n"
                "  rouse hints merge -o auto /tmp/web.[1-5]\n"
                "  rouse hints score /srv/web /tmp/web.6\n"
                "  rouse hints show /srv/web --plot /tmp/web.svg\n\n"
                "example: rouse hints show /srv/snapshots/web\n",
        .run = run,
};
