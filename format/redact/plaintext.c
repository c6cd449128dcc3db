/* SPDX-License-Identifier: Apache-2.0
 * plaintext.c: text of no known grammar, one walk from left to right. At each word: a token by its
 * shape, a name that tells of its value, the authority of a URL.
 */
#include <string.h>

#include "format/base/size.h"
#include "format/redact/scrub_own.h"

#define BLANKS_MAX 8u
#define ESCAPES_MAX 4u
#define SCHEME_MAX 32u

static int is_name(char c)
{
    return is_word(c) || c == '-' || c == '.';
}

static size_t name_end(const struct scan *c, size_t at, size_t to)
{
    while (at < to && is_name(c->s[at]))
        at++;
    return at;
}

static size_t skip_blanks(const struct scan *c, size_t at, size_t to)
{
    for (size_t n = 0; n < BLANKS_MAX && at < to && (c->s[at] == ' ' || c->s[at] == '\t'); n++)
        at++;
    return at;
}

/* Does NAME= begin at s[at]? */
static int is_assignment(const struct scan *c, size_t at, size_t to)
{
    const size_t end = name_end(c, at, to);
    return end > at && end < to && c->s[end] == '=' && is_letter(c->s[at]);
}

/* -------- how far a value goes -------- */

/* Backslashes right before s[at]. */
static size_t escapes(const struct scan *c, size_t from, size_t at)
{
    size_t n = 0;
    while (at > from && c->s[at - 1] == '\\' && n < ESCAPES_MAX)
        at--, n++;
    return n;
}

/*
 * From behind the quote s[open] up to its like; without one, to the end. Inside of another string
 * both are escaped, and what is escaped once more is in between.
 */
static size_t quote_end(const struct scan *c, size_t from, size_t open, size_t to)
{
    const size_t outer = escapes(c, from, open) & 1;
    for (size_t at = open + 1; at < to; at++) {
        if (c->s[at] != c->s[open])
            continue;
        const size_t n = escapes(c, open + 1, at);
        if (outer ? n <= 1 : !(n & 1))
            return outer && n ? at - 1 : at;
    }
    return to;
}

static size_t line_end(const struct scan *c, size_t at, size_t to)
{
    while (at < to && c->s[at] != '\n' && c->s[at] != '\r')
        at++;
    return at;
}

/* A list whose items are parted by `by`: a value ends where the next item is an assignment again. */
static size_t item_end(const struct scan *c, size_t at, size_t to, char by)
{
    for (; at < to && !is_blank(c->s[at]) && !is_quote(c->s[at]); at++)
        if (c->s[at] == by && is_assignment(c, at + 1, to))
            break;
    return at;
}

static size_t query_end(const struct scan *c, size_t at, size_t to)
{
    while (at < to && !is_blank(c->s[at]) && !is_quote(c->s[at]) && !strchr("&#<>", c->s[at]))
        at++;
    return at;
}

/* The whole rest of an argument, but for assignments that follow after a blank: "password=x host=y".
 * Nothing follows what is written as variables of the environment are: "DB_PASSWORD=x host=y". */
static size_t rest_end(const struct scan *c, size_t name, size_t at, size_t to)
{
    size_t i = name;
    while (i < at && !(c->s[i] >= 'a' && c->s[i] <= 'z'))
        i++;
    for (at = i < at ? at : to; at < to; at++)
        if (is_blank(c->s[at]) && is_assignment(c, at + 1, to))
            break;
    return at;
}

static size_t word_end(const struct scan *c, size_t at, size_t to, const char *also)
{
    while (at < to && !is_blank(c->s[at]) && !(c->s[at] && strchr(also, c->s[at])))
        at++;
    return at;
}

/* By what stands before the name. */
static size_t bare_end(const struct scan *c, size_t from, size_t name, size_t at, size_t to)
{
    while (name > from && c->s[name - 1] == '-')
        name--;
    const char before = byte_at(c, name - 1, from, to);
    if (!before)
        return rest_end(c, name, at, to);
    switch (before) {
    case '?':
    case '&':
        return query_end(c, at, to);
    case ';':
    case ',':
        return item_end(c, at, to, before);
    case '{':
    case '(':
    case '[':
        return word_end(c, at, to, ",;})]");
    case '\'':
    case '"':
    case '`':
        return quote_end(c, from, name - 1, to);
    default:
        return word_end(c, at, to, "");
    }
}

