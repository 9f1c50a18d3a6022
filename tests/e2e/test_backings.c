/* What stands behind guest RAM: memfd, huge pages, a template for many; in every mode that has it, saved and woken again. */
#include "core/base/units.h"
#include "tests/support/huge_pool.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(backings, .fini = huge_pool_give_back);

#define TICKS 60
#define PATIENCE_MS 60000

/* The snapshot of a guest of 128 MiB, in a place of the test's own. */
static struct saved make(const struct tmpdir *t)
{
        char path[4300];

        need_kvm();
        need_uffd();
        setenv("XDG_RUNTIME_DIR", t->path, 1);
        setenv("XDG_DATA_HOME", t->path, 1);
        snprintf(path, sizeof(path), "%s/snapshot", t->path);
        return make_native(path, "128M", "2");
}

Test(backings, every_mode_wakes_a_guest_on_every_memory_that_it_can_have, .timeout = 200)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        char hints[4300];

        need_hugetlb(2 * 64);
        snprintf(hints, sizeof(hints), "%s/hints", t.path);
        assert_wakes(&s, 3, WORDS("--record", hints, "--memory-backing", "memfd"));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "memfd", "--mode", "auto"));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "memfd", "--mode", "eager"));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "memfd", "--mode", "lazy", "--hints", hints));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "memfd", "--mode", "lazy", "--fill", "off"));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "hugetlb", "--mode", "auto"));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "hugetlb", "--mode", "eager"));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "hugetlb", "--mode", "lazy", "--hints", hints));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "hugetlb", "--mode", "lazy", "--fill", "off"));
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "hugetlb", "--mode", "shared", "--hints", hints));
        assert_wakes(&s, TICKS, WORDS("--mode", "shared", "--hints", hints));
        assert_wakes(&s, TICKS, WORDS("--mode", "shared", "--fill", "off"));
        assert_wakes(&s, TICKS, WORDS("--mode", "shared", "--verify", "off"));
}

Test(backings, a_foreign_snapshot_is_shared_and_huge_too, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        need_hugetlb(2 * 64);
        setenv("XDG_RUNTIME_DIR", t.path, 1);
        setenv("XDG_DATA_HOME", t.path, 1);
        s = use_fixture("stratovirt/microvm-128m");
        assert_wakes(&s, TICKS, WORDS("--mode", "shared")); /* nobody knows its zero pages yet */
        assert_wakes(&s, TICKS, WORDS("--mode", "shared"));
        assert_wakes(&s, TICKS, WORDS("--mode", "lazy", "--memory-backing", "memfd"));
        assert_wakes(&s, TICKS, WORDS("--mode", "lazy", "--memory-backing", "hugetlb"));
        assert_wakes(&s, TICKS, WORDS("--mode", "shared", "--memory-backing", "hugetlb"));
}

Test(backings, packed_memory_is_shared_and_huge_too, .timeout = 120)
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
Test(backings, a_vm_on_any_memory_can_be_saved_and_goes_on, .timeout = 200)
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
Test(backings, what_changed_of_a_vm_on_any_memory_is_saved_while_the_rest_is_still_coming, .timeout = 200)
{
        static const char *const words[][7] = {
                {"--mode", "lazy", "--memory-backing", "memfd", "--fill", "off"},  {"--mode", "lazy", "--memory-backing", "hugetlb", "--fill", "off"},
                {"--mode", "shared", "--memory-backing", "anon", "--fill", "off"}, {"--mode", "shared", "--memory-backing", "hugetlb", "--fill", "off"},
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

/* --- refused --- */

static void assert_refused(int status, const char *what, const char *const *words, const struct saved *s)
{
        const char *argv[16] = {rouse_program(), "restore", s->path};
        size_t n = 3;
        struct child c;

        while (*words)
                argv[n++] = *words++;
        c = child_run(PATIENCE_MS, argv);
        cr_expect_eq(c.status, status, "exit %d: %s", c.status, c.err);
        cr_expect(strstr(c.err, what), "no '%s' in: %s", what, c.err);
        child_free(&c);
}

Test(backings, what_cannot_be_had_together_is_refused_by_name, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);

        assert_refused(2, "--mode mmap cannot have --memory-backing memfd", WORDS("--mode", "mmap", "--memory-backing", "memfd"), &s);
        assert_refused(2, "--mode mmap cannot have --memory-backing hugetlb", WORDS("--mode", "mmap", "--memory-backing", "hugetlb"), &s);
        assert_refused(2, "--mode shared cannot have --memory-backing memfd", WORDS("--mode", "shared", "--memory-backing", "memfd"), &s);
        assert_refused(2, "--record needs --mode auto or lazy", WORDS("--mode", "shared", "--record", "x"), &s);
        assert_refused(2, "--record cannot have --memory-backing hugetlb", WORDS("--record", "x", "--memory-backing", "hugetlb"), &s);
        assert_refused(2, "expected anon, memfd or hugetlb", WORDS("--memory-backing", "huge"), &s);
}

Test(backings, a_pool_that_is_too_small_is_refused_with_the_sysctl_before_anything_is_made, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];
        struct child c;
        struct saved s;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        s = make_native(path, "4G", "1"); /* 2048 of them: no test before this one has left so many */
        assert_refused(1, "sysctl -w vm.nr_hugepages=", WORDS("--mode", "lazy", "--memory-backing", "hugetlb"), &s);
        assert_refused(1, "sysctl -w vm.nr_hugepages=", WORDS("--mode", "eager", "--memory-backing", "hugetlb"), &s);
        assert_refused(1, "sysctl -w vm.nr_hugepages=", WORDS("--mode", "shared", "--memory-backing", "hugetlb"), &s);
        c = RUN(PATIENCE_MS, rouse_program(), "run", "--kernel", guest_path(), "--memory", "4G", "--memory-backing", "hugetlb");
        cr_expect_eq(c.status, 1, "%s", c.err);
        cr_expect(strstr(c.err, "sysctl -w vm.nr_hugepages="), "%s", c.err);
        child_free(&c);
}

