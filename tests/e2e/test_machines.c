/* Named machines whose files, disks or surroundings are not as they were: what is refused, what is said, and what stays as it
 * was. */
#include "core/base/cleanup.h"
#include "kvm/cpuid_cache.h"
#include "tests/support/edit_native.h"
#include "tests/support/machine.h"
#include "tests/support/need.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void begin(void)
{
        need_kvm();
        need_uffd();
        machines_begin();
}

TestSuite(machines, .init = begin, .fini = machines_end, .timeout = 120);

#define NO_WORDS ((const char *const[]){NULL})

static void save(const char *name, const char *const *words)
{
        struct child vm = machine_run(name, words);

        ROUSE_DOES(0, "stop", name, "--stateful");
        cr_assert_eq(child_wait(&vm, 20000), 0, "%s", vm.err);
        child_free(&vm);
        machine_expect_state(name, "saved");
}

static void write_file(const char *path, const char *text)
{
        FILE *f = fopen(path, "we");

        cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static const char *make_disk(char path[300], off_t size_bytes)
{
        int fd;

        snprintf(path, 300, "%s/disk.raw", machines_dir());
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        cr_assert_eq(ftruncate(fd, size_bytes), 0);
        close(fd);
        return path;
}

static void expect_one_line(struct child *c, const char *holds)
{
        cr_expect(strstr(c->err, holds), "expected '%s' in: %s", holds, c->err);
        cr_expect_eq(strchr(c->err, '\n'), c->err + c->err_len - 1, "expected one line, found: %s", c->err);
        child_free(c);
}

Test(machines, a_disk_keeps_its_serial_number_from_one_start_to_the_next)
{
        char disk[300], word[400], path[300], text[2000] = "";
        FILE *f;

        snprintf(word, sizeof(word), "%s,serial=S 1", make_disk(disk, 1 << 20));
        save("web", WORDS("--disk", word));
        f = fopen(machine_file(path, "web", "definition.json"), "re");
        cr_assert(f && fread(text, 1, sizeof(text) - 1, f) > 0);
        fclose(f);
        cr_expect(strstr(text, "\"serial\":\"S 1\""), "%s", text);
        ROUSE_DOES(0, "start", "web");
        ROUSE_DOES(0, "stop", "web");
}

/* --- list --- */

#define LONG_NAME "a-name-of-as-many-letters-as-a-name-may-have-which-is-sixty-four"

Test(machines, the_table_is_aligned_and_has_the_rows_of_the_json)
{
        struct child vm = machine_run(LONG_NAME, NO_WORDS), c;
        char path[300];

        child_free(&vm);
        snprintf(path, sizeof(path), "%s/rouse/machines/empty", machines_dir());
        cr_assert_eq(mkdir(path, 0700), 0); /* of a run that was killed as it began */
        snprintf(path, sizeof(path), "%s/rouse/machines/torn", machines_dir());
        cr_assert_eq(mkdir(path, 0700), 0);
        write_file(machine_file(path, "torn", "definition.json"), "{\"version\":1,");
        machine_expect_state("empty", "");
        machine_expect_state("torn", "stopped"); /* it can be deleted, so it is told of */
        c = ROUSE(0, "list");
        cr_expect_null(strstr(c.out, "empty"), "%s", c.out);
        cr_expect(strstr(c.err, "torn/definition.json"), "%s", c.err);
        for (const char *line = c.out; *line; line = strchr(line, '\n') + 1)
                cr_expect_eq(strcspn(line, "\n"), 64 + 1 + 8 + 1 + 8 + 1 + 8 + 1 + 6, "%s", c.out);
        child_free(&c);
        ROUSE_DOES(0, "delete", "torn");
        machine_expect_state("torn", "");
}

/* --- stop --- */

Test(machines, a_state_is_not_saved_over_a_machine_that_another_directory_has_under_that_name)
{
        char other[300], path[400];
        struct child vm, c;

        save("web", NO_WORDS);
        snprintf(other, sizeof(other), "%s/other", machines_dir());
        setenv("XDG_STATE_HOME", other, 1);
        vm = machine_run("web", NO_WORDS);
        setenv("XDG_STATE_HOME", machines_dir(), 1);
        c = ROUSE(1, "stop", "web", "--stateful");
        cr_expect(strstr(c.err, "goes on") && strstr(c.err, "XDG_STATE_HOME"), "%s", c.err);
        child_free(&c);
        setenv("XDG_STATE_HOME", other, 1);
        machine_expect_state("web", "running");
        ROUSE_DOES(0, "stop", "web", "--stateful");
        snprintf(path, sizeof(path), "%s/rouse/machines/web/state", other);
        cr_expect_eq(access(path, F_OK), 0);
        setenv("XDG_STATE_HOME", machines_dir(), 1);
        child_free(&vm);
}

Test(machines, a_vm_that_is_killed_while_it_is_stopped_is_not_said_to_go_on)
{
        struct child vm = machine_run("web", NO_WORDS), stop;

        kill(vm.pid, SIGSTOP); /* so that it does not answer first */
        stop = START(rouse_program(), "stop", "web", "--stateful");
        usleep(300000);
        child_kill(&vm, SIGKILL);
        cr_expect_eq(child_wait(&stop, 10000), 1);
        cr_expect_null(strstr(stop.err, "goes on"), "%s", stop.err);
        cr_expect(strstr(stop.err, "'rouse list'"), "%s", stop.err);
        child_free(&stop);
        child_free(&vm);
}

/* --- start --- */

static void start_without_a_log(const char *more)
{
        char log[300], state[300];

        machine_file(log, "web", "log");
        cr_assert_eq(mkdir(log, 0700), 0); /* where the messages should go */
        ROUSE_DOES(1, "start", "web", more);
        cr_expect_eq(rmdir(log), 0);
        cr_expect_eq(access(machine_file(state, "web", "state"), F_OK), 0, "the state is gone");
}

Test(machines, a_start_that_fails_before_the_guest_runs_spends_no_state)
{
        char disk[300];

        make_disk(disk, 1 << 20);
        save("web", WORDS("--disk", disk));
        start_without_a_log(NULL);
        start_without_a_log("--stateless");
        ROUSE_DOES(0, "start", "web");
}

Test(machines, a_state_whose_disk_has_changed_is_not_woken_and_the_way_out_is_said)
{
        char disk[300];
        struct child c;

        make_disk(disk, 1 << 20);
        save("web", WORDS("--disk", disk));
        make_disk(disk, 2 << 20);
        c = ROUSE(4, "start", "web");
        cr_expect(strstr(c.err, "'rouse start web --stateless'"), "%s", c.err);
        expect_one_line(&c, disk);
        machine_expect_state("web", "saved");
        make_disk(disk, 1 << 20);
        ROUSE_DOES(0, "start", "web");
}

Test(machines, a_definition_that_makes_no_sense_is_a_failure_and_no_wrong_usage)
{
        static const char *const rows[][2] = {
                {"\"serial\":\"loud\",\"memory_bytes\":67108864,\"vcpus\":1", "\"serial\""},
                {"\"serial\":\"file=\",\"memory_bytes\":67108864,\"vcpus\":1", "\"serial\""},
                {"\"serial\":\"null\",\"memory_bytes\":12345,\"vcpus\":1", "12345"},
                {"\"serial\":\"null\",\"memory_bytes\":67108864,\"vcpus\":4000000000", "4000000000"},
                {"\"serial\":\"null\",\"memory_bytes\":67108864,\"vcpus\":1,\"devices\":[{\"kind\":\"blk\",\"slot\":0}]",
                 "\"path\""},
                {"\"serial\":\"null\",\"memory_bytes\":67108864,\"vcpus\":1,\"devices\":[{\"kind\":\"net\",\"slot\":0}]",
                 "slot 0"},
        };
        char path[300], text[1000];

        snprintf(path, sizeof(path), "%s/rouse/machines/web", machines_dir());
        snprintf(text, sizeof(text), "mkdir -p %s", path);
        cr_assert_eq(system(text), 0);
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                struct child c;

                snprintf(text, sizeof(text), "{\"version\":1,\"kernel\":\"%s\",%s}", guest_path(), rows[i][0]);
                write_file(machine_file(path, "web", "definition.json"), text);
                c = ROUSE(1, "start", "web");
                cr_expect(strstr(c.err, "definition.json"), "%s", c.err);
                expect_one_line(&c, rows[i][1]);
        }
}

