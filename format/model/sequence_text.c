/* SPDX-License-Identifier: Apache-2.0
 * sequence_text.c: a conduct as text, in matrices as one string and in models as a string a line. Numbers are
 * decimal, fields are parted by one space:
 *
 *     t ALIVE BIRTHS ENDED ENDED_NS                  threads
 *     l NAME VOTES                                   of threads: the name of their process's first one
 *     e N UTIME STIME MINFLT MAJFLT MAXRSS FAILED KILLED    processes that ended
 *     o LOOKS FILE DIR SOCKET ...                    descriptors, in the order of enum kymo_on
 *     s SYMBOL N GAP DUR RESULTS ARGS FAMILY PATHS PEERS    a symbol, the first is number 0
 *     g A B ... N                                    a gram: numbers of KYMO_GRAM symbols, "-" before it begins
 *
 * GAP, DUR    SUM/BUCKET:N,...  or "-"     RESULTS  SUM/LEAST/GREATEST     PATHS, PEERS  N,...  or "-"
 * ARGS        VALUE*VOTES,... six of them, VALUE "p" for what is large        FAMILY  VALUE*VOTES
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/model/sequence.h"

/* A window lasts a millisecond at least. */
#define SECONDS_LEAST 1e-4

/* -- out -------------------------------------------------------------------------------------- */

static void put_spread(struct kymo_buf *out, const struct kymo_spread *s)
{
    kymo_buf_printf(out, s->used ? " %" PRIu64 : " -", s->sum_ns);
    for (uint32_t i = 0; i < s->used; i++)
        kymo_buf_printf(out, "%c%" PRIu32 ":%" PRIu32, i ? ',' : '/', s->bucket[i].at,
                        s->bucket[i].n);
}

static void put_recency(struct kymo_buf *out, const uint64_t *n)
{
    uint64_t any = 0;
    for (unsigned i = 0; i < KYMO_RECENCY; i++)
        any |= n[i];
    if (!any)
        kymo_buf_printf(out, " -");
    for (unsigned i = 0; i < KYMO_RECENCY && any; i++)
        kymo_buf_printf(out, "%c%" PRIu64, i ? ',' : ' ', n[i]);
}

static void put_symbol(struct kymo_buf *out, const struct kymo_symbol_sums *m,
                       const struct kymo_symbols *s)
{
    char text[KYMO_SYMBOL_TEXT];
    kymo_buf_printf(out, "s %s %" PRIu64, kymo_symbol_text(s, m->id, text), m->n);
    put_spread(out, &m->gap);
    put_spread(out, &m->dur);
    kymo_buf_printf(out, " %" PRId64 "/%" PRId64 "/%" PRId64, m->ret_sum, m->ret_min,
                    m->ret_max);
    for (int i = 0; i < 6; i++)
        if (m->arg[i] > KYMO_ARG_SMALL_MAX)
            kymo_buf_printf(out, "%cp*%" PRIu32, i ? ',' : ' ', m->arg_votes[i]);
        else
            kymo_buf_printf(out, "%c%" PRIu64 "*%" PRIu32, i ? ',' : ' ', m->arg[i],
                            m->arg_votes[i]);
    kymo_buf_printf(out, " %" PRIu64 "*%" PRIu32, m->family, m->family_votes);
    put_recency(out, m->paths);
    put_recency(out, m->peers);
    kymo_buf_printf(out, "\n");
}

static int by_symbols(const void *a, const void *b)
{
    const struct kymo_gram *x = a, *y = b;
    for (unsigned i = 0; i < KYMO_GRAM; i++)
        if (x->s[i] != y->s[i])
            return x->s[i] < y->s[i] ? -1 : 1;
    return 0;
}

