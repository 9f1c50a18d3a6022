/* rouse hints score: what hints are worth for runs that they were not made of. */
#include "tools/hints_words.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/control/json_text.h"
#include "core/hints_load.h"
#include "core/model/hints_score.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#define FROM_MAX 256

static const struct option options[] = {
        {"from", required_argument, NULL, 'f'},
        {"min-seen", required_argument, NULL, 'm'},
        {"json", no_argument, NULL, 'j'},
        CLI_LAST_OPTIONS,
};

struct words {
        const char        *hints;
        const char *const *paths; /* of the recordings that judge */
        size_t             nr;
        const char        *from[FROM_MAX];
        size_t             nr_from;
        uint64_t           min_seen; /* 0: what a replay would use */
        bool               json;
};

struct judgement {
        const struct words    *w;
        struct hints_named     hints;
        struct hints_named    *recordings, *from;
        struct hints_foreseen  foreseen;
        struct hints_score    *each; /* one per recording */
        struct hints_score     sum;
        uint32_t               min_seen;
};

static void judgement_free(struct judgement *j)
{
        hints_free(&j->hints.hints);
        hints_named_free(j->recordings, j->w->nr);
        hints_named_free(j->from, j->w->nr_from);
        hints_foreseen_free(&j->foreseen);
        free(j->each);
}

static int load(struct judgement *j, const char *data_dir, struct err *e)
{
        const struct words *w = j->w;
        int r;

        j->hints.file = w->hints;
        r = hints_load(w->hints, data_dir, &j->hints.hints, e);
        r = r < 0 ? r : hints_load_all(w->paths, w->nr, data_dir, &j->recordings, e);
        r = r < 0 ? r : hints_load_all(w->from, w->nr_from, data_dir, &j->from, e);
        for (size_t i = 0; r >= 0 && i < w->nr; i++)
                if (j->recordings[i].hints.recordings != 1)
                        r = err_bad(e, w->paths[i], ERR_NO_OFFSET,
                                    "expected the recording of one run to judge by, found hints of %" PRIu32,
                                    j->recordings[i].hints.recordings);
        return r;
}

static int judge(struct judgement *j, struct err *e)
{
        int r = hints_foreseen_init(&j->foreseen, &j->hints, j->from, j->w->nr_from, e);

        j->min_seen = j->w->min_seen ? (uint32_t)j->w->min_seen : hints_min_seen(&j->hints.hints);
        j->each = calloc(j->w->nr, sizeof(*j->each));
        if (r >= 0 && !j->each)
                r = err_set(e, -ENOMEM, "no memory for %zu judgements", j->w->nr);
        for (size_t i = 0; r >= 0 && i < j->w->nr; i++) {
                r = hints_score_add(&j->hints, j->min_seen, &j->foreseen, &j->recordings[i], &j->each[i], e);
                r = r < 0 ? r : hints_score_add(&j->hints, j->min_seen, &j->foreseen, &j->recordings[i], &j->sum, e);
        }
        return r;
}

static uint64_t wasted_bytes(const struct hints_score_counts *c)
{
        return pages_to_bytes(c->hinted - c->used);
}

/* --- as a table --- */

static void print_row(const struct judgement *j, const char *name, const struct hints_score_counts *c)
{
        char recall[16], foreseen[16], precision[16];

        printf("%-24s%8" PRIu64 "%8" PRIu64 "%8s%12s%8" PRIu64 "%11s%8.2f\n", name, c->touched, c->recalled,
               hints_percent(recall, c->recalled, c->touched),
               hints_percent(foreseen, c->recalled, j->foreseen.known ? c->foreseeable : 0), c->hinted,
               hints_percent(precision, c->used, c->hinted), (double)wasted_bytes(c) / (double)MIB);
}

/* The end of a path tells more than its beginning. */
static const char *tail(const char *path, size_t max)
{
        size_t len = strlen(path);

        return len > max ? path + len - max : path;
}

static void print_text(const struct judgement *j)
{
        printf("hints      %s: %" PRIu32 " recording%s; pages seen in %" PRIu32 " or more count\n"
               "snapshot   %s\n\n"
               "                         touched     had  recall foreseeable  hinted  precision  wasted\n"
               "                           pages   pages            recalled   pages                MiB\n",
               j->w->hints, j->hints.hints.recordings, j->hints.hints.recordings == 1 ? "" : "s", j->min_seen,
               j->hints.hints.snapshot.s);
        for (size_t i = 0; i < j->w->nr; i++)
                print_row(j, tail(j->recordings[i].file, 23), &j->each[i].all);
        for (int p = 0; p < HINT_PHASES; p++)
                print_row(j, hint_phase_name((enum hint_phase)p), &j->sum.phase[p]);
        print_row(j, "all", &j->sum.all);
        if (j->sum.all.touched_zero)
                printf("\n%" PRIu64 " touches were of pages that are zero in the snapshot: they need no hint, and are not "
                       "counted above\n",
                       j->sum.all.touched_zero);
        if (!j->foreseen.known)
                printf("\nwhat could be foreseen is not known: pages seen in fewer than %" PRIu32 " recordings were left out of "
                       "%s; name those that it was merged from with --from\n", j->hints.hints.min_seen, j->w->hints);
}

