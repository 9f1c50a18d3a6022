/* tools/trace/touches.h: what was traced, kept as it came, and made into first touches of guest pages at the end: only then are
 * all slots known, and with them which host addresses were guest memory.
 * Owns:    its arrays; touches_free gives them back.
 * Threads: one at a time.
 * Blocks:  never. */
#pragma once

#include "core/base/err.h"
#include "tools/trace/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guest pages [first_gfn, first_gfn + nr_pages) are at hva in the VM's process. */
struct traced_slot {
        uint64_t first_gfn, nr_pages, hva;
};

struct touches {
        size_t              nr, cap;
        struct trace_event *v;
        size_t              nr_slots;
        struct traced_slot  slots[TRACE_SLOTS_MAX];
        uint32_t            vm_tgid; /* as the kernel's first pid namespace has it; 0: no VM seen yet */
};

/* As tracer_options.record. */
int  touches_add(void *arg, const void *data, size_t size);
void touches_free(struct touches *t);

/* Where a guest page is in the VM's process; false: in no slot that is known. */
bool touches_find_hva(const struct touches *t, uint64_t gfn, uint64_t *ret_hva);

struct first_touch {
        uint64_t gfn, ns;
        bool     write;  /* the first one was */
        bool     written; /* or a later one */
        bool     large;  /* through a mapping of 2 MiB or more */
};

struct first_touches {
        size_t              nr;
        struct first_touch *v; /* in the order of their times; no page twice */
        uint64_t            large;  /* of them, through mappings of 2 MiB or more */
        uint64_t            filled; /* host pages that the process wrote before the guest ran: it was filling memory, that is no touch */
};
void first_touches_free(struct first_touches *t);

/* vm_mm and first_ns: of tracer_counts. */
int touches_resolve(const struct touches *t, uint64_t vm_mm, uint64_t first_ns, struct first_touches *ret, struct err *e);
