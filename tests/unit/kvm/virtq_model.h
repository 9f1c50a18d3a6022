/* tests/unit/kvm/virtq_model.h: a second, slow and simple device side of a split queue, and a player that has both do the same
 * things on the same bytes. What to do is read from a string of bytes: from a seed (test_virtq_model.c) or a fuzzer
 * (fuzz_virtqueue.c).
 * Owns:    two RAMs for the time of one play.
 * Threads: one.
 * Blocks:  never.
 *
 * The two RAMs begin equal and every write of the driver goes to both. At the end they must be equal again: then the queue
 * wrote what the model wrote and not a byte more. */
#pragma once

#include "core/base/units.h"
#include "kvm/virtio/queue.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_WINDOW   (32 * KIB)
#define MODEL_HIGH_GPA (4 * GIB)
#define MODEL_RAM      (2 * MODEL_WINDOW)
#define MODEL_PIECES   1024

struct model {
        uint8_t                *ram;
        struct virtqueue_state  s;
        bool                    indirect, event_idx, broken, synced, signalled, armed;
        uint16_t                armed_at, seen;
        uint8_t                 table[16 * 1024], ring[2 * 1024]; /* as they were when `seen` moved */
        uint16_t                nr_pushed;
        struct { uint32_t head, len; } pushed[1024];
        struct { uint8_t *at; uint64_t len; bool in; } piece[MODEL_PIECES];
        uint32_t                nr_pieces, nr_in;
};

/* --- the model --- */

/* NULL: not all of it is RAM. */
static inline uint8_t *model_at(const struct model *m, uint64_t gpa, uint64_t len)
{
        if (gpa < MODEL_WINDOW && len <= MODEL_WINDOW - gpa)
                return m->ram + gpa;
        if (gpa >= MODEL_HIGH_GPA && gpa < MODEL_HIGH_GPA + MODEL_WINDOW && len <= MODEL_HIGH_GPA + MODEL_WINDOW - gpa)
                return m->ram + MODEL_WINDOW + (gpa - MODEL_HIGH_GPA);
        return NULL;
}

static inline uint64_t model_get(const uint8_t *at, size_t bytes)
{
        uint64_t v = 0;

        memcpy(&v, at, bytes);
        return v;
}

static inline uint16_t model_word(const struct model *m, uint64_t gpa)
{
        return (uint16_t)model_get(model_at(m, gpa, 2), 2);
}

static inline void model_set_word(struct model *m, uint64_t gpa, uint16_t v)
{
        memcpy(model_at(m, gpa, 2), &v, 2);
}

static inline bool model_starts(const struct model *m)
{
        uint64_t n = m->s.size, word = m->event_idx ? 2 : 0;

        if (n == 0 || n > m->s.max_size || __builtin_popcountll(n) != 1)
                return false;
        if (m->s.desc_gpa % 16 || m->s.avail_gpa % 2 || m->s.used_gpa % 4)
                return false;
        return model_at(m, m->s.desc_gpa, 16 * n) && model_at(m, m->s.avail_gpa, 4 + 2 * n + word) &&
               model_at(m, m->s.used_gpa, 4 + 8 * n + word);
}

