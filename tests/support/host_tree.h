/* tests/support/host_tree.h: a /proc and a /sys of the test's own.
 * Owns:    nothing; the files belong to the directory they are in.
 * Threads: one.
 * Blocks:  on the file system. */
#pragma once

#include "tests/support/tmpdir.h"

struct tree_file {
        const char *path, *text; /* path: "/proc/meminfo" */
};

/* Makes them below the directory, and the folders above them. */
void host_tree_write(const struct tmpdir *t, const struct tree_file *files, size_t nr);
#define HOST_TREE(t, ...)                                                                                              \
        host_tree_write(t, (const struct tree_file[]){__VA_ARGS__},                                                    \
                        sizeof((const struct tree_file[]){__VA_ARGS__}) / sizeof(struct tree_file))
