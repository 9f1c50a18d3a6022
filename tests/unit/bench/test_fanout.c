/* The line through a burst's memory, what fits a machine, and bursts of little scripts. */
#include "bench/fanout/fanout.h"
#include "bench/fanout/line.h"
#include "bench/run/tree.h"
#include "core/base/units.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

Test(line, a_known_line_with_known_errors_is_found)
{
        /* worked out apart, by the formulas of any textbook on linear regression */
        static const double x[] = {1, 4, 16, 64}, y[] = {12.1, 17.8, 42.3, 137.9};
        struct line l;
        double mean = (12.1 + 17.8 + 42.3 + 137.9) / 4, sum = 0;

        cr_assert(line_fit(x, y, 4, &l));
        for (int i = 0; i < 4; i++)
                sum += y[i] - l.intercept - l.slope * x[i];
        cr_assert_float_eq(sum, 0, 1e-9, "residuals add up to nothing");
        cr_assert_float_eq(l.intercept + l.slope * 21.25, mean, 1e-9, "it goes through the means");
        cr_assert(l.has_error);
        cr_assert_float_eq(l.slope, 1.998273339, 1e-6, "%.9f", l.slope);
        cr_assert_float_eq(l.intercept, 10.061691542, 1e-6, "%.9f", l.intercept);
        cr_assert_float_eq(l.slope_error, 0.005223696, 1e-6, "%.9f", l.slope_error);
        cr_assert_float_eq(l.intercept_error, 0.172639009, 1e-6, "%.9f", l.intercept_error);
}

Test(line, two_points_have_no_error_and_one_place_has_no_line)
{
        struct line l;

        cr_assert(line_fit((const double[]){1, 4}, (const double[]){5, 11}, 2, &l));
        cr_assert_float_eq(l.slope, 2, 1e-12);
        cr_assert_float_eq(l.intercept, 3, 1e-12);
        cr_assert_not(l.has_error);
        cr_assert_not(line_fit((const double[]){4, 4, 4}, (const double[]){5, 6, 7}, 3, &l));
        cr_assert_not(line_fit((const double[]){4}, (const double[]){5}, 1, &l));
}

static int burst_of(const char *script, const char *mark, unsigned starts, unsigned alive, uint64_t every_ns,
                    struct burst_result *ret)
{
        struct burst_cgroup none = {.procs_fd = -1};
        const char *argv[] = {"/bin/sh", "-c", script, NULL};
        struct burst_request q = {.argv = argv, .mark = mark, .starts = starts, .alive = alive, .every_ns = every_ns, .timeout_ns = 10 * NS_PER_S, .cgroup = &none};
        struct err e = {0};
        pid_t left;
        int r = burst_run(&q, ret, &e);

        cr_assert_eq(tree_list(getpid(), &left, 1), 0, "process %d was left behind", left);
        return r;
}

Test(burst, every_clone_is_started_answers_and_is_ended)
{
        struct burst_result r;

        cr_assert_eq(burst_of("echo boot; echo TICK 1; exec sleep 100", "^TICK", 8, 8, 0, &r), 0);
        cr_assert_eq(r.succeeded, 8);
        cr_assert_str_eq(r.failure, "");
        for (unsigned i = 0; i < 8; i++) {
                cr_assert_gt(r.first_us[i], 0);
                cr_assert_leq(r.first_us[i], r.answer_us[i]);
                cr_assert_leq(r.answer_us[i] * 1000, (double)r.whole_ns, "the burst is as long as its last answer");
        }
        cr_assert_gt(r.memory.pss_bytes, 8 * 4096);
        burst_result_free(&r);
}

