/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "format/model/score.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was let in has to be fit for use: a row of zeros is scored by it. */
static void use(const struct kymo_model *m)
{
    struct kymo_scorer *s = NULL;
    double *x = calloc(m->d, sizeof(*x));
    if (x && kymo_scorer_open(&s, m, 0.01, NULL) == KYMO_OK) {
        struct kymo_score out;
        if (kymo_score_row(s, x, 0, 0, &out, NULL) == KYMO_OK &&
            (out.state >= m->k || out.outcome >= KYMO_OUTCOMES))
            abort();
        kymo_scorer_close(s);
    }
    free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kymo_model m;
    kymo_model_init(&m);
    if (kymo_model_parse(&m, (const char *)data, size, "fuzz", NULL) == KYMO_OK)
        use(&m);
    kymo_model_release(&m);
    return 0;
}
