/* /sys/kernel/mm/hugepages/hugepages-2048kB (Documentation/admin-guide/mm/hugetlbpage.rst). */
#include "core/huge_pool.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <stdio.h>

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"

static bool read_pool(const char *path, uint64_t *ret)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        unsigned long long n;

        if (!f || fscanf(f, "%llu", &n) != 1)
                return false;
        *ret = n;
        return true;
}

struct pool {
        uint64_t total, free, reserved; /* pages; reserved ones are free and promised */
};

static bool look(struct pool *ret)
{
        return read_pool(POOL "nr_hugepages", &ret->total) && read_pool(POOL "free_hugepages", &ret->free) &&
               read_pool(POOL "resv_hugepages", &ret->reserved);
}

static uint64_t to_be_had(const struct pool *p)
{
        return p->free > p->reserved ? p->free - p->reserved : 0;
}

uint64_t huge_pool_to_be_had(void)
{
        struct pool p = {0};

        return look(&p) ? to_be_had(&p) : 0;
}

int huge_pool_refuse(uint64_t need_bytes, struct err *e)
{
        uint64_t need = need_bytes / HUGE_PAGE_BYTES;
        struct pool p = {0};

        if (!look(&p))
                return err_host(e, -ENODEV, "--memory-backing hugetlb: expected a kernel with 2 MiB pages (CONFIG_HUGETLBFS), found none; use memfd or anon");
        return err_host(e, -ENOMEM, "--memory-backing hugetlb: expected %llu free huge pages of 2 MiB, found %llu of %llu; sysctl -w vm.nr_hugepages=%llu",
                        (unsigned long long)need, (unsigned long long)to_be_had(&p), (unsigned long long)p.total,
                        (unsigned long long)(p.total - to_be_had(&p) + need));
}

int huge_pool_check_size(uint64_t bytes, struct err *e)
{
        if (bytes % HUGE_PAGE_BYTES == 0)
                return 0;
        return err_host(e, -EINVAL, "--memory-backing hugetlb: expected guest RAM in whole pages of 2 MiB, found %llu bytes; use memfd or anon",
                        (unsigned long long)bytes);
}

int huge_pool_check(uint64_t need_bytes, struct err *e)
{
        struct pool p = {0};
        int r = huge_pool_check_size(need_bytes, e);

        if (r < 0)
                return r;
        if (look(&p) && to_be_had(&p) >= need_bytes / HUGE_PAGE_BYTES)
                return 0;
        return huge_pool_refuse(need_bytes, e);
}
