/* bench/floors/rates.h: how fast this machine moves memory by the bare calls; each gives bytes a second.
 * Owns:    nothing that outlives a call.
 * Threads: one.
 * Blocks:  on the file system, where it reads.
 *
 * What this host cannot do is -errno and *e; what should not fail ends the program with a line. */
#pragma once

#include "core/base/err.h"

#include <stdint.h>

struct host_caps;
struct page_map;

/* Of memory that is there into memory that is there, 2 MiB at a time. */
double rate_memcpy(const uint8_t *warm, uint64_t bytes);
/* UFFDIO_COPY, 2 MiB at a time, of memory that is there into ram, which nobody has touched. */
int rate_copy_2m(const struct host_caps *caps, uint8_t *ram, const uint8_t *warm, uint64_t bytes, double *ret, struct err *e);
/* Reads of the file in order with O_DIRECT, 2 MiB each, two of them under way at any time; its first bytes, or as many as it has.
 * name: for *e. */
int rate_direct(int fd, const char *name, uint64_t bytes, double *ret, struct err *e);
/* Unpacks every chunk of the map, on one core; bytes that come out, and only the time in the codec. */
double rate_unpack(const struct page_map *map);
