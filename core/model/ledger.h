/* core/model/ledger.h: time stamps and counters of one restore (design/bench.md); the same for every arm.
 * Owns:    nothing; strings are in place.
 * Threads: plain data, filled by the session thread from the parts' own counters.
 * Blocks:  never. */
#pragma once

#include "core/base/units.h"
#include "core/model/identity.h"

#include <stddef.h>

enum ledger_stamp { LEDGER_T0, LEDGER_T1, LEDGER_T2, LEDGER_T3, LEDGER_T4, LEDGER_T5, LEDGER_T6, LEDGER_STAMPS };

enum fault_class { FAULT_DEMAND, FAULT_AROUND, FAULT_REPLAY, FAULT_FILL, FAULT_ZERO, FAULT_CLASSES };

struct ledger_counters {
        uint64_t faults[FAULT_CLASSES]; /* pages installed, by why */
        uint64_t installed_bytes;       /* put into guest RAM by rouse */
        uint64_t read_bytes;            /* read(2) from files, cached or not */
        uint64_t lost_pages;
        bool     has_stall; /* only where rouse answers the faults */
        uint64_t stall_us;  /* from reading a fault's message to its answer, summed over faulting threads */
        uint64_t pager_cpu_us;
        uint64_t major_faults;
        uint64_t rss_peak_bytes;
        uint64_t pss_bytes; /* 0: not sampled at this stamp */
};

enum ledger_t0 { LEDGER_T0_SELF, LEDGER_T0_LAUNCHER, LEDGER_T0_API };

#define LEDGER_PLAN_MAX 8
struct ledger_plan_row {
        const char *mechanism; /* "anon", "map", "copy", "continue", "prefill" */
        uint64_t    runs, bytes;
        const char *why;
};

struct ledger {
        char                   arm[24]; /* "eager", "mmap", "lazy", "hints" */
        enum ledger_t0         t0_from;
        char                   path[256];
        char                   format[24];
        struct identity        identity;
        uint64_t               memory_bytes, zero_bytes;
        size_t                 nr_plan;
        struct ledger_plan_row plan[LEDGER_PLAN_MAX];
        const char            *verify;               /* "on", "off", "none" (the format has no checksums) */
        uint64_t               t_ns[LEDGER_STAMPS];  /* CLOCK_MONOTONIC; 0: not reached */
        bool                   has_at[LEDGER_STAMPS];
        struct ledger_counters at[LEDGER_STAMPS];
        struct ledger_counters end; /* when the ledger was closed */
        uint64_t               msrs_refused;
        uint64_t               collapsed_bytes; /* made huge pages of after T6, with --collapse on */
        uint64_t               slots_ns; /* the bare KVM_SET_USER_MEMORY_REGION calls, so that T2 can be read without them */
};

const char *ledger_fault_name(enum fault_class c); /* "demand", ... */
/* Microseconds from T0 to a stamp that was reached; 0 for one that was not. */
uint64_t ledger_us(const struct ledger *l, enum ledger_stamp s);
