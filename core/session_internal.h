/* core/session_internal.h: the session's body, shared by the files of core/ that conduct it.
 * Owns:    see core/session.h.
 * Threads: per group, below.
 * Blocks:  - */
#pragma once

#include "core/collapse.h"
#include "core/console.h"
#include "core/discard.h"
#include "core/guest_ram.h"
#include "core/indexer.h"
#include "core/lineage.h"
#include "core/mapper.h"
#include "core/plan.h"
#include "core/prefill.h"
#include "core/session.h"
#include "core/template.h"
#include "formats/format.h"
#include "kvm/vm.h"
#include "uffd/pager.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

/* What the other threads tell the session thread: one bit each, then a write to event_fd. */
enum session_event {
        EVENT_SPOKE = 1 << 0,    /* T3 */
        EVENT_UNTIL = 1 << 1,    /* T4, and the end */
        EVENT_MARK = 1 << 2,     /* T4 */
        EVENT_REPLAYED = 1 << 3, /* T5 */
        EVENT_SETTLED = 1 << 4,  /* T6 */
        EVENT_LOST = 1 << 5,     /* first_lost is set */
        EVENT_EXITED = 1 << 6,   /* exit_* is set */
        EVENT_ENTERED = 1 << 7,  /* T2 */
        EVENT_NOT_FREED = 1 << 8, /* a page that the balloon gave back is zero, but still takes memory */
        EVENT_SAID = 1 << 9,      /* said has lines of devices */
        EVENT_NOT_MAPPED = 1 << 10, /* unmapped_* is set */
};

#define SAID_LINES 16 /* that wait for the session thread; it is rarely busy for long */
#define SAID_CHARS 600

struct watch {
        void (*ready)(void *arg, int fd, short revents);
        void *arg;
};

struct session {
        /* set while it is made, then read-only */
        struct session_options opt;
        struct host_caps       caps;
        struct snapshot        snap; /* zeroed when booted */
        struct mem_layout      layout;
        struct template       *template; /* RESTORE_SHARED: what ram is mapped from; else NULL */
        struct guest_ram       ram;
        struct discard         discard;          /* has a lock of its own */
        uint32_t               nr_vcpus;
        size_t                 nr_devices;
        struct device_config   devices[DEVICE_CONFIGS_MAX];
        struct vm             *vm;
        struct pager          *pager; /* NULL without one */
        struct plan            plan;  /* zeroed when booted */
        struct mapper         *mapper;  /* NULL without one */
        struct prefill        *prefill; /* until KVM looks at RAM */
        bool                   prefill_failed; /* by bytes of the snapshot that are bad */
        struct console        *console;
        const char            *record_path, *timeline_path, *data_dir; /* NULL: not wanted */
        bool                   record_past_t4; /* the recording goes on after the mark */
        char                  *cpuid_cache; /* a file in data_dir, or NULL */
        int                    event_fd;
        int                    sources_fd;     /* told when a mapped file changes; -1 where nobody tells */
        bool                   index_wanted;
        uint64_t               eager_bytes; /* read before the guest ran, by no pager */
        /* session thread only */
        struct ledger         ledger;
        struct lineage        lineage; /* its marks of device writes: any thread */
        struct indexer       *indexer;
        bool                  collapse_wanted;
        struct collapse      *collapse; /* from T6 on, where it is wanted */
        struct session_result result;
        uint64_t              closed_ns; /* when the ledger was */
        bool                  running;
        bool                  told_lost, told_not_freed, told_not_mapped, told_record_ends;
        void (*changed)(void *arg, enum session_change what); /* session_observe; NULL: nobody */
        void *changed_arg;
        size_t                nr_watches;
        struct pollfd         polls[1 + SESSION_WATCHES_MAX]; /* [0] is event_fd */
        struct watch          watches[1 + SESSION_WATCHES_MAX];
        /* atomic: stamped by vCPU and pager threads (release), read after the matching event bit (acquire) */
        _Atomic uint32_t events;
        _Atomic uint64_t stamp_ns[LEDGER_STAMPS];
        /* Of pager, mapper and prefill: those that have not told yet. Whoever comes last stamps, and the stamp's event carries it
         * over. */
        _Atomic int      replays_left, settles_left;
        _Atomic uint64_t settled_ns; /* of those that have told: the latest */
        /* under lock: the first of each only */
        pthread_mutex_t   lock;
        struct vm        *live_vm; /* vm once it may run, until it is freed */
        bool              has_lost, lost_demanded;
        struct pager_lost first_lost;
        enum vm_exit      exit_why;
        uint32_t          exit_vcpu;
        gpa_t             exit_gpa;
        char              exit_text[200];
        bool              exit_set;
        uint64_t          unmapped_page; /* the mapper could not have it */
        int               unmapped_error;
        /* under lock: what devices have to say to the user */
        uint32_t nr_said, nr_unsaid; /* lines; those that found no room */
        char     said[SAID_LINES][SAID_CHARS];
};

int  session_new(const struct session_options *o, struct session **ret, struct err *e);
void session_post(struct session *s, enum session_event ev);                             /* any thread */
void session_stamp(struct session *s, enum ledger_stamp st, uint64_t ns);                /* any thread; the first one counts */
void session_part_settled(struct session *s, uint64_t ns);                               /* any thread: one of settles_left */
void session_message(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* session thread */
void session_fill_vm_events(struct session *s, struct vm_events *ret);
void session_fill_console_events(struct session *s, struct console_config *ret);
void session_fill_pager_events(struct session *s, struct pager_events *ret);
void session_fill_mapper_events(struct session *s, struct mapper_config *ret);
/* From here on (NULL: no longer) a demanded page that is lost condemns the VM. */
void session_set_live(struct session *s, struct vm *vm);
/* True when a page is lost that somebody waits, or waited, for; *e says which, also of one that nobody asked for yet. */
bool session_find_lost(struct session *s, struct err *e);
/* As a watch of sources_fd. */
void session_sources_changed(void *arg, int fd, short revents);
/* The first one counts. Session thread. */
void session_end(struct session *s, enum session_end why);
/* As session_pause and session_resume, but nobody is told: for a moment. True when it ran (did not run) before. Session
 * thread. */
bool session_hold(struct session *s);
/* Before session_hold, for who must not wait for a vCPU that waits for a page: true when it will not. Else ask again, or undo. */
bool session_hold_begin(struct session *s, int timeout_ms);
void session_hold_undo(struct session *s);
bool session_let_run(struct session *s);
/* Takes what the other threads have told. Session thread. */
void session_handle_events(struct session *s);
/* Begins to look for zero pages, once, where that is wanted. */
void session_start_index(struct session *s);
/* Writes the hints of a recording that is whole. After the guest was stopped. */
void session_keep_record(struct session *s);
/* Writes what the pager logged. After the guest was stopped. */
void session_keep_timeline(struct session *s);
/* A file that was wanted of this VM cannot be written: the VM failed, unless it ended in a worse way. */
void session_fail_late(struct session *s, const struct err *e);
/* The stamp and the counters of this moment, into the ledger. Session thread. */
void session_count_at(struct session *s, enum ledger_stamp st, bool with_pss);
/* Copies counters into the ledger at a stamp (or its end); pss costs a walk over all RAM, so not at every stamp. */
void session_count(struct session *s, struct ledger_counters *ret, bool with_pss);
