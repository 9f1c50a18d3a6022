/* Quantiles, intervals and verdicts: against known samples, and by how often the intervals hold what they should. */
#include "bench/stats/stats.h"

#include "tests/unit/bench/draws.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static struct bench_metric metric_of(const double *v, size_t n)
{
        struct bench_metric m = {0};

        for (size_t i = 0; i < n; i++)
                bench_value_add(&m, (uint32_t)i, v[i]);
        return m;
}

#define METRIC(...) metric_of((const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

Test(stats, quantiles_are_those_of_R_and_numpy)
{
        const double ten[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; /* R's own example: quantile(1:10) */
        const double six[] = {1, 2, 3, 4, 7, 10};             /* numpy.percentile's documentation: the median is 3.5 */

        cr_assert_float_eq(stats_quantile(ten, 10, 0), 1, 1e-12);
        cr_assert_float_eq(stats_quantile(ten, 10, 0.25), 3.25, 1e-12);
        cr_assert_float_eq(stats_quantile(ten, 10, 0.5), 5.5, 1e-12);
        cr_assert_float_eq(stats_quantile(ten, 10, 0.75), 7.75, 1e-12);
        cr_assert_float_eq(stats_quantile(ten, 10, 1), 10, 1e-12);
        cr_assert_float_eq(stats_quantile(six, 6, 0.5), 3.5, 1e-12);
        cr_assert_float_eq(stats_quantile(six, 1, 0.95), 1, 1e-12);
}

Test(stats, p95_needs_20_runs_p99_100_and_an_interval_6)
{
        static const struct {
                size_t n;
                bool   ci, p95, p99;
        } rows[] = {{1, false, false, false}, {5, false, false, false}, {6, true, false, false}, {19, true, false, false}, {20, true, true, false},
                    {99, true, true, false}, {100, true, true, true}};

        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                struct bench_metric  m = {0};
                struct stats_summary s;

                for (size_t k = 0; k < rows[i].n; k++)
                        bench_value_add(&m, (uint32_t)k, (double)k);
                cr_assert(stats_summarize(&m, &s));
                cr_assert_eq(s.runs, rows[i].n);
                cr_assert_eq(s.ci.known, rows[i].ci, "%zu runs", rows[i].n);
                cr_assert_eq(s.has_p95, rows[i].p95, "%zu runs", rows[i].n);
                cr_assert_eq(s.has_p99, rows[i].p99, "%zu runs", rows[i].n);
                free(m.values);
        }
}

/* The bootstrap distribution of a median of an odd number of values is known exactly: P(median* <= x_k) = P(Binomial(n, k/n) >=
 * (n+1)/2). Worked out apart, with Python's math.comb and Student's t of a printed table: of 11 values the interval is x_3 to x_9
 * (at 0.97 %, between 0.72 and 5.1), of 15 x_4 to x_12 (at 1.32 %, between 0.42 and 2.55), of 101 x_41 to x_61 (at 2.31 %,
 * between 1.71 and 2.79). */
Test(stats, the_interval_of_a_median_is_that_of_the_exact_bootstrap_distribution)
{
        static const struct {
                size_t n;
                double low, high;
        } rows[] = {{11, 3, 9}, {15, 4, 12}, {101, 41, 61}};

        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                struct bench_metric  m = {0};
                struct stats_summary s;

                for (size_t k = rows[i].n; k > 0; k--)
                        bench_value_add(&m, (uint32_t)k, (double)k);
                cr_assert(stats_summarize(&m, &s));
                cr_assert_float_eq(s.ci.low, rows[i].low, 1e-9, "%zu: %g to %g", rows[i].n, s.ci.low, s.ci.high);
                cr_assert_float_eq(s.ci.high, rows[i].high, 1e-9, "%zu: %g to %g", rows[i].n, s.ci.low, s.ci.high);
                free(m.values);
        }
}

/* scipy.stats.mannwhitneyu's documentation: ages at which diabetes was found, method="asymptotic": p = 0.11134688653314041. */
Test(stats, the_rank_test_is_that_of_scipy)
{
        struct bench_metric males = METRIC(19, 22, 16, 29, 24), females = METRIC(20, 11, 17, 12), same = METRIC(7, 7, 7);

        cr_assert_float_eq(stats_rank_p(&males, &females), 0.11134688653314041, 1e-12);
        cr_assert_float_eq(stats_rank_p(&females, &males), 0.11134688653314041, 1e-12);
        cr_assert_float_eq(stats_rank_p(&males, &males), 1, 1e-12);
        cr_assert_float_eq(stats_rank_p(&same, &same), 1, 1e-12);
        cr_assert_float_eq(stats_rank_p(&same, NULL), 1, 1e-12);
        free(males.values);
        free(females.values);
        free(same.values);
}

