/* uffd/packed.c: one chunk for who waits, neighbouring chunks in a batch ahead of that. */
#include "uffd/packed.h"

#include "uffd/pager_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

static_assert(PACKED_BATCH_PAGES <= FILL_FULL_PAGES, "a batch fits the pager's buffer");

static uint64_t longest_chunk_bytes(const struct page_map *map)
{
        uint64_t pages = 0;

        for (size_t i = 0; i < map->nr_sources; i++)
                pages = MAX(pages, map->sources[i].chunk_pages);
        return pages_to_bytes(pages);
}

static uint64_t raw_bytes(const struct page_map *map)
{
        return MAX(longest_chunk_bytes(map), pages_to_bytes(PACKED_BATCH_PAGES));
}

int packed_init(struct packed *k, const struct page_map *map)
{
        *k = (struct packed){ 0 };
        if (!map->nr_chunks)
                return 0;
        k->raw = malloc(raw_bytes(map));
        k->pages = aligned_alloc(PAGE_BYTES, longest_chunk_bytes(map));
        if (k->raw && k->pages)
                return 0;
        packed_free(k);
        return -ENOMEM;
}

void packed_free(struct packed *k)
{
        free(k->raw);
        free(k->pages);
        *k = (struct packed){ 0 };
}

int packed_unpack(const struct page_map *map, const struct page_chunk *c, const void *bytes, bool verify, void *to)
{
        uint64_t len = pages_to_bytes(c->nr_pages);

        if (c->packed_bytes == len)
                memcpy(to, bytes, len);
        else if (map->codec->unpack(to, len, bytes, c->packed_bytes) < 0)
                return -EBADMSG;
        return verify && XXH3_64bits(to, len) != c->sum ? -EBADMSG : 0;
}

/* A chunk, and those of its pages that belong to the run and to the range that serves `page`. */
struct part {
        struct chunk_place at;
        uint64_t           first_page, end_page;
};

static struct part part_of(const struct pager *p, const struct page_run *run, uint64_t page)
{
        const struct pager_range *r = served_find(&p->view.served, page);
        struct part               x = { .at = page_map_find_chunk(p->c.map, run, page) };

        x.first_page = MAX(MAX(x.at.first_page, run->first_page), r->first_page);
        x.end_page = MIN(MIN(x.at.first_page + x.at.chunk->nr_pages, run->first_page + run->nr_pages),
                         r->first_page + r->nr_pages);
        return x;
}

static void lose_part(struct pager *p, const struct part *x, int error)
{
        for (uint64_t page = x->first_page; page < x->end_page; page++)
                pager_lose(p, page, error);
}

/* [first, end) of the part, whose chunk is unpacked at `pages`. */
static void deliver(struct pager *p, const struct part *x, uint64_t first_page, uint64_t end_page, const uint8_t *pages,
                    enum fault_class why)
{
        first_page = MAX(first_page, x->first_page);
        end_page = MIN(end_page, x->end_page);
        if (first_page < end_page)
                pager_deliver_checked(p, first_page, end_page - first_page, pages + pages_to_bytes(first_page - x->at.first_page),
                                      why);
}

/* Nothing comes that nobody asked for: while first touches are recorded, and where each page is put into its 2 MiB once. */
static bool is_exact(const struct pager *p)
{
        return record_is_on(&p->record) || p->granules.memory;
}

/* The whole chunk into k->pages, if it is cached and not there already: 0, -EAGAIN, or -EBADMSG. */
static int hold(struct pager *p, const struct page_run *run, const struct chunk_place *at)
{
        struct packed           *k = &p->packed;
        const struct page_chunk *c = at->chunk;
        int                      r;

        if (k->held == c)
                return 0;
        if (sources_read_cached_chunks(&p->sources, run->source, at, c->packed_bytes, k->raw) < c->packed_bytes)
                return -EAGAIN;
        count(&p->n.read_bytes, c->packed_bytes);
        k->held = NULL;
        r = packed_unpack(p->c.map, c, k->raw, p->c.verify, k->pages);
        if (r == 0)
                k->held = c;
        return r;
}

bool packed_answer(struct pager *p, const struct page_run *run, uint64_t page)
{
        struct part x = part_of(p, run, page);
        int         r = hold(p, run, &x.at);

        if (r == -EAGAIN)
                return false;
        if (r < 0) {
                lose_part(p, &x, r);
                return true;
        }
        deliver(p, &x, page, page + 1, p->packed.pages, FAULT_DEMAND); /* who waits goes on before the others are there */
        if (!is_exact(p))
                deliver(p, &x, x.first_page, x.end_page, p->packed.pages, FAULT_AROUND);
        return true;
}

