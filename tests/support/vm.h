/* tests/support/vm.h: real VMs for the end-to-end tests: boots the beacon guest, saves it, wakes it.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  as long as a VM takes.
 *
 * $ROUSE is the program (build/rouse); the guest is guest/beacon.bin beside it. */
#pragma once

#include "tests/support/beacon.h"
#include "tests/support/child.h"

#include <stdint.h>

/* A snapshot and what its guest must say first. */
struct saved {
        char               path[4200];
        struct beacon_tick next; /* n and nonce of the next TICK */
        char               partial[256]; /* what was printed of its line before the VM was stopped: the rest comes after */
        char               disk[4300];   /* of slot 0, or "": given again at every restore */
        bool               known_disk;   /* it is tests/support/disk.h's: every TICK must show its words */
};

const char *guest_path(void);
/* Another one of tests/guest: NAME.bin beside it. */
const char *guest_file(const char *name);

/* A name for --name that no other test has. */
const char *unique_name(char buf[64]);

/* Boots beacon, waits for TICK 2, saves it at path with --then quit. */
struct saved make_native(const char *path, const char *memory, const char *cpus);

/* The same with another guest and more words for run (NULL-ended), after `ticks` ticks. */
struct saved make_native_of(const char *guest, const char *path, unsigned ticks, const char *const *words);

/* Wakes s with these words, lets it run for `ticks` good ticks, saves it at path. */
struct saved next_generation(const struct saved *s, const char *path, unsigned ticks, const char *const *words);

/* A StratoVirt fixture: path and its manifest's expect_next. */
struct saved use_fixture(const char *name);

/* Asks the running VM `vm` called name to save itself at path, --then quit, and waits for its end. */
struct saved save_and_quit(struct child *vm, const char *name, const char *path);

/* The same two with more words for rouse snapshot (NULL-ended). */
struct saved save_and_quit_with(struct child *vm, const char *name, const char *path, const char *const *words);
struct saved next_generation_with(const struct saved *s, const char *path, unsigned ticks, const char *const *words,
                                  const char *const *save_words);

/* Asserts that what a restored VM printed joins on to the snapshot without a seam, for at least `least` ticks. */
struct beacon_tick assert_joins(const struct saved *s, const char *text, size_t least);

/* "TICK n ": the pattern of the tick that is `more` after the next one. */
const char *tick_pattern(char buf[64], const struct saved *s, unsigned more);

/* Restores with these words (NULL-ended, after DIR) until `ticks` good ticks have come, and asserts that they go on from the
 * snapshot. Returns the last one. */
struct beacon_tick assert_wakes(const struct saved *s, unsigned ticks, const char *const *words);
#define WORDS(...) (const char *const[]){__VA_ARGS__, NULL}
