/* core/model/ram_backing.h: what stands behind guest RAM.
 * Owns:    nothing.
 * Threads: plain data.
 * Blocks:  never. */
#pragma once

#include <stdbool.h>
#include <string.h>

enum ram_backing {
        RAM_ANON,    /* private memory of this process; parts of it may be mapped files, as the plan says */
        RAM_MEMFD,   /* a memfd of the VM's own, mapped shared: others can be given it */
        RAM_HUGETLB, /* the same, of 2 MiB pages from the host's pool */
};

static inline const char *ram_backing_name(enum ram_backing b)
{
        static const char *const names[] = { [RAM_ANON] = "anon", [RAM_MEMFD] = "memfd", [RAM_HUGETLB] = "hugetlb" };

        return names[b];
}

static inline bool ram_backing_find(const char *name, enum ram_backing *ret)
{
        for (enum ram_backing b = RAM_ANON; b <= RAM_HUGETLB; b++)
                if (strcmp(ram_backing_name(b), name) == 0) {
                        *ret = b;
                        return true;
                }
        return false;
}
