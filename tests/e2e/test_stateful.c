/* Machines that stop with their state and go on from it: list, stop, start, delete on real VMs. */
#include "tests/support/machine.h"
#include "tests/support/need.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void begin(void)
{
        need_kvm();
        need_uffd();
        machines_begin();
}

TestSuite(stateful, .init = begin, .fini = machines_end, .timeout = 120);

#define NO_WORDS ((const char *const[]){NULL})

/* Runs "web", stops it with its state; what its guest must say next. */
static struct saved save_web(const char *const *words)
{
        struct child vm = machine_run("web", words);
        struct saved s = {0};

        ROUSE_DOES(0, "stop", "web", "--stateful");
        cr_assert_eq(child_wait(&vm, 20000), 0, "%s", vm.err);
        cr_assert(beacon_last(vm.out, &s.next));
        s.next.n++;
        snprintf(s.partial, sizeof(s.partial), "%s", strrchr(vm.out, '\n') + 1);
        child_free(&vm);
        machine_expect_state("web", "saved");
        return s;
}

/* Its console goes on from there. */
static void expect_goes_on(const struct saved *s)
{
        char text[64], *log;

        snprintf(text, sizeof(text), "TICK %llu ", (unsigned long long)s->next.n + 5);
        log = machine_wait_log("web", text);
        assert_joins(s, log, 5);
        free(log);
}

Test(stateful, a_machine_goes_on_where_it_was_stopped)
{
        struct saved s = save_web(WORDS("--cpus", "2"));
        struct child c;

        ROUSE_DOES(0, "start", "web");
        expect_goes_on(&s);
        machine_expect_state("web", "running");
        c = ROUSE(1, "start", "web");
        cr_expect(strstr(c.err, "'web' is running already"), "%s", c.err);
        child_free(&c);
        cr_expect(machine_wait_file("web", "state", false, 20000), "the state is still there");
        machine_expect_state("web", "running");
        ROUSE_DOES(0, "stop", "web");
        machine_expect_state("web", "stopped");
        c = ROUSE(1, "stop", "web");
        cr_expect(strstr(c.err, "'web'"), "%s", c.err);
        child_free(&c);
}

Test(stateful, a_machine_without_a_state_boots)
{
        struct child vm = machine_run("web", NO_WORDS);
        struct beacon_tick t;
        char *log;

        machine_expect_state("web", "running");
        ROUSE_DOES(0, "stop", "web");
        cr_expect_eq(child_wait(&vm, 10000), 0);
        cr_assert(beacon_last(vm.out, &t));
        ROUSE_DOES(0, "start", "web");
        log = machine_wait_log("web", "TICK 3 ");
        cr_expect_eq(strncmp(log, "BOOT ", 5), 0, "%s", log);
        free(log);
        ROUSE_DOES(0, "stop", "web", "--force");
        machine_expect_state("web", "stopped");
        child_free(&vm);
}

Test(stateful, stateless_boots_anew_and_drops_the_state)
{
        struct saved s = save_web(NO_WORDS);
        struct beacon_tick t;
        char *log;

        ROUSE_DOES(0, "start", "web", "--stateless");
        cr_expect(machine_wait_file("web", "state", false, 0), "the state is still there");
        log = machine_wait_log("web", "TICK 3 ");
        cr_expect_eq(strncmp(log, "BOOT ", 5), 0, "%s", log);
        cr_assert(beacon_last(log, &t));
        cr_expect_neq(t.nonce, s.next.nonce);
        free(log);
        ROUSE_DOES(0, "stop", "web");
        machine_expect_state("web", "stopped");
}

Test(stateful, it_can_be_stopped_again_while_its_memory_still_comes_in)
{
        struct saved s = save_web(NO_WORDS);

        for (int i = 0; i < 4; i++) {
                ROUSE_DOES(0, "start", "web");
                ROUSE_DOES(0, "stop", "web", "--stateful");
                machine_expect_state("web", "saved");
        }
        ROUSE_DOES(0, "start", "web");
        expect_goes_on(&s);
}

