/* core/host_read.h: small files of /proc and /sys, below a root so that tests bring their own.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  no more than the kernel takes to make the text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* path stands behind root as it is: root "" is this host, path "/proc/...". All leave *ret alone when there is nothing to be
 * read. */

/* The first line, without its newline. */
bool host_read_line(const char *root, const char *path, char *ret, size_t size);
/* "always [madvise] never" -> "madvise". */
bool host_read_choice(const char *root, const char *path, char *ret, size_t size);
/* HOST_UNKNOWN, HOST_NO_LIMIT ("max", "unlimited", and what cgroup v1 writes for them), or the number. */
int64_t host_read_number(const char *root, const char *path);
/* The same of text; *ret_end (may be NULL): where it stopped. */
int64_t host_parse_number(const char *text, const char **ret_end);
/* "Key:   12 kB" and "Max locked memory   8388608   ..." : what follows the key on the first line that starts with it, blanks
 * skipped. */
bool host_read_keyed(const char *root, const char *path, const char *key, char *ret, size_t size);
/* "Key:   12 kB", in bytes; key with its colon. 0 where it is not told. */
uint64_t host_read_kb(const char *root, const char *path, const char *key);
bool host_there(const char *root, const char *path);

/* pattern may hold wildcards; each hit is told as a whole path below root. Sorted. */
void host_glob(const char *root, const char *pattern, void (*hit)(void *arg, const char *path), void *arg);
