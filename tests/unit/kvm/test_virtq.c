/* The device's side of a split queue: what it takes, what it gives back, and what it does not put up with. */
#include "kvm/virtio/queue.h"
#include "tests/unit/kvm/virtio_rig.h"

#include <errno.h>

struct duo {
        struct rig       *r;
        struct rig_queue  driver;
        struct virtqueue *q;
};

static struct duo duo_new(uint16_t size)
{
        struct duo t = { .r = rig_new() };

        cr_assert_eq(virtq_new(&t.r->layout, &t.r->env.settled, VIRTIO_QUEUE_SIZE_MAX, &t.q), 0);
        rig_queue_init(&t.driver, t.r, size);
        rig_queue_tell(&t.driver, virtq_state(t.q));
        return t;
}

static void duo_start(struct duo *t, bool indirect, bool event_idx)
{
        const char *why = "";

        cr_assert_eq(virtq_start(t->q, indirect, event_idx, &why), 0, "%s", why);
}

static struct duo duo_started(uint16_t size)
{
        struct duo t = duo_new(size);

        duo_start(&t, true, true);
        return t;
}

static void duo_free(struct duo *t)
{
        virtq_free(t->q);
        rig_free(t->r);
}

static struct virtq_chain pop(struct duo *t)
{
        struct virtq_chain c;

        cr_assert_eq(virtq_pop(t->q, &c), 1, "%s", virtq_why(t->q));
        return c;
}

static void assert_empty(struct duo *t)
{
        struct virtq_chain c;

        cr_assert_eq(virtq_pop(t->q, &c), 0, "%s", virtq_why(t->q));
}

static void assert_broken(struct duo *t, const char *why)
{
        struct virtq_chain c;

        cr_assert_eq(virtq_pop(t->q, &c), -EPROTO);
        cr_assert_not_null(strstr(virtq_why(t->q), why), "%s", virtq_why(t->q));
        cr_assert_eq(virtq_pop(t->q, &c), -EPROTO, "and it stays so");
}

/* One buffer of a page for each of nr chains. */
static void send_pages(struct duo *t, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                rig_send(&t->driver, (struct rig_buf[]){ { 0x100000 + i * PAGE_BYTES, 4096, true } }, 1);
}

static void return_one(struct duo *t, uint16_t head)
{
        virtq_push(t->q, head, 1);
        cr_assert_geq(virtq_flush(t->q), 0);
}

/* --- chains --- */

Test(virtq, a_chain_comes_as_it_was_made_and_goes_back)
{
        struct duo         t = duo_started(8);
        struct rig_buf     b[] = { { 0x100000, 100, false }, { RIG_HIGH_GPA, 200, false }, { 0x200010, 300, true } };
        uint16_t           head = rig_send(&t.driver, b, 3);
        struct virtq_chain c = pop(&t);
        struct rig_used    u;

        cr_assert_eq(c.head, head);
        cr_assert_eq(c.nr_out, 2);
        cr_assert_eq(c.nr_in, 1);
        cr_assert_eq(c.out_bytes, 300);
        cr_assert_eq(c.in_bytes, 300);
        for (size_t i = 0; i < 3; i++) {
                cr_assert_eq(c.iov[i].iov_base, rig_at(t.r, b[i].gpa));
                cr_assert_eq(c.iov[i].iov_len, b[i].len);
        }
        assert_empty(&t);
        virtq_push(t.q, c.head, 77);
        cr_assert(!rig_take_used(&t.driver, &u), "not seen before the flush");
        cr_assert_eq(virtq_flush(t.q), 1);
        cr_assert(rig_take_used(&t.driver, &u));
        cr_assert_eq(u.head, head);
        cr_assert_eq(u.len, 77);
        duo_free(&t);
}

/* --- account of what is written --- */

static bool is_marked(const struct duo *t, const _Atomic uint64_t *bits, gpa_t gpa)
{
        uint64_t page = bytes_to_pages((uint64_t)((const uint8_t *)rig_at(t->r, gpa) - t->r->layout.ram));

        return bits[page / 64] >> (page % 64) & 1;
}

