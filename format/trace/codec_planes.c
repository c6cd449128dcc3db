/* SPDX-License-Identifier: Apache-2.0
 * codec_planes.c: values above a base, one plane a byte: all low bytes, then all second bytes.
 * Like stands next to like, so that zstd sees noise and constants apart. Low bits in which all
 * values agree (times rounded to 64 ns, offsets in pages) are left out.
 *
 *   u8 width 0..8, and 16 when a shift follows | u8 shift 1..63 | zigzag varint base | plane 0 [n] | ...
 */
#include "format/trace/codec.h"

#define SHIFTED 16u
/* Fewer low bits than this are left out only when that saves a plane. */
#define SHIFT_MIN 6u

static unsigned width_of(uint64_t range)
{
    return range ? (unsigned)(64 - __builtin_clzll(range) + 7) / 8 : 0;
}

void kymo_range_begin(struct kymo_range *r)
{
    *r = (struct kymo_range){UINT64_MAX, 0, INT64_MAX, INT64_MIN, 0};
}

/* Values of one sign are in the same order signed and unsigned, and most streams are of one sign: then
 * half of the comparisons are enough. */
void kymo_range_add(struct kymo_range *r, const uint64_t *v, size_t n, uint64_t first)
{
    uint64_t umin = UINT64_MAX, umax = 0, differ = 0;
    for (size_t i = 0; i < n; i++) {
        umin = v[i] < umin ? v[i] : umin;
        umax = v[i] > umax ? v[i] : umax;
        differ |= v[i] ^ first;
    }
    if (!n)
        return;
    int64_t smin = (int64_t)umin, smax = (int64_t)umax;
    if ((umin ^ umax) >> 63) {
        smin = INT64_MAX;
        smax = INT64_MIN;
        for (size_t i = 0; i < n; i++) {
            const int64_t s = (int64_t)v[i];
            smin = s < smin ? s : smin;
            smax = s > smax ? s : smax;
        }
    }
    r->umin = umin < r->umin ? umin : r->umin;
    r->umax = umax > r->umax ? umax : r->umax;
    r->smin = smin < r->smin ? smin : r->smin;
    r->smax = smax > r->smax ? smax : r->smax;
    r->differ |= differ;
}

void kymo_range_of(const uint64_t *v, size_t n, struct kymo_range *r)
{
    kymo_range_begin(r);
    kymo_range_add(r, v, n, n ? v[0] : 0);
}

/* The base is the least value, signed or unsigned, whichever leaves the smaller range: a few
 * negative results among small numbers must not cost eight planes. */
struct kymo_planes kymo_planes_fit(const struct kymo_range *r)
{
    const uint64_t urange = r->umax - r->umin, srange = (uint64_t)r->smax - (uint64_t)r->smin;
    const uint64_t range = srange < urange ? srange : urange;
    struct kymo_planes p = {.base = srange < urange ? (uint64_t)r->smin : r->umin};
    if (!range)
        return p;
    const unsigned common = (unsigned)__builtin_ctzll(r->differ);
    if (common >= SHIFT_MIN || width_of(range >> common) < width_of(range))
        p.shift = common;
    p.width = width_of(range >> p.shift);
    /* No base where it saves no plane: zero stays zero, which is what later readers expect to see
     * often, and the base itself costs bytes. */
    const uint64_t low_bits = ((uint64_t)1 << p.shift) - 1;
    if (!(p.base & low_bits) && width_of(r->umax >> p.shift) == p.width)
        p.base = 0;
    return p;
}

/* One plane at a time; the shift is the loop's constant, so the compiler packs whole vectors. */
static void put_plane(const uint64_t *restrict v, size_t n, uint64_t base, unsigned shift,
                      uint8_t *restrict out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)((v[i] - base) >> shift);
}

void kymo_planes_put_head(const struct kymo_planes *shape, struct kymo_buf *out)
{
    kymo_buf_u8(out, (uint8_t)(shape->width | (shape->shift ? SHIFTED : 0)));
    if (shape->shift)
        kymo_buf_u8(out, (uint8_t)shape->shift);
    kymo_buf_varint(out, kymo_zigzag((int64_t)shape->base));
}

void kymo_planes_put_as(const uint64_t *v, size_t n, const struct kymo_planes *shape,
                        struct kymo_buf *out)
{
    kymo_planes_put_head(shape, out);
    uint8_t *p = kymo_buf_reserve(out, n * shape->width);
    if (!p)
        return;
    for (unsigned k = 0; k < shape->width; k++)
        put_plane(v, n, shape->base, 8 * k + shape->shift, p + k * n);
    out->n += n * shape->width;
}

void kymo_planes_put(const uint64_t *v, size_t n, struct kymo_buf *out)
{
    struct kymo_range r;
    kymo_range_of(v, n, &r);
    const struct kymo_planes shape = kymo_planes_fit(&r);
    kymo_planes_put_as(v, n, &shape, out);
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

/* x << shift + base, of planes taken with base 0. */
static void put_back(uint64_t *v, size_t n, unsigned shift, uint64_t base)
{
    for (size_t i = 0; i < n; i++)
        v[i] = (v[i] << shift) + base;
}

static kymo_status take_head(struct kymo_bytes *in, struct kymo_planes *shape,
                             struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    uint8_t how, shift = 0;
    uint64_t zigzag;
    KYMO_TRY(kymo_bytes_u8(in, &how, err));
    if (how & SHIFTED)
        KYMO_TRY(kymo_bytes_u8(in, &shift, err));
    shape->width = how & ~SHIFTED;
    shape->shift = shift;
    if (shape->width > 8 || shift > 63 || (how & SHIFTED && (!shift || !shape->width)))
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "planes: a width of %u bytes and a shift of %u, at most 8 and 63 are "
                         "possible",
                         shape->width, shift);
    KYMO_TRY(kymo_bytes_varint(in, &zigzag, err));
    shape->base = (uint64_t)kymo_unzigzag(zigzag);
    return KYMO_OK;
}

kymo_status kymo_planes_take(struct kymo_bytes *in, uint64_t *v, size_t n, struct kymo_err *err)
{
    const uint64_t at = in->at_bytes;
    struct kymo_planes shape;
    KYMO_TRY(take_head(in, &shape, err));
    if (shape.width && n > in->left / shape.width)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "planes: %zu values of %u bytes cannot lie in %zu bytes", n,
                         shape.width, in->left);
    struct kymo_bytes planes;
    KYMO_TRY(kymo_bytes_take(in, n * shape.width, &planes, err));
    const uint64_t base = shape.shift ? 0 : shape.base;
    switch (shape.width) {
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
        take_more(v, n, shape.width, base, planes.p);
    }
    if (shape.shift)
        put_back(v, n, shape.shift, shape.base);
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
