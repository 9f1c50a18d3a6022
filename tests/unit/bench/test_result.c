/* A bench's result: grown by name, and freed whole. */
#include "bench/model/result.h"

#include <criterion/criterion.h>

Test(bench_result, what_is_asked_for_twice_is_the_same_one)
{
        struct bench_result r = {0};
        struct bench_group *g = bench_group_get(&r, "web, warm");
        struct bench_arm   *a = bench_arm_get(g, "mmap");

        cr_assert_eq(bench_metric_get(a, "t3", "us", BENCH_LOWER), bench_metric_get(a, "t3", "us", BENCH_LOWER));
        cr_assert_eq(bench_arm_get(g, "mmap"), a);
        cr_assert_eq(bench_group_get(&r, "web, warm"), g);
        cr_assert_eq(r.nr_groups, 1);
        cr_assert_eq(g->nr_arms, 1);
        cr_assert_eq(a->nr_metrics, 1);
        bench_result_free(&r);
}

Test(bench_result, values_keep_their_round_and_their_order)
{
        struct bench_result  r = {0};
        struct bench_metric *m = bench_metric_get(bench_arm_get(bench_group_get(&r, "g"), "a"), "t3", "us", BENCH_LOWER);

        for (uint32_t i = 0; i < 100; i++)
                bench_value_add(m, i, i * 1.5);
        cr_assert_eq(m->nr, 100);
        for (uint32_t i = 0; i < 100; i++) {
                cr_assert_eq(m->values[i].round, i);
                cr_assert_float_eq(m->values[i].value, i * 1.5, 1e-9);
        }
        bench_result_free(&r);
}

Test(bench_result, what_is_not_there_is_not_found_and_not_added)
{
        struct bench_result r = {0};
        struct bench_arm   *a = bench_arm_get(bench_group_get(&r, "g"), "a");

        cr_assert_null(bench_arm_find(&r.groups[0], "b"));
        cr_assert_null(bench_metric_find(a, "t3"));
        cr_assert_eq(r.groups[0].nr_arms, 1);
        cr_assert_eq(a->nr_metrics, 0);
        bench_result_free(&r);
}

Test(bench_result, words_are_put_together_like_printf)
{
        struct bench_result r = {0};
        struct bench_group *g = bench_group_get(&r, "g");

        bench_word_add(g, "T3 saved %d ms", 12);
        cr_assert_str_eq(g->words[0], "T3 saved 12 ms");
        bench_result_free(&r);
        cr_assert_eq(r.nr_groups, 0);
}

Test(bench_result, arms_that_could_not_be_measured_are_named_once_for_each_reason)
{
        struct bench_result r = {0};
        struct bench_group *g = bench_group_get(&r, "2 MiB");

        bench_string_set(&bench_arm_get(g, "CONTINUE")->failure, "no huge pages");
        bench_string_set(&bench_arm_get(g, "copy")->failure, "no huge pages");
        bench_arm_get(g, "plain");
        bench_string_set(&bench_arm_get(g, "peer")->failure, "exit 1");
        bench_arm_get(g, "peer")->runs_failed = 3;
        bench_string_set(&bench_arm_get(g, "thp")->failure, "never");
        bench_words_of_lacks(g);
        cr_assert_eq(g->nr_words, 2);
        cr_assert_str_eq(g->words[0], "not measured here: CONTINUE; copy. no huge pages");
        cr_assert_str_eq(g->words[1], "not measured here: thp. never");
        bench_result_free(&r);
}