/* --- the CPU --- */

static void add_feature(struct vm_state *vm, void *arg)
{
        (void)arg;
        for (uint32_t i = 0; i < vm->vcpus[0].nr_cpuid; i++)
                if (vm->vcpus[0].cpuid[i].function == 0x80000008)
                        vm->vcpus[0].cpuid[i].ebx |= 1u << 13; /* nobody has this one */
}

Test(machines, what_let_a_guest_pass_at_its_restore_lets_it_pass_at_its_start)
{
        char state[300], old[320];
        struct child c;

        save("web", NO_WORDS);
        snprintf(old, sizeof(old), "%s.old", machine_file(state, "web", "state"));
        cr_assert_eq(rename(state, old), 0);
        edit_native(old, state, add_feature, NULL);
        c = ROUSE(4, "start", "web");
        expect_one_line(&c, "--allow-cpu-mismatch");
        ROUSE_DOES(0, "start", "web", "--allow-cpu-mismatch");
        machine_expect_state("web", "running");
}

Test(machines, nobody_is_refused_for_what_a_file_says_of_this_cpu)
{
        struct cpuid_table nothing = {.nr = 1};
        _cleanup_close_ int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
        char path[300];

        save("web", NO_WORDS);
        snprintf(path, sizeof(path), "%s/rouse/host-cpuid", machines_dir());
        cpuid_cache_put(path, kvm_fd, &nothing);
        cr_assert(cpuid_cache_get(path, kvm_fd, &nothing));
        ROUSE_DOES(0, "start", "web");
        cr_assert(cpuid_cache_get(path, kvm_fd, &nothing));
        cr_expect_gt(nothing.nr, 1, "it was mended");
}

/* --- standard output --- */

Test(machines, a_closed_standard_output_is_no_other_file)
{
        char command[600], path[300];
        struct stat st;

        snprintf(command, sizeof(command), "timeout -s KILL 1 %s run --kernel %s --memory 64M --name web >&- 2>&-", rouse_program(),
                 guest_path());
        cr_expect_eq(WEXITSTATUS(system(command)), 128 + SIGKILL);
        snprintf(path, sizeof(path), "%s/rouse/web.lock", machines_dir()); /* the first file that it opens, and leaves when it is killed */
        cr_assert_eq(stat(path, &st), 0);
        cr_expect_eq(st.st_size, 0);
        snprintf(command, sizeof(command), "%s list >&- 2>/dev/null", rouse_program());
        cr_expect_eq(WEXITSTATUS(system(command)), 1, "a result that could not be written is no result");
}
