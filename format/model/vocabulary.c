/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/vocabulary.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/bytes.h"
#include "format/base/size.h"

static const char *const names[KYMO_KNOWN_KINDS] = {"paths", "peers", "executables",
                                                    "sequences"};
const uint32_t kymo_known_max[KYMO_KNOWN_KINDS] = {32768, 16384, 8192, 65536};

/* idf is 1 for a bucket of every window, and at most this for one of no window of 2^53. */
#define IDF_MAX 38.0

const char *kymo_known_name(enum kymo_known k)
{
    return names[k];
}

#define CORRUPT(...) KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE, __VA_ARGS__)

static kymo_status too_large(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "a vocabulary passes the memory budget");
}

/* -- look-up, name ---------------------------------------------------------------------------- */

static kymo_status index_set(struct kymo_known_set *s, struct kymo_arena *arena,
                             struct kymo_err *err)
{
    uint32_t slots = 16;
    while (slots < 2 * s->n)
        slots *= 2;
    uint64_t *slot = KYMO_NEW(arena, uint64_t, slots);
    if (!slot)
        return too_large(err);
    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t at = (uint32_t)s->hash[i] & (slots - 1);
        while (slot[at])
            at = (at + 1) & (slots - 1);
        slot[at] = s->hash[i];
    }
    s->slot = slot;
    s->slots = slots;
    return KYMO_OK;
}

static void put_u64(XXH3_state_t *x, uint64_t v)
{
    uint8_t raw[8];
    kymo_store_u64(raw, v);
    XXH3_64bits_update(x, raw, sizeof(raw));
}

/* Everything that can be looked up, and the name of it all. */
static kymo_status finish(struct kymo_vocabulary *v, struct kymo_arena *arena,
                          struct kymo_err *err)
{
    XXH3_state_t *x = XXH3_createState();
    if (!x)
        return too_large(err);
    XXH3_64bits_reset(x);
    put_u64(x, v->windows);
    for (size_t i = 0; i < KYMO_GRAMS; i++) {
        uint64_t bits;
        memcpy(&bits, &v->idf[i], sizeof(bits));
        put_u64(x, bits);
    }
    for (size_t k = 0; k < KYMO_KNOWN_KINDS; k++) {
        put_u64(x, v->known[k].n);
        for (uint32_t i = 0; i < v->known[k].n; i++)
            put_u64(x, v->known[k].hash[i]);
    }
    v->xxh3 = XXH3_64bits_digest(x);
    XXH3_freeState(x);
    for (size_t k = 0; k < KYMO_KNOWN_KINDS; k++)
        KYMO_TRY(index_set(&v->known[k], arena, err));
    return KYMO_OK;
}

/* -- base64 of the hashes, little-endian (RFC 4648, with its padding) ------------------------- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t base64_chars(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

/* Bytes i..i+2 of the hashes as one number; bytes past the end are 0. */
static uint32_t three_bytes(const uint64_t *hash, size_t bytes, size_t i)
{
    uint32_t v = 0;
    for (size_t b = i; b < i + 3; b++)
        v = v << 8 | (b < bytes ? (uint32_t)(hash[b / 8] >> (b % 8 * 8) & 0xff) : 0);
    return v;
}

static void encode(const uint64_t *hash, size_t n, char *out)
{
    const size_t bytes = n * 8;
    for (size_t i = 0; i < bytes; i += 3, out += 4) {
        const uint32_t v = three_bytes(hash, bytes, i);
        memset(out, '=', 4);
        for (unsigned c = 0; c < 4 && i + c <= bytes; c++)
            out[c] = digits[v >> (18 - 6 * c) & 63];
    }
}

