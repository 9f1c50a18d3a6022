/* Memory over time: a line for each arm, told apart by colour and dashes and named in the key. */
#include "bench/report/html_parts.h"

#include <math.h>

enum { WIDTH = 1000, HEIGHT = 240, POINTS = 400 };

/* At most one step for each point across: the last level there. */
static void line(FILE *to, const struct bench_arm *a, size_t number, bool pss, const struct axis *time, const struct axis *bytes)
{
        int  at = -1;
        bool begun = false;

        fprintf(to, "<path class=\"line line-%zu%s\" d=\"", number % HTML_LINES, pss ? " pss" : "");
        for (size_t i = 0; i < a->nr_levels; i++) {
                uint64_t v = pss ? a->levels[i].pss_bytes : a->levels[i].rss_bytes;
                double   x = axis_at(time, (double)a->levels[i].t_us);

                if ((int)(x * POINTS) == at && i + 1 < a->nr_levels)
                        continue;
                at = (int)(x * POINTS);
                fprintf(to, "%s%.1f %.1f", begun ? "L" : "M", x * WIDTH, (1 - axis_at(bytes, (double)v)) * HEIGHT);
                begun = true;
        }
        fputs("\"/>", to);
}

static bool has_pss(const struct bench_arm *a)
{
        for (size_t i = 0; i < a->nr_levels; i++)
                if (a->levels[i].pss_bytes)
                        return true;
        return false;
}

static void key_item(FILE *to, const struct bench_arm *a, size_t number)
{
        uint64_t last = a->levels[a->nr_levels - 1].rss_bytes;
        char     buf[2 * FIGURE_BYTES];

        figure_alone(buf, (double)last, "bytes");
        fprintf(to, "<li><svg class=\"sample\" viewBox=\"0 0 36 10\" aria-hidden=\"true\"><path class=\"line line-%zu\" d=\"M1 5h34\"/></svg>", number % HTML_LINES);
        html_name(to, a->name);
        fprintf(to, " <span class=\"count\">%s at the end</span></li>", buf);
}

static void value_axis(FILE *to, const struct axis *bytes)
{
        struct figure_scale scale = figure_scale_of("bytes", bytes->high);
        double              ticks[AXIS_TICKS_MAX];
        size_t              n = axis_ticks(bytes, ticks);
        char                buf[FIGURE_BYTES];

        for (size_t i = 1; i < n; i++) {
                figure_value(buf, ticks[i], &scale);
                fprintf(to, "<span class=\"level\" style=\"bottom:%.2f%%\" aria-hidden=\"true\">%s %s</span>",
                        axis_at(bytes, ticks[i]) * 100, buf, scale.unit);
        }
}

static void level_grid(FILE *to, const struct axis *bytes)
{
        double ticks[AXIS_TICKS_MAX];
        size_t n = axis_ticks(bytes, ticks);

        fputs("<path class=\"grid\" d=\"", to);
        for (size_t i = 0; i < n; i++)
                fprintf(to, "M0 %.1fh%d", (1 - axis_at(bytes, ticks[i])) * HEIGHT, WIDTH);
        fputs("\"/>", to);
}

static double largest_level(const struct bench_group *g)
{
        double largest = 0;

        for (size_t i = 0; i < g->nr_arms; i++)
                for (size_t k = 0; k < g->arms[i].nr_levels; k++)
                        largest = fmax(largest,
                                       fmax((double)g->arms[i].levels[k].rss_bytes, (double)g->arms[i].levels[k].pss_bytes));
        return largest;
}

void html_levels(FILE *to, const struct bench_group *g, const struct axis *time, size_t number)
{
        double              largest = largest_level(g);
        struct axis         bytes = axis_of(0, largest, INFINITY, figure_scale_of("bytes", largest).divide);
        struct figure_scale ms = figure_scale_of("us", time->high);

        if (!(largest > 0))
                return;
        fprintf(to, "<figure id=\"memory-%zu\">\n<figcaption><h3>Memory over time</h3><p>Resident memory of the whole process tree in that one run of each arm; the thin dotted "
                    "line is its proportional share (PSS).</p></figcaption>\n<div class=\"field levels\">", number);
        value_axis(to, &bytes);
        fprintf(to, "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\"", WIDTH, HEIGHT);
        html_label(to, "Resident memory over time, a line for each arm; what each held at the end stands in the list below");
        fputc('>', to);
        axis_grid(to, time, HEIGHT);
        level_grid(to, &bytes);
        for (size_t i = 0; i < g->nr_arms; i++) {
                if (g->arms[i].nr_levels)
                        line(to, &g->arms[i], i, false, time, &bytes);
                if (has_pss(&g->arms[i]))
                        line(to, &g->arms[i], i, true, time, &bytes);
        }
        fputs("</svg></div>\n", to);
        axis_figures(to, time, &ms);
        fputs("<ul class=\"key\">", to);
        for (size_t i = 0; i < g->nr_arms; i++)
                if (g->arms[i].nr_levels)
                        key_item(to, &g->arms[i], i);
        fputs("</ul>\n</figure>\n", to);
}
