/* getopt_long, and words for what is wrong. */
#include "bench/run/options.h"

#include "bench/options.h"
#include "bench/run/arm.h"
#include "bench/verb.h"
#include "core/base/units.h"

#include <getopt.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD "restore"

const char restore_bench_help[] =
        "usage: rouse bench restore DIR... [OPTIONS]\n\n"
        "Wakes snapshots in every way, in turns, and says what each way costs: until the guest answers, and\n"
        "afterwards. The ways (arms) are interleaved by a seeded shuffle, so that a machine that gets slower\n"
        "gets slower for all.\n\n"
        "  --arms LIST           of " ROUSE_ARMS " (the default: all that the\n"
        "                        snapshot and this host allow); none: peers alone, which may have snapshots\n"
        "                        that rouse does not read\n"
        "  --peer FILE           another VMM as an arm; again for more. FILE is JSON and says how to start it\n"
        "                        (share/rouse/peers has examples, rouse-bench(1) its keys); FILE,NAME=VALUE sets a\n"
        "                        variable of it\n"
        "  --runs N              rounds: each has every arm once (default 20; p95 needs 20, p99 100)\n"
        "  --mark REGEX          stamp T4 at the first line of the serial port that matches; without it a run\n"
        "                        ends with the first byte (T3)\n"
        "  --settle TIME         let the guest go on until so long after T0, so that T6 (all is in memory)\n"
        "                        can be reached\n"
        "  --cold                each arm from the disk, too: the snapshot's files are taken out of the page\n"
        "                        cache before the run and proved to be out; a run that would not be cold is\n"
        "                        thrown away and counted\n"
        "  --seed N              of the shuffle (default 1)\n"
        "  --timeout TIME        a run that has not come to its end so long after T0 has failed (default 60s)\n"
        "  --without LIST        leave out of what is measured beside the arms: control (a guest that touches\n"
        "                        nothing, restored by each arm), floors (bare calls of this machine),\n"
        "                        timeline (one more run of each arm, which is watched closely), score (of the\n"
        "                        hints against runs that they were not made of)\n"
        "  --json FILE           the result for programs; -: on standard output, and nothing else there\n"
        "  --html FILE           one page with all of it\n"
        "  --rouse PATH          the rouse to measure (default: the one that this program belongs to)\n\n"
        "Stamps are the bench's own, the same for every arm: from just before a program is started to the\n"
        "first byte of the guest's serial port (T3) and to the marked line (T4). Ctrl-C ends what runs, and\n"
        "reports what there is.\n"
        "Exit status: 0 done; 1 an arm that was asked for failed; 2 wrong usage; 4 the snapshot is bad; 128+n\n"
        "stopped by signal n.\n"
        "\nexample: rouse bench restore /srv/snapshots/web --mark ready --cold --runs 100 --html web.html\n";

static const struct option options[] = {
        {"arms", required_argument, NULL, 'a'}, {"peer", required_argument, NULL, 'p'}, {"runs", required_argument, NULL, 'n'},
        {"mark", required_argument, NULL, 'k'}, {"settle", required_argument, NULL, 'S'}, {"cold", no_argument, NULL, 'c'},
        {"seed", required_argument, NULL, 's'}, {"timeout", required_argument, NULL, 't'}, {"without", required_argument, NULL, 'w'},
        {"json", required_argument, NULL, 'j'}, {"html", required_argument, NULL, 'H'}, {"rouse", required_argument, NULL, 'R'},
        {0},
};

/* Is the word one of the list's? */
static bool is_among(const char *list, const char *word)
{
        size_t len = strlen(word);

        for (const char *at = list; len && at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
                if (strncmp(at, word, len) == 0 && (at[len] == ',' || at[len] == 0))
                        return true;
        return false;
}

static const char *take_arms(const char *text, struct restore_bench_options *o)
{
        char *save = NULL;

        o->nr_arms = 0;
        if (strcmp(text, "none") == 0)
                return NULL;
        if (strlen(text) >= sizeof(o->arms_text))
                return "some of " ROUSE_ARMS;
        snprintf(o->arms_text, sizeof(o->arms_text), "%s", text);
        for (char *name = strtok_r(o->arms_text, ",", &save); name; name = strtok_r(NULL, ",", &save)) {
                if (!is_among(ROUSE_ARMS, name) || o->nr_arms == RESTORE_NAMES_MAX)
                        return "some of " ROUSE_ARMS;
                for (size_t i = 0; i < o->nr_arms; i++)
                        if (strcmp(o->arms[i], name) == 0)
                                return "each arm once";
                o->arms[o->nr_arms++] = name;
        }
        return o->nr_arms ? NULL : "some of " ROUSE_ARMS;
}

static const char *take_without(const char *text, struct restore_bench_options *o)
{
        static const char *const names[] = {"control", "floors", "timeline", "score"};
        bool has[ARRAY_LEN(names)];

        if (!option_names(text, names, ARRAY_LEN(names), has))
                return "some of control,floors,timeline,score";
        o->without_control |= has[0];
        o->without_floors |= has[1];
        o->without_timeline |= has[2];
        o->without_hints_score |= has[3];
        return NULL;
}

static const char *take_option(int c, const char *value, void *arg)
{
        struct restore_bench_options *o = arg;

        switch (c) {
        case 'a':
                o->arms_named = true;
                return take_arms(value, o);
        case 'p':
                if (o->nr_peers == RESTORE_PEERS_MAX)
                        return "no more peers";
                o->peers[o->nr_peers++] = value;
                return NULL;
        case 'k':
                o->mark = value;
                return NULL;
        case 'S':
                return option_time(value, &o->settle_ns) ? NULL : "a time like 500ms or 5s";
        case 'c':
                o->cold = true;
                return NULL;
        case 't':
                return option_time(value, &o->timeout_ns) ? NULL : "a time like 500ms or 60s";
        case 'w':
                return take_without(value, o);
        case 'R':
                o->rouse = value;
                return NULL;
        }
        return "";
}

static int check_mark(const char *mark)
{
        char why[200];
        regex_t re;
        int r = regcomp(&re, mark, REG_EXTENDED | REG_NOSUB);

        if (r) {
                regerror(r, &re, why, sizeof(why));
                return bench_usage(WORD, "--mark '%s': %s", mark, why);
        }
        regfree(&re);
        return 0;
}

static int check(const struct restore_bench_options *o)
{
        if (o->nr_dirs == 0)
                return bench_usage(WORD, "DIR is missing");
        if (o->nr_arms == 0 && o->nr_peers == 0)
                return bench_usage(WORD, "--arms none leaves nothing to measure: expected a --peer FILE beside it");
        if (o->settle_ns >= o->timeout_ns)
                return bench_usage(WORD, "--settle must be shorter than --timeout");
        return o->mark ? check_mark(o->mark) : 0;
}

int restore_options_parse(int argc, char **argv, struct restore_bench_options *ret)
{
        struct restore_bench_options *o = ret;
        struct common_options common;
        int status;

        *o = (struct restore_bench_options){.timeout_ns = 60 * NS_PER_S};
        take_arms(ROUSE_ARMS, o);
        status = options_parse(WORD, argc, argv, options, &common, take_option, o);
        if (status != BENCH_EXIT_OK)
                return status;
        o->runs = common.runs;
        o->seed = common.seed;
        o->outputs = common.outputs;
        while (optind < argc) {
                if (o->nr_dirs == RESTORE_DIRS_MAX)
                        return bench_usage(WORD, "expected at most %d DIRs", RESTORE_DIRS_MAX);
                o->dirs[o->nr_dirs++] = argv[optind++];
        }
        return check(o);
}
