/* Hints, from the recording to the replay: what a recording says of each touch, what is made of several, and what it is worth for
 * other runs. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/probe.h"
#include "core/session.h"
#include "formats/hints_file.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 60000

/* tests/guest/vary.c's own numbers. */
#define FIXED  900
#define CHANCE 100

static uint32_t fixed_page(uint32_t k)
{
        return 0x2000 + k * 16 + k * 7 % 16;
}

static struct saved make_vary(const struct tmpdir *t)
{
        char path[4300];

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", t->path, 1);
        snprintf(path, sizeof(path), "%s/vary", t->path);
        return make_native_of("vary", path, 2, WORDS("--memory", "128M"));
}

/* t/NAME, in a buffer of the caller's. */
static const char *in_dir(char buf[4300], const struct tmpdir *t, const char *name)
{
        snprintf(buf, 4300, "%s/%s", t->path, name);
        return buf;
}

/* Restores until the next line; `words` are more of them. Returns what it said on standard error. */
static void wake(const struct saved *s, const char *const *words)
{
        const char *argv[20] = {rouse_program(), "restore", s->path, "--until", "^TICK", "--timeout", "60s"};
        size_t n = 7;
        struct child vm;

        while (*words)
                argv[n++] = *words++;
        vm = child_run(PATIENCE_MS, argv);
        cr_assert_eq(vm.status, 0, "exit %d: %s%s", vm.status, vm.out, vm.err);
        cr_assert(strstr(vm.out, " bad=0 "), "%s", vm.out);
        child_free(&vm);
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

static const struct hint *touch_of(const struct hints *h, uint32_t k)
{
        const struct hint *x = find_page(h, fixed_page(k));

        cr_assert_not_null(x, "the guest touched page %u, and the recording does not have it", fixed_page(k));
        return x;
}

static struct child run_hints(int status, const char *const *words)
{
        const char *argv[24] = {rouse_program(), "hints"};
        size_t n = 2;
        struct child c;

        while (*words)
                argv[n++] = *words++;
        c = child_run(PATIENCE_MS, argv);
        cr_assert_eq(c.status, status, "expected exit %d, found %d: %s%s", status, c.status, c.out, c.err);
        return c;
}

/* --- recording --- */

Test(hints, a_recording_tells_what_was_read_written_and_changed_and_before_which_answer, .timeout = 120)
{
        static const uint8_t flags[] = {0, HINT_DIFFERS, HINT_WRITTEN | HINT_DIFFERS, HINT_WRITTEN}; /* by k % 4 */
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        struct host_caps caps;
        struct saved s;
        char path[4300];

        host_probe(&caps);
        if (!caps.kvm_hlt_in_guest)
                need_lacks("KVM that leaves HLT to the guest, to tell reads from writes", EOPNOTSUPP);
        s = make_vary(&t);
        wake(&s, WORDS("--record", in_dir(path, &t, "r")));
        h = read_hints(path);
        cr_assert_eq(h.recordings, 1);
        for (uint32_t k = 0; k < FIXED; k++) {
                const struct hint *x = touch_of(&h, k);

                cr_assert_eq(x->flags, flags[k % 4], "page %u, k %% 4 = %u: expected flags %u, found %u", x->page, k % 4,
                             flags[k % 4], x->flags);
                cr_assert_eq(x->phase, k < FIXED / 2 ? HINT_PHASE_T3 : HINT_PHASE_T4, "page %u of k %u in phase %u", x->page, k,
                             x->phase);
                cr_assert_gt(x->touch_us, 0);
        }
        for (size_t i = 1; i < h.nr; i++)
                cr_assert(h.v[i].touch_us >= h.v[i - 1].touch_us && h.v[i].phase >= h.v[i - 1].phase);
        cr_assert_geq(h.nr, FIXED + CHANCE / 2);
}

Test(hints, a_recording_without_fill_goes_on_past_the_mark_and_calls_that_later, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        struct saved s = make_vary(&t);
        char path[4300];

        wake(&s, WORDS("--record", in_dir(path, &t, "r"), "--mark", "^go", "--fill", "off"));
        h = read_hints(path);
        cr_assert_eq(touch_of(&h, 0)->phase, HINT_PHASE_T3);
        cr_assert_eq(touch_of(&h, FIXED - 1)->phase, HINT_PHASE_LATER);
}

Test(hints, a_recording_with_fill_ends_at_the_mark, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        struct saved s = make_vary(&t);
        char path[4300];

        wake(&s, WORDS("--record", in_dir(path, &t, "r"), "--mark", "^go"));
        h = read_hints(path);
        (void)touch_of(&h, 0);
        cr_assert_null(find_page(&h, fixed_page(FIXED - 1)));
        for (size_t i = 0; i < h.nr; i++)
                cr_assert_neq(h.v[i].phase, HINT_PHASE_LATER);
}

Test(hints, a_recording_that_could_not_be_written_is_refused_before_the_guest_runs, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_vary(&t);
        char path[4300];
        struct child c = RUN(PATIENCE_MS, rouse_program(), "restore", s.path, "--record", in_dir(path, &t, "none/r"), "--until", "^go");

        cr_expect_eq(c.status, 1, "exit %d: %s", c.status, c.err);
        cr_expect_str_empty(c.out);
        cr_expect(strstr(c.err, "none/r: expected a place for a file, found none: No such file or directory"), "%s", c.err);
        child_free(&c);
}

Test(hints, a_snapshot_ends_a_recording_and_that_is_said, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_vary(&t);
        char path[4300], other[4300], name[64];
        struct child vm = START(rouse_program(), "restore", s.path, "--record", in_dir(path, &t, "r"), "--name",
                                unique_name(name), "--timeout", "60s");

        cr_assert(child_wait_output(&vm, "TICK ", PATIENCE_MS), "%s", vm.err);
        (void)save_and_quit(&vm, name, in_dir(other, &t, "other"));
        cr_expect(strstr(vm.err, "the recording ends here"), "%s", vm.err);
        child_free(&vm);
}

/* Every mode that would hide a touch gives way to the recording. */
Test(hints, a_recording_sees_every_touch_whatever_is_cached_hinted_or_zero, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints first = {0}, second = {0};
        struct saved s = make_vary(&t);
        char path[4300];

        wake(&s, WORDS("--record", "auto", "--mode", "auto"));
        wake(&s, WORDS("--record", in_dir(path, &t, "r"), "--mode", "auto", "--verify", "off"));
        second = read_hints(path);
        for (uint32_t k = 0; k < FIXED; k++)
                (void)touch_of(&second, k);
}

static void keep_message(void *arg, const char *text)
{
        if (strstr(text, "KVM's own workers"))
                snprintf(arg, 200, "%.199s", text);
}

/* A host that cannot leave HLT to the guest: KVM's workers take the faults. What differs counts as written, and the user is
 * told. */
Test(hints, where_kvm_hides_who_wrote_what_differs_counts_as_written, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        _cleanup_(hints_free) struct hints h = {0};
        char path[4300], said[200] = "";
        struct host_caps caps;
        struct restore_options o = {
                .common = {.serial_out_fd = -1, .timeout_ns = 60 * NS_PER_S, .caps = &caps, .until = "^TICK", .message = keep_message, .message_arg = said},
                .hints = HINTS_NONE, .fill = true, .verify = true, .source_timeout_ms = 5000,
        };
        struct session_result result;
        struct session *session;
        struct saved s = make_vary(&t);
        struct err e = {0};

        host_probe(&caps);
        caps.kvm_hlt_in_guest = false;
        o.path = s.path;
        o.record_path = in_dir(path, &t, "r");
        cr_assert_eq(session_restore(&o, &session, &e), 0, "%s", e.text);
        session_run(session, &result);
        session_free(session);
        cr_assert_eq(result.why, SESSION_UNTIL, "%s", result.err.text);
        h = read_hints(path);
        if (!said[0])
                need_lacks("KVM that takes faults by workers of its own", EOPNOTSUPP);
        for (uint32_t k = 0; k < FIXED; k++) {
                uint8_t flags = touch_of(&h, k)->flags;

                cr_assert_eq((flags & HINT_DIFFERS) != 0, k % 4 == 1 || k % 4 == 2);
                if (!(flags & HINT_DIFFERS) && k % 4 == 0)
                        cr_assert_not(flags & HINT_WRITTEN, "page %u was only read", fixed_page(k));
        }
}

/* --- merging, judging, replaying --- */

static uint64_t demand_faults(const struct saved *s, const struct tmpdir *t, const char *hints)
{
        char ledger[4300];
        struct json_object *doc, *faults, *demand;
        uint64_t n;

        wake(s, WORDS("--mode", "lazy", "--hints", hints, "--fill", "off", "--ledger", in_dir(ledger, t, "ledger.json")));
        doc = json_object_from_file(ledger);
        cr_assert(doc && json_object_object_get_ex(doc, "faults", &faults) &&
                  json_object_object_get_ex(faults, "demand", &demand));
        n = json_object_get_uint64(demand);
        json_object_put(doc);
        return n;
}

static double number_at(struct json_object *doc, const char *outer, const char *key)
{
        struct json_object *o, *v;

        cr_assert(json_object_object_get_ex(doc, outer, &o) && json_object_object_get_ex(o, key, &v), "no %s.%s", outer, key);
        return json_object_get_double(v);
}

static void record_some(const struct saved *s, const struct tmpdir *t, int nr)
{
        for (int i = 0; i < nr; i++) {
                char path[4300], name[16];

                snprintf(name, sizeof(name), "r%d", i + 1);
                wake(s, WORDS("--record", in_dir(path, t, name)));
        }
}

/* The issue's own bounds, on runs that the hints were not made of. That a page of chance is drawn again is 3 in 100. */
Test(hints, hints_of_five_runs_foresee_what_can_be_foreseen_and_waste_little, .timeout = 200)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_vary(&t);
        char p[8][4300];
        struct json_object *doc;
        struct child c;

        record_some(&s, &t, 7);
        for (int i = 1; i <= 7; i++)
                snprintf(p[i], sizeof(p[i]), "%s/r%d", t.path, i);
        in_dir(p[0], &t, "merged");
        c = run_hints(0, WORDS("merge", "-o", p[0], p[1], p[2], p[3], p[4], p[5]));
        child_free(&c);
        c = run_hints(0, WORDS("score", p[0], p[6], p[7], "--json"));
        doc = json_tokener_parse(c.out);
        cr_assert_not_null(doc, "%s", c.out);
        cr_assert_geq(number_at(doc, "sum", "recall_foreseeable"), 0.976, "%s", c.out);
        cr_assert_geq(number_at(doc, "sum", "precision"), 0.9, "%s", c.out);
        cr_assert_leq(number_at(doc, "sum", "recall"), 0.95, "a tenth is chance, and nobody foresees it: %s", c.out);
        json_object_put(doc);
        child_free(&c);
        /* Fixed pages lie 16 apart, so each costs a fault of its own; the replay has 200 ms before the guest wakes. */
        cr_assert_geq(demand_faults(&s, &t, "none"), FIXED);
        cr_assert_leq(demand_faults(&s, &t, p[0]), FIXED / 4, "hints were replayed, and faults of %d pages are still there",
                      FIXED);
}

