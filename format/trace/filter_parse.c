/* SPDX-License-Identifier: Apache-2.0
 * filter_parse.c: the filter language to a tree of nodes. Recursive descent, as deep as
 * KYMO_FILTER_DEPTH_MAX.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "format/trace/filter_own.h"

/* -------- text -------- */

kymo_status kymo_filter_mistake(const struct kymo_filter *f, size_t at, const char *what,
                                struct kymo_err *err)
{
    const size_t from = at < f->n_text ? at : f->n_text;
    return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "filter: %s at character %zu%s%.24s", what,
                     at + 1, from < f->n_text ? ": " : ", its end", f->text + from);
}

static void skip_space(struct kymo_filter *f)
{
    while (f->at < f->n_text && isspace((unsigned char)f->text[f->at]))
        f->at++;
}

static int take_sign(struct kymo_filter *f, const char *sign)
{
    const size_t n = strlen(sign);
    skip_space(f);
    if (f->n_text - f->at < n || memcmp(f->text + f->at, sign, n) != 0)
        return 0;
    f->at += n;
    return 1;
}

static int ends_word(char c)
{
    return !c || isspace((unsigned char)c) || strchr("()!=<>~&|\"'", c);
}

static kymo_status keep_text(struct kymo_filter *f, const char *s, size_t n, const char **out,
                             struct kymo_err *err)
{
    char *copy = kymo_arena_str(&f->arena, s, n);
    if (!copy)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "filter: out of memory");
    *out = copy;
    return KYMO_OK;
}

/* "..." or '...': a backslash keeps the quote; in a glob it also reaches the matcher. */
static kymo_status take_quoted(struct kymo_filter *f, const char **out, size_t *n,
                               struct kymo_err *err)
{
    char copy[KYMO_FILTER_BYTES_MAX];
    const size_t start = f->at;
    const char quote = f->text[f->at++];
    size_t m = 0;
    while (f->at < f->n_text && f->text[f->at] != quote) {
        if (f->text[f->at] == '\\' && f->at + 1 < f->n_text && f->text[f->at + 1] == quote)
            f->at++;
        copy[m++] = f->text[f->at++];
    }
    if (f->at == f->n_text)
        return kymo_filter_mistake(f, start, "a quote that does not end", err);
    f->at++;
    *n = m;
    return keep_text(f, copy, m, out, err);
}

static kymo_status take_word(struct kymo_filter *f, const char *what, const char **out,
                             size_t *n, int *is_quoted, struct kymo_err *err)
{
    skip_space(f);
    const char c = f->text[f->at]; /* a NUL at the end */
    *is_quoted = c == '"' || c == '\'';
    if (*is_quoted)
        return take_quoted(f, out, n, err);
    const size_t start = f->at;
    while (f->at < f->n_text && !ends_word(f->text[f->at]))
        f->at++;
    if (f->at == start)
        return kymo_filter_mistake(f, start, what, err);
    *n = f->at - start;
    return keep_text(f, f->text + start, *n, out, err);
}

/* -------- numbers -------- */

static uint64_t unit_factor(const char *s, enum unit *unit)
{
    static const struct {
        const char *name;
        uint64_t factor;
        enum unit unit;
    } units[] = {
        {"", 1, UNIT_NONE},
        {"ns", 1, UNIT_TIME},
        {"us", 1000, UNIT_TIME},
        {"ms", 1000000, UNIT_TIME},
        {"s", 1000000000, UNIT_TIME},
        {"m", 60 * (uint64_t)1000000000, UNIT_TIME},
        {"h", 3600 * (uint64_t)1000000000, UNIT_TIME},
        {"d", 86400 * (uint64_t)1000000000, UNIT_TIME},
        {"K", (uint64_t)1 << 10, UNIT_SIZE},
        {"M", (uint64_t)1 << 20, UNIT_SIZE},
        {"G", (uint64_t)1 << 30, UNIT_SIZE},
        {"T", (uint64_t)1 << 40, UNIT_SIZE},
    };
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (!strcmp(units[i].name, s)) {
            *unit = units[i].unit;
            return units[i].factor;
        }
    return 0;
}

void kymo_filter_scale(struct number *v, uint64_t factor)
{
    v->real *= (double)factor;
    if (v->is_whole && __builtin_mul_overflow(v->whole, factor, &v->whole))
        v->is_whole = 0;
    /* 1.5ms is whole in ns: small enough doubles say so themselves */
    if (!v->is_whole && v->real > -9e15 && v->real < 9e15 &&
        v->real == (double)(int64_t)v->real) {
        v->is_whole = 1;
        v->whole = (uint64_t)(v->real < 0 ? -v->real : v->real);
    }
}

static int parse_number(const char *s, struct number *v)
{
    const char *p = s + (*s == '-');
    char *end;
    if (!isdigit((unsigned char)*p))
        return 0;
    *v = (struct number){.is_negative = *s == '-'};
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        const size_t digits = strspn(p + 2, "0123456789abcdefABCDEF");
        if (!digits || digits > 16 || p[2 + digits])
            return 0;
        v->whole = strtoull(p, &end, 16);
        v->is_whole = 1;
        v->real = (double)v->whole;
    } else {
        const size_t digits = strspn(p, "0123456789");
        v->real = strtod(p, &end);
        if (digits == (size_t)(end - p)) {
            errno = 0;
            v->whole = strtoull(p, NULL, 10);
            v->is_whole = !errno;
        }
        const uint64_t factor = unit_factor(end, &v->unit);
        if (!factor || !(v->real < 1e300))
            return 0;
        kymo_filter_scale(v, factor);
    }
    if (v->is_negative)
        v->real = -v->real;
    return 1;
}

