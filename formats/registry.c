/* formats/registry.c: the formats in probe order, and how a directory finds its own. */
#include "core/base/cleanup.h"
#include "formats/chain.h"
#include "formats/format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const struct format_ops *const formats[] = {
        &format_native,
        &format_stratovirt,
        NULL,
};

/* "native, stratovirt" */
static const char *names_of_formats(char *buf, size_t size)
{
        size_t n = 0;

        buf[0] = '\0';
        for (size_t i = 0; formats[i] && n < size; i++)
                n += (size_t)snprintf(buf + n, size - n, "%s%s", i ? ", " : "", formats[i]->name);
        return buf;
}

static int find_by_name(const char *name, const struct format_ops **ret, struct err *e)
{
        char known[128];

        for (size_t i = 0; formats[i]; i++) {
                if (!strcmp(formats[i]->name, name)) {
                        *ret = formats[i];
                        return 0;
                }
        }
        return err_usage(e, "expected a format of %s, found \"%s\"", names_of_formats(known, sizeof(known)), name);
}

static int insist(const char *path, int dir_fd, const char *name, const struct format_ops **ret, struct err *e)
{
        const struct format_ops *f = NULL;
        int                      r = find_by_name(name, &f, e);

        if (r < 0)
                return r;
        r = f->probe(dir_fd, e);
        if (r < 0)
                return err_wrap(e, r, "%s", path); /* it knows its files alone */
        if (!r)
                return err_bad(e, path, ERR_NO_OFFSET, "expected a snapshot of format %s, found none; leave --format out to see "
                               "what it is",
                               name);
        *ret = f;
        return 0;
}

static int look(const char *path, int dir_fd, const struct format_ops **ret, struct err *e)
{
        const struct format_ops *found = NULL;
        char                     known[128];
        int                      r;

        for (size_t i = 0; formats[i]; i++) {
                r = formats[i]->probe(dir_fd, e);
                if (r < 0)
                        return err_wrap(e, r, "%s", path);
                if (r && found)
                        return err_bad(e, path, ERR_NO_OFFSET, "expected one snapshot, found two: %s and %s; say which with "
                                       "--format",
                                       found->name, formats[i]->name);
                if (r)
                        found = formats[i];
        }
        if (!found)
                return err_bad(e, path, ERR_NO_OFFSET, "expected a snapshot of a known format (%s: a file \"state\" that begins "
                               "as theirs do)"
                               ", found none; give the directory that holds \"state\" and \"memory\"",
                               names_of_formats(known, sizeof(known)));
        *ret = found;
        return 0;
}

static int open_dir(const char *path, struct snapshot *s, struct err *e)
{
        s->dir_fd = -1;
        s->path = strdup(path);
        if (!s->path)
                return err_set(e, -ENOMEM, "no memory for the path of a snapshot");
        s->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->dir_fd >= 0)
                return 0;
        if (errno == ENOTDIR)
                return err_bad(e, path, ERR_NO_OFFSET, "expected a directory, found a file; give the directory of the snapshot");
        return err_set(e, -errno, "%s: open the snapshot: %s", path, strerror(errno));
}

int snapshot_open_level(const char *path, const struct snapshot_open_options *o, struct snapshot *ret, struct err *e)
{
        _cleanup_(snapshot_close) struct snapshot s = { 0 };
        int                                       r;

        r = open_dir(path, &s, e);
        if (r < 0)
                return r;
        r = o->format ? insist(path, s.dir_fd, o->format, &s.format, e) : look(path, s.dir_fd, &s.format, e);
        if (r < 0)
                return r;
        r = s.format->read(&s, o, e);
        if (r < 0)
                return err_wrap(e, r, "%s", path); /* "state: offset N: ...": of which snapshot */
        *ret = s;
        s = (struct snapshot){ 0 }; /* given away */
        return 0;
}

int snapshot_open(const char *path, const struct snapshot_open_options *o, struct snapshot *ret, struct err *e)
{
        _cleanup_(snapshot_close) struct snapshot s = { 0 };
        int                                       r = snapshot_open_level(path, o, &s, e);

        if (r < 0)
                return r;
        r = chain_put_together(&s, o, e);
        if (r < 0)
                return err_wrap(e, r, "%s", path);
        *ret = s;
        s = (struct snapshot){ 0 }; /* given away */
        return 0;
}

void snapshot_close(struct snapshot *s)
{
        if (!s)
                return;
        page_map_free(&s->pages);
        page_map_free(&s->raw_pages);
        vm_state_free(&s->vm);
        if (s->path && s->dir_fd >= 0) /* a zeroed one has no path, and descriptor 0 is not its own */
                close(s->dir_fd);
        free(s->path);
        parent_place_free(&s->parent_place);
        for (size_t i = 0; i < s->nr_levels; i++)
                free(s->levels[i].path);
        free(s->levels);
        *s = (struct snapshot){ 0 };
}

void snapshot_note(struct snapshot *s, const char *fmt, ...)
{
        size_t  i = s->nr_notes < SNAPSHOT_NOTES_MAX ? s->nr_notes++ : SNAPSHOT_NOTES_MAX;
        va_list ap;

        if (i == SNAPSHOT_NOTES_MAX) {
                snprintf(s->notes[SNAPSHOT_NOTES_MAX - 1], sizeof(s->notes[0]), "there are more notes than the %d that fit",
                         SNAPSHOT_NOTES_MAX);
                return;
        }
        va_start(ap, fmt);
        vsnprintf(s->notes[i], sizeof(s->notes[i]), fmt, ap);
        va_end(ap);
}
