/* Guest RAM on a memfd, on huge pages and on a template, at length: saved and woken again and again, saved half fetched,
 * packed. */
#include "core/base/units.h"
#include "tests/e2e/backings_rig.h"
#include "tests/support/huge_pool.h"

#include <string.h>

TestSuite(backings_full, .fini = huge_pool_give_back);

Test(backings_full, packed_memory_is_shared_and_huge_too, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        char packed[4100];
        struct child c;

        need_hugetlb(2 * 64);
        snprintf(packed, sizeof(packed), "%.4000s/packed", t.path);
        c = RUN(PATIENCE_MS, rouse_program(), "convert", s.path, packed, "--pack", "lz4");
        cr_assert_eq(c.status, 0, "%s", c.err);
        child_free(&c);
        snprintf(s.path, sizeof(s.path), "%s", packed);
        assert_wakes(&s, TICKS, WORDS("--mode", "shared"));
        assert_wakes(&s, TICKS, WORDS("--mode", "lazy", "--memory-backing", "memfd"));
        assert_wakes(&s, TICKS, WORDS("--mode", "lazy", "--memory-backing", "hugetlb"));
        assert_wakes(&s, TICKS, WORDS("--mode", "lazy", "--memory-backing", "hugetlb", "--fill", "off"));
        assert_wakes(&s, TICKS, WORDS("--mode", "shared", "--memory-backing", "hugetlb"));
        assert_wakes(&s, TICKS, WORDS("--mode", "eager", "--memory-backing", "hugetlb"));
}

/* Booted on one, saved, woken on another, saved, and so on. */
Test(backings_full, a_vm_on_any_memory_can_be_saved_and_goes_on, .timeout = 200)
{
        static const char *const words[][5] = {
                {"--mode", "lazy", "--memory-backing", "memfd"},   {"--mode", "lazy", "--memory-backing", "hugetlb"},
                {"--mode", "shared", "--memory-backing", "anon"},  {"--mode", "shared", "--memory-backing", "hugetlb"},
                {"--mode", "eager", "--memory-backing", "hugetlb"},
        };
        static const char *const booted_on[] = {"memfd", "hugetlb"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];

        need_kvm();
        need_uffd();
        need_hugetlb(2 * 64);
        setenv("XDG_RUNTIME_DIR", t.path, 1);
        setenv("XDG_DATA_HOME", t.path, 1);
        for (size_t b = 0; b < ARRAY_LEN(booted_on); b++) {
                struct saved s;

                snprintf(path, sizeof(path), "%s/%s", t.path, booted_on[b]);
                s = make_native_of("beacon", path, 2, WORDS("--memory", "128M", "--memory-backing", booted_on[b]));
                for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                        snprintf(path, sizeof(path), "%s/%s-%zu", t.path, booted_on[b], i);
                        s = next_generation(&s, path, 20, words[i]);
                }
                assert_wakes(&s, 20, WORDS("--mode", "eager"));
        }
}

/* A child of a snapshot, of a VM that has but begun to fetch it. */
Test(backings_full, what_changed_of_a_vm_on_any_memory_is_saved_while_the_rest_is_still_coming, .timeout = 200)
{
        static const char *const words[][7] = {
                {"--mode", "lazy", "--memory-backing", "memfd", "--fill", "off"},
                {"--mode", "lazy", "--memory-backing", "hugetlb", "--fill", "off"},
                {"--mode", "shared", "--memory-backing", "anon", "--fill", "off"},
                {"--mode", "shared", "--memory-backing", "hugetlb", "--fill", "off"},
        };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);

        need_hugetlb(2 * 64);
        for (size_t i = 0; i < ARRAY_LEN(words); i++) {
                const char *argv[20] = {rouse_program(), "restore", s.path, "--timeout", "60s", "--name"};
                char name[64], path[4100];
                struct child vm, snap;
                struct saved child = s;
                size_t n = 7;

                argv[6] = unique_name(name);
                for (size_t k = 0; words[i][k]; k++)
                        argv[n++] = words[i][k];
                vm = child_start(argv);
                cr_assert(child_wait_output(&vm, "\nTICK ", PATIENCE_MS), "%s", vm.err);
                snprintf(path, sizeof(path), "%.4000s/child-%zu", t.path, i);
                snap = RUN(PATIENCE_MS, rouse_program(), "snapshot", name, path, "--base", s.path, "--then", "quit");
                cr_assert_eq(snap.status, 0, "%s", snap.err);
                cr_assert_eq(child_wait(&vm, PATIENCE_MS), 0, "%s", vm.err);
                cr_assert(beacon_last(vm.out, &child.next), "%s", vm.out);
                child.next.n++;
                snprintf(child.path, sizeof(child.path), "%s", path);
                snprintf(child.partial, sizeof(child.partial), "%s", strrchr(vm.out, '\n') + 1);
                assert_wakes(&child, 20, WORDS("--mode", "eager"));
                assert_wakes(&child, 20, WORDS("--mode", "shared"));
                child_free(&snap);
                child_free(&vm);
        }
}
