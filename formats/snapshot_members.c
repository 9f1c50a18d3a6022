/* formats/snapshot_members.c: tells the files of a snapshot from those that somebody else put beside them. */
#include "formats/snapshot_members.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "formats/hints_file.h"
#include "formats/native_layout.h"
#include "formats/page_index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Those of a StratoVirt snapshot are called state and memory too. */
static const char *const members[] = { NATIVE_STATE, NATIVE_MEMORY, NATIVE_PAGES, HINTS_NAME, PAGE_INDEX_NAME };

static bool is_dot(const char *name)
{
        return !strcmp(name, ".") || !strcmp(name, "..");
}

/* By name, and no directory: that could hold anything. */
static bool is_member(int dir_fd, const char *name)
{
        struct stat st;

        for (size_t i = 0; i < ARRAY_LEN(members); i++)
                if (!strcmp(members[i], name))
                        return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode);
        return false;
}

/* Anybody's choice of bytes: only what a terminal shows as one word. */
static int stranger(const char *path, char *name, struct err *e)
{
        for (char *c = name; *c; c++)
                if (*c <= ' ' || *c > '~')
                        *c = '?';
        return err_set(e, -EEXIST,
                       "%s: expected a snapshot to replace, with state, memory, pages and hints and nothing else, found "
                       "\"%s\" in it; move that away or choose another name", path, name);
}

int snapshot_members_only(int dir_fd, const char *path, struct err *e)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent      *entry;
        int                 r = fd_list(dir_fd, ".", &dir);

        if (r < 0)
                return err_set(e, r, "read directory %s: %s", path, strerror(-r));
        for (errno = 0; (entry = readdir(dir)); errno = 0)
                if (!is_dot(entry->d_name) && !is_member(dir_fd, entry->d_name))
                        return stranger(path, entry->d_name, e);
        return errno ? err_set(e, -errno, "read directory %s: %s", path, strerror(errno)) : 0;
}

void snapshot_members_unlink(int dir_fd)
{
        for (size_t i = 0; i < ARRAY_LEN(members); i++)
                unlinkat(dir_fd, members[i], 0);
}
