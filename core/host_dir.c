/* /proc/self/mountinfo and /sys/dev/block (proc(5), Documentation/ABI/stable/sysfs-block), and two tries on a file. */
#include "core/host_dir.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"
#include "core/host_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>

static enum dir_kind kind_of(const char *filesystem)
{
        static const struct {
                const char   *name; /* or what it starts with, up to the '*' */
                enum dir_kind kind;
        } known[] = {
                {"tmpfs", DIR_MEMORY},     {"ramfs", DIR_MEMORY}, {"hugetlbfs", DIR_MEMORY}, {"nfs*", DIR_NETWORK},    {"cifs", DIR_NETWORK},
                {"smb*", DIR_NETWORK},     {"ceph", DIR_NETWORK}, {"9p", DIR_NETWORK},       {"afs", DIR_NETWORK},     {"lustre", DIR_NETWORK},
                {"gfs2", DIR_NETWORK},     {"ocfs2", DIR_NETWORK}, {"glusterfs", DIR_NETWORK}, {"virtiofs", DIR_FUSE}, {"fuse*", DIR_FUSE},
        };

        for (size_t i = 0; i < ARRAY_LEN(known); i++) {
                size_t n = strcspn(known[i].name, "*");

                if (strncmp(known[i].name, filesystem, n) == 0 && (known[i].name[n] == '*' || filesystem[n] == 0))
                        return known[i].kind;
        }
        return filesystem[0] ? DIR_LOCAL : DIR_UNKNOWN;
}

/* "\040" is a blank (proc(5)). */
static void unescape(char *s)
{
        char *to = s;

        for (; *s; s++)
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
                        *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
                        s += 3;
                } else {
                        *to++ = *s;
                }
        *to = 0;
}

/* "MAJOR:MINOR" of the mount into device. */
static bool find_mount(const char *root, uint64_t mount_id, char device[32], struct host_dir *d)
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[PATH_MAX], line[4096];

        snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f)) {
                const char *dash = strstr(line, " - ");
                uint64_t id;

                if (!dash || sscanf(line, "%" SCNu64 " %*s %31s", &id, device) != 2 || id != mount_id)
                        continue;
                if (sscanf(dash + 3, "%31s %127s", d->filesystem, d->source) != 2)
                        return false;
                unescape(d->source);
                return true;
        }
        return false;
}

/* The directory of the device in sysfs. A file system that is not on one device alone (btrfs) has a number of its own: then by
 * its name. */
static bool find_device(const char *root, const char *device, const struct host_dir *d, char *ret, size_t size)
{
        _cleanup_free_ char *real = NULL;
        const char *leaf;

        snprintf(ret, size, "/sys/dev/block/%s", device);
        if (host_there(root, ret))
                return true;
        if (strncmp(d->source, "/dev/", 5) != 0)
                return false;
        real = realpath(d->source, NULL); /* /dev/mapper/NAME -> /dev/dm-0 */
        leaf = strrchr(real ? real : d->source, '/') + 1;
        snprintf(ret, size, "/sys/class/block/%s", leaf);
        return host_there(root, ret);
}

struct crypt_look {
        const char *root;
        bool        found;
};

static void look_for_crypt(void *arg, const char *path)
{
        struct crypt_look *l = arg;
        char uuid[64];

        if (host_read_line(l->root, path, uuid, sizeof(uuid)) && strncmp(uuid, "CRYPT-", 6) == 0)
                l->found = true;
}

/* dm-crypt itself, or what a logical volume on it stands on. */
static bool is_encrypted(const char *root, const char *device_dir)
{
        static const char *const below[] = {"dm/uuid", "slaves/*/dm/uuid", "slaves/*/slaves/*/dm/uuid", "../dm/uuid"};
        struct crypt_look l = {.root = root};
        char path[400];

        for (size_t i = 0; i < ARRAY_LEN(below); i++) {
                snprintf(path, sizeof(path), "%s/%s", device_dir, below[i]);
                host_glob(root, path, look_for_crypt, &l);
        }
        return l.found;
}

void host_dir_describe(const char *root, uint64_t mount_id, struct host_dir *d)
{
        char device[32], at[300], path[400];

        d->rotational = d->read_ahead_bytes = HOST_UNKNOWN;
        if (!find_mount(root, mount_id, device, d))
                return;
        d->kind = kind_of(d->filesystem);
        if (!find_device(root, device, d, at, sizeof(at)))
                return;
        d->encrypted = is_encrypted(root, at);
        /* A partition has no queue of its own: its disk's is one up. */
        snprintf(path, sizeof(path), "%s/queue", at);
        if (!host_there(root, path))
                strncat(at, "/..", sizeof(at) - strlen(at) - 1);
        snprintf(path, sizeof(path), "%s/queue/rotational", at);
        d->rotational = host_read_number(root, path);
        snprintf(path, sizeof(path), "%s/queue/scheduler", at);
        host_read_choice(root, path, d->scheduler, sizeof(d->scheduler));
        snprintf(path, sizeof(path), "%s/queue/read_ahead_kb", at);
        d->read_ahead_bytes = host_read_number(root, path);
        if (d->read_ahead_bytes > 0 && d->read_ahead_bytes < INT64_MAX / (int64_t)KIB)
                d->read_ahead_bytes *= (int64_t)KIB;
}

/* The largest file of it, most likely the memory. */
static int open_largest(int dir_fd, struct host_dir *d)
{
        _cleanup_closedir_ DIR *dir = NULL;
        off_t largest = 0;
        struct dirent *at;
        struct stat st;
        int r = fd_list(dir_fd, ".", &dir);

        while (r >= 0 && (at = readdir(dir)))
                if (fstatat(dir_fd, at->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size > largest) {
                        largest = st.st_size;
                        snprintf(d->file, sizeof(d->file), "%.63s", at->d_name);
                }
        return d->file[0] ? openat(dir_fd, d->file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
}

/* EAGAIN says that it would have to wait: then it can be asked not to. */
static int try_nowait(int fd)
{
        char byte;
        struct iovec one = {&byte, 1};

        return preadv2(fd, &one, 1, 0, RWF_NOWAIT) < 0 && errno != EAGAIN ? errno : 0;
}

static int try_direct(int dir_fd, const char *file)
{
        _cleanup_close_ int fd = openat(dir_fd, file, O_RDONLY | O_DIRECT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        return fd < 0 ? errno : 0;
}

int host_dir_look(const char *path, struct host_dir *ret, struct err *e)
{
        _cleanup_close_ int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int file_fd = -1;
        struct statx x;

        if (dir_fd < 0)
                return err_set(e, -errno, "%s: expected a directory that can be read, found: %s", path, strerror(errno));
        *ret = (struct host_dir){.rotational = HOST_UNKNOWN, .read_ahead_bytes = HOST_UNKNOWN, .direct = ENODATA, .nowait = ENODATA};
        snprintf(ret->path, sizeof(ret->path), "%s", path);
        if (statx(dir_fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) == 0 && x.stx_mask & STATX_MNT_ID) /* Linux 5.8 */
                host_dir_describe("", x.stx_mnt_id, ret);
        file_fd = open_largest(dir_fd, ret);
        if (file_fd >= 0) {
                ret->direct = try_direct(dir_fd, ret->file);
                ret->nowait = try_nowait(file_fd);
        }
        return 0;
}
