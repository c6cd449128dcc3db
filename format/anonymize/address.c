/* SPDX-License-Identifier: Apache-2.0
 * address.c: addresses, prefix by prefix. Bit i is turned over or not by a function of the bits
 * before it, so two addresses with a common prefix of n bits have pseudonyms with a common prefix
 * of n bits, and no two addresses have the same.
 *
 * Ranges that mean something keep their place: no bit is turned over on the way to one (the bits
 * before it are a prefix of the range), so it is mapped onto itself. Inside loopback, multicast
 * and what lies above nothing is turned over at all. The price: an address keeps the bits that it
 * shares with such a range, and one more.
 *
 * source  Xu, Fan, Ammar, Moon: Prefix-Preserving IP Address Anonymization, ICNP 2002
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "format/anonymize/mask.h"
#include "format/base/size.h"

#define HOST_BYTES_MAX 64u

struct range {
    uint8_t prefix[16];
    unsigned bits;
    int is_kept; /* nothing inside is turned over */
};

static const struct range range4[] = {
    {{0}, 8, 1},        {{10}, 8, 0},        {{127}, 8, 1}, {{169, 254}, 16, 0},
    {{172, 16}, 12, 0}, {{192, 168}, 16, 0}, {{224}, 3, 1},
};
static const struct range range6[] = {
    {{0}, 80, 1},                                        /* ::, ::1 and their like */
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96, 0}, /* ::ffff:a.b.c.d, by its own rule */
    {{0xfc}, 7, 0},
    {{0xfe, 0x80}, 10, 0},
    {{0xff}, 8, 1},
};

static int common(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    const unsigned whole = bits / 8, rest = bits % 8;
    return !memcmp(a, b, whole) && (!rest || !((a[whole] ^ b[whole]) >> (8 - rest)));
}

/* May the bit after the first `bits` bits be turned over? */
static int may_turn(const uint8_t *address, unsigned bits, const struct range *range, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned reach = bits < range[i].bits ? bits : range[i].bits;
        if ((bits < range[i].bits || range[i].is_kept) &&
            common(address, range[i].prefix, reach))
            return 0;
    }
    return 1;
}

/* The first `bits` bits and their number decide. */
static int turns(struct kymo_siphash_key key, const uint8_t *address, unsigned bits)
{
    uint8_t in[17] = {0};
    const unsigned whole = bits / 8, rest = bits % 8;
    memcpy(in, address, whole);
    if (rest)
        in[whole] = (uint8_t)(address[whole] & (0xff00u >> rest));
    in[16] = (uint8_t)bits;
    return (int)(kymo_siphash(key, in, sizeof(in)) & 1);
}

static void mask_bits(struct kymo_siphash_key key, const uint8_t *address, uint8_t *out,
                      unsigned bits, const struct range *range, size_t n)
{
    memcpy(out, address, bits / 8);
    for (unsigned i = 0; i < bits; i++)
        if (may_turn(address, i, range, n) && turns(key, address, i))
            out[i / 8] ^= (uint8_t)(0x80u >> i % 8);
}

uint32_t kymo_mask_ip4(const struct kymo_mask *m, uint32_t address)
{
    const uint8_t in[4] = {(uint8_t)(address >> 24), (uint8_t)(address >> 16),
                           (uint8_t)(address >> 8), (uint8_t)address};
    uint8_t out[4];
    mask_bits(m->ip4, in, out, 32, range4, KYMO_COUNT_OF(range4));
    return (uint32_t)out[0] << 24 | (uint32_t)out[1] << 16 | (uint32_t)out[2] << 8 | out[3];
}

void kymo_mask_ip6(const struct kymo_mask *m, const uint8_t address[16], uint8_t out[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(address, mapped, sizeof(mapped)) == 0) {
        memcpy(out, mapped, sizeof(mapped));
        mask_bits(m->ip4, address + 12, out + 12, 32, range4, KYMO_COUNT_OF(range4));
        return;
    }
    mask_bits(m->ip6, address, out, 128, range6, KYMO_COUNT_OF(range6));
}

/* -------- as text -------- */

