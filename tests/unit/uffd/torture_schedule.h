/* tests/unit/uffd/torture_schedule.h: what a schedule of the torture chamber consists of: all drawn from one seed, and told in
 * one line.
 * Owns:    nothing.
 * Threads: plain data; constant once drawn.
 * Blocks:  never. */
#pragma once

#include "core/base/units.h"
#include "uffd/pager_faults.h"

#include <stdio.h>

/* What a family of schedules is about; the rest is drawn in each. */
enum torture_family {
        TORTURE_ALONE,    /* one thread: the guest's part is the same each time */
        TORTURE_TOGETHER, /* several threads, hints, fill, discards, whatever goes wrong and can be mended */
        TORTURE_LOSING,   /* bytes that cannot be had, by sector, checksum, length of the file and memory */
        TORTURE_LATE,     /* a file system that answers when it likes */
        TORTURE_ENDING,   /* the pager is stopped, or the VM given up, at some moment */
        TORTURE_SHARED,   /* several VMs, a pager each, on one template */
        TORTURE_HUGE,     /* pages of 2 MiB, of a VM's own or of a template; several VMs, too */
        TORTURE_FAMILIES,
};

enum torture_end { END_DONE, END_STOPPED, END_GIVEN_UP, ENDS };

enum torture_backing {
        BACK_ANON,
        BACK_MEMFD,  /* the VM's own, mapped shared */
        BACK_SHARED, /* a private mapping of a template that others have put pages into */
        BACKINGS_SMALL,
        BACK_HUGE = BACKINGS_SMALL, /* the two before, of 2 MiB pages */
        BACK_HUGE_SHARED,
        BACKINGS,
};

#define TORTURE_THREADS_MAX 4
#define TORTURE_SOURCES_MAX 3
#define TORTURE_HUGE_PAGES  (HUGE_PAGE_BYTES / PAGE_BYTES)

struct schedule {
        enum torture_family family;
        uint64_t            seed;
        /* the guest */
        uint64_t nr_pages;
        unsigned threads, steps, ops; /* ops: of each thread in each step */
        uint64_t block_pages;         /* neighbours that belong to the same thread */
        bool     churns;              /* a thread gives memory back all the time: installs get -EAGAIN */
        bool     asks;                /* a thread asks for states and numbers all the time */
        enum torture_backing backing;
        unsigned             others;  /* VMs beside it, on the same template */
        /* where the bytes are */
        unsigned sources, ranges;
        bool     disk, cold, verify, zeros_known, packed;
        uint64_t cut_pages;     /* source 0 ends so many pages early */
        bool     cut_within;    /* and within a page */
        bool     cut_late;      /* while the pager runs */
        uint32_t flip_one_in;   /* pages with sums whose bytes are others */
        bool     hushes;        /* the source falls silent and speaks again */
        uint32_t timeout_ms;
        /* the pager */
        bool                ring, poison, record, fill, paused, hurries, moves, looks;
        uint32_t            around_pages;
        size_t              nr_hints;
        struct pager_faults faults;
        enum torture_end    end;
        unsigned            end_after_step; /* of the other ends */
};

static inline uint64_t torture_mix(uint64_t h)
{
        h += 0x9e3779b97f4a7c15ULL;
        h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
        h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
        return h ^ h >> 31;
}

static inline uint64_t torture_random(uint64_t *state, uint64_t below)
{
        return torture_mix((*state)++) % below;
}

static inline bool torture_chance(uint64_t *state, unsigned one_in)
{
        return torture_random(state, one_in) == 0;
}

/* Mostly small, sometimes up to max: 1 at least. */
static inline uint64_t torture_size(uint64_t *state, uint64_t max)
{
        uint64_t limit = 1ULL << torture_random(state, 12);

        return 1 + torture_random(state, MIN(limit, max));
}

