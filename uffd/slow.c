/* uffd/slow.c: reads that may take long: at depth through io_uring, each with a deadline; plainly where there is none.
 *
 * One read asks for neighbouring pages. What comes is delivered and the read goes on behind it. When nothing comes and it asked
 * for more than one page, it asks for the first alone, so that one bad sector costs one page. Reads ahead of anybody's asking go
 * past the page cache (cold.h), those that somebody waits for go through it. */
#include "uffd/pager_internal.h"

#include "core/base/clock.h"

#include <errno.h>
#include <unistd.h>

/* Completions are taken in until so many pages were installed, some 20 us; then the uffd is asked once more whether somebody
 * waits. */
#define DRAIN_PAGES 8

/* [first, +nr_pages) are done with: go on behind them. */
static void advance(struct slow_read *s, uint64_t nr_pages)
{
        s->first_page += nr_pages;
        s->nr_pages -= nr_pages;
        s->try_pages = s->nr_pages;
        s->got_bytes = 0;
}

static void lose(struct pager *p, struct slow_read *s, uint64_t nr_pages, int error)
{
        for (uint64_t i = 0; i < nr_pages; i++)
                pager_lose(p, s->first_page + i, error);
        advance(s, nr_pages);
}

static bool is_packed(const struct slow_read *s)
{
        return s->run->kind == RUN_PACKED;
}

static void take_bytes(struct pager *p, struct slow_read *s, uint8_t *buf, uint64_t bytes)
{
        uint64_t pages = bytes_to_pages(s->got_bytes + bytes);

        count(&p->n.read_bytes, bytes);
        if (is_packed(s)) {
                packed_slow_take(p, s, buf, bytes);
                return;
        }
        if (pages == 0) {
                s->got_bytes += bytes; /* the rest of the page may follow */
                return;
        }
        pager_deliver(p, s->first_page, pages, buf, s->why);
        advance(s, pages);
}

/* Takes in what a read brought: bytes or -errno. Afterwards s holds what is left to read. */
static void take(struct pager *p, struct slow_read *s, uint8_t *buf, ssize_t result)
{
        uint64_t first_pages = is_packed(s) ? packed_slow_first_pages(p, s) : 1; /* that are had together or not at all */

        if (result > 0) {
                take_bytes(p, s, buf, (uint64_t)result);
        } else if (result == 0) {
                lose(p, s, s->nr_pages, -ENODATA); /* the file ends before or within the first of them */
        } else if (result == -EINTR) {
                return;
        } else if (s->direct && (result == -EINVAL || result == -EOPNOTSUPP)) {
                cold_refuse(&p->cold, s->run->source); /* and once more, through the page cache */
        } else if (s->try_pages > first_pages) {
                s->try_pages = first_pages;
                s->got_bytes = 0;
        } else {
                lose(p, s, first_pages, (int)result);
        }
}

/* A read ends before the first bad sector; one that begins with it is an error. */
static ssize_t clip(const struct pager *p, const struct slow_read *s, ssize_t result)
{
        uint64_t good = pager_fault_clip(p->c.faults, CHANCE_EIO, s->first_page, s->try_pages);

        if (is_packed(s))
                return packed_slow_clip(p, s, good, result);
        if (result <= 0)
                return result;
        return good == 0 ? -EIO : MIN(result, (ssize_t)(pages_to_bytes(good) - s->got_bytes));
}

/* What a test makes of a read that has come. */
static ssize_t spoil(const struct pager *p, const struct slow_read *s, ssize_t result)
{
        const struct pager_faults *f = p->c.faults;

        if (!f)
                return result;
        if (s->direct && f->odd_read && s->nr == f->odd_read)
                return -EINVAL;
        result = clip(p, s, result);
        if (result > 1 && pager_fault_hits(f, CHANCE_SHORT_READ, s->nr))
                return result / 2;
        if (f->eio_read && s->nr >= f->eio_read && s->nr - f->eio_read < f->eio_reads)
                return -EIO;
        return f->short_read && s->nr == f->short_read && result > 0 ? result / 2 : result;
}

static bool is_silenced(const struct pager *p, const struct slow_read *s)
{
        const struct pager_faults *f = p->c.faults;

        return f && f->silent_read && s->nr >= f->silent_read && s->nr - f->silent_read < f->silent_reads;
}

static uint64_t next_offset_bytes(const struct pager *p, const struct slow_read *s)
{
        if (is_packed(s))
                return packed_slow_offset_bytes(p, s);
        return run_offset_bytes(s->run, s->first_page) + s->got_bytes;
}

static uint64_t next_len_bytes(const struct pager *p, const struct slow_read *s)
{
        if (is_packed(s))
                return packed_slow_len_bytes(p, s);
        return pages_to_bytes(s->try_pages) - s->got_bytes;
}

static void read_plainly(struct pager *p, struct slow_read *s)
{
        uint8_t *buf = is_packed(s) ? p->packed.raw : p->buf;

        while (s->nr_pages > 0 && !pager_must_end(p)) {
                ssize_t n = pread(run_fd(p->c.map, s->run), buf + s->got_bytes, next_len_bytes(p, s),
                                  (off_t)next_offset_bytes(p, s));

                s->nr = ++p->nr_slow;
                take(p, s, buf, spoil(p, s, n < 0 ? -errno : n));
        }
}

