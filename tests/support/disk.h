/* tests/support/disk.h: the fixtures' disk (shared/fixtures/README.md): 64-bit word w of it is mix(w).
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  on the file system. */
#pragma once

#include "tests/support/beacon.h"

#define DISK_BYTES (256 * 1024)

/* Writes it at path; returns path. */
const char *make_disk(const char *path);

/* Writes nr zero bytes at path, sparse; returns path. */
const char *make_empty_disk(const char *path, uint64_t nr);

/* Asserts that every TICK n of text shows the first four bytes of sector n of such a disk. */
void assert_disk_words(const char *text);
