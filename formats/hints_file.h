/* formats/hints_file.h: hints on disk.
 * Owns:    nothing; what is read belongs to the caller (hints_free).
 * Threads: any.
 * Blocks:  on the file system.
 *
 * Version 2 of the file holds struct hint as it is. Version 1, which knew no times, phases and kinds of touch, is read: they are
 * 0 then. */
#pragma once

#include "core/model/hints.h"

#include <stdbool.h>

/* Name within a native snapshot; DATA_DIR/hints/IDENTITY for any. */
#define HINTS_NAME "hints"

/* Reads and checks path. For another snapshot or another RAM size than expected, damaged, cut short: -EBADMSG with kind
 * ERR_SNAPSHOT, file, offset, expected, found. -ENOENT (ERR_FAILED) when there is none. */
int hints_file_read(int dir_fd, const char *name, const struct identity *expected, uint64_t ram_pages, struct hints *ret,
                    struct err *e);

/* Of whatever snapshot the file names, for those who compare files with one another. */
int hints_file_read_any(const char *path, struct hints *ret, struct err *e);

/* The bytes of the file, in a buffer for the caller to free. */
int hints_file_pack(const struct hints *h, void **ret, size_t *ret_len, struct err *e);

/* Atomically, mode 0600. dir_fd may be AT_FDCWD for hints_file_write_path. */
int hints_file_write(int dir_fd, const char *name, const struct hints *h, struct err *e);

/* A path of the user's own; and DATA_DIR/hints/IDENTITY. */
int hints_file_read_path(const char *path, const struct identity *expected, uint64_t ram_pages, struct hints *ret, struct err *e);
int hints_file_write_path(const char *path, const struct hints *h, struct err *e);
int hints_file_read_data_dir(const char *data_dir, const struct identity *expected, uint64_t ram_pages, struct hints *ret,
                             struct err *e);
int hints_file_write_data_dir(const char *data_dir, const struct hints *h, struct err *e);
