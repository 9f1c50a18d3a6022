/* uffd/pager_internal.h: the pager's body, shared by the files that each do one of its jobs.
 * Owns:    what pager.h says.
 * Threads: by group, see the struct. Every function here belongs to the pager thread.
 * Blocks:  pager_nap, and pager_hold_up for 100 us.
 *
 *   pager.c     the handle
 *   serve.c     the loop
 *   nap.c       nothing to do: look for a while, then sleep
 *   answer.c    messages of the uffd ──► states, and answers to those who wait
 *   prefetch.c  replay and fill ──► what to bring when nobody waits
 *   granule.c, bring_shared.c   pages of 2 MiB, and pages that other VMs have already
 *   stage.c     2 MiB that nobody touched are put together, and moved
 *   slow.c      bytes that are not cached: started, ended, given up
 *   packed.c    bytes of chunks ──► unpacked and checked
 *   deliver.c   bytes have come: checked, installed, counted, or their pages lost
 *   give_up.c   nobody will use the guest any more: whoever waits is let go */
#pragma once

#include "core/base/bitmap.h"
#include "core/base/uapi.h"
#include "core/model/page_sums.h"
#include "uffd/around.h"
#include "uffd/cold.h"
#include "uffd/demand.h"
#include "uffd/depth.h"
#include "uffd/fill.h"
#include "uffd/granule.h"
#include "uffd/install.h"
#include "uffd/page_state.h"
#include "uffd/packed.h"
#include "uffd/pager.h"
#include "uffd/read_ring.h"
#include "uffd/record.h"
#include "uffd/replay.h"
#include "uffd/source.h"
#include "uffd/stage.h"
#include "uffd/timeline.h"

#include <pthread.h>
#include <stdatomic.h>

#define PAGER_MSGS 64

/* A slow read: its pages until each is installed or lost. */
struct slow_read {
        const struct page_run *run;
        uint64_t               first_page, nr_pages; /* what is left */
        uint64_t               try_pages;            /* what the read under way asks for */
        uint64_t               got_bytes;            /* of the first page, at the start of the buffer */
        enum fault_class       why;
        bool                   direct; /* the read under way goes past the page cache */
        uint32_t               nr; /* of the read under way, counted over all: for the countdown of faults */
};

/* Written by the pager thread alone, read by any; each number stands for itself, so relaxed is enough. */
struct pager_counters {
        _Atomic uint64_t faults[FAULT_CLASSES];
        _Atomic uint64_t messages, installed_bytes, moved_bytes, read_bytes, lost_pages, stall_ns, cpu_ns, resident_pages, cold_reads;
};