/* --- batches --- */

/* Chunks that lie one behind the other in the file and in RAM, from the one of x's first page on. */
struct stretch {
        struct part first;
        size_t      nr;
        uint64_t    packed_bytes, nr_pages; /* of all of them */
};

/* As many as hold pages of x and fit, but one in any case. */
static struct stretch stretch_of(const struct pager *p, const struct extent *x, uint64_t max_bytes, uint64_t max_pages)
{
        struct stretch           s = { .first = part_of(p, x->run, x->first_page), .nr = 1 };
        const struct page_chunk *c = s.first.at.chunk;

        s.packed_bytes = c->packed_bytes;
        s.nr_pages = c->nr_pages;
        for (; s.first.at.first_page + s.nr_pages < x->first_page + x->nr_pages; s.nr++) {
                const struct page_chunk *next = c + s.nr;

                if (next->file_offset_bytes != c->file_offset_bytes + s.packed_bytes || s.packed_bytes + next->packed_bytes > max_bytes ||
                    s.nr_pages + next->nr_pages > max_pages)
                        break;
                s.packed_bytes += next->packed_bytes;
                s.nr_pages += next->nr_pages;
        }
        return s;
}

/* One batch, from p->packed.raw to `buf`: chunks up to the first that is bad, or not in `got`. The page behind them. */
static uint64_t unpack_batch(struct pager *p, const struct stretch *s, uint64_t got, uint8_t *buf, int *ret_error)
{
        const struct page_chunk *c = s->first.at.chunk;
        uint64_t                 page = s->first.at.first_page, at = 0;

        *ret_error = 0;
        for (size_t i = 0; i < s->nr && at + c[i].packed_bytes <= got; i++) {
                uint8_t *to = buf + pages_to_bytes(page - s->first.at.first_page);

                *ret_error = packed_unpack(p->c.map, &c[i], p->packed.raw + at, p->c.verify, to);
                if (*ret_error < 0)
                        break;
                at += c[i].packed_bytes;
                page += c[i].nr_pages;
        }
        return page;
}

static uint64_t bring_batch(struct pager *p, const struct extent *x, const struct stretch *s, enum fault_class why)
{
        uint64_t    got = sources_read_cached_chunks(&p->sources, x->run->source, &s->first.at, s->packed_bytes, p->packed.raw);
        uint64_t    x_end = x->first_page + x->nr_pages, end;
        struct part bad;
        int         error;

        if (got < s->first.at.chunk->packed_bytes)
                return 0;
        count(&p->n.read_bytes, got);
        end = MIN(unpack_batch(p, s, got, p->buf, &error), x_end);
        if (end > x->first_page)
                pager_deliver_checked(p, x->first_page, end - x->first_page,
                                      p->buf + pages_to_bytes(x->first_page - s->first.at.first_page), why);
        if (error < 0 && end < x_end) {
                bad = part_of(p, x->run, MAX(end, x->first_page));
                lose_part(p, &bad, error);
                end = bad.end_page;
        }
        return MIN(end, x_end) - x->first_page;
}

static uint64_t bring_one(struct pager *p, const struct extent *x, const struct stretch *s, enum fault_class why)
{
        uint64_t end = MIN(x->first_page + x->nr_pages, s->first.end_page);
        int      r = hold(p, x->run, &s->first.at);

        if (r == -EAGAIN)
                return 0;
        if (r < 0)
                lose_part(p, &s->first, r);
        else /* hints are of pages, what else is in the chunk can wait */
                deliver(p, &s->first, x->first_page, why == FAULT_REPLAY ||
                        is_exact(p) ? end : s->first.end_page, p->packed.pages, why);
        return end - x->first_page;
}

uint64_t packed_bring(struct pager *p, const struct extent *x, enum fault_class why)
{
        struct stretch s = stretch_of(p, x, pages_to_bytes(PACKED_BATCH_PAGES), PACKED_BATCH_PAGES);

        return s.nr == 1 ? bring_one(p, x, &s, why) : bring_batch(p, x, &s, why);
}

/* --- slow reads --- */

static struct part next_part(const struct pager *p, const struct slow_read *s)
{
        return part_of(p, s->run, s->first_page);
}