/* --- one template --- */

/* The template that a process has: its number, and how much of it is there. */
static bool find_template(pid_t pid, struct stat *ret)
{
        char path[300], link[300];
        bool found = false;
        struct dirent *e;
        DIR *d;

        snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
        d = opendir(path);
        while (d && !found && (e = readdir(d))) {
                ssize_t n;

                snprintf(path, sizeof(path), "/proc/%d/fd/%.100s", (int)pid, e->d_name);
                n = readlink(path, link, sizeof(link) - 1);
                link[n > 0 ? n : 0] = 0;
                found = strcmp(link, "/memfd:rouse-template (deleted)") == 0 && stat(path, ret) == 0;
        }
        if (d)
                closedir(d);
        return found;
}

static struct stat template_of(const struct child *vm)
{
        struct stat st = {0};

        cr_assert(find_template(vm->pid, &st), "process %d has no template: %s", (int)vm->pid, vm->err);
        return st;
}

/* "Pss_Anon: 123 kB" and the like, summed up by the kernel. */
static uint64_t rollup_bytes(const struct child *vm, const char *what)
{
        char path[64], line[200];
        uint64_t kib = 0;
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)vm->pid);
        f = fopen(path, "re");
        cr_assert(f);
        while (fgets(line, sizeof(line), f))
                if (strncmp(line, what, strlen(what)) == 0)
                        kib = strtoull(line + strlen(what), NULL, 10);
        fclose(f);
        return kib * KIB;
}

static struct child wake_shared(const struct saved *s)
{
        struct child vm = START(rouse_program(), "restore", s->path, "--mode", "shared", "--timeout", "100s");

        cr_assert(child_wait_output(&vm, "TICK ", PATIENCE_MS), "%s", vm.err);
        return vm;
}

static void await_ticks(const struct saved *s, struct child *vm, unsigned more)
{
        char text[64];

        snprintf(text, sizeof(text), "TICK %llu ", (unsigned long long)s->next.n + more);
        cr_assert(child_wait_output(vm, text, PATIENCE_MS), "no %s in:\n%s%s", text, vm->out, vm->err);
        assert_joins(s, vm->out, more);
}

/* Until all data is in it, by the fill of whoever is polite the shortest. */
static uint64_t await_filled(const struct child *vm)
{
        uint64_t before = 0, now = 1;

        for (int i = 0; i < 100 && now != before; i++) {
                before = now;
                usleep(300000);
                now = (uint64_t)template_of(vm).st_blocks * 512;
        }
        return now;
}