/* 600 samples each of a skewed distribution. What comes out for an interval that holds the median p of the time is p +- 1.8 %
 * (two standard errors). */
Test(stats, intervals_of_a_median_hold_it_about_95_times_of_100)
{
        static const size_t sizes[] = {6, 10, 20, 50};

        for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
                struct draws d = {sizes[k]};
                unsigned     held = 0;

                for (unsigned t = 0; t < 600; t++) {
                        struct bench_metric  m = draw_metric(&d, sizes[k], 100, 0.5);
                        struct stats_summary s;

                        stats_summarize(&m, &s);
                        held += s.ci.low <= 100 && 100 <= s.ci.high;
                        free(m.values);
                }
                cr_assert_geq(held, 555, "%zu runs: %u of 600", sizes[k], held); /* 92.5 % */
                cr_assert_leq(held, sizes[k] < 10 ? 600 : 594, "%zu runs: %u of 600", sizes[k], held);
        }
}

/* A machine that is slow in some rounds slows both arms: the ratio of what stood side by side does not feel it. */
static void draw_pair(struct draws *d, size_t n, double ratio, struct bench_metric *a, struct bench_metric *b)
{
        *a = *b = (struct bench_metric){0};
        for (uint32_t i = 0; i < n; i++) {
                double machine = exp(0.4 * draw_normal(d));

                bench_value_add(a, i, 100 * ratio * machine * exp(0.1 * draw_normal(d)));
                bench_value_add(b, i, 100 * machine * exp(0.1 * draw_normal(d)));
        }
}

Test(stats, intervals_of_a_ratio_in_pairs_hold_it_about_95_times_of_100)
{
        struct draws d = {1};
        unsigned     held = 0;

        for (unsigned t = 0; t < 400; t++) {
                struct bench_metric a, b;
                struct stats_ratio  r;

                draw_pair(&d, 20, 0.8, &a, &b);
                r = stats_ratio_paired(&a, &b);
                held += r.ci.low <= 0.8 && 0.8 <= r.ci.high;
                free(a.values);
                free(b.values);
        }
        cr_assert_geq(held, 366, "%u of 400", held); /* 91.5 % */
        cr_assert_leq(held, 398, "%u of 400", held);
}

Test(stats, pairs_find_a_difference_that_the_machines_noise_hides_from_samples_apart)
{
        struct draws        d = {2};
        struct bench_metric a, b;
        struct stats_ratio  paired, apart;

        draw_pair(&d, 20, 0.8, &a, &b);
        paired = stats_ratio_paired(&a, &b);
        apart = stats_ratio_apart(&a, &b);
        cr_assert_eq(paired.verdict, STATS_LOWER, "%g (%g to %g)", paired.ratio, paired.ci.low, paired.ci.high);
        cr_assert_eq(apart.verdict, STATS_ALIKE, "%g (%g to %g)", apart.ratio, apart.ci.low, apart.ci.high);
        cr_assert_gt(apart.runs_needed, 20);
        free(a.values);
        free(b.values);
}

Test(stats, as_many_runs_as_were_said_to_be_needed_do_tell_two_arms_apart)
{
        struct draws        d = {3};
        struct bench_metric a = draw_metric(&d, 12, 104, 0.1), b = draw_metric(&d, 12, 100, 0.1);
        struct stats_ratio  r = stats_ratio_paired(&a, &b);
        unsigned            told = 0;
        /* from the truth instead of from what was seen: a log ratio of 0.0392, of which one run's noise is 0.1 * sqrt(2), and a
         * median's sqrt(pi/2) of it */
        size_t needed = (size_t)ceil(pow((1.96 + 0.84) * 0.1 * sqrt(2) * sqrt(acos(-1) / 2) / log(1.04), 2));

        cr_assert_eq(r.verdict, STATS_ALIKE);
        cr_assert_gt(r.runs_needed, 12);
        free(a.values);
        free(b.values);
        for (unsigned t = 0; t < 100; t++) {
                a = draw_metric(&d, needed, 104, 0.1);
                b = draw_metric(&d, needed, 100, 0.1);
                told += stats_ratio_paired(&a, &b).verdict == STATS_HIGHER;
                free(a.values);
                free(b.values);
        }
        cr_assert(told >= 70 && told <= 90, "%u of 100 with %zu runs", told, needed);
}

