/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/stats.h"

#include <math.h>
#include <stdlib.h>

void kymo_mean_sd(size_t n, const double *x, size_t stride, double *mean, double *sd)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i * stride];
    const double m = sum / (double)n;
    double square = 0, drift = 0;
    for (size_t i = 0; i < n; i++) {
        const double t = x[i * stride] - m;
        square += t * t;
        drift += t;
    }
    /* The drift term takes out what rounding left in the mean. */
    const double var = (square - drift * drift / (double)n) / (double)n;
    *mean = m;
    *sd = var > 0 ? sqrt(var) : 0;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void kymo_sort_f64(size_t n, double *v)
{
    if (n > 1)
        qsort(v, n, sizeof(*v), by_value);
}

size_t kymo_count_at_least(size_t n, const double *sorted, double x)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (sorted[mid] < x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return n - lo;
}