Test(stateful, of_several_starts_at_once_one_succeeds)
{
        struct saved s = save_web(NO_WORDS);
        struct child c[4];
        int good = 0;

        for (int i = 0; i < 4; i++)
                c[i] = START(rouse_program(), "start", "web");
        for (int i = 0; i < 4; i++) {
                int status = child_wait(&c[i], 30000);

                cr_expect(status == 0 || status == 1, "exit %d: %s", status, c[i].err);
                cr_expect(status == 0 || strstr(c[i].err, "running already"), "%s", c[i].err);
                good += status == 0;
                child_free(&c[i]);
        }
        cr_expect_eq(good, 1);
        expect_goes_on(&s);
}

Test(stateful, without_space_it_is_not_saved_and_goes_on)
{
        char small[200], path[300];
        struct child vm, c;

        snprintf(small, sizeof(small), "%s/rouse", machines_dir());
        cr_assert_eq(mkdir(small, 0700), 0);
        if (mount("tmpfs", small, "tmpfs", 0, "size=8m,mode=700") != 0)
                cr_skip_test("mounting a small tmpfs needs root");
        vm = machine_run("web", WORDS("--until", "TICK 60 "));
        c = ROUSE(1, "stop", "web", "--stateful");
        cr_expect(strstr(c.err, "space") && strstr(c.err, "goes on"), "%s", c.err);
        machine_expect_state("web", "running");
        cr_expect_neq(access(machine_file(path, "web", "state"), F_OK), 0);
        cr_expect_eq(child_wait(&vm, 40000), 0, "it did not go on: %s%s", vm.out, vm.err);
        beacon_assert_goes_on(strstr(vm.out, "TICK "), 1,
                              ({ struct beacon_tick t; cr_assert(beacon_first(vm.out, &t)); t.nonce; }), 60);
        umount2(small, MNT_DETACH);
        child_free(&vm);
        child_free(&c);
}

Test(stateful, a_bad_state_is_refused_and_stays)
{
        char path[300], byte;
        struct child c;
        int fd;

        save_web(NO_WORDS);
        fd = open(machine_file(path, "web", "state/state"), O_RDWR | O_CLOEXEC);
        cr_assert_eq(pread(fd, &byte, 1, 3000), 1);
        byte ^= 1;
        cr_assert_eq(pwrite(fd, &byte, 1, 3000), 1);
        c = ROUSE(4, "start", "web");
        cr_expect_eq(strchr(c.err, '\n'), c.err + c.err_len - 1, "expected one line, found: %s", c.err);
        child_free(&c);
        machine_expect_state("web", "saved");
        byte ^= 1;
        cr_assert_eq(pwrite(fd, &byte, 1, 3000), 1);
        close(fd);
        ROUSE_DOES(0, "start", "web");
}

static void make_disk(char path[300])
{
        int fd;

        snprintf(path, 300, "%s/disk.raw", machines_dir());
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        cr_assert_eq(ftruncate(fd, 1 << 20), 0);
        close(fd);
}

Test(stateful, a_state_whose_guest_may_have_written_to_a_disk_is_not_woken_twice)
{
        char disk[300];
        struct child c;

        make_disk(disk);
        save_web(WORDS("--disk", disk));
        ROUSE_DOES(0, "start", "web");
        ROUSE_DOES(0, "stop", "web", "--force"); /* before all of its memory is there */
        machine_expect_state("web", "saved");
        c = ROUSE(1, "start", "web");
        cr_expect(strstr(c.err, "--stateless"), "%s", c.err);
        child_free(&c);
        machine_expect_state("web", "saved");
        ROUSE_DOES(0, "start", "web", "--stateless");
        ROUSE_DOES(0, "stop", "web", "--stateful"); /* a newer state is another one */
        ROUSE_DOES(0, "start", "web");
}