Test(stats, the_median_of_a_burst_is_one_measurement_whatever_the_number_of_its_clones)
{
        struct bench_metric  bursts = {0};
        struct stats_summary s;

        for (uint32_t burst = 0; burst < 5; burst++)
                for (uint32_t clone = 0; clone < 64; clone++)
                        bench_value_add(&bursts, burst, 100 + burst * 10 + clone % 3);
        cr_assert(stats_summarize(&bursts, &s));
        cr_assert_eq(s.runs, 5);
        cr_assert_not(s.ci.known);
        cr_assert_not(s.has_p95);
        free(bursts.values);
}

Test(stats, only_rounds_that_both_arms_have_are_compared)
{
        struct bench_metric a = {0}, b = {0};
        struct stats_ratio  r;

        for (uint32_t i = 0; i < 10; i++)
                bench_value_add(&a, i, 200);
        for (uint32_t i = 3; i < 20; i++)
                bench_value_add(&b, i, i < 10 ? 100 : 1);
        r = stats_ratio_paired(&a, &b);
        cr_assert_eq(r.runs, 7);
        cr_assert_float_eq(r.ratio, 2, 1e-12);
        cr_assert_eq(r.verdict, STATS_HIGHER);
        free(a.values);
        free(b.values);
}

Test(stats, what_cannot_be_divided_has_no_ratio_and_five_pairs_are_too_few)
{
        struct bench_metric none = {0}, zero = METRIC(0, 0, 0, 0, 0, 0, 0), five = METRIC(1, 2, 3, 4, 5), seven = METRIC(1, 2, 3, 4, 5, 6, 7);
        struct stats_ratio  r;

        cr_assert_eq(stats_ratio_paired(&seven, NULL).verdict, STATS_NO_RATIO);
        cr_assert_eq(stats_ratio_paired(&seven, &none).verdict, STATS_NO_RATIO);
        cr_assert_eq(stats_ratio_paired(&seven, &zero).verdict, STATS_NO_RATIO);
        cr_assert_eq(stats_ratio_paired(&zero, &seven).verdict, STATS_LOWER);
        r = stats_ratio_paired(&five, &seven);
        cr_assert_eq(r.verdict, STATS_TOO_FEW);
        cr_assert_eq(r.runs, 5);
        cr_assert_eq(r.runs_needed, STATS_RUNS_CI);
        free(zero.values);
        free(five.values);
        free(seven.values);
}

Test(stats, the_verdict_in_words_names_both_arms_and_the_interval)
{
        struct bench_metric a = METRIC(10, 11, 10, 11, 10, 11, 10), b = METRIC(20, 21, 22, 20, 21, 22, 20);
        struct stats_ratio  r = stats_ratio_paired(&a, &b), same = stats_ratio_paired(&a, &a);
        char                buf[300];

        stats_ratio_words(buf, sizeof(buf), &r, "hints", "mmap", "sooner", "later");
        cr_assert(strstr(buf, "hints is sooner than mmap: 0.5 times (0.455 to 0.55)"), "%s", buf);
        stats_ratio_words(buf, sizeof(buf), &same, "a", "b", "sooner", "later");
        cr_assert(strstr(buf, "a and b cannot be told apart by 7 runs"), "%s", buf);
        free(a.values);
        free(b.values);
}

Test(stats, a_goal_is_reached_or_missed_only_where_the_interval_leaves_it_out)
{
        char text[200];

        stats_goal_words(text, sizeof(text), &(struct stats_ratio){.ratio = 0.78, .runs = 12, .ci = {true, 0.69, 0.85}}, 1.25, true);
        cr_expect_str_eq(text, "0.78 (0.69 to 0.85), reached");
        stats_goal_words(text, sizeof(text), &(struct stats_ratio){.ratio = 0.28, .runs = 12, .ci = {true, 0.19, 0.5}}, 0.6, false);
        cr_expect_str_eq(text, "0.28 (0.19 to 0.50), MISSED");
        stats_goal_words(text, sizeof(text), &(struct stats_ratio){.ratio = 0.81, .runs = 6, .ci = {true, 0.2, 1.74}}, 0.85, false);
        cr_expect_str_eq(text, "0.81 (0.20 to 1.74), MISSED by the median, but these rounds cannot tell");
        stats_goal_words(text, sizeof(text), &(struct stats_ratio){.ratio = 1.1, .runs = 4}, 1.25, true);
        cr_expect_str_eq(text, "1.10 in 4 rounds, too few to tell");
}