/* What the device only reads is not marked; what it may write is, page by page; and so are the used ring and the event index. */
Test(virtq, what_the_device_writes_is_told_page_by_page)
{
        static _Atomic uint64_t bits[2 * RIG_WINDOW_BYTES / PAGE_BYTES / 64];
        struct written_pages    written = { .bits = bits };
        struct duo              t = duo_started(8);
        struct rig_buf          b[] = { { 0x100000, 100, false }, { 0x200ff0, 0x20, true }, { RIG_HIGH_GPA, 200, true } };
        struct iovec            v[4];
        struct virtq_chain      c;

        written.ram = t.r->layout.ram;
        t.r->layout.written = &written;
        rig_send(&t.driver, b, 3);
        c = pop(&t);
        cr_assert_not(is_marked(&t, bits, 0x200000), "nothing is written yet");
        cr_assert_eq(virtq_chain_slice(&c, false, 0, 100, v, 4), 1);
        cr_assert_not(is_marked(&t, bits, 0x100000), "the device reads it");
        cr_assert_eq(virtq_chain_write(&c, 0, "0123456789abcdefX", 17), 17);
        cr_assert(is_marked(&t, bits, 0x200000) && is_marked(&t, bits, 0x201000));
        cr_assert_not(is_marked(&t, bits, RIG_HIGH_GPA), "it did not come that far");
        cr_assert_eq(virtq_chain_slice(&c, true, 0x20, 200, v, 4), 1);
        cr_assert(is_marked(&t, bits, RIG_HIGH_GPA), "handed out to be written");
        assert_empty(&t);
        bits[0] = bits[1] = bits[2] = bits[3] = bits[4] = 0;
        return_one(&t, c.head);
        cr_assert(is_marked(&t, bits, t.driver.used_gpa));
        cr_assert_not(is_marked(&t, bits, 0x100000));
        duo_free(&t);
}

Test(virtq, the_rings_go_round_at_every_size)
{
        for (uint16_t size = 1; size <= VIRTIO_QUEUE_SIZE_MAX; size = (uint16_t)(size * 2)) {
                struct duo t = duo_started(size);

                for (unsigned int n = 0; n < 3u * size + 2; n++) {
                        uint16_t        head = rig_send(&t.driver, (struct rig_buf[]){ { 0x100000, 1, true } }, 1);
                        struct rig_used u;

                        cr_assert_eq(pop(&t).head, head);
                        return_one(&t, head);
                        cr_assert(rig_take_used(&t.driver, &u));
                        cr_assert_eq(u.head, head);
                }
                duo_free(&t);
        }
}

Test(virtq, a_full_batch_crosses_the_end_of_both_rings)
{
        struct duo t = duo_started(8);

        for (int round = 0; round < 5; round++) {
                uint16_t        heads[5];
                struct rig_used u;

                send_pages(&t, 5);
                for (size_t i = 0; i < 5; i++)
                        heads[i] = pop(&t).head;
                for (size_t i = 5; i-- > 0;)
                        virtq_push(t.q, heads[i], (uint32_t)i);
                cr_assert_geq(virtq_flush(t.q), 0);
                for (size_t i = 5; i-- > 0;) {
                        cr_assert(rig_take_used(&t.driver, &u));
                        cr_assert_eq(u.head, heads[i]);
                        cr_assert_eq(u.len, i);
                }
        }
        duo_free(&t);
}

Test(virtq, an_indirect_table_may_be_longer_than_the_queue)
{
        struct duo         t = duo_started(2);
        struct rig_buf     b[VIRTIO_QUEUE_SIZE_MAX];
        struct virtq_chain c;

        for (size_t i = 0; i < ARRAY_LEN(b); i++)
                b[i] = (struct rig_buf){ 0x100000 + i, 1, i >= 1000 };
        rig_add_indirect(&t.driver, b, ARRAY_LEN(b));
        rig_publish(&t.driver);
        c = pop(&t);
        cr_assert_eq(c.nr_out, 1000);
        cr_assert_eq(c.nr_in, 24);
        cr_assert_eq(c.iov[1023].iov_base, rig_at(t.r, 0x100000 + 1023));
        duo_free(&t);
}

