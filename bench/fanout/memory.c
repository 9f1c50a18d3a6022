/* smaps_rollup and the memfds among the descriptors of each process. */
#include "bench/fanout/memory.h"

#include "bench/run/tree.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PROCESSES_MAX 512
#define MEMFDS_MAX    64

struct memfds {
        struct {
                dev_t dev;
                ino_t ino;
        } v[MEMFDS_MAX];
        size_t   nr;
        uint64_t bytes;
};

/* The same file in many processes counts once. */
static void add_memfd(struct memfds *m, const struct stat *st)
{
        for (size_t i = 0; i < m->nr; i++)
                if (m->v[i].dev == st->st_dev && m->v[i].ino == st->st_ino)
                        return;
        if (m->nr == MEMFDS_MAX)
                return;
        m->v[m->nr].dev = st->st_dev;
        m->v[m->nr++].ino = st->st_ino;
        m->bytes += (uint64_t)st->st_blocks * 512;
}

static void add_memfds_of(pid_t pid, struct memfds *m)
{
        char dir[40], path[300], link[200];
        _cleanup_closedir_ DIR *d = NULL;

        snprintf(dir, sizeof(dir), "/proc/%d/fd", pid);
        d = opendir(dir);
        for (struct dirent *entry; d && (entry = readdir(d));) {
                struct stat st;
                ssize_t n;

                snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
                n = readlink(path, link, sizeof(link) - 1);
                link[n < 0 ? 0 : n] = 0;
                if (strncmp(link, "/memfd:", 7) == 0 && !strstr(link, BURST_OWN_MEMFD) && stat(path, &st) == 0)
                        add_memfd(m, &st);
        }
}

static void add_pss_of(pid_t pid, uint64_t *pss, uint64_t *shared)
{
        char path[48], line[160];
        _cleanup_fclose_ FILE *f = NULL;

        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f)) {
                if (strncmp(line, "Pss:", 4) == 0)
                        *pss += strtoull(line + 4, NULL, 10) * KIB;
                else if (strncmp(line, "Pss_Shmem:", 10) == 0)
                        *shared += strtoull(line + 10, NULL, 10) * KIB;
                else if (strncmp(line, "Shared_Hugetlb:", 15) == 0 || strncmp(line, "Private_Hugetlb:", 16) == 0)
                        *pss += strtoull(strchr(line, ':') + 1, NULL, 10) * KIB;
        }
}

void burst_memory_look(const struct burst_cgroup *c, uint64_t available_before_bytes, struct burst_memory *ret)
{
        pid_t pids[PROCESSES_MAX];
        size_t nr = MIN(tree_list(getpid(), pids, PROCESSES_MAX), (size_t)PROCESSES_MAX);
        struct memfds m = {.nr = 0};
        uint64_t pss = 0, shared = 0;

        /* the quickest first: what is still being filled goes on while we look */
        *ret = (struct burst_memory){.has_cgroup = false};
        ret->has_cgroup = burst_cgroup_memory(c, &ret->cgroup_bytes);
        ret->drop_bytes = (int64_t)available_before_bytes - (int64_t)burst_memory_available();
        for (size_t i = 0; i < nr; i++) {
                add_memfds_of(pids[i], &m);
                add_pss_of(pids[i], &pss, &shared);
        }
        ret->template_bytes = m.bytes;
        ret->pss_bytes = pss - shared + MAX(shared, m.bytes);
}
