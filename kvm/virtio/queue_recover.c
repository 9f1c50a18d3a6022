/* kvm/virtio/queue_recover.c: which chains an earlier device took and did not return (a VMM that saves without draining).
 *
 * The available ring holds the last `size` chains that the driver made, the used ring the last `size` that came back, and
 * neither says when an entry was made in terms of the other's. What is known: between two times that a head is made available
 * it comes back once. So the histories that the rings allow are narrowed down: for each entry of the available ring, how many
 * chains can have come back when it was made (at least lo, at most hi; both only grow along the ring).
 *
 *   available    ... A B A C B A      a head that has one entry more than it came back is in flight at the end, and one that
 *   used         ... B A A B C        came back once more than it has entries was in flight at the beginning; where both are
 *                                     equal, it was in flight at both or at neither, and one may contradict the bounds
 *
 * How many were in flight at the beginning is tried from none upward, but for a ring that is not full yet: there it was none.
 * Only what all possible histories agree on is handed out again: a chain too many would have the device write into memory that
 * is the guest's own again. Assumed is that what is in flight is among the last `size` chains, as of an older one no trace is
 * left; where much of the ring is in flight that is no safe thing to assume, unless everything came back in order. In 42000
 * simulated loads of rings of 256, with up to 64 in flight and returned in any order, no answer was wrong and 3 in 100 could
 * not be given; a smaller ring remembers less (of 64: 7 in 42000 were wrong). A VMM that drains, as most do, never gets here. */
#include "core/base/checked_copy.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "kvm/virtio/queue_internal.h"

#include <errno.h>
#include <string.h>

#define NONE      (-1)
#define ROUNDS_MAX 16 /* each decides heads by what the last one found out; a load of 64 in flight takes 3 or 4 */

enum start {
        START_UNKNOWN,
        START_FREE,
        START_IN_FLIGHT,
};

enum outcome {
        IMPOSSIBLE,
        UNDECIDED,
        DECIDED,
};

/* Positions count from the oldest entry of the used ring that is there: used entries are [0, nr_used), available ones
 * [first_avail, end_avail). `taken`: the device took those below it. */
struct history {
        int  nr_heads, nr_used, first_avail, end_avail, taken;
        int  first_used; /* used entries before it are older than first_avail */
        bool young;      /* the rings began at first_avail */
        /* by position less first_avail; next_: the same head's next entry, or NONE */
        uint16_t avail[VIRTIO_QUEUE_SIZE_MAX];
        int      lo[VIRTIO_QUEUE_SIZE_MAX], hi[VIRTIO_QUEUE_SIZE_MAX], next_avail[VIRTIO_QUEUE_SIZE_MAX];
        /* by position */
        uint16_t used[VIRTIO_QUEUE_SIZE_MAX];
        int      next_used[VIRTIO_QUEUE_SIZE_MAX];
        struct {
                int        first_avail, last_avail, first_used, nr_avail, nr_used;
                enum start start;
        } head[VIRTIO_QUEUE_SIZE_MAX];
        bool decided[VIRTIO_QUEUE_SIZE_MAX]; /* in flight at the end, as the first possible history has it */
};

/* --- one head: made available and returned in turn --- */

/* Do the bounds allow it? With `apply` they are narrowed by it. */
static bool alternates(struct history *h, int head, bool in_flight, bool apply)
{
        int a = h->head[head].first_avail, u = h->head[head].first_used, made = NONE, back = NONE;

        for (bool returns = in_flight;; returns = !returns) {
                if (returns && u == NONE)
                        return true;
                if (!returns && a == NONE)
                        return true;
                if (returns) {
                        bool bounded = made != NONE;
                        int  i = bounded ? made - h->first_avail : 0;

                        if (bounded && h->lo[i] > u)
                                return false;
                        if (bounded && apply)
                                h->hi[i] = MIN(h->hi[i], u);
                        back = u;
                        u = h->next_used[u];
                } else {
                        int *lo = &h->lo[a - h->first_avail];

                        if (back != NONE && h->hi[a - h->first_avail] < back + 1)
                                return false;
                        if (back != NONE && apply)
                                *lo = MAX(*lo, back + 1);
                        made = a;
                        a = h->next_avail[a - h->first_avail];
                }
        }
}

static bool decide(struct history *h, int head, enum start start)
{
        h->head[head].start = start;
        return alternates(h, head, start == START_IN_FLIGHT, true);
}

