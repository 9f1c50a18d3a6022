/* Which mechanism a run of pages gets, and why, in words that a user reads in the ledger. */
#include "core/plan_internal.h"

#include <errno.h>
#include <stdlib.h>

const char *plan_mechanism_name(enum plan_mechanism m)
{
        static const char *const names[PLAN_MECHANISMS] = {"anon", "map", "copy", "continue", "prefill"};

        return (unsigned int)m < PLAN_MECHANISMS ? names[m] : "unknown";
}

static bool is_verified(const struct plan_request *q, const struct page_run *run)
{
        return q->verify && (run->kind == RUN_PACKED || run_sums(q->map, run));
}

static const char *unmappable(const struct plan_request *q, const struct page_run *run)
{
        return run->source < q->facts->nr_sources ? q->facts->unmappable[run->source] : "copied: nobody knows what file system it is on";
}

/* The heart of --mode auto, for a run that has bytes. */
static struct plan_piece choose_auto(const struct plan_request *q, const struct page_run *run)
{
        if (run->kind == RUN_PACKED)
                return (struct plan_piece){.mechanism = PLAN_COPY, .why = "packed: unpacked and served by userfaultfd"};
        if (is_verified(q, run))
                return (struct plan_piece){.mechanism = PLAN_COPY, .why = "verified: checked in the buffer that is installed, served by userfaultfd"};
        if (q->leaves_files)
                return (struct plan_piece){.mechanism = PLAN_COPY, .why = "copied, not mapped: the files go away when all is in"};
        if (q->collapse)
                return (struct plan_piece){.mechanism = PLAN_COPY, .why = "copied, not mapped: huge pages are to be made of it (--collapse)"};
        if (q->backing != RAM_ANON)
                return (struct plan_piece){.mechanism = PLAN_COPY, .why = "copied: guest RAM is a memfd, not the memory file"};
        if (unmappable(q, run))
                return (struct plan_piece){.mechanism = PLAN_COPY, .why = unmappable(q, run)};
        return (struct plan_piece){.mechanism = PLAN_MAP, .why = "raw, on a local disk, nothing to check: mapped, the kernel is the pager"};
}

static struct plan_piece choose(const struct plan_request *q, const struct page_run *run)
{
        if (run->kind == RUN_ZERO && !q->record)
                return (struct plan_piece){.mechanism = PLAN_ANON, .why = "zeros, left to the kernel"};
        if (q->record)
                return (struct plan_piece){.mechanism = PLAN_COPY, .why = "served by userfaultfd, so that every first touch is seen"};
        switch (q->mode) {
        case RESTORE_AUTO:
                return choose_auto(q, run);
        case RESTORE_LAZY:
                return (struct plan_piece){.mechanism = PLAN_COPY, .why = q->map->zeros_known ? "data, served by userfaultfd"
                                                                          : "not indexed yet: zero pages are found when they are fetched"};
        case RESTORE_MMAP:
                return (struct plan_piece){.mechanism = PLAN_MAP, .why = "MAP_PRIVATE of the memory file: the kernel is the pager"};
        case RESTORE_SHARED:
                return (struct plan_piece){.mechanism = PLAN_CONTINUE, .why = "in a template that VMs of this snapshot share, mapped from there"};
        case RESTORE_EAGER:
                return (struct plan_piece){.mechanism = PLAN_PREFILL, .why = "read completely before the guest runs"};
        }
        return (struct plan_piece){.mechanism = PLAN_COPY, .why = "data, served by userfaultfd"};
}

/* --- more pieces than there may be mappings --- */

/* Mapped pieces are a mapping each; neighbours of another kind are one together. */
static uint64_t count_mappings(const struct plan_pieces *p)
{
        uint64_t nr = 0;

        for (size_t i = 0; i < p->nr; i++)
                nr += i == 0 || p->v[i].mechanism == PLAN_MAP || p->v[i].mechanism != p->v[i - 1].mechanism;
        return nr;
}

static uint64_t count_mapped(const struct plan_pieces *p, uint64_t least_pages)
{
        uint64_t nr = 0;

        for (size_t i = 0; i < p->nr; i++)
                nr += p->v[i].mechanism == PLAN_MAP && p->v[i].nr_pages >= least_pages;
        return nr;
}

uint64_t plan_map_share(const struct host_caps *caps)
{
        uint64_t budget = caps->max_map_count / 2;

        return budget / 4 > 1 ? budget / 4 - 1 : 1;
}

/* Runs too short for a mapping of their own are copied: the shortest first, until the rest fits. */
static void fit_mappings(const struct plan_request *q, struct plan_pieces *p)
{
        uint64_t least = 1;

        if (count_mappings(p) <= q->caps->max_map_count / 2)
                return;
        while (count_mapped(p, least) > plan_map_share(q->caps) && least <= q->map->nr_pages)
                least *= 2;
        for (size_t i = 0; i < p->nr; i++)
                if (p->v[i].mechanism == PLAN_MAP && p->v[i].nr_pages < least) {
                        p->v[i].mechanism = PLAN_COPY;
                        p->v[i].why = "too scattered to map (vm.max_map_count): served by userfaultfd";
                }
}

static int check_mode(const struct plan_request *q, const struct page_run *run, struct err *e)
{
        if (q->mode == RESTORE_MMAP && run->kind == RUN_PACKED)
                return err_usage(e, "--mode mmap: page %llu is packed, and what is packed cannot be mapped; use --mode auto, lazy or eager, or "
                                 "unpack it (rouse convert --pack none)",
                                 (unsigned long long)run->first_page);
        return 0;
}

int plan_choose(const struct plan_request *q, struct plan_pieces *ret, struct err *e)
{
        const struct page_map *map = q->map;
        struct plan_pieces p = {.v = calloc(map->nr_runs + 1, sizeof(*p.v))};
        int r = p.v ? 0 : err_set(e, -ENOMEM, "no memory for the plan of %zu runs", map->nr_runs);

        for (size_t i = 0; i < map->nr_runs && r >= 0; i++) {
                struct plan_piece piece = choose(q, &map->runs[i]);

                piece.first_page = map->runs[i].first_page;
                piece.nr_pages = map->runs[i].nr_pages;
                p.v[p.nr++] = piece;
                r = check_mode(q, &map->runs[i], e);
        }
        if (r < 0) {
                free(p.v);
                return r;
        }
        if (q->mode == RESTORE_AUTO)
                fit_mappings(q, &p);
        *ret = p;
        return 0;
}
