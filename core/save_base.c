/* Page by page: the base's, zero, or data; neighbours with one fate go to the writer together. */
#include "core/save_base.h"

#include "core/base/cleanup.h"
#include "core/session_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK_PAGES PRESENCE_PAGES_MAX

/* What is written of a page. */
enum fate { FATE_BASE, FATE_ZERO, FATE_DATA };

/* --- opening --- */

/* A child that takes the place of one that it needs would be its own parent. */
static int check_not_over_chain(const struct save_base *b, const char *child, struct err *e)
{
        struct stat st, level;

        if (stat(child, &st) < 0)
                return 0; /* not there yet */
        for (size_t i = 0; i < b->snap.nr_levels; i++)
                if (stat(b->snap.levels[i].path, &level) == 0 && level.st_dev == st.st_dev && level.st_ino == st.st_ino)
                        return err_usage(e, "%s: it is a part of what it is to be saved over; choose another name", child);
        if (fstat(b->snap.dir_fd, &level) == 0 && level.st_dev == st.st_dev && level.st_ino == st.st_ino)
                return err_usage(e, "%s: a snapshot cannot be saved over itself; choose another name", child);
        return 0;
}

/* The base's own parents are where this VM's snapshot found them, if it is the same chain. */
static int open_base(struct save_base *b, const struct session *s, const char *dir, struct err *e)
{
        _cleanup_free_ const char **paths = calloc(s->snap.nr_levels + 1, sizeof(*paths));
        struct snapshot_open_options o = {.data_dir = s->data_dir, .bases = paths, .nr_bases = s->snap.nr_levels};

        if (!paths)
                return err_set(e, -ENOMEM, "no memory to open a base");
        for (size_t i = 0; i < s->snap.nr_levels; i++)
                paths[i] = s->snap.levels[i].path;
        return snapshot_open(dir, &o, &b->snap, e);
}

int save_base_open(struct save_base *b, const struct session *s, const char *dir, const char *child, struct err *e)
{
        int r = open_base(b, s, dir, e);

        if (r >= 0 && b->snap.pages.nr_pages != bytes_to_pages(s->layout.total_bytes))
                r = err_usage(e, "base %s: expected a snapshot with %" PRIu64 " pages of RAM, as this VM has, found %" PRIu64,
                              dir, bytes_to_pages(s->layout.total_bytes), b->snap.pages.nr_pages);
        r = r < 0 ? r : check_not_over_chain(b, child, e);
        r = r < 0 ? r : parent_place_make(dir, child, &b->place, e);
        if (r < 0)
                return r;
        b->known = lineage_find(&s->lineage, &b->snap.identity, &b->epoch);
        b->ours = malloc(pages_to_bytes(BLOCK_PAGES));
        b->theirs = malloc(pages_to_bytes(BLOCK_PAGES));
        return b->ours && b->theirs ? 0 : err_set(e, -ENOMEM, "no memory to compare pages with a base");
}

void save_base_close(struct save_base *b)
{
        snapshot_close(&b->snap);
        parent_place_free(&b->place);
        free(b->ours);
        free(b->theirs);
        *b = (struct save_base){0};
}

/* --- writing --- */

struct base_walk {
        struct save_base     *b;
        const struct session *s;
        const struct snapshot_writer_ops *ops;
        struct snapshot_writer *writer;
        struct ram_origin  origin;
        struct page_reader reader;
        uint8_t origins[BLOCK_PAGES], fates[BLOCK_PAGES];
};

/* Neighbours that have the same value from v[i] on. */
static uint64_t alike(const uint8_t *v, uint64_t i, uint64_t nr)
{
        uint64_t end = i + 1;

        while (end < nr && v[end] == v[i])
                end++;
        return end - i;
}

static int read_ours(struct base_walk *w, uint64_t first, uint64_t i, uint64_t nr, struct err *e)
{
        int r = ram_presence_read(&w->origin.presence, first + i, nr, w->b->ours + pages_to_bytes(i));

        return r < 0 ? err_set(e, r, "guest RAM: pages %" PRIu64 " to %" PRIu64 " cannot be read: %s", first + i,
                               first + i + nr - 1, strerror(-r)) : 0;
}