static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* n hashes of a text of just the length for them; 0: no such text, or bits past its end. */
static int decode(const char *text, uint64_t *hash, size_t n)
{
    const size_t bytes = n * 8, chars = (bytes * 8 + 5) / 6;
    uint32_t v = 0, held = 0;
    size_t at = 0;
    memset(hash, 0, bytes);
    for (size_t i = 0; i < chars; i++) {
        const int d = digit_value(text[i]);
        if (d < 0)
            return 0;
        v = v << 6 | (uint32_t)d;
        held += 6;
        if (held >= 8) {
            held -= 8;
            hash[at / 8] |= (uint64_t)(v >> held & 0xff) << (at % 8 * 8);
            at++;
        }
    }
    for (size_t i = chars; text[i]; i++)
        if (text[i] != '=')
            return 0;
    return (v & ((1u << held) - 1)) == 0;
}

/* -- JSON ------------------------------------------------------------------------------------- */

static json_t *set_json(const struct kymo_known_set *s)
{
    const size_t chars = base64_chars((size_t)s->n * 8);
    char *text = malloc(chars + 1);
    if (!text)
        return NULL;
    encode(s->hash, s->n, text);
    json_t *j = json_pack("{s:I, s:I, s:s#}", "n", (json_int_t)s->n, "met", (json_int_t)s->met,
                          "hashes", text, chars);
    free(text);
    return j;
}

json_t *kymo_vocabulary_json(const struct kymo_vocabulary *v)
{
    json_t *idf = json_array();
    for (size_t i = 0; idf && i < KYMO_GRAMS; i++)
        json_array_append_new(idf, json_real(v->idf[i]));
    json_t *j = json_pack("{s:I, s:o}", "windows", (json_int_t)v->windows, "idf", idf);
    for (size_t k = 0; j && k < KYMO_KNOWN_KINDS; k++) {
        if (json_object_set_new(j, names[k], set_json(&v->known[k]))) {
            json_decref(j);
            return NULL;
        }
    }
    return j;
}

static kymo_status parse_idf(struct kymo_vocabulary *v, const json_t *list, const char *name,
                             struct kymo_err *err)
{
    if (json_array_size(list) != KYMO_GRAMS)
        return CORRUPT("%s: its vocabulary has %zu idf, its spec has %u", name,
                       json_array_size(list), KYMO_GRAMS);
    for (size_t i = 0; i < KYMO_GRAMS; i++) {
        const json_t *x = json_array_get(list, i);
        v->idf[i] = json_is_number(x) ? json_number_value(x) : NAN;
        if (!(v->idf[i] >= 1 && v->idf[i] <= IDF_MAX))
            return CORRUPT("%s: idf %zu of its vocabulary is none that counts give", name, i);
    }
    return KYMO_OK;
}

static kymo_status parse_set(struct kymo_known_set *s, const json_t *j, enum kymo_known kind,
                             struct kymo_arena *arena, const char *name, struct kymo_err *err)
{
    uint64_t n;
    const char *text;
    KYMO_TRY(kymo_json_get_u64(j, "n", name, &n, err));
    KYMO_TRY(kymo_json_get_u64(j, "met", name, &s->met, err));
    KYMO_TRY(kymo_json_get_str(j, "hashes", name, &text, err));
    if (n > kymo_known_max[kind] || s->met < n)
        return CORRUPT("%s: %" PRIu64 " known %s of %" PRIu64 ", at most %u are kept", name, n,
                       names[kind], s->met, kymo_known_max[kind]);
    if (strlen(text) != base64_chars((size_t)n * 8))
        return CORRUPT("%s: its known %s are not %" PRIu64 " hashes in base64", name,
                       names[kind], n);
    uint64_t *hash = KYMO_NEW(arena, uint64_t, (size_t)n);
    if (!hash)
        return too_large(err);
    if (!decode(text, hash, (size_t)n))
        return CORRUPT("%s: its known %s are no base64", name, names[kind]);
    for (uint64_t i = 0; i < n; i++)
        if (hash[i] <= (i ? hash[i - 1] : 0))
            return CORRUPT("%s: its known %s are not in ascending order", name, names[kind]);
    s->hash = hash;
    s->n = (uint32_t)n;
    return KYMO_OK;
}

