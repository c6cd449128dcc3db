/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/values.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_VALUES_MIN 16u
#define BLOCK_VALUES_MAX 32768u
#define NARROW_BITS 16u
#define NARROW_VALUES ((size_t)1 << NARROW_BITS)
/* So many narrow ones take as much memory as a count of each. */
#define COUNT_VALUES_MIN (NARROW_VALUES * sizeof(uint64_t) / sizeof(uint16_t))
/* Many are sampled first, which mostly saves filling the buckets. */
#define SAMPLE_VALUES_MIN 65536u
#define SAMPLES 2048u
/* So few are sorted: cheaper than walking the buckets. */
#define SORT_VALUES_MAX 128u

struct kymo_block {
    struct kymo_block *older;
    uint32_t n, cap;
    uint64_t data[]; /* four narrow ones in each, or a wide one */
};

static const uint16_t *narrow_of(const struct kymo_block *b)
{
    return (const uint16_t *)(const void *)b->data;
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
    free(v->each);
    v->narrow = v->wide = NULL;
    v->each = NULL;
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

/* From now on narrow values are counted. */
static kymo_status count_each(struct kymo_values *v, struct kymo_err *err)
{
    v->each = calloc(NARROW_VALUES, sizeof(*v->each));
    if (!v->each)
        return out_of_memory(err);
    for (const struct kymo_block *b = v->narrow; b; b = b->older) {
        for (uint32_t i = 0; i < b->n; i++)
            v->each[narrow_of(b)[i]]++;
        v->kept_bytes -= sizeof(*b) + b->cap * sizeof(uint16_t);
    }
    free_blocks(v->narrow);
    v->narrow = NULL;
    v->kept_bytes += NARROW_VALUES * sizeof(*v->each);
    return KYMO_OK;
}

static kymo_status add_each(struct kymo_values *v, const uint64_t *x, uint32_t n,
                            struct kymo_err *err)
{
    uint64_t *each = v->each;
    for (uint32_t i = 0; i < n; i++) {
        if (!(x[i] >> NARROW_BITS)) {
            each[x[i]]++;
            continue;
        }
        struct kymo_block *wide = room(v, &v->wide, sizeof(uint64_t));
        if (!wide)
            return out_of_memory(err);
        wide->data[wide->n++] = x[i];
        v->n_narrow--;
    }
    v->n_narrow += n;
    v->n += n;
    return KYMO_OK;
}

/* x[n] to the narrow or the wide ones, each of which has room for all. */
static void part(struct kymo_block *narrow, struct kymo_block *wide, const uint64_t *x,
                 uint32_t n)
{
    uint16_t *to = (uint16_t *)(void *)narrow->data + narrow->n;
    uint64_t *over = wide->data + wide->n;
    uint32_t low = 0, high = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t is_wide = x[i] >> NARROW_BITS != 0;
        to[low] = (uint16_t)x[i];
        over[high] = x[i];
        low += !is_wide;
        high += is_wide;
    }
    narrow->n += low;
    wide->n += high;
}

/* All of x[n] narrow? Then they are copied. */
static int copy_narrow(struct kymo_block *narrow, const uint64_t *x, uint32_t n)
{
    uint16_t *to = (uint16_t *)(void *)narrow->data + narrow->n;
    uint64_t high = 0;
#pragma omp simd reduction(| : high)
    for (uint32_t i = 0; i < n; i++)
        high |= x[i];
    if (high >> NARROW_BITS)
        return 0;
#pragma omp simd
    for (uint32_t i = 0; i < n; i++)
        to[i] = (uint16_t)x[i];
    narrow->n += n;
    return 1;
}

/* So many at a time are looked at as one. */
#define PART_VALUES 64u

