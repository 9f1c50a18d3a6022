/* What a plan needs against what this host allows it: asked before anything is made, not discovered when it fails. */
#include "core/plan.h"

#include "core/base/cleanup.h"
#include "core/huge_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What rouse and KVM take beside guest RAM: code, stacks of threads, the pager's buffers. Measured: 60 to 110 MiB of address
 * space. */
#define OWN_ADDRESS_BYTES (128 * MIB)

/* --- what there is --- */

static uint64_t rlimit_of(int which)
{
        struct rlimit l;

        return getrlimit(which, &l) < 0 || l.rlim_cur == RLIM_INFINITY ? PLAN_NO_LIMIT : (uint64_t)l.rlim_cur;
}

/* "12345" or "max"; false where the file is not there. */
static bool read_value(const char *path, uint64_t *ret)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char line[64];

        if (!f || !fgets(line, sizeof(line), f))
                return false;
        *ret = strncmp(line, "max", 3) == 0 ? PLAN_NO_LIMIT : strtoull(line, NULL, 10);
        return true;
}

static uint64_t used_address_bytes(void)
{
        uint64_t pages;

        return read_value("/proc/self/statm", &pages) ? pages_to_bytes(pages) : 0;
}

/* Page cache that is charged to the cgroup and gives way. */
static uint64_t reclaimable_bytes(const char *dir, const char *const names[2])
{
        _cleanup_fclose_ FILE *f = NULL;
        char path[4400], line[128];
        uint64_t sum = 0;

        snprintf(path, sizeof(path), "%s/memory.stat", dir);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                for (int i = 0; i < 2; i++)
                        if (strncmp(line, names[i], strlen(names[i])) == 0 && line[strlen(names[i])] == ' ')
                                sum += strtoull(line + strlen(names[i]), NULL, 10);
        return sum;
}

struct cgroup_files {
        const char *mount, *limit, *usage;
        const char *file[2]; /* lines of memory.stat: page cache */
};

static const struct cgroup_files cgroup_v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                              {"total_active_file", "total_inactive_file"}};
static const struct cgroup_files cgroup_v2 = {"/sys/fs/cgroup", "memory.max", "memory.current", {"active_file", "inactive_file"}};

/* One level. v1 says "no limit" with a number near 2^63. */
static void look_at_cgroup(const struct cgroup_files *c, const char *dir, struct plan_limits *l)
{
        char path[4400];
        uint64_t limit, used, cache, left;

        snprintf(path, sizeof(path), "%s/%s", dir, c->limit);
        if (!read_value(path, &limit) || limit >= UINT64_MAX / 4)
                return;
        snprintf(path, sizeof(path), "%s/%s", dir, c->usage);
        if (!read_value(path, &used))
                return;
        cache = reclaimable_bytes(dir, c->file);
        used -= MIN(used, cache);
        left = limit > used ? limit - used : 0;
        if (left >= l->cgroup_bytes)
                return;
        l->cgroup_bytes = left;
        snprintf(path, sizeof(path), "%s/%s", dir, c->limit); /* what a user would raise */
        snprintf(l->cgroup, sizeof(l->cgroup), "%.*s", (int)sizeof(l->cgroup) - 1, path);
}

/* This process's cgroup and all above it: each may have a limit. In a container the path may not exist under the mount: then what
 * does is the mount itself. */
static void walk_cgroups(const struct cgroup_files *c, const char *relative, struct plan_limits *l)
{
        char dir[4300];
        size_t root = strlen(c->mount);

        snprintf(dir, sizeof(dir), "%s%s", c->mount, relative);
        while (strlen(dir) > root) {
                char *slash = strrchr(dir, '/');

                look_at_cgroup(c, dir, l);
                *slash = 0;
        }
        look_at_cgroup(c, c->mount, l);
}

/* "4:memory:/a/b" (v1), "0::/a/b" (v2) */
static void probe_cgroup(struct plan_limits *l)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/cgroup", "re");
        char line[4096];

        while (f && fgets(line, sizeof(line), f)) {
                char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;

                if (!path)
                        continue;
                *path++ = 0;
                path[strcspn(path, "\n")] = 0;
                if (!controllers[1])
                        walk_cgroups(&cgroup_v2, path, l);
                else if (strstr(controllers + 1, "memory"))
                        walk_cgroups(&cgroup_v1, path, l);
        }
}

