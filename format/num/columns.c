/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/columns.h"

#include <assert.h>
#include <string.h>

#include "format/base/arena.h"
#include "format/num/parallel.h"
#include "format/num/simd/moments.h"

/* The square of a shift from the mean may be so many variances before sums are taken anew. */
#define SHIFT_VARIANCES_MAX 0x1p16

#define ROWS_AT_ONCE 64u

struct job {
    const struct kymo_dense *x;
    enum kymo_simd level;
    size_t block_rows;
    double *shift; /* [d] */
    double *part;  /* [n_blocks, 2 d + 1]: first and second moments, weight */
};

static void sum_block(void *ctx, size_t block)
{
    const struct job *j = ctx;
    const size_t d = j->x->d, lo = block * j->block_rows;
    const size_t hi = j->x->n - lo < j->block_rows ? j->x->n : lo + j->block_rows;
    double *part = j->part + block * (2 * d + 1);
    memset(part, 0, (2 * d + 1) * sizeof(double));
    size_t row[ROWS_AT_ONCE];
    double weight[ROWS_AT_ONCE];
    for (size_t i = lo; i < hi;) {
        size_t n = 0;
        for (; n < ROWS_AT_ONCE && i < hi; n++, i++) {
            const double w = kymo_dense_weight(j->x, i);
            row[n] = i;
            weight[n] = w;
            part[2 * d] += w;
        }
        kymo_moments(j->level, j->x, n, row, weight, j->shift, part, part + d);
    }
}

/* All blocks' sums into the first's, in order. */
static void sum_all(struct job *j, size_t n_blocks, unsigned n_threads)
{
    const size_t size = 2 * j->x->d + 1;
    kymo_parallel(n_blocks, n_threads, sum_block, j);
    for (size_t b = 1; b < n_blocks; b++)
        for (size_t i = 0; i < size; i++)
            j->part[i] += j->part[b * size + i];
}

kymo_status kymo_column_moments(const struct kymo_dense *x, unsigned n_threads, double *mean,
                                double *var, double *total, struct kymo_err *err)
{
    assert(x->n >= 1);
    const size_t d = x->d;
    struct job j = {.x = x, .level = kymo_simd_level(), .block_rows = kymo_block_rows(x->n)};
    const size_t n_blocks = (x->n + j.block_rows - 1) / j.block_rows;
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    j.shift = KYMO_NEW_RAW(&a, double, d);
    j.part = KYMO_NEW_RAW(&a, double, n_blocks *(2 * d + 1));
    if (!j.shift || !j.part) {
        kymo_arena_release(&a);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "no memory for the sums of %zu columns", d);
    }
    kymo_dense_row(x, 0, j.shift);
    int again = 1;
    for (int pass = 0; pass < 2 && again; pass++) {
        sum_all(&j, n_blocks, n_threads);
        again = 0;
        const double w = j.part[2 * d];
        for (size_t i = 0; i < d; i++) {
            const double off = j.part[i] / w, v = j.part[d + i] / w - off * off;
            again |= off * off > SHIFT_VARIANCES_MAX * v;
            j.shift[i] += off;
            if (var)
                var[i] = v > 0 ? v : 0;
        }
    }
    memcpy(mean, j.shift, d * sizeof(double));
    if (total)
        *total = j.part[2 * d];
    kymo_arena_release(&a);
    return KYMO_OK;
}