Test(hints, merged_hints_are_found_by_the_snapshots_identity_and_go_along_when_it_is_converted, .timeout = 200)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_vary(&t), converted;
        char a[4300], b[4300], to[4300];
        struct child c;

        record_some(&s, &t, 2);
        c = run_hints(0, WORDS("merge", "--output", "auto", in_dir(a, &t, "r1"), in_dir(b, &t, "r2")));
        child_free(&c);
        cr_assert_leq(demand_faults(&s, &t, "auto"), FIXED / 4);
        in_dir(to, &t, "converted");
        c = RUN(PATIENCE_MS, rouse_program(), "convert", s.path, to);
        cr_assert(c.status == 0 && strstr(c.out, "hints of "), "%s%s", c.out, c.err);
        child_free(&c);
        converted = s;
        snprintf(converted.path, sizeof(converted.path), "%.4000s", to);
        cr_assert_leq(demand_faults(&converted, &t, "auto"), FIXED / 4);
        c = run_hints(0, WORDS("show", to));
        cr_assert(strstr(c.out, "recordings 2"), "%s", c.out);
        child_free(&c);
        c = RUN(PATIENCE_MS, rouse_program(), "verify", to);
        cr_assert_eq(c.status, 0, "%s", c.err);
        child_free(&c);
}

