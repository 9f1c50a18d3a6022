/* TICK lines, checked the way a person would read them. */
#include "tests/support/beacon.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

/* A line that ends in a newline: the last one may be cut off by the end of the VM. */
static bool parse(const char *line, struct beacon_tick *ret)
{
        unsigned long long n, nonce;
        char rest[200];

        if (!strchr(line, '\n') || sscanf(line, "TICK %llu nonce=%llx walked=%199[^\n]", &n, &nonce, rest) != 3)
                return false;
        *ret = (struct beacon_tick){.n = n, .nonce = nonce, .good = strstr(rest, " bad=0 ") && strstr(rest, " stuck=0 ") && strstr(rest, " irq=ok")};
        return true;
}

static const char *next_line(const char *line)
{
        const char *nl = strchr(line, '\n');

        return nl ? nl + 1 : NULL;
}

bool beacon_first(const char *text, struct beacon_tick *ret)
{
        for (const char *l = text; l; l = next_line(l))
                if (parse(l, ret))
                        return true;
        return false;
}

bool beacon_last(const char *text, struct beacon_tick *ret)
{
        bool any = false;

        for (const char *l = text; l; l = next_line(l))
                any |= parse(l, ret);
        return any;
}

struct beacon_tick beacon_assert_goes_on(const char *text, uint64_t first_n, uint64_t nonce, size_t least)
{
        struct beacon_tick t = {0};
        size_t seen = 0;

        cr_assert_null(strstr(text, "BOOT"), "the guest booted again:\n%s", text);
        for (const char *l = text; l; l = next_line(l)) {
                if (!parse(l, &t))
                        continue;
                cr_assert_eq(t.n, first_n + seen, "expected TICK %llu, found TICK %llu in:\n%s", (unsigned long long)(first_n + seen),
                             (unsigned long long)t.n, text);
                cr_assert_eq(t.nonce, nonce, "expected nonce %llx, found %llx", (unsigned long long)nonce, (unsigned long long)t.nonce);
                cr_assert(t.good, "expected bad=0 stuck=0 irq=ok, found: %.120s", l);
                seen++;
        }
        cr_assert_geq(seen, least, "expected %zu ticks, found %zu in:\n%s", least, seen, text);
        return t;
}
