/* The words of a trace. */
#include "tools/trace/report.h"

#include "core/base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

void report_snapshot(const char *folder, const char *file)
{
        fprintf(stderr, "rouse: the hints are for %s: guest memory is mapped from %s\n", folder, file);
}

void report_no_snapshot(const char *file, const struct err *why)
{
        fprintf(stderr, "rouse: guest memory is mapped from %s, but that is of no snapshot that can be read (%s); say which one by --snapshot DIR\n", file, why->text);
}

void report_other_snapshot(const char *said, const char *file)
{
        fprintf(stderr,
                "rouse: guest memory is mapped from %s, which is not of %s: these hints may be those of another snapshot\n", file,
                said);
}

void report_other_memory(const char *snapshot, gpa_t gpa, uint64_t bytes)
{
        fprintf(stderr, "rouse: the VM has %" PRIu64 " MiB of memory at gpa %#" PRIx64 ", the memory of %s is laid out otherwise: these hints may be those of another "
                "snapshot\n", bytes / MIB, gpa, snapshot);
}

void report_counts(const struct tracer_counts *c, uint64_t buffer_bytes)
{
        if (c->lost)
                fprintf(stderr, "rouse: %" PRIu64 " events were lost, there was no room for them in %" PRIu64 " KiB: pages may be missing or late; trace again with a "
                        "larger --buffer\n", c->lost, buffer_bytes / KIB);
        if (c->unfollowed)
                fprintf(stderr, "rouse: %" PRIu64 " memory slots, processes or pages mapped ahead were not followed, the kernel's maps for them were full: pages may be "
                        "missing\n", c->unfollowed);
        if (c->other_vm)
                fprintf(stderr, "rouse: there are several VMs; only the first one that asked for memory was traced, %" PRIu64 " requests of others were left aside\n",
                        c->other_vm);
}

int report_nothing(const struct process *p, struct err *e)
{
        if (p->command && p->ended)
                return err_set(e, -ENODATA,
                               "%s ended with status %d, and no guest ran in it: nothing was traced, no file is written",
                               p->command, p->status);
        return err_set(e, -ENODATA, "the guest asked for no page: nothing was traced, no file is written; what KVM has mapped once is not asked for again, so trace a VM "
                       "from its start: rouse trace ... -- COMMAND");
}

int report_all_outside(const struct to_hints_report *outside, const char *snapshot, struct err *e)
{
        return err_set(e, -EINVAL, "none of the %" PRIu64 " touched pages (the first at gpa %#" PRIx64 ") is in the memory of %s: it is another VM's snapshot",
                       outside->outside, pages_to_bytes(outside->outside_gfn), snapshot ? snapshot : "the VM");
}

static void report_blind(const struct first_touches *first, const struct to_hints_report *outside, const struct process *p)
{
        if (outside->outside)
                fprintf(stderr, "rouse: %" PRIu64 " touched pages, the first at gpa %#" PRIx64 ", are not of its RAM (firmware, a frame buffer): left out\n",
                        outside->outside, pages_to_bytes(outside->outside_gfn));
        if (first->large)
                fprintf(stderr,
                        "rouse: %" PRIu64 " touches made KVM map 2 MiB or more at once: what else was touched in there was not seen; %s\n",
                        first->large,
                        p->command ? "run the VM without huge pages (hugetlbfs, --huge-pages on) to trace it"
                                   : "rouse trace ... -- COMMAND starts a VM without transparent huge pages");
}

static const char *ending(const struct process *p, char *buf, size_t size)
{
        if (!p->ended)
                snprintf(buf, size, "; process %d runs on", p->pid);
        else if (p->command && p->status)
                snprintf(buf, size, "; %s ended with status %d", p->command, p->status);
        else
                buf[0] = '\0';
        return buf;
}

void report_done(const struct hints *h, const struct first_touches *first, const struct to_hints_report *outside, const struct process *p, const char *out,
                 bool bound)
{
        char end[512];

        report_blind(first, outside, p);
        if (!bound)
                fprintf(stderr, "rouse: the hints are for no snapshot: 'rouse hints show' takes them, a restore does not; --snapshot DIR says which one\n");
        fprintf(stderr, "rouse: %zu of %" PRIu64 " pages were touched; hints in %s%s\n", h->nr, h->ram_pages, out,
                ending(p, end, sizeof(end)));
}
