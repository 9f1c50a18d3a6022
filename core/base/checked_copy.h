/* core/base/checked_copy.h: copies to and from memory that may not be there (a lost page, a file that was cut): an error, not a
 * SIGBUS.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  while the pager brings a page. */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

/* The kernel copies (process_vm_readv on ourselves): 0, or -EFAULT where a page cannot be had. A call costs 1.1 us with 2
 * bytes, 1.3 us with 4 KiB, 2.3 us with 18 KiB (Linux 6.18, itself in a VM); finding our own pid is 0.15 of that. */
int checked_read(void *to, const void *from, size_t len_bytes);
int checked_write(void *to, const void *from, size_t len_bytes);

/* Several pieces in one call, in order: piece k of `from` is done before piece k + 1. `to` is one buffer, filled (emptied) front
 * to back. At most 64 pieces. */
int checked_gather(void *to, const struct iovec *from, size_t nr);
int checked_scatter(const struct iovec *to, size_t nr, const void *from);
