/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/values.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_VALUES_MIN 16u
#define BLOCK_VALUES_MAX 65536u
/* Many are sampled first, which mostly saves filling the buckets. */
#define SAMPLE_VALUES_MIN 65536u
#define SAMPLES 2048u
/* So few are sorted: cheaper than walking the buckets. */
#define SORT_VALUES_MAX 128u

struct kymo_block {
    struct kymo_block *older;
    uint32_t n, cap;
    uint64_t data[]; /* two narrow ones in each, or a wide one */
};

static const uint32_t *narrow_of(const struct kymo_block *b)
{
    return (const uint32_t *)(const void *)b->data;
}

static void free_blocks(struct kymo_block *b)
{
    while (b) {
        struct kymo_block *const older = b->older;
        free(b);
        b = older;
    }
}

static void forget(struct kymo_values *v)
{
    free_blocks(v->narrow);
    free_blocks(v->wide);
    v->narrow = v->wide = NULL;
    v->n_narrow = 0;
    v->kept_bytes = 0;
}

void kymo_values_release(struct kymo_values *v)
{
    forget(v);
    free(v->bucket);
    v->bucket = NULL;
    v->n = 0;
}

/* -------- keeping -------- */

static kymo_status out_of_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for durations");
}

/* A block with room for one more. */
static struct kymo_block *room(struct kymo_values *v, struct kymo_block **list,
                               size_t item_bytes)
{
    struct kymo_block *b = *list;
    if (b && b->n < b->cap)
        return b;
    uint32_t cap = b ? b->cap * 2 : BLOCK_VALUES_MIN;
    cap = cap > BLOCK_VALUES_MAX ? BLOCK_VALUES_MAX : cap;
    const size_t bytes = sizeof(*b) + cap * item_bytes;
    b = malloc(bytes);
    if (!b)
        return NULL;
    b->older = *list;
    b->n = 0;
    b->cap = cap;
    *list = b;
    v->kept_bytes += bytes;
    return b;
}

static kymo_status keep_wide(struct kymo_values *v, uint64_t x, struct kymo_err *err)
{
    struct kymo_block *b = room(v, &v->wide, sizeof(uint64_t));
    if (!b)
        return out_of_memory(err);
    b->data[b->n++] = x;
    v->n++;
    return KYMO_OK;
}

/* As many of x[n] as are narrow and have room, n >= 1; how many were dealt with. */
static uint32_t fill(struct kymo_block *b, const uint64_t *x, uint32_t n)
{
    const uint32_t some = n < b->cap - b->n ? n : b->cap - b->n;
    uint32_t *to = (uint32_t *)(void *)b->data + b->n;
    uint64_t high = 0;
#pragma omp simd reduction(| : high)
    for (uint32_t i = 0; i < some; i++)
        high |= x[i];
    if (!(high >> 32)) {
#pragma omp simd
        for (uint32_t i = 0; i < some; i++)
            to[i] = (uint32_t)x[i];
        return some;
    }
    uint32_t i = 0;
    for (; i < some && !(x[i] >> 32); i++)
        to[i] = (uint32_t)x[i];
    return i;
}

static kymo_status keep_all(struct kymo_values *v, const uint64_t *x, uint32_t n,
                            struct kymo_err *err)
{
    for (uint32_t i = 0; i < n;) {
        if (x[i] >> 32) {
            KYMO_TRY(keep_wide(v, x[i++], err));
            continue;
        }
        struct kymo_block *b = room(v, &v->narrow, sizeof(uint32_t));
        if (!b)
            return out_of_memory(err);
        const uint32_t m = fill(b, x + i, n - i);
        b->n += m;
        v->n += m;
        v->n_narrow += m;
        i += m;
    }
    return KYMO_OK;
}

