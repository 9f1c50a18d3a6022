/* uffd/uffd.h: one ioctl, one function, -errno; and what this host's userfaultfd can do.
 * Owns:    nothing; uffd_open's descriptor belongs to the caller.
 * Threads: any.
 * Blocks:  no, but for the kernel's own locks. */
#pragma once

#include "core/base/err.h"
#include "core/base/uapi.h"
#include "core/model/host_caps.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fills the uffd_* fields of caps. */
void uffd_probe(struct host_caps *caps);

/* A descriptor with the API handshake done, O_CLOEXEC | O_NONBLOCK, not user-mode-only (KVM faults from kernel mode).
 * Without permission: ERR_HOST and the command that mends it. */
int uffd_open(const struct host_caps *caps, uint64_t features, int *ret_fd, struct err *e);

int uffd_register(int uffd, const void *start, uint64_t len_bytes, uint64_t mode); /* UFFDIO_REGISTER_MODE_* */
int uffd_unregister(int uffd, const void *start, uint64_t len_bytes);
int uffd_wake(int uffd, const void *start, uint64_t len_bytes);
/* *ret_done_bytes (>= 0) is set also on failure: how far it came. */
int uffd_copy(int uffd, void *dst, const void *src, uint64_t len_bytes, bool wake, uint64_t *ret_done_bytes);
int uffd_zeropage(int uffd, void *dst, uint64_t len_bytes, bool wake, uint64_t *ret_done_bytes);
/* Minor faults: maps what the file behind the range has. -EFAULT: it has not got the first page that was not done. */
int uffd_continue(int uffd, void *dst, uint64_t len_bytes, uint64_t *ret_done_bytes);
/* The pages at src, which is private anonymous memory, become those at dst. */
int uffd_move(int uffd, void *dst, void *src, uint64_t len_bytes, uint64_t *ret_done_bytes);
int uffd_poison(int uffd, void *dst, uint64_t len_bytes, uint64_t *ret_done_bytes);
/* Up to nr messages into msgs: how many were read, 0 when none waits, or -errno. */
int uffd_read_events(int uffd, struct uffd_msg *msgs, size_t nr);
