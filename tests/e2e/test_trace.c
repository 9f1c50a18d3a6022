/* rouse trace: what a guest is seen to touch, whoever runs it, beside what a recording says; and what is said where tracing
 * cannot be. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "formats/hints_file.h"
#include "tests/support/need.h"
#include "tests/support/qmp.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"
#include "tools/trace/to_hints.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 60000

/* tests/guest/vary.c's and guest.h's own numbers. */
#define FIXED        900
#define FILL_PAGE    0x2000U
#define BEACON_PAGES 8192U

static const char *in_dir(char buf[4300], const struct tmpdir *t, const char *name)
{
        snprintf(buf, 4300, "%s/%s", t->path, name);
        return buf;
}

/* Asked of a trace itself: a command that runs no guest can be traced where anything can. */
static void need_trace(const struct tmpdir *t)
{
        char path[4300];
        struct child c;

        need_kvm();
        setenv("XDG_DATA_HOME", t->path, 1);
        c = RUN(PATIENCE_MS, rouse_program(), "trace", "--out", in_dir(path, t, "nothing"), "--", "true");
        if (!strstr(c.err, "no guest ran in it"))
                need_lacks(c.err, EPERM);
        child_free(&c);
}

static struct hints read_hints(const char *path)
{
        struct hints h = {0};
        struct err e = {0};

        cr_assert_eq(hints_file_read_any(path, &h, &e), 0, "%s", e.text);
        return h;
}

static const struct hint *find_page(const struct hints *h, uint32_t page)
{
        for (size_t i = 0; i < h->nr; i++)
                if (h->v[i].page == page)
                        return &h->v[i];
        return NULL;
}

static struct saved make_vm_at(const struct tmpdir *t, const char *guest, int number)
{
        char path[4300], name[32];

        snprintf(name, sizeof(name), "snapshot-%d", number);
        return make_native_of(guest, in_dir(path, t, name), 2, WORDS("--memory", "128M"));
}

static struct saved make_vm(const struct tmpdir *t, const char *guest)
{
        return make_vm_at(t, guest, 0);
}

/* Traces a restore until the guest has done a whole tick, wherever in one it was saved. Returns what was said on standard error,
 * for the caller to free. */
static char *trace_restore(const struct saved *s, const char *out, const char *mode)
{
        char tick[64];
        struct child c = RUN(PATIENCE_MS, rouse_program(), "trace", "--out", out, "--snapshot", s->path, "--", rouse_program(), "restore", s->path, "--mode", mode,
                             "--until", tick_pattern(tick, s, 1), "--timeout", "60s");
        char *said = strdup(c.err);

        cr_assert_eq(c.status, 0, "exit %d: %s%s", c.status, c.out, c.err);
        cr_assert_null(strstr(c.err, "lost"), "%s", c.err);
        child_free(&c);
        return said;
}

static unsigned long number_after(const char *text, const char *name)
{
        const char *p = strstr(text, name);

        cr_assert_not_null(p, "expected '%s' in: %s", name, text);
        return strtoul(p + strlen(name), NULL, 10);
}

/* Of the pages of `a`, how many has `b`? */
static size_t count_common(const struct hints *a, const struct hints *b)
{
        size_t nr = 0;

        for (size_t i = 0; i < a->nr; i++)
                nr += find_page(b, a->v[i].page) != NULL;
        return nr;
}

Test(trace, the_trace_of_an_mmap_restore_has_95_percent_of_what_a_lazy_one_recorded_and_replays, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints recorded = {0}, traced = {0};
        char record[4300], trace[4300], tick[64];
        struct saved s;
        struct child c;
        size_t common;

        need_trace(&t);
        need_uffd();
        s = make_vm(&t, "beacon");
        c = RUN(PATIENCE_MS, rouse_program(), "restore", s.path, "--record", in_dir(record, &t, "record"), "--until",
                tick_pattern(tick, &s, 1), "--timeout", "60s");
        cr_assert_eq(c.status, 0, "exit %d: %s", c.status, c.err);
        child_free(&c);
        recorded = read_hints(record);

        free(trace_restore(&s, in_dir(trace, &t, "trace"), "mmap"));
        traced = read_hints(trace);
        cr_assert(identity_equal(&traced.snapshot, &recorded.snapshot));
        cr_assert_eq(traced.ram_pages, recorded.ram_pages);
        cr_assert_geq(recorded.nr, 1000, "a recording of %zu pages says little", recorded.nr);
        common = count_common(&recorded, &traced);
        cr_assert_geq(common * 100, recorded.nr * 95, "expected 95%% of the %zu recorded pages, found %zu", recorded.nr, common);
        common = count_common(&traced, &recorded);
        cr_assert_geq(common * 100, traced.nr * 95, "expected 95%% of the %zu traced pages to be recorded ones, found %zu",
                      traced.nr, common);

        c = RUN(PATIENCE_MS, rouse_program(), "restore", s.path, "--mode", "lazy", "--hints", trace, "--until", tick, "--timeout",
                "60s", "--ledger", "-");
        cr_assert_eq(c.status, 0, "exit %d: %s", c.status, c.err);
        cr_assert_gt(number_after(c.err, "\nreplay pages"), traced.nr / 2, "the hints of the trace were not replayed: %s", c.err);
        child_free(&c);
}

