/* formats/page_index.c: a page map with zero pages known, on disk; used only for the very snapshot it was made from. */
#include "formats/page_index.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "formats/data_path.h"
#include "formats/table_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* name below dir_fd, or any path with AT_FDCWD; `shown` is what messages call it. */
static int write_file(int dir_fd, const char *name, const char *shown, const struct identity *id, const struct page_map *map,
                      mode_t mode, struct err *e)
{
        _cleanup_free_ struct table_run *runs = NULL;
        _cleanup_free_ void             *buf = NULL;
        struct table_file                t = { .identity = *id, .ram_pages = map->nr_pages, .nr_entries = map->nr_runs };
        size_t                           len;
        int                              r = table_runs_pack(map, &runs);

        if (r < 0)
                return err_set(e, r, "%s: no memory for %zu runs", shown, map->nr_runs);
        t.entries = runs;
        r = table_file_pack(&table_index, &t, &buf, &len, e);
        if (r < 0)
                return r;
        r = fd_replace_file(dir_fd, name, buf, len, mode);
        return r < 0 ? err_set(e, r, "write page index %s: %s", shown, strerror(-r)) : 0;
}

/* Each raw run must name the same bytes as the map that was read from the snapshot itself: an index only knows zero pages
 * better. */
static bool run_fits(const struct page_run *run, const struct page_map *map)
{
        const struct page_run *in = page_map_find(map, run->first_page);

        return run->kind == RUN_ZERO ||
               (in && in->kind == RUN_RAW && in->source == run->source && range_fits(run->first_page - in->first_page, run->nr_pages, in->nr_pages) &&
                run->file_offset_bytes == in->file_offset_bytes + pages_to_bytes(run->first_page - in->first_page));
}

static int check_fits(const struct page_map *index, const char *shown, const struct page_map *map, struct err *e)
{
        for (size_t i = 0; i < index->nr_runs; i++)
                if (!run_fits(&index->runs[i], map))
                        return err_bad(e, shown, sizeof(struct table_header) + i * sizeof(struct table_run), "run %zu: expected RAM page %" PRIu64
                                       " where the snapshot has it, found it elsewhere; `rouse inspect --index` makes a new one", i,
                                       index->runs[i].first_page);
        return 0;
}

static void adopt_runs(struct page_map *map, struct page_map *index)
{
        free(map->runs);
        map->runs = TAKE_PTR(index->runs);
        map->nr_runs = index->nr_runs;
        map->cap_runs = index->cap_runs;
        map->zeros_known = true;
        index->nr_runs = index->cap_runs = 0;
}

static int check_owner(const struct table_file *t, const char *shown, const struct identity *id, const struct page_map *map,
                       struct err *e)
{
        if (!identity_equal(&t->identity, id))
                return err_set(e, -ESTALE, "%s: it was made for another state of this snapshot; `rouse inspect --index` makes a new one", shown);
        if (t->ram_pages != map->nr_pages)
                return err_bad(e, shown, offsetof(struct table_header, ram_pages), "expected %" PRIu64 " pages of RAM, found %" PRIu64 "; `rouse inspect --index` "
                               "makes a new one", map->nr_pages, t->ram_pages);
        return 0;
}

static int use(const struct table_file *t, const char *shown, struct page_map *map, struct err *e)
{
        _cleanup_(page_map_free) struct page_map index;
        uint64_t                                 covered;
        int                                      r;

        page_map_init(&index, map->nr_pages);
        r = table_runs_unpack(t, shown, &index, e);
        if (r < 0)
                return r;
        covered = index.nr_runs ? index.runs[index.nr_runs - 1].first_page + index.runs[index.nr_runs - 1].nr_pages : 0;
        if (covered != map->nr_pages)
                return err_bad(e, shown, ERR_NO_OFFSET, "expected runs for %" PRIu64 " pages, found them for %" PRIu64 "; `rouse "
                               "inspect --index` makes a new one",
                               map->nr_pages, covered);
        r = check_fits(&index, shown, map, e);
        if (r < 0)
                return r;
        adopt_runs(map, &index);
        return 1;
}

static int read_part(struct part *p, const char *shown, const struct identity *id, struct page_map *map, struct err *e)
{
        _cleanup_(table_file_free) struct table_file t = { 0 };
        int                                          r = table_file_read_header(p, shown, &table_index, &t, e);

        r = r < 0 ? r : check_owner(&t, shown, id, map, e);
        r = r < 0 ? r : table_file_read(p, shown, &t, e);
        return r < 0 ? r : use(&t, shown, map, e);
}

/* Whoever may read the memory may know where its zeros are, and nobody else. */
static int mode_of_memory(const struct page_map *map, mode_t *ret, struct err *e)
{
        struct stat st;

        if (!map->nr_sources)
                return err_set(e, -EINVAL, "page index: expected a map of a memory file, found one without");
        if (fstat(map->sources[0].fd, &st) < 0)
                return err_set(e, -errno, "stat %s: %s", map->sources[0].name, strerror(errno));
        *ret = st.st_mode & 0666;
        return 0;
}

int page_index_write(int dir_fd, const char *name, const struct identity *id, const struct page_map *map, struct err *e)
{
        mode_t mode = 0;
        int    r = mode_of_memory(map, &mode, e);

        return r < 0 ? r : write_file(dir_fd, name, name, id, map, mode, e);
}

int page_index_read(int dir_fd, const char *name, const struct identity *id, struct page_map *map, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        int                               r = part_open(dir_fd, name, &p, e);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return read_part(&p, name, id, map, e);
}

int page_index_write_data_dir(const char *data_dir, const struct identity *id, const struct page_map *map, struct err *e)
{
        _cleanup_free_ char *path = NULL;
        int                  r = data_path_make(data_dir, "index", id, &path, e);

        return r < 0 ? r : write_file(AT_FDCWD, path, path, id, map, 0600, e);
}

int page_index_read_data_dir(const char *data_dir, const struct identity *id, struct page_map *map, struct err *e)
{
        _cleanup_(part_close) struct part p = { .fd = -1 };
        _cleanup_free_ char              *path = NULL;
        int                               r = data_path(data_dir, "index", id, &path, e);

        if (r < 0)
                return r;
        r = part_open_path(path, &p, e);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return read_part(&p, path, id, map, e);
}