unsigned kymo_bucket_of(uint64_t value)
{
    const uint64_t v = value | ((1u << KYMO_BUCKET_BITS) - 1);
    const unsigned shift = 63u - (unsigned)__builtin_clzll(v);
    if (value < 1u << KYMO_BUCKET_BITS)
        return (unsigned)value;
    const unsigned octave = shift - KYMO_BUCKET_BITS;
    return (octave << KYMO_BUCKET_BITS) + (unsigned)(value >> octave);
}

uint64_t kymo_bucket_low(unsigned bucket, unsigned *bits)
{
    if (bucket < 1u << KYMO_BUCKET_BITS) {
        *bits = 0;
        return bucket;
    }
    *bits = (bucket >> KYMO_BUCKET_BITS) - 1;
    return (uint64_t)((1u << KYMO_BUCKET_BITS) + (bucket & ((1u << KYMO_BUCKET_BITS) - 1)))
           << *bits;
}

kymo_status kymo_values_add(struct kymo_values *v, const uint64_t *x, const uint8_t *present,
                            uint32_t n, struct kymo_err *err)
{
    if (v->bucket) {
        for (uint32_t i = 0; i < n; i++)
            if (!present || present[i]) {
                v->bucket[kymo_bucket_of(x[i])]++;
                v->n++;
            }
        return KYMO_OK;
    }
    if (!present)
        return keep_all(v, x, n, err);
    for (uint32_t i = 0; i < n;) {
        uint32_t some = 0;
        while (i < n && !present[i])
            i++;
        while (i + some < n && present[i + some])
            some++;
        KYMO_TRY(keep_all(v, x + i, some, err));
        i += some;
    }
    return KYMO_OK;
}

void kymo_values_buckets(const struct kymo_values *v, uint64_t count[KYMO_BUCKETS])
{
    if (v->bucket) {
        memcpy(count, v->bucket, KYMO_BUCKETS * sizeof(*count));
        return;
    }
    memset(count, 0, KYMO_BUCKETS * sizeof(*count));
    for (const struct kymo_block *b = v->narrow; b; b = b->older)
        for (uint32_t i = 0; i < b->n; i++)
            count[kymo_bucket_of(narrow_of(b)[i])]++;
    for (const struct kymo_block *b = v->wide; b; b = b->older)
        for (uint32_t i = 0; i < b->n; i++)
            count[kymo_bucket_of(b->data[i])]++;
}

kymo_status kymo_values_spill(struct kymo_values *v, struct kymo_err *err)
{
    if (v->bucket)
        return KYMO_OK;
    uint64_t *bucket = malloc(KYMO_BUCKETS * sizeof(*bucket));
    if (!bucket)
        return out_of_memory(err);
    kymo_values_buckets(v, bucket);
    forget(v);
    v->bucket = bucket;
    return KYMO_OK;
}

/* -------- ranks -------- */

int kymo_quantile_parse(const char *text, uint32_t *q)
{
    uint32_t v = 0, unit = KYMO_QUANTILE_ONE / 100;
    const char *p = text + 1;
    if (*text != 'p' || *p < '0' || *p > '9')
        return 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        v = v * 10 + (uint32_t)(*p - '0');
        if (v > 100)
            return 0;
    }
    v *= unit;
    if (*p == '.') {
        if (!p[1])
            return 0;
        for (p++; *p >= '0' && *p <= '9' && unit > 1; p++)
            v += (unit /= 10) * (uint32_t)(*p - '0');
    }
    if (*p || v > KYMO_QUANTILE_ONE)
        return 0;
    *q = v;
    return 1;
}

uint64_t kymo_quantile_rank(uint32_t q, uint64_t n)
{
    /* ceil(n q / one), in halves that do not overflow */
    const uint64_t one = KYMO_QUANTILE_ONE;
    const uint64_t rank = n / one * q + (n % one * q + one - 1) / one;
    return rank ? rank : 1;
}

void kymo_refine_locate(struct kymo_refine *r, const uint64_t count[KYMO_BUCKETS],
                        uint64_t rank)
{
    unsigned b = 0;
    while (b + 1 < KYMO_BUCKETS && rank > count[b])
        rank -= count[b++];
    r->low = kymo_bucket_low(b, &r->bits);
    r->rank = rank;
}

