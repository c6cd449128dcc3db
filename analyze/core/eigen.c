/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/eigen.h"

#include <cblas.h>
#include <lapacke.h>
#include <limits.h>
#include <math.h>

bool kymo_eigen_sym(size_t d, double *V, double *value)
{
    if (d > INT_MAX)
        return false;
    openblas_set_num_threads(1); /* the same bytes on every host */
    const lapack_int n = (lapack_int)d;
    /* A symmetric matrix is its own transpose: in column order, each vector comes out as a row. */
    if (LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'U', n, V, n, value) != 0)
        return false;
    for (size_t i = 0; i < d; i++) {
        double *v = V + i * d;
        size_t top = 0;
        for (size_t j = 1; j < d; j++)
            if (fabs(v[j]) > fabs(v[top]))
                top = j;
        for (size_t j = 0; j < d && v[top] < 0; j++)
            if (j != top)
                v[j] = -v[j];
        v[top] = fabs(v[top]);
    }
    return true;
}