Test(stateful, a_state_without_a_disk_to_write_to_can_be_woken_again_after_a_crash)
{
        struct saved s = save_web(NO_WORDS);
        char path[300];

        ROUSE_DOES(0, "start", "web");
        ROUSE_DOES(0, "stop", "web", "--force");
        machine_expect_state("web", "saved");
        unlink(machine_file(path, "web", "console.log"));
        ROUSE_DOES(0, "start", "web");
        expect_goes_on(&s);
}

Test(stateful, a_saved_machine_is_not_made_anew_over_its_state)
{
        struct child c;

        save_web(NO_WORDS);
        c = ROUSE(1, "run", "--kernel", guest_path(), "--name", "web", "--timeout", "10s");
        cr_expect(strstr(c.err, "rouse start web"), "%s", c.err);
        child_free(&c);
        machine_expect_state("web", "saved");
        ROUSE_DOES(0, "delete", "web");
        machine_expect_state("web", "");
}

Test(stateful, a_machine_that_was_restored_starts_from_a_saved_state_only)
{
        char path[300];
        struct saved s;
        struct child vm, c;

        snprintf(path, sizeof(path), "%s/snapshot", machines_dir());
        s = make_native(path, "128M", "1");
        vm = START(rouse_program(), "restore", path, "--name", "web", "--timeout", "100s");
        cr_assert(child_wait_output(&vm, "TICK ", 30000), "%s", vm.err);
        ROUSE_DOES(0, "stop", "web");
        child_free(&vm);
        c = ROUSE(1, "start", "web");
        cr_expect(strstr(c.err, "no kernel") && strstr(c.err, path), "%s", c.err);
        child_free(&c);
        vm = START(rouse_program(), "restore", path, "--name", "web", "--timeout", "100s");
        cr_assert(child_wait_output(&vm, "irq=ok\nTICK ", 30000), "%s", vm.err);
        ROUSE_DOES(0, "stop", "web", "--stateful");
        cr_assert(child_wait(&vm, 10000) == 0 && beacon_last(vm.out, &s.next));
        s.next.n++;
        snprintf(s.partial, sizeof(s.partial), "%s", strrchr(vm.out, '\n') + 1);
        child_free(&vm);
        ROUSE_DOES(0, "start", "web");
        expect_goes_on(&s);
}

Test(stateful, what_hinders_a_start_is_said_by_the_command)
{
        struct child vm = START(rouse_program(), "run", "--kernel", guest_path(), "--name", "web", "--timeout", "100s",
                                "--initrd", "/dev/null/initrd"), c;
        char path[300], moved[300];
        FILE *f;

        cr_expect_eq(child_wait(&vm, 10000), 1);
        machine_expect_state("web", ""); /* it never ran */
        child_free(&vm);
        vm = machine_run("web", NO_WORDS);
        ROUSE_DOES(0, "stop", "web");
        child_free(&vm);
        machine_file(path, "web", "definition.json");
        snprintf(moved, sizeof(moved), "sed -i 's,guest/beacon.bin,guest/gone.bin,' %.250s", path);
        cr_assert_eq(system(moved), 0);
        c = ROUSE(1, "start", "web");
        cr_expect(strstr(c.err, "gone.bin"), "%s", c.err);
        child_free(&c);
        f = fopen(path, "we");
        cr_assert(f && fputs("{\"version\":9}", f) >= 0);
        fclose(f);
        c = ROUSE(1, "start", "web");
        cr_expect(strstr(c.err, "definition.json") && strstr(c.err, "version"), "%s", c.err);
        child_free(&c);
}

Test(stateful, a_wait_can_be_bounded_and_a_vm_that_does_not_answer_killed)
{
        struct child vm = machine_run("web", NO_WORDS), c;

        kill(vm.pid, SIGSTOP);
        c = ROUSE(124, "stop", "web", "--timeout", "200ms");
        cr_expect(strstr(c.err, "web"), "%s", c.err);
        child_free(&c);
        machine_expect_state("web", "busy");
        ROUSE_DOES(0, "stop", "web", "--force", "--timeout", "5s");
        cr_expect_eq(child_wait(&vm, 5000), 128 + SIGKILL);
        child_free(&vm);
        machine_expect_state("web", "stopped");
}
