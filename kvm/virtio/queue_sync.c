/* kvm/virtio/queue_sync.c: where a queue goes on: at the used index in guest memory. */
#include "core/base/checked_copy.h"
#include "core/base/units.h"
#include "kvm/virtio/queue_internal.h"

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
        if (r >= 0 && word[0] && !q->event_idx) {
                written_pages_mark(q->layout->written, q->used + VIRTQ_FLAGS, sizeof(uint16_t));
                r = checked_write(q->used + VIRTQ_FLAGS, &(uint16_t){ 0 }, sizeof(uint16_t));
        }
        if (r < 0)
                return r;
        k = (uint16_t)(q->s.next_avail - word[1]);
        if (k > q->s.size)
                return virtq_bad(q, "its used index is not where it was left");
        if (k)
                r = virtq_recover(q, word[1], word[2]);
        if (r < 0)
                return r;
        q->s.next_used = word[1];
        q->synced = true;
        return 0;
}