Test(virtq, a_descriptor_of_no_bytes_is_legal_wherever_it_points)
{
        struct duo         t = duo_started(8);
        struct virtq_chain c;

        rig_send(&t.driver, (struct rig_buf[]){ { UINT64_MAX, 0, false }, { 0x1000, 5, false }, { 3 * GIB, 0, true } }, 3);
        c = pop(&t);
        cr_assert_eq(c.nr_out, 1);
        cr_assert_eq(c.nr_in, 0);
        rig_send(&t.driver, (struct rig_buf[]){ { 0x1000, 0, true }, { 0x1000, 5, false } }, 2);
        assert_broken(&t, "follows");
        duo_free(&t);
}

Test(virtq, an_unpopped_chain_comes_again)
{
        struct duo         t = duo_started(8);
        struct virtq_chain c;
        uint16_t           first;

        send_pages(&t, 2);
        first = pop(&t).head;
        virtq_unpop(t.q);
        cr_assert_eq(virtq_state(t.q)->next_avail, 0);
        c = pop(&t);
        cr_assert_eq(c.head, first);
        cr_assert_eq(c.iov[0].iov_base, rig_at(t.r, 0x100000));
        cr_assert_neq(pop(&t).head, first);
        duo_free(&t);
}

Test(virtq, bytes_are_copied_across_pieces)
{
        struct duo         t = duo_started(256);
        struct rig_buf     b[200];
        char               out[300], back[300];
        struct virtq_chain c;
        struct iovec       v[4];

        for (size_t i = 0; i < ARRAY_LEN(b); i++)
                b[i] = (struct rig_buf){ 0x100000 + 2 * i, i < 100 ? 3 : 2, i >= 100 };
        rig_send(&t.driver, b, ARRAY_LEN(b));
        c = pop(&t);
        cr_assert_eq(c.out_bytes, 300);
        cr_assert_eq(c.in_bytes, 200);
        for (size_t i = 0; i < 300; i++)
                out[i] = (char)i;
        cr_assert_eq(virtq_chain_write(&c, 0, out, 300), 200, "as many as the pieces hold");
        cr_assert_eq(memcmp(rig_at(t.r, 0x100000 + 200), out, 200), 0);
        cr_assert_eq(virtq_chain_write(&c, 199, out + 7, 300), 1);
        cr_assert_eq(*(char *)rig_at(t.r, 0x100000 + 399), 7);
        cr_assert_eq(virtq_chain_read(&c, 0, back, 300), 300);
        cr_assert_eq(virtq_chain_read(&c, 300, back, 1), 0);
        cr_assert_eq(virtq_chain_read(&c, 299, back, 5), 1);
        cr_assert_eq(virtq_chain_slice(&c, false, 2, 5, v, 4), 3, "1, 3 and 1 bytes");
        cr_assert_eq(v[0].iov_base, rig_at(t.r, 0x100002));
        cr_assert_eq(v[0].iov_len, 1);
        cr_assert_eq(v[1].iov_len, 3);
        cr_assert_eq(v[2].iov_len, 1);
        cr_assert_eq(virtq_chain_slice(&c, true, 0, 200, v, 4), 4, "no more than asked");
        duo_free(&t);
}

/* --- what no queue is --- */

