/* SPDX-License-Identifier: Apache-2.0
 * sqltext.c: the literals of a statement. Names and keywords stay, so that the statement is still
 * the same statement; whoever cannot tell a string's end hides all that follows.
 */
#include <string.h>

#include "format/base/size.h"
#include "format/redact/scrub_own.h"

#define TAG_MAX 64u

/* Behind the closing quote; a quote that is doubled goes on. */
static size_t string_end(const struct scan *c, size_t at, size_t to, char quote)
{
    for (; at < to; at++) {
        if (c->s[at] != quote)
            continue;
        if (at + 1 >= to || c->s[at + 1] != quote)
            return at;
        at++;
    }
    return to;
}

static size_t scan_string(struct scan *c, size_t at, size_t to)
{
    const size_t end = string_end(c, at + 1, to, c->s[at]);
    scan_hide(c, at + 1, end, KYMO_SCRUB_SQL);
    return end < to ? end + 1 : end;
}

/* $tag$ ... $tag$; what is no tag is a parameter, $1. */
static size_t scan_dollar(struct scan *c, size_t at, size_t to)
{
    size_t n = 1;
    while (at + n < to && n < TAG_MAX && is_word(c->s[at + n]))
        n++;
    if (at + n >= to || c->s[at + n] != '$' || (n > 1 && is_digit(c->s[at + 1])))
        return at + n;
    n++;
    const char *end = memmem(c->s + at + n, to - at - n, c->s + at, n);
    const size_t stop = end ? (size_t)(end - c->s) : to;
    scan_hide(c, at + n, stop, KYMO_SCRUB_SQL);
    return end ? stop + n : to;
}

static size_t scan_comment(struct scan *c, size_t at, size_t to, const char *end)
{
    const char *p = memmem(c->s + at, to - at, end, strlen(end));
    const size_t stop = p ? (size_t)(p - c->s) : to;
    while (at < stop && c->s[at] == ' ')
        at++;
    scan_hide(c, at, stop, KYMO_SCRUB_SQL);
    return p ? stop + strlen(end) : to;
}

static size_t scan_number(struct scan *c, size_t at, size_t to)
{
    size_t end = at;
    while (end < to && (is_word(c->s[end]) || c->s[end] == '.'))
        end++;
    scan_hide(c, at, end, KYMO_SCRUB_SQL);
    return end;
}

static size_t word_bytes(const struct scan *c, size_t at, size_t to)
{
    size_t n = 0;
    while (at + n < to && is_word(c->s[at + n]))
        n++;
    return n;
}

/* PASSWORD X and IDENTIFIED BY X, though X lost its quotes to a shell. */
static size_t scan_keyword(struct scan *c, size_t at, size_t to)
{
    size_t n = word_bytes(c, at, to);
    if (!is_same(c->s + at, n, "password") && !is_same(c->s + at, n, "by"))
        return at + n;
    const int is_by = is_same(c->s + at, n, "by");
    if (is_by && (at < 11 || !is_same(c->s + at - 11, 10, "identified")))
        return at + n;
    size_t next = at + n;
    while (next < to && (c->s[next] == ' ' || c->s[next] == '='))
        next++;
    n = word_bytes(c, next, to);
    if (n && !is_digit(c->s[next]) && !is_same(c->s + next, n, "null")) {
        size_t end = next;
        while (end < to && !is_blank(c->s[end]) && c->s[end] != ';' && c->s[end] != '\'')
            end++;
        scan_hide(c, next, end, KYMO_SCRUB_SQL);
        next = end;
    }
    return next;
}

/* What no statement holds outside of its strings, and may be given for one all the same. */
static size_t scan_stray(struct scan *c, size_t at, size_t to)
{
    const size_t token = token_bytes(c, at, to);
    size_t end = at;
    if (token) {
        scan_hide(c, at, at + token, KYMO_SCRUB_TOKEN);
        return at + token;
    }
    while (end < to && (is_word(c->s[end]) || c->s[end] == '-'))
        end++;
    if (to - end < 2 || c->s[end] != ':' || !is_blank(c->s[end + 1]) ||
        secret_name_of(c->s + at, end - at, 0) == NAME_IS_NONE)
        return at;
    scan_hide(c, end + 2, to, KYMO_SCRUB_HEADER);
    return to;
}

static size_t scan_item(struct scan *c, size_t i, size_t to, int is_strict)
{
    const char s = c->s[i], next = byte_at(c, i + 1, i, to);
    if (s == '\'' || (s == '"' && !is_strict))
        return scan_string(c, i, to);
    if (s == '"' || s == '`')
        return string_end(c, i + 1, to, s) + 1;
    if (s == '$')
        return scan_dollar(c, i, to);
    if (s == '-' && next == '-')
        return scan_comment(c, i + 2, to, "\n");
    if (s == '/' && next == '*')
        return scan_comment(c, i + 2, to, "*/");
    if (is_digit(s))
        return scan_number(c, i, to);
    if (!is_word(s))
        return i + 1;
    const size_t next_item = scan_stray(c, i, to);
    return next_item > i ? next_item : scan_keyword(c, i, to);
}

void scan_sql(struct scan *c, size_t from, size_t to, int is_strict)
{
    /* Some servers take \' for a quote inside of a string, some for its end. */
    const int is_unclear =
        memmem(c->s + from, to - from, "\\'", 2) || memmem(c->s + from, to - from, "\\\"", 2);
    for (size_t i = from; i < to;) {
        if (is_unclear && is_quote(c->s[i])) {
            scan_hide(c, i + 1, to, KYMO_SCRUB_SQL);
            return;
        }
        i = is_url(c, i, to) ? scan_url(c, from, i, to) : scan_item(c, i, to, is_strict);
    }
}

/* -------- what looks like one -------- */

static int has_word(const char *s, size_t n, const char *word)
{
    const size_t k = strlen(word);
    for (size_t i = 0; i + k <= n; i++)
        if ((!i || !is_word(s[i - 1])) && is_same(s + i, k, word) &&
            (i + k == n || !is_word(s[i + k])))
            return 1;
    return 0;
}

int is_statement(const char *s, size_t n)
{
    static const char *const verbs[][2] = {
        {"select", "from"}, {"insert", "into"}, {"replace", "into"}, {"update", "set"},
        {"delete", "from"}, {"create", "user"}, {"create", "role"},  {"alter", "user"},
        {"alter", "role"},  {"grant", "to"},    {"set", "password"}, {"with", "select"},
        {"merge", "into"},  {"pragma", "key"},  {"pragma", "rekey"},
    };
    while (n && (is_blank(*s) || *s == '('))
        s++, n--;
    size_t verb = 0;
    while (verb < n && is_letter(s[verb]))
        verb++;
    if (is_same(s, verb, "select") && memchr(s, '\'', n))
        return 1;
    for (size_t i = 0; i < KYMO_COUNT_OF(verbs); i++)
        if (is_same(s, verb, verbs[i][0]) && has_word(s + verb, n - verb, verbs[i][1]))
            return 1;
    return 0;
}