/* 64 pages of some 940. */
Test(hints, a_budget_of_bytes_bounds_what_a_replay_brings, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_vary(&t);
        char ledger[4300];
        struct json_object *doc;

        wake(&s, WORDS("--record", "auto"));
        wake(&s,
             WORDS("--mode", "lazy", "--fill", "off", "--hints-budget", "256K", "--ledger", in_dir(ledger, &t, "ledger.json")));
        doc = json_object_from_file(ledger);
        cr_assert_not_null(doc);
        cr_assert_eq(number_at(doc, "faults", "replay") + number_at(doc, "faults", "demand") >= FIXED, true);
        cr_assert_leq(number_at(doc, "faults", "replay"), 64);
        cr_assert_gt(number_at(doc, "faults", "replay"), 0);
        json_object_put(doc);
}

/* The guest sleeps for 200 ms, so without a budget nearly all were there. */
Test(hints, a_budget_of_time_ends_a_replay, .timeout = 120)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s = make_vary(&t);
        char ledger[4300];
        struct json_object *doc;

        wake(&s, WORDS("--record", "auto"));
        wake(&s,
             WORDS("--mode", "lazy", "--fill", "off", "--hints-budget", "1us", "--ledger", in_dir(ledger, &t, "ledger.json")));
        doc = json_object_from_file(ledger);
        cr_assert_not_null(doc);
        cr_assert_leq(2 * number_at(doc, "faults", "replay"), FIXED);
        cr_assert_geq(4 * number_at(doc, "faults", "demand"), FIXED);
        json_object_put(doc);
}

