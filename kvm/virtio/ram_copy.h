/* kvm/virtio/ram_copy.h: copies between guest RAM and our own memory, by the means that is right at this time.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  while the pager brings a page.
 *
 * While pages of RAM may be missing the kernel copies, and says so where one is lost (core/base/checked_copy.h; a microsecond a
 * call). Once all of them are there (`settled` of struct virtio_env) nothing can be lost any more, and a plain copy is as safe
 * and far cheaper. RAM that is a mapping of a file is never called settled: a file may be cut at any time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* As checked_gather, checked_scatter: pieces in order, at most 64. 0, or -EFAULT (never where settled). */
int ram_gather(bool settled, void *to, const struct iovec *from, size_t nr);
int ram_scatter(bool settled, const struct iovec *to, size_t nr, const void *from);

/* A word of a ring, which is aligned. What the driver wrote before it is read after it; what was written before it is seen
 * before it. */
int ram_load_word(bool settled, const uint8_t *at, uint16_t *ret);
int ram_store_word(bool settled, uint8_t *at, uint16_t value);

/* Orders what came before against what comes after, loads and stores alike, for the guest too. Not the C11 fence, which
 * ThreadSanitizer refuses. */
static inline void ram_fence(void)
{
        __sync_synchronize();
}
