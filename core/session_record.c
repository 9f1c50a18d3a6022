/* The end of a recording: first touches become hints, if the recording is whole. */
#include "core/session_internal.h"

#include "formats/hints_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A recording that broke off would be replayed as if it were the working set. Whole: its mark or its end was reached, or none was
 * set and the VM ended in order. */
static bool record_is_whole(const struct session *s)
{
        switch (s->result.why) {
        case SESSION_UNTIL:
                return true;
        case SESSION_GUEST_OFF:
        case SESSION_QUIT:
        case SESSION_TIMEOUT:
        case SESSION_SIGNAL:
                return s->ledger.t_ns[LEDGER_T4] || (!s->opt.until && !s->opt.mark);
        case SESSION_NONE:
        case SESSION_LOST:
        case SESSION_ERROR:
                break;
        }
        return false;
}

static int keep_hints(const struct session *s, const struct hints *h, struct err *e)
{
        return strcmp(s->record_path, "auto") == 0 ? hints_file_write_data_dir(s->data_dir, h, e) : hints_file_write_path(s->record_path, h, e);
}

void session_keep_record(struct session *s)
{
        struct hints h = {.snapshot = s->snap.identity, .ram_pages = s->snap.pages.nr_pages, .recordings = 1};
        const uint64_t *pages;
        struct err err = {0};

        if (!pager_stop(s->pager)) {
                session_message(s, "hints not kept: their pager is held up by a file system that does not answer");
                return;
        }
        if (!record_is_whole(s)) {
                session_message(s, "recording not kept: the VM ended before --until or --mark was reached");
                return;
        }
        h.nr = pager_recorded(s->pager, &pages);
        h.v = calloc(h.nr ? h.nr : 1, sizeof(*h.v));
        for (size_t i = 0; h.v && i < h.nr; i++)
                h.v[i] = (struct hint){.page = (uint32_t)pages[i], .seen = 1};
        if ((h.v ? keep_hints(s, &h, &err) : err_set(&err, -ENOMEM, "no memory for %zu hints", h.nr)) < 0) {
                if (s->result.why == SESSION_UNTIL || s->result.why == SESSION_QUIT || s->result.why == SESSION_GUEST_OFF) {
                        s->result.err = err;
                        s->result.why = SESSION_ERROR;
                } else {
                        session_message(s, "%s", err.text); /* how the VM ended is the greater news */
                }
        }
        hints_free(&h);
}
