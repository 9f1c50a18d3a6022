/* kvm/virtio/queue_sync.c: where a queue goes on: by the used index in guest memory, and with what an earlier device took and did not
 * return (a VMM that saves without draining).
 *
 * Which heads those are, the rings must tell: the available ring holds the last `size` entries that the driver made, the used ring
 * the last `size` that came back, and both know nothing of the other's order. So a moment is looked for at which nothing was in
 * flight, both rings at the same position, from which on the rings can be played: each entry of the used ring must return a head that
 * was made available and is not back yet, and none is made available twice without coming back. The earliest such moment has the most
 * entries to bear it out. What is in flight at the end of the play is what is outstanding. */
#include "core/base/checked_copy.h"
#include "core/base/units.h"
#include "kvm/virtio/queue_internal.h"

#include <errno.h>
#include <string.h>

struct play {
        const struct virtqueue  *q;
        const struct virtq_used *used;     /* the whole ring */
        uint16_t                 used_idx; /* the ring's end */
        uint16_t                 avail_idx;
        bool                     in_flight[VIRTIO_QUEUE_SIZE_MAX];
        uint16_t                 taken_at[VIRTIO_QUEUE_SIZE_MAX]; /* position of a head in flight */
};

static bool make_available(struct play *p, uint16_t position)
{
        uint16_t head = virtq_head(p->q, position);

        if (head >= p->q->s.size || p->in_flight[head])
                return false;
        p->in_flight[head] = true;
        p->taken_at[head] = position;
        return true;
}

/* From an idle moment at the position `from` of both rings to the end: could it have been so? */
static bool play_from(struct play *p, uint16_t from)
{
        uint16_t taken = from, mask = p->q->s.size - 1u;

        memset(p->in_flight, 0, sizeof(p->in_flight));
        for (uint16_t back = from; back != p->used_idx; back++) {
                uint32_t head = p->used[back & mask].head;

                if (head >= p->q->s.size)
                        return false;
                while (!p->in_flight[head])
                        if (taken == p->q->s.next_avail || !make_available(p, taken++))
                                return false;
                p->in_flight[head] = false;
        }
        /* and those that the device has not taken yet: the driver makes nothing available twice */
        while (taken != p->avail_idx)
                if (!make_available(p, taken++))
                        return false;
        return true;
}

static uint16_t outstanding(const struct play *p, uint16_t from, uint16_t *ret)
{
        uint16_t nr = 0;

        for (uint16_t at = from; at != p->q->s.next_avail; at++) {
                uint16_t head = virtq_head(p->q, at);

                if (p->in_flight[head] && p->taken_at[head] == at)
                        ret[nr++] = head;
        }
        return nr;
}

static int recover(struct virtqueue *q, uint16_t used_idx, uint16_t avail_idx)
{
        struct play p = { .q = q, .used = q->m->pushed, .used_idx = used_idx, .avail_idx = avail_idx };
        uint16_t    ahead = (uint16_t)(avail_idx - used_idx);
        int         r = virtq_copy_tables(q);

        if (r >= 0)
                r = checked_read(q->m->pushed, q->used + VIRTQ_USED_RING, q->s.size * sizeof(struct virtq_used));
        if (r < 0)
                return r;
        if (ahead > q->s.size)
                return virtq_bad(q, "its available index is more than its size ahead");
        /* what is older than `size` entries is overwritten */
        for (uint16_t m = q->s.size - ahead;; m--) {
                if (play_from(&p, (uint16_t)(used_idx - m))) {
                        q->nr_again = outstanding(&p, (uint16_t)(used_idx - m), q->m->again);
                        return 0;
                }
                if (!m)
                        return virtq_bad(q, "its rings do not tell which of its buffers are in flight");
        }
}

int virtq_sync(struct virtqueue *q)
{
        uint16_t     word[3]; /* used flags, used index, available index */
        struct iovec from[] = {
                { .iov_base = q->used, .iov_len = 2 * sizeof(word[0]) },
                { .iov_base = q->avail + VIRTQ_IDX, .iov_len = sizeof(word[0]) },
        };
        uint16_t k;
        int      r = checked_gather(word, from, ARRAY_LEN(from));

        /* an earlier device may have asked not to be kicked */
        if (r >= 0 && word[0] && !q->event_idx)
                r = checked_write(q->used + VIRTQ_FLAGS, &(uint16_t){ 0 }, sizeof(uint16_t));
        if (r < 0)
                return r;
        k = (uint16_t)(q->s.next_avail - word[1]);
        if (k > q->s.size)
                return virtq_bad(q, "its used index is not where it was left");
        if (k)
                r = recover(q, word[1], word[2]);
        if (r < 0)
                return r;
        q->s.next_used = word[1];
        q->synced = true;
        return 0;
}
