/* tests/support/silent_file.h: a real file that stops answering reads, as one on a network file system does: served through
 * /dev/fuse, mounted over its own name, in a mount namespace of the test's own.
 * Owns:    the mount and the process that serves it; silent_file_free ends both.
 * Threads: one at a time.
 * Blocks:  never. */
#pragma once

#include <stdatomic.h>
#include <sys/types.h>

struct silent_file {
        char        path[4400];
        pid_t       pid;
        int         fuse_fd;
        _Atomic int *silent; /* shared with the server; relaxed: a flag and no more */
};

/* From now on path is served by us, and answers. Skips the test without root or /dev/fuse. Whoever asks when max_background
 * requests are under way already is held up in the kernel, as in a congested network file system; 0: nobody is. */
struct silent_file silent_file_new(const char *path, unsigned int max_background);
/* No read is answered any more, those that have begun among them. */
void silent_file_hush(struct silent_file *f);
/* They are again. */
void silent_file_speak(struct silent_file *f);
void silent_file_free(struct silent_file *f);
#define _cleanup_silent_file_ __attribute__((cleanup(silent_file_free)))
