/* core/base/fdio.h: whole reads and writes, and names opened below a directory; -errno at the edge.
 * Owns:    nothing; descriptors and buffers returned belong to the caller.
 * Threads: any.
 * Blocks:  as long as the file system does. */
#pragma once

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Opens name below dir_fd by openat2 with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS: a link that leads out of the directory is
 * -EXDEV. O_CLOEXEC is added. Returns the descriptor or -errno. (openat2: Linux 5.6) */
int fd_open_beneath(int dir_fd, const char *name, int flags, mode_t mode);

/* Reads until len_bytes are there or the file ends: the number of bytes read, or -errno. Retries EINTR. */
ssize_t fd_pread_full(int fd, void *buf, size_t len_bytes, uint64_t offset_bytes);

/* Writes all, or -errno (-EIO if write(2) makes no progress). Retries EINTR. */
int fd_pwrite_full(int fd, const void *buf, size_t len_bytes, uint64_t offset_bytes);
/* The same of several pieces, one behind the other in the file; v is used up. At most IOV_MAX. */
int fd_pwritev_full(int fd, struct iovec *v, size_t nr, uint64_t offset_bytes);
int fd_write_full(int fd, const void *buf, size_t len_bytes);

/* The whole file, at most max_bytes (else -EFBIG), NUL-terminated one past its end; the caller frees *ret_buf. */
int fd_read_all(int fd, size_t max_bytes, void **ret_buf, size_t *ret_len_bytes);

/* The entries of the directory `name` in dir_fd, from the first one on; "." is dir_fd itself, with a place in it
 * of its own. A symbolic link is not followed (-ELOOP or -ENOTDIR). 0 or -errno. */
int fd_list(int dir_fd, const char *name, DIR **ret);

/* Writes name below dir_fd so that power loss leaves the old file or the new one: temporary name, fsync, rename, fsync of the
 * directory. name may lead into a directory below dir_fd; with AT_FDCWD it is any path. What is there already must be a regular
 * file: -EISDIR, -ELOOP for a link, -EINVAL for the rest (a rename over /dev/null is not what anybody means). */
int fd_replace_file(int dir_fd, const char *name, const void *buf, size_t len_bytes, mode_t mode);

/* Would it, as far as that can be told without a write? 0 or its -errno: for who will have something to write only after hours. */
int fd_may_replace_file(int dir_fd, const char *name);
/* The same for fopen(path, "w"): what is there already may be anything that is written to, but a directory. */
int fd_may_write_file(const char *path);

/* mkdir -p of path with mode; 0 or -errno. */
int fd_make_dirs(const char *path, mode_t mode);
