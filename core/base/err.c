/* core/base/err.c: fills error values; every text is made aside first, since an argument may be the old text itself. */
#include "core/base/err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0)))
static int fill(struct err *e, int r, enum err_kind kind, const char *fmt, va_list ap)
{
        char text[sizeof(e->text)];

        if (!e)
                return r;
        vsnprintf(text, sizeof(text), fmt, ap);
        memcpy(e->text, text, sizeof(text));
        e->code = r;
        e->kind = kind;
        return r;
}

/* Puts prefix and ": " before the text; what no longer fits at the end is cut. */
static void prepend(struct err *e, const char *prefix)
{
        char old[sizeof(e->text)];
        int  n;

        memcpy(old, e->text, sizeof(old));
        n = snprintf(e->text, sizeof(e->text), "%s: ", prefix);
        if (n >= 0 && (size_t)n < sizeof(e->text))
                snprintf(e->text + n, sizeof(e->text) - (size_t)n, "%s", old);
}

int err_set(struct err *e, int r, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        fill(e, r, ERR_FAILED, fmt, ap);
        va_end(ap);
        return r;
}

int err_host(struct err *e, int r, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        fill(e, r, ERR_HOST, fmt, ap);
        va_end(ap);
        return r;
}

int err_usage(struct err *e, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        fill(e, -EINVAL, ERR_USAGE, fmt, ap);
        va_end(ap);
        return -EINVAL;
}

int err_bad(struct err *e, const char *file, uint64_t offset_bytes, const char *fmt, ...)
{
        char    place[sizeof(e->text)];
        va_list ap;

        if (!e)
                return -EBADMSG;
        /* before fill(): file may point into the old text */
        if (offset_bytes == ERR_NO_OFFSET)
                snprintf(place, sizeof(place), "%s", file);
        else
                snprintf(place, sizeof(place), "%s: offset %" PRIu64, file, offset_bytes);

        va_start(ap, fmt);
        fill(e, -EBADMSG, ERR_SNAPSHOT, fmt, ap);
        va_end(ap);
        prepend(e, place);
        return -EBADMSG;
}

int err_wrap(struct err *e, int r, const char *fmt, ...)
{
        char    phrase[sizeof(e->text)];
        va_list ap;

        if (!e)
                return r;
        va_start(ap, fmt);
        if (e->code == 0) {
                /* nobody said anything yet: the phrase is all there is */
                fill(e, r, ERR_FAILED, fmt, ap);
        } else {
                vsnprintf(phrase, sizeof(phrase), fmt, ap);
                prepend(e, phrase);
        }
        va_end(ap);
        return e->code;
}
