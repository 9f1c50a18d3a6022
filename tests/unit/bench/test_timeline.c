/* A timeline is read as it was written, and what is none is refused with its line. */
#include "bench/model/timeline.h"

#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int read_text(const char *text, struct bench_arm **ret_arm, struct bench_result *r, char **ret_text)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];
        FILE *f;

        snprintf(path, sizeof(path), "%s/timeline", t.path);
        f = fopen(path, "we");
        cr_assert_not_null(f);
        fputs(text, f);
        fclose(f);
        *ret_arm = bench_arm_get(bench_group_get(r, "g"), "lazy");
        return bench_timeline_read(path, *ret_arm, ret_text);
}

Test(timeline_file, its_lines_become_faults)
{
        struct bench_result r = {0};
        struct bench_arm *a;
        char *text;

        cr_assert_eq(read_text("# rouse timeline 1\n# arm: hints\n# dropped: 0 pages\n12 0x1000 1 demand\n13 0x100000000 512 fill\n13 0x2000 3 zero\n", &a, &r, &text), 0);
        cr_assert_eq(a->nr_faults, 3);
        cr_assert_eq(a->faults[0].t_us, 12);
        cr_assert_eq(a->faults[0].gpa, 0x1000);
        cr_assert_eq(a->faults[0].fault_class, BENCH_DEMAND);
        cr_assert_eq(a->faults[1].gpa, 0x100000000);
        cr_assert_eq(a->faults[1].pages, 512);
        cr_assert_eq(a->faults[1].fault_class, BENCH_FILL);
        cr_assert_eq(a->faults[2].fault_class, BENCH_ZERO);
        cr_assert_null(a->no_timeline);
        bench_result_free(&r);
}

Test(timeline_file, one_of_a_restore_without_a_pager_says_why_it_is_empty)
{
        struct bench_result r = {0};
        struct bench_arm *a;
        char *text;

        cr_assert_eq(read_text("# rouse timeline 1\n# nothing to log: this restore has no pager\n", &a, &r, &text), 0);
        cr_assert_eq(a->nr_faults, 0);
        cr_assert_str_eq(a->no_timeline, "this restore has no pager");
        bench_result_free(&r);
}

Test(timeline_file, one_that_was_full_is_not_taken_for_a_whole_one)
{
        struct bench_result r = {0};
        struct bench_arm *a;
        char *text;

        cr_assert_eq(read_text("# rouse timeline 1\n# dropped: 7 pages\n1 0x0 1 fill\n", &a, &r, &text), 0);
        cr_assert_eq(a->nr_faults, 1);
        cr_assert(strstr(a->no_timeline, "7 pages"), "%s", a->no_timeline);
        bench_result_free(&r);
}

Test(timeline_file, a_line_that_is_none_is_refused_with_its_number)
{
        static const char *const bad[] = {"12 0x1000 1 wish\n", "12 0x1000 0 fill\n", "12 0x1000 1\n", "12 0x1000 1 fill more\n", "x\n"};

        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
                struct bench_result r = {0};
                struct bench_arm *a;
                char text[200], *said;

                snprintf(text, sizeof(text), "# rouse timeline 1\n%s", bad[i]);
                cr_assert_eq(read_text(text, &a, &r, &said), -EBADMSG, "%s", bad[i]);
                cr_assert(strstr(said, "line 2"), "%s", said);
                free(said);
                bench_result_free(&r);
        }
}

Test(timeline_file, another_version_is_refused)
{
        struct bench_result r = {0};
        struct bench_arm *a;
        char *said;

        cr_assert_eq(read_text("# rouse timeline 2\n", &a, &r, &said), -EBADMSG);
        cr_assert(strstr(said, "line 1"), "%s", said);
        free(said);
        bench_result_free(&r);
}