void packed_slow_begin(const struct pager *p, struct slow_read *s, const struct extent *x, uint64_t max_bytes)
{
        struct stretch t = stretch_of(p, x, max_bytes, bytes_to_pages(max_bytes));
        uint64_t       end = MIN(t.first.at.first_page + t.nr_pages, x->first_page + x->nr_pages);

        s->first_page = is_exact(p) ? x->first_page : t.first.first_page;
        s->nr_pages = (is_exact(p) ? end : part_of(p, x->run, end - 1).end_page) - s->first_page;
        s->try_pages = s->nr_pages;
}

uint64_t packed_slow_offset_bytes(const struct pager *p, const struct slow_read *s)
{
        return next_part(p, s).at.chunk->file_offset_bytes + s->got_bytes;
}

uint64_t packed_slow_len_bytes(const struct pager *p, const struct slow_read *s)
{
        const struct page_chunk *last = page_map_find_chunk(p->c.map, s->run, s->first_page + s->try_pages - 1).chunk;

        return last->file_offset_bytes + last->packed_bytes - packed_slow_offset_bytes(p, s);
}

uint64_t packed_slow_first_pages(const struct pager *p, const struct slow_read *s)
{
        return MIN(next_part(p, s).end_page - s->first_page, s->nr_pages);
}

ssize_t packed_slow_clip(const struct pager *p, const struct slow_read *s, uint64_t good_pages, ssize_t result)
{
        const struct page_chunk *bad;
        uint64_t                 from;

        if (result <= 0 || good_pages >= s->try_pages)
                return result;
        from = packed_slow_offset_bytes(p, s);
        bad = page_map_find_chunk(p->c.map, s->run, s->first_page + good_pages).chunk;
        return bad->file_offset_bytes <= from ? -EIO : MIN(result, (ssize_t)(bad->file_offset_bytes - from));
}

void packed_slow_take(struct pager *p, struct slow_read *s, uint8_t *buf, uint64_t bytes)
{
        uint64_t have = s->got_bytes + bytes, used = 0;

        while (s->nr_pages > 0 && !pager_must_end(p)) {
                struct part              x = next_part(p, s);
                const struct page_chunk *c = x.at.chunk;
                uint64_t                 nr = packed_slow_first_pages(p, s);
                int                      r;

                if (have - used < c->packed_bytes)
                        break;
                p->packed.held = NULL;
                r = packed_unpack(p->c.map, c, buf + used, p->c.verify, p->packed.pages);
                if (r < 0)
                        lose_part(p, &x, r);
                else
                        deliver(p, &x, s->first_page, s->first_page + nr, p->packed.pages,
                                s->why == FAULT_DEMAND ? FAULT_AROUND : s->why);
                used += c->packed_bytes;
                s->first_page += nr;
                s->nr_pages -= nr;
        }
        memmove(buf, buf + used, have - used);
        s->got_bytes = have - used;
        s->try_pages = s->nr_pages;
}

/* Of one chunk that is not wanted whole. */
static uint64_t unpack_part_to(struct pager *p, const struct page_run *run, const struct chunk_place *at, uint64_t page,
                               uint64_t max_pages, uint8_t *to)
{
        uint64_t end = MIN(MIN(at->first_page + at->chunk->nr_pages, run->first_page + run->nr_pages), page + max_pages);

        if (hold(p, run, at) < 0)
                return 0;
        memcpy(to, p->packed.pages + pages_to_bytes(page - at->first_page), pages_to_bytes(end - page));
        return end - page;
}

uint64_t packed_unpack_to(struct pager *p, const struct page_run *run, uint64_t page, uint64_t max_pages, uint8_t *to)
{
        struct extent  x = { .run = run, .first_page = page, .nr_pages = max_pages };
        struct stretch s = stretch_of(p, &x, pages_to_bytes(PACKED_BATCH_PAGES), max_pages);
        uint64_t       got;
        int            error;

        if (s.first.at.first_page != page || s.nr_pages > max_pages || page + s.nr_pages > run->first_page + run->nr_pages)
                return unpack_part_to(p, run, &s.first.at, page, max_pages, to);
        got = sources_read_cached_chunks(&p->sources, run->source, &s.first.at, s.packed_bytes, p->packed.raw);
        count(&p->n.read_bytes, got);
        return unpack_batch(p, &s, got, to, &error) - page;
}
