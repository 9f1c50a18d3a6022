/* formats/stratovirt_g2.h: what the parts of the generation 2 reader (structs) hand to each other.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  what reads the memory file, on the file system. */
#pragma once

#include "formats/stratovirt.h"

/* The table of RAM in `memory`: the layout, and where the data begin. */
int sv2_ram_read(const struct part *p, struct sv_ram *ret, struct err *e);
/* `memory` must end there. */
int sv2_end_check(const struct part *p, uint64_t offset_bytes, struct err *e);
