/* /proc/self/cgroup, /sys/fs/cgroup. */
#include "bench/fanout/cgroup.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/host_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT_V2 "/sys/fs/cgroup"
#define ROOT_V1 "/sys/fs/cgroup/memory"

/* What /proc/self/cgroup has after "N:memory:" (version 1) or "0::" (2). */
static bool own_path(bool v1, char *ret, size_t size)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/cgroup", "re");
        char line[PATH_MAX];

        while (f && fgets(line, sizeof(line), f)) {
                const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

                line[strcspn(line, "\n")] = 0;
                if (!path || (v1 ? strncmp(names, ":memory:", 8) : strncmp(line, "0::", 3)) != 0)
                        continue;
                snprintf(ret, size, "%s", path + 1);
                return true;
        }
        return false;
}

static bool file_has_word(const char *dir, const char *name, const char *word)
{
        char path[PATH_MAX + 40], text[400] = " ", needle[40];
        _cleanup_fclose_ FILE *f = NULL;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "re");
        if (!f || !fgets(text + 1, sizeof(text) - 2, f))
                return false;
        text[strcspn(text, "\n")] = ' ';
        snprintf(needle, sizeof(needle), " %s ", word);
        return strstr(text, needle) != NULL;
}

static bool make_in(struct burst_cgroup *c, int version, const char *parent)
{
        char procs[PATH_MAX + 40];

        if (snprintf(c->path, sizeof(c->path), "%s/rouse-bench-%d", parent, getpid()) >= (int)sizeof(c->path))
                return false;
        if (mkdir(c->path, 0755) < 0) {
                snprintf(c->why, sizeof(c->why), "%s: mkdir: %s", c->path, strerror(errno));
                return false;
        }
        snprintf(procs, sizeof(procs), "%s/cgroup.procs", c->path);
        c->procs_fd = open(procs, O_WRONLY | O_CLOEXEC);
        if (c->procs_fd < 0) {
                snprintf(c->why, sizeof(c->why), "%s: %s", procs, strerror(errno));
                rmdir(c->path);
                return false;
        }
        c->version = version;
        return true;
}

/* In our own one, else (a container sees only a part of the hierarchy) at its root. */
static bool make_v1(struct burst_cgroup *c)
{
        char own[PATH_MAX - 64] = "", dir[PATH_MAX];

        if (access(ROOT_V1 "/cgroup.procs", F_OK) < 0)
                return false;
        own_path(true, own, sizeof(own));
        snprintf(dir, sizeof(dir), ROOT_V1 "%s", own);
        return make_in(c, 1, access(dir, F_OK) == 0 ? dir : ROOT_V1);
}

/* A child has a memory.current where its parent hands the memory controller on; and no process may be in a cgroup that does, but
 * for the root. */
static bool make_v2(struct burst_cgroup *c)
{
        char dir[PATH_MAX] = ROOT_V2, own[PATH_MAX - 64] = "";

        own_path(false, own, sizeof(own));
        snprintf(dir, sizeof(dir), ROOT_V2 "%s", own);
        while (strlen(dir) >= strlen(ROOT_V2)) {
                if (file_has_word(dir, "cgroup.subtree_control", "memory"))
                        return make_in(c, 2, dir);
                *strrchr(dir, '/') = 0;
        }
        snprintf(c->why, sizeof(c->why),
                 "no cgroup from " ROOT_V2 "%s up hands the memory controller on (cgroup.subtree_control)", own);
        return false;
}

void burst_cgroup_make(struct burst_cgroup *c)
{
        *c = (struct burst_cgroup){.procs_fd = -1, .why = "no cgroup file system at " ROOT_V2};
        if (!make_v1(c) && access(ROOT_V2 "/cgroup.controllers", F_OK) == 0)
                make_v2(c);
}

static bool read_number(const char *dir, const char *name, uint64_t *ret)
{
        char path[PATH_MAX + 40], text[32], *end;
        _cleanup_fclose_ FILE *f = NULL;

        snprintf(path, sizeof(path), "%s/%s", dir, name);
        f = fopen(path, "re");
        if (!f || !fgets(text, sizeof(text), f))
                return false;
        *ret = strtoull(text, &end, 10);
        return end != text; /* "max" is no number */
}

bool burst_cgroup_memory(const struct burst_cgroup *c, uint64_t *ret_bytes)
{
        return c->version && read_number(c->path, c->version == 1 ? "memory.usage_in_bytes" : "memory.current", ret_bytes);
}

uint64_t burst_memory_available(void)
{
        return host_read_kb("", "/proc/meminfo", "MemAvailable:");
}

static void less_above(bool v1, const char *root, uint64_t *left)
{
        char own[PATH_MAX - 64] = "", dir[PATH_MAX];
        uint64_t limit, used;

        own_path(v1, own, sizeof(own));
        snprintf(dir, sizeof(dir), "%s%s", root, own);
        while (strlen(dir) >= strlen(root)) {
                if (read_number(dir, v1 ? "memory.limit_in_bytes" : "memory.max", &limit) &&
                    read_number(dir, v1 ? "memory.usage_in_bytes" : "memory.current", &used))
                        *left = MIN(*left, limit > used ? limit - used : 0);
                *strrchr(dir, '/') = 0;
        }
}

uint64_t burst_memory_left(void)
{
        uint64_t left = burst_memory_available();

        less_above(true, ROOT_V1, &left);
        less_above(false, ROOT_V2, &left);
        return left;
}

void burst_cgroup_remove(struct burst_cgroup *c)
{
        if (c->procs_fd >= 0)
                close(c->procs_fd);
        if (c->version)
                rmdir(c->path);
        *c = (struct burst_cgroup){.procs_fd = -1};
}
