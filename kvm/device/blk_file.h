/* kvm/device/blk_file.h: the file or block device behind a disk: opened, measured, locked.
 * Owns:    a descriptor, which carries the locks.
 * Threads: one at a time.
 * Blocks:  as long as the file system does. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct blk_file {
        int         fd;   /* blocking; -1: none */
        const char *path; /* borrowed */
        uint64_t    size_bytes;
        bool        is_block; /* a block device, else a regular file */
        bool        readonly, direct;
        uint32_t    block_bytes; /* the unit of a block device; 512 for files */
        /* What O_DIRECT asks of addresses, and of offsets and lengths; 1 without it. */
        uint32_t mem_align, offset_align;
};

#define BLK_FILE_NONE ((struct blk_file){ .fd = -1, .block_bytes = 512, .mem_align = 1, .offset_align = 1 })

/* Refuses what is no disk image, and what another VM (a rouse, a StratoVirt) has open, unless both open it readonly. */
int  blk_file_open(const char *path, bool readonly, bool direct, struct blk_file *ret, struct err *e);
void blk_file_close(struct blk_file *f);

/* A direct file goes through the page cache (back to O_DIRECT). Only while nothing is in flight. 0 or -errno. */
int blk_file_cached(const struct blk_file *f, bool cached);