static uint32_t fixed_page(uint32_t k)
{
        return FILL_PAGE + k * 16 + k * 7 % 16;
}

/* vary sleeps between its walks, and is saved then, but on a machine so busy that a save takes longer than its sleep. */
static bool walk_is_whole(const struct saved *s, const struct hints *h)
{
        for (size_t i = 0; !s->partial[0] && i < h->nr; i++)
                for (uint32_t k = 0; k < FIXED; k++)
                        if (h->v[i].page == fixed_page(k))
                                return k == 0;
        return false;
}

Test(trace, a_trace_tells_reads_from_writes_and_what_came_before_the_first_answer, .timeout = 120)
{
        /* By k % 4: only read; read and written later; written; written with the bytes it had: of a VM that has ended none can be
         * compared. */
        static const uint8_t flags[] = {0, HINT_DIFFERS, HINT_WRITTEN | HINT_DIFFERS, HINT_WRITTEN | HINT_DIFFERS};
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        char path[4300];
        struct saved s = {0};
        uint32_t last_us = 0;

        need_trace(&t);
        for (int tries = 0; tries < 5 && !walk_is_whole(&s, &h); tries++) {
                s = make_vm_at(&t, "vary", tries);
                hints_free(&h);
                free(trace_restore(&s, in_dir(path, &t, "trace"), "mmap"));
                h = read_hints(path);
        }
        for (uint32_t k = 0; k < FIXED; k++) {
                uint32_t page = fixed_page(k);
                const struct hint *x = find_page(&h, page);

                cr_assert_not_null(x, "the guest touched page %u, and the trace does not have it", page);
                cr_assert_eq(x->flags, flags[k % 4], "page %u, k %% 4 = %u: expected flags %u, found %u", page, k % 4,
                             flags[k % 4], x->flags);
                cr_assert_eq(x->phase, k < FIXED / 2 ? HINT_PHASE_T3 : HINT_PHASE_T4, "page %u of k %u in phase %u", page, k,
                             x->phase);
                cr_assert_geq(x->touch_us, last_us, "page %u was touched before the one before it", page);
                last_us = x->touch_us;
        }
}

/* Until it has said that on standard error; standard output is read meanwhile. */
static void wait_said(struct child *c, const char *text)
{
        for (int i = 0; i < 600 && !strstr(c->err, text); i++)
                child_wait_output(c, "no guest says this", 100);
        cr_assert(strstr(c->err, text), "expected '%s', found: %s", text, c->err);
}

/* No request of KVM's tells of a write to anonymous memory that was read first. */
Test(trace, pages_of_a_vm_that_lives_at_the_end_are_compared_with_its_snapshot, .timeout = 120)
{
        static const uint8_t differs[] = {0, HINT_DIFFERS, HINT_DIFFERS, 0}; /* by k % 4, as above */
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        char path[4300], tick[64];
        size_t found = 0;
        struct child c;
        struct saved s;

        need_trace(&t);
        s = make_vm(&t, "vary");
        c = START(rouse_program(), "trace", "--out", in_dir(path, &t, "trace"), "--snapshot", s.path, "--", rouse_program(), "restore", s.path, "--mode", "eager",
                  "--timeout", "100s");
        cr_assert(child_wait_output(&c, tick_pattern(tick, &s, 1) + strlen("^"), PATIENCE_MS), "%s%s", c.out, c.err);
        child_kill(&c, SIGINT);
        wait_said(&c, " runs on\n");
        cr_assert_eq(kill((pid_t)number_after(c.err, "; process "), SIGTERM), 0, "%s", c.err);
        cr_assert_eq(child_wait(&c, PATIENCE_MS), 0, "%s", c.err);
        child_free(&c);
        h = read_hints(path);
        for (uint32_t k = 0; k < FIXED; k++) {
                const struct hint *x = find_page(&h, fixed_page(k));

                found += x != NULL;
                cr_assert(!x || (x->flags & HINT_DIFFERS) == differs[k % 4], "page %u, k %% 4 = %u: flags %u", fixed_page(k), k % 4, x ? x->flags : 0);
        }
        /* Of those that KVM mapped ahead a few may be missed: the host's own reclaim clears accessed bits, too. */
        cr_assert_geq(found * 100, FIXED * 95, "of %d pages found %zu", FIXED, found);
}

