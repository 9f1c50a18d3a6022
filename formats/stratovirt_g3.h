/* formats/stratovirt_g3.h: what the parts of the generation 3 reader (JSON) hand to each other.
 * Owns:    nothing.
 * Threads: one.
 * Blocks:  what reads the memory file, on the file system. */
#pragma once

#include "formats/stratovirt.h"

/* ctrl_info of a network card: its receive filters, as the guest's control queue set them. */
int sv3_filters_read(const struct json_place *at, struct json_span ctrl_info, struct virtio_net_state *ret, struct err *e);

/* The table of RAM in `memory`: the layout, and where the data begin. */
int sv3_ram_read(const struct part *p, struct sv_ram *ret, struct err *e);
/* The page behind RAM, at `begin`: an empty list of further regions, and then the end of the file. */
int sv3_trailer_check(const struct part *p, uint64_t begin, struct err *e);
