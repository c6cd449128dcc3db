/* SPDX-License-Identifier: Apache-2.0 */
#include "format/redact/scrub.h"

#include <stdlib.h>
#include <string.h>

#include "format/redact/scrub_own.h"

/* No token is shorter than this (tokenshape.c), nor has one a slash. */
#define TOKEN_BYTES_MIN 20u

kymo_status kymo_scrub_open(struct kymo_scrub **out, const uint8_t key[KYMO_SIPHASH_KEY_BYTES],
                            struct kymo_err *err)
{
    struct kymo_scrub *x = calloc(1, sizeof(*x));
    if (!x)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    kymo_mask_init(&x->mask, key, 0);
    *out = x;
    return KYMO_OK;
}

void kymo_scrub_close(struct kymo_scrub *x)
{
    if (!x)
        return;
    kymo_buf_release(&x->out);
    free(x);
}

uint64_t kymo_scrub_key_id(const struct kymo_scrub *x)
{
    return x->mask.key_id;
}

uint64_t kymo_scrub_hits(const struct kymo_scrub *x, enum kymo_scrub_rule rule)
{
    return x->hits[rule];
}

const char *kymo_scrub_rule_name(enum kymo_scrub_rule rule)
{
    static const char *const name[KYMO_SCRUB_RULES] = {
        "option", "assignment", "header", "url", "query", "token", "program", "sql",
    };
    return name[rule];
}

/* -------- hiding -------- */

void scan_hide(struct scan *c, size_t from, size_t to, enum kymo_scrub_rule rule)
{
    struct kymo_scrub *x = c->x;
    if (from < c->done)
        from = c->done;
    if (from >= to || kymo_mask_is_secret(&x->mask, c->s + from, to - from))
        return;
    kymo_buf_put(&x->out, c->s + c->done, from - c->done);
    kymo_mask_secret(&x->mask, &x->out, c->s + from, to - from);
    c->done = to;
    c->has_hits = 1;
    x->hits[rule]++;
}

static struct kymo_scrubbed scrub(struct kymo_scrub *x, const char *s, size_t n, int is_cut,
                                  void (*scan)(struct scan *c, size_t from, size_t to))
{
    struct scan c = {.x = x, .s = s, .n = n, .cut_at = is_cut ? n : SIZE_MAX};
    kymo_buf_clear(&x->out);
    scan(&c, 0, n);
    if (!c.has_hits)
        return (struct kymo_scrubbed){s, n};
    kymo_buf_put(&x->out, s + c.done, n - c.done);
    if (!x->out.failed)
        return (struct kymo_scrubbed){(const char *)x->out.p, x->out.n};
    /* Without memory nothing is told rather than all. */
    kymo_buf_release(&x->out);
    x->out = (struct kymo_buf){0};
    return (struct kymo_scrubbed){"", 0};
}

struct kymo_scrubbed kymo_scrub_argv(struct kymo_scrub *x, const char *s, size_t n, int is_cut)
{
    return scrub(x, s, n, is_cut, scan_argv);
}

struct kymo_scrubbed kymo_scrub_text(struct kymo_scrub *x, const char *s, size_t n, int is_cut)
{
    return scrub(x, s, n, is_cut, scan_plain);
}

/* -------- paths -------- */

#define ONES 0x0101010101010101u
#define SEVENS 0x7f7f7f7f7f7f7f7fu
#define WINDOW 64u

enum { HAS_SIGN = 1, HAS_LONG_NAME = 2 };

static inline uint64_t load8(const char *s)
{
    uint64_t v;
    memcpy(&v, s, sizeof(v));
    return v;
}

/* The high bit of each byte of v that is c, and of no other. */
static inline uint64_t bytes_that_are(uint64_t v, char c)
{
    v ^= ONES * (uint8_t)c;
    return ~(((v & SEVENS) + SEVENS) | v | SEVENS);
}

/* The high bits of eight bytes as eight bits: the first byte is the lowest. */
static inline uint64_t gather(uint64_t high)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    high = __builtin_bswap64(high);
#endif
    return (high >> 7) * 0x0102040810204080u >> 56;
}

/* Are there as many ones in a row as a token has bytes? */
static inline int has_long_run(uint64_t ones)
{
    ones &= ones >> 1;
    ones &= ones >> 2;
    ones &= ones >> 4; /* of 8 */
    ones &= ones >> 8; /* of 16 */
    return (ones & ones >> (TOKEN_BYTES_MIN - 16)) != 0;
}

/* Of at most 64 bytes: what stands in them, a bit each for what is no slash. */
static inline unsigned look_at(const char *s, size_t n)
{
    uint64_t signs = 0, names = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint64_t v = load8(s + i);
        signs |= bytes_that_are(v, '=') | bytes_that_are(v, ':');
        names |= (gather(bytes_that_are(v, '/')) ^ 0xff) << i;
    }
    if (i < n) {
        uint64_t v = 0;
        memcpy(&v, s + i, n - i);
        signs |= bytes_that_are(v, '=') | bytes_that_are(v, ':');
        names |= ((gather(bytes_that_are(v, '/')) ^ 0xff) & ((1u << (n - i)) - 1)) << i;
    }
    return (signs ? HAS_SIGN : 0) | (has_long_run(names) ? HAS_LONG_NAME : 0);
}

/* Windows overlap by a token less a byte, so that each name of that length lies in one. */
static unsigned suspicion(const char *s, size_t n)
{
    unsigned found = 0;
    for (; n > WINDOW && found != (HAS_SIGN | HAS_LONG_NAME);
         s += WINDOW - TOKEN_BYTES_MIN + 1, n -= WINDOW - TOKEN_BYTES_MIN + 1)
        found |= look_at(s, WINDOW);
    return found | look_at(s, n < WINDOW ? n : WINDOW);
}

int kymo_scrub_suspects(const char *s, size_t n)
{
    return suspicion(s, n) != 0;
}

struct kymo_scrubbed kymo_scrub_path(struct kymo_scrub *x, const char *s, size_t n, int is_cut)
{
    const unsigned found = suspicion(s, n);
    if (!found && !is_cut)
        return (struct kymo_scrubbed){s, n};
    return scrub(x, s, n, is_cut, (found & HAS_SIGN) || is_cut ? scan_plain : scan_tokens);
}
