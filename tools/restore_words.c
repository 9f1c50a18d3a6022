/* --mode and --hints. */
#include "tools/restore_words.h"

#include "core/base/units.h"

#include <string.h>

bool take_mode(const char *text, enum restore_mode *ret)
{
        static const struct {
                const char       *name;
                enum restore_mode mode;
        } modes[] = {{"auto", RESTORE_AUTO}, {"lazy", RESTORE_LAZY}, {"mmap", RESTORE_MMAP}, {"eager", RESTORE_EAGER}, {"shared", RESTORE_SHARED}};

        for (size_t i = 0; i < ARRAY_LEN(modes); i++)
                if (strcmp(modes[i].name, text) == 0) {
                        *ret = modes[i].mode;
                        return true;
                }
        return false;
}

void take_hints(const char *text, struct restore_options *ret)
{
        ret->hints = strcmp(text, "auto") == 0 ? HINTS_AUTO : strcmp(text, "none") == 0 ? HINTS_NONE : HINTS_FILE;
        ret->hints_path = text;
}
