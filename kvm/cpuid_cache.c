/* One small file, believed only if it is this user's own and speaks of this boot, this KVM and this CPU. */
#include "kvm/cpuid_cache.h"

#include "core/base/cleanup.h"
#include "core/base/fdio.h"
#include "core/base/units.h"

#include <assert.h>
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <xxhash.h>

#ifndef ARCH_GET_XCOMP_GUEST_PERM
#define ARCH_GET_XCOMP_GUEST_PERM 0x1024 /* Linux 5.17 */
#endif

#define MAGIC "rousecpu"
#define VERSION 1

/* All that the answer depends on. */
struct key {
        char     boot_id[40];
        uint64_t kvm_node, kvm_node_ctime_ns; /* of /dev/kvm: made anew when the module is loaded again */
        /* of kvm_intel and kvm_amd in sysfs: the same, where /dev/kvm is a container's own node */
        uint64_t modules[2];
        uint64_t xstate_permitted;            /* AMX is a process's to ask for */
        uint32_t leaves[2][4];                /* 1 and 7: a host that is a guest may wake on another CPU */
};

struct cache_file {
        char               magic[8];
        uint32_t           version, padding;
        struct key         key;
        struct cpuid_table table;
        uint64_t           sum; /* XXH3-64 of all before it */
};

static_assert(sizeof(struct key) == 112, "no padding: keys are compared whole");
static_assert(sizeof(struct cache_file) == 16 + 112 + 8 + CPUID_MAX * 40 + 8, "no padding: it is summed whole");

static uint64_t node_of(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0 ? st.st_ino : 0;
}

static bool make_key(int kvm_fd, struct key *ret)
{
        _cleanup_close_ int boot_fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
        const uint32_t      leaves[] = { 1, 7 };
        struct key          k = { 0 };
        struct stat         st;

        if (boot_fd < 0 || fd_pread_full(boot_fd, k.boot_id, 36, 0) != 36 || fstat(kvm_fd, &st) < 0)
                return false;
        k.kvm_node = st.st_ino;
        k.kvm_node_ctime_ns = (uint64_t)st.st_ctim.tv_sec * NS_PER_S + (uint64_t)st.st_ctim.tv_nsec;
        k.modules[0] = node_of("/sys/module/kvm_intel");
        k.modules[1] = node_of("/sys/module/kvm_amd");
        if (syscall(SYS_arch_prctl, ARCH_GET_XCOMP_GUEST_PERM, &k.xstate_permitted) < 0)
                k.xstate_permitted = 0;
        for (size_t i = 0; i < ARRAY_LEN(leaves); i++)
                __cpuid_count(leaves[i], 0, k.leaves[i][0], k.leaves[i][1], k.leaves[i][2], k.leaves[i][3]);
        k.leaves[0][1] = 0; /* the APIC id of whichever CPU this is */
        *ret = k;
        return true;
}

static uint64_t sum_of(const struct cache_file *f)
{
        return XXH3_64bits(f, offsetof(struct cache_file, sum));
}

static bool is_mine(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 022);
}

bool cpuid_cache_get(const char *path, int kvm_fd, struct cpuid_table *ret)
{
        _cleanup_close_ int               fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        _cleanup_free_ struct cache_file *f = fd >= 0 ? malloc(sizeof(*f)) : NULL;
        struct key                        now;

        if (!f || !is_mine(fd) || fd_pread_full(fd, f, sizeof(*f), 0) != sizeof(*f))
                return false;
        if (memcmp(f->magic, MAGIC, sizeof(f->magic)) != 0 || f->version != VERSION || f->sum != sum_of(f) ||
            f->table.nr > CPUID_MAX)
                return false;
        if (!make_key(kvm_fd, &now) || memcmp(&now, &f->key, sizeof(now)) != 0)
                return false;
        *ret = f->table;
        return true;
}

/* In a directory that may not be there yet. */
static int create(const char *path)
{
        const char *slash = strrchr(path, '/');
        size_t      parent_len = slash ? (size_t)(slash - path) : 0;
        char        dir[PATH_MAX];
        int         fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd >= 0 || errno != ENOENT || !parent_len ||
            (size_t)snprintf(dir, sizeof(dir), "%.*s", (int)parent_len, path) >= sizeof(dir) ||
            fd_make_dirs(dir, 0700) < 0)
                return fd;
        return open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* No fsync: after a power loss it is another boot. */
void cpuid_cache_put(const char *path, int kvm_fd, const struct cpuid_table *t)
{
        _cleanup_free_ struct cache_file *f = calloc(1, sizeof(*f));
        _cleanup_free_ char              *temporary = NULL;
        int                               fd, r;

        if (!f || !make_key(kvm_fd, &f->key) || asprintf(&temporary, "%s.%d.rouse-tmp", path, (int)getpid()) < 0)
                return;
        memcpy(f->magic, MAGIC, sizeof(f->magic));
        f->version = VERSION;
        f->table.nr = t->nr;
        memcpy(f->table.v, t->v, t->nr * sizeof(t->v[0]));
        f->sum = sum_of(f);
        fd = create(temporary);
        if (fd < 0)
                return;
        r = fd_write_full(fd, f, sizeof(*f));
        close(fd);
        if (r < 0 || rename(temporary, path) < 0)
                unlink(temporary);
}