/* Pages [i, i + nr) of the block are held. What of them is not as the base has it is data. */
static int compare(struct base_walk *w, uint64_t first, uint64_t i, uint64_t nr, struct err *e)
{
        const uint8_t *ours = w->b->ours + pages_to_bytes(i), *theirs = w->b->theirs;
        int r = read_ours(w, first, i, nr, e);

        if (r < 0)
                return r;
        r = page_reader_read(&w->reader, first + i, nr, w->b->theirs, e);
        if (r < 0)
                return err_wrap(e, r, "base %s", w->b->snap.path);
        w->b->n.compared_pages += nr;
        for (uint64_t k = 0; k < nr; k++) {
                bool same = memcmp(ours + pages_to_bytes(k), theirs + pages_to_bytes(k), PAGE_BYTES) == 0;

                w->fates[i + k] = same ? FATE_BASE : FATE_DATA;
                w->b->n.same_pages += same;
        }
        return 0;
}

/* Held pages by what was tracked: those that were written are data, whatever they are now. */
static int take_written(struct base_walk *w, uint64_t first, uint64_t i, uint64_t nr, struct err *e)
{
        int r = 0;

        for (uint64_t k = i; k < i + nr; k++) {
                bool written = lineage_is_written(&w->s->lineage, first + k, w->b->epoch);

                w->fates[k] = written ? FATE_DATA : FATE_BASE;
                w->b->n.clean_pages += !written;
        }
        for (uint64_t k = i, same; k < i + nr && r >= 0; k += same) {
                same = alike(w->fates, k, i + nr);
                if (w->fates[k] == FATE_DATA)
                        r = read_ours(w, first, k, same, e);
        }
        return r;
}

static void leave_zeros(struct base_walk *w, uint64_t first, uint64_t i, uint64_t nr)
{
        for (uint64_t k = i; k < i + nr; k++)
                w->fates[k] = page_map_find(&w->b->snap.pages, first + k)->kind == RUN_ZERO ? FATE_BASE : FATE_ZERO;
}

static int decide(struct base_walk *w, uint64_t first, uint64_t nr, struct err *e)
{
        int r = 0;

        for (uint64_t i = 0, same; i < nr && r >= 0; i += same) {
                uint8_t origin = w->origins[i];

                same = alike(w->origins, i, nr);
                if (origin == ORIGIN_RESTORED && w->b->known) {
                        memset(w->fates + i, FATE_BASE, same);
                        w->b->n.unfetched_pages += same;
                } else if (origin == ORIGIN_ZERO) {
                        leave_zeros(w, first, i, same);
                } else if (w->b->known && lineage_tracks(&w->s->lineage)) {
                        r = take_written(w, first, i, same, e);
                } else {
                        r = compare(w, first, i, same, e);
                }
        }
        return r;
}

static int write_block(struct base_walk *w, uint64_t nr, struct err *e)
{
        int r = 0;

        for (uint64_t i = 0, same; i < nr && r >= 0; i += same) {
                same = alike(w->fates, i, nr);
                if (w->fates[i] == FATE_BASE)
                        r = w->ops->parent_pages(w->writer, same, e);
                else
                        r = w->ops->pages(w->writer, w->fates[i] == FATE_DATA ? w->b->ours + pages_to_bytes(i) : NULL, same, e);
        }
        return r;
}

static int walk(struct base_walk *w, int (*asked)(void *arg, struct err *e), void *arg, struct err *e)
{
        uint64_t nr_pages = w->b->snap.pages.nr_pages;
        int r = 0;

        for (uint64_t first = 0; first < nr_pages && r >= 0; first += BLOCK_PAGES) {
                uint64_t nr = MIN(BLOCK_PAGES, nr_pages - first);

                r = asked(arg, e);
                if (r < 0)
                        return r;
                ram_origin_look(&w->origin, first, nr, w->origins);
                r = decide(w, first, nr, e);
                r = r < 0 ? r : write_block(w, nr, e);
        }
        return r;
}

int save_base_write(struct save_base *b, const struct session *s, const struct snapshot_writer_ops *ops,
                    struct snapshot_writer *writer, int (*asked)(void *arg, struct err *e), void *arg, struct err *e)
{
        struct base_walk w = {.b = b, .s = s, .ops = ops, .writer = writer};
        int r = page_reader_init(&w.reader, &b->snap.pages, false); /* a page that is the same is right, whatever its checksum */

        if (r < 0)
                return err_set(e, r, "no memory to read base %s", b->snap.path);
        r = s->pager ? pager_catch_up(s->pager) : 0;
        if (r < 0) {
                page_reader_fini(&w.reader);
                return err_set(e, r, "the pager is held up by a file that does not answer, so it cannot be told what was never "
                               "fetched; try again, or save without a base");
        }
        ram_origin_open(&w.origin, &s->ram, &s->discard, s->pager);
        r = walk(&w, asked, arg, e);
        ram_origin_close(&w.origin);
        page_reader_fini(&w.reader);
        return r;
}
