/* Every arm of every snapshot once a round (with --cold: once each way), in an order of its own. */
#include "bench/run/bench.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLD_TRIES 3 /* of a run, until the round goes on without it */

uint64_t bench_random(uint64_t *state) /* splitmix64 */
{
        uint64_t z = (*state += 0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
}

void bench_shuffle(size_t *v, size_t nr, uint64_t *state)
{
        for (size_t i = 0; i < nr; i++)
                v[i] = i;
        for (size_t i = nr; i > 1; i--) {
                size_t k = bench_random(state) % i, was = v[i - 1];

                v[i - 1] = v[k];
                v[k] = was;
        }
}

/* A run to be. */
struct slot {
        struct subject  *s;
        size_t           arm;
        enum bench_cache cache;
};

static size_t ways(const struct bench *b)
{
        return b->o.cold ? CACHES : 1;
}

/* Those that are run; how many there are. ret may be NULL: only count. */
static size_t list_slots(struct bench *b, bool warm_only, struct slot *ret)
{
        size_t nr = 0;

        for (size_t i = 0; i < b->nr_subjects; i++)
                for (size_t a = 0; a < b->subjects[i].arms.nr; a++)
                        for (size_t c = 0; c < (warm_only ? 1 : ways(b)) && !b->subjects[i].out[a]; c++, nr++)
                                if (ret)
                                        ret[nr] = (struct slot){&b->subjects[i], a, (enum bench_cache)c};
        return nr;
}

/* False: it would not have been cold. */
static int make_cold(struct bench *b, const struct slot *x, const struct arm *a, bool *ret_cold, struct err *e)
{
        struct bench_arm *ba = bench_subject_arm(b, x->s, CACHE_COLD, a);

        *ret_cold = false;
        for (int i = 0; i < COLD_TRIES && !*ret_cold; i++) {
                _cleanup_free_ char *file = NULL;
                uint64_t left;
                int r = subject_empty_cache(x->s, a, &left, &file, e);

                if (r < 0)
                        return r;
                *ret_cold = left == 0;
                if (left == 0)
                        break;
                if (!ba->runs_not_cold++) {
                        progress_hide(&b->progress);
                        fprintf(stderr, "rouse bench restore: %llu pages stay in the page cache (%s): somebody maps, locks or writes them; such runs are not "
                                "kept as cold ones, but counted\n", (unsigned long long)left, file ? file : x->s->dir);
                }
        }
        return 0;
}

static void keep_failure(struct bench_arm *ba, const struct err *e)
{
        if (!ba->runs_failed++)
                bench_string_set(&ba->failure, e->text);
}

/* A run that fails is counted, and the bench goes on; but for Ctrl-C. */
static int run_slot(struct bench *b, const struct slot *x, uint32_t round, struct err *e)
{
        struct arm *a = &x->s->arms.v[x->arm];
        struct arm_request q = {.setting = &x->s->setting};
        struct metric_values m = {0};
        struct err mine = {0};
        bool cold = true;
        int r = x->cache == CACHE_COLD ? make_cold(b, x, a, &cold, e) : subject_fill_cache(x->s, a, e);

        if (r < 0 || !cold)
                return r;
        r = a->ops->run(a, &q, &m, &mine);
        if (r == -ECANCELED) {
                *e = mine;
                return r;
        }
        if (r < 0)
                keep_failure(bench_subject_arm(b, x->s, x->cache, a), &mine);
        else
                metrics_keep(bench_subject_arm(b, x->s, x->cache, a), round, &m);
        return 0;
}

int bench_rounds(struct bench *b, struct err *e)
{
        size_t nr = list_slots(b, false, NULL);
        _cleanup_free_ struct slot *slots = calloc(nr + 1, sizeof(*slots));
        _cleanup_free_ size_t *order = calloc(nr + 1, sizeof(*order));
        int r = slots && order ? 0 : err_set(e, -ENOMEM, "no memory for %zu runs", nr);

        if (r < 0)
                return r;
        nr = list_slots(b, false, slots);
        for (size_t i = 0; i < nr; i++) /* in the order that they were asked for, not that of the first shuffle */
                bench_subject_arm(b, slots[i].s, slots[i].cache, &slots[i].s->arms.v[slots[i].arm]);
        progress_begin(&b->progress, nr * b->o.runs);
        for (uint32_t round = 1; round <= b->o.runs && r >= 0; round++) {
                bench_shuffle(order, nr, &b->random);
                for (size_t i = 0; i < nr && r >= 0; i++) {
                        const struct slot *x = &slots[order[i]];
                        char what[100];

                        snprintf(what, sizeof(what), "round %u, %.60s", round, x->s->arms.v[x->arm].name);
                        progress_next(&b->progress, what);
                        r = run_slot(b, x, round, e);
                }
        }
        progress_hide(&b->progress);
        return r;
}

/* --- once each, and thrown away: caches are filled, and what cannot be had here shows --- */

/* Of rouse's own arms, those that nobody named and that this snapshot or host cannot have are left out; any other failure is the
 * arm's, and told. */
static int leave_out(struct bench *b, struct subject *s, size_t i, const struct err *why, struct err *e)
{
        const struct arm *a = &s->arms.v[i];
        bool named = b->o.arms_named || a->peer;

        if (why->kind == ERR_SNAPSHOT && !a->peer) {
                *e = *why;
                return why->code;
        }
        s->out[i] = true;
        progress_hide(&b->progress);
        fprintf(stderr, "rouse bench restore: %s: left out: %s\n", s->name, why->text);
        if (!named) {
                bench_word_add(bench_subject_group(b, s, CACHE_WARM), "%s was left out: %s", a->name, why->text);
                return 0;
        }
        b->failed = true;
        for (size_t c = 0; c < ways(b); c++)
                keep_failure(bench_subject_arm(b, s, (enum bench_cache)c, a), why);
        return 0;
}

static int warm_up_one(struct bench *b, const struct slot *x, struct err *e)
{
        struct arm *a = &x->s->arms.v[x->arm];
        struct arm_setting s = x->s->setting;
        struct arm_request q = {.setting = &s};
        struct metric_values m;
        struct err why = {0};
        int r = a->ops->prepare ? a->ops->prepare(a, &x->s->setting, &why) : 0;

        s.settle_ns = 0; /* nobody looks at what comes after the answer */
        if (r >= 0)
                r = subject_fill_cache(x->s, a, &why);
        if (r >= 0)
                r = a->ops->run(a, &q, &m, &why);
        if (r == -ECANCELED)
                *e = why;
        return r >= 0 || r == -ECANCELED ? r : leave_out(b, x->s, x->arm, &why, e);
}

int bench_warm_up(struct bench *b, struct err *e)
{
        size_t nr = list_slots(b, true, NULL);
        _cleanup_free_ struct slot *slots = calloc(nr + 1, sizeof(*slots));
        int r = slots ? 0 : err_set(e, -ENOMEM, "no memory for %zu runs", nr);

        if (r < 0)
                return r;
        nr = list_slots(b, true, slots);
        progress_begin(&b->progress, nr);
        for (size_t i = 0; i < nr && r >= 0; i++) {
                progress_next(&b->progress, "warming up");
                r = warm_up_one(b, &slots[i], e);
        }
        progress_hide(&b->progress);
        if (r >= 0 && list_slots(b, true, NULL) == 0)
                return err_set(e, -ENODEV, "none of the arms can be had here");
        return r;
}
