/* What `rouse bench restore` decides without a VM: its words, its order of runs, what it says of figures. */
#include "bench/run/bench.h"
#include "bench/verb.h"
#include "core/base/units.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- words --- */

static int parse(struct restore_bench_options *o, const char *const *words)
{
        char *argv[32] = {(char *)(uintptr_t)"restore"};
        int argc = 1;

        while (*words)
                argv[argc++] = (char *)(uintptr_t)*words++;
        argv[argc] = NULL;
        return restore_options_parse(argc, argv, o);
}
#define PARSE(o, ...) parse(o, (const char *const[]){__VA_ARGS__, NULL})

Test(bench_restore, without_options_every_arm_of_rouse_runs_twenty_times_warm)
{
        struct restore_bench_options o;

        cr_assert_eq(PARSE(&o, "DIR"), 0);
        cr_expect_eq(o.nr_arms, 7);
        cr_expect_not(o.arms_named);
        cr_expect_eq(o.runs, 20);
        cr_expect_not(o.cold);
        cr_expect_eq(o.timeout_ns, 60 * NS_PER_S);
        cr_expect_str_eq(o.dirs[0], "DIR");
}

Test(bench_restore, options_and_snapshots_may_stand_in_any_order)
{
        struct restore_bench_options o;

        cr_assert_eq(PARSE(&o, "A", "--runs", "100", "B", "--arms", "lazy,mmap", "--cold", "--settle", "1500ms", "--mark", "x y", "--peer", "p", "--peer", "q", "--seed",
                           "18446744073709551615", "--json", "-", "--without", "floors,control", "C"), 0);
        cr_expect_eq(o.nr_dirs, 3);
        cr_expect_str_eq(o.dirs[2], "C");
        cr_expect_eq(o.runs, 100);
        cr_expect_eq(o.nr_arms, 2);
        cr_expect_str_eq(o.arms[1], "mmap");
        cr_expect(o.arms_named && o.cold && o.without_floors && o.without_control && !o.without_timeline);
        cr_expect_eq(o.settle_ns, 1500 * NS_PER_MS);
        cr_expect_eq(o.nr_peers, 2);
        cr_expect_eq(o.seed, UINT64_MAX);
}

Test(bench_restore, arms_none_leaves_the_peers)
{
        struct restore_bench_options o;

        cr_assert_eq(PARSE(&o, "A", "--arms", "none", "--peer", "p"), 0);
        cr_expect_eq(o.nr_arms, 0);
        cr_expect_eq(o.nr_peers, 1);
}

Test(bench_restore, what_makes_no_sense_is_wrong_usage)
{
        static const char *const wrong[][5] = {
                {NULL}, {"DIR", "--arms", "lazy,slow"}, {"DIR", "--arms", "lazy,lazy"}, {"DIR", "--arms", ""}, {"DIR", "--runs", "0"}, {"DIR", "--runs", "3x"},
                {"DIR", "--runs"}, {"DIR", "--settle", "5"}, {"DIR", "--settle", "0s"}, {"DIR", "--settle", "60s"}, {"DIR", "--timeout", "-1s"},
                {"DIR", "--without", "figures"}, {"DIR", "--frobnicate"}, {"DIR", "--arms", "laz"}, {"DIR", "--arms", "none"},
                {"DIR", "--arms", "none,lazy"}, {"DIR", "--mark", "("},
        };

        for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
                struct restore_bench_options o;

                cr_expect_eq(parse(&o, wrong[i]), BENCH_EXIT_USAGE, "row %zu", i);
        }
}

/* --- order --- */

Test(bench_restore, a_shuffle_has_every_arm_once)
{
        uint64_t state = 1;

        for (int n = 0; n < 200; n++) {
                size_t v[23];
                uint32_t seen = 0;

                bench_shuffle(v, ARRAY_LEN(v), &state);
                for (size_t i = 0; i < ARRAY_LEN(v); i++)
                        seen |= 1u << v[i];
                cr_assert_eq(seen, (1u << ARRAY_LEN(v)) - 1);
        }
}

