/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/proof/timing.h"

#include <math.h>
#include <stdlib.h>

static int by_due(const void *a, const void *b)
{
    const struct kymo_moment *x = a, *y = b;
    return x->due_ns != y->due_ns ? (x->due_ns > y->due_ns) - (x->due_ns < y->due_ns)
                                  : (x->came_ns > y->came_ns) - (x->came_ns < y->came_ns);
}

static double lateness(const struct kymo_moment *m)
{
    return (double)m->came_ns - (double)m->due_ns;
}

static int by_lateness(const void *a, const void *b)
{
    const double x = lateness(a), y = lateness(b);
    return (x > y) - (x < y);
}

/* Of a fifth, its middle moment and its median lateness; its order is lost. */
static double fifth(struct kymo_moment *m, size_t n, double *late_ns)
{
    const size_t middle = n / 2;
    const double due = (double)m[middle].due_ns;
    qsort(m, n, sizeof(*m), by_lateness);
    *late_ns = lateness(&m[middle]);
    return due;
}

double kymo_timing_drift(struct kymo_moment *m, size_t n, double *late_ns)
{
    double first, last;
    *late_ns = NAN;
    if (n < 2)
        return NAN;
    qsort(m, n, sizeof(*m), by_due);
    const size_t part = n / 5 ? n / 5 : 1;
    const double from = fifth(m, part, &first);
    const double to = fifth(m + n - part, part, &last);
    *late_ns = last - first;
    return to > from ? fabs(last - first) / (to - from) : NAN;
}