/* --- as JSON --- */

static void add_ratio(struct json_object *o, const char *key, uint64_t part, uint64_t whole)
{
        if (whole)
                json_object_object_add(o, key, json_object_new_double((double)part / (double)whole));
}

static struct json_object *counts_json(const struct judgement *j, const struct hints_score_counts *c)
{
        struct json_object *o = json_object_new_object();

        json_add_u64(o, "touched", c->touched);
        json_add_u64(o, "touched_zero", c->touched_zero);
        json_add_u64(o, "recalled", c->recalled);
        if (j->foreseen.known)
                json_add_u64(o, "foreseeable", c->foreseeable);
        json_add_u64(o, "hinted", c->hinted);
        json_add_u64(o, "hinted_zero", c->hinted_zero);
        json_add_u64(o, "used", c->used);
        json_add_u64(o, "wasted_bytes", wasted_bytes(c));
        add_ratio(o, "recall", c->recalled, c->touched);
        add_ratio(o, "recall_foreseeable", c->recalled, j->foreseen.known ? c->foreseeable : 0);
        add_ratio(o, "precision", c->used, c->hinted);
        return o;
}

static struct json_object *score_json(const struct judgement *j, const struct hints_score *s)
{
        struct json_object *o = counts_json(j, &s->all), *phases = json_object_new_array();

        for (int p = 0; p < HINT_PHASES; p++) {
                struct json_object *phase = counts_json(j, &s->phase[p]);

                json_add_str(phase, "phase", hint_phase_name((enum hint_phase)p));
                json_object_array_add(phases, phase);
        }
        json_object_object_add(o, "phases", phases);
        return o;
}

static void print_json(const struct judgement *j)
{
        struct json_object *o = json_object_new_object(), *runs = json_object_new_array();

        json_add_str(o, "hints", j->w->hints);
        json_add_str(o, "identity", j->hints.hints.snapshot.s);
        json_add_u64(o, "recordings", j->hints.hints.recordings);
        json_add_u64(o, "min_seen", j->min_seen);
        for (size_t i = 0; i < j->w->nr; i++) {
                struct json_object *run = score_json(j, &j->each[i]);

                json_add_str(run, "file", j->recordings[i].file);
                json_object_array_add(runs, run);
        }
        json_object_object_add(o, "runs", runs);
        json_object_object_add(o, "sum", score_json(j, &j->sum));
        printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
        json_object_put(o);
}

static int score(const struct words *w)
{
        _cleanup_(judgement_free) struct judgement j = {.w = w};
        char data_dir[4096];
        struct err err = {0};
        int r = load(&j, cli_data_dir(data_dir, sizeof(data_dir)), &err);

        r = r < 0 ? r : judge(&j, &err);
        if (r < 0)
                return cli_fail(&err);
        if (w->json)
                print_json(&j);
        else
                print_text(&j);
        return EXIT_OK;
}

static int run(int argc, char **argv, uint64_t t0_ns)
{
        struct words w = {0};
        int c;
        (void)t0_ns;

        while ((c = cli_getopt(&hints_word_score, argc, argv, options)) != -1) {
                if (c == '?')
                        return EXIT_USAGE;
                if (c == 'f' && w.nr_from == FROM_MAX)
                        return cli_usage("hints score", "--from: expected at most %d", FROM_MAX);
                if (c == 'f')
                        w.from[w.nr_from++] = optarg;
                if (c == 'm' && !cli_number(optarg, 1, HINTS_RECORDINGS_MAX, &w.min_seen))
                        return cli_usage("hints score", "--min-seen: expected a number from 1 on, found '%s'", optarg);
                w.json |= c == 'j';
        }
        if (argc - optind < 2)
                return cli_usage("hints score", "expected HINTS and at least one RECORDING, found %d words", argc - optind);
        w.hints = argv[optind];
        w.paths = (const char *const *)(argv + optind + 1);
        w.nr = (size_t)(argc - optind - 1);
        return score(&w);
}

const struct verb hints_word_score = {
        .name = "hints score",
        .summary = "what hints are worth for other runs",
        .help = "usage: rouse hints score HINTS RECORDING... [OPTIONS]\n\n"
                "Judges HINTS (a file, or a snapshot's directory) by recordings of runs that they were not made of.\n\n"
                "  recall        of the pages that the runs touched, how many the hints have\n"
                "  foreseeable   the same, of those pages that can be foreseen at all: that at least one of the\n"
                "                recordings which HINTS was merged from touched\n"
                "  precision     of the pages that are hinted, how many the runs touched\n"
                "  wasted        bytes that a replay would install and the runs never touched\n\n"
                "Pages that are zero in the snapshot cost nothing, and do not count. Where there are several recordings\n"
                "the phases and the last line are their sums.\n\n"
                "  --from RECORDING  one that HINTS was merged from; again for each. Needed where pages were left out\n"
                "                    by merge --min-seen\n"
                "  --min-seen N      count pages seen in N recordings or more (default: those that a replay brings)\n"
                "  --json            one JSON document\n\n"
                "example: rouse hints score /srv/snapshots/web /tmp/web.6 /tmp/web.7\n",
        .run = run,
};
