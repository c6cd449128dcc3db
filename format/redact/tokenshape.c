/* SPDX-License-Identifier: Apache-2.0
 * tokenshape.c: keys whose makers gave them a shape by which they are known wherever they lie.
 */
#include <string.h>

#include "format/base/size.h"
#include "format/redact/scrub_own.h"

#define JWT_HEADER_MAX 512u

enum alphabet { UPPER, ALNUM, WORD, URL64, DOTTED };

/* A prefix, then so many bytes of an alphabet at least. All in all at least 20 bytes. */
static const struct shape {
    const char *prefix;
    enum alphabet alphabet;
    size_t rest_min;
} shapes[] = {
    {"AKIA", UPPER, 16},     {"ASIA", UPPER, 16},       {"ghp_", ALNUM, 20},
    {"gho_", ALNUM, 20},     {"ghu_", ALNUM, 20},       {"ghs_", ALNUM, 20},
    {"ghr_", ALNUM, 20},     {"github_pat_", WORD, 20}, {"glpat-", URL64, 16},
    {"xoxb-", URL64, 15},    {"xoxp-", URL64, 15},      {"xoxa-", URL64, 15},
    {"xoxr-", URL64, 15},    {"xoxs-", URL64, 15},      {"xapp-", URL64, 15},
    {"sk_live_", ALNUM, 16}, {"sk_test_", ALNUM, 16},   {"rk_live_", ALNUM, 16},
    {"rk_test_", ALNUM, 16}, {"whsec_", URL64, 20},     {"AIza", URL64, 35},
    {"ya29.", URL64, 20},    {"SG.", DOTTED, 40},       {"npm_", ALNUM, 30},
    {"hvs.", URL64, 20},     {"hf_", ALNUM, 30},        {"dop_v1_", ALNUM, 40},
    {"pypi-", URL64, 50},    {"dckr_pat_", URL64, 20},  {"sk-ant-", URL64, 20},
    {"sk-proj-", URL64, 20}, {"shpat_", ALNUM, 30},     {"AGE-SECRET-KEY-1", UPPER, 40},
};

static int is_in(enum alphabet a, char c)
{
    switch (a) {
    case UPPER:
        return (c >= 'A' && c <= 'Z') || is_digit(c);
    case ALNUM:
        return is_letter(c) || is_digit(c);
    case WORD:
        return is_word(c);
    case URL64:
        return is_word(c) || c == '-';
    default:
        return is_word(c) || c == '-' || c == '.';
    }
}

static size_t run_of(const struct scan *c, size_t at, size_t end, enum alphabet a)
{
    size_t n = 0;
    while (at + n < end && is_in(a, c->s[at + n]))
        n++;
    return n;
}

static int starts(const struct scan *c, size_t at, size_t end, const char *with)
{
    const size_t n = strlen(with);
    return end - at >= n && !memcmp(c->s + at, with, n);
}

/* header.payload.signature, each URL-safe base64 of something that begins with a brace. */
static size_t jwt_bytes(const struct scan *c, size_t at, size_t end)
{
    const size_t far = end - at > JWT_HEADER_MAX ? at + JWT_HEADER_MAX : end;
    const size_t head = run_of(c, at, far, URL64), dot = at + head;
    if (head < 10 || dot >= end || c->s[dot] != '.')
        return 0;
    if (!starts(c, dot + 1, end, "eyJ") && !(end == c->cut_at && end - dot <= 3))
        return 0;
    return head + run_of(c, dot, end, DOTTED);
}

/* From its first line to its last; without a last one, all there is. */
static size_t pem_bytes(const struct scan *c, size_t at, size_t end)
{
    static const char last[] = "-----END";
    const char *line = memchr(c->s + at, '\n', end - at), *text = c->s + at;
    const size_t look = line ? (size_t)(line - text) : end - at;
    const char *tail = memmem(text, end - at, last, sizeof(last) - 1);
    if (!memmem(text, look, "PRIVATE KEY", 11) && end != c->cut_at)
        return 0;
    if (!tail)
        return end - at;
    const char *stop = memmem(tail + 8, (size_t)(c->s + end - tail) - 8, "-----", 5);
    return stop ? (size_t)(stop - text) + 5 : end - at;
}

/* What a token may begin with; most words do not. */
static int may_begin(char c)
{
    switch (c) {
    case 'A':
    case 'S':
    case '-':
    case 'd':
    case 'e':
    case 'g':
    case 'h':
    case 'n':
    case 'p':
    case 'r':
    case 's':
    case 'w':
    case 'x':
    case 'y':
        return 1;
    default:
        return 0;
    }
}

size_t token_bytes(const struct scan *c, size_t at, size_t end)
{
    const char first = c->s[at];
    if (!may_begin(first))
        return 0;
    if (first == '-')
        return starts(c, at, end, "-----BEGIN ") ? pem_bytes(c, at, end) : 0;
    if (first == 'e')
        return starts(c, at, end, "eyJ") ? jwt_bytes(c, at, end) : 0;
    for (size_t i = 0; i < KYMO_COUNT_OF(shapes); i++) {
        if (shapes[i].prefix[0] != first || end - at < 2 ||
            shapes[i].prefix[1] != c->s[at + 1] || !starts(c, at, end, shapes[i].prefix))
            continue;
        const size_t head = strlen(shapes[i].prefix);
        const size_t rest = run_of(c, at + head, end, shapes[i].alphabet);
        /* Cut off, it is one however short. */
        if (rest >= shapes[i].rest_min || (rest && at + head + rest == c->cut_at))
            return head + rest;
    }
    return 0;
}