/* --- what is refused --- */

static void write_one(const char *path, const char *identity, uint32_t recordings)
{
        struct hint v = {.page = 7, .seen = 1, .touch_us = 5};
        struct hints h = {.ram_pages = 32768, .recordings = recordings, .nr = 1, .v = &v};
        struct err e = {0};

        snprintf(h.snapshot.s, sizeof(h.snapshot.s), "%s", identity);
        cr_assert_eq(hints_file_write_path(path, &h, &e), 0, "%s", e.text);
}

#define ONE   "00112233-4455-4677-8899-aabbccddeeff"
#define OTHER "ffffffff-4455-4677-8899-aabbccddeeff"

static void assert_says(int status, const char *const *words, const char *const *texts)
{
        struct child c = run_hints(status, words);

        for (; *texts; texts++)
                cr_assert(strstr(c.err, *texts), "expected '%s' in: %s", *texts, c.err);
        cr_assert_eq(c.out_len, 0, "%s", c.out);
        child_free(&c);
}

Test(hints, files_of_two_snapshots_are_refused_with_both_names_and_identities, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char a[4300], b[4300], out[4300];

        write_one(in_dir(a, &t, "a"), ONE, 1);
        write_one(in_dir(b, &t, "b"), OTHER, 1);
        in_dir(out, &t, "out");
        assert_says(4, WORDS("merge", "-o", out, a, b), WORDS(a, b, ONE, OTHER));
        assert_says(4, WORDS("score", a, b), WORDS(a, b, ONE, OTHER));
        assert_says(4, WORDS("score", a, a, "--from", b), WORDS(a, b, ONE, OTHER));
        cr_assert_neq(access(out, F_OK), 0);
        write_one(b, ONE, 2);
        assert_says(4, WORDS("merge", "-o", out, a, b), WORDS(b, "expected the recording of one run, found hints of 2"));
        assert_says(4, WORDS("score", a, b), WORDS(b, "to judge by"));
}

Test(hints, hints_of_another_snapshot_stop_a_restore_that_names_them_and_a_conversion, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        const char *dir = fixture_dir("stratovirt/microvm-128m");
        char a[4300], out[4300];
        struct child c;

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", t.path, 1);
        write_one(in_dir(a, &t, "a"), ONE, 1);
        c = RUN(PATIENCE_MS, rouse_program(), "restore", dir, "--hints", a);
        cr_assert(c.status == 4 && strstr(c.err, "expected hints for snapshot ") &&
                  strstr(c.err, "found them for " ONE), "%d: %s", c.status, c.err);
        child_free(&c);
        c = RUN(PATIENCE_MS, rouse_program(), "convert", dir, in_dir(out, &t, "out"), "--hints", a);
        cr_assert(c.status == 4 && strstr(c.err, "found them for " ONE), "%d: %s", c.status, c.err);
        cr_assert_neq(access(out, F_OK), 0);
        child_free(&c);
}

