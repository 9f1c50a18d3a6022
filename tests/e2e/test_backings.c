/* What stands behind guest RAM: memfd, huge pages, a template for many; in every mode that has it, saved and woken again. */
#include "core/base/units.h"
#include "tests/e2e/backings_rig.h"
#include "tests/support/huge_pool.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(backings, .fini = huge_pool_give_back);

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
        assert_wakes(&s, TICKS, WORDS("--memory-backing", "hugetlb", "--mode", "auto", "--hints", hints));
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

        assert_refused(2, "--mode mmap cannot have --memory-backing memfd", WORDS("--mode", "mmap", "--memory-backing", "memfd"),
                       &s);
        assert_refused(2, "--mode mmap cannot have --memory-backing hugetlb",
                       WORDS("--mode", "mmap", "--memory-backing", "hugetlb"), &s);
        assert_refused(2, "--mode shared cannot have --memory-backing memfd",
                       WORDS("--mode", "shared", "--memory-backing", "memfd"), &s);
        assert_refused(2, "--record needs --mode auto or lazy", WORDS("--mode", "shared", "--record", "x"), &s);
        assert_refused(2, "--record cannot have --memory-backing hugetlb", WORDS("--record", "x", "--memory-backing", "hugetlb"),
                       &s);
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
        c = RUN(PATIENCE_MS, rouse_program(), "inspect", "--plan", "--memory-backing", "hugetlb", s.path);
        cr_expect_eq(c.status, 0, "%s", c.err);
        cr_expect(strstr(c.out, "\nrefused    --memory-backing hugetlb: expected 2048 free huge pages"), "%s", c.out);
        child_free(&c);
}

Test(backings, a_plan_is_for_no_memory_that_a_restore_would_refuse, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        struct child c = RUN(PATIENCE_MS, rouse_program(), "inspect", "--plan", "--mode", "mmap", "--memory-backing", "memfd", s.path);

        cr_expect_eq(c.status, 2, "%s", c.out);
        cr_expect(strstr(c.err, "rouse inspect: --mode mmap cannot have --memory-backing memfd"), "%s", c.err);
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
                cr_expect_lt(shmem, data_bytes, "VM %d: %llu of %llu", i, (unsigned long long)shmem,
                             (unsigned long long)data_bytes);
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
        struct child keeper = START(rouse_program(), "restore", s.path, "--mode", "shared", "--fill", "off", "--paused",
                                    "--timeout", "100s");
        struct stat st, other;

        for (int i = 0; i < 200 && !find_template(keeper.pid, &st); i++)
                usleep(10000);
        srandom(20261127);
        for (int i = 0; i < 25; i++) {
                struct child vm = START(rouse_program(), "restore", s.path, "--mode", "shared", "--fill", i % 2 ? "on" : "off",
                                        "--timeout", "60s");

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

static void assert_plan_says(const char *dir, const char *words)
{
        struct child c = RUN(PATIENCE_MS, rouse_program(), "inspect", "--plan", "--mode", "shared", dir);

        cr_expect_eq(c.status, 0, "%s", c.err);
        cr_expect(strstr(c.out, words), "expected '%s' in: %s", words, c.out);
        child_free(&c);
}

Test(backings, a_plan_says_what_a_living_template_has_and_who_has_it, .timeout = 100)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make(&t);
        struct child vm;
        char words[64];

        assert_plan_says(s.path, "template   none lives");
        vm = wake_shared(&s);
        snprintf(words, sizeof(words), "held by 1 process: %d\n", vm.pid);
        assert_plan_says(s.path, words);
        assert_plan_says(s.path, "template   lives: ");
        child_kill(&vm, SIGTERM);
        child_wait(&vm, PATIENCE_MS);
        assert_plan_says(s.path, "template   none lives");
        child_free(&vm);
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
