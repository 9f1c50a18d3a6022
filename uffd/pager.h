/* uffd/pager.h: brings pages to where the guest waits for them, and ahead of that: demand, replay, fill.
 * Owns:    the uffd, its buffers and its one thread; borrows RAM, the page map and the replay list until pager_free.
 * Threads: made, armed, stopped and freed by one session thread; the calls marked "any" from every thread.
 *          The events are called on the pager's thread: they must not block nor call the pager back, except for "any" calls.
 * Blocks:  pager_stop and pager_give_up until the thread has done what it is told, but not for more than two seconds when a file
 *          system holds it up; pager_wait as long as it is told to. */
#pragma once

#include "core/base/err.h"
#include "core/model/hints.h"
#include "core/model/host_caps.h"
#include "core/model/ledger.h"
#include "core/model/page_map.h"
#include "core/model/ram_backing.h"
#include "core/model/shared_pages.h"

struct pager;

/* Pages [first, first + nr) of RAM that the uffd serves; the rest is anonymous zeros (or mapped) and never seen by the pager. */
struct pager_range {
        uint64_t first_page, nr_pages;
};

#define PAGER_NO_CHUNK UINT64_MAX

struct pager_lost {
        uint64_t    page;              /* RAM page number */
        const char *source;            /* page_source.name */
        uint64_t    file_offset_bytes; /* where its bytes should be, or those of its chunk */
        uint64_t    chunk;             /* its number; PAGER_NO_CHUNK: the page is not packed */
        uint32_t    chunk_bytes;
        int         error;             /* -EIO and the like; -ENODATA: the file ends before it; -EBADMSG: checksum; -ETIMEDOUT: silent source */
        bool        demanded;          /* a fault waits for it */
        bool        poisoned;          /* the guest sees it as SIGBUS or MMIO; false: the fault is left unanswered until the VM is stopped */
};

struct pager_events {
        void *arg;
        /* Once when a page is found lost, and once more when a fault comes to wait for one that was lost ahead. Of a demanded
         * page it is told before its waiters are let go, so that the callee can end whatever runs on it; where that is done it
         * returns true. Then, or wherever the kernel has UFFDIO_POISON, the waiters go on: over poison, else over zeros that
         * nobody will see. Else the fault stays unanswered. */
        bool (*lost)(void *arg, const struct pager_lost *lost);
        void (*replayed)(void *arg, uint64_t ns); /* every hint is resident or lost (T5); not told where there are no hints */
        /* Every served page is resident, discarded or lost, and the ranges unregistered (T6); the thread ends next. Where lost
         * pages could not be poisoned, these stay registered, and the thread watches them until pager_stop. */
        void (*done)(void *arg, uint64_t ns);
};

/* Set before pager_new, then read-only. */
struct pager_config {
        uint8_t                   *ram; /* host address of RAM page 0 */
        enum ram_backing           backing; /* RAM_HUGETLB: ranges are whole 2 MiB */
        const struct shared_pages *shared;  /* the ranges are private mappings of this template; NULL: they are not */
        const struct page_map     *map;
        const struct pager_range  *served; /* sorted, apart, within RAM */
        size_t                     nr_served;
        const struct hint         *replay; /* phase by phase, in first-touch order; pages outside `served` or zero are skipped */
        size_t                     nr_replay;
        uint64_t                   replay_budget_bytes; /* what replay may bring, and how long it may go on from pager_arm on; 0: no limit. */
        uint64_t                   replay_budget_ns;    /* What is left out is the fill's, and `replayed` is told without it. */
        bool                       record;             /* first touches are kept in order; the caller turns replay, around and fill off */
        bool                       timeline;           /* what comes is logged, with its time (pager_timeline) */
        bool                       fill;               /* bring the rest in; else absent pages stay absent until asked for */
        bool                       paused;             /* nobody runs: fill at full rate at once */
        bool                       verify;             /* check map->sums before a page is installed */
        uint32_t                   around_pages;       /* fault-around window, 1: none; only pages already cached */
        bool                       spare_cpu;          /* the host has more CPUs for this process than the guest has vCPUs */
        uint32_t                   source_timeout_ms;  /* a read that takes longer makes its pages lost; 0, or a host without io_uring: no limit */
        const struct host_caps    *caps;
        struct pager_events        events;
        const struct pager_faults *faults; /* tests: what goes wrong and when; NULL in production */
};

/* Plan stage: opens the uffd, allocates all that the thread will need. Nothing is registered yet. */
int pager_new(const struct pager_config *c, struct pager **ret, struct err *e);
/* Arm stage: registers the ranges and starts the thread; replay begins at once. The ranges must be unpopulated. */
int pager_arm(struct pager *p, struct err *e);

