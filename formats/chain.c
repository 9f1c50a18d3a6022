/* formats/chain.c: level by level from the youngest on, until no page is left to a parent. */
#include "formats/chain.h"

#include "core/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define LOOKED_CHARS 640 /* an err has 1024 */

/* The search for one parent. */
struct search {
        const struct snapshot_open_options *o;
        struct identity                     wanted;
        int                                 child_fd;
        char                                looked[LOOKED_CHARS]; /* "at A (found snapshot B), at C (...)" */
};

static void note_looked(struct search *x, const char *path, const char *why)
{
        size_t n = strlen(x->looked);

        snprintf(x->looked + n, sizeof(x->looked) - n, "%sat %s (%s)", n ? ", " : "", path, why);
}

/* A foreign identity has a hash of the state, then the memory's size and its time (core/model/identity.h). */
static bool same_state(const struct identity *a, const struct identity *b)
{
        const char *dash = strchr(a->s, '-');

        return dash && dash - a->s == 32 && !strncmp(a->s, b->s, 33);
}

/* May the child's own words lead to it? See chain.h. */
static bool may_follow(const struct search *x, const struct snapshot *to)
{
        struct stat child, parent;

        if (fstat(x->child_fd, &child) < 0 || fstat(to->dir_fd, &parent) < 0)
                return false;
        return child.st_uid == geteuid() || child.st_uid == parent.st_uid;
}

/* 1: it is the one; 0: it is not, and that is noted. named: by the user. */
static int try_open(struct search *x, const char *path, bool named, struct snapshot *ret)
{
        struct snapshot_open_options              any = { .data_dir = x->o->data_dir };
        _cleanup_(snapshot_close) struct snapshot s = { 0 };
        struct err                                why = { 0 };

        if (snapshot_open_level(path, &any, &s, &why) < 0) {
                const char *said = strncmp(why.text, path, strlen(path)) ? why.text : why.text + strlen(path);

                note_looked(x, path, why.code == -ENOENT ? "there is none" : said + strspn(said, ": "));
                return 0;
        }
        if (!named && !may_follow(x, &s)) {
                note_looked(x, path, "it has another owner than the snapshot that names it");
                return 0;
        }
        if (!identity_equal(&s.identity, &x->wanted)) {
                char text[160];

                snprintf(text, sizeof(text), "found snapshot %s%s", s.identity.s,
                         same_state(&s.identity, &x->wanted) ? ": its memory was written since" : "");
                note_looked(x, path, text);
                return 0;
        }
        *ret = s;
        s = (struct snapshot){ 0 }; /* given away */
        return 1;
}

/* From the child's own directory, which its descriptor is; NULL: it leads nowhere. */
static char *resolve(int child_fd, const char *relative)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "/proc/self/fd/%d/%s", child_fd, relative) < 0)
                path = NULL;
        return path ? realpath(path, NULL) : NULL;
}

static int find_parent(struct search *x, const struct parent_place *place, struct snapshot *ret)
{
        _cleanup_free_ char *near = place->relative ? resolve(x->child_fd, place->relative) : NULL;
        int                  r = 0;

        for (size_t i = 0; i < x->o->nr_bases && !r; i++)
                r = try_open(x, x->o->bases[i], true, ret);
        if (!r && near)
                r = try_open(x, near, false, ret);
        if (!r && place->absolute && (!near || strcmp(near, place->absolute)))
                r = try_open(x, place->absolute, false, ret);
        if (!r && !near && place->relative)
                note_looked(x, place->relative, "as seen from it; there is none");
        return r;
}

/* --- levels --- */

static int add_level(struct snapshot *s, const struct snapshot *level, uint16_t first_source, struct err *e)
{
        struct snapshot_level *grown = reallocarray(s->levels, s->nr_levels + 1, sizeof(*grown));
        struct page_counts     n = page_map_count(&level->pages);
        char                  *path = realpath(level->path, NULL);

        if (grown)
                s->levels = grown;
        path = path ? path : strdup(level->path);
        if (!grown || !path) {
                free(path);
                return err_set(e, -ENOMEM, "no memory for a chain of snapshots");
        }
        s->levels[s->nr_levels++] = (struct snapshot_level){
                .path = path, .format = level->format->name, .identity = level->identity, .data_pages = n.raw_pages + n.packed_pages,
                .first_source = first_source, .nr_sources = (uint16_t)level->pages.nr_sources,
        };
        return 0;
}

static bool is_in_chain(const struct snapshot *s, const struct identity *id)
{
        for (size_t i = 0; i < s->nr_levels; i++)
                if (identity_equal(&s->levels[i].identity, id))
                        return true;
        return false;
}

/* Messages name a page's file: "memory" alone would be any level's. */
static void name_sources(struct page_map *m, const char *path)
{
        const char *last = strrchr(path, '/');

        last = last && last[1] ? last + 1 : path;
        for (size_t i = 0; i < m->nr_sources; i++) {
                char name[sizeof(m->sources[i].name)];

                snprintf(name, sizeof(name), "%.40s/%.20s", last, m->sources[i].name);
                memcpy(m->sources[i].name, name, sizeof(name));
        }
}

