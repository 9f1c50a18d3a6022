/* --mode, --hints, and what goes with a mode. */
#include "tools/restore_words.h"

#include "core/base/units.h"
#include "tools/cli.h"

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

bool mode_has_backing(const char *verb, const struct restore_options *o)
{
        enum ram_backing b = o->common.memory_backing;

        if (o->mode == RESTORE_MMAP && b != RAM_ANON) {
                cli_usage(verb, "--mode mmap cannot have --memory-backing %s: guest RAM is the memory file itself; use --mode auto, lazy or eager", ram_backing_name(b));
                return false;
        }
        if (o->mode == RESTORE_SHARED && b == RAM_MEMFD) {
                cli_usage(verb, "--mode shared cannot have --memory-backing memfd: guest RAM is a private mapping of a template, not a memfd of the "
                          "VM's own; use --memory-backing anon or hugetlb, or --mode lazy");
                return false;
        }
        if (o->collapse && (b != RAM_ANON || !o->fill || (o->mode != RESTORE_AUTO && o->mode != RESTORE_LAZY))) {
                cli_usage(verb, "--collapse on needs --mode auto or lazy, --fill on and --memory-backing anon: huge pages are made of 4 KiB ones when "
                          "all is in");
                return false;
        }
        return true;
}
