/* SPDX-License-Identifier: Apache-2.0
 * column.c: which codec a stream takes, and zstd around it.
 *
 * The choice is by cost: each codec's planes are made for a sample of the stream and their
 * order-0 entropy is added up, which is what zstd's literal coder gets to within a few percent.
 * Matches that zstd finds on top come for every candidate alike, so they are left out.
 */
#include "format/trace/column.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "format/trace/codec.h"

const struct kymo_codec kymo_codecs[KYMO_CODEC_COUNT] = {
    [KYMO_CODEC_PLANES] = {"planes", kymo_codec_planes_encode, kymo_codec_planes_decode},
    [KYMO_CODEC_DELTA] = {"delta", kymo_codec_delta_encode, kymo_codec_delta_decode},
    [KYMO_CODEC_DICT] = {"dict", kymo_codec_dict_encode, kymo_codec_dict_decode},
    [KYMO_CODEC_MISS] = {"miss", kymo_codec_miss_encode, kymo_codec_miss_decode},
    [KYMO_CODEC_RUNS] = {"runs", kymo_codec_runs_encode, kymo_codec_runs_decode},
};

/* The sample: up to four stretches of neighbours, so that deltas and runs show. */
#define SAMPLE_STRETCHES 4u
#define SAMPLE_STRETCH 256u
#define SAMPLE_VALUES (SAMPLE_STRETCHES * SAMPLE_STRETCH)
/* Below this a stream is encoded with each likely codec and the shortest is kept. */
#define TRY_ALL_VALUES 32u
#define DICT_SLOTS 2048u

struct kymo_column_encoder {
    ZSTD_CCtx *zstd;
    int is_plain; /* zstd is kept away, see kymo_column_encoder_plain() */
    struct kymo_buf encoded, other;
    uint64_t sample[SAMPLE_VALUES], work[SAMPLE_VALUES], work2[SAMPLE_VALUES];
    double c_log2_c[SAMPLE_VALUES + 1]; /* c * log2(c) */
    uint64_t dict_value[DICT_SLOTS];
    uint16_t dict_count[DICT_SLOTS];
    uint16_t dict_used[SAMPLE_VALUES];
};

size_t kymo_column_bytes_max(size_t n)
{
    return 16 * n + 64;
}

kymo_status kymo_column_encoder_open(struct kymo_column_encoder **out, int zstd_level,
                                     struct kymo_err *err)
{
    struct kymo_column_encoder *e = calloc(1, sizeof(*e));
    if (e)
        e->zstd = ZSTD_createCCtx();
    if (!e || !e->zstd) {
        free(e);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for an encoder");
    }
    if (ZSTD_isError(ZSTD_CCtx_setParameter(e->zstd, ZSTD_c_compressionLevel, zstd_level))) {
        kymo_column_encoder_close(e);
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "zstd knows no level %d", zstd_level);
    }
    for (size_t c = 2; c <= SAMPLE_VALUES; c++)
        e->c_log2_c[c] = (double)c * log2((double)c);
    *out = e;
    return KYMO_OK;
}

void kymo_column_encoder_close(struct kymo_column_encoder *e)
{
    if (!e)
        return;
    ZSTD_freeCCtx(e->zstd);
    kymo_buf_release(&e->encoded);
    kymo_buf_release(&e->other);
    free(e);
}

void kymo_column_encoder_plain(struct kymo_column_encoder *e, int on)
{
    e->is_plain = on;
}

/* -------- choosing -------- */

static size_t take_sample(const uint64_t *v, size_t n, uint64_t *out)
{
    if (n <= SAMPLE_VALUES) {
        memcpy(out, v, n * sizeof(*v));
        return n;
    }
    const size_t step = (n - SAMPLE_STRETCH) / (SAMPLE_STRETCHES - 1);
    for (size_t s = 0; s < SAMPLE_STRETCHES; s++)
        memcpy(out + s * SAMPLE_STRETCH, v + s * step, SAMPLE_STRETCH * sizeof(*v));
    return SAMPLE_VALUES;
}