/* A script tells by the status whether the VM came to its end; the hints are there in both cases. */
Test(trace, a_timeout_that_passes_is_exit_124_and_the_hints_of_what_was_touched_by_then_are_written, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        char path[4300];
        struct child c;
        struct saved s;

        need_trace(&t);
        s = make_vm(&t, "beacon");
        c = START(rouse_program(), "trace", "--out", in_dir(path, &t, "trace"), "--snapshot", s.path, "--timeout", "5s", "--", rouse_program(), "restore", s.path, "--mode",
                  "mmap", "--timeout", "100s");
        wait_said(&c, " runs on\n");
        cr_assert_eq(kill((pid_t)number_after(c.err, "; process "), SIGTERM), 0, "%s", c.err);
        cr_expect_eq(child_wait(&c, PATIENCE_MS), 124, "%s", c.err);
        child_free(&c);
        h = read_hints(path);
        cr_expect_gt(h.nr, 0);
}

Test(trace, an_eager_restore_is_traced_by_what_its_guest_touches_not_by_what_was_read_in, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        char path[4300];
        struct saved s;

        need_trace(&t);
        s = make_vm(&t, "beacon");
        free(trace_restore(&s, in_dir(path, &t, "trace"), "eager"));
        h = read_hints(path);
        cr_assert_geq(h.nr, 1000);
        cr_assert_lt(h.nr, BEACON_PAGES / 2, "all that was read in counts as touched: %zu pages", h.nr);
}

/* beacon.elf, which QEMU boots by its PVH note. */
static const char *elf_path(char buf[4300])
{
        const char *bin = guest_path();

        snprintf(buf, 4300, "%.*self", (int)(strlen(bin) - strlen("bin")), bin);
        return buf;
}

Test(trace, a_guest_of_qemu_is_traced_page_by_page_and_runs_on_when_the_trace_is_ended, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        char path[4300], elf[4300];
        size_t filled = 0;
        struct child c;

        need_trace(&t);
        need_file("/usr/bin/qemu-system-x86_64");
        c = START(rouse_program(), "trace", "--out", in_dir(path, &t, "trace"), "--", "timeout", "100", "qemu-system-x86_64", "-accel", "kvm", "-m", "128", "-M",
                  "microvm", "-cpu", "host,-arch-capabilities", "-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio", "-kernel", elf_path(elf));
        cr_assert(child_wait_output(&c, "TICK 2 ", PATIENCE_MS), "QEMU said: %s%s", c.out, c.err);
        child_kill(&c, SIGINT);
        wait_said(&c, " runs on\n");
        cr_assert_eq(kill((pid_t)number_after(c.err, "; process "), SIGTERM), 0, "%s", c.err);
        cr_assert_eq(child_wait(&c, PATIENCE_MS), 0, "%s", c.err);
        cr_assert_null(strstr(c.err, "lost"), "%s", c.err);
        child_free(&c);
        h = read_hints(path);
        cr_assert_str_eq(h.snapshot.s, UNBOUND);
        for (size_t i = 0; i < h.nr; i++)
                filled += h.v[i].page >= FILL_PAGE && h.v[i].page < FILL_PAGE + BEACON_PAGES;
        cr_assert_eq(filled, BEACON_PAGES, "expected all %u pages that the guest fills, found %zu", BEACON_PAGES, filled);
        cr_assert_lt(h.nr, BEACON_PAGES + 256, "more than the guest has touched: %zu pages", h.nr);
}

/* A VM that waits, a tracer of its process that is armed, and a hold on the VM. */
struct watched {
        struct child vm, tracer;
        struct qmp   q;
        char         dir[32], out[4300];
};

static struct watched watch_paused(const struct tmpdir *t, const struct saved *s, const char *option, const char *value)
{
        struct watched w = {.dir = "/tmp/rouse-e2e-XXXXXX"};
        char path[64], arg[80], pid[16];

