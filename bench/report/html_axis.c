/* Axes: round ends, round ticks. */
#include "bench/report/html_parts.h"

#include <math.h>

/* The smallest of 1, 2, 5 times a power of ten that is at least v. */
static double round_up(double v)
{
        double unit = pow(10, floor(log10(v)));

        if (v <= unit)
                return unit;
        return v <= 2 * unit ? 2 * unit : v <= 5 * unit ? 5 * unit : 10 * unit;
}

static double round_down(double v)
{
        double unit = pow(10, floor(log10(v)));

        return v >= 5 * unit ? 5 * unit : v >= 2 * unit ? 2 * unit : unit;
}

/* Steps of a linear axis: about five of them. */
static double step_of(const struct axis *a)
{
        return round_up((a->high - a->low) / 6 / a->unit) * a->unit;
}

struct axis axis_of(double smallest, double largest, double span, double unit)
{
        struct axis a = {0, unit, false, unit};

        if (!(largest > 0))
                return a;
        if (smallest > 0 && largest / smallest > span && largest / smallest < 1e9)
                return (struct axis){round_down(smallest * 0.999 / unit) * unit, largest * 1.05, true, unit};
        a.high = largest;
        a.high = ceil(largest * 1.01 / step_of(&a)) * step_of(&a);
        return a;
}

double axis_at(const struct axis *a, double v)
{
        double at;

        if (a->log)
                at = log(fmax(v, a->low) / a->low) / log(a->high / a->low);
        else
                at = (v - a->low) / (a->high - a->low);
        return fmin(fmax(at, 0), 1);
}

static size_t log_ticks(const struct axis *a, double ret[AXIS_TICKS_MAX])
{
        static const double digits[] = {1, 2, 5};
        bool   sparse = a->high / a->low > 2000; /* powers of ten alone */
        double unit = pow(10, floor(log10(a->low / a->unit) + 1e-9)) * a->unit;
        size_t n = 0;

        for (; unit <= a->high && n < AXIS_TICKS_MAX; unit *= 10)
                for (size_t i = 0; i < (sparse ? 1 : 3) && n < AXIS_TICKS_MAX; i++)
                        if (unit * digits[i] >= a->low * 0.999 && unit * digits[i] <= a->high)
                                ret[n++] = unit * digits[i];
        return n;
}

size_t axis_ticks(const struct axis *a, double ret[AXIS_TICKS_MAX])
{
        double step = step_of(a);
        size_t n = 0;

        if (a->log)
                return log_ticks(a, ret);
        for (double v = a->low; v <= a->high + step / 100 && n < AXIS_TICKS_MAX; v = a->low + step * (double)n)
                ret[n++] = v;
        return n;
}

void axis_grid(FILE *to, const struct axis *a, double height)
{
        double ticks[AXIS_TICKS_MAX];
        size_t n = axis_ticks(a, ticks);

        fputs("<path class=\"grid\" d=\"", to);
        for (size_t i = 0; i < n; i++)
                fprintf(to, "M%.1f 0v%g", axis_at(a, ticks[i]) * 1000, height);
        fputs("\"/>", to);
}

/* Those that a phone has room for; the last one tells the unit. */
void axis_figures(FILE *to, const struct axis *a, const struct figure_scale *scale)
{
        double ticks[AXIS_TICKS_MAX], shown[AXIS_TICKS_MAX];
        size_t n = axis_ticks(a, ticks), nr = 0;

        for (size_t i = 0; i < n; i++)
                if (nr == 0 || axis_at(a, ticks[i]) - axis_at(a, shown[nr - 1]) >= 0.11)
                        shown[nr++] = ticks[i];
        fputs("<div class=\"axis\" aria-hidden=\"true\">", to);
        for (size_t i = 0; i < nr; i++) {
                double at = axis_at(a, shown[i]) * 100;
                char   buf[FIGURE_BYTES];

                figure_value(buf, shown[i], scale);
                fprintf(to, "<span class=\"%s\" style=\"left:%.2f%%\">%s", at < 4 ? "start" : at > 94 ? "end" : "", at, buf);
                if (i + 1 == nr && scale->unit[0]) {
                        fputs("&nbsp;", to);
                        html_text(to, scale->unit);
                }
                fputs("</span>", to);
        }
        fputs("</div>\n", to);
}
