/* test_registry: a directory finds its format, and only files inside it are read. */
#include "core/base/units.h"
#include "formats/format.h"
#include "tests/support/sv_snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_refused(const char *path, const struct snapshot_open_options *o, enum err_kind kind, const char *message)
{
        struct snapshot s = { .nr_notes = 7 };
        struct err      e = { 0 };
        int             r = snapshot_open(path, o, &s, &e);

        cr_assert_lt(r, 0);
        cr_assert_eq(e.code, r);
        cr_assert_eq(e.kind, kind, "%s", e.text);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
        cr_assert_null(strchr(e.text, '\n'));
        cr_assert_eq(s.nr_notes, 7, "what is returned must be untouched");
}

static const struct snapshot_open_options any = { 0 };

static void write_snapshot(const struct tmpdir *t)
{
        struct sv_bytes state = sv_load("stratovirt/microvm-128m", "state");

        tmpdir_write(t, "state", state.p, state.len);
        sv_write_memory(t, 128 * MIB, NULL, NULL);
        sv_bytes_free(&state);
}

Test(registry, a_directory_of_no_known_format_is_refused_with_what_was_looked_for)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        assert_refused(t.path, &any, ERR_SNAPSHOT, "expected a snapshot of a known format (native, stratovirt");
        tmpdir_write(&t, "state", "hello", 5);
        assert_refused(t.path, &any, ERR_SNAPSHOT, "expected a snapshot of a known format");
        tmpdir_write(&t, "state", "", 0);
        assert_refused(t.path, &any, ERR_SNAPSHOT, "expected a snapshot of a known format");
}

Test(registry, a_path_that_is_no_directory_is_refused)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char                           path[PATH_MAX + 8];

        tmpdir_write(&t, "state", "x", 1);
        snprintf(path, sizeof(path), "%s/state", t.path);
        assert_refused(path, &any, ERR_SNAPSHOT, "expected a directory, found a file");
        snprintf(path, sizeof(path), "%s/none", t.path);
        assert_refused(path, &any, ERR_FAILED, "No such file or directory");
}

Test(registry, a_directory_that_could_be_two_formats_is_refused_with_both_names)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot_open_options   o = { .format = "native" };

        tmpdir_write(&t, "state", "rouse-stSTRATOVIRT", 18);
        assert_refused(t.path, &any, ERR_SNAPSHOT, "found two: native and stratovirt");
        assert_refused(t.path, &o, ERR_SNAPSHOT, "state: offset 0: expected 32 bytes of the header");
}

Test(registry, a_format_that_is_insisted_on_must_be_known_and_there)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot_open_options   o = { .format = "qcow" };

        write_snapshot(&t);
        assert_refused(t.path, &o, ERR_USAGE, "expected a format of native, stratovirt, found \"qcow\"");
        o.format = "native";
        assert_refused(t.path, &o, ERR_SNAPSHOT, "expected a snapshot of format native, found none");
}

Test(registry, the_directory_itself_may_be_a_link)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new(), other = tmpdir_new();
        char                           path[PATH_MAX + 8];
        struct snapshot                s;
        struct err                     e = { 0 };

        write_snapshot(&t);
        cr_assert_eq(symlinkat(t.path, other.fd, "link"), 0);
        snprintf(path, sizeof(path), "%s/link", other.path);
        cr_assert_eq(snapshot_open(path, &any, &s, &e), 0, "%s", e.text);
        cr_assert_str_eq(s.path, path);
        snapshot_close(&s);
}

Test(registry, a_link_inside_the_directory_is_followed_and_one_that_leads_out_is_refused_by_name)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new(), other = tmpdir_new();
        static const char *const       names[] = { "state", "memory" };
        char                           path[PATH_MAX + 8];
        struct snapshot                s;
        struct err                     e = { 0 };

        write_snapshot(&t);
        write_snapshot(&other);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                cr_assert_eq(renameat(t.fd, names[i], t.fd, "moved"), 0);
                cr_assert_eq(symlinkat("moved", t.fd, names[i]), 0);
                cr_assert_eq(snapshot_open(t.path, &any, &s, &e), 0, "%s", e.text);
                snapshot_close(&s);

                cr_assert_eq(unlinkat(t.fd, names[i], 0), 0);
                snprintf(path, sizeof(path), "%s/%s", other.path, names[i]);
                cr_assert_eq(symlinkat(path, t.fd, names[i]), 0);
                snprintf(path, sizeof(path), "%s: expected a file inside the snapshot's directory, found a link that leads out",
                         names[i]);
                assert_refused(t.path, &any, ERR_SNAPSHOT, path);

                cr_assert_eq(unlinkat(t.fd, names[i], 0), 0);
                cr_assert_eq(renameat(t.fd, "moved", t.fd, names[i]), 0);
        }
}

Test(registry, what_is_no_regular_file_is_refused_and_not_waited_for, .timeout = 10)
{
        static const char *const names[] = { "state", "memory" };

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
                char                           message[PATH_MAX + 80];

                write_snapshot(&t);
                snprintf(message, sizeof(message), "%s: %s: expected a regular file", t.path, names[i]);
                cr_assert_eq(unlinkat(t.fd, names[i], 0), 0);
                cr_assert_eq(mkfifoat(t.fd, names[i], 0600), 0);
                assert_refused(t.path, &any, ERR_SNAPSHOT, message);
                cr_assert_eq(unlinkat(t.fd, names[i], 0), 0);
                cr_assert_eq(mkdirat(t.fd, names[i], 0700), 0);
                assert_refused(t.path, &any, ERR_SNAPSHOT, message);
                cr_assert_eq(unlinkat(t.fd, names[i], AT_REMOVEDIR), 0);
                cr_assert_eq(symlinkat(names[i], t.fd, names[i]), 0);
                assert_refused(t.path, &any, ERR_SNAPSHOT, message);
        }
}

Test(registry, a_snapshot_without_its_memory_is_refused)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        write_snapshot(&t);
        cr_assert_eq(unlinkat(t.fd, "memory", 0), 0);
        assert_refused(t.path, &any, ERR_SNAPSHOT,
                       "memory: expected a file of this name in the snapshot's directory, found none");
}

Test(registry, opening_leaves_no_descriptor_behind)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct snapshot                s;
        struct err                     e = { 0 };
        int                            before = dup(0), after;

        close(before);
        write_snapshot(&t);
        cr_assert_eq(snapshot_open(t.path, &any, &s, &e), 0, "%s", e.text);
        snapshot_close(&s);
        cr_assert_eq(unlinkat(t.fd, "memory", 0), 0);
        assert_refused(t.path, &any, ERR_SNAPSHOT, "memory");
        after = dup(0);
        close(after);
        cr_assert_eq(after, before, "the lowest free descriptor is %d, it was %d", after, before);
}

Test(registry, closing_a_zeroed_snapshot_closes_nothing)
{
        struct snapshot s = { 0 };

        snapshot_close(&s);
        snapshot_close(NULL);
        cr_assert_geq(fcntl(0, F_GETFD), 0);
}

Test(registry, more_notes_than_fit_are_told_as_the_last_one)
{
        struct snapshot s = { 0 };

        for (int i = 0; i < SNAPSHOT_NOTES_MAX; i++)
                snapshot_note(&s, "note %d", i);
        cr_assert_str_eq(s.notes[SNAPSHOT_NOTES_MAX - 1], "note 7");
        snapshot_note(&s, "one more");
        cr_assert_eq(s.nr_notes, SNAPSHOT_NOTES_MAX);
        cr_assert_str_eq(s.notes[SNAPSHOT_NOTES_MAX - 1], "there are more notes than the 8 that fit");
}