        cr_assert_not_null(mkdtemp(w.dir));
        snprintf(path, sizeof(path), "%s/qmp", w.dir);
        snprintf(arg, sizeof(arg), "unix=%s", path);
        w.vm = START(rouse_program(), "restore", s->path, "--mode", "mmap", "--paused", "--qmp", arg, "--timeout", "100s");
        qmp_open(&w.q, path);
        snprintf(pid, sizeof(pid), "%d", w.vm.pid);
        w.tracer = START(rouse_program(), "trace", "--pid", pid, "--out", in_dir(w.out, t, "trace"), option, value);
        wait_said(&w.tracer, "tracing process");
        return w;
}

static void let_run(struct watched *w, const struct saved *s)
{
        char tick[64];

        qmp_send(&w->q, "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"cont\"}\n");
        cr_assert(child_wait_output(&w->vm, tick_pattern(tick, s, 1) + strlen("^"), PATIENCE_MS), "the VM said: %s%s", w->vm.out,
                  w->vm.err);
}

static void end_watched(struct watched *w)
{
        char path[64];

        qmp_close(&w->q);
        child_free(&w->vm);
        child_free(&w->tracer);
        snprintf(path, sizeof(path), "%s/qmp", w->dir);
        unlink(path);
        rmdir(w->dir);
}

Test(trace, a_vm_that_was_there_before_is_traced_until_its_process_ends, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        struct watched w;
        struct saved s;

        need_trace(&t);
        s = make_vm(&t, "beacon");
        w = watch_paused(&t, &s, "--timeout", "60s");
        let_run(&w, &s);
        child_kill(&w.vm, SIGKILL);
        cr_assert_eq(child_wait(&w.tracer, PATIENCE_MS), 0, "%s", w.tracer.err);
        cr_assert_null(strstr(w.tracer.err, "lost"), "%s", w.tracer.err);
        end_watched(&w);
        h = read_hints(w.out);
        cr_assert_geq(h.nr, 1000, "a tick touches more than %zu pages", h.nr);
}

Test(trace, a_trace_ends_by_its_timeout_and_a_guest_that_asked_for_nothing_makes_no_file, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct watched w;
        struct saved s;

        need_trace(&t);
        s = make_vm(&t, "beacon");
        w = watch_paused(&t, &s, "--timeout", "50ms");
        cr_expect_eq(child_wait(&w.tracer, PATIENCE_MS), 1);
        cr_expect(strstr(w.tracer.err, "the guest asked for no page: nothing was traced, no file is written"), "%s",
                  w.tracer.err);
        cr_expect_eq(access(w.out, F_OK), -1);
        cr_expect_eq(kill(w.vm.pid, 0), 0, "the VM was ended");
        end_watched(&w);
}

Test(trace, events_that_found_no_room_are_said_to_be_lost, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct watched w;
        struct saved s;

        need_trace(&t);
        s = make_vm(&t, "beacon");
        w = watch_paused(&t, &s, "--buffer", "4K");
        child_kill(&w.tracer, SIGSTOP);
        let_run(&w, &s);
        child_kill(&w.tracer, SIGCONT);
        child_kill(&w.tracer, SIGINT);
        cr_assert_eq(child_wait(&w.tracer, PATIENCE_MS), 0, "%s", w.tracer.err);
        cr_assert(strstr(w.tracer.err, " events were lost, there was no room for them in 4 KiB"), "%s", w.tracer.err);
        end_watched(&w);
}

static void copy_program(const char *from, const char *to)
{
        struct child c = RUN(PATIENCE_MS, "install", "-D", "-m", "755", from, to);

        cr_assert_eq(c.status, 0, "%s", c.err);
        child_free(&c);
}

static void expect_refusal(struct child c, int status, const char *text)
{
        cr_expect_eq(c.status, status, "expected exit %d, found %d: %s", status, c.status, c.err);
        cr_expect(strstr(c.err, text), "expected '%s', found: %s", text, c.err);
        child_free(&c);
}

Test(trace, without_permission_it_is_said_which_and_how_to_get_it, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char program[64], from[4300];

        need_trace(&t);
        if (geteuid() != 0)
                need_lacks("another user", EPERM);
        snprintf(from, sizeof(from), "%s-trace", rouse_program());
        snprintf(program, sizeof(program), "/tmp/rouse-e2e-tracer-%d", getpid()); /* where anybody can start it */
        copy_program(from, program);
        expect_refusal(RUN(PATIENCE_MS, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "--out", "/tmp/none", "--", "true"), 1,
                       "tracing needs CAP_BPF, CAP_PERFMON");
        unlink(program);
}

