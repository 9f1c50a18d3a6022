/* formats/stratovirt_g2.h: what the parts of the generation 2 reader (structs) hand to each other.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  what reads the memory file, on the file system. */
#pragma once

#include "formats/stratovirt.h"

int sv2_ram_read(const struct part *p, struct sv_ram *ret, struct err *e);
int sv2_end_check(const struct part *p, uint64_t offset_bytes, struct err *e);