/* Entropy of the byte planes of x[m], in bits, all planes together. */
static double plane_bits(const struct kymo_column_encoder *e, const uint64_t *x, size_t m)
{
    struct kymo_range r;
    double bits = 0;
    if (!m)
        return 0;
    kymo_range_of(x, m, &r);
    const struct kymo_planes shape = kymo_planes_fit(&r);
    for (unsigned k = 0; k < shape.width; k++) {
        uint16_t count[256] = {0};
        for (size_t i = 0; i < m; i++)
            count[(uint8_t)((x[i] - shape.base) >> (8 * k + shape.shift))]++;
        bits += e->c_log2_c[m];
        for (size_t b = 0; b < 256; b++)
            bits -= e->c_log2_c[count[b]];
    }
    return bits;
}

static double delta_bits(struct kymo_column_encoder *e, const uint64_t *x, size_t m)
{
    int falls = 0;
    for (size_t i = 1; i < m; i++)
        falls |= i % SAMPLE_STRETCH && x[i] < x[i - 1];
    size_t k = 0;
    for (size_t i = 1; i < m; i++) {
        if (i % SAMPLE_STRETCH == 0)
            continue;
        const int64_t d = (int64_t)(x[i] - x[i - 1]);
        e->work[k++] = falls ? kymo_zigzag(d) : (uint64_t)d;
    }
    return plane_bits(e, e->work, k);
}

static void miss_and_runs_bits(struct kymo_column_encoder *e, const uint64_t *x, size_t m,
                               double *miss, double *runs)
{
    size_t k = 0, start = 0;
    for (size_t i = 1; i <= m; i++) {
        if (i < m && x[i] == x[i - 1])
            continue;
        e->work[k] = x[i - 1];
        e->work2[k++] = i - start - 1;
        start = i;
    }
    const double values = plane_bits(e, e->work, k);
    *miss = values + e->c_log2_c[m] - e->c_log2_c[k] - e->c_log2_c[m - k];
    *runs = values + plane_bits(e, e->work2, k);
}

/* Entropy of the ids, and the table's bytes as the values seen once promise more unseen ones. */
static double dict_bits(struct kymo_column_encoder *e, const uint64_t *x, size_t m, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < m; i++) {
        uint32_t h = (uint32_t)(x[i] * 0x9e3779b97f4a7c15u >> 53);
        while (e->dict_count[h] && e->dict_value[h] != x[i])
            h = (h + 1) & (DICT_SLOTS - 1);
        if (!e->dict_count[h]++) {
            e->dict_value[h] = x[i];
            e->dict_used[k++] = (uint16_t)h;
        }
    }
    double ids = e->c_log2_c[m];
    size_t once = 0;
    for (size_t i = 0; i < k; i++) {
        const uint16_t c = e->dict_count[e->dict_used[i]];
        ids -= e->c_log2_c[c];
        once += c == 1;
        e->dict_count[e->dict_used[i]] = 0;
    }
    const double distinct = (double)k + (double)once * (double)(n - m) / (double)m;
    if (distinct > KYMO_DICT_VALUES_MAX)
        return INFINITY;
    struct kymo_range r;
    kymo_range_of(x, m, &r);
    const double item_bytes = kymo_planes_fit(&r).width > 2 ? 3.5 : 1.5;
    return ids * (double)n / (double)m + distinct * item_bytes * 8;
}