Test(virtq, a_ring_that_is_none_does_not_start)
{
        static const struct {
                struct virtqueue_state s;
                const char            *why;
        } cases[] = {
                { { .size = 0, .avail_gpa = 0x1000, .used_gpa = 0x2000 }, "size" },
                { { .size = 3, .avail_gpa = 0x1000, .used_gpa = 0x2000 }, "size" },
                { { .size = 512, .avail_gpa = 0x3000, .used_gpa = 0x4000 }, "size" },
                { { .size = 8, .desc_gpa = 8, .avail_gpa = 0x1000, .used_gpa = 0x2000 }, "descriptor table" },
                { { .size = 8, .avail_gpa = 0x1001, .used_gpa = 0x2000 }, "available ring" },
                { { .size = 8, .avail_gpa = 0x1000, .used_gpa = 0x2002 }, "used ring" },
                { { .size = 8, .desc_gpa = RIG_WINDOW_BYTES - 112, .avail_gpa = 0x1000, .used_gpa = 0x2000 },
                  "descriptor table" },
                { { .size = 8, .avail_gpa = RIG_HIGH_GPA + RIG_WINDOW_BYTES - 20, .used_gpa = 0x2000 }, "available ring" },
                { { .size = 8, .avail_gpa = 0x1000, .used_gpa = RIG_HIGH_GPA - 64 }, "used ring" },
                { { .size = 8, .desc_gpa = UINT64_MAX - 15, .avail_gpa = 0x1000, .used_gpa = 0x2000 }, "descriptor table" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct rig       *r = rig_new();
                struct virtqueue *q;
                const char       *why = NULL;

                cr_assert_eq(virtq_new(&r->layout, NULL, 256, &q), 0);
                *virtq_state(q) = cases[i].s;
                virtq_state(q)->max_size = 256;
                cr_assert_eq(virtq_start(q, true, true, &why), -EPROTO, "case %zu", i);
                cr_assert_not_null(strstr(why, cases[i].why), "case %zu: %s", i, why);
                cr_assert(!virtq_started(q));
                virtq_free(q);
                rig_free(r);
        }
}

Test(virtq, a_queue_may_end_where_ram_ends)
{
        struct duo  t = duo_new(8);
        const char *why = "";

        virtq_state(t.q)->desc_gpa = RIG_WINDOW_BYTES - 128;
        virtq_state(t.q)->used_gpa = RIG_HIGH_GPA + RIG_WINDOW_BYTES - 68;
        cr_assert_eq(virtq_start(t.q, false, false, &why), 0, "without an event word: %s", why);
        virtq_reset(t.q);
        cr_assert_eq(virtq_state(t.q)->size, VIRTIO_QUEUE_SIZE_MAX, "as new");
        duo_free(&t);
}

static void patch_loop(struct rig_queue *q, uint16_t head)
{
        rig_desc(q, head)->flags |= RIG_NEXT;
        rig_desc(q, head)->next = head;
}

static void patch_next(struct rig_queue *q, uint16_t head)
{
        rig_desc(q, head)->flags |= RIG_NEXT;
        rig_desc(q, head)->next = q->size;
}

static void patch_hole(struct rig_queue *q, uint16_t head)
{
        rig_desc(q, head)->gpa = 3 * GIB;
}

static void patch_wrap(struct rig_queue *q, uint16_t head)
{
        rig_desc(q, head)->gpa = UINT64_MAX - 10;
}

static void patch_edge(struct rig_queue *q, uint16_t head)
{
        rig_desc(q, head)->gpa = RIG_WINDOW_BYTES - 4095;
}

static void patch_head(struct rig_queue *q, uint16_t head)
{
        (void)head;
        *rig_avail(q, 2) = q->size;
}

static void patch_idx(struct rig_queue *q, uint16_t head)
{
        (void)head;
        *rig_avail(q, 1) = (uint16_t)(q->size + 1);
}

static void patch_idx_back(struct rig_queue *q, uint16_t head)
{
        (void)head;
        *rig_avail(q, 1) = 0xffff;
}

static void patch_indirect(struct rig_queue *q, uint16_t head, uint32_t len, uint16_t flags)
{
        *rig_desc(q, head) = (struct rig_desc){ .gpa = 0x300000, .len = len, .flags = (uint16_t)(RIG_INDIRECT | flags) };
}

static void patch_table_len(struct rig_queue *q, uint16_t head)
{
        patch_indirect(q, head, 24, 0);
}

static void patch_table_empty(struct rig_queue *q, uint16_t head)
{
        patch_indirect(q, head, 0, 0);
}

static void patch_table_long(struct rig_queue *q, uint16_t head)
{
        patch_indirect(q, head, 1025 * 16, 0);
}

static void patch_table_next(struct rig_queue *q, uint16_t head)
{
        patch_indirect(q, head, 16, RIG_NEXT);
}

static void patch_table_hole(struct rig_queue *q, uint16_t head)
{
        patch_indirect(q, head, 16, 0);
        rig_desc(q, head)->gpa = 3 * GIB;
}

static void patch_nested(struct rig_queue *q, uint16_t head)
{
        patch_indirect(q, head, 16, 0);
        *(struct rig_desc *)rig_at(q->r, 0x300000) = (struct rig_desc){ .gpa = 0x300010, .len = 16, .flags = RIG_INDIRECT };
}

static void patch_table_past(struct rig_queue *q, uint16_t head)
{
        patch_indirect(q, head, 16, 0);
        *(struct rig_desc *)rig_at(q->r, 0x300000) = (struct rig_desc){ .len = 0, .flags = RIG_NEXT, .next = 1 };
}

Test(virtq, a_broken_chain_breaks_the_queue)
{
        static const struct {
                void (*patch)(struct rig_queue *q, uint16_t head);
                const char *why;
        } cases[] = {
                { patch_loop, "loop" },
                { patch_next, "past the table" },
                { patch_hole, "not within RAM" },
                { patch_wrap, "not within RAM" },
                { patch_edge, "not within RAM" },
                { patch_head, "past the table" },
                { patch_idx, "ahead" },
                { patch_idx_back, "ahead" },
                { patch_table_len, "broken" },
                { patch_table_empty, "of no" },
                { patch_table_long, "more than 1024" },
                { patch_table_next, "after it" },
                { patch_table_hole, "not within RAM" },
                { patch_nested, "inside another" },
                { patch_table_past, "past the table" },
        };

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct duo t = duo_started(8);

                cases[i].patch(&t.driver, rig_send(&t.driver, (struct rig_buf[]){ { 0x100000, 4096, false } }, 1));
                assert_broken(&t, cases[i].why);
                duo_free(&t);
        }
}

