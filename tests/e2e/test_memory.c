/* What rouse itself needs beside a VM's RAM, in the whole process. */
#include "core/session_internal.h"
#include "tests/support/fixture.h"
#include "tests/support/need.h"
#include "tests/support/own_memory.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Anonymous memory that came with the session, once its RAM is complete. */
static void check(const char *dir, const char *data_dir, enum restore_mode mode)
{
        struct restore_options o = {
                .common = {.serial_out_fd = -1, .paused = true}, .path = dir, .data_dir = data_dir, .mode = mode,
                .hints = HINTS_NONE,
                .fill = true, .verify = true, .source_timeout_ms = 10000,
        };
        uint64_t before = own_memory_bytes(NULL, 0), after;
        struct session *s;
        struct err err = {0};

        cr_assert_eq(session_restore(&o, &s, &err), 0, "%s", err.text);
        cr_assert_eq(session_wait_settled(s, 60000), 0, "not settled in a minute");
        after = own_memory_bytes(s->ram.base, s->ram.size_bytes);
        cr_expect_leq(after, before + own_memory_budget(s->snap.pages.nr_pages, s->snap.pages.nr_runs), "mode %d: %llu KiB more",
                      (int)mode, (unsigned long long)((after - before) / KIB));
        session_free(s);
}

static void check_format(const char *pack)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300], command[9000];

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        snprintf(command, sizeof(command), "%s convert --pack %s %s %s >/dev/null", rouse_program(), pack,
                 fixture_dir("stratovirt/microvm-1g-busy"), path);
        cr_assert_eq(system(command), 0);
        check(path, t.path, RESTORE_LAZY);
        check(path, t.path, RESTORE_AUTO);
}

Test(memory, a_restore_of_1_gib_needs_no_more_than_its_budget_beside_the_guests_ram, .timeout = 120)
{
        check_format("none");
}

Test(memory, nor_does_one_of_packed_memory, .timeout = 120)
{
        check_format("lz4");
}