/* The next parent, by the words of `child`, the oldest so far. */
static int open_parent(const struct snapshot *s, const struct snapshot *child, const struct snapshot_open_options *o, struct snapshot *ret,
                       struct err *e)
{
        struct search x = { .o = o, .wanted = child->parent, .child_fd = child->dir_fd };

        if (is_in_chain(s, &child->parent))
                return err_bad(e, "parent", ERR_NO_OFFSET, "expected an older snapshot, found that %s is its own ancestor; the files are not "
                               "of one chain", child->parent.s);
        if (s->nr_levels >= CHAIN_LEVELS_MAX)
                return err_bad(e, "parent", ERR_NO_OFFSET, "expected at most %d snapshots one over the other, found more; make them one with "
                               "`rouse convert`", CHAIN_LEVELS_MAX);
        if (!find_parent(&x, &child->parent_place, ret))
                return err_bad(e, "parent", ERR_NO_OFFSET, "expected snapshot %s, looked for it %s; say where it is with --base DIR", x.wanted.s,
                               x.looked[0] ? x.looked : "nowhere, as no path to it is known");
        return 0;
}

/* Its notes go with it, but for this one. */
static void take_index_error(struct snapshot *s, const struct snapshot *parent)
{
        if (!parent->index.code || s->index.code)
                return;
        s->index = parent->index;
        s->index_beside = parent->index_beside;
        (void)err_wrap(&s->index, s->index.code, "parent %s", parent->path);
        snapshot_note(s, "page index is not used: %s", s->index.text);
}

static int put_under(struct snapshot *s, struct snapshot *parent, struct err *e)
{
        uint16_t shift = (uint16_t)s->pages.nr_sources;
        int      r;

        if (parent->pages.nr_pages != s->pages.nr_pages)
                return err_bad(e, parent->path, ERR_NO_OFFSET, "expected a parent with %" PRIu64 " pages of RAM, found %" PRIu64
                               "; the files are not of one chain", s->pages.nr_pages, parent->pages.nr_pages);
        name_sources(&parent->pages, parent->path);
        take_index_error(s, parent);
        r = add_level(s, parent, shift, e);
        if (r < 0)
                return r;
        r = page_map_put_runs_under(&s->raw_pages, &parent->raw_pages, shift);
        r = r < 0 ? r : page_map_put_under(&s->pages, &parent->pages);
        if (r == -EBADMSG)
                return err_bad(e, "pages", ERR_NO_OFFSET, "expected the page checksums that were there when it was opened, in %s or its child, found the file cut"
                               "; it is being changed, use another copy", parent->path);
        return r < 0 ? err_set(e, r, "parent %s: put its page map under its child's: %s", parent->path, strerror(-r)) : 0;
}

/* What each level is still needed for. */
static void count_used(struct snapshot *s)
{
        for (size_t i = 0; i < s->pages.nr_runs; i++) {
                const struct page_run *run = &s->pages.runs[i];

                for (size_t k = 0; k < s->nr_levels && (run->kind == RUN_RAW || run->kind == RUN_PACKED); k++)
                        if (run->source >= s->levels[k].first_source &&
                            run->source - s->levels[k].first_source < s->levels[k].nr_sources)
                                s->levels[k].used_pages += run->nr_pages;
        }
}

static bool all_have_sums(const struct page_map *m)
{
        for (size_t i = 0; i < m->nr_runs; i++)
                if (m->runs[i].kind == RUN_RAW && !run_sums(m, &m->runs[i]))
                        return false;
        return true;
}

static int put_parents(struct snapshot *s, const struct snapshot_open_options *o, struct err *e)
{
        _cleanup_(snapshot_close) struct snapshot child = { 0 }; /* the oldest so far, when it is not *s */
        int                                       r = add_level(s, s, 0, e);

        while (r >= 0 && page_map_needs_parent(&s->pages)) {
                struct snapshot parent = { 0 };

                r = open_parent(s, child.format ? &child : s, o, &parent, e);
                r = r < 0 ? r : put_under(s, &parent, e);
                snapshot_close(&child);
                child = parent;
        }
        return r;
}

int chain_put_together(struct snapshot *s, const struct snapshot_open_options *o, struct err *e)
{
        int r = 0;

        s->pages.is_level = false;
        if (!page_map_needs_parent(&s->pages))
                return 0;
        s->pages.is_level = true;
        r = put_parents(s, o, e);
        if (r < 0)
                return r;
        s->pages.is_level = s->raw_pages.is_level = false;
        count_used(s);
        s->partly = !all_have_sums(&s->pages);
        s->verifiable = s->pages.sums || s->pages.nr_chunks;
        return page_map_check(&s->pages, e);
}