static inline void draw_guest(struct schedule *s, uint64_t *r)
{
        s->nr_pages = 64 + torture_random(r, 64ULL << torture_random(r, 6));
        s->threads = 1 + (unsigned)torture_random(r, TORTURE_THREADS_MAX);
        s->steps = 1 + (unsigned)torture_random(r, 5);
        s->ops = 20 + (unsigned)torture_random(r, 400);
        s->block_pages = torture_size(r, 128);
        s->churns = torture_chance(r, 2);
        s->asks = torture_chance(r, 2);
        s->backing = torture_chance(r, 2) ? BACK_ANON : (enum torture_backing)torture_random(r, BACKINGS_SMALL);
}

static inline void draw_bytes(struct schedule *s, uint64_t *r)
{
        s->sources = 1 + (unsigned)torture_random(r, TORTURE_SOURCES_MAX);
        s->ranges = torture_chance(r, 2) ? 1 : 1 + (unsigned)torture_random(r, 6);
        s->disk = torture_chance(r, 3);
        s->cold = s->disk && torture_chance(r, 2);
        s->verify = torture_chance(r, 2);
        s->zeros_known = torture_chance(r, 2);
        s->packed = torture_chance(r, 3);
        s->timeout_ms = 60000;
}

/* Whole 2 MiB are moved that nobody has touched, that are cached, and that have few zeros. So the guest lets most of them alone
 * for a while, and comes into some of them while they are being put together. */
static inline void draw_moves(struct schedule *s, uint64_t *r)
{
        s->nr_pages = TORTURE_HUGE_PAGES * (2 + torture_random(r, 5)) + torture_random(r, 100);
        s->backing = BACK_ANON;
        s->ops = MIN(s->ops, 60u);
        s->record = false;
        s->fill = true;
        s->hurries = s->hurries || torture_chance(r, 2);
        s->around_pages = MIN(s->around_pages, 16u);
        s->ranges = torture_chance(r, 4) ? s->ranges : 1;
        /* each that is far from the others breaks into 2 MiB */
        s->nr_hints = torture_chance(r, 2) ? 0 : MIN(s->nr_hints, torture_random(r, 10));
}

/* The step from which on the guest may touch these 2 MiB; steps: only when all are over. */
static inline unsigned torture_left_alone(const struct schedule *s, uint64_t page)
{
        uint64_t of_block = torture_mix(s->seed ^ 0x2a10 ^ page / TORTURE_HUGE_PAGES << 16);

        if (!s->moves || of_block % 4 == 0)
                return 0;
        return of_block % 4 == 1 ? (unsigned)(of_block / 4 % (s->steps + 1)) : s->steps;
}

/* Of so many pages that have bytes, one is zero all the same. */
static inline unsigned torture_zeros(const struct schedule *s, uint64_t page)
{
        return s->moves && torture_mix(s->seed ^ 0x2e70 ^ page / TORTURE_HUGE_PAGES << 16) % 4 ? 256 : 8;
}

static inline void draw_pager(struct schedule *s, uint64_t *r)
{
        static const uint32_t windows[] = { 1, 1, 2, 5, 8, 16, 64, 1000 };

        s->ring = !torture_chance(r, 3);
        s->poison = !torture_chance(r, 3);
        s->record = torture_chance(r, 6);
        s->fill = torture_chance(r, 2);
        s->paused = torture_chance(r, 2);
        s->hurries = torture_chance(r, 2);
        s->looks = torture_chance(r, 4);
        s->moves = torture_chance(r, 4);
        s->around_pages = windows[torture_random(r, ARRAY_LEN(windows))];
        s->nr_hints = torture_chance(r, 3) ? 0 : torture_random(r, 2 * s->nr_pages);
        if (s->moves)
                draw_moves(s, r);
}

