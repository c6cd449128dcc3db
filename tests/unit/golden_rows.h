/* SPDX-License-Identifier: Apache-2.0
 * golden_rows.h: fixtures of tests/golden/clustering/ in memory.
 */
#ifndef KYMO_TEST_GOLDEN_ROWS_H
#define KYMO_TEST_GOLDEN_ROWS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/json.h"
#include "format/num/dense.h"

#define GOLDEN "tests/golden/clustering/"

static json_t *golden_json(const char *name)
{
    char path[160];
    snprintf(path, sizeof(path), GOLDEN "%s.json", name);
    json_t *j = NULL;
    struct kymo_err err = {0};
    if (kymo_json_read(&j, path, &err))
        fail_msg("%s", err.text);
    return j;
}

/* Rows of a fixture's table; free() values, which ->f64 is. */
static struct kymo_dense golden_rows(const json_t *fixture, double **values)
{
    char path[160];
    snprintf(path, sizeof(path), GOLDEN "%s",
             json_string_value(json_object_get(fixture, "data")));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    struct kymo_dense x = {.d = 1};
    int c;
    while ((c = getc(f)) != '\n')
        x.d += c == ',';
    double *v = NULL;
    size_t n = 0, cap = 0;
    for (double number; fscanf(f, "%lf%*[,\n]", &number) == 1; v[n++] = number)
        if (n == cap) {
            cap = cap ? 2 * cap : 1024;
            v = realloc(v, cap * sizeof(*v));
            assert_non_null(v);
        }
    fclose(f);
    assert_int_equal(n % x.d, 0);
    x.n = n / x.d;
    x.f64 = *values = v;
    return x;
}

static inline double golden_number(const json_t *obj, const char *key)
{
    const json_t *v = json_object_get(obj, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

/* A list of labels; free() it. k: one more than the largest. */
static inline uint32_t *golden_labels(const json_t *list, size_t *k)
{
    const size_t n = json_array_size(list);
    uint32_t *label = malloc(n * sizeof(*label));
    assert_non_null(label);
    *k = 0;
    for (size_t i = 0; i < n; i++) {
        label[i] = (uint32_t)json_integer_value(json_array_get(list, i));
        *k = label[i] >= *k ? label[i] + 1 : *k;
    }
    return label;
}

#endif
