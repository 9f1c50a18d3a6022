/* core/collapse.h: after T6, the guest's 4 KiB pages become huge ones again where they are all there: fewer faults of KVM's,
 * fewer TLB misses, paid for by a copy that nobody waits for.
 * Owns:    a thread of idle priority; borrows RAM until collapse_free.
 * Threads: session thread; collapsed_bytes is read from any.
 * Blocks:  collapse_free until the range at hand is done (some 0.2 ms). */
#pragma once

#include "core/guest_ram.h"

struct collapse;

/* Begins. Everything of RAM is resident, zero or mapped: no range may be registered with a userfaultfd any more. 0 or -errno. */
int  collapse_start(const struct guest_ram *ram, struct collapse **ret, struct err *e);
void collapse_free(struct collapse *c); /* accepts NULL */

uint64_t collapse_bytes(const struct collapse *c); /* so far; NULL: 0 */
