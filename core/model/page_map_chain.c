/* core/model/page_map_chain.c: a chain of snapshots becomes one flat map, level by level from the youngest on: what a level
 * leaves to its parent is cut out of the parent's map.
 *
 *   child    R R P P P P Z P P          R raw  Z zero  P the parent's
 *   parent   r r r Z k k k k P          k a packed chunk of four
 *            R R r Z k k Z k P          the chunk is cut at both ends of the child's zero page: two runs, one chunk */
#include "core/model/page_map.h"
#include "core/model/page_sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One level under another. */
struct chain {
        struct page_map       *out; /* takes the place of the child's map when it is whole */
        const struct page_map *parent;
        struct page_sums       sums; /* the parent's */
        uint16_t               source_shift;
        uint64_t               cap_sums;
        size_t                 cap_chunks;
        size_t                 last_from, last_to; /* chunks of the parent that were copied last: index there (SIZE_MAX: none), index here */
};

bool page_map_needs_parent(const struct page_map *m)
{
        for (size_t i = 0; i < m->nr_runs; i++)
                if (m->runs[i].kind == RUN_PARENT)
                        return true;
        return false;
}

/* Room for `more` elements behind the first nr; twice as much as there was, so that many small ones do not copy all each time. */
static int grow(void **v, uint64_t nr, uint64_t more, uint64_t *cap, size_t size)
{
        uint64_t want = MAX(*cap * 2, nr + more);
        void    *grown;

        if (nr + more <= *cap)
                return 0;
        grown = reallocarray(*v, want, size);
        if (!grown)
                return -ENOMEM;
        *v = grown;
        *cap = want;
        return 0;
}

/* Of nr pages of a run of the parent's, from its page `skip` on. */
static int copy_sums(struct chain *c, const struct page_run *from, uint64_t skip, uint64_t nr, uint64_t *ret_first)
{
        void *v = c->out->sums;
        int   r = grow(&v, c->out->nr_sums, nr, &c->cap_sums, sizeof(uint64_t));

        c->out->sums = v;
        r = r < 0 ? r : page_sums_copy(&c->sums, from, skip, nr, c->out->sums + c->out->nr_sums);
        if (r < 0)
                return r;
        *ret_first = c->out->nr_sums;
        c->out->nr_sums += nr;
        return 0;
}

/* Neighbours that were cut out of one chunk share its copy: it is unpacked once. */
static int copy_chunks(struct chain *c, uint32_t first, uint64_t nr, uint32_t *ret_first)
{
        bool     shared = c->last_from == first;
        uint64_t from = first + shared, cap = c->cap_chunks;
        uint64_t to = shared ? c->last_to : c->out->nr_chunks;
        void    *v = c->out->chunks;
        int      r;

        nr -= shared;
        r = grow(&v, c->out->nr_chunks, nr, &cap, sizeof(struct page_chunk));
        c->out->chunks = v;
        c->cap_chunks = cap;
        if (r < 0)
                return r;
        if (nr)
                memcpy(c->out->chunks + c->out->nr_chunks, c->parent->chunks + from, nr * sizeof(struct page_chunk));
        c->out->nr_chunks += nr;
        c->last_from = from + nr - 1;
        c->last_to = c->out->nr_chunks - 1;
        *ret_first = (uint32_t)to;
        return 0;
}

static int cut_packed(struct chain *c, const struct page_run *from, uint64_t skip, struct page_run *run)
{
        uint64_t chunk_pages = c->parent->sources[from->source].chunk_pages, before = from->skip_pages + skip;

        run->skip_pages = (uint32_t)(before % chunk_pages);
        return copy_chunks(c, from->first_chunk + (uint32_t)(before / chunk_pages), (run->skip_pages + run->nr_pages + chunk_pages - 1) / chunk_pages,
                           &run->first_chunk);
}

static int cut_raw(struct chain *c, const struct page_run *from, uint64_t skip, struct page_run *run)
{
        run->file_offset_bytes += pages_to_bytes(skip);
        run->first_sum = NO_SUM;
        return run_sums(c->parent, from) ? copy_sums(c, from, skip, run->nr_pages, &run->first_sum) : 0;
}

