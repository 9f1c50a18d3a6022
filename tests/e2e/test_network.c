/* A guest that talks ARP and ICMP with its host through a tap, in a network namespace of the test's own, before and after it is
 * woken. */
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run_tool(const char *command)
{
        int status = system(command); /* NOLINT(cert-env33-c): a test's own words */

        cr_assert_eq(status, 0, "%s: status %d", command, status);
}

/* Each Criterion test is a process of its own, and the children inherit its namespace. */
static void make_network(void)
{
        need_tap();
        cr_assert_eq(unshare(CLONE_NEWNET), 0, "unshare: %s", strerror(errno));
        run_tool("ip tuntap add dev rtap mode tap");
        run_tool("ip addr add 10.77.0.1/24 dev rtap");
        run_tool("ip link set rtap up");
}

static struct saved boot_ping(const struct tmpdir *t)
{
        char path[4300];

        snprintf(path, sizeof(path), "%s/first", t->path);
        return make_native_of("ping", path, 3, WORDS("--memory", "128M", "--net", "tap=rtap"));
}

Test(network, a_guest_asks_and_is_answered_through_its_tap_in_every_mode, .timeout = 120)
{
        static const char *const modes[] = {"lazy", "mmap", "eager"};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        make_network();
        s = boot_ping(&t);
        for (int i = 0; i < 3; i++) {
                struct beacon_tick last = assert_wakes(&s, 21, WORDS("--mode", modes[i], "--net", "4=tap=rtap"));

                cr_assert_geq(beacon_number(&last, "received"), 40, "expected two answers a tick, found: %s", last.words);
        }
}

/* The last whole tick, once it tells of so many. Two may come in one tick, and a busy host asks for the guest's address in
 * between. */
static struct beacon_tick await_answers(struct child *vm, uint64_t nr)
{
        struct beacon_tick last = {0};

        for (int i = 0; i < 200; i++) {
                cr_assert_not(child_wait_output(vm, "never said", 50)); /* reads what there is */
                if (beacon_last(vm->out, &last) && beacon_number(&last, "answered") >= nr)
                        return last;
        }
        cr_assert_fail("expected %llu answers, found: %s", (unsigned long long)nr, last.words);
        return last;
}

Test(network, a_woken_guest_answers_the_pings_of_its_host, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct beacon_tick last;
        struct saved s;
        struct child vm;

        need_kvm();
        need_uffd();
        make_network();
        s = boot_ping(&t);
        vm = START(rouse_program(), "restore", s.path, "--net", "4=tap=rtap", "--timeout", "60s");
        cr_assert(child_wait_output(&vm, "TICK", 20000), "%s", vm.err);
        run_tool("ping -c 5 -i 0.2 -W 5 10.77.0.2 >/dev/null");
        last = await_answers(&vm, 5);
        child_kill(&vm, 15);
        child_wait(&vm, 10000);
        cr_assert(last.good, "expected bad=0, found: %s", last.words);
        child_free(&vm);
}

Test(network, an_active_card_without_a_tap_is_refused_with_its_slot_mac_and_option, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;
        struct child c;

        need_kvm();
        need_uffd();
        make_network();
        s = boot_ping(&t);
        c = RUN(20000, rouse_program(), "restore", s.path, "--timeout", "10s");
        cr_assert_eq(c.status, 4, "expected exit 4, found %d: %s", c.status, c.err);
        cr_assert(strstr(c.err, "slot 4") && strstr(c.err, "52:54:00:12:34:56") &&
                  strstr(c.err, "--net 4=tap=NAME"), "found: %s", c.err);
        child_free(&c);
}
