/* uffd/around.h: how far to bring neighbours along with a page that a fault waits for: not at all, until faults show that it
 * pays.
 * Owns:    what it remembers of recent faults.
 * Threads: pager thread only.
 * Blocks:  never.
 *
 * A page more costs its waiter 1.5 us, a fault saved is worth 20 and more (bench/faults). So a lone fault gets its page alone,
 * and neighbours come along with one that
 *   - goes on where an earlier one ended (up or down): the window doubles each time, 1, 2, 4 ..., as a file's readahead does;
 *   - falls near pages that are there already, in a guest whose faults often do: then it gets the rest of its neighbourhood, and
 *     where most of them do, the first fault of a neighbourhood brings it whole. */
#pragma once

#include <stdint.h>

/* More than vCPUs that go through memory in order at once, mostly; a sequence that was pushed out begins anew. */
#define AROUND_STREAMS 16

/* A fault this near to where a sequence stands goes on with it: a guest skips pages that it has. Arbitrary. */
#define AROUND_SLACK_PAGES 8

/* A neighbourhood: 64 KiB, as the kernel takes for faults on file mappings. */
#define AROUND_NEAR_PAGES 16

struct around_stream {
        uint64_t low, end; /* pages [low, end) were brought in this sequence; none: end 0 */
        uint32_t window;
        uint32_t used; /* the larger the later */
};

struct around {
        uint32_t             clock;
        uint32_t             near; /* how many of recent faults fell near pages that were there: a moving average, AROUND_ALL: all */
        struct around_stream v[AROUND_STREAMS];
};

#define AROUND_ALL 65536

struct around_window {
        uint64_t first, end; /* the page itself at least */
};

/* A fault waits for `page`; nr_near pages of its (aligned) neighbourhood are there. Which pages to bring: at most max_pages, and
 * only the page where that is 1 or less. */
struct around_window around_fault(struct around *a, uint64_t page, uint32_t nr_near, uint32_t max_pages);