Test(burst, a_clone_that_fails_is_counted_with_its_reason_and_the_others_go_on)
{
        char dir[] = "/tmp/test-fanout-XXXXXX", script[300];
        struct burst_result r;

        cr_assert(mkdtemp(dir));
        /* whoever makes the directory is the one that fails */
        snprintf(script, sizeof(script),
                 "mkdir %s/x 2>/dev/null && { echo no memory for this one >&2; exit 5; }; echo up; exec sleep 100", dir);
        cr_assert_eq(burst_of(script, NULL, 4, 4, 0, &r), 0);
        cr_assert_eq(r.succeeded, 3);
        cr_assert_str_eq(r.failure, "exit 5 before it answered: no memory for this one");
        burst_result_free(&r);
        snprintf(script, sizeof(script), "%s/x", dir);
        rmdir(script);
        rmdir(dir);
}

Test(burst, a_program_that_is_not_there_is_a_failed_clone)
{
        struct burst_cgroup none = {.procs_fd = -1};
        const char *argv[] = {"/no/such/program", NULL};
        struct burst_request q = {.argv = argv, .starts = 2, .alive = 2, .timeout_ns = NS_PER_S, .cgroup = &none};
        struct burst_result r;
        struct err e = {0};

        cr_assert_eq(burst_run(&q, &r, &e), 0);
        cr_assert_eq(r.succeeded, 0);
        cr_assert_str_eq(r.failure, "could not be started: No such file or directory");
        burst_result_free(&r);
}

Test(burst, at_a_steady_rate_the_oldest_makes_room_and_a_late_start_counts_as_late)
{
        struct burst_result r;

        /* due every 10 ms, but each takes 100 ms or more and only one may live: the fourth was due long before it could start */
        cr_assert_eq(burst_of("sleep 0.1; echo up; exec sleep 100", NULL, 4, 1, 10 * NS_PER_MS, &r), 0);
        cr_assert_eq(r.succeeded, 4);
        cr_assert_geq(r.answer_us[3], 4 * 100e3 - 3 * 10e3);
        burst_result_free(&r);
}

Test(burst, its_cgroup_holds_what_its_clones_hold)
{
        struct burst_cgroup c;
        struct burst_memory m;
        const char *argv[] = {"/bin/sh", "-c", "head -c 20000000 /dev/zero | tail -c 20000000 | { sleep 0.3; echo up; exec sleep 100; }", NULL};
        struct burst_request q = {.argv = argv, .starts = 1, .alive = 1, .timeout_ns = 10 * NS_PER_S, .cgroup = &c};
        struct burst_result r;
        struct err e = {0};

        burst_cgroup_make(&c);
        if (!c.version)
                cr_skip_test("no cgroup can be made: %s", c.why);
        cr_assert_eq(burst_run(&q, &r, &e), 0, "%s", e.text);
        cr_assert_eq(r.succeeded, 1, "%s", r.failure);
        m = r.memory;
        cr_assert(m.has_cgroup);
        cr_assert_gt(m.cgroup_bytes, 20000000, "tail keeps its 20 MB");
        cr_assert_gt(m.pss_bytes, 20000000);
        burst_result_free(&r);
        burst_cgroup_remove(&c);
        cr_assert_neq(access(c.path, F_OK), 0, "it is removed");
}

Test(limits, as_many_as_memory_does_not_hold_are_left_out_with_the_figures)
{
        struct fanout f = {.sizes = {1, 512}, .nr_sizes = 2, .cgroup = {.procs_fd = -1}};
        struct subject *s = fanout_subject(&f);
        struct err e = {0};

        rouse_arm_add(&s->arms, "lazy");
        s->data_bytes = burst_memory_left() / 100;
        cr_assert_eq(fanout_limits(&f, &e), 0, "%s", e.text);
        cr_assert(f.fits[0]);
        cr_assert_not(f.fits[1]);
        cr_assert(strstr(f.lacks[1], "lazy could need 512 times "), "%s", f.lacks[1]);
        s->data_bytes = burst_memory_left();
        cr_assert_eq(fanout_limits(&f, &e), -ENOMEM);
        cr_assert(strstr(e.text, "no number of --clones fits this machine: lazy could need 1 times"), "%s", e.text);
        arm_list_free(&s->arms);
}
