/* The counters of the ledger, gathered from the parts' own and from the kernel's account of this process. */
#include "core/session_internal.h"

#include "core/host_read.h"

#include <string.h>
#include <sys/resource.h>

void session_count(struct session *s, struct ledger_counters *ret, bool with_pss)
{
        struct ledger_counters c = {0};
        struct pager_stats p;
        struct rusage u;

        if (s->pager) {
                pager_stats(s->pager, &p);
                memcpy(c.faults, p.faults, sizeof(c.faults));
                c.installed_bytes = p.installed_bytes;
                c.read_bytes = p.read_bytes;
                c.lost_pages = p.lost_pages;
                c.has_stall = true;
                c.stall_us = p.stall_ns / NS_PER_US;
                c.pager_cpu_us = p.cpu_ns / NS_PER_US;
        }
        c.installed_bytes += s->eager_bytes;
        c.read_bytes += s->eager_bytes;
        getrusage(RUSAGE_SELF, &u);
        c.major_faults = (uint64_t)u.ru_majflt;
        c.rss_peak_bytes = (uint64_t)u.ru_maxrss * KIB;
        if (with_pss)
                c.pss_bytes = host_read_kb("", "/proc/self/smaps_rollup", "Pss:"); /* Linux 4.14 */
        *ret = c;
}