/* -------- a name and its value -------- */

/* What is between a name and its value; 0: nothing that would make it one. */
static char separator(const struct scan *c, size_t from, size_t name, size_t *at, size_t to)
{
    const char before = byte_at(c, name - 1, from, to);
    int is_quoted = 0;
    if (*at < to && c->s[*at] == '\\')
        ++*at;
    if (*at < to && is_quote(c->s[*at]) && c->s[*at] == before) {
        is_quoted = 1;
        ++*at;
    }
    const size_t touching = *at;
    *at = skip_blanks(c, *at, to);
    const char sign = byte_at(c, *at, from, to);
    if (sign == '=') {
        *at += *at + 1 < to && c->s[*at + 1] == '>' ? 2 : 1; /* => is of maps */
        if (touching + 1 < *at || is_quoted)
            *at = skip_blanks(c, *at, to);
        return '=';
    }
    if (sign != ':' || (*at + 2 < to && c->s[*at + 1] == '/' && c->s[*at + 2] == '/'))
        return 0;
    const int is_spaced = *at + 1 < to && is_blank(c->s[*at + 1]);
    if (*at + 1 < to && c->s[*at + 1] == '=') /* := */
        ++*at;
    ++*at;
    if (!is_quoted && !is_spaced && (before && !is_quote(before)))
        return 0;
    *at = skip_blanks(c, *at, to);
    return (char)(!is_quoted && *at < to && c->s[*at] == '/' ? 0 : ':');
}

/* The scheme of an Authorization is no secret. */
static size_t skip_scheme(const struct scan *c, size_t at, size_t to)
{
    static const char *const scheme[] = {"bearer", "basic",     "digest", "token",
                                         "apikey", "negotiate", "hawk",   "aws4-hmac-sha256"};
    const size_t end = name_end(c, at, to);
    if (end < to && c->s[end] == ' ')
        for (size_t i = 0; i < KYMO_COUNT_OF(scheme); i++)
            if (is_same(c->s + at, end - at, scheme[i]))
                return skip_blanks(c, end, to);
    return at;
}

static size_t header_end(const struct scan *c, size_t from, size_t name, size_t at, size_t to)
{
    const int is_quoted = name > from && is_quote(c->s[name - 1]);
    return line_end(c, at, is_quoted ? quote_end(c, from, name - 1, to) : to);
}

int is_path(const struct scan *c, size_t at, size_t to)
{
    return at < to && (c->s[at] == '/' || c->s[at] == '~' ||
                       (c->s[at] == '.' && at + 1 < to && strchr("./", c->s[at + 1])));
}

/* Is there more of a word behind the quote that ends at s[at]? Then the quote is not all of it. */
static int goes_on(const struct scan *c, size_t at, size_t to)
{
    while (at < to && c->s[at] == '\\')
        at++;
    at++;
    return at < to && !is_blank(c->s[at]) &&
           !(c->s[at] && strchr(",;&:})]|<>\\\"'`", c->s[at]));
}

/* Hide the value of the name s[name, end), if it is one; where to go on. */
static size_t scan_name(struct scan *c, size_t from, size_t name, size_t end, size_t to)
{
    const char before = byte_at(c, name - 1, from, to);
    const int is_query = before == '?' || before == '&';
    size_t at = end;
    const char sign = separator(c, from, name, &at, to);
    if (!sign || at >= to)
        return end;
    const enum secret_name means = secret_name_of(c->s + name, end - name, is_query);
    if (means == NAME_IS_NONE || (means == NAME_IS_PATH_OR_SECRET && is_path(c, at, to)))
        return end;
    const size_t quote = at + (c->s[at] == '\\' && at + 1 < to);
    const int is_line = sign == ':' && !is_quote(c->s[quote]);
    size_t stop;
    if (is_quote(c->s[quote]) && !goes_on(c, stop = quote_end(c, from, quote, to), to)) {
        at = quote + 1;
    } else if (means == NAME_IS_HEADER || is_line) {
        stop = header_end(c, from, name, at, to);
    } else {
        stop = bare_end(c, from, name, at, to);
    }
    if (means == NAME_IS_HEADER)
        at = skip_scheme(c, at, stop);
    scan_hide(c, at, stop,
              is_query                             ? KYMO_SCRUB_QUERY
              : means == NAME_IS_HEADER || is_line ? KYMO_SCRUB_HEADER
              : c->s[name] == '-'                  ? KYMO_SCRUB_OPTION
                                                   : KYMO_SCRUB_ASSIGNMENT);
    return stop;
}

