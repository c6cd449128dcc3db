/* SPDX-License-Identifier: Apache-2.0
 * feature_places.h: what groups of features lend to the group of what is new.
 */
#ifndef KYMO_MODEL_FEATURE_PLACES_H
#define KYMO_MODEL_FEATURE_PLACES_H

#include "format/model/feature_group.h"

/* Paths and peers, in the order of enum kymo_known. */
#define KYMO_PLACE_KINDS 2

struct kymo_place_sums {
    struct kymo_distinct met, new_met;
    uint64_t calls, new_calls;
};

struct kymo_places {
    struct kymo_place_sums of[KYMO_PLACE_KINDS];
};

const struct kymo_places *kymo_places(const struct kymo_finish *f);
/* Different executables outside of the vocabulary. */
uint32_t kymo_new_exes(const struct kymo_finish *f);
/* Share of the triples of calls outside of it; 0: there were none. */
double kymo_new_sequences(const struct kymo_finish *f);

#endif
