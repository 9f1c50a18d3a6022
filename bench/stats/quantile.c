/* Order statistics and quantiles. */
#include "bench/stats/bootstrap.h"
#include "bench/stats/stats.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

void stats_sort(double *v, size_t n)
{
        qsort(v, n, sizeof(*v), by_value);
}

double stats_quantile(const double *sorted, size_t n, double q)
{
        double at = q * (double)(n - 1);
        size_t i = (size_t)at;

        if (i + 1 >= n)
                return sorted[n - 1];
        return sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]);
}