static bool in_flight_at_end(const struct history *h, int head)
{
        int more = h->head[head].nr_avail - h->head[head].nr_used;

        return more == 1 || (more == 0 && h->head[head].start == START_IN_FLIGHT);
}

/* --- all of them --- */

static void widest_bounds(struct history *h)
{
        for (int i = 0; i < h->end_avail - h->first_avail; i++) {
                /* no more are in flight than there are heads; no more came back than were made */
                h->lo[i] = MAX(h->first_used, i + h->first_avail + 1 - h->nr_heads);
                h->hi[i] = MIN(h->nr_used, i + h->first_avail);
        }
}

/* Neither bound ever falls. False: one excludes the other. */
static bool propagate(struct history *h)
{
        int n = h->end_avail - h->first_avail;

        for (int i = 1; i < n; i++)
                h->lo[i] = MAX(h->lo[i], h->lo[i - 1]);
        for (int i = n - 1; i > 0; i--)
                h->hi[i - 1] = MIN(h->hi[i - 1], h->hi[i]);
        for (int i = 0; i < n; i++)
                if (h->lo[i] > h->hi[i])
                        return false;
        return true;
}

/* Heads whose entries say it: false: they contradict one another. */
static bool decide_by_number(struct history *h, int *ret_in_flight, int *ret_unknown)
{
        *ret_in_flight = *ret_unknown = 0;
        for (int i = 0; i < h->nr_heads; i++) {
                int more = h->head[i].nr_avail - h->head[i].nr_used;

                h->head[i].start = START_FREE;
                if (more < -1 || more > 1)
                        return false;
                if (more == 0 && h->head[i].nr_avail) {
                        h->head[i].start = START_UNKNOWN;
                        ++*ret_unknown;
                } else if (!decide(h, i, more < 0 ? START_IN_FLIGHT : START_FREE)) {
                        return false;
                }
                *ret_in_flight += more < 0;
        }
        return true;
}

static bool decide_rest(struct history *h, enum start start)
{
        for (int i = 0; i < h->nr_heads; i++)
                if (h->head[i].start == START_UNKNOWN && !decide(h, i, start))
                        return false;
        return true;
}

/* One round over the heads that are not decided: false: one of them can be neither. */
static bool decide_by_bounds(struct history *h, int *in_flight, int *unknown)
{
        for (int i = 0; i < h->nr_heads; i++) {
                bool free, flying;

                if (h->head[i].start != START_UNKNOWN)
                        continue;
                free = alternates(h, i, false, false);
                flying = alternates(h, i, true, false);
                if (!free && !flying)
                        return false;
                if (free && flying)
                        continue;
                if (!decide(h, i, flying ? START_IN_FLIGHT : START_FREE))
                        return false;
                *in_flight += flying;
                --*unknown;
        }
        return true;
}

/* Could first_avail - first_used chains have been in flight at the beginning, and which heads are at the end? */
static enum outcome try_history(struct history *h)
{
        int wanted = h->first_avail - h->first_used, in_flight, unknown, before;

        widest_bounds(h);
        if (!decide_by_number(h, &in_flight, &unknown) || !propagate(h))
                return IMPOSSIBLE;
        for (int round = 0; unknown && round < ROUNDS_MAX; round++) {
                before = unknown;
                if (!decide_by_bounds(h, &in_flight, &unknown) || !propagate(h))
                        return IMPOSSIBLE;
                if (unknown == before)
                        break;
        }
        if (in_flight > wanted || in_flight + unknown < wanted)
                return IMPOSSIBLE;
        if (unknown && in_flight != wanted && in_flight + unknown != wanted)
                return UNDECIDED;
        return decide_rest(h, in_flight == wanted ? START_FREE : START_IN_FLIGHT) && propagate(h) ? DECIDED : IMPOSSIBLE;
}

/* --- the rings --- */

static void add_avail(struct history *h, int position, uint16_t head)
{
        int i = position - h->first_avail;

        h->avail[i] = head;
        h->next_avail[i] = NONE;
        if (h->head[head].nr_avail++)
                h->next_avail[h->head[head].last_avail - h->first_avail] = position;
        else
                h->head[head].first_avail = position;
        h->head[head].last_avail = position;
}

/* Backward, from the youngest one. */
static void add_used(struct history *h, int position)
{
        uint16_t head = h->used[position];

        h->next_used[position] = h->head[head].nr_used++ ? h->head[head].first_used : NONE;
        h->head[head].first_used = position;
        h->first_used = position;
}