Test(bench_restore, each_arm_stands_in_each_place_about_as_often_as_in_any_other)
{
        unsigned at[5][5] = {0};
        uint64_t state = 42;

        for (int n = 0; n < 5000; n++) {
                size_t v[5];

                bench_shuffle(v, 5, &state);
                for (size_t i = 0; i < 5; i++)
                        at[i][v[i]]++;
        }
        for (int i = 0; i < 5; i++) /* 1000 expected, a standard deviation of 28 */
                for (int k = 0; k < 5; k++)
                        cr_expect(at[i][k] > 850 && at[i][k] < 1150, "arm %d in place %d: %u of 5000", k, i, at[i][k]);
}

Test(bench_restore, the_same_seed_gives_the_same_order_and_another_one_another)
{
        uint64_t a = 7, b = 7, c = 8;
        size_t x[16], y[16], z[16];

        bench_shuffle(x, 16, &a);
        bench_shuffle(y, 16, &b);
        bench_shuffle(z, 16, &c);
        cr_expect_eq(memcmp(x, y, sizeof(x)), 0);
        cr_expect_neq(memcmp(x, z, sizeof(x)), 0);
}

/* --- words of figures --- */

/* An arm whose figures of round i are base + i. */
static struct bench_arm *arm(struct bench_group *g, const char *name, uint32_t rounds, double t3, double t4, double t6)
{
        struct bench_arm *a = bench_arm_get(g, name);

        for (uint32_t i = 1; i <= rounds; i++) {
                bench_value_add(bench_metric_get(a, "t3", "us", BENCH_LOWER), i, t3 + i);
                if (t4 > 0)
                        bench_value_add(bench_metric_get(a, "t4", "us", BENCH_LOWER), i, t4 + i);
                if (t6 > 0)
                        bench_value_add(bench_metric_get(a, "t6", "us", BENCH_LOWER), i, t6 + i);
        }
        return a;
}

static struct bench *bench_of_one_group(struct bench_group **ret)
{
        struct bench *b = calloc(1, sizeof(*b));

        cr_assert(b);
        *ret = bench_group_get(&b->result, "a, warm");
        bench_string_set(&(*ret)->first_metric, "t3");
        return b;
}

static const char *word_that_begins(const struct bench_group *g, const char *with)
{
        for (size_t i = 0; i < g->nr_words; i++)
                if (strncmp(g->words[i], with, strlen(with)) == 0)
                        return g->words[i];
        cr_assert_fail("no word begins with '%s'", with);
        return NULL;
}

static void done(struct bench *b)
{
        bench_result_free(&b->result);
        free(b);
}

Test(bench_restore, the_words_say_what_was_saved_what_it_cost_and_the_total)
{
        struct bench_group *g;
        struct bench *b = bench_of_one_group(&g);
        const char *w;

        arm(g, "eager", 10, 100000, 110000, 90000);
        arm(g, "hints", 10, 20000, 35000, 300000);
        bench_words(b);
        w = word_that_begins(g, "hints: ");
        cr_expect(strstr(w, "T3 saved 80.00 ms"), "%s", w);
        cr_expect(strstr(w, "paging cost 5.00 ms afterwards"), "%s", w);
        cr_expect(strstr(w, "total to T6 300.01 ms, 210.00 ms MORE than eager"), "%s", w);
        cr_expect(strstr(w, "0.2 times eager's (0.2 to 0.2)"), "%s", w);
        cr_expect_str_eq(g->references[0], "eager");
        cr_expect_null(g->references[1]);
        done(b);
}

/* Rounds whose differences go both ways. */
Test(bench_restore, the_words_call_nothing_saved_or_lost_that_the_runs_cannot_tell)
{
        struct bench_group *g;
        struct bench *b = bench_of_one_group(&g);
        const char *w;

        arm(g, "eager", 10, 100000, 130000, 200000);
        for (uint32_t i = 1; i <= 10; i++) {
                struct bench_arm *a = bench_arm_get(g, "auto");
                double d = i % 2 ? 5000 : -4000;

                bench_value_add(bench_metric_get(a, "t3", "us", BENCH_LOWER), i, 100000 + i - d);
                bench_value_add(bench_metric_get(a, "t4", "us", BENCH_LOWER), i, 130000 + i + d);
                bench_value_add(bench_metric_get(a, "t6", "us", BENCH_LOWER), i, 200000 + i + d);
        }
        bench_words(b);
        w = word_that_begins(g, "auto: ");
        cr_expect(strstr(w, "T3 came 0.50 ms sooner in the median, ") && strstr(w, "10 runs cannot tell them apart"), "%s", w);
        cr_expect(strstr(w, "; from T3 to T4 1.00 ms more, which these runs cannot tell from none"), "%s", w);
        cr_expect(strstr(w, "0.50 ms more than eager, which these runs cannot tell from none"), "%s", w);
        cr_expect(!strstr(w, "saved") && !strstr(w, "LOST") && !strstr(w, "MORE"), "%s", w);
        done(b);
}

