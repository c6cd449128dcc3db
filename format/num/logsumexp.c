/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/logsumexp.h"

#include <math.h>

double kymo_logsumexp(size_t k, const double *v)
{
    double top = v[0];
    for (size_t c = 1; c < k; c++)
        top = v[c] > top ? v[c] : top;
    if (top == -INFINITY)
        return top;
    double sum = exp(v[0] - top);
    for (size_t c = 1; c < k; c++)
        sum += exp(v[c] - top);
    return top + log(sum);
}
