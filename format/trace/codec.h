/* SPDX-License-Identifier: Apache-2.0
 * codec.h: what the codec_NAME.c files share among themselves and with the codec table.
 */
#ifndef KYMO_TRACE_CODEC_H
#define KYMO_TRACE_CODEC_H

#include "format/trace/column.h"

/* Distinct values that a dictionary may hold. */
#define KYMO_DICT_VALUES_MAX 4096u

#define KYMO_CODEC_DECLARE(name)                                                               \
    int kymo_codec_##name##_encode(const uint64_t *v, size_t n, struct kymo_buf *out);         \
    KYMO_MUST_USE kymo_status kymo_codec_##name##_decode(struct kymo_bytes in, uint64_t *v,    \
                                                         size_t n, struct kymo_arena *scratch, \
                                                         struct kymo_err *err)
KYMO_CODEC_DECLARE(planes);
KYMO_CODEC_DECLARE(delta);
KYMO_CODEC_DECLARE(dict);
KYMO_CODEC_DECLARE(miss);
KYMO_CODEC_DECLARE(runs);

/* Planes of a shape already known; its first bytes alone. */
void kymo_planes_put_as(const uint64_t *v, size_t n, const struct kymo_planes *shape,
                        struct kymo_buf *out);
void kymo_planes_put_head(const struct kymo_planes *shape, struct kymo_buf *out);

/* A range that is found in parts: begin, add arrays of values, end. first is any of the values. */
void kymo_range_begin(struct kymo_range *r);
void kymo_range_add(struct kymo_range *r, const uint64_t *v, size_t n, uint64_t first);

/* A codec has to use all of its bytes. */
static inline kymo_status kymo_codec_end(const struct kymo_bytes *in, struct kymo_err *err)
{
    if (in->left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, in->at_bytes, "stream: %zu bytes too many",
                         in->left);
    return KYMO_OK;
}

#endif