static kymo_status keep_all(struct kymo_values *v, const uint64_t *x, uint32_t n,
                            struct kymo_err *err)
{
    while (n) {
        if (v->n_narrow >= COUNT_VALUES_MIN) {
            if (!v->each)
                KYMO_TRY(count_each(v, err));
            return add_each(v, x, n, err);
        }
        struct kymo_block *narrow = room(v, &v->narrow, sizeof(uint16_t));
        struct kymo_block *wide = narrow ? room(v, &v->wide, sizeof(uint64_t)) : NULL;
        if (!wide)
            return out_of_memory(err);
        uint32_t some = n < PART_VALUES ? n : PART_VALUES;
        some = some < narrow->cap - narrow->n ? some : narrow->cap - narrow->n;
        const uint32_t before = narrow->n;
        if (!copy_narrow(narrow, x, some)) {
            some = some < wide->cap - wide->n ? some : wide->cap - wide->n;
            part(narrow, wide, x, some);
        }
        v->n_narrow += narrow->n - before;
        v->n += some;
        x += some;
        n -= some;
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

static void count_narrow(const struct kymo_values *v, uint64_t count[KYMO_BUCKETS])
{
    for (const struct kymo_block *b = v->narrow; b; b = b->older)
        for (uint32_t i = 0; i < b->n; i++)
            count[kymo_bucket_of(narrow_of(b)[i])]++;
    for (uint64_t x = 0; v->each && x < NARROW_VALUES; x++)
        count[kymo_bucket_of(x)] += v->each[x];
}

static void count_wide(const struct kymo_values *v, uint64_t count[KYMO_BUCKETS])
{
    for (const struct kymo_block *b = v->wide; b; b = b->older)
        for (uint32_t i = 0; i < b->n; i++)
            count[kymo_bucket_of(b->data[i])]++;
}

void kymo_values_buckets(const struct kymo_values *v, uint64_t count[KYMO_BUCKETS])
{
    if (v->bucket) {
        memcpy(count, v->bucket, KYMO_BUCKETS * sizeof(*count));
        return;
    }
    memset(count, 0, KYMO_BUCKETS * sizeof(*count));
    count_narrow(v, count);
    count_wide(v, count);
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
static uint64_t count_range(const uint16_t *x, uint32_t n, uint16_t low, unsigned bits,
                            unsigned shift, uint64_t *count)
{
    const uint32_t width = (uint32_t)1 << bits, most = UINT16_MAX - (uint32_t)low;
    const uint16_t last = (uint16_t)(width - 1 > most ? most : width - 1);
    uint64_t below = 0;
    uint32_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        uint16_t less = 0, hits = 0;
#pragma omp simd reduction(+ : less, hits)
        for (uint32_t j = 0; j < AT_ONCE; j++) {
            less = (uint16_t)(less + (x[i + j] < low));
            hits = (uint16_t)(hits + ((uint16_t)(x[i + j] - low) <= last));
        }
        below += less;
        for (uint32_t j = i; hits && j < i + AT_ONCE; j++)
            if ((uint16_t)(x[j] - low) <= last)
                count[(uint16_t)(x[j] - low) >> shift]++;
    }
    for (; i < n; i++) {
        below += x[i] < low;
        if ((uint16_t)(x[i] - low) <= last)
            count[(uint16_t)(x[i] - low) >> shift]++;
    }
    return below;
}

static void refine_kept(const struct kymo_values *v, struct kymo_refine *r)
{
    if (r->low >> NARROW_BITS) {
        for (const struct kymo_block *b = v->wide; b; b = b->older)
            kymo_refine_add(r, b->data, NULL, b->n);
        return;
    }
    /* What is sought below 2^16 is among the narrow. */
    for (const struct kymo_block *b = v->narrow; b; b = b->older)
        (void)count_range(narrow_of(b), b->n, (uint16_t)r->low, r->bits, refine_shift(r),
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
    const uint64_t high = at + off < SAMPLES ? sample[at + off] : UINT16_MAX;
    r->low = low;
    r->bits = high > low ? 64 - (unsigned)__builtin_clzll(high - low) : 0;
    if (kymo_refine_begin(r, err))
        return 0;
    const unsigned shift = refine_shift(r);
    for (const struct kymo_block *b = v->narrow; b; b = b->older)
        below += count_range(narrow_of(b), b->n, (uint16_t)low, r->bits, shift, r->count);
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

static uint64_t at_rank(const uint64_t *each, uint64_t rank)
{
    uint64_t x = 0;
    while (rank > each[x])
        rank -= each[x++];
    return x;
}

/* The buckets that a rank falls into: of the narrow values, or of the wide ones, which lie behind them. */
static void locate_kept(const struct kymo_values *v, struct kymo_refine *r, uint64_t rank,
                        uint64_t count[KYMO_BUCKETS])
{
    memset(count, 0, KYMO_BUCKETS * sizeof(*count));
    if (rank <= v->n_narrow) {
        count_narrow(v, count);
    } else {
        count_wide(v, count);
        rank -= v->n_narrow;
    }
    kymo_refine_locate(r, count, rank);
}

kymo_status kymo_values_select(const struct kymo_values *v, const uint32_t *q, size_t n_q,
                               uint64_t count[KYMO_BUCKETS], uint64_t *out,
                               struct kymo_err *err)
{
    uint64_t sample[SAMPLES];
    struct kymo_refine r = {0};
    kymo_status s = KYMO_OK;
    if (v->n <= SORT_VALUES_MAX) {
        select_few(v, q, n_q, out);
        return KYMO_OK;
    }
    const int is_sampled = !v->each && v->n_narrow >= SAMPLE_VALUES_MIN;
    if (is_sampled)
        take_sample(v, sample);
    for (size_t i = 0; i < n_q && !s; i++) {
        const uint64_t rank = kymo_quantile_rank(q[i], v->n);
        if (v->each && rank <= v->n_narrow) {
            out[i] = at_rank(v->each, rank);
            continue;
        }
        if (is_sampled && guess(v, sample, rank, &r, err))
            s = kymo_refine_end(&r, err);
        else
            locate_kept(v, &r, rank, count);
        if (!s)
            s = refine_all(v, &r, err);
        out[i] = r.low;
    }
    kymo_refine_release(&r);
    return s;
}
