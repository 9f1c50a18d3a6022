/* The fault timeline of one run for each arm: time across, guest address up. A drawing has as many marks as it has points to put
 * them, however many faults there were: marks of one class that fall on the same point are drawn once. Below stands a lane for
 * each class, so that colour is not all there is. */
#include "bench/report/html_parts.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <math.h>
#include <string.h>

enum { WIDTH = 1000, HEIGHT = 280, LANE_POINTS = 500, POINTS_X = 500, POINTS_Y = 140 };

static const char *const class_names[BENCH_FAULT_CLASSES] = {
        [BENCH_DEMAND] = "demand", [BENCH_AROUND] = "around", [BENCH_REPLAY] = "replay", [BENCH_FILL] = "fill", [BENCH_ZERO] = "zero", [BENCH_HOST] = "host",
};

static const char *const class_words[BENCH_FAULT_CLASSES] = {
        [BENCH_DEMAND] = "the guest waited for it", [BENCH_AROUND] = "came beside such a page", [BENCH_REPLAY] = "came ahead: hints named it",
        [BENCH_FILL] = "came in the background", [BENCH_ZERO] = "is zero, nothing was read", [BENCH_HOST] = "the host kernel brought it",
};

struct classes {
        uint64_t events[BENCH_FAULT_CLASSES], pages[BENCH_FAULT_CLASSES];
};

static struct classes count(const struct bench_arm *a)
{
        struct classes c = {0};

        for (size_t i = 0; i < a->nr_faults; i++)
                if (a->faults[i].fault_class < BENCH_FAULT_CLASSES) {
                        c.events[a->faults[i].fault_class]++;
                        c.pages[a->faults[i].fault_class] += a->faults[i].pages;
                }
        return c;
}

/* A mark as high as its pages, at least a point. */
static void marks(FILE *to, const struct bench_arm *a, unsigned fault_class, const struct axis *time, const struct axis *address)
{
        _cleanup_free_ unsigned char *drawn = calloc(POINTS_X + 1, POINTS_Y + 1);

        fprintf(to, "<path class=\"mark %s\" d=\"", class_names[fault_class]);
        for (size_t i = 0; drawn && i < a->nr_faults; i++) {
                const struct bench_fault *f = &a->faults[i];
                double                    x = axis_at(time, (double)f->t_us), low = axis_at(address, (double)f->gpa);
                double                    high = axis_at(address, (double)f->gpa + (double)f->pages * (double)PAGE_BYTES);
                unsigned char            *point = &drawn[(size_t)(x * POINTS_X) * (POINTS_Y + 1) + (size_t)(low * POINTS_Y)];

                if (f->fault_class != fault_class || *point)
                        continue;
                *point = 1;
                fprintf(to, "M%.0f %.1fv-%.1f", x * WIDTH, (1 - low) * HEIGHT, fmax((high - low) * HEIGHT, 3));
        }
        fputs("\"/>", to);
}

static void lane(FILE *to, const struct bench_arm *a, unsigned fault_class, const struct classes *c, const struct axis *time)
{
        _cleanup_free_ unsigned char *drawn = calloc(LANE_POINTS + 1, 1);

        fprintf(to, "<div class=\"lane\"><div class=\"lane-name\"><span class=\"swatch %s\"></span>%s <span class=\"count\">%llu&nbsp;pages</span></div>"
                    "<svg viewBox=\"0 0 1000 14\" preserveAspectRatio=\"none\" role=\"img\"", class_names[fault_class], class_names[fault_class],
                (unsigned long long)c->pages[fault_class]);
        html_label(to, "When pages of the class %s came: %llu pages, %llu times", class_names[fault_class], (unsigned long long)c->pages[fault_class],
                   (unsigned long long)c->events[fault_class]);
        fprintf(to, "><path class=\"mark %s\" d=\"", class_names[fault_class]);
        for (size_t i = 0; drawn && i < a->nr_faults; i++) {
                double         x = axis_at(time, (double)a->faults[i].t_us);
                unsigned char *point = &drawn[(size_t)(x * LANE_POINTS)];

                if (a->faults[i].fault_class != fault_class || *point)
                        continue;
                *point = 1;
                fprintf(to, "M%.0f 2v10", x * WIDTH);
        }
        fputs("\"/></svg></div>\n", to);
}

/* The watched run's own; of a file that does not have it, the median of the measured ones. */
static bool t3_of(const struct bench_arm *a, const struct axis *time, double *ret)
{
        *ret = (double)a->timeline_t3_us;
        return (a->timeline_t3_us || stats_median(bench_metric_find(a, "t3"), ret)) && *ret > time->low && *ret < time->high;
}

static void t3_line(FILE *to, const struct bench_arm *a, const struct axis *time)
{
        double t3;

        if (t3_of(a, time, &t3))
                fprintf(to, "<path class=\"stamp\" d=\"M%.1f 0v%d\"><title>T3 %s</title></path>", axis_at(time, t3) * WIDTH, HEIGHT,
                        a->timeline_t3_us ? "of this run" : "(the median of the measured runs)");
}

static void t3_name(FILE *to, const struct bench_arm *a, const struct axis *time)
{
        double t3, at;

        if (!t3_of(a, time, &t3))
                return;
        at = axis_at(time, t3) * 100;
        fprintf(to, "<span class=\"stamp-name%s\" style=\"left:%.2f%%\" aria-hidden=\"true\">T3</span>", at > 85 ? " turned" : "",
                at);
}

