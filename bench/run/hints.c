/* Hints are recorded on runs of their own before anything is timed, merged from some of the recordings, and judged by the others:
 * runs that hints were made of judge nothing. */
#include "bench/run/bench.h"

#include "core/base/units.h"
#include "core/control/json_text.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define LEARN 2
#define JUDGE 2

static bool wants_hints(const struct subject *s)
{
        for (size_t i = 0; i < s->arms.nr; i++)
                if (rouse_arm_has_hints(&s->arms.v[i]) && !s->out[i])
                        return true;
        return false;
}

static void name_recording(const struct subject *s, unsigned i, char ret[4300])
{
        snprintf(ret, 4300, "%s/recording-%u", s->scratch, i);
}

/* Without a mark the first line is the end: a byte alone ends no recording. */
static int record(struct bench *b, const struct subject *s, unsigned i, struct err *e)
{
        char file[4300], timeout[32];

        name_recording(s, i, file);
        snprintf(timeout, sizeof(timeout), "%llums", (unsigned long long)(b->o.timeout_ns / NS_PER_MS));
        return bench_rouse(b, "/dev/null", (const char *const[]){"restore", s->dir, "--record", file, "--until", s->setting.mark ? s->setting.mark : ".*", "--timeout",
                                                                 timeout, "--serial", "null", NULL}, e);
}

static void leave_out_hints(struct bench *b, struct subject *s, const struct err *why)
{
        fprintf(stderr, "rouse bench restore: %s: no hints: %s\n", s->name, why->text);
        bench_word_add(bench_subject_group(b, s, CACHE_WARM),
                       "No hints could be recorded, so the arms that replay them are left out: %s", why->text);
        for (size_t i = 0; i < s->arms.nr; i++)
                if (rouse_arm_has_hints(&s->arms.v[i])) {
                        s->out[i] = true;
                        b->failed |= b->o.arms_named;
                }
}

int bench_record_hints(struct bench *b, struct subject *s, struct err *e)
{
        char files[LEARN + JUDGE][4300];
        struct err why = {0};
        unsigned all = b->o.without_hints_score ? LEARN : LEARN + JUDGE;
        int r = 0;

        if (!wants_hints(s))
                return 0;
        snprintf(s->hints, sizeof(s->hints), "%s/hints", s->scratch);
        for (unsigned i = 0; i < all && r >= 0; i++) {
                name_recording(s, i, files[i]);
                r = record(b, s, i, &why);
        }
        if (r >= 0)
                r = bench_rouse(b, "/dev/null", (const char *const[]){"hints", "merge", "-o", s->hints, files[0], files[1], NULL},
                                &why);
        if (r == -ECANCELED || why.kind == ERR_SNAPSHOT) {
                *e = why;
                return r;
        }
        if (r < 0)
                leave_out_hints(b, s, &why);
        else
                s->setting.hints = s->hints;
        return 0;
}

/* --- what they are worth for runs that they were not made of --- */

struct score {
        const char       *path, *id, *unit;
        enum bench_better better;
};

static void keep_score(struct bench_arm *a, uint32_t round, struct json_object *run)
{
        static const struct score scores[] = {
                {"recall", "hints.recall", "ratio", BENCH_HIGHER},
                {"precision", "hints.precision", "ratio", BENCH_HIGHER},
                {"wasted_bytes", "hints.wasted", "bytes", BENCH_LOWER},
        };

        for (size_t i = 0; i < ARRAY_LEN(scores); i++) {
                struct json_object *v = json_at(run, scores[i].path);

                if (v)
                        bench_value_add(bench_metric_get(a, scores[i].id, scores[i].unit, scores[i].better), round,
                                        json_object_get_double(v));
        }
}

static int read_scores(struct bench *b, struct subject *s, const char *file, struct err *e)
{
        struct json_object *doc = json_object_from_file(file), *runs = doc ? json_at(doc, "runs") : NULL;

        if (!runs || !json_object_is_type(runs, json_type_array)) {
                json_object_put(doc);
                return err_set(e, -EBADMSG, "rouse hints score: expected an object with 'runs', found something else");
        }
        for (size_t a = 0; a < s->arms.nr; a++)
                for (size_t i = 0; i < json_object_array_length(runs) && rouse_arm_has_hints(&s->arms.v[a]) && !s->out[a]; i++)
                        keep_score(bench_subject_arm(b, s, CACHE_WARM, &s->arms.v[a]), (uint32_t)i + 1,
                                   json_object_array_get_idx(runs, i));
        json_object_put(doc);
        return 0;
}

int bench_score_hints(struct bench *b, struct subject *s, struct err *e)
{
        char files[LEARN + JUDGE][4300], out[4300];
        int r;

        if (!s->setting.hints || b->o.without_hints_score)
                return 0;
        for (unsigned i = 0; i < LEARN + JUDGE; i++)
                name_recording(s, i, files[i]);
        snprintf(out, sizeof(out), "%s/score.json", s->scratch);
        r = bench_rouse(b, out, (const char *const[]){"hints", "score", "--json", s->hints, files[LEARN], files[LEARN + 1], NULL},
                        e);
        return r >= 0 ? read_scores(b, s, out, e) : r;
}
