/* SPDX-License-Identifier: Apache-2.0
 * scrub_own.h: what the files of this folder share: a text that is walked from left to right, and
 * the spans in it that are hidden.
 */
#ifndef KYMO_REDACT_SCRUB_OWN_H
#define KYMO_REDACT_SCRUB_OWN_H

#include "format/anonymize/mask.h"
#include "format/redact/scrub.h"

/* Words and scripts inside of scripts. */
#define SCRUB_DEPTH_MAX 3u

struct kymo_scrub {
    struct kymo_mask mask;
    uint64_t hits[KYMO_SCRUB_RULES];
    struct kymo_buf out;
};

struct scan {
    struct kymo_scrub *x;
    const char *s;  /* the whole text */
    size_t n, done; /* so many bytes of it are in x->out */
    size_t cut_at;  /* n when the text goes on beyond what we have, else SIZE_MAX */
    int has_hits;
};

/* Hide s[from, to). Spans come in order and do not overlap; an empty one is none. */
void scan_hide(struct scan *c, size_t from, size_t to, enum kymo_scrub_rule rule);

static inline int is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static inline int is_letter(char c)
{
    return (c | 32) >= 'a' && (c | 32) <= 'z';
}
static inline int is_word(char c)
{
    return (unsigned)(c | 32) - 'a' < 26 || (unsigned)c - '0' < 10 || c == '_';
}
static inline int is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}
static inline int is_quote(char c)
{
    return c == '"' || c == '\'' || c == '`';
}
static inline char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
}
/* Is s[n] this word, whatever the case? */
static inline int is_same(const char *s, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (!word[i] || lower(s[i]) != word[i])
            return 0;
    return !word[n];
}

/* The byte at i, and zero where s[from, to) is over. */
static inline char byte_at(const struct scan *c, size_t i, size_t from, size_t to)
{
    if (i < from || i >= to)
        return 0;
    return c->s[i];
}

enum secret_name {
    NAME_IS_NONE,
    NAME_IS_SECRET,
    NAME_IS_PATH_OR_SECRET, /* the value is a path as often: --private-key FILE */
    NAME_IS_HEADER,         /* the value goes on to the end of the line */
};
/* What a name says of its value. is_query: as a parameter of a URL. Leading dashes do not count. */
enum secret_name secret_name_of(const char *s, size_t n, int is_query);

/* The bytes of a token that starts at s[at], at the start of a word; 0 when there is none. */
size_t token_bytes(const struct scan *c, size_t at, size_t end);

/* The authority of a URL whose :// begins at s[at]; where to go on. */
int is_url(const struct scan *c, size_t at, size_t to);
size_t scan_url(struct scan *c, size_t from, size_t at, size_t to);
/* Tokens alone. */
void scan_tokens(struct scan *c, size_t from, size_t to);
/* Does s[at, to) begin like the name of a file? */
int is_path(const struct scan *c, size_t at, size_t to);
/* Text of no known grammar: assignments, headers, URLs, tokens in s[from, to). */
void scan_plain(struct scan *c, size_t from, size_t to);
/* A statement; is_strict: "..." are names and not strings, as in PostgreSQL. */
void scan_sql(struct scan *c, size_t from, size_t to, int is_strict);
/* Does this argument look like a statement, whoever gets it? */
int is_statement(const char *s, size_t n);
/* The arguments of one program. */
void scan_argv(struct scan *c, size_t from, size_t to);

#endif