/* What goes wrong and can be mended: no page may be lost by it. */
static inline void draw_faults(struct schedule *s, uint64_t *r)
{
        static const enum pager_chance mended[] = { CHANCE_SHORT_READ, CHANCE_NOT_CACHED, CHANCE_EAGAIN_COPY, CHANCE_SHORT_COPY };

        s->faults = (struct pager_faults){ .seed = s->seed, .nothing_cached = torture_chance(r, 4) };
        for (size_t i = 0; i < ARRAY_LEN(mended); i++)
                if (torture_chance(r, 2))
                        s->faults.one_in[mended[i]] = 2 + (uint32_t)torture_random(r, 20);
        if (s->moves && !torture_chance(r, 4)) { /* one page in 512 that is not cached, or seems so, is one too many */
                s->cold = s->faults.nothing_cached = false;
                s->faults.one_in[CHANCE_NOT_CACHED] = 0;
        }
}

static inline void draw_losses(struct schedule *s, uint64_t *r)
{
        if (torture_chance(r, 2))
                s->faults.one_in[CHANCE_EIO] = 2 + (uint32_t)torture_random(r, 60);
        if (torture_chance(r, 2))
                s->faults.one_in[CHANCE_NO_MEMORY] = 2 + (uint32_t)torture_random(r, 60);
        if (torture_chance(r, 2))
                s->cut_pages = 1 + torture_random(r, s->nr_pages / 4);
        /* a bad sector that the file ends within would be lost for either reason */
        s->cut_within = s->cut_pages && !s->faults.one_in[CHANCE_EIO] && torture_chance(r, 2);
        if (s->verify && torture_chance(r, 2))
                s->flip_one_in = 2 + (uint32_t)torture_random(r, 40);
        s->cut_late = s->cut_pages && torture_chance(r, 3);
        /* a chunk that ends early, or of which a part is asked for: which page is it then? */
        if (s->packed && (s->cut_pages || s->record))
                s->faults.one_in[CHANCE_EIO] = 0;
        if (s->cut_late) /* nothing else, or a page could be lost for whichever comes first */
                s->flip_one_in = s->faults.one_in[CHANCE_EIO] = s->faults.one_in[CHANCE_NO_MEMORY] = 0;
}

static inline void draw_late(struct schedule *s, uint64_t *r)
{
        s->disk = s->hushes = true;
        s->cold = false; /* what the file system above it has was never read */
        s->timeout_ms = torture_chance(r, 2) ? 60000 : 1 + (uint32_t)torture_random(r, 8);
        s->ring = s->ring || s->timeout_ms < 60000; /* the only way to have a deadline */
        s->steps = MIN(s->steps, 3u);
}

static inline bool torture_is_huge(const struct schedule *s)
{
        return s->backing == BACK_HUGE || s->backing == BACK_HUGE_SHARED;
}

static inline bool torture_is_shared(const struct schedule *s)
{
        return s->backing == BACK_SHARED || s->backing == BACK_HUGE_SHARED;
}

/* Pages that come and go together. */
static inline uint64_t torture_unit(const struct schedule *s)
{
        return torture_is_huge(s) ? TORTURE_HUGE_PAGES : 1;
}

#define TORTURE_OTHERS_MAX     2
#define TORTURE_HUGE_UNITS_MAX 4

static inline void draw_shared(struct schedule *s, uint64_t *r)
{
        s->backing = BACK_SHARED;
        s->moves = false;
        s->nr_pages = MIN(s->nr_pages, (uint64_t)2048);
        s->others = 1 + (unsigned)torture_random(r, TORTURE_OTHERS_MAX);
}

/* Parts of one 2 MiB page belong to several threads, or whole ones to each. */
static inline void draw_huge(struct schedule *s, uint64_t *r)
{
        s->backing = torture_chance(r, 2) ? BACK_HUGE : BACK_HUGE_SHARED;
        s->moves = false;
        s->nr_pages = TORTURE_HUGE_PAGES * (1 + torture_random(r, TORTURE_HUGE_UNITS_MAX));
        s->block_pages = torture_chance(r, 2) ? TORTURE_HUGE_PAGES : s->block_pages;
        s->nr_hints = MIN(s->nr_hints, s->nr_pages);
        s->others = s->backing == BACK_HUGE_SHARED ? (unsigned)torture_random(r, TORTURE_OTHERS_MAX + 1) : 0;
}

