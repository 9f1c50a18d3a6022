/* tests/support/tmpdir.h: a directory of the test's own, in $TMPDIR or, without that, beside the test's executable.
 * Owns:    the directory and a descriptor of it; tmpdir_free removes all that is in it, also links, never what they lead to.
 * Threads: one.
 * Blocks:  on the file system.
 *
 *     _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();
 *
 * A failed assertion leaves the scope without cleanup: the directory stays for whoever looks into it. */
#pragma once

#include <limits.h>
#include <stddef.h>

struct tmpdir {
        char path[PATH_MAX]; /* absolute */
        int  fd;
};

struct tmpdir tmpdir_new(void); /* asserts that it could be made */
void          tmpdir_free(struct tmpdir *t);

#define _cleanup_tmpdir_ __attribute__((cleanup(tmpdir_free)))

/* Writes a file of that name into it; asserts that it worked. */
void tmpdir_write(const struct tmpdir *t, const char *name, const void *buf, size_t len_bytes);
