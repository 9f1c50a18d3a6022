/* TICK lines, checked the way a person would read them. */
#include "tests/support/beacon.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A line that ends in a newline: the last one may be cut off by the end of the VM. */
static bool parse(const char *line, struct beacon_tick *ret)
{
        unsigned long long n, nonce;
        struct beacon_tick t = {0};

        if (!strchr(line, '\n') || sscanf(line, "TICK %llu nonce=%llx%255[^\n]", &n, &nonce, t.words) != 3 ||
            strncmp(t.words, " walked=", 8))
                return false;
        t.n = n;
        t.nonce = nonce;
        t.good = strstr(t.words, " bad=0 ") && strstr(t.words, " stuck=0 ") && strstr(t.words, " irq=ok");
        *ret = t;
        return true;
}

uint64_t beacon_number(const struct beacon_tick *t, const char *name)
{
        char key[64];
        const char *at;

        snprintf(key, sizeof(key), " %s=", name);
        at = strstr(t->words, key);
        return at ? strtoull(at + strlen(key), NULL, 10) : 0;
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
                cr_assert_eq(t.n, first_n + seen, "expected TICK %llu, found TICK %llu in:\n%s",
                             (unsigned long long)(first_n + seen), (unsigned long long)t.n, text);
                cr_assert_eq(t.nonce, nonce, "expected nonce %llx, found %llx", (unsigned long long)nonce,
                             (unsigned long long)t.nonce);
                cr_assert(t.good, "expected bad=0 stuck=0 irq=ok, found: %.200s", l);
                seen++;
        }
        cr_assert_geq(seen, least, "expected %zu ticks, found %zu in:\n%s", least, seen, text);
        return t;
}