/* -------- parse -------- */

static kymo_status new_node(struct kymo_filter *f, enum node_kind kind, size_t at,
                            uint16_t *out, struct kymo_err *err)
{
    if (f->n_nodes == KYMO_FILTER_NODES_MAX)
        return kymo_filter_mistake(f, at, "too many terms", err);
    *out = f->n_nodes++;
    f->node[*out] = (struct node){.kind = kind, .at = (uint32_t)at};
    return KYMO_OK;
}

static enum op take_op(struct kymo_filter *f)
{
    static const struct {
        const char *sign;
        enum op op;
    } ops[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"!~", OP_NOT_GLOB}, {"<=", OP_LE},
               {">=", OP_GE}, {"<", OP_LT},  {">", OP_GT},        {"~", OP_GLOB}};
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
        if (take_sign(f, ops[i].sign))
            return ops[i].op;
    return OP_TRUTH;
}

static kymo_status take_compare(struct kymo_filter *f, uint16_t *out, struct kymo_err *err)
{
    size_t n;
    int is_quoted;
    skip_space(f);
    KYMO_TRY(new_node(f, NODE_COMPARE, f->at, out, err));
    struct node *node = &f->node[*out];
    KYMO_TRY(take_word(f, "a field is missing", &node->field, &n, &is_quoted, err));
    node->op = take_op(f);
    if (node->op == OP_TRUTH) {
        skip_space(f);
        if (f->at < f->n_text && f->text[f->at] == '=')
            return kymo_filter_mistake(f, f->at, "'=' is no comparison, '==' is,", err);
        return KYMO_OK;
    }
    KYMO_TRY(
        take_word(f, "a value is missing", &node->text, &node->text_bytes, &is_quoted, err));
    node->is_number = !is_quoted && parse_number(node->text, &node->number);
    return KYMO_OK;
}

static kymo_status take_or(struct kymo_filter *f, unsigned depth, uint16_t *out,
                           struct kymo_err *err);

static kymo_status take_not(struct kymo_filter *f, unsigned depth, uint16_t *out,
                            struct kymo_err *err)
{
    skip_space(f);
    const size_t at = f->at;
    if (depth == KYMO_FILTER_DEPTH_MAX)
        return kymo_filter_mistake(f, at, "too deeply nested", err);
    if (take_sign(f, "!")) {
        uint16_t inner;
        KYMO_TRY(take_not(f, depth + 1, &inner, err));
        KYMO_TRY(new_node(f, NODE_NOT, at, out, err));
        f->node[*out].left = inner;
        return KYMO_OK;
    }
    if (!take_sign(f, "("))
        return take_compare(f, out, err);
    KYMO_TRY(take_or(f, depth + 1, out, err));
    return take_sign(f, ")") ? KYMO_OK : kymo_filter_mistake(f, f->at, "a ')' is missing", err);
}

static kymo_status join(struct kymo_filter *f, enum node_kind kind, uint16_t left,
                        uint16_t right, uint16_t *out, struct kymo_err *err)
{
    KYMO_TRY(new_node(f, kind, f->node[right].at, out, err));
    f->node[*out].left = left;
    f->node[*out].right = right;
    return KYMO_OK;
}

static kymo_status take_and(struct kymo_filter *f, unsigned depth, uint16_t *out,
                            struct kymo_err *err)
{
    uint16_t left, right;
    KYMO_TRY(take_not(f, depth, &left, err));
    while (take_sign(f, "&&")) {
        KYMO_TRY(take_not(f, depth, &right, err));
        KYMO_TRY(join(f, NODE_AND, left, right, &left, err));
    }
    *out = left;
    return KYMO_OK;
}

static kymo_status take_or(struct kymo_filter *f, unsigned depth, uint16_t *out,
                           struct kymo_err *err)
{
    uint16_t left, right;
    KYMO_TRY(take_and(f, depth, &left, err));
    while (take_sign(f, "||")) {
        KYMO_TRY(take_and(f, depth, &right, err));
        KYMO_TRY(join(f, NODE_OR, left, right, &left, err));
    }
    *out = left;
    return KYMO_OK;
}

kymo_status kymo_filter_parse(struct kymo_filter *f, const char *text, struct kymo_err *err)
{
    const size_t n = strlen(text);
    if (n >= KYMO_FILTER_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "filter: %zu characters, at most %u are allowed", n,
                         KYMO_FILTER_BYTES_MAX - 1);
    KYMO_TRY(keep_text(f, text, n, &f->text, err));
    f->n_text = n;
    KYMO_TRY(take_or(f, 0, &f->root, err));
    skip_space(f);
    return f->at == n
               ? KYMO_OK
               : kymo_filter_mistake(f, f->at, "'&&' or '||' or the end is missing", err);
}
