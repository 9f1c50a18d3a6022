/* A name becomes a file name, so it is checked before it is used as one. */
#include "core/control/socket_path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

int control_name_is_good(const char *name, struct err *e)
{
        size_t len = strlen(name);

        if (len < 1 || len > 64 || strspn(name, NAME_CHARS) != len || name[0] == '.')
                return err_usage(e, "name '%s': expected 1 to 64 of A-Z a-z 0-9 . _ - and no dot in front", name);
        return 0;
}

int control_address(const char *runtime_dir, const char *name, struct sockaddr_un *ret, struct err *e)
{
        struct sockaddr_un a = {.sun_family = AF_UNIX};
        int n = control_name_is_good(name, e);

        if (n < 0)
                return n;
        n = snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s.sock", runtime_dir, name);
        if (n < 0 || (size_t)n >= sizeof(a.sun_path))
                return err_set(e, -ENAMETOOLONG, "control socket %s/%s.sock: expected a path of at most %zu bytes; set "
                               "XDG_RUNTIME_DIR to a shorter one",
                               runtime_dir, name, sizeof(a.sun_path) - 1);
        *ret = a;
        return 0;
}
