/* bench/blk_reads.h: the reads that bench/blk does on the host and tests/guest/blkbench.c in a guest: the same, in the same
 * order.
 * Owns:    nothing. No library is used here: the guest has none.
 * Threads: any.
 * Blocks:  never. */
#pragma once

/* name, bytes of a read, how many at once, in random order, how many in all */
#define BLK_READS(ROW)                                    \
        ROW("sequential 128K", 128 * 1024, 1, 0, 4096)    \
        ROW("sequential 128K", 128 * 1024, 32, 0, 4096)   \
        ROW("random 4K", 4096, 1, 1, 8192)                \
        ROW("random 4K", 4096, 32, 1, 32768)

#define BLK_READ_MAX_BYTES (128 * 1024)
#define BLK_DEPTH_MAX      32
#define BLK_READS_MAX      32768
#define BLK_FILE_BYTES     (512UL << 20) /* as much as the sequential reads take */

/* Where read i starts; a file of size_bytes. */
static inline unsigned long blk_read_offset(unsigned long i, unsigned long len, int is_random, unsigned long size_bytes)
{
        unsigned long nr = size_bytes / len, z = (i + 1) * 0x9e3779b97f4a7c15UL; /* splitmix64 */

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9UL;
        z = (z ^ z >> 27) * 0x94d049bb133111ebUL;
        z ^= z >> 31;
        return nr ? (is_random ? z : i) % nr * len : 0;
}