Test(virtq, an_indirect_table_needs_its_feature)
{
        struct duo t = duo_new(8);

        duo_start(&t, false, true);
        rig_add_indirect(&t.driver, (struct rig_buf[]){ { 0x1000, 1, false } }, 1);
        rig_publish(&t.driver);
        assert_broken(&t, "without the feature");
        duo_free(&t);
}

Test(virtq, four_gib_in_one_chain_are_too_many)
{
        struct duo      t = duo_started(8);
        struct rig_buf *b = calloc(1024, sizeof(*b));

        /* 513 times the same 8 MiB */
        for (size_t i = 0; i < 1024; i++)
                b[i] = (struct rig_buf){ 0, RIG_WINDOW_BYTES, true };
        rig_add_indirect(&t.driver, b, 1024);
        rig_publish(&t.driver);
        assert_broken(&t, "4 GiB");
        free(b);
        duo_free(&t);
}

Test(virtq, what_was_not_returned_counts_against_the_queue)
{
        struct duo         t = duo_started(2);
        struct virtq_chain c;

        send_pages(&t, 2);
        pop(&t);
        pop(&t);
        rig_offer(&t.driver, 0);
        rig_publish(&t.driver);
        cr_assert_eq(virtq_pop(t.q, &c), -EPROTO, "three buffers in a queue of two");
        duo_free(&t);
}

Test(virtq, a_lost_page_is_an_error_and_no_signal)
{
        struct duo         t = duo_started(256);
        struct virtq_chain c;

        rig_send(&t.driver, (struct rig_buf[]){ { 0x1000, 1, false } }, 1);
        munmap(rig_at(t.r, t.driver.desc_gpa & ~0xfffULL), PAGE_BYTES);
        cr_assert_eq(virtq_pop(t.q, &c), -EFAULT);
        cr_assert_eq(virtq_pop(t.q, &c), -EFAULT, "it may come back");
        duo_free(&t);
}

