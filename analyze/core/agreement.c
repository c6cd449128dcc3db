/* SPDX-License-Identifier: Apache-2.0
 * Agreement of two partitions, from their table of common rows.
 */
#include <math.h>

#include "analyze/core/metrics.h"
#include "format/base/arena.h"
#include "format/base/size.h"

struct table {
    size_t n, k_a, k_b;
    double *common; /* [k_a, k_b] rows with both labels */
    double *a, *b;  /* [k_a], [k_b] rows with a label */
};

static double pairs_of(double n)
{
    return n * (n - 1) / 2;
}

static double sum_pairs(size_t n, const double *v)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += pairs_of(v[i]);
    return sum;
}

static double entropy(const struct table *t, size_t k, const double *v)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++)
        if (v[i] > 0)
            sum -= v[i] / (double)t->n * log(v[i] / (double)t->n);
    return sum;
}

static double mutual_info(const struct table *t)
{
    const double n = (double)t->n;
    double sum = 0;
    for (size_t i = 0; i < t->k_a; i++)
        for (size_t j = 0; j < t->k_b; j++) {
            const double c = t->common[i * t->k_b + j];
            if (c > 0)
                sum += c / n * log(n * c / (t->a[i] * t->b[j]));
        }
    return sum > 0 ? sum : 0;
}

static double log_factorial(double n)
{
    int sign;
    return lgamma_r(n + 1, &sign);
}

/* Of rows dealt at random with the same sizes: c common rows have a hypergeometric chance. */
static double expected_info(const struct table *t)
{
    const double n = (double)t->n;
    double sum = 0;
    for (size_t i = 0; i < t->k_a; i++)
        for (size_t j = 0; j < t->k_b; j++) {
            const double a = t->a[i], b = t->b[j];
            if (!(a > 0 && b > 0))
                continue;
            const double fixed = log_factorial(a) + log_factorial(b) + log_factorial(n - a) +
                                 log_factorial(n - b) - log_factorial(n);
            const size_t least = (size_t)fmax(1, a + b - n), most = (size_t)fmin(a, b);
            for (size_t rows = least; rows <= most; rows++) {
                const double c = (double)rows;
                const double chance = exp(fixed - log_factorial(c) - log_factorial(a - c) -
                                          log_factorial(b - c) - log_factorial(n - a - b + c));
                sum += c / n * log(n * c / (a * b)) * chance;
            }
        }
    return sum;
}

static void compare_pairs(const struct table *t, struct kymo_agreement *out)
{
    const double all = pairs_of((double)t->n);
    const double both = sum_pairs(t->k_a * t->k_b, t->common);
    const double in_a = sum_pairs(t->k_a, t->a), in_b = sum_pairs(t->k_b, t->b);
    const double expected = all > 0 ? in_a / all * in_b : 0, most = (in_a + in_b) / 2;
    out->rand = all > 0 ? (all + 2 * both - in_a - in_b) / all : 1;
    out->adjusted_rand = most - expected != 0 ? (both - expected) / (most - expected) : 1;
    out->fowlkes_mallows = in_a > 0 && in_b > 0 ? both / sqrt(in_a * in_b) : 0;
}

static void compare_info(const struct table *t, struct kymo_agreement *out)
{
    const double ha = entropy(t, t->k_a, t->a), hb = entropy(t, t->k_b, t->b);
    const double info = mutual_info(t), mean = (ha + hb) / 2;
    out->mutual_info = info;
    out->nmi_arithmetic = mean > 0 ? info / mean : 1;
    out->nmi_geometric = ha > 0 && hb > 0 ? info / sqrt(ha * hb) : (mean > 0 ? 0 : 1);
    out->homogeneity = ha > 0 ? info / ha : 1;
    out->completeness = hb > 0 ? info / hb : 1;
    const double expected = mean > 0 ? expected_info(t) : 0;
    out->adjusted_mutual_info =
        mean > 0 && mean != expected ? (info - expected) / (mean - expected) : 1;
}

kymo_status kymo_agree(size_t n, const uint32_t *a, size_t k_a, const uint32_t *b, size_t k_b,
                       struct kymo_agreement *out, struct kymo_err *err)
{
    struct kymo_arena arena;
    kymo_arena_init(&arena, SIZE_MAX);
    struct table t = {.n = n, .k_a = k_a, .k_b = k_b};
    size_t cells;
    if (kymo_size_mul(k_a, k_b, &cells))
        t.common = KYMO_NEW(&arena, double, cells);
    t.a = KYMO_NEW(&arena, double, k_a);
    t.b = KYMO_NEW(&arena, double, k_b);
    if (!t.common || !t.a || !t.b) {
        kymo_arena_release(&arena);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "no memory for a table of %zu by %zu labels", k_a, k_b);
    }
    for (size_t i = 0; i < n; i++) {
        t.common[a[i] * k_b + b[i]]++;
        t.a[a[i]]++;
        t.b[b[i]]++;
    }
    struct kymo_agreement got;
    compare_pairs(&t, &got);
    compare_info(&t, &got);
    *out = got;
    kymo_arena_release(&arena);
    return KYMO_OK;
}
