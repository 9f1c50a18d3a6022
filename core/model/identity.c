/* core/model/identity.c: an identity is compared and checked before it names a file. */
#include "core/model/identity.h"

#include <string.h>

bool identity_equal(const struct identity *a, const struct identity *b)
{
        return strncmp(a->s, b->s, sizeof(a->s)) == 0;
}

bool identity_is_valid(const struct identity *id)
{
        size_t len = strnlen(id->s, sizeof(id->s));

        return len > 0 && len < sizeof(id->s) && strspn(id->s, "0123456789abcdef-") == len;
}
