/* The end of a recording: first touches become hints, if the recording is whole. */
#include "core/session_internal.h"

#include "core/base/cleanup.h"
#include "core/compare_hints.h"
#include "core/hints_load.h"

#include <errno.h>
#include <inttypes.h>
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
        return hints_save(s->record_path, s->data_dir, h, e);
}

static uint8_t phase_at(const struct ledger *l, uint64_t ns)
{
        if (!l->t_ns[LEDGER_T3] || ns <= l->t_ns[LEDGER_T3])
                return HINT_PHASE_T3;
        return !l->t_ns[LEDGER_T4] || ns <= l->t_ns[LEDGER_T4] ? HINT_PHASE_T4 : HINT_PHASE_LATER;
}

/* 0 is the time of what KVM touched before the guest was entered. */
static uint32_t us_since_entry(const struct ledger *l, uint64_t ns)
{
        uint64_t t2 = l->t_ns[LEDGER_T2];

        return t2 && ns > t2 ? (uint32_t)MIN(MAX((ns - t2) / NS_PER_US, 1), (uint64_t)UINT32_MAX) : 0;
}

static bool has_page(const void *pager, uint64_t page)
{
        return pager_has(pager, page);
}

/* What the guest touched after the recording's last moment, before it was stopped, is not part of it. */
static size_t count_touches(const struct session *s, const struct pager_touch *t, size_t nr)
{
        uint64_t t4 = s->ledger.t_ns[LEDGER_T4];

        if (t4 && !(s->record_past_t4 && s->opt.mark))
                while (nr > 0 && t[nr - 1].ns > t4)
                        nr--;
        return nr;
}

/* Touches are in the order of their time, so phases are, too. */
static int make_hints(const struct session *s, struct hints *h, uint64_t *ret_unsure, struct err *e)
{
        const struct pager_touch *t;
        uint64_t unsure = 0;
        int r;

        h->nr = pager_recorded(s->pager, &t);
        h->nr = count_touches(s, t, h->nr);
        h->v = calloc(h->nr + 1, sizeof(*h->v));
        if (!h->v)
                return err_set(e, -ENOMEM, "no memory for %zu hints", h->nr);
        for (size_t i = 0; i < h->nr; i++)
                h->v[i] = (struct hint){.page = t[i].page, .seen = 1, .touch_us = us_since_entry(&s->ledger, t[i].ns),
                                        .phase = phase_at(&s->ledger, t[i].ns),
                                        .flags = t[i].kind == PAGER_TOUCH_WRITE ? HINT_WRITTEN : 0};
        r = hints_compare(h, &s->snap.pages, s->layout.ram, has_page, s->pager, e);
        for (size_t i = 0; i < h->nr; i++) {
                if (t[i].kind != PAGER_TOUCH_UNSURE)
                        continue;
                unsure++;
                if (h->v[i].flags & HINT_DIFFERS)
                        h->v[i].flags |= HINT_WRITTEN;
        }
        *ret_unsure = unsure;
        return r;
}

static int keep(struct session *s, struct err *e)
{
        _cleanup_(hints_free) struct hints h = {.snapshot = s->snap.identity, .ram_pages = s->snap.pages.nr_pages,
                                                .recordings = 1};
        uint64_t unsure = 0;
        int r = make_hints(s, &h, &unsure, e);

        r = r < 0 ? r : keep_hints(s, &h, e);
        if (r >= 0 && unsure)
                session_message(s, "of %zu recorded touches %" PRIu64 " came by KVM's own workers, which do not tell reads from "
                                "writes: they count as writes where bytes changed", h.nr, unsure);
        return r;
}

void session_fail_late(struct session *s, const struct err *e)
{
        if (s->result.why == SESSION_UNTIL || s->result.why == SESSION_QUIT || s->result.why == SESSION_GUEST_OFF) {
                s->result.err = *e;
                s->result.why = SESSION_ERROR;
        } else {
                session_message(s, "%s", e->text); /* how the VM ended is the greater news */
        }
}

void session_keep_record(struct session *s)
{
        struct err err = {0};

        if (!pager_stop(s->pager)) {
                session_message(s, "hints not kept: their pager is held up by a file system that does not answer");
                return;
        }
        if (!record_is_whole(s)) {
                session_message(s, "recording not kept: the VM ended before --until or --mark was reached");
                return;
        }
        pager_unregister(s->pager); /* what the guest touched and then gave back is looked at, too */
        if (keep(s, &err) < 0)
                session_fail_late(s, &err);
}
