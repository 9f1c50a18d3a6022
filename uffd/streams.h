/* uffd/streams.h: how far to bring neighbours along with a page that a fault waits for: not at all, until faults come in sequence.
 * Owns:    a handful of places where sequences of faults stand.
 * Threads: pager thread only.
 * Blocks:  never.
 *
 * A page more costs its waiter 1.5 us, a fault saved is worth 20 (bench/faults), so a lone fault gets its page alone. One that follows
 * upon another doubles the window: 1, 2, 4 ... as a file's readahead does. */
#pragma once

#include <stdint.h>

/* More than vCPUs that stream at once, mostly; a sequence that was pushed out begins anew. */
#define STREAMS 16

/* A fault this near to where a sequence stands goes on with it: a guest skips pages that it has. Arbitrary. */
#define STREAM_SLACK_PAGES 8

struct stream {
        uint64_t low, end; /* pages [low, end) were brought in this sequence; none: end 0 */
        uint32_t window;
        uint32_t used; /* the larger the later */
};

struct streams {
        uint32_t      clock;
        struct stream v[STREAMS];
};

struct stream_window {
        uint64_t first, end; /* the page itself at least */
};

/* A fault waits for `page`: which pages to bring, at most max_pages, ahead of a sequence that goes up or down. */
struct stream_window streams_fault(struct streams *s, uint64_t page, uint32_t max_pages);