/* Grams in an order that does not depend on how they were gathered; number: of each id's line. */
static void put_grams(struct kymo_buf *out, const struct kymo_conduct *c,
                      const uint16_t *number)
{
    struct kymo_gram *g = calloc((size_t)c->n_grams + 1, sizeof(*g));
    uint32_t n = 0;
    if (!g) {
        out->failed = 1;
        return;
    }
    for (uint32_t i = 0; i < c->gram_slots; i++) {
        if (!c->gram[i].n)
            continue;
        g[n] = c->gram[i];
        for (unsigned k = 0; k < KYMO_GRAM; k++)
            g[n].s[k] = g[n].s[k] == KYMO_SYMBOL_NONE ? KYMO_SYMBOL_NONE : number[g[n].s[k]];
        n++;
    }
    qsort(g, n, sizeof(*g), by_symbols);
    for (uint32_t i = 0; i < n; i++) {
        kymo_buf_printf(out, "g");
        for (unsigned k = 0; k < KYMO_GRAM; k++)
            kymo_buf_printf(out, g[i].s[k] == KYMO_SYMBOL_NONE ? " -" : " %u", g[i].s[k]);
        kymo_buf_printf(out, " %" PRIu64 "\n", g[i].n);
    }
    free(g);
}

void kymo_conduct_text(const struct kymo_conduct *c, const struct kymo_symbols *s,
                       struct kymo_buf *out)
{
    const struct kymo_ends *e = &c->ends;
    uint16_t *number = calloc((size_t)s->n + 1, sizeof(*number));
    if (!number) {
        out->failed = 1;
        return;
    }
    kymo_buf_printf(out, "t %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", c->alive_ns,
                    c->births, c->ended, c->ended_ns);
    if (c->leader_votes)
        kymo_buf_printf(out, "l %s %" PRIu32 "\n", s->word[c->leader], c->leader_votes);
    if (e->n)
        kymo_buf_printf(out,
                        "e %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                        " %" PRIu64 " %" PRIu64 "\n",
                        e->n, e->utime_ns, e->stime_ns, e->minflt, e->majflt, e->maxrss_bytes,
                        e->failed, e->killed);
    if (c->opens_n) {
        kymo_buf_printf(out, "o %" PRIu64, c->opens_n);
        for (int on = 1; on < KYMO_ON_FDS; on++)
            kymo_buf_printf(out, " %" PRIu64, c->opens[on]);
        kymo_buf_printf(out, "\n");
    }
    for (uint32_t i = 0; i < c->n_symbols; i++) {
        number[c->symbol[i].id] = (uint16_t)i;
        put_symbol(out, &c->symbol[i], s);
    }
    put_grams(out, c, number);
    free(number);
}

/* -- in --------------------------------------------------------------------------------------- */

struct cursor {
    const char *at, *end; /* of the line; *end is a newline or NUL */
    struct kymo_err *err;
    int bad;
};

static uint64_t number(struct cursor *c)
{
    uint64_t v = 0;
    const char *from = c->at;
    for (; *c->at >= '0' && *c->at <= '9'; c->at++) {
        const uint64_t digit = (uint64_t)(*c->at - '0');
        if (v > (UINT64_MAX - digit) / 10)
            c->bad = 1;
        else
            v = v * 10 + digit;
    }
    c->bad |= c->at == from;
    return v;
}

static int64_t whole(struct cursor *c)
{
    const int minus = *c->at == '-';
    c->at += minus;
    const uint64_t v = number(c);
    c->bad |= v > (uint64_t)INT64_MAX;
    return minus ? -(int64_t)(v & INT64_MAX) : (int64_t)(v & INT64_MAX);
}

static uint32_t small(struct cursor *c)
{
    const uint64_t v = number(c);
    c->bad |= v > UINT32_MAX;
    return (uint32_t)v;
}

static int next_is(struct cursor *c, char what)
{
    if (c->bad || *c->at != what)
        return 0;
    c->at++;
    return 1;
}

static void want(struct cursor *c, char what)
{
    c->bad |= !next_is(c, what);
}

