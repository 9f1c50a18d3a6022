/* What `rouse restore --timeline` writes of a VM that runs: every page once, in order of time, and as many as the ledger
 * counts. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/session.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define RAM_PAGES   (128 * MIB / PAGE_BYTES)

/* A restore of a snapshot of 128 MiB, and where its log goes. */
struct logged {
        struct tmpdir   t;
        struct saved    s;
        char            path[4300];
        struct session *session;
};

static struct logged logged_new(void)
{
        struct logged l = {.t = tmpdir_new()};
        char path[4300];

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", l.t.path, 1);
        snprintf(path, sizeof(path), "%s/beacon", l.t.path);
        snprintf(l.path, sizeof(l.path), "%s/timeline", l.t.path);
        l.s = make_native(path, "128M", "1");
        return l;
}

static void quit_when_settled(void *arg, int fd, short revents)
{
        struct session *s = arg;
        uint64_t n;

        (void)revents;
        if (read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n) && session_is_settled(s))
                session_quit(s);
}

/* The guest runs until every page is there. */
static struct ledger run_until_settled(struct logged *l)
{
        struct restore_options o = {.common = {.serial_out_fd = -1, .timeout_ns = 60 * NS_PER_S}, .path = l->s.path,
                                    .mode = RESTORE_LAZY, .hints = HINTS_NONE,
                                    .timeline_path = l->path, .fill = true, .verify = true, .source_timeout_ms = 5000};
        struct itimerspec often = {.it_value.tv_nsec = 20 * NS_PER_MS, .it_interval.tv_nsec = 20 * NS_PER_MS};
        _cleanup_close_ int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
        struct session_result result;
        struct ledger ledger;
        struct err e = {0};

        cr_assert_eq(session_restore(&o, &l->session, &e), 0, "%s", e.text);
        cr_assert_eq(timerfd_settime(timer, 0, &often, NULL), 0);
        cr_assert_eq(session_watch(l->session, timer, POLLIN, quit_when_settled, l->session), 0);
        session_run(l->session, &result);
        cr_assert_eq(result.why, SESSION_QUIT, "%s", result.err.text);
        ledger = *session_ledger(l->session);
        session_free(l->session);
        return ledger;
}

static int find_class(const char *name)
{
        for (int c = 0; c < FAULT_CLASSES; c++)
                if (strcmp(name, ledger_fault_name((enum fault_class)c)) == 0)
                        return c;
        cr_assert_fail("'%s' is no class of the ledger", name);
        return -1;
}

/* Sums by class; each line is held against those before it. */
static void read_log(const char *path, const struct ledger *ledger, uint64_t sums[FAULT_CLASSES])
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        _cleanup_free_ uint8_t *seen = calloc(1, RAM_PAGES);
        uint64_t us, last = 0, gpa, pages, end_us = (ledger->t_ns[LEDGER_T6] - ledger->t_ns[LEDGER_T0]) / NS_PER_US;
        char line[400], name[20];

        cr_assert(f && seen);
        while (fgets(line, sizeof(line), f)) {
                if (line[0] == '#')
                        continue;
                cr_assert_eq(sscanf(line, "%" SCNu64 " 0x%" SCNx64 " %" SCNu64 " %19s", &us, &gpa, &pages, name), 4, "%s", line);
                cr_assert(us >= last && us <= end_us, "after %" PRIu64 ", and with T6 at %" PRIu64 ": %s", last, end_us, line);
                cr_assert_eq(gpa % PAGE_BYTES, 0);
                last = us;
                for (uint64_t i = gpa / PAGE_BYTES; i < gpa / PAGE_BYTES + pages; i++) {
                        cr_assert_lt(i, RAM_PAGES);
                        cr_assert_eq(seen[i]++, 0, "page %" PRIu64 " stands there twice: %s", i, line);
                }
                sums[find_class(name)] += pages;
        }
}

Test(timeline, every_page_that_was_installed_stands_there_once_in_order_and_the_sums_are_the_ledgers, .timeout = 120)
{
        struct logged l = logged_new();
        struct ledger ledger = run_until_settled(&l);
        uint64_t sums[FAULT_CLASSES] = {0};

        cr_assert_neq(ledger.t_ns[LEDGER_T6], 0);
        cr_assert_gt(ledger.end.faults[FAULT_DEMAND], 0);
        cr_assert_gt(ledger.end.faults[FAULT_FILL], 0);
        read_log(l.path, &ledger, sums);
        for (int c = 0; c < FAULT_CLASSES; c++)
                cr_assert_eq(sums[c], ledger.end.faults[c], "%s: %" PRIu64 " in the log, %" PRIu64 " in the ledger",
                             ledger_fault_name((enum fault_class)c), sums[c], ledger.end.faults[c]);
        tmpdir_free(&l.t);
}

static void assert_holds(const char *path, const char *text)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char all[4000] = "";

        cr_assert_not_null(f);
        all[fread(all, 1, sizeof(all) - 1, f)] = '\0';
        cr_assert(strstr(all, text), "expected '%s' in %s", text, all);
}

Test(timeline, a_mode_without_a_pager_says_that_there_is_nothing_to_log, .timeout = 120)
{
        static const char *const modes[] = {"mmap", "eager"};
        struct logged l = logged_new();

        for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
                struct child c = RUN(PATIENCE_MS, rouse_program(), "restore", l.s.path, "--mode", modes[i], "--timeline", l.path,
                                     "--until", "TICK");

                cr_assert_eq(c.status, 0, "%s", c.err);
                cr_assert(strstr(c.err, "nothing to log"), "%s", c.err);
                assert_holds(l.path, "# nothing to log: this restore has no pager\n");
                child_free(&c);
        }
        tmpdir_free(&l.t);
}

Test(timeline, a_log_that_cannot_be_written_fails_the_restore_by_name, .timeout = 120)
{
        struct logged l = logged_new();
        struct child c;

        snprintf(l.path, sizeof(l.path), "%s/no such directory/timeline", l.t.path);
        c = RUN(PATIENCE_MS, rouse_program(), "restore", l.s.path, "--mode", "lazy", "--timeline", l.path, "--until", "TICK");
        cr_assert_eq(c.status, 1, "exit %d: %s", c.status, c.err);
        cr_assert(strstr(c.err, l.path), "%s", c.err);
        child_free(&c);
        tmpdir_free(&l.t);
}
