/* tools/hints_plot.c: first touches over time and address, as an SVG that stands by itself and is drawn the same on every host:
 * no library, no font of its own. Marks lie on a grid, one for each cell and kind, so that the file stays small whatever the
 * number of pages.
 *
 *   title, what it is of
 *   legend
 *   MiB |        .      |          up: the place in RAM
 *       |  .  ..:: .    | :.       the dashed line: the last first touch before T3 (T4)
 *       +---------------+----  ms since the guest was entered */
#include "tools/hints_words.h"

#include "core/base/bitmap.h"
#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define WIDTH  960
#define HEIGHT 568
#define LEFT   72 /* of the plot area */
#define TOP    112
#define AREA_W 860
#define AREA_H 400
#define CELL   2 /* pixels: the grid that marks lie on */
#define CELLS_W 430
#define CELLS_H 200
static_assert(CELLS_W * CELL == AREA_W && CELLS_H * CELL == AREA_H, "cells fill the plot area");
#define FEW_PAGES 4000 /* up to here marks are larger than their cell: arbitrary, by looking at them */

enum mark { MARK_ZERO, MARK_READ, MARK_CHANGED, MARK_WRITTEN, MARKS };

/* Colours of Okabe and Ito, told apart by colour-blind readers; lighter ones on a dark page. */
static const struct {
        const char *class, *label, *light, *dark;
} marks[MARKS] = {
        [MARK_ZERO] = {"z", "zero in the snapshot", "#8a8a8a", "#8f8f8f"},
        [MARK_READ] = {"r", "only read", "#0072b2", "#56b4e9"},
        [MARK_CHANGED] = {"c", "read, later changed", "#d55e00", "#f0a030"},
        [MARK_WRITTEN] = {"w", "written first", "#007a5a", "#3fd0a4"},
};

static enum mark mark_of(const struct hint *h)
{
        if (h->flags & HINT_ZERO)
                return MARK_ZERO;
        if (h->flags & HINT_WRITTEN)
                return MARK_WRITTEN;
        return h->flags & HINT_DIFFERS ? MARK_CHANGED : MARK_READ;
}

struct axis {
        double      max, step; /* in units */
        const char *unit;
        double      per_unit; /* of what is drawn: us, bytes, places */
};

/* Steps of 1, 2, 5, 10, ... as few as 8 of them or fewer reach max; the axis ends with a whole one. */
static void make_decimal_steps(struct axis *a, double max)
{
        static const double times[] = {2, 2.5, 2};
        double step = 1;

        for (size_t i = 0; max / step > 8; i++)
                step *= times[i % ARRAY_LEN(times)];
        a->step = step;
        for (a->max = step; a->max < max;)
                a->max += step;
}

/* The same with steps of 1, 2, 4, 8, ... */
static void make_binary_steps(struct axis *a, double max)
{
        for (a->step = 1; max / a->step > 8;)
                a->step *= 2;
        for (a->max = a->step; a->max < max;)
                a->max += a->step;
}

static struct axis time_axis(const struct hints *h, const struct hints_summary *s)
{
        struct axis a = {.unit = "ms", .per_unit = 1000};
        double max = MAX(s->all.last_us, 1u);

        if (s->all.last_us == 0 && h->nr > 1) {
                a = (struct axis){.unit = NULL, .per_unit = 1};
                max = (double)h->nr;
        } else if (max < 5000) {
                a = (struct axis){.unit = "us", .per_unit = 1};
        } else if (max >= 5e6) {
                a = (struct axis){.unit = "s", .per_unit = 1e6};
        }
        make_decimal_steps(&a, max / a.per_unit);
        return a;
}

static struct axis place_axis(const struct hints *h)
{
        struct axis a = {.unit = "MiB", .per_unit = (double)MIB};
        uint64_t end = 1;

        for (size_t i = 0; i < h->nr; i++)
                end = MAX(end, (uint64_t)h->v[i].page + 1);
        if (pages_to_bytes(end) < 2 * MIB)
                a = (struct axis){.unit = "KiB", .per_unit = (double)KIB};
        make_binary_steps(&a, (double)pages_to_bytes(end) / a.per_unit);
        return a;
}

/* --- text --- */

/* A file's name, as far as it is plain. */
static void put_text(FILE *to, const char *s)
{
        for (; *s; s++) {
                if (*s == '<')
                        fputs("&lt;", to);
                else if (*s == '&')
                        fputs("&amp;", to);
                else
                        fputc(*s >= ' ' && *s <= '~' ? *s : '?', to);
        }
}

