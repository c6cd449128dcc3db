/* SPDX-License-Identifier: Apache-2.0
 * hybrid.h: Parquet's mix of runs and packed bits, for definition levels and dictionary numbers.
 */
#ifndef KYMO_EXPORT_HYBRID_H
#define KYMO_EXPORT_HYBRID_H

#include "format/base/bytes.h"

/* Bits that hold numbers up to max, at least 1. */
unsigned kymo_hybrid_width(uint32_t max);
/* Append n values below 2^width; width 1..32. */
void kymo_hybrid_put(struct kymo_buf *out, const uint32_t *value, size_t n, unsigned width);

#endif
