/* SPDX-License-Identifier: Apache-2.0
 * bench_distance.c: how far apart two captures are, as a proof measures it.
 *
 *     bench_distance A B      "jsd_call jsd_gram ks_gap rate_ratio"
 */
#include <stdio.h>

#include "replay/proof/proof.h"

int main(int argc, char **argv)
{
    struct kymo_err err = {0};
    struct kymo_trace *a = NULL, *b = NULL;
    struct kymo_distance d;
    if (argc != 3)
        return 2;
    if (kymo_trace_load(&a, argv[1], 0, &err) || kymo_trace_load(&b, argv[2], 0, &err) ||
        kymo_distance(&d, a, b, &err)) {
        fprintf(stderr, "bench_distance: %s\n", err.text);
        return 3;
    }
    printf("%.6g %.6g %.6g %.6g\n", d.jsd_call, d.jsd_gram, d.ks_gap, d.rate_ratio);
    kymo_trace_free(a);
    kymo_trace_free(b);
    return 0;
}