/* Plain rules, without variables: not every reader of SVG knows those. */
static void put_colours(FILE *to, bool dark)
{
        static const struct {
                const char *rule, *light, *dark;
        } rules[] = {
                {".bg { fill:", "#ffffff", "#16181c"},     {"text { fill:", "#1c1c1c", "#ececec"},
                {".soft { fill:", "#5c5c5c", "#a8a8a8"},
                {".grid { stroke:", "#e4e4e4", "#2c2f36"}, {".axis { stroke:", "#9a9a9a", "#70757f"},
                {".phase { stroke:", "#5c5c5c", "#a8a8a8"},
        };

        for (size_t i = 0; i < ARRAY_LEN(rules); i++)
                fprintf(to, "%s %s; }\n", rules[i].rule, dark ? rules[i].dark : rules[i].light);
        for (int m = 0; m < MARKS; m++)
                fprintf(to, ".%s { fill: %s; }\n", marks[m].class, dark ? marks[m].dark : marks[m].light);
}

static void put_style(FILE *to)
{
        fputs("<style>\n"
              "text { font: 13px system-ui, sans-serif; }\n"
              ".title { font-size: 19px; font-weight: 600; }\n.end { text-anchor: end; }\n.mid { text-anchor: middle; }\n"
              ".phase { stroke-dasharray: 4 4; }\n.pale { opacity: 0.4; }\n", to);
        put_colours(to, false);
        fputs("@media (prefers-color-scheme: dark) {\n", to);
        put_colours(to, true);
        fputs("}\n</style>\n", to);
}

static const char *base_name(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash && slash[1] ? slash + 1 : path;
}

static void put_head(FILE *to, const struct hints *h, const struct hints_summary *s, const char *file)
{
        fprintf(to, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" role=\"img\" "
                "aria-labelledby=\"t d\">\n<title id=\"t\">First touches of pages after a restore</title>\n<desc id=\"d\">%" PRIu64 " pages of %" PRIu32 " recording%s, ",
                WIDTH, HEIGHT, WIDTH, HEIGHT, s->all.pages, h->recordings, h->recordings == 1 ? "" : "s");
        for (int p = 0; p < HINT_PHASES; p++)
                fprintf(to, "%s%" PRIu64 " %s", p ? ", " : "", s->phase[p].pages, hint_phase_name((enum hint_phase)p));
        fputs(". Across: when each page was first touched. Up: its place in RAM. Colour: what the touch was.</desc>\n", to);
        put_style(to);
        fprintf(to, "<rect class=\"bg\" width=\"%d\" height=\"%d\"/>\n<text class=\"title\" x=\"%d\" y=\"32\">First touches of "
                "pages after a restore</text>\n<text class=\"soft\" x=\"%d\" y=\"54\">",
                WIDTH, HEIGHT, LEFT, LEFT);
        put_text(to, base_name(file));
        fprintf(to, ": %" PRIu64 " pages, %.1f of %" PRIu64 " MiB, %" PRIu32 " recording%s, snapshot ", s->all.pages,
                (double)pages_to_bytes(s->all.pages) / (double)MIB, pages_to_bytes(h->ram_pages) / MIB, h->recordings,
                h->recordings == 1 ? "" : "s");
        put_text(to, h->snapshot.s);
        fputs(s->kept < s->all.pages ? "; pale: not replayed</text>\n" : "</text>\n", to);
}

static void put_legend(FILE *to, const struct hints *h)
{
        uint64_t n[MARKS] = {0};
        int x = LEFT;

        for (size_t i = 0; i < h->nr; i++)
                n[mark_of(&h->v[i])]++;
        for (int m = MARKS - 1; m >= 0; m--) {
                fprintf(to, "<rect class=\"%s\" x=\"%d\" y=\"71\" width=\"10\" height=\"10\"/><text x=\"%d\" y=\"81\">%s <tspan "
                        "class=\"soft\">%" PRIu64
                            "</tspan></text>\n",
                        marks[m].class, x, x + 16, marks[m].label, n[m]);
                x += 210;
        }
}

/* --- axes --- */

static void put_x_axis(FILE *to, const struct axis *a)
{
        int bottom = TOP + AREA_H;

        for (int i = 0; i * a->step <= a->max * 1.0001; i++) {
                double x = LEFT + AREA_W * (i * a->step / a->max);

                fprintf(to, "<path class=\"grid\" d=\"M%.1f %dv%d\"/><text class=\"soft mid\" x=\"%.1f\" y=\"%d\">%g</text>\n", x,
                        TOP, AREA_H, x, bottom + 18, i * a->step);
        }
        fprintf(to, "<path class=\"axis\" d=\"M%d %dh%d\"/><text class=\"mid\" x=\"%d\" y=\"%d\">", LEFT, bottom, AREA_W,
                LEFT + AREA_W / 2, bottom + 40);
        if (a->unit)
                fprintf(to, "%s since the guest was entered", a->unit);
        else
                fputs("order of first touches (this recording knows no times)", to);
        fputs("</text>\n", to);
}

