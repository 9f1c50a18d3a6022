/* QMP of a restored VM: before its guest runs, and while it waits for pages that do not come. */
#include "tests/support/need.h"
#include "tests/support/qmp.h"
#include "tests/support/silent_file.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include "core/base/clock.h"
#include "core/base/units.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define OK     "{\"return\":{}}"
#define PAUSED "{\"return\":{\"running\":false,\"singlestep\":false,\"status\":\"paused\"}}"
#define CMD(c) "{\"execute\":\"" c "\"}"

struct rig {
        struct tmpdir t;
        struct saved  saved;
        char          dir[32], path[40], arg[48];
        struct child  vm;
        struct qmp    q, second;
};

static struct rig *make(void)
{
        struct rig *r = calloc(1, sizeof(*r));
        char path[4300];

        need_kvm();
        need_uffd();
        /* LeakSanitizer stops every thread first, and waits for ever for one that waits in a silent file system */
        setenv("LSAN_OPTIONS", "detect_leaks=0", 1);
        r->t = tmpdir_new();
        snprintf(r->dir, sizeof(r->dir), "/tmp/rouse-e2e-XXXXXX");
        cr_assert_not_null(mkdtemp(r->dir));
        snprintf(r->path, sizeof(r->path), "%s/qmp", r->dir);
        snprintf(r->arg, sizeof(r->arg), "unix=%s", r->path);
        r->q.fd = r->second.fd = -1;
        snprintf(path, sizeof(path), "%s/saved", r->t.path);
        r->saved = make_native(path, "128M", "1");
        return r;
}

static void end(struct rig *r)
{
        if (r->q.fd >= 0)
                qmp_close(&r->q);
        if (r->second.fd >= 0)
                qmp_close(&r->second);
        child_free(&r->vm);
        unlink(r->path);
        cr_expect_eq(rmdir(r->dir), 0);
        tmpdir_free(&r->t);
        free(r);
}

Test(qmp_restore, a_paused_vm_answers_before_its_guest_has_run_and_goes_on_by_cont, .timeout = 90)
{
        struct rig *r = make();
        char tick[64];

        r->vm = START(rouse_program(), "restore", r->saved.path, "--qmp", r->arg, "--paused", "--timeout", "60s");
        qmp_open(&r->q, r->path);
        qmp_expect(&r->q, CMD("query-status"), PAUSED);
        qmp_expect(&r->q, CMD("query-migrate"), "{\"return\":{\"status\":\"completed\"}}");
        cr_expect_eq(r->vm.out_len, 0u);
        qmp_expect(&r->q, CMD("cont"), OK);
        qmp_expect_event(&r->q, "RESUME", "");
        cr_assert(child_wait_output(&r->vm, tick_pattern(tick, &r->saved, 3) + 1, 30000), "%s", r->vm.err);
        assert_joins(&r->saved, r->vm.out, 3);
        qmp_expect(&r->q, CMD("quit"), OK);
        qmp_expect_event(&r->q, "SHUTDOWN", "\"guest\":false,\"reason\":\"host-qmp-quit\"");
        cr_expect_eq(child_wait(&r->vm, 20000), 0);
        end(r);
}

/* The socket is there before the VM, and who connects then is answered before the first KVM_RUN. */
Test(qmp_restore, who_connects_while_the_vm_is_made_is_answered_before_the_guest_runs, .timeout = 90)
{
        struct rig *r = make();
        char memory[4400];
        struct silent_file f;

        snprintf(memory, sizeof(memory), "%s/memory", r->saved.path);
        f = silent_file_new(memory, 0);
        silent_file_hush(&f); /* an eager restore waits there */
        r->vm = START(rouse_program(), "restore", r->saved.path, "--mode", "eager", "--qmp", r->arg, "--timeout", "60s");
        qmp_connect(&r->q, r->path);
        qmp_send(&r->q, CMD("query-status"));
        cr_expect_not(qmp_has_line(&r->q, 200));
        silent_file_speak(&f);
        cr_expect(strstr(qmp_line(&r->q), "{\"QMP\":") == r->q.line);
        cr_expect_str_eq(qmp_line(&r->q), PAUSED, "the guest ran first: %s", r->q.line);
        cr_assert(child_wait_output(&r->vm, "TICK ", 30000), "%s", r->vm.err);
        qmp_expect(&r->q, CMD("quit"), OK);
        cr_expect_eq(child_wait(&r->vm, 20000), 0);
        silent_file_free(&f);
        end(r);
}

