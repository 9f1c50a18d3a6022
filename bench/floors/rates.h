/* bench/floors/rates.h: how fast this machine moves memory by the bare calls; each gives bytes a second.
 * Owns:    nothing that outlives a call. What fails ends the program with a line.
 * Threads: one.
 * Blocks:  on the file system, where it reads. */
#pragma once

struct rig;

double rate_memcpy(struct rig *r);
/* UFFDIO_COPY, 2 MiB at a time, of warm memory into a new RAM. */
double rate_copy_2m(struct rig *r);
/* pread(2) of the file in order with O_DIRECT, 2 MiB each, two of them under way at any time. */
double rate_direct(struct rig *r);

struct page_map;
/* Unpacks every chunk of the map, on one core; bytes that come out, and only the time in the codec. */
double rate_unpack(const struct page_map *map);