/* One table; the direct one, or an indirect one. 0, or -1: broken. */
static inline int model_walk(struct model *m, const uint8_t *table, uint32_t nr, uint32_t i, bool is_indirect, uint32_t *total)
{
        for (uint32_t steps = 0;; steps++) {
                uint64_t gpa, len, flags;

                if (i >= nr || steps == nr)
                        return -1;
                gpa = model_get(table + 16 * i, 8);
                len = model_get(table + 16 * i + 8, 4);
                flags = model_get(table + 16 * i + 12, 2);
                if (flags & 4) {
                        uint8_t        copy[16 * 1024];
                        const uint8_t *t;

                        if (is_indirect || !m->indirect || (flags & 1) || !len || len % 16 || len > sizeof(copy))
                                return -1;
                        t = model_at(m, gpa, len);
                        if (!t)
                                return -1;
                        memcpy(copy, t, len);
                        return model_walk(m, copy, (uint32_t)len / 16, 0, true, total);
                }
                if (++*total > 1024 || (!(flags & 2) && m->nr_in))
                        return -1;
                m->nr_in += (flags & 2) != 0; /* also one of no bytes: what follows must be written, too */
                if (len) {
                        m->piece[m->nr_pieces].at = model_at(m, gpa, len);
                        m->piece[m->nr_pieces].len = len;
                        m->piece[m->nr_pieces].in = flags & 2;
                        if (!m->piece[m->nr_pieces++].at)
                                return -1;
                }
                if (!(flags & 1))
                        return 0;
                i = (uint32_t)model_get(table + 16 * i + 14, 2);
        }
}

/* 1, 0, -EPROTO as virtq_pop; -EAGAIN: the model does not know (buffers of an earlier device). */
static inline int model_sync(struct model *m)
{
        uint16_t k = (uint16_t)(m->s.next_avail - model_word(m, m->s.used_gpa + 2));

        m->synced = true;
        if (!m->event_idx)
                model_set_word(m, m->s.used_gpa, 0);
        if (k)
                return k > m->s.size ? -EPROTO : -EAGAIN;
        m->s.next_used = m->s.next_avail;
        return 0;
}

static inline bool model_has_more(struct model *m, uint16_t *ret_idx)
{
        *ret_idx = model_word(m, m->s.avail_gpa + 2);
        if (*ret_idx == m->s.next_avail && m->event_idx && !(m->armed && m->armed_at == m->s.next_avail)) {
                model_set_word(m, m->s.used_gpa + 4 + 8u * m->s.size, m->s.next_avail);
                m->armed = true;
                m->armed_at = m->s.next_avail;
                *ret_idx = model_word(m, m->s.avail_gpa + 2); /* which may be the same word */
        }
        return *ret_idx != m->s.next_avail;
}

static inline int model_pop(struct model *m, uint16_t *ret_head)
{
        uint32_t total = 0;
        uint16_t idx;
        int      r = m->broken ? -EPROTO : m->synced ? 0 : model_sync(m);

        if (r < 0)
                goto out;
        if (m->seen == m->s.next_avail) {
                if (!model_has_more(m, &idx))
                        return 0;
                r = -EPROTO;
                if ((uint16_t)(idx - m->s.next_avail) > m->s.size || (uint16_t)(idx - m->s.next_used) > m->s.size)
                        goto out;
                m->seen = idx;
                memcpy(m->table, model_at(m, m->s.desc_gpa, 16u * m->s.size), 16u * m->s.size);
                memcpy(m->ring, model_at(m, m->s.avail_gpa + 4, 2u * m->s.size), 2u * m->s.size);
        }
        *ret_head = (uint16_t)model_get(m->ring + 2 * (m->s.next_avail % m->s.size), 2);
        m->nr_pieces = m->nr_in = 0;
        r = model_walk(m, m->table, m->s.size, *ret_head, false, &total) < 0 ? -EPROTO : 1;
out:
        m->broken = r == -EPROTO;
        m->s.next_avail += r > 0;
        return r;
}

static inline int model_flush(struct model *m)
{
        uint16_t before = m->s.next_used;
        uint64_t ring = m->s.used_gpa + 4;
        bool     first = !m->signalled;

        if (!m->nr_pushed)
                return 0;
        for (uint16_t i = 0; i < m->nr_pushed; i++)
                memcpy(model_at(m, ring + 8u * ((uint16_t)(before + i) % m->s.size), 8), &m->pushed[i], 8);
        m->s.next_used = (uint16_t)(before + m->nr_pushed);
        m->nr_pushed = 0;
        model_set_word(m, m->s.used_gpa + 2, m->s.next_used);
        m->signalled = true;
        if (!m->event_idx)
                return !(model_word(m, m->s.avail_gpa) & 1);
        if (first)
                return 1;
        /* the driver asked for entry number used_event: is it among those that went out now? */
        for (uint16_t i = before; i != m->s.next_used; i++)
                if (i == model_word(m, m->s.avail_gpa + 4 + 2u * m->s.size))
                        return 1;
        return 0;
}

