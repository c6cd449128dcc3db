/* SPDX-License-Identifier: Apache-2.0
 * modelled.h: are two captures, window by window, in the same states of a model?
 */
#ifndef KYMO_PROOF_MODELLED_H
#define KYMO_PROOF_MODELLED_H

#include <stddef.h>

#include "format/base/err.h"

struct kymo_modelled_opts {
    const char *model, *original, *again; /* paths */
    /* First calls and the last one's end: windows are alike that lie as far behind the first call. */
    uint64_t original_first_ns, original_last_ns, again_first_ns;
    const char
        *state; /* the state that all windows of `again` are to have; NULL: the original's */
};

/* On captures that meet fewer states there is nothing to tell apart. */
#define KYMO_MODELLED_STATES_MIN 4u

struct kymo_modelled {
    size_t windows, same; /* of an entity each; windows that lost too much are left out */
    size_t bad_windows, bad_same;    /* of them, those of bad states */
    size_t states;                   /* different ones that the original meets */
    double agreement, bad_agreement; /* NaN: no window */
    const char *why_not;             /* static: why the gates do not apply; NULL: they do */
};

/*
 * Featurize both captures by the model's own spec and judge them.
 *
 * errors  EUSAGE: a model without a feature spec, a state that it has not; those of reading
 */
KYMO_MUST_USE kymo_status kymo_modelled_compare(struct kymo_modelled *out,
                                                const struct kymo_modelled_opts *o,
                                                struct kymo_err *err);

#endif