/* Any thread. The guest was entered (T2), it spoke (T3): the fill is polite until 2 s after T3, or 5 s after T2 if it stays
 * silent. */
void pager_guest_entered(struct pager *p, uint64_t ns);
void pager_guest_spoke(struct pager *p, uint64_t ns);
/* Any thread. Fill at full rate from now on, also where fill was off; record ends. */
void pager_hurry(struct pager *p);
/* Any thread. Stops recording; replay stays off; fill begins if it was asked for. */
void pager_end_record(struct pager *p);
/* Nobody will use the guest any more: who waits, now or later, is let go at once, as over a lost page (events.lost is not
 * told, nothing is counted). The VM must be condemned before. */
void pager_give_up(struct pager *p);
/* Waits for done or timeout_ms (-1: for ever): 0, -ETIMEDOUT. -EIO when it ended with lost pages, -ECANCELED when it was stopped
 * before that, -EINVAL when it was never armed. */
int pager_wait(struct pager *p, int timeout_ms);

/* A first touch. */
enum pager_touch_kind {
        PAGER_TOUCH_READ,
        PAGER_TOUCH_WRITE,
        PAGER_TOUCH_UNSURE, /* a kernel worker of KVM's took the fault for the guest and asked to write: nobody knows what the guest did */
};
struct pager_touch {
        uint64_t ns;   /* when its fault was read */
        uint32_t page; /* RAM page number */
        uint32_t kind; /* enum pager_touch_kind */
};

/* Pages of RAM, neighbours, that came together. A page comes once; one that was given back and is asked for again comes as zero
 * once more. */
struct pager_arrival {
        uint64_t ns;         /* when they were there, and whoever waited for them was awake */
        uint32_t first_page; /* RAM page number */
        uint32_t nr_pages;
        uint32_t why;        /* enum fault_class: each counts in pager_stats.faults[why] */
};

struct pager_stats {
        uint64_t faults[FAULT_CLASSES]; /* pages, by class */
        uint64_t messages;              /* fault messages read */
        uint64_t installed_bytes, read_bytes, lost_pages, stall_ns, cpu_ns;
        uint64_t resident_pages;        /* of the served ones, zero pages included */
        uint64_t moved_bytes;           /* of those installed, and zeros between them: as huge pages */
        uint64_t cold_reads;            /* pages that were not cached and went through io_uring */
};
void pager_stats(const struct pager *p, struct pager_stats *ret); /* any thread */
/* Was this page declared lost? Any thread. *ret may be NULL. */
bool pager_find_lost(const struct pager *p, uint64_t page, struct pager_lost *ret);
/* Session thread, while no vCPU and no device runs: from its return on, what they touched or gave back before is told as such by
 * pager_unfetched; before, the pager's thread may have installed a page, or read of a discard, and not yet noted it. 0, or
 * -ETIMEDOUT after 5 s where a file system holds the thread up. */
int pager_catch_up(struct pager *p);
/* Any thread. Of RAM pages [first, +nr): a bit each in *bits, from bit 0 of bits[0] on, set where the page is served and never
 * came: as the snapshot has it. One that comes meanwhile is told either way. Bits of other pages stay as they are. */
void pager_unfetched(const struct pager *p, uint64_t first_page, uint64_t nr_pages, uint64_t *bits);
/* After pager_end_record or pager_stop: first touches in their order; valid until pager_free. */
size_t pager_recorded(const struct pager *p, const struct pager_touch **ret);
/* After pager_stop: what came, in order of time; valid until pager_free. 0 where c.timeline was not set. *ret_dropped_pages:
 * those that came when the log was full; it has an entry for each served page, and some more. */
size_t pager_timeline(const struct pager *p, const struct pager_arrival **ret, uint64_t *ret_dropped_pages);
/* After pager_stop: has the page its bytes, or the zeros that it was discarded to? Else RAM says nothing of it. */
bool pager_has(const struct pager *p, uint64_t page);

/* Ends the thread. Pages still absent stay registered until pager_free closes the uffd, so no vCPU may run any more, or all is
 * done. False: the thread is held up, see pager_free. */
bool pager_stop(struct pager *p);
/* After pager_stop, for who reads RAM then: a page that was given back reads as zeros instead of waiting for a thread that is
 * gone, and so does one that never came. */
void pager_unregister(struct pager *p);
/* Stops first; accepts NULL and one that was never armed. False (as of pager_stop): the thread is held up, in a file system that
 * does not answer: it, and all that it borrows, must stay until the process ends. */
bool pager_free(struct pager *p);
