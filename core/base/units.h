/* core/base/units.h: pages, bytes and guest physical addresses, and the conversions that check for overflow.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SHIFT      12
#define PAGE_BYTES      UINT64_C(4096)
#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)
#define RAM_PAGES_MAX   ((uint64_t)UINT32_MAX) /* 16 TiB of guest RAM: a page number fits in 32 bits, and so does a run's length */
#define KIB             UINT64_C(1024)
#define MIB             (1024 * KIB)
#define GIB             (1024 * MIB)
#define NS_PER_US       UINT64_C(1000)
#define NS_PER_MS       UINT64_C(1000000)
#define NS_PER_S        UINT64_C(1000000000)

/* A guest physical address. Host addresses are pointers, so the two do not mix by accident. */
typedef uint64_t gpa_t;

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)    ((a) < (b) ? (a) : (b))
#define MAX(a, b)    ((a) > (b) ? (a) : (b))

static inline uint64_t pages_to_bytes(uint64_t pages)
{
        return pages << PAGE_SHIFT;
}

static inline uint64_t bytes_to_pages(uint64_t bytes)
{
        return bytes >> PAGE_SHIFT;
}

static inline bool is_page_aligned(uint64_t bytes)
{
        return (bytes & (PAGE_BYTES - 1)) == 0;
}

static inline uint64_t align_up(uint64_t v, uint64_t to)
{
        return (v + to - 1) / to * to;
}

/* True when [offset, offset + len) lies within [0, size); no sum overflows. */
static inline bool range_fits(uint64_t offset, uint64_t len, uint64_t size)
{
        return offset <= size && len <= size - offset;
}