void plan_limits_probe(const struct host_caps *caps, struct plan_limits *ret)
{
        struct plan_limits l = {.max_map_count = caps->max_map_count, .cgroup_bytes = PLAN_NO_LIMIT, .huge_2m_free = caps->huge_2m_free};

        l.address_bytes = rlimit_of(RLIMIT_AS);
        if (l.address_bytes != PLAN_NO_LIMIT)
                l.address_bytes -= MIN(l.address_bytes, used_address_bytes());
        l.memlock_bytes = rlimit_of(RLIMIT_MEMLOCK);
        probe_cgroup(&l);
        *ret = l;
}

/* --- against each other --- */

size_t plan_limit_rows(const struct plan *p, const struct plan_limits *l, struct plan_limit_row ret[PLAN_LIMIT_ROWS])
{
        const struct plan_limit_row rows[PLAN_LIMIT_ROWS] = {
                /* half of the limit is left to everybody else in this process */
                {"mappings (half of vm.max_map_count)", "", p->needs.mappings, l->max_map_count / 2},
                {"address space (RLIMIT_AS)", "bytes", p->needs.address_bytes + OWN_ADDRESS_BYTES, l->address_bytes},
                {"locked memory (RLIMIT_MEMLOCK)", "bytes", p->needs.locked_bytes, l->memlock_bytes},
                {"memory (cgroup)", "bytes", p->needs.resident_bytes, l->cgroup_bytes},
                {"2 MiB pages of the pool", "", p->needs.huge_2m_pages, l->huge_2m_free},
        };

        for (size_t i = 0; i < PLAN_LIMIT_ROWS; i++)
                ret[i] = rows[i];
        return PLAN_LIMIT_ROWS;
}

void plan_has_already(struct plan *p, uint64_t bytes)
{
        p->needs.resident_bytes -= MIN(p->needs.resident_bytes, bytes);
        p->needs.huge_2m_pages -= p->needs.template_2m_pages;
        p->needs.template_2m_pages = 0;
}

/* What of a plan can be left to the guest's touches. */
static const char *less_memory(const struct plan *p)
{
        if (strcmp(p->arm, "eager") == 0)
                return "--mode lazy --fill off";
        return p->nr_prefill || p->nr_populate ? "--fill off --hints none" : "--fill off";
}

int plan_check(const struct plan *p, const struct plan_limits *l, struct err *e)
{
        struct plan_limit_row rows[PLAN_LIMIT_ROWS];
        unsigned long long needs, has;
        size_t i = 0;

        plan_limit_rows(p, l, rows);
        while (i < PLAN_LIMIT_ROWS && rows[i].needs <= rows[i].has)
                i++;
        if (i == PLAN_LIMIT_ROWS)
                return 0;
        needs = rows[i].needs;
        has = rows[i].has;
        switch (i) {
        case 0:
                return err_host(e, -ENOMEM, "map memory: expected at most %llu mappings (half of vm.max_map_count), found %llu runs of pages; use --mode auto or "
                                "lazy, or sysctl -w vm.max_map_count=%llu", has, needs, needs * 4);
        case 1:
                return err_host(e, -ENOMEM, "address space: expected at least %llu bytes, found %llu (RLIMIT_AS); ulimit -v %llu", needs, has,
                                (used_address_bytes() + needs) / KIB + 1);
        case 2:
                return err_host(e, -ENOMEM, "locked memory: expected at least %llu bytes, found %llu (RLIMIT_MEMLOCK); ulimit -l %llu", needs, has,
                                needs / KIB + 1);
        case 3:
                return err_host(e, -ENOMEM, "memory: expected at least %llu bytes, found %llu left in %s; raise it, or use %s (or --mode mmap), which bring in "
                                "what the guest touches", needs, has, l->cgroup, less_memory(p));
        default:
                return huge_pool_refuse(needs * HUGE_PAGE_BYTES, e);
        }
}
