/* What `rouse bench restore` measures beside its arms: the control, the floors, and what the kernel brings. */
#include "tests/e2e/bench_rig.h"

static struct json_object *control_arm(struct json_object *doc, const char *name)
{
        struct json_object *g = find(doc, "groups", "control: a guest that touches nothing");

        cr_assert_not_null(g, "no control in the result");
        return find(g, "arms", name);
}

/* The last value: rounds follow one another. */
static double last_value(struct json_object *arm, const char *metric)
{
        struct json_object *m = arm ? find(arm, "metrics", metric) : NULL, *values = m ? json_at(m, "values") : NULL;

        cr_assert_not_null(values, "no %s", metric);
        return json_object_get_double(json_object_array_get_idx(json_object_array_get_idx(values, json_object_array_length(values) - 1), 1));
}

Test(bench_full, a_guest_that_touches_nothing_stays_out_of_memory_unless_the_arm_is_eager_or_fills, .timeout = 300)
{
        struct place p = place_new();
        struct json_object *doc;

        BENCH(&p, 0, fixture_dir("stratovirt/microvm-128m"), "--arms", "eager,mmap,lazy,hints", "--runs", "1", "--without",
              "timeline,score");
        doc = read_result(&p);
        cr_expect_gt(last_value(control_arm(doc, "eager"), "rss.t3"), (double)(64 * MIB));
        /* held against eager: a sanitizer's build has more memory of its own */
        cr_expect_lt(last_value(control_arm(doc, "mmap"), "rss.end"),
                     last_value(control_arm(doc, "eager"), "rss.t3") - (double)(48 * MIB));
        cr_expect_lt(last_value(control_arm(doc, "lazy, no fill"), "rss.end"),
                     last_value(control_arm(doc, "eager"), "rss.t3") - (double)(48 * MIB));
        cr_expect_gt(last_value(control_arm(doc, "lazy"), "rss.end"), last_value(control_arm(doc, "mmap"), "rss.end") + (double)(32 * MIB)); /* its fill asks nobody */
        cr_expect_gt(nr_values(control_arm(doc, "hints"), "rss.climb"), 0);
        cr_expect(json_object_get_boolean(json_at(control_arm(doc, "eager"), "control")));
        cr_expect_gt(nr_values(find(json_at(doc, "floors"), "arms", "KVM calls"), "time"), 0);
        cr_expect_gt(nr_values(find(json_at(doc, "floors"), "arms", "memcpy"), "rate"), 0);
        json_object_put(doc);
        tmpdir_free(&p.t);
}

Test(bench_full, what_the_kernel_brings_for_mmap_is_told_by_a_trace_and_eager_says_why_there_is_none, .timeout = 300)
{
        struct place p = place_new();
        struct json_object *doc, *faults;

        need_file("/sys/kernel/btf/vmlinux");
        BENCH(&p, 0, fixture_dir("stratovirt/microvm-128m"), "--arms", "eager,mmap", "--runs", "1", "--without",
              "control,floors,score");
        doc = read_result(&p);
        faults = json_at(arm_of(doc, "warm", "mmap"), "timeline.faults");
        cr_assert_gt(json_object_array_length(faults), 500, "expected the 2048 pages of a tick or so, found %zu",
                     json_object_array_length(faults));
        for (size_t i = 0; i < json_object_array_length(faults); i++)
                cr_assert_str_eq(json_object_get_string(json_object_array_get_idx(json_object_array_get_idx(faults, i), 3)),
                                 "host");
        cr_expect_eq(json_object_array_length(json_at(arm_of(doc, "warm", "eager"), "timeline.faults")), 0);
        cr_expect_not_null(json_at(arm_of(doc, "warm", "eager"), "timeline.absent"));
        json_object_put(doc);
        tmpdir_free(&p.t);
}
