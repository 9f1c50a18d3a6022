/* core/inspect_plan.h: how a snapshot would be restored on this host: the very plan that a restore would make, and nothing is
 * started.
 * Owns:    what struct inspected_plan holds; inspect_plan_close gives it back.
 * Threads: any, one at a time.
 * Blocks:  on the file system; half a second where a template is held by a process that does not answer. */
#pragma once

#include "core/inspect.h"
#include "core/plan.h"
#include "core/template.h"

struct inspected_plan {
        struct plan           plan;
        struct plan_limits    limits;
        /* RESTORE_SHARED: what others have of it already. A code below 0: why nobody can say */
        bool                  shared;
        int                   template_code;
        struct template_sight template;
        struct err            refused; /* code 0: it fits; else why a restore would say no */
};

/* o: what a restore would be asked for; path and formats are the inspection's. */
int  inspect_plan(struct inspection *i, const struct restore_options *o, struct inspected_plan *ret, struct err *e);
void inspect_plan_close(struct inspected_plan *p); /* accepts a zeroed one */
