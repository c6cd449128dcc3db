/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/symbol.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"

#define CAP_BYTES ((size_t)16 << 20)
#define WORDS_MAX 65536u
#define WORD_BYTES_MAX 64u
#define SIZE_MAX_CLASS 64u
#define ERRNO_MAX 4095u

kymo_status kymo_symbols_init(struct kymo_symbols *s, struct kymo_err *err)
{
    memset(s, 0, sizeof(*s));
    kymo_arena_init(&s->arena, CAP_BYTES);
    s->slots = s->word_slots = 256;
    s->slot = calloc(s->slots, sizeof(*s->slot));
    s->word_slot = calloc(s->word_slots, sizeof(*s->word_slot));
    s->cap = s->cap_words = 64;
    s->v = calloc(s->cap, sizeof(*s->v));
    s->word = calloc(s->cap_words, sizeof(*s->word));
    if (!s->slot || !s->word_slot || !s->v || !s->word) {
        kymo_symbols_release(s);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    }
    s->word[0] = "";
    s->n_words = 1;
    return KYMO_OK;
}

void kymo_symbols_release(struct kymo_symbols *s)
{
    kymo_arena_release(&s->arena);
    free(s->word);
    free(s->v);
    free(s->slot);
    free(s->word_slot);
    memset(s, 0, sizeof(*s));
}

/* -- interning -------------------------------------------------------------------------------- */

static uint32_t *word_at(const struct kymo_symbols *s, const char *text, size_t n)
{
    uint32_t at = (uint32_t)XXH3_64bits(text, n) & (s->word_slots - 1);
    for (; s->word_slot[at]; at = (at + 1) & (s->word_slots - 1)) {
        const char *w = s->word[s->word_slot[at] - 1];
        if (strlen(w) == n && memcmp(w, text, n) == 0)
            break;
    }
    return &s->word_slot[at];
}

static uint32_t *symbol_at(const struct kymo_symbols *s, const struct kymo_symbol *v)
{
    uint32_t at = (uint32_t)XXH3_64bits(v, sizeof(*v)) & (s->slots - 1);
    while (s->slot[at] && memcmp(&s->v[s->slot[at] - 1], v, sizeof(*v)) != 0)
        at = (at + 1) & (s->slots - 1);
    return &s->slot[at];
}

static int grow_words(struct kymo_symbols *s)
{
    const uint32_t cap = s->cap_words * 2;
    const char **word = cap <= WORDS_MAX ? realloc(s->word, cap * sizeof(*word)) : NULL;
    if (word)
        s->word = word;
    uint32_t *slot = word ? calloc((size_t)cap * 4, sizeof(*slot)) : NULL;
    if (!slot)
        return 0;
    free(s->word_slot);
    s->word_slot = slot;
    s->word_slots = cap * 4;
    s->cap_words = cap;
    for (uint32_t i = 1; i < s->n_words; i++)
        *word_at(s, s->word[i], strlen(s->word[i])) = i + 1;
    return 1;
}

uint32_t kymo_symbols_word(struct kymo_symbols *s, const char *text, size_t n)
{
    n = n < WORD_BYTES_MAX ? n : WORD_BYTES_MAX;
    if (!n)
        return 0;
    const uint32_t known = *word_at(s, text, n);
    if (known)
        return known - 1;
    if (s->n_words == s->cap_words && !grow_words(s))
        return 0;
    char *copy = kymo_arena_str(&s->arena, text, n);
    if (!copy || strlen(copy) != n)
        return 0;
    s->word[s->n_words] = copy;
    *word_at(s, text, n) = ++s->n_words;
    return s->n_words - 1;
}

static int grow_symbols(struct kymo_symbols *s)
{
    const uint32_t cap = s->cap * 2;
    struct kymo_symbol *v = realloc(s->v, cap * sizeof(*v));
    if (v)
        s->v = v;
    uint32_t *slot = v ? calloc((size_t)cap * 4, sizeof(*slot)) : NULL;
    if (!slot)
        return 0;
    free(s->slot);
    s->slot = slot;
    s->slots = cap * 4;
    s->cap = cap;
    for (uint32_t i = 0; i < s->n; i++)
        *symbol_at(s, &s->v[i]) = i + 1;
    return 1;
}

uint16_t kymo_symbols_add(struct kymo_symbols *s, const struct kymo_symbol *v)
{
    const uint32_t known = *symbol_at(s, v);
    if (known)
        return (uint16_t)(known - 1);
    if (s->n == KYMO_SYMBOLS_MAX || (s->n == s->cap && !grow_symbols(s)))
        return KYMO_SYMBOL_NONE;
    s->v[s->n] = *v;
    *symbol_at(s, v) = ++s->n;
    return (uint16_t)(s->n - 1);
}

/* -- what calls are --------------------------------------------------------------------------- */

int kymo_symbol_selector(const char *call)
{
    static const struct {
        const char *name;
        int arg;
    } tells[] = {
        {"fcntl", 1},          {"fcntl64", 1},      {"epoll_ctl", 1},  {"futex", 1},
        {"ioctl", 1},          {"prctl", 0},        {"madvise", 2},    {"arch_prctl", 0},
        {"rt_sigprocmask", 0}, {"rt_sigaction", 0}, {"mmap", 3},       {"mprotect", 2},
        {"openat", 2},         {"open", 1},         {"setsockopt", 2}, {"getsockopt", 2},
        {"lseek", 2},          {"shutdown", 1},     {"wait4", 2}};
    for (size_t i = 0; i < KYMO_COUNT_OF(tells); i++)
        if (strcmp(tells[i].name, call) == 0)
            return tells[i].arg;
    return -1;
}