static void timeline(FILE *to, const struct bench_arm *a, const struct axis *time, const struct axis *address)
{
        struct classes      c = count(a);
        struct figure_scale ms = figure_scale_of("us", time->high);
        char                top[2 * FIGURE_BYTES];

        figure_alone(top, address->high, "bytes");
        fputs("<div class=\"timeline\">\n<h4>", to);
        html_name(to, a->name);
        fprintf(to, "</h4>\n<div class=\"field\"><span class=\"top\" aria-hidden=\"true\">%s</span><span class=\"bottom\" aria-hidden=\"true\">guest address 0</span>", top);
        t3_name(to, a, time);
        fprintf(to, "<svg viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" role=\"img\"", WIDTH, HEIGHT);
        html_label(to, "%s: pages as they came, time across and guest address up. %llu for which the guest waited, %llu beside them, %llu by hints, %llu in the background, "
                       "%llu of zeros, %llu by the host kernel", a->name, (unsigned long long)c.pages[BENCH_DEMAND], (unsigned long long)c.pages[BENCH_AROUND],
                   (unsigned long long)c.pages[BENCH_REPLAY], (unsigned long long)c.pages[BENCH_FILL], (unsigned long long)c.pages[BENCH_ZERO],
                   (unsigned long long)c.pages[BENCH_HOST]);
        fputs(">", to);
        axis_grid(to, time, HEIGHT);
        for (unsigned k = BENCH_FAULT_CLASSES; k-- > 0;) /* demand last, on top */
                if (c.events[k])
                        marks(to, a, k, time, address);
        t3_line(to, a, time);
        fputs("</svg></div>\n", to);
        for (unsigned k = 0; k < BENCH_FAULT_CLASSES; k++)
                if (c.events[k])
                        lane(to, a, k, &c, time);
        fputs("<div class=\"lane\"><div class=\"lane-name\"></div>", to);
        axis_figures(to, time, &ms);
        fputs("</div>\n</div>\n", to);
}

/* Of the whole group, so that arms can be compared by eye. False where nobody has a timeline or levels. */
static bool axes_of(const struct bench_group *g, struct axis *ret_time, struct axis *ret_address)
{
        double first = INFINITY, last = 0, top = 0;

        for (size_t i = 0; i < g->nr_arms; i++) {
                const struct bench_arm *a = &g->arms[i];

                for (size_t k = 0; k < a->nr_faults; k++) {
                        first = fmin(first, (double)a->faults[k].t_us);
                        last = fmax(last, (double)a->faults[k].t_us);
                        top = fmax(top, (double)a->faults[k].gpa + (double)a->faults[k].pages * (double)PAGE_BYTES);
                }
                for (size_t k = 0; k < a->nr_levels; k++)
                        last = fmax(last, (double)a->levels[k].t_us);
        }
        if (isfinite(first))
                first = fmax(first, 100); /* 0.1 ms: before that no process has come far */
        *ret_time = axis_of(isfinite(first) ? first : 0, last, 12, 1);
        *ret_address = (struct axis){0, top > 0 ? top : 1, false, 1};
        return last > 0;
}

static void key(FILE *to, const struct bench_group *g)
{
        fputs("<ul class=\"key\">", to);
        for (unsigned k = 0; k < BENCH_FAULT_CLASSES; k++) {
                uint64_t events = 0;

                for (size_t i = 0; i < g->nr_arms; i++)
                        events += count(&g->arms[i]).events[k];
                if (events)
                        fprintf(to, "<li><span class=\"swatch %s\"></span><b>%s</b> %s</li>", class_names[k], class_names[k],
                                class_words[k]);
        }
        fputs("</ul>\n", to);
}

static bool has_faults(const struct bench_group *g)
{
        for (size_t i = 0; i < g->nr_arms; i++)
                if (g->arms[i].nr_faults)
                        return true;
        return false;
}

static void absences(FILE *to, const struct bench_group *g)
{
        for (size_t i = 0; i < g->nr_arms; i++) {
                if (g->arms[i].nr_faults || !g->arms[i].no_timeline)
                        continue;
                fputs("<p class=\"note\">", to);
                html_name(to, g->arms[i].name);
                fputs(": no timeline: ", to);
                html_text(to, g->arms[i].no_timeline);
                fputs("</p>\n", to);
        }
}

void html_timelines(FILE *to, const struct bench_group *g, size_t number)
{
        struct axis time, address;

        if (!axes_of(g, &time, &address))
                return;
        if (has_faults(g)) {
                fprintf(to, "<figure id=\"pages-%zu\">\n<figcaption><h3>Which page came when</h3><p>One run of each arm, which is not among those measured: time since the request "
                            "across%s, guest address up. The dashed line is T3 of that run, or, where that was not kept, the median of the measured ones.</p></figcaption>\n", number,
                        time.log ? " (logarithmic)" : "");
                key(to, g);
                for (size_t i = 0; i < g->nr_arms; i++)
                        if (g->arms[i].nr_faults)
                                timeline(to, &g->arms[i], &time, &address);
                absences(to, g);
                fputs("</figure>\n", to);
        }
        html_levels(to, g, &time, number);
}