/* nr pages of a run of the parent's, from its page `skip` on. */
static int cut(struct chain *c, const struct page_run *from, uint64_t skip, uint64_t nr)
{
        struct page_run run = *from;
        int             r = 0;

        run.first_page += skip;
        run.nr_pages = (uint32_t)nr;
        if (run.kind == RUN_RAW || run.kind == RUN_PACKED)
                run.source += c->source_shift;
        if (run.kind == RUN_RAW)
                r = cut_raw(c, from, skip, &run);
        else if (run.kind == RUN_PACKED)
                r = cut_packed(c, from, skip, &run);
        return r < 0 ? r : page_map_append(c->out, &run);
}

/* What the parent has for [first, end). */
static int put_parent(struct chain *c, uint64_t first, uint64_t end)
{
        const struct page_run *from = page_map_find(c->parent, first);
        int                    r = 0;

        if (!from) /* no runs at all: raw_pages of a snapshot whose zeros have no place */
                return page_map_append(c->out, &(struct page_run){ .first_page = first, .nr_pages = (uint32_t)(end - first), .kind = RUN_ZERO });
        for (; first < end && r >= 0; from++) {
                uint64_t stop = MIN(end, from->first_page + from->nr_pages);

                r = cut(c, from, first - from->first_page, stop - first);
                first = stop;
        }
        return r;
}

static int put_runs(struct chain *c, const struct page_map *child)
{
        int r = 0;

        for (size_t i = 0; i < child->nr_runs && r >= 0; i++) {
                const struct page_run *run = &child->runs[i];

                r = run->kind == RUN_PARENT ? put_parent(c, run->first_page, run->first_page + run->nr_pages) : page_map_append(c->out, run);
        }
        return r;
}

/* A map without checksums may have any first_sum; beside one that has them it must say that it has none. */
static void say_no_sums(struct page_map *m)
{
        for (size_t i = 0; i < m->nr_runs; i++)
                if (!m->sums && m->runs[i].kind == RUN_RAW)
                        m->runs[i].first_sum = NO_SUM;
}

static int take_sources(struct page_map *m, struct page_map *parent)
{
        struct page_source *grown = reallocarray(m->sources, m->nr_sources + parent->nr_sources + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        m->sources = grown;
        if (parent->nr_sources)
                memcpy(m->sources + m->nr_sources, parent->sources, parent->nr_sources * sizeof(*grown));
        m->nr_sources += parent->nr_sources;
        free(parent->sources);
        parent->sources = NULL;
        parent->nr_sources = 0;
        return 0;
}

int page_map_put_runs_under(struct page_map *m, const struct page_map *parent, uint16_t source_shift)
{
        struct page_map out = *m;
        struct chain    c = { .out = &out, .parent = parent, .source_shift = source_shift, .cap_sums = m->nr_sums, .cap_chunks = m->nr_chunks,
                              .last_from = SIZE_MAX };
        struct page_map child = *m; /* its runs alone */
        int             r;

        if (parent->nr_pages != m->nr_pages)
                return -EINVAL;
        page_sums_init(&c.sums, parent);
        out.runs = NULL;
        out.nr_runs = out.cap_runs = 0;
        r = put_runs(&c, &child);
        free(child.runs);
        *m = out;
        return r;
}

int page_map_put_under(struct page_map *m, struct page_map *parent)
{
        uint16_t shift = (uint16_t)m->nr_sources;
        int      r;

        if (parent->codec && m->codec && parent->codec != m->codec)
                return -ENOTSUP;
        if (m->nr_sources + parent->nr_sources > UINT16_MAX)
                return -E2BIG;
        r = page_map_own_sums(m); /* those of the parent go behind them */
        if (r < 0)
                return r;
        say_no_sums(m);
        r = page_map_put_runs_under(m, parent, shift);
        r = r < 0 ? r : take_sources(m, parent);
        if (r < 0)
                return r;
        m->codec = m->codec ? m->codec : parent->codec;
        m->zeros_known = m->zeros_known && parent->zeros_known;
        return 0;
}
