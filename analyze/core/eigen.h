/* SPDX-License-Identifier: Apache-2.0
 * eigen.h: the one place that needs LAPACK; what scoring and recording link does not.
 */
#ifndef KYMO_CORE_EIGEN_H
#define KYMO_CORE_EIGEN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A = V^T diag(value) V of a symmetric A.
 *
 * V       [d,d] in: A, finite; out: one eigenvector a row, of length 1, its largest |entry|
 *         positive (the first of equals)
 * value   [d] out, ascending
 * returns false where the iteration does not converge or memory lacks; V is then of no use
 * cost    O(d^3); one thread
 * source  LAPACK's dsyevd: Cuppen, A divide and conquer method for the symmetric tridiagonal
 *         eigenproblem, Numer. Math. 36, 1981
 */
bool kymo_eigen_sym(size_t d, double *V, double *value);

#endif
