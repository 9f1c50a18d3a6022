/* bench/floors/bare_loop.h: the least that can answer a fault: poll, read one message, one UFFDIO_COPY of warm memory.
 * Owns:    its uffd and its thread. What fails ends the program with a line.
 * Threads: started and stopped by one.
 * Blocks:  bare_loop_stop until its thread has ended. */
#pragma once

#include "core/base/err.h"

#include <stdint.h>

struct host_caps;
struct bare_loop;

/* warm: as long as ram; the page (of page_bytes, as ram's are) at the same place is copied. NULL and *e: this host has no
 * userfaultfd for us. */
struct bare_loop *bare_loop_start(const struct host_caps *caps, uint8_t *ram, const uint8_t *warm, uint64_t len_bytes,
                                  uint64_t page_bytes, struct err *e);
uint64_t          bare_loop_cpu_ns(const struct bare_loop *l); /* of its thread, so far */
void              bare_loop_stop(struct bare_loop *l);