static inline struct schedule torture_draw(enum torture_family family, uint64_t seed)
{
        struct schedule s = { .family = family, .seed = seed };
        uint64_t        r = torture_mix(seed * TORTURE_FAMILIES + family);

        draw_guest(&s, &r);
        draw_bytes(&s, &r);
        draw_pager(&s, &r);
        draw_faults(&s, &r);
        if (family == TORTURE_ALONE) {
                s.threads = 1;
                s.churns = s.asks = false;
        }
        if (family == TORTURE_LOSING || (family == TORTURE_ENDING && torture_chance(&r, 2)))
                draw_losses(&s, &r);
        if (family == TORTURE_LATE)
                draw_late(&s, &r);
        if (family == TORTURE_SHARED)
                draw_shared(&s, &r);
        if (family == TORTURE_HUGE)
                draw_huge(&s, &r);
        if (family == TORTURE_ENDING || (family >= TORTURE_SHARED && torture_chance(&r, 4))) {
                s.end = torture_chance(&r, 2) ? END_STOPPED : END_GIVEN_UP;
                s.end_after_step = (unsigned)torture_random(&r, s.steps);
        }
        return s;
}

static inline void torture_tell(const struct schedule *s, char *text, size_t size)
{
        static const char *const families[TORTURE_FAMILIES] = { "alone", "together", "losing", "late", "ending", "shared",
                                                                "huge" };
        static const char *const ends[ENDS] = { "done", "stopped", "given up" };
        static const char *const backings[BACKINGS] = { "anon", "memfd", "shared", "huge", "huge shared" };
        const uint32_t          *n = s->faults.one_in;

        snprintf(text, size,
                 "seed %llu of %s: %llu pages of %s, %u other VMs, %u threads, %u steps of %u, blocks of %llu%s%s; %u sources, %u ranges%s%s%s%s%s, cut %llu%s%s, "
                 "flip 1/%u%s, timeout %u ms;%s%s%s%s%s%s%s%s, around %u, %zu hints; nothing cached %d, short read 1/%u, not cached 1/%u, "
                 "EAGAIN 1/%u, short copy 1/%u, EIO 1/%u, no room 1/%u; %s at step %u",
                 (unsigned long long)s->seed, families[s->family], (unsigned long long)s->nr_pages, backings[s->backing],
                 s->others, s->threads, s->steps, s->ops,
                 (unsigned long long)s->block_pages, s->churns ? ", churn" : "", s->asks ? ", asker" : "", s->sources, s->ranges,
                 s->disk ? ", disk" : "", s->cold ? ", cold" : "", s->verify ? ", verify" : "", s->zeros_known ? ", zeros known"
                 : "", s->packed ? ", packed" : "",
                 (unsigned long long)s->cut_pages, s->cut_within ? " and a bit" : "", s->cut_late ? " late" : "", s->flip_one_in,
                 s->hushes ? ", hushes" : "", s->timeout_ms, s->ring ? " ring" : " no ring", s->poison ? ", poison"
                 : ", no poison",
                 s->record ? ", record" : "", s->fill ? ", fill" : "", s->paused ? ", paused" : "", s->hurries ? ", hurries" : "",
                 s->moves ? ", moves" : "", s->looks ? ", looks" : "", s->around_pages, s->nr_hints,
                 s->faults.nothing_cached, n[CHANCE_SHORT_READ], n[CHANCE_NOT_CACHED], n[CHANCE_EAGAIN_COPY],
                 n[CHANCE_SHORT_COPY], n[CHANCE_EIO], n[CHANCE_NO_MEMORY], ends[s->end], s->end_after_step);
}