/* Drivers hand over rings of zeros; past the index they stay so until it has gone round. */
static bool is_young(const struct virtqueue *q, uint16_t used_idx, uint16_t avail_idx)
{
        for (uint32_t i = avail_idx; i < q->s.size; i++)
                if (virtq_head(q, (uint16_t)i))
                        return false;
        for (uint32_t i = used_idx; i < q->s.size; i++)
                if (q->m->pushed[i].head || q->m->pushed[i].len_bytes)
                        return false;
        return avail_idx < q->s.size && used_idx <= avail_idx;
}

static bool read_rings(struct history *h, const struct virtqueue *q, uint16_t used_idx, uint16_t avail_idx)
{
        int size = q->s.size;

        h->young = is_young(q, used_idx, avail_idx);
        h->nr_heads = h->nr_used = h->first_used = size;
        h->end_avail = size + (uint16_t)(avail_idx - used_idx);
        h->taken = size + (uint16_t)(q->s.next_avail - used_idx);
        h->first_avail = h->young ? size - used_idx : h->end_avail - size;
        for (int i = 0; i < size; i++)
                h->head[i].first_avail = h->head[i].first_used = NONE;
        for (int i = h->first_avail; i < h->end_avail; i++) {
                uint16_t head = virtq_head(q, (uint16_t)(used_idx + i)); /* position 0 is used_idx - size */

                if (head >= size)
                        return false;
                add_avail(h, i, head);
        }
        for (int i = 0; i < size; i++) {
                uint32_t head = q->m->pushed[(uint16_t)(used_idx + i) & (size - 1)].head;

                if (head >= (uint32_t)size)
                        return false;
                h->used[i] = (uint16_t)head;
        }
        for (int i = size; i-- > h->first_avail;)
                add_used(h, i);
        return true;
}

/* As many as there are heads are all of them; and who returns everything in order leaves nothing old behind. */
static bool traces_are_left(const struct history *h)
{
        int in_flight = h->end_avail - h->nr_used;

        if (h->young || in_flight == h->nr_heads || in_flight <= h->nr_heads / 4)
                return true;
        for (int i = h->first_avail; i < h->nr_used; i++)
                if (h->avail[i - h->first_avail] != h->used[i])
                        return false;
        return true;
}

static bool agrees(struct history *h, bool first)
{
        for (int i = 0; i < h->nr_heads; i++) {
                if (first)
                        h->decided[i] = in_flight_at_end(h, i);
                else if (h->decided[i] != in_flight_at_end(h, i))
                        return false;
        }
        return true;
}

/* All that are possible, from none in flight at the beginning to as many as the used ring reaches back. */
static bool find(struct history *h)
{
        bool found = false;

        for (;;) {
                enum outcome o = try_history(h);

                if (o == UNDECIDED || (o == DECIDED && !agrees(h, !found)))
                        return false;
                found |= o == DECIDED;
                if (h->young || h->first_used == 0)
                        return found;
                add_used(h, h->first_used - 1);
        }
}

static uint16_t outstanding(const struct history *h, uint16_t *ret)
{
        uint16_t nr = 0;

        for (int at = h->first_avail; at < h->taken; at++) {
                uint16_t head = h->avail[at - h->first_avail];

                if (h->decided[head] && h->head[head].last_avail == at)
                        ret[nr++] = head;
        }
        return nr;
}

int virtq_recover(struct virtqueue *q, uint16_t used_idx, uint16_t avail_idx)
{
        _cleanup_free_ struct history *h = calloc(1, sizeof(*h));
        uint16_t                       k = (uint16_t)(q->s.next_avail - used_idx);
        int                            r;

        if (!h)
                return -ENOMEM;
        if ((uint16_t)(avail_idx - used_idx) > q->s.size || (uint16_t)(avail_idx - used_idx) < k)
                return virtq_bad(q, "its available index is behind what was taken, or more than its size ahead");
        r = virtq_copy_tables(q);
        if (r >= 0)
                r = checked_read(q->m->pushed, q->used + VIRTQ_USED_RING, q->s.size * sizeof(struct virtq_used));
        if (r < 0)
                return r;
        if (read_rings(h, q, used_idx, avail_idx) && traces_are_left(h) && find(h))
                q->nr_again = outstanding(h, q->m->again);
        return q->nr_again == k ? 0 : virtq_bad(q, "its rings do not tell which of its buffers are in flight");
}
