/* SPDX-License-Identifier: Apache-2.0
 * linalg.h: small dense matrices, row-major, in double.
 */
#ifndef KYMO_NUM_LINALG_H
#define KYMO_NUM_LINALG_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Cholesky factor: A = L L^T, L lower-triangular.
 *
 * A       [d,d] symmetric, finite; the lower triangle is read
 * L       [d,d] out, 0 above the diagonal; may be A itself
 * returns false where a pivot is not above 0, that is A is not positive definite to rounding;
 *         L is then of no use
 * cost    O(d^3 / 3)
 */
bool kymo_cholesky(size_t d, const double *A, double *L);

/* P = L^-1 of a lower-triangular L [d,d] with nonzero diagonal; P [d,d] is another array, 0 above
 * the diagonal. O(d^3 / 3). */
void kymo_lower_inverse(size_t d, const double *L, double *P);

#endif