static int is_port(const char *s, size_t n)
{
    size_t i = 0;
    while (i < n && s[i] >= '0' && s[i] <= '9')
        i++;
    return n >= 1 && n <= 10 && i == n;
}

static int starts(const char *s, size_t n, const char *with)
{
    const size_t k = strlen(with);
    return n >= k && !memcmp(s, with, k);
}

/* s[n] as a C string, which inet_pton wants; 0: too long for an address, or with a NUL inside. */
static int copy_host(char host[HOST_BYTES_MAX], const char *s, size_t n)
{
    if (n >= HOST_BYTES_MAX || memchr(s, 0, n))
        return 0;
    memcpy(host, s, n);
    host[n] = 0;
    return 1;
}

static int put_ip4(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    char host[HOST_BYTES_MAX];
    struct in_addr a;
    if (!copy_host(host, s, n) || inet_pton(AF_INET, host, &a) != 1)
        return 0;
    const uint32_t v = kymo_mask_ip4(m, ntohl(a.s_addr));
    kymo_buf_printf(out, "%u.%u.%u.%u", v >> 24, v >> 16 & 255, v >> 8 & 255, v & 255);
    return 1;
}

static int put_ip6(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    char host[HOST_BYTES_MAX];
    uint8_t in[16], masked[16];
    if (!copy_host(host, s, n) || inet_pton(AF_INET6, host, in) != 1)
        return 0;
    kymo_mask_ip6(m, in, masked);
    if (!inet_ntop(AF_INET6, masked, host, sizeof(host)))
        return 0;
    kymo_buf_put(out, host, strlen(host));
    return 1;
}

void kymo_mask_host(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    if (!n || (!put_ip4(m, out, s, n) && !put_ip6(m, out, s, n)))
        kymo_mask_word(m, out, s, n);
}

/* "a.b.c.d:port", behind inet: */
static int put_inet(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    const char *colon = memchr(s, ':', n);
    const size_t len = colon ? (size_t)(colon - s) : 0, from = out->n;
    if (!colon || !is_port(colon + 1, n - len - 1))
        return 0;
    kymo_buf_put(out, "inet:", 5);
    if (!put_ip4(m, out, s, len)) {
        out->n = from;
        return 0;
    }
    kymo_buf_put(out, colon, n - len);
    return 1;
}

/* "[a:b::c]:port", behind inet6: */
static int put_inet6(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    const char *end = n && s[0] == '[' ? memchr(s, ']', n) : NULL;
    const size_t len = end ? (size_t)(end - s) - 1 : 0, from = out->n;
    if (!end || n - len - 2 < 2 || end[1] != ':' || !is_port(end + 2, n - len - 3))
        return 0;
    kymo_buf_put(out, "inet6:[", 7);
    if (!put_ip6(m, out, s + 1, len)) {
        out->n = from;
        return 0;
    }
    kymo_buf_put(out, end, n - len - 1);
    return 1;
}

/* "inet:?" could not be read; a family's or a netlink socket's number tells nothing. */
static int tells_nothing(const char *s, size_t n, size_t head)
{
    const int is_open = n == head + 1 && s[head] == '?';
    if (starts(s, n, "inet:") || starts(s, n, "inet6:"))
        return is_open;
    return (starts(s, n, "netlink:") || starts(s, n, "family:")) &&
           (is_open || is_port(s + head, n - head));
}

void kymo_mask_address(const struct kymo_mask *m, struct kymo_buf *out, const char *s, size_t n)
{
    const char *colon = memchr(s, ':', n);
    const size_t head = colon ? (size_t)(colon - s) + 1 : 0;
    if (tells_nothing(s, n, head)) {
        kymo_buf_put(out, s, n);
        return;
    }
    if (starts(s, n, "unix:")) {
        const size_t at = head + (n > head && s[head] == '@');
        kymo_buf_put(out, s, at);
        kymo_mask_path(m, out, s + at, n - at);
        return;
    }
    if (!(starts(s, n, "inet:") && put_inet(m, out, s + head, n - head)) &&
        !(starts(s, n, "inet6:") && put_inet6(m, out, s + head, n - head)))
        kymo_mask_word(m, out, s, n);
}
