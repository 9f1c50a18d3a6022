/* bench/faults/words.c: how far the pager is from the floor, and what it was meant to be. */
#include "bench/faults/faults.h"
#include "bench/stats/stats.h"

#include <stdio.h>
#include <string.h>

/* Issue 5: 1.25 at p50 with 1 and 8 threads, and at p99 with 1. */
#define GOAL 1.25

struct goal {
        const char *group, *metric;
};
static const struct goal goals[] = {
        { "4 KiB, random, 1 thread", "p50" },
        { "4 KiB, random, 1 thread", "p99" },
        { "4 KiB, random, 8 threads", "p50" },
};

static struct stats_ratio ratio(const struct bench_group *g, const char *a, const char *b, const char *metric)
{
        const struct bench_arm *x = bench_arm_find(g, a), *y = bench_arm_find(g, b);

        return stats_ratio_paired(x ? bench_metric_find(x, metric) : NULL, y ? bench_metric_find(y, metric) : NULL);
}

static void say_goals(struct bench_group *g)
{
        for (size_t i = 0; i < ARRAY_LEN(goals); i++) {
                struct stats_ratio r;
                char               text[200];

                if (strcmp(goals[i].group, g->name))
                        continue;
                r = ratio(g, FAULTS_OWN, FAULTS_FLOOR, goals[i].metric);
                if (r.verdict == STATS_NO_RATIO)
                        continue;
                stats_goal_words(text, sizeof(text), &r, GOAL, true);
                bench_word_add(g, "goal: %s of the pager at most %.2f times that of the bare loop: %s", goals[i].metric, GOAL, text);
        }
}

static void say_ratio(struct bench_group *g, const char *a, const char *b)
{
        struct stats_ratio r = ratio(g, a, b, g->first_metric);
        char               text[400];

        if (r.verdict == STATS_NO_RATIO)
                return;
        stats_ratio_words(text, sizeof(text), &r, a, b, "sooner", "later");
        bench_word_add(g, "%s", text);
}

void faults_words(struct bench_result *r)
{
        for (size_t i = 0; i < r->nr_groups; i++) {
                struct bench_group *g = &r->groups[i];

                bench_words_of_lacks(g);
                say_goals(g);
                say_ratio(g, FAULTS_OWN, FAULTS_FLOOR);
                say_ratio(g, FAULTS_OWN, "MAP_PRIVATE, read");
                say_ratio(g, "MINOR, CONTINUE", FAULTS_OWN);
        }
}
