/* core/model/ledger.c: names of the fault classes, and stamps read from T0. */
#include "core/model/ledger.h"

#include <assert.h>

static const char *const fault_names[] = {
        [FAULT_DEMAND] = "demand",
        [FAULT_AROUND] = "around",
        [FAULT_REPLAY] = "replay",
        [FAULT_FILL]   = "fill",
        [FAULT_ZERO]   = "zero",
};
static_assert(ARRAY_LEN(fault_names) == FAULT_CLASSES, "every class of fault has its name");

const char *ledger_fault_name(enum fault_class c)
{
        return (unsigned int)c < FAULT_CLASSES ? fault_names[c] : "unknown";
}

uint64_t ledger_us(const struct ledger *l, enum ledger_stamp s)
{
        uint64_t t0_ns = l->t_ns[LEDGER_T0], t_ns = l->t_ns[s];

        /* a launcher's T0 may be wrong by its own fault: a stamp before it is not reached, not 584 years late */
        if (!t0_ns || t_ns < t0_ns)
                return 0;
        return (t_ns - t0_ns) / NS_PER_US;
}