/* A guest that runs on a lazy restore whose source has fallen silent; it waits for a page, or soon will. */
static struct silent_file start_silent_at(struct rig *r, const char *source_timeout, unsigned int max_background)
{
        char memory[4400];
        struct silent_file f;

        snprintf(memory, sizeof(memory), "%s/memory", r->saved.path);
        f = silent_file_new(memory, max_background);
        r->vm = START(rouse_program(), "restore", r->saved.path, "--hints", "none", "--fill", "off", "--source-timeout",
                      source_timeout, "--qmp", r->arg,
                      "--timeout", "60s");
        qmp_open(&r->q, r->path);
        cr_assert(child_wait_output(&r->vm, "\n", 30000), "%s", r->vm.err);
        silent_file_hush(&f);
        usleep(200000);
        return f;
}

static struct silent_file start_silent(struct rig *r, const char *source_timeout)
{
        return start_silent_at(r, source_timeout, 0);
}

static uint64_t ms_since(uint64_t ns)
{
        return (now_ns() - ns) / NS_PER_MS;
}

Test(qmp_restore, quit_answers_at_once_while_the_guest_waits_for_a_page, .timeout = 90)
{
        struct rig *r = make();
        struct silent_file f = start_silent(r, "30s");
        uint64_t asked_ns = now_ns();

        qmp_expect(&r->q, CMD("quit"), OK);
        qmp_expect_event(&r->q, "SHUTDOWN", "\"guest\":false,\"reason\":\"host-qmp-quit\"");
        cr_expect_lt(ms_since(asked_ns), 1000u);
        cr_expect_eq(child_wait(&r->vm, 5000), 0);
        cr_expect_lt(ms_since(asked_ns), 4000u);
        silent_file_free(&f);
        end(r);
}

/* Whether the guest is stopped at once, or its page is lost first, hangs on where it waits: in the guest, or inside KVM. */
Test(qmp_restore, stop_answers_within_the_source_timeout_while_the_guest_waits_for_a_page, .timeout = 90)
{
        struct rig *r = make();
        struct silent_file f = start_silent(r, "3s");
        uint64_t asked_ns = now_ns();

        qmp_send(&r->q, CMD("stop"));
        qmp_line(&r->q);
        cr_expect_lt(ms_since(asked_ns), 3000u + 1500);
        if (strcmp(r->q.line, OK) == 0) {
                qmp_expect_event(&r->q, "STOP", "");
                qmp_expect(&r->q, CMD("query-status"), PAUSED);
        } else {
                cr_expect_str_eq(r->q.line, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Failed to pause VM\"}}");
                cr_expect_eq(child_wait(&r->vm, 10000), 5, "exit %d: %s", r->vm.status, r->vm.err);
        }
        silent_file_free(&f);
        end(r);
}

