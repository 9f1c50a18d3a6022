/* uffd/read_pool.h: room in one buffer for reads of different lengths, in powers of two, so that nothing is ever moved.
 * Owns:    only what is taken; the buffer is somebody else's.
 * Threads: one at a time.
 * Blocks:  never.
 *
 *   |................ for everybody ................|. for who waits .|      a bit a page, first fit;
 *   0                                      READ_POOL_SHARED   READ_POOL_PAGES   who waits looks from the end */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* 4 MiB: 1 MiB in flight keeps a disk of 1 GB/s and 1 ms busy, and 128 reads of a few pages find room. Of it 512 KiB for those
 * who wait. */
#define READ_POOL_PAGES  1024
#define READ_POOL_SHARED 896

/* The longest read there is room for: a chunk of a packed snapshot. */
#define READ_POOL_MAX_PAGES 512

struct read_pool {
        uint64_t used[READ_POOL_PAGES / 64];
};

/* The first page of room for nr_pages, or -1. */
int  read_pool_take(struct read_pool *p, uint32_t nr_pages, bool urgent);
void read_pool_give(struct read_pool *p, int first_page, uint32_t nr_pages);
