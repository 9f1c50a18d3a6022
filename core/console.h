/* core/console.h: where the guest's serial output goes: to a descriptor, past the clock (T3) and past two patterns (T4).
 * Owns:    its buffer, its compiled patterns and one writer thread; borrows the descriptor.
 * Threads: console_put from vCPU threads, one at a time (the serial port's lock); the rest from the session thread.
 *          The events are called on the thread that put the byte: they must not block.
 * Blocks:  console_put while nobody drains the descriptor and 64 KiB wait, until console_hold_open(true); never when it is lossy.
 *          console_connect until the writer has let go of the last descriptor: at once. */
#pragma once

#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct console;

struct console_config {
        int         out_fd; /* -1: nowhere, or nobody yet when it is lossy */
        bool        lossy;  /* readers come and go: the newest 64 KiB wait for one, what is older is dropped */
        const char *until;  /* POSIX extended regular expression, or NULL */
        const char *mark;
        void       *arg;
        void (*first_byte)(void *arg, uint64_t ns);   /* keeps the time, and wakes nobody: the byte is not out yet */
        void (*first_is_out)(void *arg, uint64_t ns); /* the same time, when it is */
        void (*matched)(void *arg, bool until, uint64_t ns); /* once for each pattern */
};

/* Compiles the patterns and starts the writer. Failure: a pattern that is no regular expression, no memory, no thread. */
int  console_new(const struct console_config *c, struct console **ret, struct err *e);
/* Stamps T3 at the first byte, T4 at the end of a line that matches; then the byte waits for the writer. */
void console_put(struct console *c, uint8_t byte);
/* A lossy one's next reader; -1: none. Returns how many bytes were dropped since the last call. */
uint64_t console_connect(struct console *c, int out_fd);
/* While open, console_put never waits: bytes pile up. Open it before vm_pause. */
void console_hold_open(struct console *c, bool open);
/* Waits until everything is written, at most timeout_ms. */
void console_flush(struct console *c, int timeout_ms);
void console_free(struct console *c); /* drops what nobody drained; accepts NULL */
