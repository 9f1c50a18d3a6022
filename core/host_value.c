/* The value of a fact: a number, bytes, a flag, words, and what is not told. */
#include "core/host_judge.h"

#include "core/base/units.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum fact_state fact_good_if(bool good)
{
        return good ? FACT_OK : FACT_SLOW;
}

void fact_unknown(struct host_fact *f, const char *fmt, ...)
{
        va_list ap;

        f->kind = FACT_NULL;
        f->state = FACT_UNKNOWN;
        va_start(ap, fmt);
        vsnprintf(f->text, sizeof(f->text), fmt, ap);
        va_end(ap);
}

void fact_number(struct host_fact *f, int64_t v)
{
        if (v == HOST_UNKNOWN) {
                fact_unknown(f, "not told by this kernel");
                return;
        }
        f->kind = v == HOST_NO_LIMIT ? FACT_NULL : FACT_NUMBER;
        f->number = v;
        if (v == HOST_NO_LIMIT)
                snprintf(f->text, sizeof(f->text), "no limit");
        else
                snprintf(f->text, sizeof(f->text), "%" PRId64, v);
}

void fact_bytes(struct host_fact *f, int64_t v)
{
        fact_number(f, v);
        if (f->kind != FACT_NUMBER)
                return;
        if ((uint64_t)v >= 10 * GIB)
                snprintf(f->text, sizeof(f->text), "%" PRIu64 " GiB", (uint64_t)v / GIB);
        else if ((uint64_t)v >= 10 * MIB)
                snprintf(f->text, sizeof(f->text), "%" PRIu64 " MiB", (uint64_t)v / MIB);
        else if ((uint64_t)v >= 10 * KIB)
                snprintf(f->text, sizeof(f->text), "%" PRIu64 " KiB", (uint64_t)v / KIB);
}

void fact_flag(struct host_fact *f, bool good)
{
        f->kind = FACT_FLAG;
        f->number = good;
        f->state = fact_good_if(good);
        snprintf(f->text, sizeof(f->text), good ? "yes" : "no");
}

void fact_try(struct host_fact *f, int error)
{
        fact_flag(f, error == 0);
        if (error)
                snprintf(f->text, sizeof(f->text), "no: %s", strerror(error));
}

void fact_text(struct host_fact *f, bool good, const char *fmt, ...)
{
        va_list ap;

        f->kind = FACT_TEXT;
        f->state = fact_good_if(good);
        va_start(ap, fmt);
        vsnprintf(f->text, sizeof(f->text), fmt, ap);
        va_end(ap);
}

void fact_mend(struct host_fact *f, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(f->command, sizeof(f->command), fmt, ap);
        va_end(ap);
}
