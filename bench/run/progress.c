/* One line, written over itself. */
#include "bench/run/progress.h"

#include "core/base/clock.h"
#include "core/base/units.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BAR 24

void progress_begin(struct progress *p, size_t all)
{
        *p = (struct progress){.shown = isatty(STDERR_FILENO), .all = all, .since_ns = now_ns()};
}

void progress_next(struct progress *p, const char *what)
{
        size_t done = MIN(p->done, p->all), filled = p->all ? done * BAR / p->all : 0;
        double took_s = (double)(now_ns() - p->since_ns) / (double)NS_PER_S, left_s = done ? took_s / (double)done * (double)(p->all - done) : 0;
        char bar[BAR + 1];

        p->done++;
        if (!p->shown)
                return;
        memset(bar, '.', BAR);
        memset(bar, '#', filled);
        bar[BAR] = 0;
        fprintf(stderr, "\r\033[K[%s] %zu of %zu  %.40s", bar, done, p->all, what);
        if (done)
                fprintf(stderr, "  %ld:%02ld left", (long)left_s / 60, (long)left_s % 60);
        fflush(stderr);
}

void progress_hide(const struct progress *p)
{
        if (p->shown)
                fprintf(stderr, "\r\033[K");
}