Test(bench_restore, the_words_say_when_lazy_loses)
{
        struct bench_group *g;
        struct bench *b = bench_of_one_group(&g);

        arm(g, "mmap", 10, 10000, 0, 0);
        arm(g, "lazy", 10, 30000, 0, 200000);
        bench_words(b);
        cr_expect(strstr(word_that_begins(g, "lazy: "), "T3 LOST 20.00 ms, 3 times mmap's (3 to 3)"), "%s",
                  word_that_begins(g, "lazy: "));
        done(b);
}

Test(bench_restore, peers_alone_are_held_against_the_first_of_them)
{
        struct bench_group *g;
        struct bench *b = bench_of_one_group(&g);

        arm(g, "copy", 10, 100000, 0, 0)->peer = true;
        arm(g, "ondemand", 10, 20000, 0, 0)->peer = true;
        bench_words(b);
        cr_expect(strstr(word_that_begins(g, "ondemand: "), "T3 saved 80.00 ms, 0.2 times copy's (0.2 to 0.2)"), "%s",
                  word_that_begins(g, "ondemand: "));
        cr_expect_str_eq(g->references[0], "copy");
        done(b);
}

Test(bench_restore, what_is_not_known_is_said_once_and_with_the_option_that_asks_for_it)
{
        struct bench_group *g;
        struct bench *b = bench_of_one_group(&g);

        arm(g, "eager", 10, 100000, 0, 90000);
        arm(g, "mmap", 10, 50000, 0, 0);
        arm(g, "lazy", 10, 20000, 0, 0);
        arm(g, "hints", 10, 10000, 0, 0);
        bench_words(b);
        cr_expect(strstr(word_that_begins(g, "What paging cost after T3"), "--mark"));
        cr_expect(strstr(word_that_begins(g, "T6, all of the image"), "for lazy, hints."));
        (void)word_that_begins(g, "mmap has no T6");
        done(b);
}

Test(bench_restore, too_few_runs_are_said_and_not_hidden)
{
        struct bench_group *g;
        struct bench *b = bench_of_one_group(&g);

        arm(g, "eager", 2, 100000, 0, 0);
        arm(g, "lazy", 2, 20000, 0, 0);
        bench_words(b);
        cr_expect(strstr(word_that_begins(g, "lazy: "), "too few runs"));
        done(b);
}

Test(bench_restore, a_stamp_that_only_some_runs_came_to_is_no_figure)
{
        struct bench_group *g;
        struct bench *b = bench_of_one_group(&g);

        arm(g, "eager", 10, 100000, 0, 90000);
        bench_value_add(bench_metric_get(arm(g, "lazy", 10, 20000, 0, 0), "t6", "us", BENCH_LOWER), 3, 25000);
        bench_words(b);
        cr_expect_null(bench_metric_find(bench_arm_find(g, "lazy"), "t6"));
        cr_expect_not_null(bench_metric_find(bench_arm_find(g, "eager"), "t6"));
        cr_expect(strstr(word_that_begins(g, "lazy: T6 came before the end of 1 of 10 runs"), "--settle"));
        done(b);
}

Test(bench_restore, runs_that_were_thrown_away_are_told)
{
        struct bench_group *g;
        struct bench *b = bench_of_one_group(&g);
        struct bench_arm *a = arm(g, "lazy", 10, 20000, 0, 0);

        a->runs_not_cold = 3;
        a->runs_failed = 1;
        bench_string_set(&a->failure, "it fell over");
        bench_words(b);
        cr_expect(strstr(word_that_begins(g, "lazy: 1 run failed"), "it fell over"));
        (void)word_that_begins(g, "lazy: 3 runs would not have been cold");
        done(b);
}
