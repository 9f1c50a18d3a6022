/* The limits of this process's cgroups and of all above them: the tightest binds. cgroups(7), and
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. */
#include "core/host_files.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "core/host_read.h"

#include <limits.h>
#include <stddef.h>
#include <string.h>

#define LEVELS_MAX 64

/* Where a hierarchy is mounted, and the path of our cgroup below that; all below the root of host_files_read. */
struct hierarchy {
        char mount[512], path[512];
        bool v2, favordynmods;
};

/* "31 23 0:29 /root /mount/point rw,relatime shared:1 - cgroup cgroup rw,memory": the fields that matter; false: no such line. */
struct mount_line {
        char root[512], point[512], type[32], options[512];
};

static bool parse_mount(const char *line, struct mount_line *ret)
{
        const char *dash = strstr(line, " - ");

        return dash && sscanf(line, "%*s %*s %*s %511s %511s", ret->root, ret->point) == 2 &&
               sscanf(dash + 3, "%31s %*s %511s", ret->type, ret->options) == 2;
}

/* Is word one of "rw,cpu,cpuacct"? */
static bool in_list(const char *list, const char *word)
{
        size_t n = strlen(word);

        for (const char *at = list; at; at = strchr(at, ',')) {
                at += *at == ',';
                if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == 0))
                        return true;
        }
        return false;
}

/* /proc/self/cgroup: "4:memory:/a/b", and "0::/a/b" for v2. */
static bool own_path(const char *root, const char *controller, bool v2, char *ret, size_t size)
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[PATH_MAX], line[1024];

        snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f)) {
                char *names = strchr(line, ':'), *at = names ? strchr(names + 1, ':') : NULL;

                line[strcspn(line, "\n")] = 0;
                if (!at)
                        continue;
                *at = 0;
                if (v2 ? names[1] != 0 : !in_list(names + 1, controller))
                        continue;
                snprintf(ret, size, "%s", at + 1);
                return true;
        }
        return false;
}

/* In a container the mount may show a part of the tree only: what it shows is cut off the front. */
static void below_mount(const char *mount_root, char *path)
{
        size_t n = strlen(mount_root);

        if (strcmp(mount_root, "/") != 0 && strncmp(path, mount_root, n) == 0)
                memmove(path, path + n, strlen(path + n) + 1);
        if (strcmp(path, "/") == 0 || strncmp(path, "/..", 3) == 0)
                path[0] = 0; /* above what is mounted here: that is all there is to see */
}

static bool find_hierarchy(const char *root, const char *controller, struct hierarchy *ret)
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[PATH_MAX], line[2048];
        bool found = false;
        struct mount_line m;

        snprintf(path, sizeof(path), "%s/proc/self/mountinfo", root);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f)) {
                bool v2;

                if (!parse_mount(line, &m))
                        continue;
                v2 = strcmp(m.type, "cgroup2") == 0;
                /* A v1 mount has the controller for itself: v2 has not got it then. */
                if (!(v2 && !found) && !(strcmp(m.type, "cgroup") == 0 && in_list(m.options, controller)))
                        continue;
                if (!own_path(root, controller, v2, ret->path, sizeof(ret->path)))
                        continue;
                below_mount(m.root, ret->path);
                snprintf(ret->mount, sizeof(ret->mount), "%s", m.point);
                ret->v2 = v2;
                ret->favordynmods = v2 && in_list(m.options, "favordynmods");
                found = true;
        }
        return found;
}

/* "200000 100000" or "max 100000": in percent of one CPU. */
static int64_t cpu_percent_v2(const char *root, const char *dir)
{
        char path[PATH_MAX], line[64];
        const char *rest;
        int64_t quota, period;

        snprintf(path, sizeof(path), "%s/cpu.max", dir);
        if (!host_read_line(root, path, line, sizeof(line)))
                return HOST_UNKNOWN;
        quota = host_parse_number(line, &rest);
        period = host_parse_number(rest, NULL);
        return quota == HOST_NO_LIMIT || quota < 0 || quota > INT64_MAX / 100 || period <= 0 ? HOST_NO_LIMIT
               : quota * 100 / period;
}

static int64_t cpu_percent_v1(const char *root, const char *dir)
{
        char path[PATH_MAX];
        int64_t quota, period;

        snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", dir);
        quota = host_read_number(root, path);
        snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", dir);
        period = host_read_number(root, path);
        return quota < 0 || quota > INT64_MAX / 100 || period <= 0 ? HOST_NO_LIMIT : quota * 100 / period; /* -1: none */
}

