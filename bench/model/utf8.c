/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates. */
#include "bench/model/utf8.h"

uint32_t utf8_point(const char *s, size_t *ret_bytes)
{
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        const unsigned char  *u = (const unsigned char *)s;
        size_t                more = u[0] < 0x80 ? 0 : (u[0] & 0xe0) == 0xc0 ? 1 : (u[0] & 0xf0) == 0xe0 ? 2
                                     : (u[0] & 0xf8) == 0xf0 ? 3 : 4;
        uint32_t              c;

        *ret_bytes = 1;
        if (more == 0)
                return u[0];
        if (more == 4)
                return 0xfffd;
        c = u[0] & (0x3fU >> more);
        for (size_t i = 1; i <= more; i++) {
                if ((u[i] & 0xc0) != 0x80)
                        return 0xfffd;
                c = c << 6 | (u[i] & 0x3f);
        }
        if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return 0xfffd;
        *ret_bytes = more + 1;
        return c;
}