/* --- who tells whom --- */

Test(virtq, with_event_idx_an_empty_pop_moves_the_drivers_event)
{
        struct duo t = duo_started(8);

        *rig_avail_event(&t.driver) = 77;
        send_pages(&t, 3);
        pop(&t);
        cr_assert_eq(*rig_avail_event(&t.driver), 77, "there is more: nobody needs to kick");
        pop(&t);
        pop(&t);
        assert_empty(&t);
        cr_assert_eq(*rig_avail_event(&t.driver), 3);
        duo_free(&t);
}

Test(virtq, without_event_idx_a_flag_holds_interrupts_back)
{
        struct duo t = duo_new(8);

        duo_start(&t, false, false);
        send_pages(&t, 2);
        virtq_push(t.q, pop(&t).head, 0);
        cr_assert_eq(virtq_flush(t.q), 1);
        *rig_avail(&t.driver, 0) = 1;
        virtq_push(t.q, pop(&t).head, 0);
        cr_assert_eq(virtq_flush(t.q), 0);
        cr_assert_eq(virtq_flush(t.q), 0, "nothing was pushed");
        duo_free(&t);
}

Test(virtq, with_event_idx_the_driver_says_when_it_wants_to_hear)
{
        struct duo t = duo_started(8);

        *rig_used_event(&t.driver) = 5;
        send_pages(&t, 8);
        for (int i = 0; i < 8; i++) {
                virtq_push(t.q, pop(&t).head, 0);
                cr_assert_eq(virtq_flush(t.q), i == 0 || i == 5, "entry %d; the first one always", i);
        }
        duo_free(&t);
}

/* --- after a restore --- */

/* Another device on the same rings, as a snapshot leaves it. */
static void restart(struct duo *t, uint16_t next_avail, uint16_t next_used)
{
        struct virtqueue_state s = *virtq_state(t->q);

        virtq_reset(t->q);
        *virtq_state(t->q) = s;
        virtq_state(t->q)->next_avail = next_avail;
        virtq_state(t->q)->next_used = next_used;
        duo_start(t, true, true);
}

Test(virtq, a_drained_queue_goes_on_where_it_was)
{
        struct duo t = duo_started(4);

        for (int i = 0; i < 6; i++) {
                struct rig_used u;

                send_pages(&t, 1);
                return_one(&t, pop(&t).head);
                cr_assert(rig_take_used(&t.driver, &u));
        }
        send_pages(&t, 1);
        restart(&t, 6, 6);
        return_one(&t, pop(&t).head);
        assert_empty(&t);
        cr_assert_eq(rig_used_idx(&t.driver), 7);
        duo_free(&t);
}

Test(virtq, a_drained_queue_does_not_touch_its_rings_before_the_first_pop)
{
        struct duo t = duo_new(4);

        munmap(rig_at(t.r, 0x1000), PAGE_BYTES);
        restart(&t, 6, 6);
        duo_free(&t);
}

Test(virtq, what_was_taken_and_not_returned_is_handed_out_again_in_order)
{
        struct duo t = duo_started(16);
        uint16_t   heads[4];

        for (int i = 0; i < 40; i++) {
                struct rig_used u;

                send_pages(&t, 1);
                return_one(&t, pop(&t).head);
                cr_assert(rig_take_used(&t.driver, &u));
        }
        send_pages(&t, 4);
        for (size_t i = 0; i < 4; i++)
                heads[i] = pop(&t).head;
        return_one(&t, heads[0]);
        send_pages(&t, 1);
        restart(&t, 44, 40);
        cr_assert_eq(virtq_state(t.q)->next_used, 41, "the guest's word");
        cr_assert_eq(pop(&t).head, heads[1]);
        virtq_unpop(t.q);
        cr_assert_eq(pop(&t).head, heads[1]);
        cr_assert_eq(pop(&t).head, heads[2]);
        cr_assert_eq(pop(&t).head, heads[3]);
        cr_assert_eq(virtq_state(t.q)->next_avail, 44);
        return_one(&t, pop(&t).head);
        assert_empty(&t);
        for (size_t i = 1; i < 4; i++)
                virtq_push(t.q, heads[i], 0);
        cr_assert_eq(virtq_flush(t.q), 0, "it said nothing since the first one");
        cr_assert_eq(rig_used_idx(&t.driver), 45);
        duo_free(&t);
}

