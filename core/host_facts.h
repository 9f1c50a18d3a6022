/* core/host_facts.h: each thing on this host that decides how fast a restore is: what it is, whether it slows restores down or
 * keeps something from being done, what that costs, and what mends it.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  host_look as host_probe_all and host_dir_look do; host_facts_judge never. */
#pragma once

#include "core/host_dir.h"
#include "core/host_tries.h"
#include "core/model/host_caps.h"
#include "core/model/host_files.h"

#include <stddef.h>

struct host_look {
        struct host_caps  caps;
        struct host_files files;
        struct host_tries tries;
        bool              has_dir;
        struct host_dir   dir;
};

enum fact_state {
        FACT_OK,
        FACT_SLOW,    /* restores are slower for it */
        FACT_LACK,    /* something cannot be done */
        FACT_INFO,    /* worth knowing, neither good nor bad */
        FACT_UNKNOWN, /* it could not be told: text says why */
        FACT_STATES,
};

enum fact_kind {
        FACT_NULL, /* no value: it could not be told, or there is no limit */
        FACT_FLAG,
        FACT_NUMBER,
        FACT_TEXT,
};

struct host_fact {
        const char     *key; /* "GROUP.NAME", stable: scripts read it */
        enum fact_state state;
        enum fact_kind  kind;
        int64_t         number;    /* and flags, 0 or 1 */
        char            text[256]; /* the value in words; a FACT_TEXT's value itself */
        const char     *cost;      /* what it costs where it is slow or lacking; NULL: it cannot be */
        char            command[400]; /* that mends it, for a shell; "" where none does */
        const char     *advice;    /* what else mends it; NULL */
        int             weight;    /* how much it costs, to be mended in this order: 9 is worst */
};

#define HOST_FACTS_MAX 128

const char *fact_state_name(enum fact_state s); /* "ok", "slow", "lack", "info", "unknown" */

/* Of this host; dir: of what holds that directory, too; NULL: without. */
int host_look(const char *dir, struct host_look *ret, struct err *e);
/* All facts, always in the same order, those of a directory only where there is one. Returns how many. */
size_t host_facts_judge(const struct host_look *h, struct host_fact ret[HOST_FACTS_MAX]);

struct fact_summary {
        size_t                  nr_slow, nr_lack, nr_unknown;
        const struct host_fact *first; /* to be mended; NULL: nothing is slow or lacking */
};
struct fact_summary host_facts_sum_up(const struct host_fact *v, size_t nr);
