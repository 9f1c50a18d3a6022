/* tests/support/machine.h: named machines in directories of the test's own, so that no test finds another one's, nor the user's.
 * Owns:    a directory in /tmp and all machines in it: machines_end kills and removes them.
 * Threads: one. A test has one such place: it is in the environment.
 * Blocks:  as long as a VM takes.
 *
 *     TestSuite(stateful, .init = machines_begin, .fini = machines_end);    .fini runs after a failed assertion, too */
#pragma once

#include "tests/support/beacon.h"
#include "tests/support/child.h"

#include <stdbool.h>

/* Sets XDG_STATE_HOME, XDG_RUNTIME_DIR and XDG_DATA_HOME. */
void machines_begin(void);
void machines_end(void);

const char *machines_dir(void); /* short enough for sockets */
/* STATE_DIR/machines/NAME/LEAF, in buf. */
const char *machine_file(char buf[300], const char *name, const char *leaf);

/* Runs `rouse WORDS...` and asserts its exit status. The caller frees what it said. */
struct child rouse(int status, const char *const *words);
#define ROUSE(status, ...) rouse(status, (const char *const[]){__VA_ARGS__, NULL})
/* The same, when nobody cares what it said. */
void rouse_does(int status, const char *const *words);
#define ROUSE_DOES(status, ...) rouse_does(status, (const char *const[]){__VA_ARGS__, NULL})

/* Boots beacon in the foreground as `name` with these words (NULL-ended), and waits for TICK 2. */
struct child machine_run(const char *name, const char *const *words);

/* Asserts that `rouse list` says so of it; "": it does not list it. */
void machine_expect_state(const char *name, const char *state);
/* Asserts that console.log comes to hold text within 20 s; returns all of it, for the caller to free. */
char *machine_wait_log(const char *name, const char *text);
/* Does the file appear (or go) within the time? */
bool machine_wait_file(const char *name, const char *leaf, bool there, int timeout_ms);
