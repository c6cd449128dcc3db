/* SPDX-License-Identifier: Apache-2.0
 * assign.h: nearest centre of a row, the kernel that fitting and scoring share.
 */
#ifndef KYMO_NUM_ASSIGN_H
#define KYMO_NUM_ASSIGN_H

#include <stddef.h>
#include <stdint.h>

/* Squared Euclidean distance of a[d] and b[d], summed in eight lanes in a fixed order. */
double kymo_sqdist(size_t d, const double *a, const double *b);

/* Lay centres out feature-major: out[j * k + c] = C[c * d + j]. The inner loop of the assignment
 * then runs over centres, which a compiler can vectorise without reordering any sum. */
void kymo_pack_centres(size_t k, size_t d, const double *C, double *out);

/*
 * Squared distances of one row to all centres.
 *
 * x       [d] finite, borrowed          packed  [d,k] by kymo_pack_centres
 * dist    [k] out; each summed from column 0 up
 */
void kymo_sqdist_all(size_t k, size_t d, const double *x, const double *packed, double *dist);

/* Index of the smallest of dist[k], k >= 1; ties go to the lowest index. */
size_t kymo_argmin(size_t k, const double *dist);

#endif
