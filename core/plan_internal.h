/* core/plan_internal.h: what the files of the plan share while it is made.
 * Owns:    struct plan_pieces owns its array.
 * Threads: the one that makes the plan.
 * Blocks:  never. */
#pragma once

#include "core/plan.h"

/* A stretch of RAM with one fate, within one run. */
struct plan_piece {
        uint64_t    first_page, nr_pages;
        const char *why;
        uint8_t     mechanism; /* enum plan_mechanism */
};

struct plan_pieces {
        struct plan_piece *v; /* sorted; they cover RAM */
        size_t             nr;
};

/* By the pager. */
static inline bool plan_is_served(const struct plan_piece *p)
{
        return p->mechanism == PLAN_COPY || p->mechanism == PLAN_CONTINUE;
}

/* plan_mechanism.c: a piece for each run. 0, -ENOMEM, ERR_USAGE or ERR_HOST. */
int plan_choose(const struct plan_request *q, struct plan_pieces *ret, struct err *e);

/* As many mapped ranges, and as many served ones, as leave room for what lies between them: with M and S of them RAM has at most
 * 2 M + 2 S + 1 mappings, and half of vm.max_map_count is left to everybody else. */
uint64_t plan_map_share(const struct host_caps *caps);

/* plan_prefill.c: the 2 MiB ranges that are worth it, in RAM order; the pieces are cut at them. 0 or -ENOMEM. */
int plan_choose_prefill(const struct plan_request *q, struct plan_pieces *pieces);

/* plan_populate.c, of a plan that has its served ranges: 0 or -ENOMEM. */
int plan_choose_populate(const struct plan_request *q, const struct plan_pieces *pieces, struct plan *p);

/* The piece that holds page. O(log pieces). */
const struct plan_piece *plan_piece_find(const struct plan_pieces *p, uint64_t page);

/* --- what things cost: the cost model --- */

/* Microseconds on the host of restore-costs.md, warm, by bench/plan_costs (2026-11-27; two rounds, of which the cheaper stands)
 * but where it says otherwise. Only their ratios decide. */
#define COST_HUGE_ALLOC_US    90.0 /* a transparent huge page, zeroed */
#define COST_HUGE_READ_US     0.75 /* a 4 KiB page read into it */
#define COST_INSTALL_US       2.2  /* a page by MADV_POPULATE_WRITE, in extents of 16 and more; UFFDIO_COPY of read bytes is 2.2 too */
#define COST_INSTALL_ONE_US   3.9  /* the same, alone */
#define COST_ZERO_US          1.0  /* a zero page by the kernel's own fault; restore-costs.md */
#define COST_KVM_FAULT_US     6.0  /* of a resident 4 KiB page, and of a 2 MiB one: restore-costs.md has 5 to 7 */
#define COST_DISK_RANDOM_US   10.5 /* a page at depth 32 (372 MiB/s): restore-costs.md */
#define COST_DISK_SEQUENCE_US 3.8  /* a page of a long read (1 GiB/s): restore-costs.md */