static unsigned refine_shift(const struct kymo_refine *r)
{
    return r->bits > KYMO_REFINE_BITS ? r->bits - KYMO_REFINE_BITS : 0;
}

kymo_status kymo_refine_begin(struct kymo_refine *r, struct kymo_err *err)
{
    if (!r->count)
        r->count = malloc(sizeof(*r->count) << KYMO_REFINE_BITS);
    if (!r->count)
        return out_of_memory(err);
    memset(r->count, 0, sizeof(*r->count) << KYMO_REFINE_BITS);
    return KYMO_OK;
}

void kymo_refine_add(struct kymo_refine *r, const uint64_t *x, const uint8_t *present,
                     uint32_t n)
{
    const unsigned shift = refine_shift(r);
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t d = x[i] - r->low;
        if (!(d >> r->bits) && (!present || present[i]))
            r->count[d >> shift]++;
    }
}

kymo_status kymo_refine_end(struct kymo_refine *r, struct kymo_err *err)
{
    const unsigned shift = refine_shift(r);
    const unsigned n = 1u << (r->bits - shift);
    unsigned i = 0;
    while (i < n && r->rank > r->count[i])
        r->rank -= r->count[i++];
    if (i == n)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "the input changed between two passes over it");
    r->low += (uint64_t)i << shift;
    r->bits = shift;
    return KYMO_OK;
}

void kymo_refine_release(struct kymo_refine *r)
{
    free(r->count);
    r->count = NULL;
}

/* -------- selecting from what is kept -------- */

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void select_few(const struct kymo_values *v, const uint32_t *q, size_t n_q,
                       uint64_t *out)
{
    uint64_t all[SORT_VALUES_MAX];
    size_t n = 0;
    for (const struct kymo_block *b = v->narrow; b; b = b->older)
        for (uint32_t i = 0; i < b->n; i++)
            all[n++] = narrow_of(b)[i];
    for (const struct kymo_block *b = v->wide; b; b = b->older)
        for (uint32_t i = 0; i < b->n; i++)
            all[n++] = b->data[i];
    qsort(all, n, sizeof(*all), by_value);
    for (size_t i = 0; i < n_q; i++)
        out[i] = all[kymo_quantile_rank(q[i], n) - 1];
}

/* Count x[n] in [low, low + 2^bits) into count, by steps of 2^shift; returns how many lie below. Few are
 * in the range: so many at a time are looked at as one, and seldom one by one. */
#define AT_ONCE 16u
static uint64_t count_range(const uint32_t *x, uint32_t n, uint32_t low, unsigned bits,
                            unsigned shift, uint64_t *count)
{
    const uint64_t width = UINT64_C(1) << bits;
    const uint32_t last =
        width - 1 > UINT32_MAX - low ? UINT32_MAX - low : (uint32_t)(width - 1);
    uint64_t below = 0;
    uint32_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        uint32_t less = 0, hits = 0;
#pragma omp simd reduction(+ : less, hits)
        for (uint32_t j = 0; j < AT_ONCE; j++) {
            less += x[i + j] < low;
            hits += x[i + j] - low <= last;
        }
        below += less;
        for (uint32_t j = i; hits && j < i + AT_ONCE; j++)
            if (x[j] - low <= last)
                count[(x[j] - low) >> shift]++;
    }
    for (; i < n; i++) {
        below += x[i] < low;
        if (x[i] - low <= last)
            count[(x[i] - low) >> shift]++;
    }
    return below;
}

static void refine_kept(const struct kymo_values *v, struct kymo_refine *r)
{
    if (r->low >> 32) {
        for (const struct kymo_block *b = v->wide; b; b = b->older)
            kymo_refine_add(r, b->data, NULL, b->n);
        return;
    }
    /* What is sought below 2^32 is among the narrow. */
    for (const struct kymo_block *b = v->narrow; b; b = b->older)
        (void)count_range(narrow_of(b), b->n, (uint32_t)r->low, r->bits, refine_shift(r),
                          r->count);
}

