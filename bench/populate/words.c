/* bench/populate/words.c: how far the pager is from the floor, and what it was meant to be (issue 5). */
#include "bench/populate/populate.h"
#include "bench/stats/stats.h"

#include <string.h>

static const struct {
        enum populate_part part;
        const char        *arm;
        double             goal; /* of the floor's rate */
} goals[] = {
        { PART_WARM, "raw", 0.85 },
        { PART_WARM, "runs of 4, scattered in file", 0.60 },
        { PART_WARM, "runs of 4, zeros between", 0.60 },
        { PART_COLD, "raw", 0.80 },
        { PART_SNAPSHOT, "packed by LZ4", 0.90 },
};

static struct stats_ratio ratio(const struct bench_group *g, const char *arm, const char *to)
{
        const struct bench_arm *a = bench_arm_find(g, arm), *b = to ? bench_arm_find(g, to) : NULL;

        return stats_ratio_paired(a ? bench_metric_find(a, "rate") : NULL, b ? bench_metric_find(b, "rate") : NULL);
}

/* Of two floors the slower one holds it up. */
static const char *slower(const struct bench_group *g)
{
        struct stats_ratio r = g->references[1] ? ratio(g, g->references[0], g->references[1]) : (struct stats_ratio){ .ratio = 0 };

        return g->references[1] && r.verdict != STATS_NO_RATIO && r.ratio > 1 ? g->references[1] : g->references[0];
}

static void say_goal(struct bench_group *g, const char *arm, double goal)
{
        const char        *floor = slower(g);
        struct stats_ratio r = ratio(g, arm, floor);
        char               text[200];

        if (r.verdict == STATS_NO_RATIO)
                return;
        stats_goal_words(text, sizeof(text), &r, goal, false);
        bench_word_add(g, "goal: %s at least %.2f of %s%s: %s", arm, goal, floor, g->references[1] ? ", the slower floor" : "", text);
}

void populate_words(struct bench_result *r)
{
        for (size_t k = 0; k < r->nr_groups; k++)
                bench_words_of_lacks(&r->groups[k]);
        for (size_t i = 0; i < ARRAY_LEN(goals); i++)
                for (size_t k = 0; k < r->nr_groups; k++)
                        if (strcmp(r->groups[k].name, populate_group(goals[i].part)) == 0)
                                say_goal(&r->groups[k], goals[i].arm, goals[i].goal);
}
