/* What was recorded here comes first: it is the younger one, and the one that the user asked for by --record auto. */
#include "core/find_hints.h"

#include "formats/hints_file.h"

#include <errno.h>

int hints_find(const struct snapshot *s, const char *data_dir, struct hints *ret, struct err *e)
{
        int r = -ENOENT;

        if (data_dir)
                r = hints_file_read_data_dir(data_dir, &s->identity, s->pages.nr_pages, ret, e);
        if (r == -ENOENT && s->format == &format_native)
                r = hints_file_read(s->dir_fd, HINTS_NAME, &s->identity, s->pages.nr_pages, ret, e);
        return r;
}
