/* SPDX-License-Identifier: Apache-2.0
 * codec_planes.c: values above a base, one plane a byte: all low bytes, then all second bytes.
 * Like stands next to like, so that zstd sees noise and constants apart.
 *
 *   u8 width 0..8 | zigzag varint base | plane 0 [n] | plane 1 [n] | ...
 */
#include "format/trace/codec.h"

static unsigned width_of(uint64_t range)
{
    return range ? (unsigned)(64 - __builtin_clzll(range) + 7) / 8 : 0;
}

/* The base is the least value, signed or unsigned, whichever leaves the smaller range: a few
 * negative results among small numbers must not cost eight planes. */
unsigned kymo_planes_width(const uint64_t *v, size_t n, uint64_t *base)
{
    uint64_t umin = UINT64_MAX, umax = 0;
    int64_t smin = INT64_MAX, smax = INT64_MIN;
    for (size_t i = 0; i < n; i++) {
        const int64_t s = (int64_t)v[i];
        umin = v[i] < umin ? v[i] : umin;
        umax = v[i] > umax ? v[i] : umax;
        smin = s < smin ? s : smin;
        smax = s > smax ? s : smax;
    }
    return kymo_planes_width_of(umin, umax, smin, smax, base);
}

unsigned kymo_planes_width_of(uint64_t umin, uint64_t umax, int64_t smin, int64_t smax,
                              uint64_t *base)
{
    const uint64_t urange = umax - umin, srange = (uint64_t)smax - (uint64_t)smin;
    const uint64_t range = srange < urange ? srange : urange;
    const uint64_t low = srange < urange ? (uint64_t)smin : umin;
    /* No base where it saves no plane: zero stays zero, which is what later readers expect to see
     * often, and the base itself costs bytes. */
    if (range && width_of(umax) == width_of(range)) {
        *base = 0;
        return width_of(umax);
    }
    *base = low;
    return width_of(range);
}

/* One plane at a time; the shift is the loop's constant, so the compiler packs whole vectors. */
static void put_plane(const uint64_t *restrict v, size_t n, uint64_t base, unsigned shift,
                      uint8_t *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((v[i] - base) >> shift);
}

void kymo_planes_put_as(const uint64_t *v, size_t n, unsigned width, uint64_t base,
                        struct kymo_buf *out)
{
    kymo_buf_u8(out, (uint8_t)width);
    kymo_buf_varint(out, kymo_zigzag((int64_t)base));
    uint8_t *p = kymo_buf_reserve(out, n * width);
    if (!p)
        return;
    for (unsigned k = 0; k < width; k++)
        put_plane(v, n, base, 8 * k, p + k * n);
    out->n += n * width;
}

void kymo_planes_put(const uint64_t *v, size_t n, struct kymo_buf *out)
{
    uint64_t base;
    const unsigned width = kymo_planes_width(v, n, &base);
    kymo_planes_put_as(v, n, width, base, out);
}

static void fill(uint64_t *v, size_t n, uint64_t x)
{
    for (size_t i = 0; i < n; i++)
        v[i] = x;
}

static void take_1(uint64_t *restrict v, size_t n, uint64_t base, const uint8_t *restrict p)
{
    for (size_t i = 0; i < n; i++)
        v[i] = base + p[i];
}

static void take_2(uint64_t *restrict v, size_t n, uint64_t base, const uint8_t *restrict p)
{
    for (size_t i = 0; i < n; i++)
        v[i] = base + (uint64_t)(p[i] | (uint32_t)p[n + i] << 8);
}

static void take_3(uint64_t *restrict v, size_t n, uint64_t base, const uint8_t *restrict p)
{
    for (size_t i = 0; i < n; i++)
        v[i] = base + (uint64_t)(p[i] | (uint32_t)p[n + i] << 8 | (uint32_t)p[2 * n + i] << 16);
}

static void take_more(uint64_t *restrict v, size_t n, unsigned width, uint64_t base,
                      const uint8_t *restrict p)
{
    take_3(v, n, 0, p);
    for (unsigned k = 3; k < width; k++)
        for (size_t i = 0; i < n; i++)
            v[i] |= (uint64_t)p[k * n + i] << 8 * k;
    for (size_t i = 0; i < n; i++)
        v[i] += base;
}

kymo_status kymo_planes_take(struct kymo_bytes *in, uint64_t *v, size_t n, struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    uint8_t width;
    uint64_t zigzag;
    KYMO_TRY(kymo_bytes_u8(in, &width, err));
    if (width > 8)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "planes: a width of %u bytes, at most 8 are possible", width);
    KYMO_TRY(kymo_bytes_varint(in, &zigzag, err));
    if (width && n > in->left / width)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "planes: %zu values of %u bytes cannot lie in %zu bytes", n, width,
                         in->left);
    struct kymo_bytes planes;
    KYMO_TRY(kymo_bytes_take(in, n * width, &planes, err));
    const uint64_t base = (uint64_t)kymo_unzigzag(zigzag);
    switch (width) {
    case 0:
        fill(v, n, base);
        break;
    case 1:
        take_1(v, n, base, planes.p);
        break;
    case 2:
        take_2(v, n, base, planes.p);
        break;
    case 3:
        take_3(v, n, base, planes.p);
        break;
    default:
        take_more(v, n, width, base, planes.p);
    }
    return KYMO_OK;
}

int kymo_codec_planes_encode(const uint64_t *v, size_t n, struct kymo_buf *out)
{
    kymo_planes_put(v, n, out);
    return 1;
}

kymo_status kymo_codec_planes_decode(struct kymo_bytes in, uint64_t *v, size_t n,
                                     struct kymo_arena *scratch, struct kymo_err *err)
{
    (void)scratch;
    KYMO_TRY(kymo_planes_take(&in, v, n, err));
    return kymo_codec_end(&in, err);
}
