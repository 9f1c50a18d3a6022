/* The log of what the pager did, as a file: a line for neighbours that came together. rouse(1) documents it, bench/model/timeline
 * reads it. */
#include "core/session_internal.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static uint64_t us_since_t0(const struct ledger *l, uint64_t ns)
{
        return ns > l->t_ns[LEDGER_T0] ? (ns - l->t_ns[LEDGER_T0]) / NS_PER_US : 0;
}

/* What this restore brings without the pager, or leaves to the kernel, stands in no line. */
static void write_unlogged(FILE *to, const struct ledger *l)
{
        for (size_t i = 0; i < l->nr_plan; i++)
                if (l->plan[i].bytes && strcmp(l->plan[i].mechanism, "copy") && strcmp(l->plan[i].mechanism, "continue"))
                        fprintf(to, "# not logged: %" PRIu64 " bytes %s (%s)\n", l->plan[i].bytes, l->plan[i].mechanism,
                                l->plan[i].why);
}

static void write_head(FILE *to, const struct ledger *l)
{
        fprintf(to, "# rouse timeline 1\n# snapshot: %s\n# arm: %s\n", l->identity.s, l->arm);
        for (int st = LEDGER_T1; st < LEDGER_STAMPS; st++)
                if (l->t_ns[st])
                        fprintf(to, "# T%d: %" PRIu64 " us\n", st, ledger_us(l, (enum ledger_stamp)st));
        write_unlogged(to, l);
}

static uint64_t end_of_window(const struct mem_layout *l, uint64_t offset_bytes)
{
        size_t i = 0;

        while (i + 1 < l->nr && l->w[i + 1].ram_offset_bytes <= offset_bytes)
                i++;
        return l->w[i].ram_offset_bytes + l->w[i].size_bytes;
}

/* Neighbours in RAM may lie in two windows of guest addresses. */
static void write_arrival(FILE *to, const struct session *s, const struct pager_arrival *a)
{
        uint64_t offset = pages_to_bytes(a->first_page), end = offset + pages_to_bytes(a->nr_pages);

        while (offset < end) {
                gpa_t    gpa = mem_layout_offset_to_gpa(&s->layout, offset);
                uint64_t bytes = MIN(end, end_of_window(&s->layout, offset)) - offset;

                fprintf(to, "%" PRIu64 " 0x%" PRIx64 " %" PRIu64 " %s\n", us_since_t0(&s->ledger, a->ns), gpa,
                        bytes_to_pages(bytes), ledger_fault_name((enum fault_class)a->why));
                offset += bytes;
        }
}

/* What came after the ledger was closed is in neither. */
static void write_arrivals(FILE *to, const struct session *s)
{
        const struct pager_arrival *v;
        uint64_t dropped;
        size_t nr = pager_timeline(s->pager, &v, &dropped);

        fprintf(to, "# dropped: %" PRIu64 " pages\n# us since T0, guest physical address, pages of 4096 bytes, class\n", dropped);
        for (size_t i = 0; i < nr && v[i].ns <= s->closed_ns; i++)
                write_arrival(to, s, &v[i]);
}

static int write_file(const struct session *s, struct err *e)
{
        _cleanup_free_ char *text = NULL;
        size_t len = 0;
        FILE *to = open_memstream(&text, &len);
        int r;

        if (!to)
                return err_set(e, -ENOMEM, "no memory for the timeline");
        write_head(to, &s->ledger);
        if (s->pager)
                write_arrivals(to, s);
        else
                fprintf(to, "# nothing to log: this restore has no pager\n");
        if (fclose(to) != 0)
                return err_set(e, -ENOMEM, "no memory for the timeline");
        r = fd_replace_file(AT_FDCWD, s->timeline_path, text, len, 0600);
        return r < 0 ? err_set(e, r, "%s: write the timeline: %s", s->timeline_path, strerror(-r)) : 0;
}

void session_keep_timeline(struct session *s)
{
        struct err err = {0};

        if (s->pager && !pager_stop(s->pager)) {
                session_message(s, "timeline not kept: the pager is held up by a file system that does not answer");
                return;
        }
        if (!s->pager)
                session_message(s, "timeline: nothing to log, as this restore (%s) has no pager; --mode lazy has one",
                                s->ledger.arm);
        if (write_file(s, &err) >= 0)
                return;
        session_fail_late(s, &err);
}
