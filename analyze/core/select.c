/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/select.h"

size_t kymo_select_k(size_t n, const struct kymo_tried *tried)
{
    double best = tried[0].silhouette;
    for (size_t i = 1; i < n; i++)
        best = tried[i].silhouette > best ? tried[i].silhouette : best;
    size_t chosen = n;
    for (size_t i = 0; i < n; i++) {
        const int in_reach = best <= 0 || tried[i].silhouette >= KYMO_SILHOUETTE_REACH * best;
        if (in_reach && (chosen == n || tried[i].bic < tried[chosen].bic))
            chosen = i;
    }
    return chosen;
}
