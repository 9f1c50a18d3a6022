/* Children are told by /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN), a few files each: a look at all of /proc takes
 * milliseconds. */
#include "bench/run/tree.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREE_MAX 512

static void add_children_of_thread(pid_t pid, const char *tid, pid_t *ret, size_t max, size_t *nr)
{
        char path[64];
        long child;
        _cleanup_fclose_ FILE *f = NULL;

        snprintf(path, sizeof(path), "/proc/%d/task/%.12s/children", pid, tid);
        f = fopen(path, "re");
        while (f && fscanf(f, "%ld", &child) == 1) {
                if (*nr < max)
                        ret[*nr] = (pid_t)child;
                (*nr)++;
        }
}

static void add_children(pid_t pid, pid_t *ret, size_t max, size_t *nr)
{
        char path[32];
        _cleanup_closedir_ DIR *d = NULL;

        snprintf(path, sizeof(path), "/proc/%d/task", pid);
        d = opendir(path);
        for (struct dirent *entry; d && (entry = readdir(d));)
                if (entry->d_name[0] != '.')
                        add_children_of_thread(pid, entry->d_name, ret, max, nr);
}

size_t tree_list(pid_t root, pid_t *ret, size_t max)
{
        size_t nr = 0;

        add_children(root, ret, max, &nr);
        for (size_t i = 0; i < nr && i < max; i++)
                add_children(ret[i], ret, max, &nr);
        return nr;
}

/* The sum of the lines of /proc/PID/NAME that begin with one of the keys, in bytes; each key's own where ret is an array. False:
 * it is gone, or may not be seen. */
static bool add_lines(pid_t pid, const char *name, const char *const *keys, size_t nr_keys, uint64_t **ret)
{
        char path[48], line[160];
        _cleanup_fclose_ FILE *f = NULL;

        snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
        f = fopen(path, "re");
        if (!f)
                return false;
        while (fgets(line, sizeof(line), f))
                for (size_t i = 0; i < nr_keys; i++)
                        if (strncmp(line, keys[i], strlen(keys[i])) == 0)
                                *ret[i] += strtoull(line + strlen(keys[i]), NULL, 10) * KIB;
        return true;
}

/* Huge pages of the pool count in no RSS. */
static void look_at(pid_t pid, bool pss, struct tree_levels *l)
{
        static const char *const status_keys[] = {"VmHWM:", "VmRSS:", "HugetlbPages:"};
        static const char *const rollup_keys[] = {"Pss:", "Shared_Hugetlb:", "Private_Hugetlb:"};

        if (!add_lines(pid, "status", status_keys, ARRAY_LEN(status_keys), (uint64_t *[]){&l->peak_bytes, &l->rss_bytes, &l->rss_bytes}))
                return;
        l->nr++;
        if (pss)
                add_lines(pid, "smaps_rollup", rollup_keys, ARRAY_LEN(rollup_keys),
                          (uint64_t *[]){&l->pss_bytes, &l->pss_bytes, &l->pss_bytes});
}

void tree_look(pid_t root, bool pss, struct tree_levels *ret)
{
        pid_t pids[TREE_MAX];
        size_t nr = MIN(tree_list(root, pids, TREE_MAX), (size_t)TREE_MAX);
        struct tree_levels l = {0};

        if (root != getpid())
                look_at(root, pss, &l);
        for (size_t i = 0; i < nr; i++)
                look_at(pids[i], pss, &l);
        *ret = l;
}
