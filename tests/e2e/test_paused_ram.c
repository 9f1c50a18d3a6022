/* A guest that never ran: its RAM after T6 is the snapshot's, byte for byte. */
#include "core/session.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t expected_hash(const char *dir)
{
        char path[4300];
        struct json_object *doc, *memory, *hash;
        uint64_t v;

        snprintf(path, sizeof(path), "%s/expect.json", dir);
        doc = json_object_from_file(path);
        cr_assert(doc && json_object_object_get_ex(doc, "memory", &memory) &&
                  json_object_object_get_ex(memory, "xxh3_64_of_all_ram", &hash));
        v = strtoull(json_object_get_string(hash), NULL, 16);
        json_object_put(doc);
        return v;
}

static uint64_t hash_of_paused(const char *dir, enum restore_mode mode, const char *data_dir)
{
        struct restore_options o = {
                .common = {.serial_out_fd = -1, .paused = true},
                .path = dir,
                .data_dir = data_dir,
                .mode = mode,
                .hints = HINTS_NONE,
                .fill = true,
                .verify = true,
                .source_timeout_ms = 10000,
        };
        struct session *s;
        struct err err = {0};
        uint64_t hash = 0;

        cr_assert_eq(session_restore(&o, &s, &err), 0, "%s", err.text);
        cr_assert_eq(session_wait_settled(s, 60000), 0, "not settled in a minute");
        cr_assert_eq(session_hash_ram(s, &hash, &err), 0, "%s", err.text);
        session_free(s);
        return hash;
}

static void check(const char *fixture)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        const char *dir = fixture_dir(fixture);
        uint64_t expected = expected_hash(dir);
        char command[9000];

        need_kvm();
        need_uffd();
        cr_expect_eq(hash_of_paused(dir, RESTORE_LAZY, t.path), expected, "lazy, not indexed");
        cr_expect_eq(hash_of_paused(dir, RESTORE_EAGER, t.path), expected, "eager, not indexed");
        cr_expect_eq(hash_of_paused(dir, RESTORE_MMAP, t.path), expected, "mmap, not indexed");
        cr_expect_eq(hash_of_paused(dir, RESTORE_AUTO, t.path), expected, "auto, not indexed");
        /* With an index, kept beside a copy: a fixture is never written to. */
        snprintf(command, sizeof(command), "cp -p --reflink=auto %s/state %s/memory %s/ && %s inspect --index %s >/dev/null", dir,
                 dir, t.path, rouse_program(), t.path);
        cr_assert_eq(system(command), 0);
        cr_expect_eq(hash_of_paused(t.path, RESTORE_LAZY, NULL), expected, "lazy, indexed");
        cr_expect_eq(hash_of_paused(t.path, RESTORE_EAGER, NULL), expected, "eager, indexed");
        cr_expect_eq(hash_of_paused(t.path, RESTORE_MMAP, NULL), expected, "mmap, indexed");
        cr_expect_eq(hash_of_paused(t.path, RESTORE_AUTO, NULL), expected, "auto, indexed");
}

Test(paused_ram, after_t6_the_ram_of_microvm_128m_equals_the_snapshots, .timeout = 60)
{
        check("stratovirt/microvm-128m");
}

Test(paused_ram, after_t6_the_ram_of_microvm_1g_busy_equals_the_snapshots, .timeout = 120)
{
        check("stratovirt/microvm-1g-busy");
}

Test(paused_ram, a_native_snapshot_of_a_paused_vm_holds_the_same_ram_as_its_origin, .timeout = 60)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        const char *dir = fixture_dir("stratovirt/microvm-128m");
        struct restore_options o = {
                .common = {.serial_out_fd = -1, .paused = true}, .path = dir, .hints = HINTS_NONE, .fill = true,
                .source_timeout_ms = 10000,
        };
        char path[4300];
        struct save_options so = {.path = path, .pause_after = true};
        struct save_report rep;
        struct session *s;
        struct err err = {0};

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/native", t.path);
        cr_assert_eq(session_restore(&o, &s, &err), 0, "%s", err.text);
        cr_assert_eq(session_save(s, &so, &rep, &err), 0, "%s", err.text);
        session_free(s);
        cr_expect_eq(hash_of_paused(path, RESTORE_LAZY, NULL), expected_hash(dir));
        cr_expect_eq(hash_of_paused(path, RESTORE_MMAP, NULL), expected_hash(dir));
}
