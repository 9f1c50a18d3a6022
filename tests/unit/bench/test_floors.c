/* The floors: each measured once a round, and what this host cannot do is told by name. */
#include "bench/floors/floors.h"

#include "core/base/units.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct floors *open_floors(const char *file)
{
        struct floors_config c = {.bytes = 4 * MIB, .file = file, .seed = 3};
        struct floors *f;
        struct err e = {0};

        cr_assert_eq(floors_open(&c, &f, &e), 0, "%s", e.text);
        return f;
}

static void make_file(const char *path, uint64_t bytes)
{
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

        cr_assert_geq(fd, 0);
        cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
        close(fd);
}

Test(floors, each_gives_one_value_a_round_for_that_round)
{
        static const char *const names[] = {"fault: UFFDIO_COPY of 4 KiB", "UFFDIO_COPY of 2 MiB", "memcpy"};
        struct bench_result r = {0};
        struct floors *f;

        need_uffd();
        f = open_floors(NULL);
        for (uint32_t round = 0; round < 3; round++)
                floors_round(f, &r, round);
        floors_close(f);
        cr_assert_eq(r.floors.nr_arms, ARRAY_LEN(names));
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                const struct bench_arm *a = bench_arm_find(&r.floors, names[i]);

                cr_assert(a && a->what && a->nr_metrics > 0, "%s", names[i]);
                cr_assert_null(a->failure, "%s", a->failure);
                for (size_t m = 0; m < a->nr_metrics; m++) {
                        cr_assert_eq(a->metrics[m].nr, 3);
                        for (uint32_t round = 0; round < 3; round++) {
                                cr_assert_eq(a->metrics[m].values[round].round, round);
                                cr_assert_gt(a->metrics[m].values[round].value, 0);
                        }
                }
        }
        bench_result_free(&r);
}

Test(floors, a_file_that_cannot_be_read_past_the_page_cache_is_told_and_the_others_go_on)
{
        struct bench_result r = {0};
        char path[40];
        int fd = memfd_create("no disk", MFD_CLOEXEC);
        const struct bench_arm *a;
        struct floors *f;

        need_uffd();
        cr_assert_eq(ftruncate(fd, 1), 0); /* nothing to read */
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        f = open_floors(path);
        floors_round(f, &r, 0);
        floors_close(f);
        a = bench_arm_find(&r.floors, "O_DIRECT read");
        cr_assert_not_null(a);
        cr_assert_eq(a->nr_metrics, 0);
        cr_assert(a->failure && strstr(a->failure, path), "%s", a->failure ? a->failure : "nothing said");
        cr_assert_eq(bench_arm_find(&r.floors, "memcpy")->nr_metrics, 1);
        bench_result_free(&r);
}

Test(floors, a_file_on_a_disk_is_read)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct bench_result r = {0};
        const struct bench_arm *a;
        struct floors *f;
        char path[4300];

        snprintf(path, sizeof(path), "%s/memory", t.path);
        make_file(path, 6 * MIB + 12345);
        f = open_floors(path);
        floors_round(f, &r, 7);
        floors_close(f);
        a = bench_arm_find(&r.floors, "O_DIRECT read");
        cr_assert_not_null(a);
        if (a->failure)
                need_lacks("a disk with O_DIRECT for temporary files", EINVAL);
        cr_assert_gt(bench_metric_find(a, "rate")->values[0].value, 0);
        bench_result_free(&r);
}

Test(floors, a_file_that_is_not_there_is_refused_by_name)
{
        struct floors_config c = {.file = "/no such file"};
        struct floors *f;
        struct err e = {0};

        cr_assert_eq(floors_open(&c, &f, &e), -ENOENT);
        cr_assert(strstr(e.text, "/no such file"), "%s", e.text);
}
