/* core/base/unix_address.h: the address of a socket file, also where its path is longer than an address holds (107 bytes, unix(7)).
 * Owns:    nothing; the descriptor that makes a long path short is the caller's to close, once it has bound or connected.
 * Threads: any.
 * Blocks:  on the file system that the path is in. */
#pragma once

#include <sys/un.h>

/* *ret names path. *ret_dir_fd: -1, or the directory of path, which *ret goes through: the address is good while it is open.
 * -errno where that directory cannot be opened; -ENAMETOOLONG where the file's own name is too long. */
int unix_address(const char *path, struct sockaddr_un *ret, int *ret_dir_fd);
