/* formats/cursor.c: every read of a snapshot's bytes is compared with what is left before it happens. */
#include "formats/cursor.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>

int cursor_take(struct cursor *c, const char *what, uint64_t len, const uint8_t **ret, struct err *e)
{
        if (len > cursor_left(c))
                return err_bad(e, c->file, cursor_offset(c), "expected %" PRIu64 " bytes of %s, found %zu"
                               "; the file is cut short or damaged, use another copy", len, what, cursor_left(c));
        *ret = c->bytes + c->at;
        c->at += len;
        return 0;
}

int cursor_u64(struct cursor *c, const char *what, uint64_t *ret, struct err *e)
{
        const uint8_t *p = NULL;
        uint64_t       v;
        int            r = cursor_take(c, what, sizeof(v), &p, e);

        if (r < 0)
                return r;
        memcpy(&v, p, sizeof(v));
        *ret = le64toh(v);
        return 0;
}
