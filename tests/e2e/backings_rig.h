/* tests/e2e/backings_rig.h: what test_backings.c and test_backings_full.c share: a snapshot in a place of the test's own.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  as long as a VM takes. */
#pragma once

#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define TICKS 60
#define PATIENCE_MS 60000

/* The snapshot of a guest of 128 MiB, in a place of the test's own. */
static inline struct saved make(const struct tmpdir *t)
{
        char path[4300];

        need_kvm();
        need_uffd();
        setenv("XDG_RUNTIME_DIR", t->path, 1);
        setenv("XDG_DATA_HOME", t->path, 1);
        snprintf(path, sizeof(path), "%s/snapshot", t->path);
        return make_native(path, "128M", "2");
}