static void take_spread(struct cursor *c, struct kymo_spread *s)
{
    want(c, ' ');
    if (next_is(c, '-'))
        return;
    s->sum_ns = number(c);
    want(c, '/');
    do {
        const uint32_t at = small(c);
        want(c, ':');
        const uint32_t n = small(c);
        c->bad |= at >= KYMO_LATENCY_BUCKETS || !n;
        if (!c->bad && !kymo_spread_add(s, 0, at, n))
            c->bad = 1;
    } while (next_is(c, ','));
}

static void take_vote(struct cursor *c, uint64_t max, uint64_t *value, uint32_t *votes)
{
    if (next_is(c, 'p')) {
        *value = KYMO_ARG_LARGE;
    } else {
        *value = number(c);
        c->bad |= *value > max;
    }
    want(c, '*');
    *votes = small(c);
}

static void take_recency(struct cursor *c, uint64_t *n)
{
    want(c, ' ');
    if (next_is(c, '-'))
        return;
    for (unsigned i = 0; i < KYMO_RECENCY; i++) {
        if (i)
            want(c, ',');
        n[i] = number(c);
        c->bad |= n[i] > UINT32_MAX * 1000ull;
    }
}

/* What the rest of a line about a symbol says; the symbol itself was read. */
static void take_sums(struct cursor *c, struct kymo_symbol_sums *m)
{
    m->n = number(c);
    take_spread(c, &m->gap);
    take_spread(c, &m->dur);
    want(c, ' ');
    m->ret_sum = whole(c);
    want(c, '/');
    m->ret_min = whole(c);
    want(c, '/');
    m->ret_max = whole(c);
    for (int i = 0; i < 6; i++) {
        want(c, i ? ',' : ' ');
        take_vote(c, KYMO_ARG_SMALL_MAX, &m->arg[i], &m->arg_votes[i]);
    }
    want(c, ' ');
    take_vote(c, KYMO_ADDR_KINDS - 1, &m->family, &m->family_votes);
    c->bad |= m->family >= KYMO_ADDR_KINDS;
    take_recency(c, m->paths);
    take_recency(c, m->peers);
    c->bad |= !m->n || m->ret_min > m->ret_max;
}

struct parsing {
    struct kymo_conduct *c; /* what is read, to be added */
    struct kymo_symbols *s;
    uint16_t *id; /* [n_ids] of each symbol's line, owned */
    uint32_t n_ids, cap_ids;
};

static kymo_status take_symbol(struct parsing *p, struct cursor *c, struct kymo_err *err)
{
    const char *from = c->at;
    uint16_t id;
    while (c->at < c->end && *c->at != ' ')
        c->at++;
    KYMO_TRY(kymo_symbols_parse(p->s, from, (size_t)(c->at - from), &id, err));
    want(c, ' ');
    if (p->n_ids == p->cap_ids) {
        const uint32_t cap = p->cap_ids ? p->cap_ids * 2 : 64;
        uint16_t *more =
            cap <= KYMO_SYMBOLS_MAX * 2 ? realloc(p->id, cap * sizeof(*more)) : NULL;
        if (!more)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "too many symbols in a role");
        p->id = more;
        p->cap_ids = cap;
    }
    p->id[p->n_ids++] = id;
    struct kymo_symbol_sums *m = kymo_conduct_symbol(p->c, id);
    if (!m)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for sequences");
    c->bad |= m->n != 0; /* twice the same */
    if (!c->bad)
        take_sums(c, m);
    return KYMO_OK;
}

static kymo_status take_gram(struct parsing *p, struct cursor *c, struct kymo_err *err)
{
    uint16_t s[KYMO_GRAM];
    for (unsigned i = 0; i < KYMO_GRAM; i++) {
        s[i] = KYMO_SYMBOL_NONE;
        if (!next_is(c, '-')) {
            const uint32_t at = small(c);
            c->bad |= at >= p->n_ids;
            s[i] = c->bad ? 0 : p->id[at];
        }
        want(c, ' ');
        /* nothing is missing once it has begun */
        c->bad |= i && s[i] == KYMO_SYMBOL_NONE && s[i - 1] != KYMO_SYMBOL_NONE;
    }
    const uint64_t n = number(c);
    c->bad |= !n || n > UINT64_MAX / 2 || s[KYMO_GRAM - 1] == KYMO_SYMBOL_NONE;
    if (!c->bad && !kymo_conduct_gram(p->c, s, n))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for sequences");
    return KYMO_OK;
}

