/* tests/support/fixture.h: real snapshots, unpacked once as the VMM wrote them.
 * Owns:    $ROUSE_FIXTURE_CACHE (/tmp/rouse-fixtures-UID by default), which stays for the next run; its files are for reading
 *          only.
 * Threads: one per process; processes may race for the same fixture.
 * Blocks:  while tar and zstd unpack.
 *
 * A fixture comes from $ROUSE_FIXTURES/NAME, else tests/data/NAME, else ../shared/fixtures/NAME (from the source root). */
#pragma once

/* A directory with `state`, `memory`, `expect.json`, `manifest.json`. NAME as in "stratovirt/microvm-128m". Skips the test where
 * there is no such fixture (CI=true: fails). The string lives as long as the process. */
const char *fixture_dir(const char *name);

/* A copy of it at `to`, which must not be there: for who must be alone with its files (another test's mapping keeps them in the
 * page cache). */
void fixture_copy(const char *name, const char *to);

/* The same without unpacking: the directory of the packed fixture. */
const char *fixture_source(const char *name);
