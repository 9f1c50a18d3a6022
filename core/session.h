/* core/session.h: one living VM, booted or restored, from its plan to its end. What tools/, bench/ and core/control ask for.
 * Owns:    everything of the VM: descriptors, memory, threads. session_free gives all back.
 * Threads: one session thread makes, runs and frees it. Watchers and messages are called on that thread, inside session_run.
 * Blocks:  session_run until the VM has ended; session_save while memory is written; session_free until every thread has
 *          ended. */
#pragma once

#include "core/base/err.h"
#include "core/model/device_config.h"
#include "core/model/host_caps.h"
#include "core/model/ledger.h"
#include "core/model/ram_backing.h"

#include <stdbool.h>
#include <stdint.h>

struct session;

/* What a VM has in common, however it came to life. Strings are borrowed until session_free. */
struct session_options {
        const char             *name;          /* or NULL */
        int                     serial_out_fd; /* -1: nowhere */
        bool                    serial_lossy;  /* readers come and go (session_serial_to); the guest never waits for one */
        const char             *until, *mark;  /* patterns, or NULL */
        enum ram_backing        memory_backing;
        uint64_t                timeout_ns;    /* of session_run, from T0; 0: none */
        bool                    paused;        /* do not run the guest until session_resume */
        uint64_t                t0_ns;
        enum ledger_t0          t0_from;
        /* What stands behind the virtio slots: for a boot, the devices there are; for a restore, the backends of those in the
         * snapshot. */
        const struct device_config *devices;
        size_t                      nr_devices;
        const struct host_caps *caps; /* tests mask them; NULL: this host's, probed */
        /* One line for the user (an MSR refused, a stale index, a page lost); may be NULL. */
        void (*message)(void *arg, const char *text);
        void *message_arg;
};

struct boot_options {
        struct session_options common;
        const char            *kernel, *initrd, *cmdline; /* initrd NULL: none */
        uint64_t               memory_bytes;
        uint32_t               nr_vcpus;
};

enum restore_mode { RESTORE_AUTO, RESTORE_LAZY, RESTORE_MMAP, RESTORE_EAGER, RESTORE_SHARED };
enum hints_choice { HINTS_AUTO, HINTS_NONE, HINTS_FILE };

struct restore_options {
        struct session_options common;
        const char            *path;     /* the snapshot's directory */
        const char            *format;   /* insist, or NULL */
        const char            *runtime_dir; /* RESTORE_SHARED: where VMs find one another's template; NULL: they do not */
        const char            *data_dir; /* where indexes and hints are kept by identity; NULL: nowhere */
        const char *const     *bases;    /* where parents of the snapshot are now; until session_restore returns */
        size_t                 nr_bases;
        enum restore_mode      mode;
        enum hints_choice      hints;
        const char            *hints_path;  /* HINTS_FILE */
        uint64_t               hints_budget_bytes, hints_budget_ns; /* of the hints, only so many, or only for so long; 0: no limit */
        const char            *record_path; /* a file, "auto" (data_dir, where HINTS_AUTO finds it), or NULL */
        const char            *timeline_path; /* where the log of what the pager did goes at the end, or NULL */
        bool                   fill, verify;
        bool                   track_dirty; /* so that session_save over a base need not compare */
        bool                   leaves_files; /* after T6 the files of the snapshot are not needed: nothing is mapped in mode auto */
        uint32_t               source_timeout_ms;
        bool                   no_prefill; /* nothing is read whole into huge pages before the guest runs */
        bool                   collapse; /* huge pages after T6 */
        bool                   naive; /* RESTORE_EAGER: every byte, zeros too, one thread, no huge pages (core/naive.h) */
        bool                   allow_cpu_mismatch; /* a CPU that lacks what the guest saw is a message, not a refusal */
};

/* Boots: the guest waits at its first instruction. */
int session_boot(const struct boot_options *o, struct session **ret, struct err *e);

/* open, plan, arm, build: the guest waits at the instruction where it was saved. On failure nothing is left. */
int session_restore(const struct restore_options *o, struct session **ret, struct err *e);

enum session_end {
        SESSION_NONE,      /* still alive */
        SESSION_UNTIL,     /* --until matched */
        SESSION_GUEST_OFF, /* the guest powered off */
        SESSION_QUIT,      /* somebody asked */
        SESSION_TIMEOUT,
        SESSION_SIGNAL, /* session_end_by_signal */
        SESSION_LOST,   /* the guest needs a page that is lost */
        SESSION_ERROR,
};

struct session_result {
        enum session_end why;
        int              signal;
        uint64_t         lost_pages; /* declared lost while the guest ran, touched or not */
        struct err       err;        /* SESSION_LOST and SESSION_ERROR */
};

