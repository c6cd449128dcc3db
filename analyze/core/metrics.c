/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/metrics.h"

#include <math.h>
#include <string.h>

#include "format/base/arena.h"
#include "format/num/assign.h"
#include "format/num/parallel.h"

struct silhouette {
    size_t n, d, m, width, block_rows;
    const double *X;
    const struct kymo_labelling *l;
    const size_t *first; /* [m] where a partition's clusters begin in a row of width */
    const size_t *size;  /* [width] */
    double *to;          /* [n_blocks, width] scratch: distances summed by cluster */
    double *sum;         /* [n_blocks, m] */
    double *sample;      /* [n] or NULL */
};

/* Silhouette of row i under partition p, from the summed distances of that row. */
static double silhouette_of(const struct silhouette *s, size_t p, size_t i, const double *to)
{
    const size_t first = s->first[p], own = s->l[p].label[i];
    if (s->size[first + own] <= 1)
        return 0;
    const double within = to[first + own] / (double)(s->size[first + own] - 1);
    double other = INFINITY;
    for (size_t c = 0; c < s->l[p].k; c++) {
        if (c == own || !s->size[first + c])
            continue;
        const double mean = to[first + c] / (double)s->size[first + c];
        other = mean < other ? mean : other;
    }
    const double top = within > other ? within : other;
    return isinf(other) || !(top > 0) ? 0 : (other - within) / top;
}

static void silhouette_block(void *ctx, size_t block)
{
    struct silhouette *s = ctx;
    double *to = s->to + block * s->width, *sum = s->sum + block * s->m;
    const size_t lo = block * s->block_rows;
    const size_t hi = lo + s->block_rows < s->n ? lo + s->block_rows : s->n;
    memset(sum, 0, s->m * sizeof(*sum));
    for (size_t i = lo; i < hi; i++) {
        memset(to, 0, s->width * sizeof(*to));
        for (size_t j = 0; j < s->n; j++) {
            const double dist = sqrt(kymo_sqdist(s->d, s->X + i * s->d, s->X + j * s->d));
            for (size_t p = 0; p < s->m; p++)
                to[s->first[p] + s->l[p].label[j]] += dist;
        }
        for (size_t p = 0; p < s->m; p++) {
            const double v = silhouette_of(s, p, i, to);
            sum[p] += v;
            if (p == 0 && s->sample)
                s->sample[i] = v;
        }
    }
}

/* Small blocks, since a row costs n distances; still a function of n alone. */
static size_t silhouette_block_rows(size_t n)
{
    return (n + KYMO_BLOCKS_MAX - 1) / KYMO_BLOCKS_MAX;
}

kymo_status kymo_silhouette(size_t n, size_t d, const double *X, struct kymo_labelling *l,
                            size_t m, unsigned n_threads, double *sample, struct kymo_err *err)
{
    struct kymo_arena a;
    kymo_arena_init(&a, SIZE_MAX);
    struct silhouette s = {.n = n, .d = d, .m = m, .X = X, .l = l, .sample = sample};
    s.block_rows = silhouette_block_rows(n);
    const size_t n_blocks = (n + s.block_rows - 1) / s.block_rows;
    size_t *first = KYMO_NEW(&a, size_t, m);
    for (size_t p = 0; first && p < m; p++) {
        first[p] = s.width;
        s.width += l[p].k;
    }
    size_t *size = KYMO_NEW(&a, size_t, s.width);
    s.to = KYMO_NEW_RAW(&a, double, n_blocks *s.width);
    s.sum = KYMO_NEW_RAW(&a, double, n_blocks *m);
    if (!first || !size || !s.to || !s.sum) {
        kymo_arena_release(&a);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "no memory for the silhouette of %zu partitions", m);
    }
    for (size_t p = 0; p < m; p++)
        for (size_t i = 0; i < n; i++)
            size[first[p] + l[p].label[i]]++;
    s.first = first;
    s.size = size;
    kymo_parallel(n_blocks, n_threads, silhouette_block, &s);
    for (size_t p = 0; p < m; p++) {
        double total = 0;
        for (size_t b = 0; b < n_blocks; b++)
            total += s.sum[b * m + p];
        l[p].silhouette = total / (double)n;
    }
    kymo_arena_release(&a);
    return KYMO_OK;
}

double kymo_kmeans_bic(size_t n, size_t d, size_t k, const size_t *size, double inertia)
{
    const double rows = (double)n, cols = (double)d, clusters = (double)k;
    if (k >= n || !(inertia > 0))
        return -INFINITY;
    const double variance = inertia / (cols * (rows - clusters));
    double loglik =
        -0.5 * rows * cols * log(2 * M_PI * variance) - 0.5 * cols * (rows - clusters);
    for (size_t c = 0; c < k; c++)
        if (size[c])
            loglik += (double)size[c] * log((double)size[c] / rows);
    const double parameters = clusters - 1 + clusters * cols + 1;
    return -2 * loglik + parameters * log(rows);
}
