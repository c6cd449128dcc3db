/* SPDX-License-Identifier: Apache-2.0 */
#include "format/anonymize/mask.h"

#include <stdio.h>
#include <string.h>

#define WORD_BYTES 13u
#define SEAL_BYTES 5u
#define PAGE_BITS 12
#define NOBODY 65534u
#define FEISTEL_ROUNDS 4
#define QUAD_BYTES_MAX 24u

void kymo_mask_init(struct kymo_mask *m, const uint8_t key[KYMO_SIPHASH_KEY_BYTES],
                    int hides_all)
{
    const struct kymo_siphash_key k = kymo_siphash_key(key);
    memset(m, 0, sizeof(*m));
    m->word = kymo_siphash_derive(k, "word");
    m->ip4 = kymo_siphash_derive(k, "ip4");
    m->ip6 = kymo_siphash_derive(k, "ip6");
    m->id = kymo_siphash_derive(k, "user id");
    m->page = kymo_siphash_derive(k, "page");
    m->seal = kymo_siphash_derive(k, "seal");
    m->key_id = kymo_siphash_derive(k, "name of the key").k0;
    m->hides_all = hides_all;
}

static void put_letters(char *to, size_t n, uint64_t v)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    for (size_t i = 0; i < n; i++, v >>= 5)
        to[i] = letters[v & 31];
}

/* Sixty bits: among a million words two are alike with a chance of one in two million. */
void kymo_mask_word(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    char word[WORD_BYTES] = {'k'};
    if (!n)
        return;
    put_letters(word + 1, WORD_BYTES - 1, kymo_siphash(m->word, s, n));
    kymo_buf_put(out, word, sizeof(word));
}

static void put_seal(const struct kymo_mask *m, const char *word, char *to)
{
    to[0] = '_';
    put_letters(to + 1, SEAL_BYTES - 1, kymo_siphash(m->seal, word, WORD_BYTES));
}

void kymo_mask_secret(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    char whole[KYMO_MASK_SECRET_BYTES] = {'k'};
    put_letters(whole + 1, WORD_BYTES - 1, kymo_siphash(m->word, s, n));
    put_seal(m, whole, whole + WORD_BYTES);
    kymo_buf_put(out, whole, sizeof(whole));
}

int kymo_mask_is_secret(const struct kymo_mask *m, const char *s, size_t n)
{
    char seal[SEAL_BYTES];
    if (n != KYMO_MASK_SECRET_BYTES || s[0] != 'k' || s[WORD_BYTES] != '_')
        return 0;
    put_seal(m, s, seal);
    return !memcmp(s + WORD_BYTES, seal, SEAL_BYTES);
}

/* -------- paths -------- */

static int is_number(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] < '0' || s[i] > '9')
            return 0;
    return n > 0;
}