static void put_y_axis(FILE *to, const struct axis *a)
{
        for (int i = 0; i * a->step <= a->max * 1.0001; i++) {
                double y = TOP + AREA_H - AREA_H * (i * a->step / a->max);

                fprintf(to, "<path class=\"grid\" d=\"M%d %.1fh%d\"/><text class=\"soft end\" x=\"%d\" y=\"%.1f\">%g</text>\n",
                        LEFT, y, AREA_W, LEFT - 8, y + 4.5, i * a->step);
        }
        fprintf(to, "<path class=\"axis\" d=\"M%d %dv%d\"/><text class=\"mid\" transform=\"translate(20 %d) rotate(-90)\">place "
                "in RAM, %s</text>\n", LEFT, TOP,
                AREA_H, TOP + AREA_H / 2, a->unit);
}

/* The last first touch of a phase, of the pages that a replay brings; -1: there is none, or none after it. */
static double phase_end_us(const struct hints *h, int phase)
{
        double end = -1;
        bool later = false;

        for (size_t i = 0; i < h->nr; i++) {
                if (h->v[i].seen < hints_min_seen(h))
                        continue;
                if (h->v[i].phase == phase)
                        end = MAX(end, (double)h->v[i].touch_us);
                later |= h->v[i].phase > phase;
        }
        return later ? end : -1;
}

static void put_phase_ends(FILE *to, const struct hints *h, const struct axis *x)
{
        static const char *const names[] = {"T3", "T4"};

        for (int p = 0; p < HINT_PHASE_LATER && x->unit; p++) {
                double us = phase_end_us(h, p), at = LEFT + AREA_W * (us / x->per_unit / x->max);

                if (us >= 0)
                        fprintf(to, "<path class=\"phase\" d=\"M%.1f %dv%d\"/><text class=\"soft mid\" x=\"%.1f\" "
                                "y=\"%d\">%s</text>\n", at, TOP, AREA_H,
                                at, TOP - 4, names[p]);
        }
}

/* --- marks --- */

static uint64_t cell_of(const struct hint *h, size_t i, const struct axis *x, const struct axis *y)
{
        double across = (x->unit ? h->touch_us : (double)i) / x->per_unit / x->max,
               up = (double)pages_to_bytes(h->page) / y->per_unit / y->max;
        uint64_t column = (uint64_t)MIN(across * CELLS_W, CELLS_W - 1.0), row = (uint64_t)MIN(up * CELLS_H, CELLS_H - 1.0);

        return row * CELLS_W + column;
}

static void put_marks_of(FILE *to, const struct hints *h, enum mark m, bool pale, const struct axis *x, const struct axis *y,
                         struct bitmap *taken)
{
        int size = h->nr <= FEW_PAGES ? 2 * CELL : CELL;

        fprintf(to, "<path class=\"%s%s\" d=\"", marks[m].class, pale ? " pale" : "");
        for (size_t i = 0; i < h->nr; i++) {
                uint64_t cell = cell_of(&h->v[i], i, x, y);

                if (mark_of(&h->v[i]) != m || (h->v[i].seen < hints_min_seen(h)) != pale || bitmap_test(taken, cell))
                        continue;
                bitmap_set(taken, cell);
                fprintf(to, "M%d %dh%dv%dh-%dz", LEFT + (int)(cell % CELLS_W) * CELL,
                        TOP + AREA_H - size - (int)(cell / CELLS_W) * CELL, size, size, size);
        }
        fputs("\"/>\n", to);
}

/* Pale ones first: what a replay brings lies above what it passes over. */
static int put_marks(FILE *to, const struct hints *h, const struct axis *x, const struct axis *y)
{
        for (int i = 0; i < 2 * MARKS; i++) {
                _cleanup_(bitmap_free) struct bitmap taken = {0};

                if (bitmap_init(&taken, (uint64_t)CELLS_W * CELLS_H) < 0)
                        return -ENOMEM;
                put_marks_of(to, h, (enum mark)(i % MARKS), i < MARKS, x, y, &taken);
        }
        return 0;
}

int hints_plot(FILE *to, const struct hints *h, const struct hints_summary *s, const char *file)
{
        struct axis x = time_axis(h, s), y = place_axis(h);
        int r;

        put_head(to, h, s, file);
        put_legend(to, h);
        put_x_axis(to, &x);
        put_y_axis(to, &y);
        r = put_marks(to, h, &x, &y);
        put_phase_ends(to, h, &x);
        fputs("</svg>\n", to);
        return r;
}
