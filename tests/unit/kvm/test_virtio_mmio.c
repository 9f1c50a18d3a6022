/* The virtio-mmio transport, its registers written as a driver writes them, on the rig's rings and without KVM. */
#include "core/model/vm_state.h"
#include "kvm/virtio/mmio.h"
#include "tests/unit/kvm/loop_device.h"

#include <errno.h>
#include <pthread.h>

enum {
        MAGIC = 0x000,
        VERSION = 0x004,
        DEVICE_ID = 0x008,
        VENDOR_ID = 0x00c,
        DEVICE_FEATURES = 0x010,
        DEVICE_FEATURES_SEL = 0x014,
        DRIVER_FEATURES = 0x020,
        DRIVER_FEATURES_SEL = 0x024,
        QUEUE_SEL = 0x030,
        QUEUE_NUM_MAX = 0x034,
        QUEUE_NUM = 0x038,
        QUEUE_READY = 0x044,
        QUEUE_NOTIFY = 0x050,
        INTERRUPT_STATUS = 0x060,
        INTERRUPT_ACK = 0x064,
        STATUS = 0x070,
        QUEUE_DESC = 0x080,
        QUEUE_AVAIL = 0x090,
        QUEUE_USED = 0x0a0,
        SHM_LEN = 0x0b0,
        CONFIG_GENERATION = 0x0fc,
        CONFIG = 0x100,
};

#define ACKNOWLEDGE 1u
#define DRIVER      2u
#define DRIVER_OK   4u
#define FEATURES_OK 8u
#define NEEDS_RESET 64u

struct card {
        struct rig         *r;
        struct loop_device *l;
        struct virtio_mmio *t;
        struct rig_queue    q[LOOP_QUEUES];
        _Atomic unsigned    interrupts, doorbells;
        int                 doorbell_result;
};

static void card_interrupt(void *arg)
{
        atomic_fetch_add(&((struct card *)arg)->interrupts, 1);
}

static int card_doorbell(void *arg, uint16_t queue, int fd)
{
        struct card *c = arg;

        cr_assert_lt(queue, LOOP_QUEUES);
        cr_assert_geq(fd, 0);
        atomic_fetch_add(&c->doorbells, 1);
        return c->doorbell_result;
}

static struct card *card_with(struct rig *r, struct loop_device *l)
{
        struct card        *c = calloc(1, sizeof(*c));
        struct virtio_wires wires = { .arg = c, .interrupt = card_interrupt, .doorbell = card_doorbell };

        c->r = r;
        c->l = l;
        cr_assert_eq(virtio_mmio_new(&l->d, &wires, &c->t, NULL), 0);
        snprintf(l->d.what, sizeof(l->d.what), "loop in slot 7");
        l->d.slot = 7;
        return c;
}

static struct card *card_new(void)
{
        struct rig *r = rig_new();

        return card_with(r, loop_new(&r->env, NULL));
}

static void card_unplug(struct card *c)
{
        virtio_mmio_free(c->t);
        loop_free(&c->l->d);
        free(c);
}

static void card_free(struct card *c)
{
        struct rig *r = c->r;

        card_unplug(c);
        rig_free(r);
}

static uint32_t in(struct card *c, uint64_t offset)
{
        uint32_t v;

        virtio_mmio_ops.read(c->t, offset, (uint8_t *)&v, 4);
        return v;
}

static void out(struct card *c, uint64_t offset, uint32_t v)
{
        virtio_mmio_ops.write(c->t, offset, (const uint8_t *)&v, 4);
}

static void out64(struct card *c, uint64_t offset, uint64_t v)
{
        out(c, offset, (uint32_t)v);
        out(c, offset + 4, (uint32_t)(v >> 32));
}

