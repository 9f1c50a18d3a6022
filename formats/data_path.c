/* formats/data_path.c: an identity becomes a file name only after a check of its characters. */
#include "formats/data_path.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int data_path(const char *data_dir, const char *kind, const struct identity *id, char **ret, struct err *e)
{
        if (!identity_is_valid(id))
                return err_set(e, -EINVAL, "%s of a snapshot: expected an identity of digits and letters a to f, found another",
                               kind);
        if (asprintf(ret, "%s/%s/%s", data_dir, kind, id->s) < 0)
                return err_set(e, -ENOMEM, "no memory for a path below %s", data_dir);
        return 0;
}

int data_path_make(const char *data_dir, const char *kind, const struct identity *id, char **ret, struct err *e)
{
        _cleanup_free_ char *path = NULL;
        char                *slash;
        int                  r = data_path(data_dir, kind, id, &path, e);

        if (r < 0)
                return r;
        slash = strrchr(path, '/');
        *slash = '\0';
        r = fd_make_dirs(path, 0700);
        if (r < 0)
                return err_set(e, r, "make directory %s: %s", path, strerror(-r));
        *slash = '/';
        *ret = TAKE_PTR(path);
        return 0;
}
