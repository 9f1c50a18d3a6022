/* What the cgroups of this process leave it. */
#include "core/host_judge.h"

#include "core/base/units.h"

#include <stdio.h>
#include <string.h>

/* Up to Linux 6.12 KVM_CREATE_VM makes a kernel thread that splits huge pages, and has it join the caller's cgroups; then it
 * became a thread of the caller (commit d96c77bd4eeb). With nx_huge_pages=never there is none. */
static bool creating_joins_cgroups(const struct host_look *h)
{
        unsigned major = 0, minor = 0;

        if (sscanf(h->files.release, "%u.%u", &major, &minor) != 2 || strcmp(h->files.nx_huge_pages, "never") == 0)
                return false;
        return major < 6 || (major == 6 && minor < 13);
}

void judge_cgroup(const struct host_look *h, struct host_fact *f)
{
        fact_number(f, h->files.cgroup_version);
        f->state = h->files.cgroup_version != 1 ? FACT_OK : creating_joins_cgroups(h) ? FACT_SLOW : FACT_INFO;
}

void judge_favordynmods(const struct host_look *h, struct host_fact *f)
{
        if (h->files.cgroup_version != 2) {
                fact_unknown(f, "only of cgroup 2");
                return;
        }
        fact_flag(f, h->files.cgroup_favordynmods);
        if (f->state != FACT_OK && !creating_joins_cgroups(h))
                f->state = FACT_INFO;
}

/* A limit that is there is told; it is a lack where less than enough is left of it. */
static void judge_limit(const struct host_limit *l, int64_t enough, bool bytes, struct host_fact *f)
{
        int64_t left = l->used == HOST_UNKNOWN ? l->value : l->value > l->used ? l->value - l->used : 0;

        (bytes ? fact_bytes : fact_number)(f, l->value);
        if (f->state == FACT_UNKNOWN)
                fact_unknown(f, "no such limit");
        if (f->kind == FACT_NUMBER) {
                size_t n = strlen(f->text);

                f->state = fact_good_if(left >= enough);
                snprintf(f->text + n, sizeof(f->text) - n, " in %.180s", l->where);
        }
}

/* The hierarchy that a limit came from shows in the names of its files. */
static void mend_limit(struct host_fact *f, const struct host_look *h, const struct host_limit *l, const char *v2, const char *v1)
{
        bool is_v1 = h->files.cgroup_version == 1;

        if (l->where[0])
                fact_mend(f, "echo %s > %s/%s", is_v1 && strcmp(v1, v2) != 0 ? "-1" : "max", l->where, is_v1 ? v1 : v2);
}

#define LIMIT_LEFT_BYTES ((int64_t)GIB) /* arbitrary: less than most VMs have */

void judge_memory_max(const struct host_look *h, struct host_fact *f)
{
        judge_limit(&h->files.memory_max, LIMIT_LEFT_BYTES, true, f);
        mend_limit(f, h, &h->files.memory_max, "memory.max", "memory.limit_in_bytes");
}

void judge_memory_high(const struct host_look *h, struct host_fact *f)
{
        judge_limit(&h->files.memory_high, LIMIT_LEFT_BYTES, true, f);
        mend_limit(f, h, &h->files.memory_high, "memory.high", "memory.high");
}

void judge_swap_max(const struct host_look *h, struct host_fact *f)
{
        judge_limit(&h->files.swap_max, 0, true, f);
        f->state = f->state == FACT_UNKNOWN ? FACT_UNKNOWN : FACT_INFO;
}

void judge_cpu_max(const struct host_look *h, struct host_fact *f)
{
        judge_limit(&h->files.cpu_percent, (int64_t)h->caps.nr_cpus * 100, false, f);
        mend_limit(f, h, &h->files.cpu_percent, "cpu.max", "cpu.cfs_quota_us");
}

void judge_pids_max(const struct host_look *h, struct host_fact *f)
{
        judge_limit(&h->files.pids_max, 64, false, f); /* a VM has a thread a vCPU, and a few of its own */
        mend_limit(f, h, &h->files.pids_max, "pids.max", "pids.max");
}

void judge_huge_max(const struct host_look *h, struct host_fact *f)
{
        judge_limit(&h->files.huge_2m_max, LIMIT_LEFT_BYTES, true, f);
        mend_limit(f, h, &h->files.huge_2m_max, "hugetlb.2MB.max", "hugetlb.2MB.limit_in_bytes");
}

void judge_io_max(const struct host_look *h, struct host_fact *f)
{
        if (h->files.io.value == HOST_UNKNOWN)
                fact_unknown(f, "no such limit");
        else if (h->files.io.value == HOST_NO_LIMIT)
                fact_text(f, true, "no limit");
        else
                fact_text(f, false, "some device is limited in %.200s", h->files.io.where);
}