static void take_numbers(struct cursor *c, uint64_t *const *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i)
            want(c, ' ');
        *to[i] = number(c);
    }
}

static void take_leader(struct parsing *p, struct cursor *c)
{
    const char *from = c->at;
    while (c->at<c->end && * c->at> ' ' && *c->at <= '~')
        c->at++;
    p->c->leader = kymo_symbols_word(p->s, from, (size_t)(c->at - from));
    want(c, ' ');
    p->c->leader_votes = small(c);
    c->bad |= !p->c->leader || !p->c->leader_votes;
}

static void take_opens(struct cursor *c, struct kymo_conduct *to)
{
    to->opens_n = number(c);
    for (int on = 1; on < KYMO_ON_FDS; on++) {
        want(c, ' ');
        to->opens[on] = number(c);
    }
}

static kymo_status take_line(struct parsing *p, struct cursor *c, struct kymo_err *err)
{
    struct kymo_ends *e = &p->c->ends;
    uint64_t *const threads[] = {&p->c->alive_ns, &p->c->births, &p->c->ended, &p->c->ended_ns};
    uint64_t *const ends[] = {&e->n,      &e->utime_ns,     &e->stime_ns, &e->minflt,
                              &e->majflt, &e->maxrss_bytes, &e->failed,   &e->killed};
    const char what = *c->at;
    c->at += what != 0;
    want(c, ' ');
    kymo_status s = KYMO_OK;
    if (what == 't')
        take_numbers(c, threads, KYMO_COUNT_OF(threads));
    else if (what == 'l')
        take_leader(p, c);
    else if (what == 'e')
        take_numbers(c, ends, KYMO_COUNT_OF(ends));
    else if (what == 'o')
        take_opens(c, p->c);
    else if (what == 's')
        s = take_symbol(p, c, err);
    else if (what == 'g')
        s = take_gram(p, c, err);
    else
        c->bad = 1;
    return s;
}

static kymo_status parse_lines(struct parsing *p, const char *text, size_t n,
                               struct kymo_err *err)
{
    const char *const end = text + n;
    for (const char *at = text; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        struct cursor c = {.at = at, .end = stop ? stop : end, .err = err};
        KYMO_TRY(take_line(p, &c, err));
        if (c.bad || c.at != c.end)
            return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                             "'%.*s' is no line of a sequence, at its byte %td",
                             (int)(c.end - at < 60 ? c.end - at : 60), at, c.at - at);
        at = c.end + 1;
    }
    return KYMO_OK;
}

kymo_status kymo_conduct_parse(struct kymo_conduct *c, struct kymo_symbols *s, const char *text,
                               size_t n, struct kymo_err *err)
{
    struct kymo_behaviour alone = {0};
    struct parsing p = {.c = kymo_behaviour_of(&alone, c->role), .s = s};
    if (!p.c)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for sequences");
    kymo_status status = parse_lines(&p, text, n, err);
    free(p.id);
    if (!status) {
        struct kymo_behaviour to = {.conduct = &c, .n = 1, .cap = 1};
        status = kymo_behaviour_add(&to, &alone, 1, err);
    }
    kymo_behaviour_release(&alone);
    return status;
}

/* -- a model's section ------------------------------------------------------------------------ */

static json_t *conduct_json(const struct kymo_conduct *c, const struct kymo_symbols *s)
{
    struct kymo_buf text = {0};
    kymo_conduct_text(c, s, &text);
    json_t *lines = text.failed ? NULL : json_array();
    for (size_t at = 0; lines && at < text.n;) {
        const char *p = (const char *)text.p + at;
        const char *stop = memchr(p, '\n', text.n - at);
        const size_t n = (size_t)(stop - p);
        json_array_append_new(lines, json_stringn(p, n));
        at += n + 1;
    }
    kymo_buf_release(&text);
    return lines ? json_pack("{s:s, s:o}", "role", s->word[c->role], "conduct", lines) : NULL;
}

