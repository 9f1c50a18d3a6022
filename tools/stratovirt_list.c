/* Lists that are looked through in place: they are short, and nothing is kept of them. */
#include "tools/stratovirt_list.h"

#include <stdio.h>
#include <string.h>

const char *list_find(const char *list, const char *key, char buf[LIST_VALUE_MAX])
{
        size_t key_len = strlen(key);

        for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
                size_t len = strcspn(p, ",");

                if (strncmp(p, key, key_len) || (p[key_len] != '=' && key_len != len))
                        continue;
                snprintf(buf, LIST_VALUE_MAX, "%.*s", len > key_len ? (int)(len - key_len - 1) : 0, p + key_len + 1);
                return buf;
        }
        return NULL;
}

bool list_is(const char *list, const char *key, const char *value)
{
        char buf[LIST_VALUE_MAX];
        const char *v = list_find(list, key, buf);

        return v && strcmp(v, value) == 0;
}

const char *list_kind(const char *list, char buf[LIST_VALUE_MAX])
{
        snprintf(buf, LIST_VALUE_MAX, "%.*s", (int)strcspn(list, ","), list);
        return buf;
}

bool list_is_kind(const char *list, const char *kind)
{
        size_t len = strlen(kind);

        return strncmp(list, kind, len) == 0 && (list[len] == ',' || !list[len]);
}

int list_check(const char *option, const char *list, bool has_kind, const char *const *known, struct err *e)
{
        const char *p = has_kind ? strchr(list, ',') : list;

        for (p = p && has_kind ? p + 1 : p; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
                size_t len = strcspn(p, "=,"), i = 0;

                while (known[i] && (strlen(known[i]) != len || strncmp(known[i], p, len)))
                        i++;
                if (!known[i])
                        return err_usage(e, "%s %s: unknown word '%.*s'", option, list, (int)strcspn(p, ","), p);
                if (strcspn(p, ",") >= LIST_VALUE_MAX) /* cut, it would name another file */
                        return err_usage(e, "%s: expected values of fewer than %d bytes, found one of %zu: %.40s...", option,
                                         LIST_VALUE_MAX, strcspn(p, ","), p);
        }
        return 0;
}