uint32_t kymo_symbol_fate(const char *comm, size_t n)
{
    const uint32_t h = (uint32_t)XXH3_64bits(comm, n);
    return h && h != KYMO_FATE_OPEN ? h : 1;
}

int kymo_moves_bytes(const char *call)
{
    static const char *const others[] = {"getdents", "getdents64", "readlink", "readlinkat",
                                         "getrandom"};
    const struct kymo_sysinfo *i = kymo_sysinfo_by_name(call);
    if (i && (i->cls == KYMO_CLASS_READ || i->cls == KYMO_CLASS_WRITE))
        return 1;
    for (size_t k = 0; k < KYMO_COUNT_OF(others); k++)
        if (strcmp(others[k], call) == 0)
            return 1;
    return 0;
}

/* -- as text ---------------------------------------------------------------------------------- */

static const char *const lead[KYMO_SYMBOL_KINDS] = {"", "~", "=", "^", ">"};

const char *kymo_symbol_text(const struct kymo_symbols *s, uint16_t id,
                             char buf[KYMO_SYMBOL_TEXT])
{
    const struct kymo_symbol *v = &s->v[id];
    char result[16];
    if (v->kind >= KYMO_SYMBOL_BEGIN) {
        snprintf(buf, KYMO_SYMBOL_TEXT, "%s%s", lead[v->kind], s->word[v->word]);
        return buf;
    }
    if (v->result == KYMO_RESULT_ERROR)
        snprintf(result, sizeof(result), "!%u", v->error);
    else
        snprintf(result, sizeof(result), "%c", "0+."[v->result]);
    snprintf(buf, KYMO_SYMBOL_TEXT, "%s%s:%s:%u:%s%s:%" PRIu32, lead[v->kind], s->word[v->word],
             result, v->size, kymo_on_name((enum kymo_on)v->on), v->is_same ? "*" : "",
             v->variant);
    return buf;
}

/* The field up to the next ':', which is stepped over; 0: it is empty. */
static size_t take_field(const char **at, const char *end, const char **field)
{
    *field = *at;
    while (*at < end && **at != ':')
        ++*at;
    const size_t n = (size_t)(*at - *field);
    *at += *at < end;
    return n;
}

static int take_number(const char **at, const char *end, uint64_t max, uint64_t *v)
{
    const char *p;
    const size_t n = take_field(at, end, &p);
    *v = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9' || *v > max)
            return 0;
        *v = *v * 10 + (uint64_t)(p[i] - '0');
    }
    return n > 0 && *v <= max;
}

static int take_result(const char **at, const char *end, struct kymo_symbol *v)
{
    uint64_t no;
    if (*at < end && **at == '!') {
        ++*at;
        v->result = KYMO_RESULT_ERROR;
        if (!take_number(at, end, ERRNO_MAX, &no) || !no)
            return 0;
        v->error = (uint16_t)no;
        return 1;
    }
    const char *p;
    if (take_field(at, end, &p) != 1)
        return 0;
    v->result = (uint8_t)(*p == '0'   ? KYMO_RESULT_ZERO
                          : *p == '+' ? KYMO_RESULT_MORE
                                      : KYMO_RESULT_NEVER);
    return *p == '0' || *p == '+' || *p == '.';
}

static int take_on(const char **at, const char *end, struct kymo_symbol *v)
{
    const char *p;
    size_t n = take_field(at, end, &p);
    v->is_same = n > 1 && p[n - 1] == '*';
    const enum kymo_on on = kymo_on_value(p, n - v->is_same);
    v->on = (uint8_t)on;
    return on < KYMO_ON_COUNT;
}

static int parse(struct kymo_symbols *s, const char *text, size_t n, struct kymo_symbol *v)
{
    const char *at = text, *const end = text + n, *p;
    uint64_t size, variant;
    for (int kind = 1; kind < KYMO_SYMBOL_KINDS && n; kind++)
        if (*at == *lead[kind])
            v->kind = (uint8_t)kind;
    at += v->kind != KYMO_SYMBOL_CALL;
    if (v->kind == KYMO_SYMBOL_BEGIN)
        return at == end;
    if (v->kind == KYMO_SYMBOL_BECOME)
        return (v->word = kymo_symbols_word(s, at, (size_t)(end - at))) != 0;
    const size_t name = take_field(&at, end, &p);
    for (size_t i = 0; i < name; i++)
        if (p[i] <= ' ' || p[i] > '~')
            return 0;
    v->word = kymo_symbols_word(s, p, name);
    if (!v->word || !take_result(&at, end, v) ||
        !take_number(&at, end, SIZE_MAX_CLASS, &size) || !take_on(&at, end, v) ||
        !take_number(&at, end, UINT32_MAX, &variant) || at != end)
        return 0;
    v->size = (uint8_t)size;
    v->variant = (uint32_t)variant;
    return 1;
}

kymo_status kymo_symbols_parse(struct kymo_symbols *s, const char *text, size_t n, uint16_t *id,
                               struct kymo_err *err)
{
    struct kymo_symbol v = {0};
    if (n >= KYMO_SYMBOL_TEXT || !parse(s, text, n, &v))
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE, "'%.*s' is no symbol of a sequence",
                         (int)(n < 60 ? n : 60), text);
    const uint16_t found = kymo_symbols_add(s, &v);
    if (found == KYMO_SYMBOL_NONE)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u symbols of sequences",
                         KYMO_SYMBOLS_MAX);
    *id = found;
    return KYMO_OK;
}
