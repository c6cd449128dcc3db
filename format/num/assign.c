/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/assign.h"

/* Independent sums that a compiler may keep in vector registers; the order of additions is fixed. */
#define SQDIST_LANES 8u

double kymo_sqdist(size_t d, const double *a, const double *b)
{
    double lane[SQDIST_LANES] = {0};
    size_t j = 0;
    for (; j + SQDIST_LANES <= d; j += SQDIST_LANES)
        for (size_t l = 0; l < SQDIST_LANES; l++) {
            const double t = a[j + l] - b[j + l];
            lane[l] += t * t;
        }
    for (size_t l = 0; j < d; j++, l++) {
        const double t = a[j] - b[j];
        lane[l] += t * t;
    }
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) +
           ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

void kymo_pack_centres(size_t k, size_t d, const double *C, double *out)
{
    for (size_t c = 0; c < k; c++)
        for (size_t j = 0; j < d; j++)
            out[j * k + c] = C[c * d + j];
}

void kymo_sqdist_all(size_t k, size_t d, const double *restrict x,
                     const double *restrict packed, double *restrict dist)
{
    for (size_t c = 0; c < k; c++)
        dist[c] = 0;
    for (size_t j = 0; j < d; j++) {
        const double v = x[j];
        const double *restrict row = packed + j * k;
        for (size_t c = 0; c < k; c++) {
            const double t = v - row[c];
            dist[c] += t * t;
        }
    }
}

size_t kymo_argmin(size_t k, const double *dist)
{
    size_t best = 0;
    for (size_t c = 1; c < k; c++)
        if (dist[c] < dist[best])
            best = c;
    return best;
}
