/* A run of its own for each arm, watched as closely as it takes: nobody keeps its times. Where rouse's pager brings the pages its
 * own log tells of them; where the kernel does (mmap, peers), one more run is traced from outside (rouse trace). */
#include "bench/run/bench.h"

#include "bench/stats/stats.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/hints_load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Read before anything runs: there is no fault to be seen. */
static bool is_eager(const struct arm *a)
{
        return !a->peer && strncmp(a->name, "eager", 5) == 0;
}

static double median_us(const struct bench_arm *a, const char *id)
{
        struct stats_summary s;

        return stats_summarize(bench_metric_find(a, id), &s) ? s.p50 : 0;
}

/* Touches are counted from the guest's first entry on: T2, which the timed runs tell; of a peer it is known only that what comes
 * before the first byte comes before T3. */
static uint64_t first_entry_us(const struct bench_arm *a, const struct hints *h)
{
        double t2 = median_us(a, "t2"), t3 = median_us(a, "t3");
        uint32_t last = 0;

        for (size_t i = 0; i < h->nr; i++)
                if (h->v[i].phase == HINT_PHASE_T3)
                        last = MAX(last, h->v[i].touch_us);
        return t2 > 0 ? (uint64_t)t2 : t3 > last ? (uint64_t)t3 - last : 0;
}

/* T3 of a traced run, whose T0 is the tracer's: no sooner than the last touch before the first byte. 0: not known, it said nothing. */
static uint64_t traced_t3_us(const struct hints *h, uint64_t first_entry)
{
        uint32_t last = 0;
        bool answered = false;

        for (size_t i = 0; i < h->nr; i++) {
                answered |= h->v[i].phase != HINT_PHASE_T3;
                if (h->v[i].phase == HINT_PHASE_T3)
                        last = MAX(last, h->v[i].touch_us);
        }
        return answered ? first_entry + last : 0;
}

static uint64_t gpa_of(const struct subject *s, const struct hints *h, uint32_t page)
{
        bool its = h->ram_pages == bytes_to_pages(s->layout.total_bytes);

        return its ? mem_layout_offset_to_gpa(&s->layout, pages_to_bytes(page)) : pages_to_bytes(page);
}

static void keep_touches(const struct subject *s, const struct hints *h, struct bench_arm *a)
{
        uint64_t since = first_entry_us(a, h);
        struct bench_fault f = {0};

        a->timeline_t3_us = traced_t3_us(h, since);
        for (size_t i = 0; i < h->nr; i++) {
                uint64_t gpa = gpa_of(s, h, h->v[i].page), t_us = since + h->v[i].touch_us;

                if (f.pages && gpa == f.gpa + pages_to_bytes(f.pages) && t_us == f.t_us) {
                        f.pages++;
                        continue;
                }
                if (f.pages)
                        bench_fault_add(a, &f);
                f = (struct bench_fault){.t_us = t_us, .gpa = gpa, .pages = 1, .fault_class = BENCH_HOST};
        }
        if (f.pages)
                bench_fault_add(a, &f);
}

static void keep_t3(struct bench_arm *ba, const struct metric_values *m)
{
        ba->timeline_t3_us = m->has[METRIC_T3] ? (uint64_t)m->v[METRIC_T3] : 0;
}

/* Again, with rouse trace around the program. Its levels are thrown away: the tracer's memory is in them. */
static int trace(struct bench *b, struct subject *s, struct arm *a, struct bench_arm *ba, struct err *e)
{
        char file[4300];
        const char *const wrap_bound[] = {b->rouse, "trace", "--out", file, "--snapshot", s->dir, "--", NULL};
        const char *const wrap_free[] = {b->rouse, "trace", "--out", file, "--", NULL};
        struct arm_request q = {.setting = &s->setting, .wrap = a->peer ? wrap_free : wrap_bound};
        struct metric_values m;
        _cleanup_(hints_free) struct hints h = {0};
        int r;

        snprintf(file, sizeof(file), "%s/trace", s->scratch);
        unlink(file);
        r = subject_fill_cache(s, a, e);
        if (r >= 0)
                r = a->ops->run(a, &q, &m, e);
        if (r >= 0)
                r = hints_load(file, NULL, &h, e);
        if (r < 0)
                return r;
        bench_string_set(&ba->no_timeline, NULL);
        keep_touches(s, &h, ba);
        return 0;
}

static int timeline_of(struct bench *b, struct subject *s, struct arm *a, struct err *e)
{
        struct arm_request q = {.setting = &s->setting};
        struct bench_arm *ba;
        struct metric_values m;
        struct err why = {0};
        int r = subject_fill_cache(s, a, e);

        if (r < 0)
                return r;
        if (b->o.cold)
                bench_string_set(&bench_subject_arm(b, s, CACHE_COLD, a)->no_timeline, "only a warm run is watched");
        ba = q.timeline = bench_subject_arm(b, s, CACHE_WARM, a);
        r = a->ops->run(a, &q, &m, &why);
        if (r >= 0)
                keep_t3(ba, &m);
        if (r >= 0 && is_eager(a))
                bench_string_set(&ba->no_timeline, "everything is read before the guest runs");
        else if (r >= 0 && ba->nr_faults == 0)
                r = trace(b, s, a, ba, &why);
        if (r == -ECANCELED)
                *e = why;
        else if (r < 0)
                bench_string_set(&ba->no_timeline, why.text);
        return r == -ECANCELED ? r : 0;
}

int bench_timelines(struct bench *b, struct err *e)
{
        size_t all = 0;
        int r = 0;

        for (size_t i = 0; i < b->nr_subjects; i++)
                all += b->subjects[i].arms.nr;
        progress_begin(&b->progress, all);
        for (size_t i = 0; i < b->nr_subjects; i++)
                for (size_t a = 0; a < b->subjects[i].arms.nr && r >= 0; a++) {
                        progress_next(&b->progress, "timelines");
                        if (!b->subjects[i].out[a])
                                r = timeline_of(b, &b->subjects[i], &b->subjects[i].arms.v[a], e);
                }
        progress_hide(&b->progress);
        return r;
}