/* Where the next bytes of s come from. Packed bytes are not aligned: they come through the page cache in any case. */
static int next_fd(struct pager *p, struct slow_read *s)
{
        int direct = -1;

        if (s->why != FAULT_DEMAND)
                direct = cold_direct_fd(&p->cold, s->run->source, next_offset_bytes(p, s), next_len_bytes(p, s));
        s->direct = direct >= 0;
        return s->direct ? direct : run_fd(p->c.map, s->run);
}

static void read_in_ring(struct pager *p, int slot)
{
        struct slow_read *s = &p->slow[slot];
        uint64_t          timeout_ns = p->c.source_timeout_ms * NS_PER_MS;
        struct read_order o = {
                .fd               = next_fd(p, s),
                .offset_bytes     = next_offset_bytes(p, s),
                .buf_offset_bytes = s->got_bytes,
                .len_bytes        = next_len_bytes(p, s),
                .deadline_ns      = timeout_ns ? now_ns() + timeout_ns : UINT64_MAX,
        };

        s->nr = ++p->nr_slow;
        if (is_silenced(p, s))
                o.fd = p->c.faults->silent_fd;
        read_ring_start(p->ring, slot, &o);
}

/* Once, when the first cold page is about to be read ahead: whoever has all in the page cache never pays for it. */
static void prepare(struct pager *p)
{
        int    fds[READ_FILES_MAX];
        size_t nr = 0;

        p->ring_is_ready = true;
        busy_pages_populate(&p->states.busy);
        for (size_t i = 0; i < p->c.map->nr_sources && nr + 2 <= READ_FILES_MAX; i++) {
                fds[nr++] = p->c.map->sources[i].fd;
                fds[nr++] = p->cold.v[i].direct_fd;
        }
        read_ring_register(p->ring, fds, nr);
}

static int take_slot(struct pager *p, const struct slow_read *s)
{
        bool urgent = s->why == FAULT_DEMAND;

        if (!page_states_have_room(&p->states, s->nr_pages))
                return -EBUSY;
        if (!p->ring)
                return 0;
        if (!p->ring_is_ready && !urgent)
                prepare(p);
        return read_ring_take(p->ring, (uint32_t)bytes_to_pages(next_len_bytes(p, s) + PAGE_BYTES - 1), urgent);
}

/* All that is asked for is free; of what comes with it, in chunks, not all may be. */
static void mark_reading(struct pager *p, const struct slow_read *s)
{
        for (uint64_t page = s->first_page; page < s->first_page + s->nr_pages; page++)
                if (page_state_is_free(page_state_get(&p->states, page)))
                        page_state_move(&p->states, page, PAGE_READING);
}

uint64_t slow_start(struct pager *p, const struct extent *x, enum fault_class why)
{
        uint64_t         nr = MIN(x->nr_pages, (uint64_t)SLOW_PAGES_MAX);
        struct slow_read s = { .run = x->run, .first_page = x->first_page, .nr_pages = nr, .try_pages = nr, .why = why };
        int              slot;

        if (is_packed(&s))
                packed_slow_begin(p, &s, x, SLOW_PAGES_MAX * PAGE_BYTES);
        nr = s.nr_pages;
        slot = take_slot(p, &s);
        if (slot == -EBUSY)
                return 0;
        mark_reading(p, &s);
        count(&p->n.cold_reads, nr);
        if (!p->ring) {
                read_plainly(p, &s);
        } else if (slot < 0) {
                lose(p, &s, nr, slot); /* every slot waits for a source that stays silent */
        } else {
                p->slow[slot] = s;
                read_in_ring(p, slot);
        }
        return nr;
}

/* How many pages it asked for. */
static uint64_t finish_one(struct pager *p, int slot, ssize_t result, uint64_t now)
{
        struct slow_read *s = &p->slow[slot];
        uint64_t          asked = s->try_pages;

        if (s->why != FAULT_DEMAND)
                depth_answered(&p->depth, (uint32_t)s->try_pages, read_ring_nr_shared(p->ring), now);
        take(p, s, read_ring_buf(p->ring, slot), spoil(p, s, result));
        if (s->nr_pages > 0)
                read_in_ring(p, slot);
        else
                read_ring_release(p->ring, slot);
        return asked;
}

bool slow_finish(struct pager *p, uint64_t now)
{
        uint64_t finished = 0;
        bool     any = false;
        ssize_t  result;
        int      slot;

        if (!p->ring)
                return false;
        while (!pager_must_end(p) && (slot = read_ring_reap(p->ring, &result)) >= 0) {
                finished += finish_one(p, slot, result, now);
                any = true;
                if (finished < DRAIN_PAGES)
                        continue;
                finished = 0;
                if (pager_drain(p) > 0)
                        return true; /* demand before the completions that are left */
        }
        while (!pager_must_end(p) && (slot = read_ring_expire(p->ring, now)) >= 0) {
                lose(p, &p->slow[slot], p->slow[slot].nr_pages, -ETIMEDOUT);
                any = true;
        }
        return any;
}
