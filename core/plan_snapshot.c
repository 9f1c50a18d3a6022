/* Gathers what plan_make decides by. */
#include "core/plan_snapshot.h"

#include "core/base/cleanup.h"
#include "core/find_hints.h"
#include "core/huge_pool.h"
#include "formats/hints_file.h"

#include <errno.h>

static int find_hints(struct snapshot *s, const struct restore_options *o, struct hints *ret, struct err *e)
{
        struct err mine = {0};
        int r;

        if (o->hints == HINTS_FILE)
                return hints_file_read_path(o->hints_path, &s->identity, s->pages.nr_pages, ret, e);
        if (o->hints == HINTS_NONE)
                return 0;
        r = hints_find(s, o->data_dir, ret, &mine);
        if (r < 0 && r != -ENOENT)
                snapshot_note(s, "hints are not used: %s", mine.text);
        return 0;
}

/* What a run touched by chance is not brought to every run. */
static int read_hints(struct snapshot *s, const struct restore_options *o, struct hints *ret, struct err *e)
{
        int r = find_hints(s, o, ret, e);

        if (r >= 0)
                hints_keep_seen(ret, hints_min_seen(ret));
        if (r >= 0 && o->hints_budget_bytes)
                hints_keep_first(ret, bytes_to_pages(o->hints_budget_bytes));
        return r;
}

static bool uses_hints(const struct restore_options *o)
{
        return !o->record_path && (o->mode == RESTORE_AUTO || o->mode == RESTORE_LAZY || o->mode == RESTORE_SHARED);
}

int plan_snapshot(struct snapshot *s, const struct restore_options *o, const struct host_caps *caps, struct plan *ret, struct plan_limits *ret_limits,
                  struct err *e)
{
        _cleanup_(plan_facts_free) struct plan_facts facts = {0};
        _cleanup_(hints_free) struct hints hints = {0};
        struct plan_request q = {.map = &s->pages, .hints = &hints, .mode = o->mode, .verify = o->verify && s->verifiable, .record = o->record_path != NULL,
                                 .no_prefill = o->no_prefill, .timed = o->hints_budget_ns > 0, .fill = o->fill, .leaves_files = o->leaves_files, .collapse = o->collapse,
                                 .backing = o->common.memory_backing, .facts = &facts, .caps = caps};
        int r = uses_hints(o) ? read_hints(s, o, &hints, e) : 0;

        if (r >= 0 && o->mode == RESTORE_AUTO) {
                r = plan_facts_probe(&s->pages, &hints, &facts);
                if (r < 0)
                        err_set(e, r, "no memory for the plan of %zu files", s->pages.nr_sources);
        }
        if (r >= 0)
                r = plan_make(&q, ret, e);
        if (r >= 0)
                plan_limits_probe(caps, ret_limits);
        if (r >= 0 && q.backing == RAM_HUGETLB)
                ret_limits->huge_2m_free = huge_pool_to_be_had();
        return r;
}
