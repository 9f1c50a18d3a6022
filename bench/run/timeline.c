/* A run of its own for each arm, watched as closely as it takes: nobody keeps its times. */
#include "bench/run/bench.h"

#include <errno.h>
#include <stdio.h>

static int timeline_of(struct bench *b, struct subject *s, enum bench_cache cache, struct arm *a, struct err *e)
{
        struct bench_arm *ba = bench_subject_arm(b, s, cache, a);
        struct arm_request q = {.setting = &s->setting, .timeline = ba};
        struct metric_values m;
        struct err why = {0};
        int r = subject_fill_cache(s, a, e);

        if (r < 0)
                return r;
        r = a->ops->run(a, &q, &m, &why);
        if (r == -ECANCELED)
                *e = why;
        else if (r < 0)
                bench_string_set(&ba->no_timeline, why.text);
        return r == -ECANCELED ? r : 0;
}

int bench_timelines(struct bench *b, struct err *e)
{
        int r = 0;

        for (size_t i = 0; i < b->nr_subjects; i++)
                for (size_t a = 0; a < b->subjects[i].arms.nr && r >= 0; a++)
                        if (!b->subjects[i].out[a])
                                r = timeline_of(b, &b->subjects[i], CACHE_WARM, &b->subjects[i].arms.v[a], e);
        return r;
}