kymo_status kymo_vocabulary_parse(struct kymo_vocabulary **out, const json_t *j,
                                  struct kymo_arena *arena, const char *name,
                                  struct kymo_err *err)
{
    json_t *list;
    struct kymo_vocabulary *v = KYMO_NEW(arena, struct kymo_vocabulary, 1);
    if (!v)
        return too_large(err);
    KYMO_TRY(kymo_json_get_u64(j, "windows", name, &v->windows, err));
    if (v->windows == 0 || v->windows > UINT64_C(1) << 53)
        return CORRUPT("%s: its vocabulary is of %" PRIu64 " windows", name, v->windows);
    KYMO_TRY(kymo_json_get(j, "idf", JSON_ARRAY, name, &list, err));
    KYMO_TRY(parse_idf(v, list, name, err));
    for (int k = 0; k < KYMO_KNOWN_KINDS; k++) {
        json_t *set;
        KYMO_TRY(kymo_json_get(j, names[k], JSON_OBJECT, name, &set, err));
        KYMO_TRY(parse_set(&v->known[k], set, (enum kymo_known)k, arena, name, err));
    }
    KYMO_TRY(finish(v, arena, err));
    *out = v;
    return KYMO_OK;
}

/* -- learning --------------------------------------------------------------------------------- */

void kymo_vocabulary_window(struct kymo_vocabulary_fit *f, const double share[KYMO_GRAMS])
{
    f->windows++;
    for (size_t i = 0; i < KYMO_GRAMS; i++)
        f->with_bucket[i] += share[i] > 0;
}

void kymo_vocabulary_release(struct kymo_vocabulary_fit *f)
{
    for (size_t k = 0; k < KYMO_KNOWN_KINDS; k++)
        kymo_distinct_release(&f->known[k]);
    memset(f, 0, sizeof(*f));
}

/* Most frequent first, then by hash, so that what is kept does not depend on the order met. */
static int by_count(const void *a, const void *b)
{
    const struct kymo_distinct_item *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static kymo_status freeze_set(struct kymo_known_set *s, const struct kymo_distinct *from,
                              uint32_t most, struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_distinct_item *item = calloc((size_t)from->n + 1, sizeof(*item));
    uint32_t n = 0;
    if (!item)
        return too_large(err);
    for (uint32_t i = 0; i < from->slots; i++)
        if (from->slot[i].n)
            item[n++] = from->slot[i];
    qsort(item, n, sizeof(*item), by_count);
    s->met = n;
    s->n = n < most ? n : most;
    uint64_t *hash = KYMO_NEW(arena, uint64_t, s->n);
    for (uint32_t i = 0; hash && i < s->n; i++)
        hash[i] = item[i].hash;
    free(item);
    if (!hash)
        return too_large(err);
    qsort(hash, s->n, sizeof(*hash), by_value);
    s->hash = hash;
    return KYMO_OK;
}

kymo_status kymo_vocabulary_freeze(struct kymo_vocabulary **out,
                                   const struct kymo_vocabulary_fit *f,
                                   struct kymo_arena *arena, struct kymo_err *err)
{
    if (f->windows == 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "there is no window to learn a vocabulary from");
    struct kymo_vocabulary *v = KYMO_NEW(arena, struct kymo_vocabulary, 1);
    if (!v)
        return too_large(err);
    v->windows = f->windows;
    for (size_t i = 0; i < KYMO_GRAMS; i++)
        v->idf[i] = log((1 + (double)f->windows) / (1 + (double)f->with_bucket[i])) + 1;
    for (size_t k = 0; k < KYMO_KNOWN_KINDS; k++)
        KYMO_TRY(freeze_set(&v->known[k], &f->known[k], kymo_known_max[k], arena, err));
    KYMO_TRY(finish(v, arena, err));
    *out = v;
    return KYMO_OK;
}
