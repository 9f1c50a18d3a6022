/* tests/support/loop.h: a block device of the test's own: a loop device over a file, with blocks as large as asked for.
 * Owns:    the device, until loop_free or the end of the process.
 * Threads: one.
 * Blocks:  shortly.
 *
 *     _cleanup_loop_ struct loop l = loop_new(path, 4096);       skipped where there are no loop devices (need.h) */
#pragma once

#include <stdint.h>

struct loop {
        char path[32]; /* "/dev/loop0" */
        int  fd;
};

struct loop loop_new(const char *file, uint32_t block_bytes);
void        loop_free(struct loop *l);

#define _cleanup_loop_ __attribute__((cleanup(loop_free)))
