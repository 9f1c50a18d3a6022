/* Ordinary least squares, about the mean so that large values lose no digits. */
#include "bench/fanout/line.h"

#include <math.h>

bool line_fit(const double *x, const double *y, size_t n, struct line *ret)
{
        double mean_x = 0, mean_y = 0, sxx = 0, sxy = 0, rest = 0, variance;

        for (size_t i = 0; i < n; i++) {
                mean_x += x[i] / (double)n;
                mean_y += y[i] / (double)n;
        }
        for (size_t i = 0; i < n; i++) {
                sxx += (x[i] - mean_x) * (x[i] - mean_x);
                sxy += (x[i] - mean_x) * (y[i] - mean_y);
        }
        if (n < 2 || sxx <= 0)
                return false;
        *ret = (struct line){.slope = sxy / sxx, .intercept = mean_y - sxy / sxx * mean_x, .has_error = n > 2};
        for (size_t i = 0; i < n; i++) {
                double off = y[i] - ret->intercept - ret->slope * x[i];

                rest += off * off;
        }
        variance = n > 2 ? rest / (double)(n - 2) : 0;
        ret->slope_error = sqrt(variance / sxx);
        ret->intercept_error = sqrt(variance * (1 / (double)n + mean_x * mean_x / sxx));
        return true;
}