/* Any line with a number is a limit of some device: "8:16 rbps=2097152 wbps=max" or "8:16 1048576". */
static int64_t io_is_limited(const char *root, const char *dir, const char *file)
{
        char path[PATH_MAX], line[256];

        snprintf(path, sizeof(path), "%s/%s", dir, file);
        return host_read_line(root, path, line, sizeof(line)) && line[0] ? 0 : HOST_NO_LIMIT;
}

static const struct limit {
        size_t      at;
        const char *controller;
        const char *v2, *v2_used, *v1, *v1_used; /* NULL: there is no such thing */
} limits[] = {
        { offsetof(struct host_files, memory_max), "memory", "memory.max", "memory.current", "memory.limit_in_bytes",
          "memory.usage_in_bytes" },
        { offsetof(struct host_files, memory_high), "memory", "memory.high", "memory.current", NULL, NULL },
        { offsetof(struct host_files, swap_max), "memory", "memory.swap.max", "memory.swap.current", NULL, NULL },
        { offsetof(struct host_files, huge_2m_max), "hugetlb", "hugetlb.2MB.max", "hugetlb.2MB.current",
          "hugetlb.2MB.limit_in_bytes",
          "hugetlb.2MB.usage_in_bytes" },
        { offsetof(struct host_files, pids_max), "pids", "pids.max", "pids.current", "pids.max", "pids.current" },
        { offsetof(struct host_files, cpu_percent), "cpu", "cpu.max", NULL, "cpu.cfs_quota_us", NULL },
        { offsetof(struct host_files, io), "io", "io.max", NULL, NULL, NULL },
        { offsetof(struct host_files, io), "blkio", NULL, NULL, "blkio.throttle.read_bps_device", NULL },
};

static int64_t value_at(const char *root, const struct limit *l, bool v2, const char *dir)
{
        char path[PATH_MAX];

        if (l->at == offsetof(struct host_files, cpu_percent))
                return v2 ? cpu_percent_v2(root, dir) : cpu_percent_v1(root, dir);
        if (l->at == offsetof(struct host_files, io))
                return io_is_limited(root, dir, v2 ? l->v2 : l->v1);
        snprintf(path, sizeof(path), "%s/%s", dir, v2 ? l->v2 : l->v1);
        return host_read_number(root, path);
}

/* From our cgroup up to the mount. */
static void walk(const char *root, const struct limit *l, const struct hierarchy *h, struct host_limit *ret)
{
        const char *used = h->v2 ? l->v2_used : l->v1_used;
        char dir[1100], path[PATH_MAX];

        snprintf(dir, sizeof(dir), "%s%s", h->mount, h->path);
        for (int level = 0; level < LEVELS_MAX && strlen(dir) >= strlen(h->mount); level++) {
                int64_t v = value_at(root, l, h->v2, dir);

                if (v != HOST_UNKNOWN && (ret->value == HOST_UNKNOWN || v < ret->value)) {
                        ret->value = v;
                        snprintf(path, sizeof(path), "%s/%s", dir, used ? used : "");
                        ret->used = used ? host_read_number(root, path) : HOST_UNKNOWN;
                        snprintf(ret->where, sizeof(ret->where), "%.255s", v == HOST_NO_LIMIT ? "" : dir);
                }
                if (strrchr(dir, '/') == NULL)
                        return;
                *strrchr(dir, '/') = 0;
        }
}

void host_cgroup_read(const char *root, struct host_files *f)
{
        struct hierarchy h = {0};

        for (size_t i = 0; i < ARRAY_LEN(limits); i++)
                *(struct host_limit *)(void *)((char *)f + limits[i].at) = (struct host_limit){.value = HOST_UNKNOWN,
                                                                                               .used = HOST_UNKNOWN};
        for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
                h = (struct hierarchy){0};
                if (find_hierarchy(root, limits[i].controller, &h) && (h.v2 ? limits[i].v2 : limits[i].v1))
                        walk(root, &limits[i], &h, (struct host_limit *)(void *)((char *)f + limits[i].at));
        }
        h = (struct hierarchy){0};
        if (find_hierarchy(root, "memory", &h))
                f->cgroup_version = h.v2 ? 2 : 1;
        f->cgroup_favordynmods = h.favordynmods;
}