Test(virtq, what_is_in_flight_is_known_while_the_ring_is_young)
{
        struct duo t = duo_started(8);
        uint16_t   heads[6];

        send_pages(&t, 6);
        for (size_t i = 0; i < 6; i++)
                heads[i] = pop(&t).head;
        return_one(&t, heads[5]);
        return_one(&t, heads[1]);
        restart(&t, 6, 2);
        cr_assert_eq(pop(&t).head, heads[0]);
        cr_assert_eq(pop(&t).head, heads[2]);
        cr_assert_eq(pop(&t).head, heads[3]);
        cr_assert_eq(pop(&t).head, heads[4]);
        assert_empty(&t);
        duo_free(&t);
}

/* A driver and a device with up to `depth` requests in flight, for a while; then the device is gone. True: the next one knew
 * which they were, and they were those. False: it said that it could not know. */
static bool lose_the_device(unsigned int *seed, uint16_t size, size_t depth)
{
        struct duo             t = duo_new(size);
        uint16_t               flying[64];
        size_t                 nr = 0, steps = (size_t)rand_r(seed) % 1500 + 1;
        struct virtqueue_state s;
        const char            *why;
        bool                   known;

        duo_start(&t, true, false);
        for (size_t i = 0; i < steps || !nr; i++) {
                struct rig_used u;

                if (nr < depth && rand_r(seed) % 3) {
                        send_pages(&t, 1);
                        flying[nr++] = pop(&t).head;
                } else if (nr) {
                        size_t which = (size_t)rand_r(seed) % nr;

                        return_one(&t, flying[which]);
                        memmove(&flying[which], &flying[which + 1], (--nr - which) * sizeof(flying[0]));
                        cr_assert(rig_take_used(&t.driver, &u));
                }
        }
        s = *virtq_state(t.q);
        virtq_reset(t.q);
        *virtq_state(t.q) = s;
        known = virtq_start(t.q, true, false, &why) == 0;
        for (size_t i = 0; known && i < nr; i++)
                cr_assert_eq(pop(&t).head, flying[i], "%zu of %zu", i, nr);
        if (known)
                assert_empty(&t);
        duo_free(&t);
        return known;
}

Test(virtq, a_wrong_buffer_is_never_handed_out_again)
{
        unsigned int seed = 1, known = 0;

        for (int i = 0; i < 600; i++)
                known += lose_the_device(&seed, 256, 1u << i % 6);
        cr_assert_gt(known, 500, "%u of 600", known);
}

Test(virtq, rings_that_contradict_the_saved_indexes_are_refused)
{
        struct duo  t = duo_new(4);
        const char *why = NULL;

        virtq_state(t.q)->next_avail = 9;
        virtq_state(t.q)->next_used = 8;
        *rig_avail(&t.driver, 1) = 9;
        *rig_used(&t.driver, 1) = 2;
        cr_assert_eq(virtq_start(t.q, true, true, &why), -EPROTO);
        cr_assert_not_null(strstr(why, "used index"), "%s", why);
        *rig_used(&t.driver, 1) = 7;
        cr_assert_eq(virtq_start(t.q, true, true, &why), -EPROTO, "two in flight, and both are head 0");
        cr_assert_not_null(strstr(why, "in flight"), "%s", why);
        *rig_avail(&t.driver, 1) = 8;
        cr_assert_eq(virtq_start(t.q, true, true, &why), -EPROTO, "taken, but never made available");
        cr_assert_not_null(strstr(why, "available index"), "%s", why);
        duo_free(&t);
}
