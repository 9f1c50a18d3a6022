/* Looks at a snapshot through its format, and shows only nouns of core/model. */
#include "core/inspect.h"

#include "core/base/cleanup.h"
#include "core/find_hints.h"
#include "formats/format.h"
#include "formats/page_index.h"
#include "formats/verify.h"

#include <errno.h>
#include <string.h>

static void show(struct inspection *i, const struct snapshot *s)
{
        i->path = s->path;
        i->format = s->format->name;
        i->version = s->version;
        i->identity = s->identity;
        i->parent = s->parent;
        i->vm = &s->vm;
        i->layout = &s->layout;
        i->pages = &s->pages;
        i->verifiable = s->verifiable;
        i->partly = s->partly;
        i->index = s->index.code ? &s->index : NULL;
        i->nr_notes = MIN(s->nr_notes, ARRAY_LEN(i->notes));
        for (size_t k = 0; k < i->nr_notes; k++)
                i->notes[k] = s->notes[k];
}

static int show_levels(struct inspection *i, const struct snapshot *s, struct err *e)
{
        i->levels = calloc(s->nr_levels + 1, sizeof(*i->levels));
        if (!i->levels)
                return err_set(e, -ENOMEM, "no memory for a chain of snapshots");
        for (size_t k = 0; k < s->nr_levels; k++) {
                const struct snapshot_level *l = &s->levels[k];

                i->levels[k] = (struct inspect_level){l->path, l->format, l->identity, l->data_pages, l->used_pages};
        }
        i->nr_levels = s->nr_levels;
        return 0;
}

static void look_for_hints(struct inspection *i, struct snapshot *s, const char *data_dir)
{
        struct hints h = {0};
        struct err err = {0};
        int r = hints_find(s, data_dir, &h, &err);

        if (r < 0 && r != -ENOENT)
                snapshot_note(s, "hints are not used: %s", err.text);
        if (r >= 0 && hints_summary_make(&h, &i->hints) == 0) {
                i->has_hints = true;
                i->nr_recordings = h.recordings;
        }
        hints_free(&h);
}

int inspect_open(const char *path, const struct inspect_options *o, struct inspection *ret, struct err *e)
{
        struct snapshot_open_options so = {.format = o->format, .data_dir = o->data_dir, .bases = o->bases, .nr_bases = o->nr_bases};
        struct inspection i = {0};
        int r;

        i.snapshot = calloc(1, sizeof(*i.snapshot));
        if (!i.snapshot)
                return err_set(e, -ENOMEM, "no memory for a snapshot");
        r = snapshot_open(path, &so, i.snapshot, e);
        r = r < 0 ? r : show_levels(&i, i.snapshot, e);
        if (r < 0) {
                inspect_close(&i);
                return r;
        }
        look_for_hints(&i, i.snapshot, o->data_dir);
        show(&i, i.snapshot);
        *ret = i;
        return 0;
}

void inspect_close(struct inspection *i)
{
        if (i->snapshot)
                snapshot_close(i->snapshot);
        free(i->snapshot);
        free(i->levels);
        hints_summary_free(&i->hints);
        *i = (struct inspection){0};
}

int inspect_verify(const struct inspection *i, inspect_progress progress, void *arg, struct inspect_verified *ret, struct err *e)
{
        struct verify_report v = {0};
        int r = snapshot_verify(i->snapshot, progress, arg, &v, e);

        *ret = (struct inspect_verified){v.data_pages, v.zero_pages, v.checked_pages, v.bad_pages};
        return r < 0 ? err_wrap(e, r, "%s", i->path) : 0;
}

/* As if there were no index: one that is wrong must not be taken over into the new one. Borrows all of it. */
static struct page_map as_stored(const struct snapshot *s)
{
        struct page_map m = s->pages;

        m.runs = s->raw_pages.runs;
        m.nr_runs = s->raw_pages.nr_runs;
        m.zeros_known = false;
        return m;
}

/* data_dir NULL: beside the snapshot. */
static int build_index(struct inspection *i, const char *data_dir, struct err *e)
{
        struct snapshot *s = i->snapshot;
        struct page_map found = {0}, stored = as_stored(s);
        int r;

        if (s->format == &format_native)
                return err_set(e, -EALREADY, "%s: a native snapshot has its page map already", i->path);
        r = page_index_build(&stored, NULL, &found, e);
        if (r >= 0)
                r = data_dir ? page_index_write_data_dir(data_dir, &s->identity, &found, e) : page_index_write(s->dir_fd, PAGE_INDEX_NAME, &s->identity, &found, e);
        if (r < 0) {
                page_map_free(&found);
                return err_wrap(e, r, "%s", i->path);
        }
        page_map_free(&s->pages);
        s->pages = found;
        return 0;
}

int inspect_index(struct inspection *i, struct err *e)
{
        return build_index(i, NULL, e);
}

int inspect_keep_index(struct inspection *i, const char *data_dir, struct err *e)
{
        return build_index(i, data_dir, e);
}