static inline void count(_Atomic uint64_t *counter, uint64_t n)
{
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* 256 KiB: to install as many takes 100 us, and a fault waits for that. */
#define SLOW_PAGES_MAX 64

struct pager {
        /* set by pager_new, then read-only */
        struct pager_config c;
        uint64_t            served_pages;
        int                 kick_fd; /* eventfd: a command waits in the atomics below */

        /* session thread only */
        bool      armed, joined;
        pthread_t thread;

        /* pager thread only, from arm to its end */
        struct installer   in; /* holds the uffd */
        struct page_states states;
        struct bitmap      written; /* units of the template that the hints say are written; in.written */
        struct granules    granules;
        struct demand      demand;
        struct around      around;
        struct sources     sources;
        struct packed      packed;
        struct page_sums   sums;
        struct read_ring  *ring; /* NULL: this host has no io_uring */
        bool               ring_is_ready; /* its buffer and files are registered */
        struct cold_sources cold;
        struct depth       depth; /* of reads ahead */
        struct slow_read   slow[READ_SLOTS];
        uint32_t           nr_slow; /* for the countdown of faults */
        struct replay_view view;
        struct hint_walk   replay, ahead; /* ahead: without io_uring, what to have the kernel read when the hints turn out to be cold */
        bool               replay_is_cold, replayed;
        uint64_t           replay_end_ns, replay_left_pages; /* of its budget; UINT64_MAX: none was set */
        struct fill        fill;
        struct stage       stage;
        struct timeline    timeline;
        uint64_t           last_fault_ns, last_batch_ns;
        uint64_t           look_ns;       /* nap.c: how long to look before sleep */
        uint32_t           demand_rounds; /* in a row, with prefetch waiting */
        bool               fresh;         /* messages were read since the demand was last looked at */
        bool               missed;        /* a message was dropped: those who wait must fault anew */
        bool               settled;       /* done was told; still here for lost pages that could not be poisoned */
        bool               let_lost_go;   /* given up: those who were left waiting for lost pages were let go */
        uint32_t           told_caught_up;
        int                failed;        /* -errno that ends the thread */
        struct uffd_msg    msgs[PAGER_MSGS];
        uint8_t            verdicts[FILL_FULL_PAGES];
        uint8_t           *buf; /* FILL_FULL_PAGES long, page-aligned */

        /* written by one side, read by the other; see each use */
        struct record         record;
        struct pager_counters n;
        _Atomic bool          stop, hurried, given_up;
        _Atomic uint32_t      asked_to_catch_up; /* how often */
        _Atomic uint64_t      entered_ns, spoke_ns;
        _Atomic bool          ended;
        _Atomic int           cpu_clock;

        /* under lock */
        pthread_mutex_t lock;
        pthread_cond_t  changed;
        bool            has_lock;
        bool            done, gone; /* told done; the thread has ended */
        bool            gave_up;    /* the thread knows that it is to give up */
        uint32_t        caught_up;  /* with the how manieth question */
        bool            lingers;    /* with reads that a file system does not give back: it must not be waited for */
        int             result;     /* -errno that ended it early */
};

static inline bool pager_must_end(const struct pager *p)
{
        /* Relaxed: the session thread joins, and nothing else is handed over by this flag. */
        return p->failed < 0 || atomic_load_explicit(&p->stop, memory_order_relaxed);
}

/* The states' own count, for those on other threads. */
static inline void pager_publish_resident(struct pager *p)
{
        atomic_store_explicit(&p->n.resident_pages, p->states.count[PAGE_INSTALLED], memory_order_relaxed);
}

/* serve.c */
void *pager_main(void *arg); /* the thread; the handle may be gone when it returns */

/* answer.c */
/* Reads the messages that wait and keeps account of them, installs nothing. Their number; -errno goes to p->failed. */
int pager_drain(struct pager *p);
/* Answers those whose pages can be had now. */
void pager_answer(struct pager *p);
/* A fault waits for a page that was given back: it gets zeros, now or in the next round. */
void pager_answer_removed(struct pager *p, uint64_t page);
/* Those whose messages were dropped fault anew, once there is room for them. */
void pager_wake_missed(struct pager *p);
/* After -EAGAIN: reads events, or waits a little where none is there. Pages may be removed when it returns. */
void pager_hold_up(struct pager *p);

/* deliver.c */
enum verdict {
        VERDICT_DATA,
        VERDICT_ZERO, /* zeros, though the page map did not know */
        VERDICT_BAD,  /* the checksum says otherwise */
};

/* Looks at the very bytes that will be installed. */
enum verdict pager_judge(struct pager *p, const struct page_run *run, uint64_t page, const uint8_t *bytes);
/* Absent neighbours were moved to their place; nobody waited for them. zeros: a bit each, set where the page is one of zeros. */
void pager_settle_moved(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint64_t *zeros, enum fault_class why);
/* The bytes of [first_page, +nr_pages) have come, of one run: each page that is still open is installed or lost. */
void pager_deliver(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint8_t *bytes, enum fault_class why);
/* The same for bytes that were checked already, as parts of chunks are. */
void pager_deliver_checked(struct pager *p, uint64_t first_page, uint64_t nr_pages, const uint8_t *bytes, enum fault_class why);
/* The same for pages that are zero by the page map. */
void pager_deliver_zeros(struct pager *p, uint64_t first_page, uint64_t nr_pages);
/* Pages are there, and their waiters awake. */
void pager_settle(struct pager *p, uint64_t first_page, uint64_t nr_pages, enum fault_class why);
/* Its bytes cannot be had. Nothing happens to a page that is not open. */
void pager_lose(struct pager *p, uint64_t page, int error);
/* A fault waits for a page that is lost: tells of it and lets the waiters go, where they may. */
void pager_answer_lost(struct pager *p, uint64_t page);
/* Lets those go who wait for a lost page, over poison or zeros. An unread event makes it wait, and may remove the page: then, and
 * where the kernel refuses, -errno. */
int pager_let_go(struct pager *p, uint64_t page, bool with_poison);
/* It was, with all of its unit. */
void pager_note_poisoned(struct pager *p, uint64_t page);
/* How pager_lost describes a lost page; false: it is none. Any thread. */
bool pager_describe_lost(const struct pager *p, uint64_t page, struct pager_lost *ret);

/* nap.c */
/* Until something comes, or when_ns. */
void pager_nap(struct pager *p, uint64_t when_ns);

/* pager_backing.c */
void pager_find_backing(struct pager *p);    /* fills p->in, but for its uffd */
int  pager_prepare_backing(struct pager *p); /* allocates; 0 or -ENOMEM */
void pager_free_backing(struct pager *p);
int  pager_register(struct pager *p, struct err *e);

/* bring_shared.c */
/* Maps what the template has of these pages, where they are open. How many. */
uint64_t pager_bring_shared(struct pager *p, uint64_t first_page, uint64_t nr_pages, enum fault_class why);
/* The same for one that a fault waits for, and its neighbours. False: the template has not got it. */
bool pager_answer_shared(struct pager *p, uint64_t page);
/* A fault came for one that is installed: late, or because the kernel has unmapped the template's page since, to swap it out. */
void pager_map_again(struct pager *p, uint64_t page);

/* catch_up.c */
/* Nothing is installed whose state does not say so, no message that was read is not accounted for: tells who waits for that. */
void pager_say_caught_up(struct pager *p);

/* give_up.c */
/* After pager_give_up, each time that somebody may have come to wait: lets everybody go. */
void pager_let_all_go(struct pager *p);

/* slow.c */
/* Starts (without io_uring: does) the read of neighbours of one run, raw or packed, that are free: how many. 0: no room in the
 * ring, later. */
uint64_t slow_start(struct pager *p, const struct extent *x, enum fault_class why);
/* Ends what has come and what took too long. True when there was something. */
bool slow_finish(struct pager *p, uint64_t now);

/* prefetch.c */
/* One batch of replay, else of fill. True when something was done; false: nothing can be done before *ret_when_ns. */
bool pager_prefetch(struct pager *p, uint64_t now, uint64_t *ret_when_ns);
/* Tells `replayed` when every hint is resident or lost. */
void pager_check_replayed(struct pager *p);