/* Every so many-th of the narrow values, sorted. */
static void take_sample(const struct kymo_values *v, uint64_t sample[SAMPLES])
{
    const uint64_t step = v->n_narrow / SAMPLES;
    uint64_t skip = 0;
    size_t n = 0;
    for (const struct kymo_block *b = v->narrow; b && n < SAMPLES; b = b->older) {
        for (; skip < b->n && n < SAMPLES; skip += step)
            sample[n++] = narrow_of(b)[skip];
        skip = skip > b->n ? skip - b->n : 0;
    }
    qsort(sample, n, sizeof(*sample), by_value);
    for (; n && n < SAMPLES; n++)
        sample[n] = sample[n - 1];
}

/* The range that the sample lets one expect a rank in, four deviations wide on either side, and one
 * pass for what it holds. 0: the rank is not there after all. */
static int guess(const struct kymo_values *v, const uint64_t sample[SAMPLES], uint64_t rank,
                 struct kymo_refine *r, struct kymo_err *err)
{
    const uint64_t at = (uint64_t)((double)rank / (double)v->n_narrow * (SAMPLES - 1));
    uint64_t off = 2, below = 0, inside = 0;
    if (rank > v->n_narrow || at >= SAMPLES)
        return 0;
    while (off * off < 16 * at * (SAMPLES - at) / SAMPLES)
        off++;
    const uint64_t low = at > off ? sample[at - off] : 0;
    const uint64_t high = at + off < SAMPLES ? sample[at + off] : UINT32_MAX;
    r->low = low;
    r->bits = high > low ? 64 - (unsigned)__builtin_clzll(high - low) : 0;
    if (kymo_refine_begin(r, err))
        return 0;
    const unsigned shift = refine_shift(r);
    for (const struct kymo_block *b = v->narrow; b; b = b->older)
        below += count_range(narrow_of(b), b->n, (uint32_t)low, r->bits, shift, r->count);
    for (unsigned i = 0; i < 1u << (r->bits - shift); i++)
        inside += r->count[i];
    if (rank <= below || rank - below > inside)
        return 0;
    r->rank = rank - below;
    return 1;
}

static kymo_status refine_all(const struct kymo_values *v, struct kymo_refine *r,
                              struct kymo_err *err)
{
    while (r->bits) {
        KYMO_TRY(kymo_refine_begin(r, err));
        refine_kept(v, r);
        KYMO_TRY(kymo_refine_end(r, err));
    }
    return KYMO_OK;
}

kymo_status kymo_values_select(const struct kymo_values *v, const uint32_t *q, size_t n_q,
                               uint64_t count[KYMO_BUCKETS], uint64_t *out,
                               struct kymo_err *err)
{
    uint64_t sample[SAMPLES];
    struct kymo_refine r = {0};
    kymo_status s = KYMO_OK;
    int has_buckets = 0;
    if (v->n <= SORT_VALUES_MAX) {
        select_few(v, q, n_q, out);
        return KYMO_OK;
    }
    const int is_sampled = v->n_narrow >= SAMPLE_VALUES_MIN;
    if (is_sampled)
        take_sample(v, sample);
    for (size_t i = 0; i < n_q && !s; i++) {
        const uint64_t rank = kymo_quantile_rank(q[i], v->n);
        if (is_sampled && guess(v, sample, rank, &r, err)) {
            s = kymo_refine_end(&r, err);
        } else {
            if (!has_buckets)
                kymo_values_buckets(v, count);
            has_buckets = 1;
            kymo_refine_locate(&r, count, rank);
        }
        if (!s)
            s = refine_all(v, &r, err);
        out[i] = r.low;
    }
    kymo_refine_release(&r);
    return s;
}