/* The codec that promises the fewest bits; the plainer one where there is no clear gain. */
static enum kymo_codec_id choose(struct kymo_column_encoder *e, const uint64_t *v, size_t n,
                                 double *best_bits)
{
    const size_t m = take_sample(v, n, e->sample);
    const double scale = (double)n / (double)m;
    double bits[KYMO_CODEC_COUNT];
    bits[KYMO_CODEC_PLANES] = plane_bits(e, e->sample, m) * scale;
    bits[KYMO_CODEC_DELTA] = delta_bits(e, e->sample, m) * scale;
    bits[KYMO_CODEC_DICT] = dict_bits(e, e->sample, m, n);
    miss_and_runs_bits(e, e->sample, m, &bits[KYMO_CODEC_MISS], &bits[KYMO_CODEC_RUNS]);
    bits[KYMO_CODEC_MISS] *= scale;
    bits[KYMO_CODEC_RUNS] *= scale;
    enum kymo_codec_id best = KYMO_CODEC_PLANES;
    for (int c = 1; c < KYMO_CODEC_COUNT; c++)
        if (bits[c] < bits[best] * 0.97 - 64)
            best = (enum kymo_codec_id)c;
    *best_bits = bits[best];
    return best;
}

double kymo_column_bits(struct kymo_column_encoder *e, const uint64_t *v, size_t n)
{
    double bits;
    (void)choose(e, v, n, &bits);
    return bits;
}

/* -------- encoding -------- */

static void encode_shortest(struct kymo_column_encoder *e, const uint64_t *v, size_t n,
                            struct kymo_stream *s)
{
    static const enum kymo_codec_id likely[] = {KYMO_CODEC_DELTA, KYMO_CODEC_MISS,
                                                KYMO_CODEC_RUNS};
    s->codec = KYMO_CODEC_PLANES;
    (void)kymo_codecs[KYMO_CODEC_PLANES].encode(v, n, &e->encoded);
    for (size_t i = 0; i < sizeof(likely) / sizeof(likely[0]) && e->encoded.n > n / 2; i++) {
        kymo_buf_clear(&e->other);
        if (!kymo_codecs[likely[i]].encode(v, n, &e->other) || e->other.n >= e->encoded.n)
            continue;
        const struct kymo_buf swap = e->encoded;
        e->encoded = e->other;
        e->other = swap;
        s->codec = likely[i];
    }
}

static void encode_values(struct kymo_column_encoder *e, const uint64_t *v, size_t n,
                          struct kymo_stream *s)
{
    kymo_buf_clear(&e->encoded);
    kymo_range_of(v, n, &s->range);
    if (!s->range.differ) {
        const struct kymo_planes shape = {.base = v[0]};
        s->codec = KYMO_CODEC_PLANES;
        kymo_planes_put_as(v, n, &shape, &e->encoded);
        return;
    }
    if (n < TRY_ALL_VALUES) {
        encode_shortest(e, v, n, s);
        return;
    }
    double bits;
    s->codec = choose(e, v, n, &bits);
    if (s->codec == KYMO_CODEC_PLANES) {
        const struct kymo_planes shape = kymo_planes_fit(&s->range);
        kymo_planes_put_as(v, n, &shape, &e->encoded);
    } else if (!kymo_codecs[s->codec].encode(v, n, &e->encoded)) {
        kymo_buf_clear(&e->encoded);
        s->codec = KYMO_CODEC_PLANES;
        (void)kymo_codecs[KYMO_CODEC_PLANES].encode(v, n, &e->encoded);
    }
}

kymo_status kymo_column_encode_bytes(struct kymo_column_encoder *e, const void *p, size_t n,
                                     struct kymo_stream *s, struct kymo_buf *body,
                                     struct kymo_err *err)
{
    s->is_zstd = 0;
    s->encoded_bytes = s->stored_bytes = (uint32_t)n;
    if (n >= KYMO_STREAM_ZSTD_BYTES_MIN && !e->is_plain) {
        const size_t bound = ZSTD_compressBound(n);
        uint8_t *to = kymo_buf_reserve(body, bound);
        const size_t m = to ? ZSTD_compress2(e->zstd, to, bound, p, n) : n;
        if (ZSTD_isError(m))
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "zstd: %s", ZSTD_getErrorName(m));
        if (m < n) {
            body->n += m;
            s->is_zstd = 1;
            s->stored_bytes = (uint32_t)m;
        }
    }
    if (!s->is_zstd)
        kymo_buf_put(body, p, n);
    if (body->failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "out of memory for a stream of %zu bytes", n);
    return KYMO_OK;
}

