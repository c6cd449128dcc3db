/* SPDX-License-Identifier: Apache-2.0
 * words.h: values of features as people read them.
 */
#ifndef KYMO_MODEL_WORDS_H
#define KYMO_MODEL_WORDS_H

#include <stdio.h>

#define KYMO_VALUE_BYTES 48

/* "210/s", "1.2 ms", "3.4k/s", "12 MB/s", "0.25": into buf of KYMO_VALUE_BYTES, returned. */
const char *kymo_value_text(char *buf, double v, const char *unit);

#endif
