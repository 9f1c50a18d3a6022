/* Killed at any moment: what is on disk is the old machine or the new one, never half of either. */
#include "core/base/clock.h"
#include "core/base/units.h"
#include "tests/support/machine.h"
#include "tests/support/need.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROUNDS 40

static void begin(void)
{
        need_kvm();
        need_uffd();
        machines_begin();
}

TestSuite(stateful_full, .init = begin, .fini = machines_end, .timeout = 600);

static bool has_state(void)
{
        char path[300];

        return access(machine_file(path, "web", "state"), F_OK) == 0;
}

/* How long a save takes on this host today, start of `rouse stop` to its end: a kill at a random moment must be able to meet
 * either side of it. */
static uint64_t save_takes_us(void)
{
        uint64_t longest = 0;

        for (int i = 0; i < 3; i++) {
                uint64_t begun;

                ROUSE_DOES(0, "start", "web");
                begun = now_ns();
                ROUSE_DOES(0, "stop", "web", "--stateful");
                longest = MAX(longest, (now_ns() - begun) / 1000);
        }
        return longest;
}

/* The state that is there is whole, and its guest goes on from `least` or later; where it stands. */
static uint64_t expect_whole(uint64_t least)
{
        char path[300];
        struct child c;
        struct beacon_tick t;

        machine_file(path, "web", "state");
        ROUSE_DOES(0, "verify", path);
        c = START(rouse_program(), "restore", path, "--until", "TICK ", "--timeout", "20s");
        cr_assert_eq(child_wait(&c, 30000), 0, "%s", c.err);
        cr_assert(beacon_first(c.out, &t), "%s", c.out);
        cr_expect_geq(t.n, least, "the state went back from tick %llu to %llu", (unsigned long long)least,
                      (unsigned long long)t.n);
        child_free(&c);
        return t.n;
}

Test(stateful_full, a_vm_that_is_killed_while_it_saves_leaves_the_old_state_or_the_new_one)
{
        struct child vm = machine_run("web", WORDS("--cpus", "2")), stop, started;
        uint64_t tick = 0, save_us;
        int replaced = 0, kept = 0;
        unsigned int seed = 1;

        ROUSE_DOES(0, "stop", "web", "--stateful");
        child_free(&vm);
        save_us = save_takes_us();
        for (int i = 0; i < ROUNDS; i++) {
                uint64_t before = tick;

                /* In the foreground, so that the test knows whom to kill. Its state has no disk: it can be woken again after a
                 * kill. */
                started = START(rouse_program(), "start", "web", "--console");
                cr_assert(child_wait_output(&started, "TICK ", 30000), "%s", started.err);
                if (i % 2)
                        machine_wait_file("web", "state", false, 20000); /* half of the time there is no old one any more */
                stop = START(rouse_program(), "stop", "web", "--stateful");
                usleep((useconds_t)((uint64_t)rand_r(&seed) % (2 * save_us)));
                child_kill(&started, SIGKILL);
                child_wait(&started, 10000);
                child_wait(&stop, 10000);
                child_free(&started);
                child_free(&stop);
                machine_expect_state("web", has_state() ? "saved" : "stopped"); /* the definition can be read, too */
                if (has_state())
                        tick = expect_whole(before);
                replaced += has_state() && tick > before;
                kept += !has_state() || tick == before;
                if (!has_state()) { /* begin again */
                        ROUSE_DOES(0, "start", "web");
                        ROUSE_DOES(0, "stop", "web", "--stateful");
                        tick = 0;
                }
        }
        cr_log_info("%d saves were done when the kill came, %d were not", replaced, kept);
        cr_expect(replaced > 0 && kept > 0, "%d done, %d not, of saves of %llu us: the kills came all too late or all too early",
                  replaced, kept, (unsigned long long)save_us);
}

Test(stateful_full, a_start_that_is_killed_at_any_moment_loses_no_state_before_the_guest_runs)
{
        struct child vm = machine_run("web", (const char *const[]){NULL}), started;
        unsigned int seed = 2;

        ROUSE_DOES(0, "stop", "web", "--stateful");
        child_free(&vm);
        for (int i = 0; i < ROUNDS; i++) {
                started = START(rouse_program(), "start", "web", "--console");
                usleep((useconds_t)rand_r(&seed) % 8000);
                child_kill(&started, SIGKILL);
                child_wait(&started, 10000);
                child_free(&started);
                cr_assert(has_state(), "round %d: the state is gone", i);
        }
        expect_whole(0);
}

Test(stateful_full, a_run_that_is_killed_at_any_moment_leaves_a_definition_that_can_be_read)
{
        unsigned int seed = 3;

        for (int i = 0; i < ROUNDS; i++) {
                /* another definition each time */
                struct child vm = START(rouse_program(), "run", "--kernel", guest_path(), "--memory", i % 2 ? "64M" : "128M",
                                        "--name", "web", "--timeout", "20s");

                usleep((useconds_t)rand_r(&seed) % 30000);
                child_kill(&vm, SIGKILL);
                child_wait(&vm, 10000);
                child_free(&vm);
                if (machine_wait_file("web", "definition.json", true, 0))
                        machine_expect_state("web", "stopped");
        }
        ROUSE_DOES(0, "start", "web");
        free(machine_wait_log("web", "TICK 2 "));
}
