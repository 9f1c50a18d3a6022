/* uffd/read_ring.h: slow reads, many at once: io_uring, with a buffer and a deadline per read.
 * Owns:    the ring and a buffer per slot; descriptors are borrowed.
 * Threads: one at a time.
 * Blocks:  read_ring_free for up to 200 ms, when a read cannot be taken back; the rest never.
 *
 *   free ──start──► flying ──reap──► (the caller looks at buf) ──start again──► flying
 *    ▲                │                       │
 *    │              expire                 release
 *    │                ▼                       │
 *    └──reap─── abandoned                     └──► free
 *
 * A read that passed its deadline keeps its buffer until the kernel lets go of it: it may still write there. */
#pragma once

#include "core/base/units.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define READ_SLOTS      64 /* depth: restore-costs.md, random 4 KiB reads gain up to 32; the rest is for demand while replay reads */
#define READ_SLOT_PAGES 32 /* 128 KiB: two such reads in flight keep a disk of 1 GB/s busy */
#define ADVISE_MAX      64

#define READ_RING_PATIENCE_NS (200 * NS_PER_MS) /* arbitrary: long for a read that can be cancelled, short for a person who waits */

struct read_ring;

int  read_ring_new(struct read_ring **ret); /* 0 or -errno of io_uring */
void read_ring_free(struct read_ring *r);

/* Takes back all that is under way, for patience_ns at most. False: something is, in a file system that does not answer. Then the thread that
 * submitted it cannot end before it does: the kernel has it wait for io_uring's worker. */
bool read_ring_take_back(struct read_ring *r, uint64_t patience_ns);

/* A free slot, or -EBUSY; -ETIMEDOUT when all are abandoned, so that none will come free soon. */
int      read_ring_take(struct read_ring *r);
uint8_t *read_ring_buf(struct read_ring *r, int slot);
/* Asks for len_bytes, which go to buf_offset_bytes of the slot's buffer. It is submitted by the next read_ring_submit. */
void read_ring_start(struct read_ring *r, int slot, int fd, uint64_t offset_bytes, size_t buf_offset_bytes, size_t len_bytes,
                     uint64_t deadline_ns);
void read_ring_release(struct read_ring *r, int slot);

/* Starts reading ahead into the page cache; false when enough of it is under way. */
bool read_ring_advise(struct read_ring *r, int fd, uint64_t offset_bytes, uint64_t len_bytes);

void read_ring_submit(struct read_ring *r);
/* The next read that ended: its slot and its result (bytes or -errno); -1 when there is none. */
int read_ring_reap(struct read_ring *r, ssize_t *ret_result);
/* A read whose deadline has passed: its slot, abandoned from now on; -1 when there is none. */
int read_ring_expire(struct read_ring *r, uint64_t now_ns);

uint64_t read_ring_next_deadline_ns(const struct read_ring *r); /* UINT64_MAX: none flies */
size_t   read_ring_nr_flying(const struct read_ring *r);
int      read_ring_fd(const struct read_ring *r); /* readable when something can be reaped */
