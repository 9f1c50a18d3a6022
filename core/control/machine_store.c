/* Directories and small files, each changed by one rename. */
#include "core/control/machine_store.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "core/control/socket_path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define MACHINES   "machines" /* STATE_DIR may hold other things: /var/lib/rouse is root's data directory, too */
#define DEFINITION "definition.json"
#define STATE      "state"
#define DROPPED    ".dropped"
#define BEGUN      "begun." /* and the identity of the state */
#define LOCK       "lock"
#define TEMPORARY  ".rouse-tmp" /* how the names end under which snapshots and small files are written */

#define DEFINITION_MAX_BYTES (64 * KIB)

struct machine_store {
        char *path, *name;
        int   dir_fd, lock_fd;
        bool  made; /* the directory, by this one */
};

/* --- the directory --- */

/* STATE_DIR/machines/NAME; *ret_made: it was not there. */
static int make_dirs(const char *state_dir, const char *path, bool *ret_made, struct err *e)
{
        _cleanup_free_ char *machines = NULL;
        int r;

        if (asprintf(&machines, "%s/" MACHINES, state_dir) < 0)
                return err_set(e, -ENOMEM, "no memory for a path");
        r = fd_make_dirs(machines, 0700);
        if (r >= 0 && mkdir(path, 0700) == 0)
                *ret_made = true;
        else if (r >= 0 && errno != EEXIST)
                r = -errno;
        return r < 0 ? err_set(e, r, "make %s: %s", path, strerror(-r)) : 0;
}

