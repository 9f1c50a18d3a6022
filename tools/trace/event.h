/* tools/trace/event.h: what the BPF program tells the tracer; both include it.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

enum trace_kind {
        TRACE_GUEST = 1, /* KVM was asked for a guest frame: page is a guest page number, true also under shadow paging */
        TRACE_HOST,      /* somebody faulted at a host address: page is a host page number; the slots tell whether it is guest memory */
        TRACE_SLOT,      /* a memory slot that the guest uses; a record of its own, struct trace_slot */
};

#define TRACE_WRITE (1u << 8) /* beside the kind */
#define TRACE_LARGE (1u << 9) /* through a mapping of 2 MiB or more: what else is touched in there will not be seen */

struct trace_event {
        unsigned long long ns;   /* CLOCK_MONOTONIC */
        unsigned long long page;
        unsigned long long mm;   /* whose host addresses: a number to compare and nothing more */
        unsigned int       kind; /* enum trace_kind and the flags */
        unsigned int       zero;
};

struct trace_slot_key {
        unsigned long long first_gfn, nr_pages, hva;
};

struct trace_slot {
        unsigned long long    ns;
        struct trace_slot_key slot;
        unsigned int          kind; /* TRACE_SLOT */
        unsigned int          tgid; /* as the kernel's first pid namespace has it */
};

/* Guest pages of which the BPF program itself remembers that they were told: 256 GiB; the tracer sorts out what is told twice
 * beyond. */
#define TRACE_SEEN_PAGES (1u << 26)
#define TRACE_PER_WORD   32u /* two bits a page: touched, written */
#define TRACE_SLOTS_MAX  1024
#define TRACE_AHEAD_MAX  (1u << 20)