Test(qmp_restore, a_migrate_that_waits_for_pages_is_active_can_be_cancelled_and_done_again, .timeout = 120)
{
        struct rig *r = make();
        struct silent_file f = start_silent(r, "30s");
        char migrate[400], refused[300];
        uint64_t asked_ns;

        snprintf(migrate, sizeof(migrate), "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:%.250s/again\"}}", r->t.path);
        snprintf(refused, sizeof(refused),
                 "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Failed to transfer migration status from active to active.\"}}");
        qmp_send(&r->q, migrate);
        qmp_open(&r->second, r->path);
        do
                qmp_send(&r->second, CMD("query-migrate"));
        while (strcmp(qmp_line(&r->second), "{\"return\":{\"status\":\"completed\"}}") == 0);
        cr_expect_str_eq(r->second.line, "{\"return\":{\"status\":\"active\"}}");
        qmp_expect(&r->second, migrate, refused);
        qmp_expect(&r->second, CMD("query-status"),
                   "{\"return\":{\"running\":true,\"singlestep\":false,\"status\":\"running\"}}");
        qmp_expect(&r->second, CMD("stop"), OK); /* said for later */
        qmp_expect(&r->second, CMD("cont"), OK);
        cr_expect_not(qmp_has_line(&r->q, 100), "migrate answered: %s", r->q.buf);
        asked_ns = now_ns();
        qmp_expect(&r->second, CMD("migrate_cancel"), OK);
        cr_expect(strstr(qmp_line(&r->q), "{\"error\":{\"class\":\"GenericError\"") == r->q.line, "%s", r->q.line);
        cr_expect_lt(ms_since(asked_ns), 1000u);
        qmp_expect(&r->second, CMD("query-migrate"), "{\"return\":{\"status\":\"canceled\"}}");

        /* The same client may cancel, too: its replies stay in order. */
        qmp_send(&r->q, migrate);
        usleep(100000);
        qmp_send(&r->q, CMD("query-migrate") CMD("migrate_cancel"));
        cr_expect(strstr(qmp_line(&r->q), "{\"error\":{\"class\":\"GenericError\"") == r->q.line, "%s", r->q.line);
        cr_expect_str_eq(qmp_line(&r->q), "{\"return\":{\"status\":\"canceled\"}}");
        cr_expect_str_eq(qmp_line(&r->q), OK);

        silent_file_speak(&f);
        qmp_expect(&r->q, migrate, OK);
        qmp_expect_event(&r->q, "STOP", "");
        qmp_expect(&r->q, CMD("query-migrate"), "{\"return\":{\"status\":\"completed\"}}");
        qmp_expect(&r->q, CMD("cont"), OK);
        qmp_expect_event(&r->q, "RESUME", "");
        cr_assert(child_wait_output(&r->vm, "TICK ", 30000));
        silent_file_free(&f);
        end(r);
}

/* Nobody may be told "stopped" of a VM that runs. */
Test(qmp_restore, a_stop_during_a_snapshot_that_works_holds_after_it, .timeout = 120)
{
        struct rig *r = make();
        struct silent_file f = start_silent(r, "30s");
        char snapshot[400];

        snprintf(snapshot, sizeof(snapshot), "{\"execute\":\"x-rouse-snapshot\",\"arguments\":{\"dir\":\"%.250s/again\"}}",
                 r->t.path);
        qmp_send(&r->q, snapshot);
        usleep(100000);
        qmp_open(&r->second, r->path);
        qmp_expect(&r->second, CMD("stop"), OK);
        silent_file_speak(&f);
        cr_expect(strstr(qmp_line(&r->q), "{\"return\":{\"identity\"") == r->q.line, "%s", r->q.line);
        qmp_expect_event(&r->q, "STOP", "");
        qmp_expect_event(&r->q, "RESUME", "");
        qmp_expect_event(&r->q, "STOP", "");
        qmp_expect(&r->q, CMD("query-status"), PAUSED);
        qmp_expect(&r->q, CMD("quit"), OK);
        cr_expect_eq(child_wait(&r->vm, 10000), 0);
        silent_file_free(&f);
        end(r);
}

