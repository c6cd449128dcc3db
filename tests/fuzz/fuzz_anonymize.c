/* SPDX-License-Identifier: Apache-2.0
 * Any bytes as a path, a text and an address: the same for the same, slashes and what parts words
 * where they were, and no more bytes than a word for each byte.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/anonymize/mask.h"

#define GROWS_MAX 13u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void put_fn(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n);

static size_t count(const void *p, size_t n, uint8_t c)
{
    size_t k = 0;
    for (size_t i = 0; i < n; i++)
        k += ((const uint8_t *)p)[i] == c;
    return k;
}

static void try(const struct kymo_mask *m, put_fn *put, const uint8_t *data, size_t size)
{
    struct kymo_buf a = {0}, b = {0};
    char *copy = malloc(size + 1); /* its own block, so that a byte too far is seen */
    if (!copy)
        return;
    if (size)
        memcpy(copy, data, size);
    put(m, &a, copy, size);
    put(m, &b, copy, size);
    if (a.n != b.n || (a.n && memcmp(a.p, b.p, a.n) != 0) || (size && !a.n) ||
        a.n > 64 + GROWS_MAX * size)
        abort();
    if (put == kymo_mask_path && count(a.p, a.n, '/') != count(data, size, '/'))
        abort();
    if (put == kymo_mask_text && (count(a.p, a.n, ' ') != count(data, size, ' ') ||
                                  count(a.p, a.n, '=') != count(data, size, '=')))
        abort();
    kymo_buf_release(&a);
    kymo_buf_release(&b);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kymo_mask m;
    uint8_t key[KYMO_SIPHASH_KEY_BYTES] = {0};
    if (!size)
        return 0;
    memcpy(key, data, size < sizeof(key) ? size : sizeof(key));
    kymo_mask_init(&m, key, data[0] & 1);
    try(&m, kymo_mask_word, data + 1, size - 1);
    try(&m, kymo_mask_path, data + 1, size - 1);
    try(&m, kymo_mask_text, data + 1, size - 1);
    try(&m, kymo_mask_address, data + 1, size - 1);
    try(&m, kymo_mask_host, data + 1, size - 1);
    return 0;
}
