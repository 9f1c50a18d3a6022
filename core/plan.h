/* core/plan.h: what is decided before the clock matters: which pages are mapped, served, read ahead of everything, or left to the
 * kernel, what is replayed, and what all of it needs of this host. One value, made by the same code for a restore and for whoever
 * only wants to know (rouse inspect --plan); constant afterwards.
 * Owns:    its arrays; plan_free gives them back.
 * Threads: made by one thread, then read-only for all.
 * Blocks:  plan_facts_probe on the file systems of the sources; plan_make never.
 *
 *   plan.c            the value: pieces joined into ranges, rows for the ledger
 *   plan_mechanism.c  which mechanism a run gets, and why
 *   plan_prefill.c    which 2 MiB ranges are worth a huge page before anything else
 *   plan_populate.c   which hinted pages of mapped runs are brought in ahead, and how
 *   plan_facts.c      what the host says of files, page cache and huge pages
 *   plan_limits.c     what a plan needs against what there is */
#pragma once

#include "core/model/hints.h"
#include "core/model/ledger.h"
#include "core/model/page_map.h"
#include "core/session.h"
#include "uffd/pager.h"

/* Served ranges: more are joined over short runs of zeros, so that registering them stays below 1 ms (some 3 us each). */
#define PLAN_RANGES_MAX 256

/* Fault-around: pages of this many are brought along where they are cached; the kernel takes 64 KiB for file mappings too. */
#define PLAN_AROUND_PAGES 16

enum plan_mechanism { PLAN_ANON, PLAN_MAP, PLAN_COPY, PLAN_CONTINUE, PLAN_PREFILL, PLAN_MECHANISMS };
const char *plan_mechanism_name(enum plan_mechanism m); /* as in the ledger: "anon", "map", ... */

/* What the host says, so that plan_make asks nobody. Zeroed: nothing can be mapped, no huge pages, all is cached. */
struct plan_facts {
        const char **unmappable; /* of each source: why it is not mapped; NULL: it can be. An array of plan_facts_probe's */
        size_t       nr_sources;
        bool         huge_pages; /* transparent, on request */
        bool         cold;       /* hinted pages have to come from the disk */
};
/* hints: of which some are looked up in the page cache; nr 0: not needed. 0 or -ENOMEM. */
int  plan_facts_probe(const struct page_map *map, const struct hints *h, struct plan_facts *ret);
void plan_facts_free(struct plan_facts *f); /* accepts a zeroed one */

struct plan_request {
        const struct page_map   *map;
        struct hints            *hints; /* taken; none: zeroed */
        enum restore_mode        mode;
        bool                     verify; /* check what has checksums */
        bool                     record; /* a pager must see every first touch */
        bool                     no_prefill; /* no 2 MiB ranges are read whole */
        bool                     timed; /* the hints have only so much time: nothing is done with them that cannot be broken off */
        bool                     fill;
        bool                     leaves_files; /* after T6 the files are not needed: nothing is mapped */
        bool                     collapse;     /* after T6 huge pages are made of RAM, which cannot be of what is mapped: nothing is */
        enum ram_backing         backing;
        const struct plan_facts *facts;
        const struct host_caps  *caps;
};

/* Neighbours in mapped or zero runs that the hints name. */
struct plan_extent {
        uint32_t first_page, nr_pages;
        uint8_t  phase;
        bool     write; /* a copy of its own at once: the guest writes there */
};

/* What a plan takes of what is limited. */
struct plan_needs {
        uint64_t mappings;        /* of guest RAM */
        uint64_t address_bytes;
        uint64_t resident_bytes;  /* anonymous memory that the plan itself fills; what a guest writes later is not in it */
        uint64_t prefill_bytes;   /* of that, before the guest runs */
        uint64_t locked_bytes;
        uint64_t huge_2m_pages;   /* of the pool */
        uint64_t template_2m_pages; /* of those, what a template takes that is not there yet */
};

struct plan {
        char                arm[24];
        /* sorted, apart, within RAM */
        struct pager_range *served;
        size_t              nr_served;
        struct pager_range *mapped; /* each within one raw run */
        size_t              nr_mapped;
        struct pager_range *prefill; /* whole 2 MiB of RAM each */
        size_t              nr_prefill;
        /* ahead of the guest */
        struct hint        *replay; /* by the pager: those in served */
        size_t              nr_replay;
        struct plan_extent *populate; /* by the kernel, when told to: those in mapped and zero runs; by phase, then by page */
        size_t              nr_populate;
        size_t              nr_hints; /* all that there were */
        bool                cold;     /* they have to come from the disk */
        /* what is said of it */
        size_t                 nr_rows;
        struct ledger_plan_row rows[LEDGER_PLAN_MAX];
        struct plan_needs      needs;
};

/* -ENOMEM, or ERR_USAGE and ERR_HOST where the mode cannot have this page map. */
int  plan_make(const struct plan_request *q, struct plan *ret, struct err *e);
void plan_free(struct plan *p); /* accepts a zeroed one */

/* Does a mapping of this source stand behind RAM? */
bool plan_maps_source(const struct plan *p, const struct page_map *map, size_t source);

/* --- limits --- */

#define PLAN_NO_LIMIT UINT64_MAX
struct plan_limits {
        uint64_t max_map_count;
        uint64_t address_bytes; /* RLIMIT_AS, less what is used */
        uint64_t memlock_bytes; /* RLIMIT_MEMLOCK */
        uint64_t cgroup_bytes;  /* of memory that the cgroup, or one above it, still allows */
        uint64_t huge_2m_free;  /* of the pool */
        char     cgroup[200];   /* the file that says so */
};
void plan_limits_probe(const struct host_caps *caps, struct plan_limits *ret);

/* One line: what of the plan is limited. */
struct plan_limit_row {
        const char *name, *unit; /* "mappings of guest RAM", "" or "bytes" */
        uint64_t    needs, has;  /* PLAN_NO_LIMIT: not limited */
};
#define PLAN_LIMIT_ROWS 5
/* Every limit that is looked at, needed or not. Returns PLAN_LIMIT_ROWS. */
size_t plan_limit_rows(const struct plan *p, const struct plan_limits *l, struct plan_limit_row ret[PLAN_LIMIT_ROWS]);

/* There is a template already, with so many bytes of what the plan brings in: they are not needed once more, and neither is its
 * room in the pool. */
void plan_has_already(struct plan *p, uint64_t bytes);

/* 0; or ERR_HOST with what is missing and the command that mends it. Asks nobody. */
int plan_check(const struct plan *p, const struct plan_limits *l, struct err *e);
