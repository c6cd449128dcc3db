/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/linalg.h"

#include <math.h>
#include <string.h>

bool kymo_cholesky(size_t d, const double *A, double *L)
{
    for (size_t i = 0; i < d; i++) {
        for (size_t j = 0; j <= i; j++) {
            double t = A[i * d + j];
            for (size_t l = 0; l < j; l++)
                t -= L[i * d + l] * L[j * d + l];
            if (j < i) {
                L[i * d + j] = t / L[j * d + j];
                continue;
            }
            if (!(t > 0))
                return false;
            L[i * d + i] = sqrt(t);
        }
    }
    for (size_t i = 0; i < d; i++)
        memset(L + i * d + i + 1, 0, (d - i - 1) * sizeof(double));
    return true;
}

/* Row i of P from the rows above it: L_ii P_i = e_i - sum over l < i of L_il P_l. */
void kymo_lower_inverse(size_t d, const double *L, double *P)
{
    memset(P, 0, d * d * sizeof(double));
    for (size_t i = 0; i < d; i++) {
        double *restrict row = P + i * d;
        for (size_t l = 0; l < i; l++) {
            const double f = L[i * d + l];
            const double *restrict above = P + l * d;
            for (size_t j = 0; j <= l; j++)
                row[j] -= f * above[j];
        }
        row[i] = 1;
        for (size_t j = 0; j <= i; j++)
            row[j] /= L[i * d + i];
    }
}
