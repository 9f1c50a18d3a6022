/* kvm/device/blk_layout.h: what a disk and its driver pass to one another (virtio 1.2, section 5.2). Ours, as
 * <linux/virtio_blk.h> grows with the kernel and its feature bits are numbers where ours are masks.
 * Owns:    nothing.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define BLK_SECTOR_BYTES 512
#define BLK_ID_BYTES     20

/* 5.2.3 */
#define BLK_F_SEG_MAX      (1ULL << 2)
#define BLK_F_RO           (1ULL << 5)
#define BLK_F_FLUSH        (1ULL << 9)
#define BLK_F_DISCARD      (1ULL << 13)
#define BLK_F_WRITE_ZEROES (1ULL << 14)

/* 5.2.4; little-endian, as the host is */
struct blk_config {
        uint64_t capacity_sectors;
        uint32_t size_max, seg_max;
        uint8_t  geometry[4];
        uint32_t blk_size;
        uint8_t  topology[8];
        uint8_t  wce, unused0;
        uint16_t num_queues;
        /* BLK_F_DISCARD */
        uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
        /* BLK_F_WRITE_ZEROES */
        uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
        uint8_t  write_zeroes_may_unmap, unused1[3];
};
static_assert(offsetof(struct blk_config, blk_size) == 20, "5.2.4");
static_assert(offsetof(struct blk_config, wce) == 32, "5.2.4");
static_assert(offsetof(struct blk_config, max_discard_sectors) == 36, "5.2.4");
static_assert(offsetof(struct blk_config, max_write_zeroes_sectors) == 48, "5.2.4");
static_assert(offsetof(struct blk_config, write_zeroes_may_unmap) == 56, "5.2.4");

/* 5.2.6 */
enum {
        BLK_T_IN = 0,
        BLK_T_OUT = 1,
        BLK_T_FLUSH = 4,
        BLK_T_GET_ID = 8,
        BLK_T_DISCARD = 11,
        BLK_T_WRITE_ZEROES = 13,
};

struct blk_header {
        uint32_t type, reserved;
        uint64_t sector;
};
static_assert(sizeof(struct blk_header) == 16, "5.2.6");

struct blk_segment {
        uint64_t sector;
        uint32_t num_sectors, flags;
};
static_assert(sizeof(struct blk_segment) == 16, "5.2.6");
#define BLK_SEGMENT_UNMAP 1u /* of WRITE_ZEROES */

enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };
