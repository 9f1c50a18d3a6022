/* formats/microvm_windows.c: RAM size to windows; a snapshot with others would put RAM over the devices. */
#include "formats/microvm_windows.h"

#include <inttypes.h>

int microvm_windows(const char *file, uint64_t offset_bytes, uint64_t total_bytes, struct mem_layout *ret, struct err *e)
{
        struct mem_layout l = { 0 };
        int               r;

        if (!is_page_aligned(total_bytes) || total_bytes < MICROVM_RAM_MIN_BYTES || total_bytes > MICROVM_RAM_MAX_BYTES)
                return err_bad(e, file, offset_bytes,
                               "expected %" PRIu64 " to %" PRIu64 " bytes of RAM in whole 4096-byte pages, "
                               "found %" PRIu64
                               "; the file is damaged, use another copy", (uint64_t)MICROVM_RAM_MIN_BYTES,
                               (uint64_t)MICROVM_RAM_MAX_BYTES,
                               total_bytes);
        r = mem_layout_add(&l, 0, MIN(total_bytes, MICROVM_LOW_END), e);
        if (r == 0 && total_bytes > MICROVM_LOW_END)
                r = mem_layout_add(&l, MICROVM_HIGH_BEGIN, total_bytes - MICROVM_LOW_END, e);
        if (r < 0)
                return r;
        *ret = l;
        return 0;
}