/* "Bearer X" without its header. */
static size_t scan_bearer(struct scan *c, size_t end, size_t to)
{
    const size_t at = skip_blanks(c, end, to), stop = word_end(c, at, to, "\"'`,;");
    if (at == end || (stop - at < 8 && stop != c->cut_at))
        return end;
    scan_hide(c, at, stop, KYMO_SCRUB_HEADER);
    return stop;
}

/* -------- URLs -------- */

static size_t last_at(const struct scan *c, size_t from, size_t to)
{
    while (to > from && c->s[to - 1] != '@')
        to--;
    return to > from ? to - 1 : SIZE_MAX;
}

static int is_port(const struct scan *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (!is_digit(c->s[i]))
            return 0;
    return to - from <= 5;
}

void scan_tokens(struct scan *c, size_t from, size_t to)
{
    for (size_t i = from; i < to;) {
        const size_t n = token_bytes(c, i, to);
        if (n)
            scan_hide(c, i, i + n, KYMO_SCRUB_TOKEN);
        i += n ? n : 1;
        while (!n && i < to && is_word(c->s[i - 1]) && is_word(c->s[i]))
            i++;
    }
}

/* user:X@host. Without a colon it is a user, or, to a web server, as often a token. */
static size_t scan_userinfo(struct scan *c, size_t from, size_t at, int is_web)
{
    const char *colon = memchr(c->s + from, ':', at - from);
    if (colon) {
        scan_tokens(c, from, (size_t)(colon - c->s));
        scan_hide(c, (size_t)(colon - c->s) + 1, at, KYMO_SCRUB_URL);
    } else if (is_web) {
        scan_hide(c, from, at, KYMO_SCRUB_URL);
    }
    return at;
}

/* s[from] is behind ://. A password with a slash in it was not encoded as it has to be, and is one
 * all the same; so is one whose @ lies behind the cut. */
static size_t scan_authority(struct scan *c, size_t scheme, size_t from, size_t to)
{
    const size_t n = from - 3 - scheme;
    const int is_web = is_same(c->s + scheme, n, "http") || is_same(c->s + scheme, n, "https");
    const size_t word = word_end(c, from, to, "\"'`<>");
    const size_t end = word_end(c, from, word, "/?#\\");
    const size_t at = last_at(c, from, end);
    if (at != SIZE_MAX)
        return scan_userinfo(c, from, at, is_web);
    const char *colon = memchr(c->s + from, ':', end - from);
    if (!colon || c->s[from] == '[' ||
        (end != c->cut_at && is_port(c, (size_t)(colon - c->s) + 1, end)))
        return from;
    const size_t later = word == c->cut_at ? word : last_at(c, end, word);
    return later == SIZE_MAX ? from : scan_userinfo(c, from, later, is_web);
}

/* s[at] begins ://; the scheme is what stands before it. */
size_t scan_url(struct scan *c, size_t from, size_t at, size_t to)
{
    size_t scheme = at;
    while (scheme > from && at - scheme < SCHEME_MAX && is_name(c->s[scheme - 1]))
        scheme--;
    return scan_authority(c, scheme, at + 3, to);
}

int is_url(const struct scan *c, size_t at, size_t to)
{
    return to - at > 2 && c->s[at] == ':' && c->s[at + 1] == '/' && c->s[at + 2] == '/';
}

/* -------- all of it -------- */

void scan_plain(struct scan *c, size_t from, size_t to)
{
    for (size_t i = from; i < to;) {
        const int is_start = i == from || !is_word(c->s[i - 1]);
        const size_t token = is_start ? token_bytes(c, i, to) : 0;
        if (token) {
            scan_hide(c, i, i + token, KYMO_SCRUB_TOKEN);
            i += token;
        } else if (is_name(c->s[i]) && (i == from || !is_name(c->s[i - 1]))) {
            const size_t end = name_end(c, i, to);
            size_t next = scan_name(c, from, i, end, to);
            if (next == end && is_same(c->s + i, end - i, "bearer"))
                next = scan_bearer(c, end, to);
            i = next > end ? next : i + 1;
        } else if (is_url(c, i, to)) {
            i = scan_url(c, from, i, to);
        } else {
            i++;
        }
    }
}