/* --- the player --- */

struct player {
        const uint8_t     *bytes;
        size_t             left;
        struct mem_layout  layout;
        struct model       m;
        struct virtqueue  *q;
        uint16_t           popped[1024]; /* and not pushed */
        uint32_t           nr_popped;
        bool               can_unpop;
        size_t             settle_at; /* bytes left when every page is there */
        _Atomic bool       settled;
        char               wrong[200];
};

static inline uint64_t play_take(struct player *p, size_t bytes)
{
        uint64_t v = 0;

        for (size_t i = 0; i < bytes; i++, p->bytes += p->left > 0, p->left -= p->left > 0)
                v |= (uint64_t)(p->left ? *p->bytes : 0) << 8 * i;
        return v;
}

/* Addresses worth trying: in RAM, at its edges, in the hole, at the end of all. */
static inline uint64_t play_gpa(struct player *p)
{
        static const uint64_t at[] = {
                0, 0, 0x4000, MODEL_WINDOW - 16, MODEL_WINDOW, MODEL_HIGH_GPA - 16, MODEL_HIGH_GPA, MODEL_HIGH_GPA,
                MODEL_HIGH_GPA + MODEL_WINDOW - 16, MODEL_HIGH_GPA + MODEL_WINDOW, UINT64_MAX - 15, 1ULL << 63,
        };
        uint64_t which = play_take(p, 1);

        return at[which % ARRAY_LEN(at)] + play_take(p, 1) * (which & 0x40 ? 16 : which & 0x80 ? 1 : 0);
}

static inline void play_write(struct player *p, uint64_t gpa, const void *bytes, size_t len)
{
        uint8_t *at = model_at(&p->m, gpa, len), *hva = mem_layout_gpa_to_hva(&p->layout, gpa, len);

        if (!at)
                return;
        memcpy(at, bytes, len);
        memcpy(hva, bytes, len);
}

static inline void play_descriptor(struct player *p, uint64_t table_gpa, uint32_t mask)
{
        static const uint32_t lens[] = { 1, 16, 512, 0, 4096, MODEL_WINDOW, UINT32_MAX, 48, 15, 24, 16384, 16400 };
        uint8_t               d[16];
        uint32_t              i = (uint32_t)play_take(p, 1) & mask;
        uint64_t              gpa = play_gpa(p);
        uint32_t              len = lens[play_take(p, 1) % ARRAY_LEN(lens)];
        uint16_t              flags = (uint16_t)play_take(p, 1), next = (uint16_t)play_take(p, 1);

        flags = flags < 0x60 ? 0 : flags < 0x90 ? 1 : flags < 0xa0 ? 2 : flags < 0xc0 ? 3 : flags < 0xe0 ? 4 : flags;
        next = next < 0xf0 ? next & (uint16_t)mask : (uint16_t)(next << 4);
        memcpy(d, &gpa, 8);
        memcpy(d + 8, &len, 4);
        memcpy(d + 12, &flags, 2);
        memcpy(d + 14, &next, 2);
        play_write(p, table_gpa + 16u * i, d, 16);
}

static inline void play_word(struct player *p, uint64_t gpa, uint16_t v)
{
        play_write(p, gpa, &v, 2);
}

static inline void play_publish(struct player *p, uint16_t nr)
{
        uint16_t idx = model_word(&p->m, p->m.s.avail_gpa + 2);

        for (uint16_t i = 0; i < nr; i++) {
                uint16_t head = (uint16_t)play_take(p, 1);

                play_word(p, p->m.s.avail_gpa + 4 + 2u * (idx++ % p->m.s.size), head < 0xf8 ? head % p->m.s.size : head);
        }
        play_word(p, p->m.s.avail_gpa + 2, idx);
}

