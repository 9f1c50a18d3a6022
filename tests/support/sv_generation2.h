/* tests/support/sv_generation2.h: writes StratoVirt snapshots of generation 2 (2.3, 2.4), of which nobody can take one that
 * restores: by the layouts of reference/stratovirt.md, and by nothing that the reader uses.
 * Owns:    nothing.
 * Threads: one at a time.
 * Blocks:  on the file system. */
#pragma once

#include "core/model/mem_layout.h"
#include "core/model/vm_state.h"
#include "tests/support/sv_snapshot.h"

struct sv2_options {
        bool old_layout;   /* VirtioMmioState as compilers before 1.71 laid it out */
        bool nets_by_slot; /* VirtioNetState/4 and /5, as generation 3 names them; else /0 and /1 */
        bool v23;          /* says it is of StratoVirt 2.3.0; else 2.4.0 */
};

/* The file `state` of that machine: serial port, slots 0 to 5, and what it has of vsock, console, rng. Its padding is garbage. */
struct sv_bytes sv2_state(const struct vm_state *vm, const struct sv2_options *o);

/* The first 8192 bytes of `memory`: header and table. */
struct sv_bytes sv2_memory_head(const struct mem_layout *l);

/* Makes directory g2_dir with the machine of g3_dir, a generation 3 snapshot. 0, or -errno with a line on standard error. */
int sv2_convert(const char *g3_dir, const char *g2_dir);

/* The same, with the last nr requests of queue 0 of that slot in flight: taken by the device, not returned. That is how 2.4 saves
 * a disk that is busy. In guest RAM the used index goes back by as much. The fixtures' guest has one request at a time, all in
 * one descriptor: of it, more than 1 is a queue that cannot be. */
int sv2_convert_in_flight(const char *g3_dir, const char *g2_dir, uint32_t slot, uint16_t nr);
