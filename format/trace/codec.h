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

/* A range that is being found value by value; first is any of them. */
static inline void kymo_range_begin(struct kymo_range *r)
{
    *r = (struct kymo_range){UINT64_MAX, 0, INT64_MAX, INT64_MIN, 0};
}
static inline void kymo_range_add(struct kymo_range *r, uint64_t v, uint64_t first)
{
    const int64_t s = (int64_t)v;
    r->umin = v < r->umin ? v : r->umin;
    r->umax = v > r->umax ? v : r->umax;
    r->smin = s < r->smin ? s : r->smin;
    r->smax = s > r->smax ? s : r->smax;
    r->differ |= v ^ first;
}

/* A codec has to use all of its bytes. */
static inline kymo_status kymo_codec_end(const struct kymo_bytes *in, struct kymo_err *err)
{
    if (in->left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, in->at_bytes, "stream: %zu bytes too many",
                         in->left);
    return KYMO_OK;
}

#endif
