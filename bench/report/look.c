/* What may be printed where. */
#include "bench/report/report.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { COLUMNS_MAX = 100, COLUMNS_MIN = 60 };

/* As setlocale(3) would choose; the program itself stays in the C locale, so that a figure has a point and never a comma. */
static bool locale_is_utf8(void)
{
        static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

        for (size_t i = 0; i < 3; i++) {
                const char *v = getenv(names[i]);

                if (v && *v)
                        return strcasestr(v, "utf-8") || strcasestr(v, "utf8");
        }
        return false;
}

static unsigned terminal_columns(int fd)
{
        struct winsize size;

        if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_col > COLUMNS_MAX)
                return COLUMNS_MAX;
        return size.ws_col < COLUMNS_MIN ? COLUMNS_MIN : size.ws_col;
}

struct bench_look bench_look_of(FILE *to)
{
        int         fd = fileno(to);
        bool        terminal = fd >= 0 && isatty(fd);
        const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");

        return (struct bench_look){
                .columns = terminal ? terminal_columns(fd) : COLUMNS_MAX,
                .utf8 = locale_is_utf8(),
                .colour = terminal && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0,
        };
}