int machine_store_open(const char *state_dir, const char *name, bool create, struct machine_store **ret, struct err *e)
{
        struct machine_store *m;
        int r = control_name_is_good(name, e);

        if (r < 0)
                return r;
        m = calloc(1, sizeof(*m));
        if (!m)
                return err_set(e, -ENOMEM, "no memory for a machine");
        m->dir_fd = m->lock_fd = -1;
        m->name = strdup(name);
        if (!m->name || asprintf(&m->path, "%s/" MACHINES "/%s", state_dir, name) < 0) {
                m->path = NULL;
                r = err_set(e, -ENOMEM, "no memory for a machine");
        }
        if (r >= 0 && create)
                r = make_dirs(state_dir, m->path, &m->made, e);
        if (r >= 0) {
                m->dir_fd = open(m->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (m->dir_fd < 0)
                        r = errno == ENOENT ? err_set(e, -ENOENT, "no machine named '%s' (looked for %s); 'rouse list' shows those there are", name, m->path)
                                            : err_set(e, -errno, "%s: %s", m->path, strerror(errno));
        }
        if (r < 0) {
                machine_store_close(m);
                return r;
        }
        *ret = m;
        return 0;
}

static int remove_tree(int parent_fd, const char *name);

static bool has(const struct machine_store *m, const char *leaf)
{
        return faccessat(m->dir_fd, leaf, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

void machine_store_close(struct machine_store *m)
{
        if (!m)
                return;
        if (m->made && m->lock_fd >= 0 && !has(m, DEFINITION) && !has(m, STATE))
                remove_tree(AT_FDCWD, m->path); /* of a VM that never ran */
        if (m->lock_fd >= 0)
                close(m->lock_fd);
        if (m->dir_fd >= 0)
                close(m->dir_fd);
        free(m->path);
        free(m->name);
        free(m);
}

/* A lock of the open file, not of the process (Linux 3.15): it goes with a fork, and whether it is held can be asked without
 * taking it. */
int machine_store_lock(struct machine_store *m, struct err *e)
{
        _cleanup_close_ int fd = openat(m->dir_fd, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        struct stat st;

        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &whole) < 0 || fstat(fd, &st) < 0)
                return fd >= 0 && (errno == EAGAIN || errno == EACCES) ? err_set(e, -EADDRINUSE, "the machine '%s' is running already", m->name)
                                                                      : err_set(e, -errno, "lock %s/" LOCK ": %s", m->path, strerror(errno));
        if (!st.st_nlink) /* opened before, and locked after */
                return err_set(e, -ENOENT, "the machine '%s' has just been deleted; try again", m->name);
        m->lock_fd = TAKE_FD(fd);
        remove_tree(m->dir_fd, DROPPED); /* whoever began to was killed */
        return 0;
}

bool machine_store_is_locked(const struct machine_store *m)
{
        _cleanup_close_ int fd = openat(m->dir_fd, LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

        return fd >= 0 && fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

const char *machine_store_path(const struct machine_store *m)
{
        return m->path;
}

char *machine_store_file(const struct machine_store *m, const char *leaf)
{
        char *path;

        return asprintf(&path, "%s/%s", m->path, leaf) < 0 ? NULL : path;
}

/* --- the definition --- */

static int read_definition(const struct machine_store *m, char **ret_text, struct err *e)
{
        _cleanup_close_ int fd = openat(m->dir_fd, DEFINITION, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        void *text;
        size_t len;
        int r;

        if (fd < 0)
                return err_set(e, -errno, "%s/" DEFINITION ": %s", m->path, strerror(errno));
        r = fd_read_all(fd, DEFINITION_MAX_BYTES, &text, &len);
        if (r < 0)
                return err_set(e, r, "read %s/" DEFINITION ": %s", m->path, strerror(-r));
        *ret_text = text;
        return 0;
}

int machine_store_read(struct machine_store *m, struct machine_definition *ret, struct err *e)
{
        _cleanup_free_ char *text = NULL, *path = machine_store_file(m, DEFINITION);
        int r = read_definition(m, &text, e);

        return r < 0 ? r : machine_definition_parse(text, path ? path : DEFINITION, ret, e);
}

/* The directories above were made without waiting, by this process or one that was killed: at most those of
 * ~/.local/state/rouse/machines. One that cannot be opened was not made by this user. */
static int sync_parents(const struct machine_store *m)
{
        static const char *const up[] = {".", "..", "../..", "../../..", "../../../..", "../../../../.."};

        for (size_t i = 0; i < ARRAY_LEN(up); i++) {
                _cleanup_close_ int fd = openat(m->dir_fd, up[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (fd < 0 && errno == EACCES)
                        break;
                if (fd < 0 || fsync(fd) < 0)
                        return -errno;
        }
        return 0;
}

int machine_store_write(struct machine_store *m, const struct machine_definition *d, struct err *e)
{
        _cleanup_free_ char *text = NULL, *before = NULL;
        int r = machine_definition_print(d, &text, e);

        if (r < 0)
                return r;
        if (read_definition(m, &before, NULL) < 0 || !before || strcmp(text, before) != 0)
                r = fd_replace_file(m->dir_fd, DEFINITION, text, strlen(text), 0600);
        if (r >= 0)
                r = sync_parents(m);
        if (r >= 0)
                return 0;
        unlinkat(m->dir_fd, DEFINITION, 0); /* a state saved from now on must not be woken with the disks of the machine before */
        return err_set(e, r, "write %s/" DEFINITION ": %s", m->path, strerror(-r));
}

/* --- the state --- */

bool machine_store_has_state(const struct machine_store *m)
{
        return has(m, STATE);
}

char *machine_store_state_path(const struct machine_store *m)
{
        return machine_store_file(m, STATE);
}

static void begun_name(const struct identity *id, char ret[sizeof(BEGUN) + IDENTITY_MAX])
{
        snprintf(ret, sizeof(BEGUN) + IDENTITY_MAX, BEGUN "%s", identity_is_valid(id) ? id->s : "unknown");
}

/* A name and no bytes: one sync is enough, as the guest waits for it. */
int machine_store_mark_begun(struct machine_store *m, const struct identity *id, struct err *e)
{
        char name[sizeof(BEGUN) + IDENTITY_MAX];
        _cleanup_close_ int fd = -1;

        begun_name(id, name);
        fd = openat(m->dir_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0 || fsync(m->dir_fd) < 0)
                return err_set(e, -errno, "make %s/%s: %s", m->path, name, strerror(errno));
        return 0;
}

bool machine_store_is_begun(const struct machine_store *m, const struct identity *id)
{
        char name[sizeof(BEGUN) + IDENTITY_MAX];

        begun_name(id, name);
        return faccessat(m->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT; /* one that cannot be seen is one */
}

int machine_store_hold_state(const struct machine_store *m, struct err *e)
{
        int fd = openat(m->dir_fd, STATE, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? err_set(e, -errno, "%s/" STATE ": %s", m->path, strerror(errno)) : fd;
}

/* An inode that is held open has its number to itself. */
static bool is_held(const struct machine_store *m, int held_fd)
{
        struct stat held, there;

        return held_fd < 0 || (fstat(held_fd, &held) == 0 && fstatat(m->dir_fd, STATE, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
                               held.st_dev == there.st_dev && held.st_ino == there.st_ino);
}

/* Those of the files in it whose names match; links and files only, and whatever stays, stays. */
static int remove_files(int parent_fd, const char *name, bool (*matches)(const char *leaf))
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r = fd_list(parent_fd, name, &dir);

        while (r >= 0 && (entry = readdir(dir)))
                if (matches(entry->d_name))
                        unlinkat(dirfd(dir), entry->d_name, 0);
        return r;
}

static bool is_any(const char *leaf)
{
        return strcmp(leaf, ".") && strcmp(leaf, "..");
}

/* A directory of plain files, or one file; what is not there is no failure. */
static int remove_tree(int parent_fd, const char *name)
{
        int r = remove_files(parent_fd, name, is_any);

        if (r == -ENOTDIR || r == -ELOOP)
                return unlinkat(parent_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0; /* tells of one that stays */
}

static bool is_mark(const char *leaf)
{
        return strncmp(leaf, BEGUN, strlen(BEGUN)) == 0;
}

static bool is_temporary(const char *leaf)
{
        size_t len = strlen(leaf), suffix = strlen(TEMPORARY);

        return leaf[0] == '.' && len > suffix && strcmp(leaf + len - suffix, TEMPORARY) == 0;
}

/* Whoever writes one has its lock. */
static void remove_leftover(int dir_fd, const char *name)
{
        _cleanup_close_ int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
                remove_tree(dir_fd, name);
}

/* What a VM left that was killed while it saved its state or wrote its definition: as much as all of its memory. */
static void sweep(struct machine_store *m)
{
        _cleanup_closedir_ DIR *dir = NULL;
        struct dirent *entry;
        int r = fd_list(m->dir_fd, ".", &dir);

        while (r >= 0 && (entry = readdir(dir)))
                if (is_temporary(entry->d_name))
                        remove_leftover(m->dir_fd, entry->d_name);
}

static int drop_state(struct machine_store *m)
{
        int r = remove_tree(m->dir_fd, DROPPED);

        if (r < 0)
                return r;
        if (renameat(m->dir_fd, STATE, m->dir_fd, DROPPED) < 0)
                return errno == ENOENT ? 0 : -errno;
        /* from here on it is gone; the mark goes last, as a state without its mark might be restored again */
        if (fsync(m->dir_fd) < 0)
                return -errno;
        remove_files(m->dir_fd, ".", is_mark);
        return remove_tree(m->dir_fd, DROPPED);
}

int machine_store_drop_state(struct machine_store *m, int held_fd, struct err *e)
{
        int r = is_held(m, held_fd) ? drop_state(m) : 0;

        sweep(m);
        return r < 0 ? err_set(e, r, "remove %s/" STATE ": %s", m->path, strerror(-r)) : 0;
}

/* --- all machines --- */

static bool is_ours(const char *leaf)
{
        static const char *const names[] = {DEFINITION, LOCK, "console.log", "log"};

        for (size_t i = 0; i < ARRAY_LEN(names); i++)
                if (strcmp(leaf, names[i]) == 0)
                        return true;
        return is_mark(leaf);
}

/* The definition goes first: without one nobody starts it, whatever else is still there. */
static int delete_all(struct machine_store *m, int parent_fd)
{
        int r;

        if (unlinkat(m->dir_fd, DEFINITION, 0) < 0 && errno != ENOENT)
                return -errno;
        r = drop_state(m);
        sweep(m);
        if (r >= 0)
                r = remove_files(m->dir_fd, ".", is_ours);
        if (r >= 0 && unlinkat(parent_fd, m->name, AT_REMOVEDIR) < 0)
                r = -errno;
        return r < 0 || fsync(parent_fd) == 0 ? r : -errno;
}

int machine_store_delete(struct machine_store *m, struct err *e)
{
        char *slash = strrchr(m->path, '/');
        _cleanup_free_ char *machines = strndup(m->path, (size_t)(slash - m->path));
        _cleanup_close_ int parent_fd = machines ? open(machines, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        int r;

        if (!machines)
                return err_set(e, -ENOMEM, "no memory for a path");
        r = parent_fd < 0 ? -errno : delete_all(m, parent_fd);
        if (r == -ENOTEMPTY || r == -EEXIST)
                return err_set(e, r, "%s: expected only what rouse made there, found other files; the machine is gone, they are yours to remove", m->path);
        return r < 0 ? err_set(e, r, "remove %s: %s", m->path, strerror(-r)) : 0;
}

static int by_name(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(char **names, size_t nr)
{
        for (size_t i = 0; i < nr; i++)
                free(names[i]);
        free(names);
}

static int read_names(DIR *dir, char ***ret_names, size_t *ret_nr)
{
        char **names = NULL;
        size_t nr = 0;
        struct dirent *entry;

        while ((entry = readdir(dir))) {
                char **more;

                if (control_name_is_good(entry->d_name, NULL) < 0)
                        continue;
                more = reallocarray(names, nr + 1, sizeof(*names));
                if (more)
                        names = more;
                if (!more || !(names[nr] = strdup(entry->d_name))) {
                        free_names(names, nr);
                        return -ENOMEM;
                }
                nr++;
        }
        if (nr)
                qsort(names, nr, sizeof(*names), by_name);
        *ret_names = names;
        *ret_nr = nr;
        return 0;
}

int machine_store_list(const char *state_dir, char ***ret_names, size_t *ret_nr, struct err *e)
{
        _cleanup_free_ char *path = NULL;
        _cleanup_closedir_ DIR *dir = NULL;
        int r;

        *ret_names = NULL;
        *ret_nr = 0;
        if (asprintf(&path, "%s/" MACHINES, state_dir) < 0)
                return err_set(e, -ENOMEM, "no memory for a path");
        dir = opendir(path);
        if (!dir)
                return errno == ENOENT ? 0 : err_set(e, -errno, "%s: %s", path, strerror(errno));
        r = read_names(dir, ret_names, ret_nr);
        return r < 0 ? err_set(e, r, "no memory for the names of machines") : 0;
}
