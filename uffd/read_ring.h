/* uffd/read_ring.h: slow reads, many at once: io_uring, with room in one registered buffer and a deadline per read.
 * Owns:    the ring, the buffer (read_pool.h says who has which part of it); descriptors are borrowed until it is freed.
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
#include "uffd/read_pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define READ_SLOTS        160
#define READ_SLOTS_SHARED 128 /* the rest is for those who wait */
#define READ_FILES_MAX    16

#define READ_RING_PATIENCE_NS (200 * NS_PER_MS) /* arbitrary: long for a read that can be cancelled, short for a person who waits */

struct read_ring;

int  read_ring_new(struct read_ring **ret); /* 0 or -errno of io_uring */
void read_ring_free(struct read_ring *r);

/* Registers the buffer, in huge pages where there are any, and the descriptors (-1 is passed over), so that the kernel need not
 * look them up for each read. Costs some 200 us once. What is refused (RLIMIT_MEMLOCK, or a kernel that is older) is done
 * without; *r is as good. */
void read_ring_register(struct read_ring *r, const int *fds, size_t nr_fds);
bool read_ring_has_fixed_buffer(const struct read_ring *r);

/* Takes back all that is under way, for patience_ns at most. False: something is, in a file system that does not answer. Then the
 * thread that submitted it cannot end before it does: the kernel has it wait for io_uring's worker. */
bool read_ring_take_back(struct read_ring *r, uint64_t patience_ns);

/* A free slot with a buffer of nr_pages (at most READ_POOL_MAX_PAGES), or -EBUSY; -ETIMEDOUT when all are abandoned, so that none
 * will come free soon. urgent: somebody waits, so what is kept for those may be taken. */
int      read_ring_take(struct read_ring *r, uint32_t nr_pages, bool urgent);
uint8_t *read_ring_buf(struct read_ring *r, int slot);

struct read_order {
        int      fd;
        uint64_t offset_bytes;
        size_t   buf_offset_bytes, len_bytes; /* within the slot's buffer */
        uint64_t deadline_ns;                 /* UINT64_MAX: none */
};
/* It is submitted by the next read_ring_submit. */
void read_ring_start(struct read_ring *r, int slot, const struct read_order *o);
void read_ring_release(struct read_ring *r, int slot);

void read_ring_submit(struct read_ring *r);
/* The next read that ended: its slot and its result (bytes or -errno); -1 when there is none. */
int read_ring_reap(struct read_ring *r, ssize_t *ret_result);
/* A read whose deadline has passed: its slot, abandoned from now on; -1 when there is none. */
int read_ring_expire(struct read_ring *r, uint64_t now_ns);

uint64_t read_ring_next_deadline_ns(const struct read_ring *r); /* none passes before; UINT64_MAX: none flies, or none has one */
size_t   read_ring_nr_flying(const struct read_ring *r);
size_t   read_ring_nr_shared(const struct read_ring *r); /* slots taken by those that are not urgent */
int      read_ring_fd(const struct read_ring *r); /* readable when something can be reaped */
