/* tests/support/own_memory.c: one reading of smaps: RAM may grow meanwhile, it is not in the sum. */
#include "tests/support/own_memory.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <criterion/criterion.h>
#include <stdio.h>

uint64_t own_memory_bytes(const void *ram, size_t ram_bytes)
{
        _cleanup_fclose_ FILE *f = fopen("/proc/self/smaps", "re");
        unsigned long          first, end;
        uint64_t               sum = 0, kib;
        bool                   counts = false;
        char                   line[512];

        cr_assert(f);
        while (fgets(line, sizeof(line), f)) {
                if (sscanf(line, "%lx-%lx ", &first, &end) == 2)
                        counts = end <= (uintptr_t)ram || first >= (uintptr_t)ram + ram_bytes;
                else if (counts && sscanf(line, "Anonymous: %lu kB", &kib) == 1)
                        sum += kib * KIB;
        }
        return sum;
}

/* A sanitizer keeps books of its own in the same address space: then there is nothing to hold against a budget. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZERS_OWN (UINT64_C(1) << 40)
#else
#define SANITIZERS_OWN UINT64_C(0)
#endif

uint64_t own_memory_budget(uint64_t nr_pages, size_t nr_runs)
{
        return SANITIZERS_OWN + 8 * MIB + nr_pages / 4 + 32 * nr_runs;
}
