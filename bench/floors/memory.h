/* bench/floors/memory.h: memory to measure with. What fails ends the program with a line: there is nothing left to measure.
 * Owns:    nothing; what is mapped is the caller's, to munmap.
 * Threads: any.
 * Blocks:  while memory is touched. */
#pragma once

#include <stdint.h>

void floor_die(const char *what, int error) __attribute__((noreturn));

/* Anonymous, private. */
uint8_t *memory_map(uint64_t bytes);
/* The same, touched. */
uint8_t *memory_map_there(uint64_t bytes);
/* As guest RAM is mapped: aligned to 2 MiB, MADV_NOHUGEPAGE, untouched. */
uint8_t *memory_map_ram(uint64_t bytes);
/* Every word of it tells its page. */
void memory_fill(uint8_t *m, uint64_t bytes);
/* Touches so much memory and gives it back: memory that the machine's own host has to find first is several times as slow. */
void memory_warm_host(uint64_t bytes);

/* A permutation of [0, nr), by the seed. */
void memory_shuffle(uint64_t *v, uint64_t nr, uint64_t seed);