/* run, settle, done: until the VM ends. */
void session_run(struct session *s, struct session_result *ret);
void session_free(struct session *s);

/* --- from watchers, on the session thread --- */

/* Calls ready when fd has events (poll(2)'s), inside session_run, until session_unwatch; fd is borrowed. At
 * most SESSION_WATCHES_MAX at once: else -ENOSPC. */
#define SESSION_WATCHES_MAX 32
int  session_watch(struct session *s, int fd, short events, void (*ready)(void *arg, int fd, short revents), void *arg);
void session_unwatch(struct session *s, int fd);

/* session_run returns after this turn. What was said first is why. */
void session_quit(struct session *s);
void session_end_by_signal(struct session *s, int signal);
/* Returns when every vCPU and device is parked, so waits for pages that they wait for, at most source_timeout_ms. Nothing where it
 * is paused. */
void session_pause(struct session *s);
void session_resume(struct session *s); /* nothing where it runs, or has ended */
bool session_is_paused(const struct session *s);
enum session_end session_why(const struct session *s); /* SESSION_NONE while it lives */

struct save_options {
        const char *path;   /* the directory to be */
        const char *format; /* "native", "stratovirt"; NULL: native */
        bool        replace;
        bool        pack;        /* by LZ4 (native only), at pack_level */
        int         pack_level;
        const char *base;        /* a snapshot to refer to for what is as it has it, or NULL; native alone */
        bool        pause_after; /* leave it paused */
        /* Called on the session thread every some ms while pages are fetched and written; true: give up (-ECANCELED). May be
         * NULL. */
        bool (*cancelled)(void *arg);
        void *cancelled_arg;
};
struct save_report {
        uint64_t        pause_ns; /* guest stopped to guest going on (or to the state written, with pause_after) */
        uint64_t        total_ns;
        uint64_t        data_bytes, zero_bytes;
        uint64_t        stored_bytes; /* of the data, on disk: less where it is packed */
        uint64_t        parent_bytes; /* left to the base; of them: */
        uint64_t        unfetched_bytes, clean_bytes, same_bytes; /* never fetched; not written, as was tracked; compared and the same */
        uint64_t        compared_bytes; /* held against the base */
        struct identity identity;
};
/* A snapshot of the VM as it is. Refused at once, with the guest untouched: no room for it, a device that has no state, a format
 * that cannot hold this VM. First brings in every page that is still absent, while the guest runs; over a base that the VM comes
 * from they stay absent. When it fails the guest goes on as before and nothing is left on disk. */
int session_save(struct session *s, const struct save_options *o, struct save_report *ret, struct err *e);

/* Who must know what happens to the VM; called on the session thread. One at a time; NULL: nobody. SESSION_STOPPED and RESUMED
 * when it was stopped or resumed, whoever asked (not that it begins to run in session_run); SESSION_SHUTDOWN once, when it will
 * end. */
enum session_change { SESSION_STOPPED, SESSION_RESUMED, SESSION_SHUTDOWN };
void session_observe(struct session *s, void (*changed)(void *arg, enum session_change what), void *arg);

/* The balloon: what the guest is to give, and what it gave. -ENODEV without one. */
int session_balloon_set(struct session *s, uint64_t give_bytes);
int session_balloon_get(struct session *s, uint64_t *ret_given_bytes);

/* Bytes for the guest's serial port; returns how many it took. */
size_t session_serial_in(struct session *s, const uint8_t *bytes, size_t len);

/* With serial_lossy: who reads the serial port from now on; -1: nobody, and the newest 64 KiB are kept. What was dropped is said
 * in a message. */
void session_serial_to(struct session *s, int fd);

/* The ledger as it stands; whole after session_run. */
const struct ledger *session_ledger(const struct session *s);
const char          *session_name(const struct session *s); /* or NULL */
uint32_t             session_nr_vcpus(const struct session *s);
int                  session_vcpu_tid(const struct session *s, uint32_t vcpu); /* the kernel's thread id; 0: not started */
bool                 session_is_restored(const struct session *s);
bool                 session_is_settled(const struct session *s); /* T6: it needs its snapshot's files no more */
uint64_t             session_memory_bytes(const struct session *s);
/* XXH3-64 (seed 0) of all RAM as it is now, windows in order of gpa: for tests and verify. Paused VM, every page resident. */
int session_hash_ram(const struct session *s, uint64_t *ret_xxh3, struct err *e);
/* Waits on the session thread until every page is resident and the pager is gone (T6): 0, -ETIMEDOUT, or -EIO with lost pages. */
int session_wait_settled(struct session *s, int timeout_ms);
