/* kvm/virtio/queue.c: chains are taken from the available ring and given back on the used ring.
 *
 * A batch costs few copies: pop reads the available index, and when that has moved, in one further copy the descriptor table
 * and the whole available ring, which serve until every entry of the batch is taken. A descriptor is the device's from the
 * moment the index covers it until it is returned, so what was copied stays true. flush writes elements and index in one copy.
 * While pages of RAM may be missing each of these copies is a system call. */
#include "kvm/virtio/queue.h"

#include "core/base/cleanup.h"
#include "kvm/virtio/queue_internal.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

/* --- making, resetting --- */

int virtq_new(const struct mem_layout *layout, const _Atomic bool *settled, uint16_t max_size, struct virtqueue **ret)
{
        struct virtqueue *q;

        if (!virtq_size_is_good(max_size))
                return -EINVAL;
        q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;
        q->layout = layout;
        q->settled = settled;
        q->s.max_size = max_size;
        virtq_reset(q);
        *ret = q;
        return 0;
}

void virtq_free(struct virtqueue *q)
{
        if (!q)
                return;
        free(q->m);
        free(q);
}

void virtq_reset(struct virtqueue *q)
{
        uint16_t max_size = q->s.max_size;

        free(q->m);
        *q = (struct virtqueue){ .layout = q->layout, .settled = q->settled, .s = { .size = max_size, .max_size = max_size } };
}

struct virtqueue_state *virtq_state(struct virtqueue *q)
{
        return &q->s;
}

bool virtq_started(const struct virtqueue *q)
{
        return q->m != NULL;
}

const char *virtq_why(const struct virtqueue *q)
{
        return q->why ? q->why : "nothing is wrong with it";
}

int virtq_bad(struct virtqueue *q, const char *why)
{
        q->why = why;
        return -EPROTO;
}

/* --- start --- */

/* A ring's host address: aligned as virtio 1.2, section 2.7 says, in one piece of RAM. */
static uint8_t *ring_hva(const struct virtqueue *q, gpa_t gpa, size_t align, size_t len_bytes)
{
        return gpa % align ? NULL : mem_layout_gpa_to_hva(q->layout, gpa, len_bytes);
}

static int find_rings(struct virtqueue *q)
{
        size_t event_bytes = q->event_idx ? sizeof(uint16_t) : 0;

        if (!virtq_size_is_good(q->s.size) || q->s.size > q->s.max_size)
                return virtq_bad(q, "its size is no power of two within its limit");
        q->desc = ring_hva(q, q->s.desc_gpa, 16, q->s.size * sizeof(struct virtq_desc));
        q->avail = ring_hva(q, q->s.avail_gpa, 2, VIRTQ_AVAIL_RING + q->s.size * sizeof(uint16_t) + event_bytes);
        q->used = ring_hva(q, q->s.used_gpa, 4, VIRTQ_USED_RING + q->s.size * sizeof(struct virtq_used) + event_bytes);
        if (!q->desc)
                return virtq_bad(q, "its descriptor table is not aligned, or not within RAM");
        if (!q->avail)
                return virtq_bad(q, "its available ring is not aligned, or not within RAM");
        if (!q->used)
                return virtq_bad(q, "its used ring is not aligned, or not within RAM");
        return 0;
}

static int start(struct virtqueue *q)
{
        int r = find_rings(q);

        if (r < 0)
                return r;
        q->m = malloc(sizeof(*q->m));
        if (!q->m)
                return -ENOMEM;
        q->seen = q->s.next_avail;
        /* What was drained needs no look at guest memory now: its page may be far away, and a restore should not wait for it. */
        return q->s.next_avail == q->s.next_used ? 0 : virtq_sync(q);
}

int virtq_start(struct virtqueue *q, bool indirect, bool event_idx, const char **ret_why)
{
        int r;

        assert(!q->m);
        q->why = NULL;
        q->indirect = indirect;
        q->event_idx = event_idx;
        r = start(q);
        if (r < 0) {
                free(TAKE_PTR(q->m));
                if (ret_why)
                        *ret_why = r == -EPROTO ? q->why : r == -EFAULT ? "a page of its rings is lost" : "no memory for it";
        }
        return r;
}

/* --- one chain --- */

struct walk {
        const struct virtq_desc *table;
        uint32_t                 nr; /* entries of the table */
        uint32_t                 left; /* a chain longer than its table is a loop */
        uint32_t                 total; /* descriptors that carry buffers */
        bool                     in_indirect, in_is_begun;
};

