/* A directory is asked for its hints, a file is read as it is. */
#include "core/hints_load.h"

#include "core/base/cleanup.h"
#include "core/find_hints.h"
#include "formats/hints_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static int load_of_snapshot(const char *path, const char *data_dir, struct hints *ret, struct err *e)
{
        _cleanup_(snapshot_close) struct snapshot s = {.dir_fd = -1};
        struct snapshot_open_options so = {.data_dir = data_dir};
        int r = snapshot_open(path, &so, &s, e);

        if (r < 0)
                return r;
        r = hints_find(&s, data_dir, ret, e);
        return r == -ENOENT ? err_set(e, r,
                                      "%s: there are no hints for this snapshot; record some: rouse restore %s --record auto",
                                      path, path) : r;
}

int hints_load(const char *path, const char *data_dir, struct hints *ret, struct err *e)
{
        struct stat st;

        if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
                return load_of_snapshot(path, data_dir, ret, e);
        return hints_file_read_any(path, ret, e);
}

void hints_named_free(struct hints_named *v, size_t nr)
{
        for (size_t i = 0; v && i < nr; i++)
                hints_free(&v[i].hints);
        free(v);
}

int hints_load_all(const char *const *paths, size_t nr, const char *data_dir, struct hints_named **ret, struct err *e)
{
        struct hints_named *v = calloc(nr + 1, sizeof(*v));
        int r = v ? 0 : err_set(e, -ENOMEM, "no memory for %zu hints files", nr);

        for (size_t i = 0; r >= 0 && i < nr; i++) {
                v[i].file = paths[i];
                r = hints_load(paths[i], data_dir, &v[i].hints, e);
        }
        if (r < 0) {
                hints_named_free(v, nr);
                return r;
        }
        *ret = v;
        return 0;
}

int hints_save(const char *path, const char *data_dir, const struct hints *h, struct err *e)
{
        return strcmp(path, "auto") == 0 ? hints_file_write_data_dir(data_dir, h, e) : hints_file_write_path(path, h, e);
}