static void set_up_queue(struct card *c, uint32_t queue, uint16_t size)
{
        rig_queue_init(&c->q[queue], c->r, size);
        out(c, QUEUE_SEL, queue);
        out(c, QUEUE_NUM, size);
        out64(c, QUEUE_DESC, c->q[queue].desc_gpa);
        out64(c, QUEUE_AVAIL, c->q[queue].avail_gpa);
        out64(c, QUEUE_USED, c->q[queue].used_gpa);
        out(c, QUEUE_READY, 1);
}

static void take_features(struct card *c)
{
        out(c, STATUS, ACKNOWLEDGE);
        out(c, STATUS, ACKNOWLEDGE | DRIVER);
        for (uint32_t i = 0; i < 2; i++) {
                out(c, DEVICE_FEATURES_SEL, i);
                out(c, DRIVER_FEATURES_SEL, i);
                out(c, DRIVER_FEATURES, in(c, DEVICE_FEATURES));
        }
        out(c, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

/* As a driver brings a device up. */
static void bring_up(struct card *c)
{
        take_features(c);
        cr_assert_eq(in(c, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
        for (uint32_t i = 0; i < LOOP_QUEUES; i++)
                set_up_queue(c, i, 32);
        out(c, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
}

static void echo(struct card *c)
{
        struct rig_used u;

        rig_put(c->r, 0x700000, "across the bus");
        rig_send(&c->q[0], (struct rig_buf[]){ { 0x700000, 15, false }, { 0x701000, 4096, true } }, 2);
        out(c, QUEUE_NOTIFY, 0);
        u = rig_wait_used(&c->q[0]);
        cr_assert_eq(u.len, 15);
        cr_assert_str_eq(rig_at(c->r, 0x701000), "across the bus");
}

static void wait_for(_Atomic unsigned *counter, unsigned least)
{
        for (int i = 0; i < 200000 && atomic_load(counter) < least; i++)
                rig_nap();
        cr_assert_geq(atomic_load(counter), least);
}

/* --- registers --- */

Test(virtio_mmio, it_says_what_it_is)
{
        struct card *c = card_new();

        cr_assert_eq(in(c, MAGIC), 0x74726976);
        cr_assert_eq(in(c, VERSION), 2);
        cr_assert_eq(in(c, DEVICE_ID), VIRTIO_RNG);
        cr_assert_eq(in(c, VENDOR_ID), 0);
        cr_assert_eq(in(c, STATUS), 0);
        cr_assert_eq(in(c, SHM_LEN), UINT32_MAX);
        cr_assert_eq(in(c, SHM_LEN + 4), UINT32_MAX);
        cr_assert_eq(in(c, DEVICE_FEATURES), 0x30000001);
        out(c, DEVICE_FEATURES_SEL, 1);
        cr_assert_eq(in(c, DEVICE_FEATURES), 1, "VERSION_1");
        out(c, DEVICE_FEATURES_SEL, 2);
        cr_assert_eq(in(c, DEVICE_FEATURES), 0);
        cr_assert_eq(in(c, QUEUE_NUM_MAX), 64);
        out(c, QUEUE_SEL, LOOP_QUEUES);
        cr_assert_eq(in(c, QUEUE_NUM_MAX), 0, "no such queue");
        out(c, QUEUE_SEL, UINT32_MAX);
        cr_assert_eq(in(c, QUEUE_READY), 0);
        card_free(c);
}

Test(virtio_mmio, registers_are_words_and_config_is_bytes)
{
        struct card *c = card_new();
        uint8_t      b[8] = { 0xee, 0xee };
        uint64_t     v = 0x8877665544332211;

        virtio_mmio_ops.read(c->t, MAGIC, b, 1);
        cr_assert_eq(b[0], 0);
        virtio_mmio_ops.read(c->t, MAGIC, b, 8);
        cr_assert_eq(b[0], 0);
        virtio_mmio_ops.read(c->t, MAGIC + 2, b, 4);
        cr_assert_eq(b[0], 0, "not between two of them");
        virtio_mmio_ops.write(c->t, STATUS, (uint8_t[]){ 1, 0 }, 2);
        cr_assert_eq(in(c, STATUS), 0);
        virtio_mmio_ops.write(c->t, CONFIG, (uint8_t *)&v, 8);
        virtio_mmio_ops.read(c->t, CONFIG + 3, b, 2);
        cr_assert_eq(b[0], 0x44);
        cr_assert_eq(b[1], 0x55);
        virtio_mmio_ops.read(c->t, CONFIG + 0xfc, b, 4);
        cr_assert_eq(b[0], 0, "past the end");
        card_free(c);
}

Test(virtio_mmio, features_that_are_not_offered_are_not_ok)
{
        struct card *c = card_new();

        out(c, STATUS, ACKNOWLEDGE | DRIVER);
        out(c, DRIVER_FEATURES, 3);
        out(c, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        cr_assert_eq(in(c, STATUS), ACKNOWLEDGE | DRIVER);
        out(c, DRIVER_FEATURES, 1);
        out(c, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        cr_assert_eq(in(c, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK);
        out(c, DRIVER_FEATURES, 0xff);
        out(c, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        cr_assert_eq(c->l->d.features, 1, "chosen is chosen");
        card_free(c);
}

Test(virtio_mmio, a_ready_queue_does_not_move)
{
        struct card                  *c = card_new();
        const struct virtqueue_state *q = virtq_state(c->l->d.queues[1]);

        set_up_queue(c, 1, 16);
        cr_assert_eq(in(c, QUEUE_READY), 1);
        out64(c, QUEUE_DESC, 0x1234560);
        out(c, QUEUE_NUM, 8);
        cr_assert_eq(q->desc_gpa, c->q[1].desc_gpa);
        cr_assert_eq(q->size, 16);
        out(c, QUEUE_READY, 0);
        out64(c, QUEUE_DESC, 0x5000000010);
        cr_assert_eq(q->desc_gpa, 0x5000000010);
        out(c, QUEUE_DESC, 0x20);
        cr_assert_eq(q->desc_gpa, 0x5000000020, "each half by itself");
        out(c, QUEUE_NUM, 0x10010);
        cr_assert_eq(q->size, UINT16_MAX, "not 16");
        card_free(c);
}

/* --- life --- */

Test(virtio_mmio, a_driver_brings_it_up_kicks_it_and_is_interrupted)
{
        struct card *c = card_new();

        out(c, QUEUE_NOTIFY, 0);
        out(c, INTERRUPT_ACK, 1);
        bring_up(c);
        echo(c);
        wait_for(&c->interrupts, 1);
        cr_assert_eq(in(c, INTERRUPT_STATUS), 1);
        out(c, INTERRUPT_ACK, 1);
        cr_assert_eq(in(c, INTERRUPT_STATUS), 0);
        cr_assert_eq(c->doorbells, LOOP_QUEUES);
        out(c, QUEUE_NOTIFY, LOOP_QUEUES);
        out(c, QUEUE_NOTIFY, UINT32_MAX);
        card_free(c);
}

Test(virtio_mmio, doorbells_that_cannot_be_connected_are_heard_on_the_bus)
{
        struct card *c = card_new();

        c->doorbell_result = -ENOSPC;
        bring_up(c);
        echo(c);
        card_free(c);
}

Test(virtio_mmio, a_reset_makes_it_new_and_it_lives_again)
{
        struct card *c = card_new();

        bring_up(c);
        echo(c);
        for (int i = 0; i < 3; i++) {
                out(c, STATUS, 0);
                cr_assert_eq(in(c, STATUS), 0);
                cr_assert_eq(in(c, INTERRUPT_STATUS), 0);
                out(c, QUEUE_SEL, 0);
                cr_assert_eq(in(c, QUEUE_READY), 0);
                cr_assert_eq(c->l->ended, i + 1);
                bring_up(c);
                echo(c);
        }
        cr_assert_eq(c->doorbells, LOOP_QUEUES, "connected once and for all");
        card_free(c);
}

Test(virtio_mmio, a_broken_queue_needs_a_reset_and_says_so)
{
        struct card *c = card_new();

        take_features(c);
        set_up_queue(c, 0, 32);
        out(c, QUEUE_READY, 0);
        out64(c, QUEUE_USED, 3 * GIB);
        out(c, QUEUE_READY, 1);
        out(c, STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        cr_assert_eq(in(c, STATUS), ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK | NEEDS_RESET);
        cr_assert_eq(in(c, INTERRUPT_STATUS), 2);
        cr_assert_eq(c->interrupts, 1);
        cr_assert_str_eq(c->r->message, "loop in slot 7: queue 0: its used ring is not aligned, or not within RAM; it stops "
                                        "until the guest resets it");
        out(c, QUEUE_NOTIFY, 0);
        out(c, STATUS, 0);
        cr_assert_eq(in(c, STATUS), 0);
        bring_up(c);
        echo(c);
        card_free(c);
}

Test(virtio_mmio, driver_ok_needs_features_ok)
{
        struct card *c = card_new();

        out(c, STATUS, ACKNOWLEDGE | DRIVER | DRIVER_OK);
        cr_assert(in(c, STATUS) & NEEDS_RESET);
        cr_assert_null(c->l->d.worker);
        card_free(c);
}

Test(virtio_mmio, a_config_change_counts_and_interrupts_a_driver_that_is_there)
{
        struct card *c = card_new();

        virtio_config_changed(&c->l->d);
        cr_assert_eq(in(c, CONFIG_GENERATION), 1);
        cr_assert_eq(in(c, INTERRUPT_STATUS), 0);
        cr_assert_eq(c->interrupts, 0);
        bring_up(c);
        virtio_config_changed(&c->l->d);
        cr_assert_eq(in(c, CONFIG_GENERATION), 2);
        cr_assert(in(c, INTERRUPT_STATUS) & 2);
        cr_assert_eq(c->interrupts, 1);
        card_free(c);
}

static void *kick_and_read(void *arg)
{
        struct card *c = arg;

        for (int i = 0; i < 2000; i++) {
                out(c, QUEUE_NOTIFY, (uint32_t)i % 3);
                in(c, INTERRUPT_STATUS);
                in(c, CONFIG);
                virtio_config_changed(&c->l->d);
        }
        return NULL;
}

Test(virtio_mmio, other_vcpus_may_use_it_while_one_resets_it)
{
        struct card *c = card_new();
        pthread_t    t;

        bring_up(c);
        cr_assert_eq(pthread_create(&t, NULL, kick_and_read, c), 0);
        for (int i = 0; i < 50; i++) {
                out(c, STATUS, 0);
                c->r->next_free = 0x1000;
                memset(rig_at(c->r, 0x1000), 0, 0x4000);
                bring_up(c);
                echo(c);
        }
        pthread_join(t, NULL);
        card_free(c);
}

/* --- saved and loaded --- */

static struct virtio_state save(struct card *c)
{
        struct virtio_state s;
        struct err          e = { 0 };

        virtio_device_park(&c->l->d);
        cr_assert_eq(virtio_mmio_save(c->t, &s, &e), 0, "%s", e.text);
        return s;
}

static void assert_same(const struct virtio_state *a, const struct virtio_state *b)
{
        struct device_record x = { .kind = DEVICE_VIRTIO, .u.virtio = *a }, y = { .kind = DEVICE_VIRTIO, .u.virtio = *b };
        struct vm_state      s = { .nr_devices = 1, .devices = &x }, t = { .nr_devices = 1, .devices = &y };
        char                 what[80] = "";

        cr_assert(vm_state_equal(&s, &t, what), "%s", what);
}

/* Another card on the same RAM, as the saved one left it. */
static struct card *wake(struct card *c, const struct virtio_state *s)
{
        struct card *n = card_with(c->r, loop_new(&c->r->env, s));
        struct err   e = { 0 };

        memcpy(n->q, c->q, sizeof(n->q));
        cr_assert_eq(virtio_mmio_load(n->t, s, &e), 0, "%s", e.text);
        return n;
}

Test(virtio_mmio, what_was_saved_is_loaded_and_saved_again_the_same)
{
        struct card        *c = card_new(), *n;
        struct virtio_state s, again;

        bring_up(c);
        echo(c);
        out(c, CONFIG, 0x42);
        out(c, QUEUE_SEL, 1);
        s = save(c);
        cr_assert_eq(s.kind, VIRTIO_RNG);
        cr_assert_eq(s.slot, 7);
        cr_assert(s.activated && !s.broken);
        cr_assert_eq(s.queues[0].next_avail, 1);
        cr_assert_eq(s.queues[0].next_used, 1);
        n = wake(c, &s);
        again = save(n);
        assert_same(&s, &again);
        cr_assert_eq(in(n, CONFIG) & 0xff, 0x42);
        card_unplug(n);
        card_free(c);
}

Test(virtio_mmio, a_woken_device_goes_on_and_looks_at_what_came_meanwhile)
{
        struct card        *c = card_new(), *n;
        struct virtio_state s;
        struct rig_used     u;

        bring_up(c);
        echo(c);
        virtio_device_park(&c->l->d);
        rig_send(&c->q[0], (struct rig_buf[]){ { 0x700000, 3, false }, { 0x701000, 4096, true } }, 2);
        out(c, QUEUE_NOTIFY, 0);
        s = save(c);
        n = wake(c, &s);
        cr_assert_eq(n->l->begun, 0);
        cr_assert_eq(n->doorbells, 0, "no KVM call before the VM runs");
        cr_assert_eq(n->interrupts, 0);
        virtio_mmio_reinject(n->t);
        cr_assert_eq(n->interrupts, 1, "the echo's, which nobody acknowledged");
        virtio_device_resume(&n->l->d);
        u = rig_wait_used(&n->q[0]);
        cr_assert_eq(u.len, 3);
        wait_for(&n->interrupts, 2);
        card_unplug(n);
        card_free(c);
}

Test(virtio_mmio, nothing_is_reinjected_that_was_acknowledged)
{
        struct card        *c = card_new(), *n;
        struct virtio_state s;

        bring_up(c);
        echo(c);
        wait_for(&c->interrupts, 1);
        out(c, INTERRUPT_ACK, 1);
        s = save(c);
        n = wake(c, &s);
        virtio_mmio_reinject(n->t);
        cr_assert_eq(n->interrupts, 0);
        card_unplug(n);
        card_free(c);
}

Test(virtio_mmio, a_broken_device_is_broken_when_it_wakes_and_a_reset_mends_it)
{
        struct card        *c = card_new(), *n;
        struct virtio_state s;

        bring_up(c);
        *rig_avail(&c->q[0], 1) = 200;
        out(c, QUEUE_NOTIFY, 0);
        wait_for(&c->r->nr_messages, 1);
        s = save(c);
        cr_assert(s.broken && s.activated);
        n = wake(c, &s);
        virtio_device_resume(&n->l->d);
        cr_assert(in(n, STATUS) & NEEDS_RESET);
        cr_assert_null(n->l->d.worker);
        cr_assert(save(n).broken);
        out(n, STATUS, 0);
        bring_up(n);
        echo(n);
        card_unplug(n);
        card_free(c);
}

Test(virtio_mmio, without_a_saved_transport_it_comes_up_reset)
{
        struct card        *c = card_new();
        struct virtio_state s = { .kind = VIRTIO_RNG, .slot = 7, .no_transport = true, .device_features = VIRTIO_F_VERSION_1,
                                  .u.vsock.guest_cid = 5 };
        struct card        *n = wake(c, &s);

        cr_assert_eq(in(n, STATUS), 0);
        cr_assert_eq(in(n, CONFIG) & 0xff, 5, "its kind's own state is loaded");
        cr_assert_eq(in(n, DEVICE_FEATURES), 0);
        bring_up(n);
        echo(n);
        card_unplug(n);
        card_free(c);
}

Test(virtio_mmio, active_without_driver_ok_is_not_active)
{
        struct card        *c = card_new(), *n;
        struct virtio_state s;

        bring_up(c);
        s = save(c);
        s.status = 0;
        n = wake(c, &s);
        cr_assert_null(n->l->d.worker);
        cr_assert(!save(n).activated);
        card_unplug(n);
        card_free(c);
}

static void bad_kind(struct virtio_state *s)
{
        s->kind = VIRTIO_BLK;
}

static void bad_count(struct virtio_state *s)
{
        s->nr_queues = 3;
}

static void bad_status(struct virtio_state *s)
{
        s->status = 0x100;
}

static void bad_interrupt(struct virtio_state *s)
{
        s->interrupt_status = 4;
}

static void bad_features(struct virtio_state *s)
{
        s->driver_features |= 2;
}

static void bad_limit(struct virtio_state *s)
{
        s->queues[1].max_size = 128;
}

static void bad_no_limit(struct virtio_state *s)
{
        s->queues[1].max_size = 0;
}

static void bad_size(struct virtio_state *s)
{
        s->queues[0].size = 33;
}

static void bad_address(struct virtio_state *s)
{
        s->queues[0].used_gpa = UINT64_MAX - 3;
}

static void bad_index(struct virtio_state *s)
{
        s->queues[0].next_avail = 100;
}

Test(virtio_mmio, bad_values_are_refused_with_slot_and_field)
{
        static const struct {
                void (*spoil)(struct virtio_state *s);
                const char *text;
        } cases[] = {
                { bad_kind, "slot 7: expected a rng, found a blk" },
                { bad_count, "slot 7 (rng): expected 2 queues, found 3" },
                { bad_status, "slot 7 (rng): status: expected at most 0xff, found 0x100" },
                { bad_interrupt, "slot 7 (rng): interrupt status" },
                { bad_features, "slot 7 (rng): expected driver features within" },
                { bad_limit, "slot 7 (rng): queue 1: its limit: expected at most 0x40, found 0x80" },
                { bad_no_limit, "slot 7 (rng): queue 1: its limit" },
                { bad_size, "slot 7 (rng): queue 0: its size" },
                { bad_address, "slot 7 (rng): queue 0: its used ring" },
                { bad_index, "slot 7 (rng): queue 0: its used index" },
        };
        struct card        *c = card_new();
        struct virtio_state good;

        bring_up(c);
        echo(c);
        good = save(c);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct card        *n = card_with(c->r, loop_new(&c->r->env, NULL));
                struct virtio_state s = good;
                struct err          e = { 0 };

                cases[i].spoil(&s);
                cr_assert_lt(virtio_mmio_load(n->t, &s, &e), 0, "case %zu", i);
                cr_assert_eq(e.kind, ERR_SNAPSHOT);
                cr_assert_not_null(strstr(e.text, cases[i].text), "case %zu: %s", i, e.text);
                cr_assert_null(n->l->d.worker);
                card_unplug(n);
        }
        card_free(c);
}

Test(virtio_mmio, it_may_be_loaded_twice)
{
        struct card        *c = card_new(), *n;
        struct virtio_state s;
        struct err          e = { 0 };

        bring_up(c);
        s = save(c);
        n = wake(c, &s);
        virtio_device_resume(&n->l->d);
        virtio_device_park(&n->l->d);
        cr_assert_eq(virtio_mmio_load(n->t, &s, &e), 0, "%s", e.text);
        virtio_device_resume(&n->l->d);
        echo(n);
        card_unplug(n);
        card_free(c);
}