static int add_piece(struct virtqueue *q, struct walk *w, const struct virtq_desc *d, struct virtq_chain *c)
{
        bool     in = d->flags & VIRTQ_DESC_WRITE;
        uint8_t *hva;

        if (++w->total > VIRTIO_QUEUE_SIZE_MAX)
                return virtq_bad(q, "a chain has more than 1024 descriptors");
        if (!in && w->in_is_begun)
                return virtq_bad(q, "a descriptor to read follows one to write");
        w->in_is_begun = in;
        if (!d->len) /* legal, and nothing to do */
                return 0;
        hva = mem_layout_gpa_to_hva(q->layout, d->gpa, d->len);
        if (!hva)
                return virtq_bad(q, "a buffer is not within RAM");
        q->m->iov[c->nr_out + c->nr_in] = (struct iovec){ .iov_base = hva, .iov_len = d->len };
        if (in) {
                c->nr_in++;
                c->in_bytes += d->len;
        } else {
                c->nr_out++;
                c->out_bytes += d->len;
        }
        return MAX(c->in_bytes, c->out_bytes) > UINT32_MAX ? virtq_bad(q, "a chain has 4 GiB or more") : 0;
}

/* Section 2.7.5.3: one table, neither nested nor followed by more descriptors. */
static int enter_indirect(struct virtqueue *q, struct walk *w, const struct virtq_desc *d)
{
        uint32_t nr = d->len / sizeof(struct virtq_desc);
        uint8_t *hva;

        if (!q->indirect)
                return virtq_bad(q, "an indirect table without the feature for it");
        if (w->in_indirect || d->flags & VIRTQ_DESC_NEXT)
                return virtq_bad(q, "an indirect table inside another, or with a descriptor after it");
        if (!d->len || d->len % sizeof(struct virtq_desc) || nr > VIRTIO_QUEUE_SIZE_MAX)
                return virtq_bad(q, "an indirect table of no, a broken or more than 1024 descriptors");
        hva = mem_layout_gpa_to_hva(q->layout, d->gpa, d->len);
        if (!hva)
                return virtq_bad(q, "an indirect table is not within RAM");
        w->table = q->m->indirect;
        w->nr = w->left = nr;
        w->in_indirect = true;
        return ram_gather(virtq_is_settled(q), q->m->indirect, &(struct iovec){ .iov_base = hva, .iov_len = d->len }, 1);
}

static int walk_chain(struct virtqueue *q, uint16_t head, struct virtq_chain *c)
{
        struct walk              w = { .table = virtq_table(q), .nr = q->s.size, .left = q->s.size };
        const struct virtq_desc *d;
        uint32_t                 i = head;
        int                      r;

        for (;;) {
                if (i >= w.nr)
                        return virtq_bad(q, "a descriptor index is past the table");
                if (!w.left--)
                        return virtq_bad(q, "a chain of descriptors is a loop");
                d = &w.table[i];
                if (d->flags & VIRTQ_DESC_INDIRECT) {
                        r = enter_indirect(q, &w, d);
                        i = 0;
                } else {
                        r = add_piece(q, &w, d, c);
                        i = d->next;
                }
                if (r < 0 || !(d->flags & (VIRTQ_DESC_NEXT | VIRTQ_DESC_INDIRECT)))
                        return r;
        }
}

/* --- the available ring --- */

static uint8_t *avail_event(const struct virtqueue *q)
{
        return q->used + VIRTQ_USED_RING + q->s.size * sizeof(struct virtq_used);
}

static int read_avail_idx(struct virtqueue *q, uint16_t *ret)
{
        return ram_load_word(virtq_is_settled(q), q->avail + VIRTQ_IDX, ret);
}

/* Asks for a kick at the next entry, and looks once more: it may have come just before (section 2.7.10). */
static int arm(struct virtqueue *q, uint16_t *ret_idx)
{
        int r;

        if (q->armed && q->armed_at == q->s.next_avail)
                return 0;
        written_pages_mark(q->layout->written, avail_event(q), sizeof(uint16_t));
        r = ram_store_word(virtq_is_settled(q), avail_event(q), q->s.next_avail);
        if (r < 0)
                return r;
        q->armed = true;
        q->armed_at = q->s.next_avail;
        /* pairs with the driver's full barrier between moving its index and reading this event index */
        ram_fence();
        return read_avail_idx(q, ret_idx);
}

int virtq_copy_tables(struct virtqueue *q)
{
        const struct iovec from[] = {
                { .iov_base = q->desc, .iov_len = q->s.size * sizeof(struct virtq_desc) },
                { .iov_base = q->avail + VIRTQ_AVAIL_RING, .iov_len = q->s.size * sizeof(uint16_t) },
        };

        return ram_gather(virtq_is_settled(q), q->m->copy, from, ARRAY_LEN(from));
}

