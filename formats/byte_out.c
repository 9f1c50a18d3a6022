/* formats/byte_out.c: a buffer that grows. */
#include "formats/byte_out.h"

#include "core/base/units.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void byte_out_free(struct byte_out *o)
{
        free(o->bytes);
        *o = (struct byte_out){ 0 };
}

/* Room for len more; NULL once anything failed. */
static uint8_t *reserve(struct byte_out *o, size_t len)
{
        if (!o->failed && o->cap - o->len < len) {
                size_t   cap = MAX(o->cap * 2, o->len + len);
                uint8_t *grown = realloc(o->bytes, cap);

                if (!grown) {
                        o->failed = -ENOMEM;
                        return NULL;
                }
                o->bytes = grown;
                o->cap = cap;
        }
        return o->failed ? NULL : o->bytes + o->len;
}

void byte_out_add(struct byte_out *o, const void *bytes, size_t len)
{
        uint8_t *to = reserve(o, len);

        if (!to || !len)
                return;
        memcpy(to, bytes, len);
        o->len += len;
}

void byte_out_text(struct byte_out *o, const char *fmt, ...)
{
        va_list ap, again;
        int     len;

        va_start(ap, fmt);
        va_copy(again, ap);
        len = vsnprintf(NULL, 0, fmt, ap);
        va_end(ap);
        /* one more: vsnprintf wants to end it with a NUL, which the next add overwrites */
        if (len < 0)
                o->failed = o->failed ? o->failed : -EINVAL;
        else if (reserve(o, (size_t)len + 1)) {
                vsnprintf((char *)o->bytes + o->len, (size_t)len + 1, fmt, again);
                o->len += (size_t)len;
        }
        va_end(again);
}

void byte_out_pad(struct byte_out *o, size_t to)
{
        size_t   len = align_up(o->len, to) - o->len;
        uint8_t *at = reserve(o, len);

        if (!at || !len)
                return;
        memset(at, 0, len);
        o->len += len;
}