/* The flags, or an index that goes where no driver's goes: mostly not far. */
static inline void play_jump(struct player *p, uint8_t how)
{
        uint64_t at = p->m.s.avail_gpa + (how & 1 ? 2 : 0);

        if (how >= 0xfe)
                play_word(p, at, (uint16_t)play_take(p, 2));
        else
                play_word(p, at, how & 1 ? (uint16_t)(model_word(&p->m, at) + how / 64) : how & 2);
}

static inline bool play_same_chain(struct player *p, const struct virtq_chain *c, uint16_t head)
{
        uint64_t out = 0, in = 0;

        if (c->head != head || c->nr_out + c->nr_in != (int)p->m.nr_pieces)
                return false;
        for (uint32_t i = 0; i < p->m.nr_pieces; i++) {
                if ((uint8_t *)c->iov[i].iov_base - p->layout.ram != p->m.piece[i].at - p->m.ram)
                        return false;
                if (c->iov[i].iov_len != p->m.piece[i].len)
                        return false;
                if (p->m.piece[i].in != (i >= c->nr_out))
                        return false;
                *(p->m.piece[i].in ? &in : &out) += p->m.piece[i].len;
        }
        return out == c->out_bytes && in == c->in_bytes;
}

/* False: the play is over. */
static inline bool play_pop(struct player *p)
{
        struct virtq_chain c = { 0 };
        uint16_t           head = 0;
        int                r = virtq_pop(p->q, &c), want;

        want = model_pop(&p->m, &head);
        p->can_unpop = r == 1;
        if (want == -EAGAIN)
                return false;
        if (r != want)
                snprintf(p->wrong, sizeof(p->wrong), "pop: expected %d, found %d (%s)", want, r, virtq_why(p->q));
        else if (r == 1 && !play_same_chain(p, &c, head))
                snprintf(p->wrong, sizeof(p->wrong), "pop: expected head %u and %u pieces, found head %u and %u", head,
                         p->m.nr_pieces, c.head, (uint32_t)c.nr_out + c.nr_in);
        else if (r == 1)
                p->popped[p->nr_popped++] = head;
        return !p->wrong[0] && r >= 0; /* broken stays broken: test_virtq */
}

static inline void play_unpop(struct player *p)
{
        if (!p->can_unpop)
                return;
        virtq_unpop(p->q);
        p->m.s.next_avail--;
        p->nr_popped--;
        p->can_unpop = false;
}

static inline void play_push(struct player *p)
{
        uint32_t which, len = (uint32_t)play_take(p, 1);
        uint16_t head;

        p->can_unpop = false;
        if (!p->nr_popped)
                return;
        which = (uint32_t)play_take(p, 1) % p->nr_popped;
        head = p->popped[which];
        p->popped[which] = p->popped[--p->nr_popped];
        virtq_push(p->q, head, len);
        p->m.pushed[p->m.nr_pushed].head = head;
        p->m.pushed[p->m.nr_pushed++].len = len;
}

static inline bool play_flush(struct player *p)
{
        int r = virtq_flush(p->q), want = model_flush(&p->m);

        if (r != want)
                snprintf(p->wrong, sizeof(p->wrong), "flush: expected %d, found %d", want, r);
        return r == want;
}