Test(trace, without_btf_or_kvm_it_is_said_what_is_missing, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        static const char hide[] = "mount -t tmpfs none $1 && exec \"$2\" trace --out /tmp/none -- true";

        need_trace(&t);
        expect_refusal(RUN(PATIENCE_MS, "unshare", "-m", "sh", "-c", hide, "sh", "/sys/kernel/btf", rouse_program()), 1,
                       "/sys/kernel/btf/vmlinux: No such file");
        expect_refusal(RUN(PATIENCE_MS, "unshare", "-m", "sh", "-c", hide, "sh", "/sys/module", rouse_program()), 1,
                       "KVM is not loaded");
}

Test(trace, what_cannot_be_traced_is_refused_before_anything_is_written, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300], pid[16];
        struct stat st;

        need_trace(&t);
        in_dir(path, &t, "trace");
        snprintf(pid, sizeof(pid), "%d", getpid());
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path, "--pid", pid), 1, "has no VM of KVM's");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path, "--pid", "2147483647"), 1,
                       "there is no such process");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path, "--", "/no/such/vmm"), 1,
                       "cannot be started: No such file");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path, "--", "false"), 1,
                       "ended with status 1, and no guest ran in it");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path, "--snapshot", t.path, "--", "true"), 4,
                       "expected a snapshot");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", "/no/such/folder/trace", "--", "true"), 1,
                       "/no/such/folder");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path, "sh", "-c", "exit 3"), 1,
                       "sh ended with status 3, and no guest ran in it");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path), 2, "expected --pid PID or -- COMMAND");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", "auto", "--", "true"), 2, "expected --snapshot DIR");
        expect_refusal(RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path, "--buffer", "5K", "--", "true"), 2,
                       "a power of 2");
        cr_expect_eq(stat(path, &st), -1, "a file was written");
}

Test(trace, the_program_is_found_as_it_is_installed_and_its_lack_is_told_with_both_places, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char rouse[4300], tracer[4300], from[4300];
        struct child c;

        snprintf(from, sizeof(from), "%s-trace", rouse_program());
        copy_program(rouse_program(), in_dir(rouse, &t, "bin/rouse"));
        expect_refusal(RUN(PATIENCE_MS, rouse, "trace", "--help"), 1, "bin/../libexec/rouse/rouse-trace; 'make' builds it");
        copy_program(from, in_dir(tracer, &t, "libexec/rouse/rouse-trace"));
        c = RUN(PATIENCE_MS, rouse, "trace", "--help");
        cr_assert_eq(c.status, 0, "%s", c.err);
        cr_assert(strstr(c.out, "usage: rouse trace --out FILE"), "%s", c.out);
        child_free(&c);
}

/* A shell that starts the VM and ends; process numbers that are not the kernel's; and a snapshot that nobody named. */
Test(trace, a_vm_and_its_snapshot_are_found_behind_a_shell_that_ended_and_in_a_pid_namespace, .timeout = 120)
{
        static const char script[] = "\"$1\" restore \"$2\" --mode mmap --until \"$3\" --timeout 60s & exit 0";
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        char path[4300], tick[64];
        struct child c;
        struct saved s;

        need_trace(&t);
        s = make_vm(&t, "beacon");
        c = RUN(PATIENCE_MS, "unshare", "-p", "-f", "--mount-proc", rouse_program(), "trace", "--out", in_dir(path, &t, "trace"), "--", "sh", "-c", script, "sh",
                rouse_program(), s.path, tick_pattern(tick, &s, 1));
        cr_assert_eq(c.status, 0, "exit %d: %s", c.status, c.err);
        child_free(&c);
        h = read_hints(path);
        cr_assert_geq(h.nr, 1000);

        c = RUN(PATIENCE_MS, rouse_program(), "trace", "--out", path, "--", "sh", "-c", script, "sh", rouse_program(), s.path,
                tick);
        cr_assert_eq(c.status, 0, "exit %d: %s", c.status, c.err);
        cr_assert(strstr(c.err, "guest memory is mapped from"), "%s", c.err);
        child_free(&c);
        hints_free(&h);
        h = read_hints(path);
        cr_assert_geq(h.nr, 1000);
        cr_assert_str_neq(h.snapshot.s, UNBOUND);
}