/* Whoever cannot be accepted stays in line; the save and its client do not wait for that. */
Test(qmp_restore, a_migrate_without_a_descriptor_for_another_client_can_be_cancelled, .timeout = 120)
{
        struct rig *r = make();
        struct silent_file f = start_silent(r, "30s");
        struct rlimit before, none = {.rlim_cur = 3}; /* poll(2) wants it to be no less than what it is asked about */
        char migrate[400];

        snprintf(migrate, sizeof(migrate), "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:%.250s/never\"}}", r->t.path);
        qmp_send(&r->q, migrate);
        usleep(100000);
        cr_assert_eq(prlimit(r->vm.pid, RLIMIT_NOFILE, NULL, &before), 0);
        none.rlim_max = before.rlim_max;
        cr_assert_eq(prlimit(r->vm.pid, RLIMIT_NOFILE, &none, NULL), 0);
        qmp_connect(&r->second, r->path);
        usleep(100000);
        qmp_send(&r->q, CMD("migrate_cancel"));
        cr_expect(qmp_has_line(&r->q, 5000), "it waits for a descriptor");
        cr_assert_eq(prlimit(r->vm.pid, RLIMIT_NOFILE, &before, NULL), 0);
        cr_expect(strstr(qmp_line(&r->q), "{\"error\":{\"class\":\"GenericError\"") == r->q.line, "%s", r->q.line);
        cr_expect_str_eq(qmp_line(&r->q), OK);
        qmp_expect(&r->q, CMD("quit"), OK);
        cr_expect_eq(child_wait(&r->vm, 10000), 0);
        silent_file_free(&f);
        end(r);
}

Test(qmp_restore, quit_by_another_client_ends_a_migrate_that_waits, .timeout = 120)
{
        struct rig *r = make();
        struct silent_file f = start_silent(r, "30s");
        char migrate[400];

        snprintf(migrate, sizeof(migrate), "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:%.250s/never\"}}", r->t.path);
        qmp_send(&r->q, migrate);
        usleep(100000);
        qmp_open(&r->second, r->path);
        qmp_expect(&r->second, CMD("quit"), OK);
        cr_expect(strstr(qmp_line(&r->q), "{\"error\":{\"class\":\"GenericError\"") == r->q.line, "%s", r->q.line);
        qmp_expect_event(&r->q, "SHUTDOWN", "\"guest\":false,\"reason\":\"host-qmp-quit\"");
        cr_expect_eq(child_wait(&r->vm, 5000), 0);
        silent_file_free(&f);
        end(r);
}

Test(qmp_restore, a_migrate_whose_source_stays_silent_fails_within_its_timeout, .timeout = 120)
{
        struct rig *r = make();
        struct silent_file f = start_silent(r, "2s");
        char migrate[400];
        uint64_t asked_ns = now_ns();

        snprintf(migrate, sizeof(migrate), "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:%.250s/never\"}}", r->t.path);
        qmp_send(&r->q, migrate);
        cr_expect(strstr(qmp_line(&r->q), "{\"error\":{\"class\":\"GenericError\"") == r->q.line, "%s", r->q.line);
        cr_expect_lt(ms_since(asked_ns), 10000u);
        silent_file_free(&f);
        end(r);
}

/* There its thread starts reads until the kernel makes it wait, and answers no fault any more. */
Test(qmp_restore, quit_ends_a_vm_whose_pager_is_itself_held_up_by_the_file_system, .timeout = 120)
{
        struct rig *r = make();
        struct silent_file f = start_silent_at(r, "30s", 2);
        char migrate[400];
        uint64_t asked_ns;

        snprintf(migrate, sizeof(migrate), "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"file:%.250s/never\"}}", r->t.path);
        qmp_send(&r->q, migrate); /* asks for all pages at once */
        usleep(100000);
        qmp_open(&r->second, r->path);
        asked_ns = now_ns();
        qmp_expect(&r->second, CMD("quit"), OK);
        cr_expect_lt(ms_since(asked_ns), 1000u);
        cr_expect_eq(child_wait(&r->vm, 15000), 0);
        silent_file_free(&f);
        end(r);
}