kymo_status kymo_column_encode(struct kymo_column_encoder *e, const uint64_t *v, size_t n,
                               struct kymo_stream *s, struct kymo_buf *body,
                               struct kymo_err *err)
{
    encode_values(e, v, n, s);
    if (e->encoded.failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "out of memory for a stream of %zu values", n);
    return kymo_column_encode_bytes(e, e->encoded.p, e->encoded.n, s, body, err);
}

/* -------- decoding -------- */

struct kymo_column_decoder {
    ZSTD_DCtx *zstd;
};

kymo_status kymo_column_decoder_open(struct kymo_column_decoder **out, struct kymo_err *err)
{
    struct kymo_column_decoder *d = calloc(1, sizeof(*d));
    if (d)
        d->zstd = ZSTD_createDCtx();
    if (!d || !d->zstd) {
        free(d);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a decoder");
    }
    *out = d;
    return KYMO_OK;
}

void kymo_column_decoder_close(struct kymo_column_decoder *d)
{
    if (!d)
        return;
    ZSTD_freeDCtx(d->zstd);
    free(d);
}

kymo_status kymo_column_decode_bytes(struct kymo_column_decoder *d, const struct kymo_stream *s,
                                     struct kymo_bytes stored, struct kymo_arena *arena,
                                     struct kymo_bytes *out, struct kymo_err *err)
{
    const uint64_t at = stored.at_bytes;
    if (!s->is_zstd) {
        *out = stored;
        return KYMO_OK;
    }
    const unsigned long long claim = ZSTD_getFrameContentSize(stored.p, stored.left);
    if (claim != s->encoded_bytes)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "stream: the zstd frame does not hold the %u bytes promised",
                         s->encoded_bytes);
    const size_t frame = ZSTD_findFrameCompressedSize(stored.p, stored.left);
    if (ZSTD_isError(frame) || frame != stored.left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "stream: not one whole zstd frame of %zu bytes", stored.left);
    uint8_t *p = KYMO_NEW_RAW(arena, uint8_t, s->encoded_bytes);
    if (!p)
        return KYMO_FAIL(err, KYMO_ELIMIT, at, "stream: %u bytes pass the memory budget",
                         s->encoded_bytes);
    const size_t n = ZSTD_decompressDCtx(d->zstd, p, s->encoded_bytes, stored.p, stored.left);
    if (ZSTD_isError(n))
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "stream: zstd: %s", ZSTD_getErrorName(n));
    if (n != s->encoded_bytes)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at, "stream: %zu of %u bytes", n,
                         s->encoded_bytes);
    *out = kymo_bytes_view(p, n, at);
    return KYMO_OK;
}

kymo_status kymo_column_decode(struct kymo_column_decoder *d, const struct kymo_stream *s,
                               struct kymo_bytes stored, uint64_t *v, size_t n,
                               struct kymo_arena *scratch, struct kymo_err *err)
{
    if (!n || n > KYMO_STREAM_VALUES_MAX)
        return KYMO_FAIL(err, KYMO_ECORRUPT, stored.at_bytes,
                         "stream: %zu values, 1 to %u are allowed", n, KYMO_STREAM_VALUES_MAX);
    if (s->encoded_bytes > kymo_column_bytes_max(n))
        return KYMO_FAIL(err, KYMO_ECORRUPT, stored.at_bytes, "stream: %u bytes for %zu values",
                         s->encoded_bytes, n);
    struct kymo_bytes in;
    KYMO_TRY(kymo_column_decode_bytes(d, s, stored, scratch, &in, err));
    return kymo_codecs[s->codec].decode(in, v, n, scratch, err);
}