/* Entries past next_avail: 1 and they are copied, 0 none. */
static int refill(struct virtqueue *q)
{
        uint16_t idx;
        int      r = read_avail_idx(q, &idx);

        if (r >= 0 && idx == q->s.next_avail && q->event_idx)
                r = arm(q, &idx);
        if (r < 0 || idx == q->s.next_avail)
                return r;
        if ((uint16_t)(idx - q->s.next_avail) > q->s.size || (uint16_t)(idx - q->s.next_used) > q->s.size)
                return virtq_bad(q, "its available index is more than its size ahead");
        r = virtq_copy_tables(q);
        if (r < 0)
                return r;
        q->seen = idx;
        return 1;
}

/* The head to take next: 1, or 0 there is none. */
static int next_head(struct virtqueue *q, uint16_t *ret)
{
        int r = 1;

        if (!q->synced)
                r = virtq_sync(q);
        if (r < 0)
                return r;
        if (q->next_again < q->nr_again) {
                *ret = q->m->again[q->next_again];
                return 1;
        }
        if (q->seen == q->s.next_avail) {
                r = refill(q);
                if (r <= 0)
                        return r;
        }
        *ret = virtq_head(q, q->s.next_avail);
        return 1;
}

int virtq_pop(struct virtqueue *q, struct virtq_chain *ret)
{
        struct virtq_chain c = { 0 };
        int                r;

        if (!q->m)
                return 0;
        if (q->why)
                return -EPROTO;
        r = next_head(q, &c.head);
        if (r <= 0)
                return r;
        r = walk_chain(q, c.head, &c);
        if (r < 0)
                return r;
        q->popped_again = q->next_again < q->nr_again;
        if (q->popped_again)
                q->next_again++;
        else
                q->s.next_avail++;
        c.iov = q->m->iov;
        c.settled = virtq_is_settled(q);
        c.written = q->layout->written;
        *ret = c;
        return 1;
}

void virtq_unpop(struct virtqueue *q)
{
        if (q->popped_again)
                q->next_again--;
        else
                q->s.next_avail--;
}

/* --- the used ring --- */

void virtq_push(struct virtqueue *q, uint16_t head, uint32_t written_bytes)
{
        assert(q->nr_pushed < q->s.size);
        q->m->pushed[q->nr_pushed++] = (struct virtq_used){ .head = head, .len_bytes = written_bytes };
}

/* The elements from next_used on, which may go round the end of the ring, and after them the index. */
static int write_used(struct virtqueue *q)
{
        const size_t elem = sizeof(struct virtq_used);
        size_t       at = q->s.next_used & (q->s.size - 1u), nr = MIN(q->nr_pushed, q->s.size - at);
        uint8_t     *ring = q->used + VIRTQ_USED_RING;
        uint16_t     idx = (uint16_t)(q->s.next_used + q->nr_pushed);
        bool         settled = virtq_is_settled(q);
        struct iovec to[3] = {
                { .iov_base = ring + at * elem, .iov_len = nr * elem },
                { .iov_base = ring, .iov_len = (q->nr_pushed - nr) * elem },
                { .iov_base = q->used + VIRTQ_IDX, .iov_len = sizeof(idx) },
        };

        for (size_t i = 0; i < ARRAY_LEN(to); i++)
                written_pages_mark(q->layout->written, to[i].iov_base, to[i].iov_len);
        if (settled) {
                ram_scatter(settled, to, 2, q->m->pushed);
                return ram_store_word(settled, q->used + VIRTQ_IDX, idx);
        }
        memcpy(&q->m->pushed[q->nr_pushed], &idx, sizeof(idx));
        /* what the device wrote into buffers, and the elements, before the index (section 2.7.8.2) */
        ram_fence();
        return ram_scatter(settled, to, ARRAY_LEN(to), q->m->pushed);
}

/* Section 2.7.7: by used_event, or by a flag. `before`: the used index at the last time that this was asked. */
static int wants_interrupt(struct virtqueue *q, uint16_t before)
{
        const uint8_t *at = q->avail + (q->event_idx ? VIRTQ_AVAIL_RING + q->s.size * sizeof(uint16_t) : VIRTQ_FLAGS);
        uint16_t       word;
        int            r;

        /* pairs with the driver's full barrier between writing used_event (the flag) and reading the used index */
        ram_fence();
        r = ram_load_word(virtq_is_settled(q), at, &word);
        if (r < 0)
                return r;
        if (!q->event_idx)
                return !(word & VIRTQ_AVAIL_NO_INTERRUPT);
        /* nobody knows what was signalled before a restore: better once too often */
        if (!q->signalled)
                return 1;
        return (uint16_t)(q->s.next_used - word - 1) < (uint16_t)(q->s.next_used - before);
}

int virtq_flush(struct virtqueue *q)
{
        uint16_t before = q->s.next_used;
        int      r;

        if (!q->m || !q->nr_pushed)
                return 0;
        r = write_used(q);
        if (r < 0)
                return r;
        q->s.next_used = (uint16_t)(before + q->nr_pushed);
        q->nr_pushed = 0;
        r = wants_interrupt(q, before);
        q->signalled = true;
        return r;
}