static int is_dots(const char *s, size_t n)
{
    return (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.');
}

/* Numbers below /proc and /dev are processes, descriptors and terminals. */
static int has_numbers(const char *root, size_t n)
{
    return (n == 4 && !memcmp(root, "proc", 4)) || (n == 3 && !memcmp(root, "dev", 3));
}

void kymo_mask_path(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    int is_known = n > 0 && s[0] == '/' && !m->hides_all; /* so far, from the root on */
    int numbers = 0, depth = 0;
    for (size_t i = 0; i < n;) {
        const char *slash = memchr(s + i, '/', n - i);
        const size_t len = slash ? (size_t)(slash - s) - i : n - i;
        const char *part = s + i;
        if (len && !is_dots(part, len)) {
            is_known = is_known &&
                       (kymo_mask_is_known(part, len) || (numbers && is_number(part, len)));
            if (!depth++)
                numbers = is_known && has_numbers(part, len);
        }
        if (is_known || is_dots(part, len))
            kymo_buf_put(out, part, len);
        else
            kymo_mask_word(m, out, part, len);
        i += len;
        if (slash) {
            kymo_buf_u8(out, '/');
            i++;
        }
    }
}

/* -------- numbers -------- */

static uint32_t feistel(const struct kymo_mask *m, uint32_t v)
{
    uint32_t left = v >> 16, right = v & 0xffff;
    for (uint8_t round = 0; round < FEISTEL_ROUNDS; round++) {
        const uint8_t in[3] = {round, (uint8_t)right, (uint8_t)(right >> 8)};
        const uint32_t next = left ^ (uint32_t)(kymo_siphash(m->id, in, sizeof(in)) & 0xffff);
        left = right;
        right = next;
    }
    return left << 16 | right;
}

static int stays(uint32_t id)
{
    return id == 0 || id == NOBODY || id == UINT32_MAX;
}

/* A permutation of 32 bits; one that ends on a number that stays is gone on with. */
uint64_t kymo_mask_id(const struct kymo_mask *m, uint64_t id)
{
    uint32_t v = (uint32_t)id;
    if (stays(v))
        return id;
    do
        v = feistel(m, v);
    while (stays(v));
    return (id & ~(uint64_t)UINT32_MAX) | v;
}

/* Pages of 64-bit programs stand from 4 GiB to 128 TiB, those of 32-bit ones from 128 MiB to 2 GiB. */
uint64_t kymo_mask_pointer(struct kymo_mask *m, uint64_t pointer, unsigned bits)
{
    const uint64_t page = pointer >> PAGE_BITS;
    const uint64_t low =
        bits == 32 ? (uint64_t)1 << (27 - PAGE_BITS) : (uint64_t)1 << (32 - PAGE_BITS);
    const uint64_t high =
        bits == 32 ? (uint64_t)1 << (31 - PAGE_BITS) : (uint64_t)1 << (47 - PAGE_BITS);
    if (!page)
        return pointer;
    const size_t slot = (size_t)((page * 0x9e3779b97f4a7c15u) >> 32) % KYMO_MASK_PAGES;
    if (m->cache[slot].page != page) {
        uint8_t raw[8];
        kymo_store_u64(raw, page);
        m->cache[slot].page = page;
        m->cache[slot].stands_for = kymo_siphash(m->page, raw, sizeof(raw));
    }
    const uint64_t stands_for = low + m->cache[slot].stands_for % (high - low);
    return stands_for << PAGE_BITS | (pointer & ((1u << PAGE_BITS) - 1));
}

/* -------- text -------- */

static int parts_text(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || (c && strchr("'\"=,;()|<>&", c));
}

/* A dotted quad and an optional port: masked as such. */
static int put_quad(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    char whole[QUAD_BYTES_MAX + 8];
    size_t dots = 0;
    const int has_port = memchr(s, ':', n) != NULL;
    if (n > QUAD_BYTES_MAX)
        return 0;
    for (size_t i = 0; i < n; i++) {
        dots += s[i] == '.';
        if (s[i] != '.' && s[i] != ':' && !is_number(s + i, 1))
            return 0;
    }
    if (dots != 3)
        return 0;
    (void)snprintf(whole, sizeof(whole), "inet:%.*s%s", (int)n, s, has_port ? "" : ":0");
    struct kymo_buf masked = {0};
    kymo_mask_address(m, &masked, whole, strlen(whole));
    const int done = !masked.failed && masked.n > 7 && !memcmp(masked.p, "inet:", 5);
    if (done)
        kymo_buf_put(out, masked.p + 5, masked.n - 5 - (has_port ? 0 : 2));
    kymo_buf_release(&masked);
    return done;
}

static void put_run(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    size_t dashes = 0;
    while (dashes < n && s[dashes] == '-')
        dashes++;
    kymo_buf_put(out, s, dashes);
    s += dashes;
    n -= dashes;
    if (n && memchr(s, '/', n))
        kymo_mask_path(m, out, s, n);
    else if (!n || !put_quad(m, out, s, n))
        kymo_mask_host(m, out, s, n);
}

void kymo_mask_text(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && !parts_text(s[end]))
            end++;
        put_run(m, out, s + i, end - i);
        for (i = end; i < n && parts_text(s[i]); i++)
            kymo_buf_u8(out, (uint8_t)s[i]);
    }
}