/* Puts the queue somewhere; mostly where it works. */
static inline void play_place(struct player *p)
{
        struct virtqueue_state *s = &p->m.s;
        uint64_t                how = play_take(p, 1);

        *s = (struct virtqueue_state){ .max_size = 256, .size = (uint16_t)(1u << how % 9), .ready = true };
        s->desc_gpa = 0x1000;
        s->avail_gpa = MODEL_HIGH_GPA + 0x1000;
        s->used_gpa = how & 0x80 ? MODEL_HIGH_GPA + 0x4000 : 0x3000;
        p->m.indirect = how & 0x40;
        p->m.event_idx = how & 0x20;
        how = play_take(p, 1);
        if (how == 1)
                s->desc_gpa = play_gpa(p);
        if (how == 2)
                s->avail_gpa = play_gpa(p);
        if (how == 3)
                s->used_gpa = play_gpa(p);
        if (how == 4)
                s->size = (uint16_t)play_take(p, 2);
        if (how == 5) /* all of them in the same place */
                s->desc_gpa = s->avail_gpa = s->used_gpa = 0x2000;
        if (how & 0x10) {
                s->next_avail = s->next_used = (uint16_t)play_take(p, 2);
                play_word(p, s->used_gpa + 2, how >= 0xf0 ? (uint16_t)play_take(p, 2) : s->next_used);
                play_word(p, s->avail_gpa + 2, s->next_avail);
        }
        p->m.seen = s->next_avail;
        p->settle_at = how & 8 ? p->left : how & 0x20 ? p->left / 2 : 0;
}

static inline bool play_step(struct player *p)
{
        if (p->left <= p->settle_at)
                atomic_store(&p->settled, true);
        switch (play_take(p, 1) % 16) {
        case 0: case 1: case 2: case 3:
                play_descriptor(p, p->m.s.desc_gpa, p->m.s.size - 1u);
                return true;
        case 4: case 5: /* where indirect tables are likely to be looked for */
                play_descriptor(p, play_take(p, 1) & 1 ? 0x4000 : MODEL_HIGH_GPA, 63);
                return true;
        case 6: case 7: case 8:
                play_publish(p, (uint16_t)(play_take(p, 1) % 5));
                return true;
        case 9:
                play_jump(p, (uint8_t)play_take(p, 1));
                return true;
        case 10:
                play_word(p, p->m.s.avail_gpa + 4 + 2u * p->m.s.size, (uint16_t)(p->m.s.next_used + play_take(p, 1) - 4));
                return true;
        case 11:
                play_unpop(p);
                return true;
        case 12:
                play_push(p);
                return true;
        case 13:
                return play_flush(p);
        default:
                return play_pop(p);
        }
}

static inline void play_queue(struct player *p)
{
        bool        starts;
        const char *why = "";
        int         r;

        play_place(p);
        if (virtq_new(&p->layout, &p->settled, 256, &p->q) < 0)
                abort();
        *virtq_state(p->q) = p->m.s;
        r = virtq_start(p->q, p->m.indirect, p->m.event_idx, &why);
        starts = model_starts(&p->m);
        if ((r == 0) != starts)
                snprintf(p->wrong, sizeof(p->wrong), "start: expected %d, found %d (%s)", starts, r, why);
        if (r == 0 && starts)
                while (p->left && play_step(p))
                        ;
        virtq_free(p->q);
}

/* NULL: queue and model agreed on everything; else how they did not, in ret. */
static inline const char *virtq_play(const uint8_t *bytes, size_t len, char ret[200])
{
        struct player *p = calloc(1, sizeof(*p));

        p->bytes = bytes;
        p->left = len;
        mem_layout_add(&p->layout, 0, MODEL_WINDOW, NULL);
        mem_layout_add(&p->layout, MODEL_HIGH_GPA, MODEL_WINDOW, NULL);
        p->layout.ram = calloc(1, MODEL_RAM);
        p->m.ram = calloc(1, MODEL_RAM);
        play_queue(p);
        if (!p->wrong[0] && memcmp(p->layout.ram, p->m.ram, MODEL_RAM) != 0)
                snprintf(p->wrong, sizeof(p->wrong), "memory: the queue wrote what the model did not");
        memcpy(ret, p->wrong, sizeof(p->wrong));
        free(p->layout.ram);
        free(p->m.ram);
        free(p);
        return ret[0] ? ret : NULL;
}
