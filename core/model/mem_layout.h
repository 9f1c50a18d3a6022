/* core/model/mem_layout.h: where guest RAM is: windows of guest physical addresses over one contiguous RAM.
 * Owns:    nothing; `ram` is borrowed from whoever mapped it (core/guest_ram).
 * Threads: plain data, read-only once a plan is made.
 * Blocks:  never.
 *
 *   gpa    0 ........ 3 GiB |  PCI hole  | 4 GiB ........ end
 *   RAM    [ window 0       ][ window 1                  ]        no gap: RAM page number = RAM offset / 4096
 */
#pragma once

#include "core/base/err.h"
#include "core/base/units.h"
#include "core/model/written_pages.h"

#include <stddef.h>

#define MEM_WINDOWS_MAX 8

struct mem_window {
        gpa_t    gpa;
        uint64_t size_bytes;
        uint64_t ram_offset_bytes;
};

struct mem_layout {
        uint64_t          total_bytes; /* sum of the windows' sizes */
        size_t            nr;
        struct mem_window w[MEM_WINDOWS_MAX]; /* sorted by gpa; ram_offset follows the same order */
        uint8_t          *ram;                /* total_bytes long; NULL until it is mapped */
        const struct written_pages *written;  /* is told what devices write there; NULL: nobody keeps account */
};

/* Adds a window after those that are there: gpa and size page-aligned, not zero, no overlap, ascending; else -EINVAL with
 * text. */
int mem_layout_add(struct mem_layout *l, gpa_t gpa, uint64_t size_bytes, struct err *e);

/* RAM offset of [gpa, gpa+len) if one window holds all of it: true and *ret_offset_bytes; else false. len 0 is false. */
bool mem_layout_gpa_to_offset(const struct mem_layout *l, gpa_t gpa, uint64_t len_bytes, uint64_t *ret_offset_bytes);

/* The host address of the same, or NULL. */
uint8_t *mem_layout_gpa_to_hva(const struct mem_layout *l, gpa_t gpa, uint64_t len_bytes);

/* The guest physical address of a RAM offset below total_bytes. */
gpa_t mem_layout_offset_to_gpa(const struct mem_layout *l, uint64_t offset_bytes);