Test(backings, four_restores_have_what_nobody_writes_once_and_outlive_the_first, .timeout = 200)
{
        enum { VMS = 4 };
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        uint64_t data_bytes, sum = 0;
        struct child vm[VMS], fifth;
        struct stat first;

        for (int i = 0; i < VMS; i++)
                vm[i] = wake_shared(&s);
        first = template_of(&vm[0]);
        for (int i = 0; i < VMS; i++) {
                await_ticks(&s, &vm[i], 20);
                cr_expect_eq(template_of(&vm[i]).st_ino, first.st_ino, "VM %d has another template", i);
        }
        data_bytes = await_filled(&vm[0]);
        cr_expect_geq(data_bytes, 24 * MIB);
        usleep(3000000); /* each has mapped all of it by then: the fill is polite for 2 s */
        for (int i = 0; i < VMS; i++) {
                uint64_t shmem = rollup_bytes(&vm[i], "Pss_Shmem:"), anon = rollup_bytes(&vm[i], "Pss_Anon:");

                cr_expect_lt(anon, data_bytes, "VM %d has %llu bytes of its own", i, (unsigned long long)anon); /* what it wrote */
                cr_expect_lt(shmem, data_bytes, "VM %d: %llu of %llu", i, (unsigned long long)shmem, (unsigned long long)data_bytes);
                sum += shmem;
        }
        cr_expect_leq(sum, data_bytes + data_bytes / 8, "%llu bytes for %d VMs, the template has %llu", (unsigned long long)sum, VMS,
                      (unsigned long long)data_bytes);

        child_kill(&vm[0], SIGKILL);
        cr_expect_eq(child_wait(&vm[0], PATIENCE_MS), 128 + SIGKILL);
        fifth = wake_shared(&s);
        cr_expect_eq(template_of(&fifth).st_ino, first.st_ino, "the fifth has another template");
        await_ticks(&s, &fifth, 20);
        for (int i = 1; i < VMS; i++)
                await_ticks(&s, &vm[i], 200);
        for (int i = 0; i < VMS; i++)
                child_free(&vm[i]);
        child_free(&fifth);
}

/* Killed again and again at any moment, also while KVM is about to touch pages that are not there yet. */
Test(backings, restores_that_are_killed_while_they_begin_leave_the_template_right, .timeout = 200)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        struct child keeper = START(rouse_program(), "restore", s.path, "--mode", "shared", "--fill", "off", "--paused", "--timeout", "100s");
        struct stat st, other;

        for (int i = 0; i < 200 && !find_template(keeper.pid, &st); i++)
                usleep(10000);
        srandom(20261127);
        for (int i = 0; i < 25; i++) {
                struct child vm = START(rouse_program(), "restore", s.path, "--mode", "shared", "--fill", i % 2 ? "on" : "off", "--timeout", "60s");

                usleep((unsigned)random() % 60000);
                child_kill(&vm, SIGKILL);
                child_wait(&vm, PATIENCE_MS);
                child_free(&vm);
        }
        assert_wakes(&s, TICKS, WORDS("--mode", "shared"));
        assert_wakes(&s, TICKS, WORDS("--mode", "shared", "--fill", "off"));
        cr_expect(find_template(keeper.pid, &other) && other.st_ino == st.st_ino);
        child_free(&keeper);
}

Test(backings, when_the_last_one_has_ended_the_next_makes_a_template_anew, .timeout = 100)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        struct child vm = wake_shared(&s), next;
        struct stat first = template_of(&vm);

        child_kill(&vm, SIGKILL);
        child_wait(&vm, PATIENCE_MS);
        next = wake_shared(&s);
        cr_expect_neq(template_of(&next).st_ino, first.st_ino);
        await_ticks(&s, &next, 20);
        child_free(&vm);
        child_free(&next);
}

Test(backings, who_does_not_answer_is_not_waited_for_and_that_is_said, .timeout = 100)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        struct child vm = wake_shared(&s), other;

        kill(vm.pid, SIGSTOP);
        other = wake_shared(&s);
        cr_expect(strstr(other.err, "does not answer"), "%s", other.err);
        cr_expect_neq(template_of(&other).st_ino, template_of(&vm).st_ino);
        await_ticks(&s, &other, 20);
        child_free(&other);
        child_free(&vm);
}

Test(backings, unchecked_memory_is_not_given_to_who_checks, .timeout = 100)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        struct child unchecked = START(rouse_program(), "restore", s.path, "--mode", "shared", "--verify", "off", "--timeout", "60s"), vm;

        cr_assert(child_wait_output(&unchecked, "TICK ", PATIENCE_MS), "%s", unchecked.err);
        vm = wake_shared(&s);
        cr_expect_neq(template_of(&unchecked).st_ino, template_of(&vm).st_ino);
        child_free(&unchecked);
        child_free(&vm);
}
