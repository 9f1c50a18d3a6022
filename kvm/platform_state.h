/* kvm/platform_state.h: what there is to save of the interrupt controllers, the timer chip and the clock, and in which order it
 * is set.
 * Owns:    nothing.
 * Threads: session thread, while no vCPU runs.
 * Blocks:  no. */
#pragma once

#include "core/base/err.h"
#include "core/model/vm_state.h"

#include <stdbool.h>

struct platform_row {
        enum platform_piece piece;
        int (*save)(int vm_fd, struct platform_state *ret);     /* 0 or -errno */
        int (*load)(int vm_fd, const struct platform_state *s); /* the same */
        int (*absent)(int vm_fd);                               /* what to do where the state has none; may be NULL */
        bool        after_vcpus;
        const char *why_here;
};

/* Loaded from the first row to the last, around the vCPUs. Saved from the last to the first, after every vCPU. */
extern const struct platform_row platform_rows[PLATFORM_PIECES];

/* The rows that come before the vCPUs, or those that come after them. */
int platform_load(int vm_fd, const struct platform_state *s, bool after_vcpus, struct err *e);
int platform_save(int vm_fd, struct platform_state *ret, struct err *e);