static void assert_restore_refused(const char *budget)
{
        struct child c = RUN(PATIENCE_MS, rouse_program(), "restore", "/nowhere", "--hints-budget", budget);

        cr_assert(c.status == 2 && strstr(c.err, "--hints-budget: expected "), "%d: %s", c.status, c.err);
        child_free(&c);
}

Test(hints, wrong_words_end_with_2_and_missing_files_with_1, .timeout = 60)
{
        assert_says(2, WORDS("sort"), WORDS("expected merge, score or show, found 'sort'"));
        assert_says(2, WORDS("merge", "a"), WORDS("-o FILE is missing"));
        assert_says(2, WORDS("merge", "-o", "x"), WORDS("expected recordings, found none"));
        assert_says(2, WORDS("merge", "-o", "x", "--min-seen", "0", "a"), WORDS("--min-seen", "found '0'"));
        assert_says(2, WORDS("merge", "-o", "x", "--min-seen", "3", "a", "b"), WORDS("expected at most 2, as many as there are recordings", "found 3"));
        assert_says(2, WORDS("score", "a"), WORDS("expected HINTS and at least one RECORDING"));
        assert_says(2, WORDS("show"), WORDS("expected one FILE or DIR"));
        assert_restore_refused("0");
        assert_restore_refused("12");
        assert_restore_refused("0ms");
        assert_restore_refused("much");
        assert_says(1, WORDS("show", "/nowhere/hints"), WORDS("/nowhere/hints: there are no hints"));
        assert_says(4, WORDS("show", "/"), WORDS("expected a snapshot of a known format"));
}

/* --- the picture --- */

/* A list that has every kind of mark, three phases and neighbours. */
static void write_picture(const char *path)
{
        static struct hint v[] = {
                {.page = 4096, .seen = 5, .touch_us = 0, .flags = HINT_DIFFERS},
                {.page = 4097, .seen = 5, .touch_us = 900, .flags = 0},
                {.page = 8192, .seen = 5, .touch_us = 1500, .flags = HINT_WRITTEN | HINT_DIFFERS},
                {.page = 8193, .seen = 4, .touch_us = 3000, .flags = HINT_WRITTEN},
                {.page = 12000, .seen = 5, .touch_us = 6200, .phase = HINT_PHASE_T4, .flags = HINT_ZERO},
                {.page = 500, .seen = 1, .touch_us = 9000, .phase = HINT_PHASE_T4, .flags = HINT_DIFFERS},
                {.page = 501, .seen = 2, .touch_us = 11999, .phase = HINT_PHASE_LATER, .flags = 0},
        };
        struct hints h = {.snapshot = {ONE}, .ram_pages = 32768, .recordings = 5, .nr = ARRAY_LEN(v), .v = v};
        struct err e = {0};

        cr_assert_eq(hints_file_write_path(path, &h, &e), 0, "%s", e.text);
}

/* tests/data/hints.svg was looked at, on a light page and on a dark one, before it was kept. */
Test(hints, the_picture_of_known_hints_is_the_one_that_was_looked_at, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300], svg[4300], command[9000];
        struct child c;

        write_picture(in_dir(path, &t, "hints"));
        c = run_hints(0, WORDS("show", path, "--plot", in_dir(svg, &t, "svg")));
        cr_assert(strstr(c.out, "until T3 ") && strstr(c.out, "seen in 4 recordings: 1 page\n"), "%s", c.out);
        child_free(&c);
        snprintf(command, sizeof(command), "diff -u tests/data/hints.svg %s", svg); /* tests run at the root of the sources */
        cr_assert_eq(system(command), 0, "%s", command);
        if (system("command -v xmllint >/dev/null") == 0) {
                snprintf(command, sizeof(command), "xmllint --noout %s", svg);
                cr_assert_eq(system(command), 0, "%s", command);
        }
}
