/* tests/support/host_tree.c: mkdir -p and a write for each. */
#include "tests/support/host_tree.h"

#include "core/base/fdio.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

void host_tree_write(const struct tmpdir *t, const struct tree_file *files, size_t nr)
{
        char path[PATH_MAX + 512];

        for (size_t i = 0; i < nr; i++) {
                snprintf(path, sizeof(path), "%s%s", t->path, files[i].path);
                *strrchr(path, '/') = 0;
                cr_assert_eq(fd_make_dirs(path, 0755), 0, "%s", path);
                tmpdir_write(t, files[i].path + 1, files[i].text, strlen(files[i].text));
        }
}
