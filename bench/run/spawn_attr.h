/* bench/run/spawn_attr.h: how every program of a run is started, the VMM and its helpers.
 * Owns:    nothing; posix_spawnattr_destroy frees *attr.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include <spawn.h>

/* What the bench blocks for itself, the program has as ever. Its own process group: Ctrl-C is for the bench, which ends the
 * program in order. */
void spawn_attr_init(posix_spawnattr_t *attr);
