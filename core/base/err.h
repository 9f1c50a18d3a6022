/* core/base/err.h: an error is a value: -errno, whose fault it is, and one line that names object, place and unit.
 * Owns:    its text, in place; nothing to free.
 * Threads: one object belongs to one thread at a time.
 * Blocks:  never. */
#pragma once

#include <stdarg.h>
#include <stdint.h>

/* Who must act; tools/ turns it into the exit status of cli.md. */
enum err_kind {
        ERR_FAILED,   /* an operation failed: exit 1 */
        ERR_HOST,     /* this host lacks something; the text says how to get it: exit 1 */
        ERR_SNAPSHOT, /* the snapshot is bad or does not fit this host: exit 4 */
        ERR_LOST,     /* a page was lost while the guest ran: exit 5 */
        ERR_USAGE,    /* the caller's words are off: exit 2 */
};

struct err {
        int           code; /* -errno; 0 while nothing was set */
        enum err_kind kind;
        char          text[1024];
};

/* Each sets *e (which may be NULL) and returns r, a negative errno, so that `return err_set(e, r, ...)` is one statement.
 * The text never ends in a newline. A longer text is cut. */
int err_set(struct err *e, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_host(struct err *e, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_usage(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* returns -EINVAL */

/* A bad snapshot: kind ERR_SNAPSHOT, code -EBADMSG, text "FILE: offset N: <fmt>". fmt says "expected X, found Y" and, after a
 * semicolon, what to do. ERR_NO_OFFSET leaves the offset out. Returns -EBADMSG. */
#define ERR_NO_OFFSET UINT64_MAX
int err_bad(struct err *e, const char *file, uint64_t offset_bytes, const char *fmt, ...)
        __attribute__((format(printf, 4, 5)));

/* Puts one phrase of the caller's before the text ("outer: inner"); keeps code and kind; returns e->code (r if e is NULL). */
int err_wrap(struct err *e, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
