/* rouse bench WORD: an executable of its own, which `rouse bench` execs, so that `rouse restore` stays lean. */
#include "bench/fanout/fanout.h"
#include "bench/faults/verb.h"
#include "bench/populate/verb.h"
#include "bench/report/verbs.h"
#include "bench/run/options.h"
#include "bench/verb.h"

#include "core/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct bench_verb *const verbs[] = {
        &bench_verb_restore,
        &bench_verb_faults,
        &bench_verb_populate,
        &bench_verb_fanout,
        &bench_verb_report,
        &bench_verb_summary,
        &bench_verb_compare,
};

static void print_help(FILE *to)
{
        fprintf(to, "Measures what waking a VM lazily is worth here: every way beside every other, interleaved, with what it "
                "cost afterwards.\n\nusage: rouse bench WORD [OPTIONS]\n\n");
        for (size_t i = 0; i < ARRAY_LEN(verbs) && verbs[i]; i++)
                fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
        fprintf(to, "\n'rouse bench WORD --help' tells the rest. An example:\n\n  rouse bench restore /srv/snapshots/web --mark "
                "ready --cold --html web.html\n");
}

static bool is_help(const char *word)
{
        return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Anywhere among the words, as `rouse VERB` has it. */
static bool wants_help(int argc, char **argv)
{
        for (int i = 2; i < argc; i++)
                if (strcmp(argv[i], "--help") == 0 || (i == 2 && is_help(argv[i])))
                        return true;
        return false;
}

/* A result that could not be written is no result. */
static int finish(int status)
{
        if (fflush(stdout) == 0 && !ferror(stdout))
                return status;
        fprintf(stderr, "rouse bench: standard output: %s\n", strerror(errno));
        return status ? status : BENCH_EXIT_FAILED;
}

int main(int argc, char **argv)
{
        const char *word = argc > 1 ? argv[1] : "";

        if (is_help(word)) {
                print_help(stdout);
                return finish(BENCH_EXIT_OK);
        }
        for (size_t i = 0; i < ARRAY_LEN(verbs) && verbs[i]; i++) {
                if (strcmp(verbs[i]->name, word))
                        continue;
                if (wants_help(argc, argv)) {
                        printf("%s", verbs[i]->help);
                        return finish(BENCH_EXIT_OK);
                }
                return finish(verbs[i]->run(argc - 1, argv + 1));
        }
        if (word[0])
                fprintf(stderr, "rouse bench: unknown word '%s'; see 'rouse bench --help'\n", word);
        else
                print_help(stderr);
        return BENCH_EXIT_USAGE;
}
