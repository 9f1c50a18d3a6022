/* core/base/is_zero.c: bytes that begin with zeros and equal themselves one line further on are all zeros.
 *
 *     [ line 0 = 0 ][ line 1 ][ line 2 ] ... [ last ]
 *     [ line 1     ][ line 2 ] ... [ last ]            each equals the one before it
 *
 * So memcmp does the pass, with the widest registers this CPU has. Measured on zero pages: 22 GB/s over 256 MiB and 93 in the L2
 * cache, where a loop over 64-bit words that gcc 12 vectorised for plain x86-64 had 19 and 31. */
#include "core/base/is_zero.h"

#include "core/base/units.h"

#include <string.h>

#define LINE_BYTES 64 /* the granule of len_bytes */

/* Nearly every data page is told here, by its first line. */
static bool line_is_zero(const unsigned char *p)
{
        uint64_t w[LINE_BYTES / sizeof(uint64_t)];

        memcpy(w, p, sizeof(w));
        return ((w[0] | w[1] | w[2] | w[3]) | (w[4] | w[5] | w[6] | w[7])) == 0;
}

bool is_zero(const void *p, size_t len_bytes)
{
        const unsigned char *bytes = p;

        if (len_bytes < LINE_BYTES)
                return true; /* a multiple of 64: nothing */
        return line_is_zero(bytes) && memcmp(bytes, bytes + LINE_BYTES, len_bytes - LINE_BYTES) == 0;
}

uint64_t alike_pages(const uint8_t *bytes, uint64_t nr_pages, bool *ret_zero)
{
        bool     zero = is_zero(bytes, PAGE_BYTES);
        uint64_t nr = 1;

        while (nr < nr_pages && is_zero(bytes + pages_to_bytes(nr), PAGE_BYTES) == zero)
                nr++;
        *ret_zero = zero;
        return nr;
}