static json_t *behaviour_json(const struct kymo_behaviour *b, const struct kymo_symbols *s)
{
    if (!(b->seconds > 0) || !b->n)
        return json_null();
    json_t *roles = json_array();
    for (size_t i = 0; roles && i < b->n; i++)
        if (json_array_append_new(roles, conduct_json(b->conduct[i], s))) {
            json_decref(roles);
            roles = NULL;
        }
    return roles ? json_pack("{s:f, s:o}", "seconds", b->seconds, "roles", roles) : NULL;
}

json_t *kymo_sequence_json(const struct kymo_behaviour *state, size_t n,
                           const struct kymo_symbols *s)
{
    json_t *states = json_array();
    for (size_t i = 0; states && i < n; i++)
        if (json_array_append_new(states, behaviour_json(&state[i], s))) {
            json_decref(states);
            states = NULL;
        }
    return states ? json_pack("{s:i, s:o}", "version", (int)KYMO_SEQUENCE_VERSION, "states",
                              states)
                  : NULL;
}

static kymo_status parse_role(struct kymo_behaviour *out, struct kymo_symbols *s,
                              const json_t *obj, const char *name, struct kymo_err *err)
{
    const char *role;
    json_t *lines;
    KYMO_TRY(kymo_json_get_str(obj, "role", name, &role, err));
    KYMO_TRY(kymo_json_get(obj, "conduct", JSON_ARRAY, name, &lines, err));
    const uint32_t word = kymo_symbols_word(s, role, strlen(role));
    struct kymo_conduct *c = word ? kymo_behaviour_of(out, word) : NULL;
    if (!c)
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                         "%s: '%.60s' is no role, or one too many", name, role);
    struct kymo_buf text = {0};
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *line = json_string_value(json_array_get(lines, i));
        kymo_buf_put(&text, line ? line : "?", line ? strlen(line) : 1);
        kymo_buf_u8(&text, '\n');
    }
    kymo_buf_u8(&text, 0);
    kymo_status status;
    if (text.failed)
        status = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for sequences");
    else
        status = kymo_conduct_parse(c, s, (const char *)text.p, text.n - 1, err);
    kymo_buf_release(&text);
    return status;
}

kymo_status kymo_sequence_parse(struct kymo_behaviour *out, struct kymo_symbols *s,
                                const json_t *section, size_t state, const char *name,
                                struct kymo_err *err)
{
    json_t *states, *roles;
    uint64_t version;
    if (!json_is_object(section))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s holds no sequences: featurize with --sequence, then fit again",
                         name);
    KYMO_TRY(kymo_json_get_u64(section, "version", name, &version, err));
    if (version != KYMO_SEQUENCE_VERSION)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "%s: sequences of version %" PRIu64 ", this build reads %u", name,
                         version, KYMO_SEQUENCE_VERSION);
    KYMO_TRY(kymo_json_get(section, "states", JSON_ARRAY, name, &states, err));
    const json_t *one = json_array_get(states, state);
    if (!json_is_object(one))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has no sequences of state s%zu",
                         name, state);
    KYMO_TRY(kymo_json_get_f64(one, "seconds", name, &out->seconds, err));
    if (!isfinite(out->seconds) || out->seconds < SECONDS_LEAST)
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE, "%s: state s%zu lasted %g s", name,
                         state, out->seconds);
    KYMO_TRY(kymo_json_get(one, "roles", JSON_ARRAY, name, &roles, err));
    for (size_t i = 0; i < json_array_size(roles); i++)
        KYMO_TRY(parse_role(out, s, json_array_get(roles, i), name, err));
    return KYMO_OK;
}
