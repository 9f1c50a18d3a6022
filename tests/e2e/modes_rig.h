/* tests/e2e/modes_rig.h: one snapshot, woken in every mode, with hints and without.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  as long as its VMs take. */
#pragma once

#include "tests/support/disk.h"
#include "tests/support/need.h"
#include "tests/support/tmpdir.h"
#include "tests/support/vm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#define TICKS 101 /* the next one, then 100 more */

static inline void assert_wakes_in_every_mode(const struct saved *s, const struct tmpdir *t)
{
        char hints[4300];

        snprintf(hints, sizeof(hints), "%s/hints", t->path);
        assert_wakes(s, TICKS, WORDS("--mode", "eager"));
        assert_wakes(s, TICKS, WORDS("--mode", "mmap"));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", "none"));
        assert_wakes(s, 3, WORDS("--record", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "lazy", "--hints", hints, "--fill", "off"));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", "none"));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", "none", "--verify", "off", "--fill", "off"));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", hints));
        assert_wakes(s, TICKS, WORDS("--mode", "auto", "--hints", hints, "--verify", "off"));
}

static inline void check_native(const char *memory, const char *cpus)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        char path[4300];
        struct saved s;

        need_kvm();
        need_uffd();
        snprintf(path, sizeof(path), "%s/snapshot", t.path);
        s = make_native(path, memory, cpus);
        assert_wakes_in_every_mode(&s, &t);
}

static inline void check_fixture(const char *name, bool with_disk)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
        struct saved s;

        need_kvm();
        need_uffd();
        setenv("XDG_DATA_HOME", t.path, 1); /* no index of an earlier run */
        s = use_fixture(name);
        if (with_disk) {
                snprintf(s.disk, sizeof(s.disk), "%s/disk.img", t.path);
                make_disk(s.disk);
                s.known_disk = true;
        }
        assert_wakes_in_every_mode(&s, &t);
}
