/* One line, written over itself. */
#include "bench/run/progress.h"

#include "core/base/clock.h"
#include "core/base/units.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR       24
#define COLUMNS   80 /* where the terminal does not say */
#define LEFT_ROOM 16 /* "  123:45 left", and the cursor */

/* How long what may be said is: a line that goes over the edge is not written over any more. */
static int room(int used)
{
        struct winsize w;
        int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : COLUMNS;

        return MAX(columns - used - LEFT_ROOM, 0);
}

void progress_begin(struct progress *p, size_t all)
{
        *p = (struct progress){.shown = isatty(STDERR_FILENO), .all = all, .since_ns = now_ns()};
}

void progress_next(struct progress *p, const char *what)
{
        size_t done = MIN(p->done, p->all), filled = p->all ? done * BAR / p->all : 0;
        double took_s = (double)(now_ns() - p->since_ns) / (double)NS_PER_S;
        double left_s = done ? took_s / (double)done * (double)(p->all - done) : 0;
        char bar[BAR + 1];
        int used;

        p->done++;
        if (!p->shown)
                return;
        memset(bar, '.', BAR);
        memset(bar, '#', filled);
        bar[BAR] = 0;
        fprintf(stderr, "\r\033[K");
        used = fprintf(stderr, "[%s] %zu of %zu  ", bar, done, p->all);
        fprintf(stderr, "%.*s", room(used), what);
        if (done)
                fprintf(stderr, "  %ld:%02ld left", (long)left_s / 60, (long)left_s % 60);
        fflush(stderr);
}

void progress_hide(const struct progress *p)
{
        if (p->shown)
                fprintf(stderr, "\r\033[K");
}
