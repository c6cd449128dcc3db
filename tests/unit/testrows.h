/* SPDX-License-Identifier: Apache-2.0
 * testrows.h: rows for tests, read from a golden CSV or drawn from a seed, and golden JSON numbers.
 * Include after cmocka.h.
 */
#ifndef KYMO_TESTS_TESTROWS_H
#define KYMO_TESTS_TESTROWS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "format/base/json.h"
#include "format/base/rng.h"
#include "format/num/dense.h"

#define ROWS_GOLDEN "tests/golden/clustering/"

static inline json_t *rows_json(const char *name)
{
    char path[200];
    snprintf(path, sizeof(path), ROWS_GOLDEN "%s.json", name);
    json_t *j = NULL;
    struct kymo_err err = {0};
    if (kymo_json_read(&j, path, &err))
        fail_msg("%s", err.text);
    return j;
}

/* A number, or an array of such of any depth, row-major into out; returns how many. */
static inline size_t rows_numbers(const json_t *j, double *out)
{
    if (!json_is_array(j)) {
        assert_true(json_is_number(j));
        *out = json_number_value(j);
        return 1;
    }
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(j); i++)
        n += rows_numbers(json_array_get(j, i), out + n);
    return n;
}

static inline double rows_number(const json_t *obj, const char *key)
{
    double v;
    assert_int_equal(rows_numbers(json_object_get(obj, key), &v), 1);
    return v;
}

/* A CSV of numbers under one header line; free(f64) by the caller. */
static inline double *rows_csv(const char *name, size_t *n, size_t *d)
{
    char path[200], head[4096];
    snprintf(path, sizeof(path), ROWS_GOLDEN "%s", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(head, sizeof(head), f));
    *d = 1;
    for (const char *p = head; *p; p++)
        *d += *p == ',';
    size_t cap = 1024, at = 0;
    double *v = malloc(cap * sizeof(double));
    assert_non_null(v);
    while (fscanf(f, "%lf%*[,\n]", &v[at]) == 1)
        if (++at == cap) {
            v = realloc(v, (cap *= 2) * sizeof(double));
            assert_non_null(v);
        }
    fclose(f);
    assert_int_equal(at % *d, 0);
    *n = at / *d;
    return v;
}

/* About normal, mean 0 and variance 1. */
static inline double rows_normal(struct kymo_rng *r)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += kymo_rng_unit(r);
    return sum;
}

/* n rows of k overlapping clouds with columns that go together; free() by the caller. */
static inline double *rows_clouds(size_t n, size_t d, size_t k, uint64_t seed)
{
    struct kymo_rng r;
    kymo_rng_init(&r, seed);
    double *centre = malloc(k * d * sizeof(double)), *v = malloc(n * d * sizeof(double));
    assert_non_null(centre);
    assert_non_null(v);
    for (size_t i = 0; i < k * d; i++)
        centre[i] = 2 * rows_normal(&r);
    for (size_t i = 0; i < n; i++) {
        const double *c = centre + kymo_rng_below(&r, k) * d, shared = rows_normal(&r);
        for (size_t j = 0; j < d; j++)
            v[i * d + j] = c[j] + 0.7 * shared + rows_normal(&r);
    }
    free(centre);
    return v;
}

static inline void rows_near(double got, double want, double rel, double abs)
{
    if (!(fabs(got - want) <= rel * fabs(want) + abs))
        fail_msg("%.17g, not %.17g", got, want);
}

#endif
