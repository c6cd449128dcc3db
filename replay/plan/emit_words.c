/* SPDX-License-Identifier: Apache-2.0
 * emit_words.c: names, texts and numbers of a program that is made from what strangers chose.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "replay/plan/emit_own.h"

#define LITERAL_BYTES_MAX 1000u /* longer ones are arrays: C promises 4095 for a literal */
#define BYTES_MAX 65536u
#define NEST_MAX 4

const char *emit_blob_text(const struct emit *e, kymo_blob at)
{
    if (at >= e->n_blob || !memchr(e->blob + at, 0, e->n_blob - at))
        return "";
    return e->blob + at;
}

size_t emit_blob_bytes(const struct emit *e, kymo_blob at)
{
    size_t lo = 0, hi = e->n_edges;
    while (lo < hi) {
        const size_t mid = (lo + hi) / 2;
        if (e->edge[mid] <= at)
            lo = mid + 1;
        else
            hi = mid;
    }
    const uint64_t end = lo < e->n_edges ? e->edge[lo] : e->n_blob;
    const uint64_t n = end > at ? end - at : 0;
    return n < BYTES_MAX ? (size_t)n : BYTES_MAX;
}

/* Octal with three digits ends where it should; '?' is escaped because two of them may begin a trigraph. */
void emit_string(struct kymo_buf *out, const char *s, size_t n)
{
    kymo_buf_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\' || c == '?')
            kymo_buf_printf(out, "\\%c", c);
        else if (c >= 32 && c < 127)
            kymo_buf_u8(out, c);
        else if (c == '\n')
            kymo_buf_printf(out, "\\n");
        else
            kymo_buf_printf(out, "\\%03o", c);
    }
    kymo_buf_u8(out, '"');
}

/* No comment ends, begins or becomes something else in it. */
void emit_comment(struct kymo_buf *out, const char *s)
{
    int before = 0;
    for (; *s; s++) {
        const int c = *s < 32 || *s > 126 || *s == '?' || *s == '\\' ? '.' : *s;
        if ((before == '*' && c == '/') || (before == '/' && c == '*'))
            kymo_buf_u8(out, ' ');
        kymo_buf_u8(out, (uint8_t)c);
        before = c;
    }
    if (before == '*' || before == '/')
        kymo_buf_u8(out, ' ');
}

void emit_number(struct kymo_buf *out, int64_t v)
{
    if (v > -1000000000 && v < 1000000000)
        kymo_buf_printf(out, "%" PRId64, v);
    else
        kymo_buf_printf(out, "0x%" PRIx64, (uint64_t)v);
}

/* Is it at hand under its name already? From now on it is. */
static int is_named(struct emit *e, kymo_blob at)
{
    const uint8_t bit = (uint8_t)(1u << at % 8);
    const int was = e->named[at / 8] & bit;
    e->named[at / 8] |= bit;
    return was;
}

static void put_array(struct kymo_buf *out, const char *type, kymo_blob at, const char *s,
                      size_t n)
{
    kymo_buf_printf(out, "static const %s bytes_%" PRIu32 "[%zu] = {", type, at, n);
    size_t used = n;
    while (used > 1 && !s[used - 1])
        used--;
    for (size_t i = 0; i < used; i++)
        kymo_buf_printf(out, "%s%d", !i ? "" : i % 20 ? ", " : ",\n    ", s[i]);
    kymo_buf_printf(out, "};\n");
}

static int64_t word_at(const char *p)
{
    int64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Offset of the blob that a word of the plan's memory points to, 0: none. */
static kymo_blob points_to(const struct emit *e, int64_t word)
{
    const uint64_t from = KYMO_IMAGE_BASE + e->image->blob.at, w = (uint64_t)word;
    return w > from && w - from < e->n_blob ? (kymo_blob)(w - from) : 0;
}

static void put_bytes(struct emit *e, kymo_blob at, size_t n, int depth)
{
    const char *s = e->blob + at;
    size_t pointers = 0;
    if (depth < NEST_MAX && n <= 4096)
        for (size_t i = 0; i + 8 <= n; i += 8)
            pointers += points_to(e, word_at(s + i)) != 0;
    if (!pointers || is_named(e, at)) {
        if (!pointers && !is_named(e, at))
            put_array(&e->data, "char", at, s, n);
        return;
    }
    for (size_t i = 0; i + 8 <= n; i += 8) {
        const kymo_blob to = points_to(e, word_at(s + i));
        if (to)
            put_bytes(e, to, emit_blob_bytes(e, to), depth + 1);
    }
    kymo_buf_printf(&e->data, "static const void *const bytes_%" PRIu32 "[%zu] = {", at, n / 8);
    for (size_t i = 0; i + 8 <= n; i += 8) {
        const int64_t v = word_at(s + i);
        const kymo_blob to = points_to(e, v);
        kymo_buf_printf(&e->data, "%s", !i ? "" : i % 32 ? ", " : ",\n    ");
        if (to)
            kymo_buf_printf(&e->data, "bytes_%" PRIu32, to);
        else
            kymo_buf_printf(&e->data, "(void *)0x%" PRIx64, (uint64_t)v);
    }
    kymo_buf_printf(&e->data, "};\n");
}

void emit_bytes(struct emit *e, struct kymo_buf *out, kymo_blob at, size_t least)
{
    if (at >= e->n_blob) {
        kymo_buf_printf(out, "NULL");
        return;
    }
    size_t n = emit_blob_bytes(e, at);
    const uint64_t left = e->n_blob - at;
    n = n < least ? (least < left ? least : (size_t)left) : n;
    put_bytes(e, at, n < BYTES_MAX ? n : BYTES_MAX, 0);
    kymo_buf_printf(out, "bytes_%" PRIu32, at);
}

void emit_text(struct emit *e, struct kymo_buf *out, kymo_blob at)
{
    const char *s = emit_blob_text(e, at);
    const size_t n = strlen(s);
    if (n <= LITERAL_BYTES_MAX) {
        emit_string(out, s, n);
        return;
    }
    if (!is_named(e, at))
        put_array(&e->data, "char", at, s, n + 1);
    kymo_buf_printf(out, "bytes_%" PRIu32, at);
}

static int is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* "redis_server_77": a word of C whatever the name was, and no word that anyone else has. */
static char *make_name(struct emit *e, uint32_t a, int is_twice)
{
    struct kymo_buf b = {0};
    const char *comm = emit_blob_text(e, e->actor[a].comm);
    int before = 0;
    if (!is_letter(*comm))
        kymo_buf_u8(&b, 'a');
    for (; *comm && b.n < 32; comm++) {
        const int is_plain = is_letter(*comm) || (*comm >= '0' && *comm <= '9');
        const int c = !is_plain                      ? '_'
                      : *comm >= 'A' && *comm <= 'Z' ? *comm - 'A' + 'a'
                                                     : *comm;
        if (c != '_' || before != '_')
            kymo_buf_u8(&b, (uint8_t)c);
        before = c;
    }
    kymo_buf_printf(&b, "%s%" PRIu32, before == '_' ? "" : "_", e->actor[a].tid);
    if (is_twice)
        kymo_buf_printf(&b, "_n%" PRIu32, a);
    char *made = b.failed ? NULL : kymo_arena_str(&e->arena, (const char *)b.p, b.n);
    kymo_buf_release(&b);
    return made;
}

struct tid_of {
    uint32_t tid, actor;
};

static int by_tid(const void *a, const void *b)
{
    const struct tid_of *x = a, *y = b;
    if (x->tid != y->tid)
        return x->tid < y->tid ? -1 : 1;
    return x->actor < y->actor ? -1 : x->actor > y->actor;
}

int emit_names(struct emit *e)
{
    const size_t n = e->image->actor.n;
    struct tid_of *t = KYMO_NEW(&e->arena, struct tid_of, n);
    e->name = KYMO_NEW(&e->arena, char *, n);
    if (!t || !e->name)
        return -1;
    for (uint32_t a = 0; a < n; a++)
        t[a] = (struct tid_of){e->actor[a].tid, a};
    qsort(t, n, sizeof(*t), by_tid);
    for (size_t i = 0; i < n; i++) {
        const uint32_t a = t[i].actor;
        e->name[a] = make_name(e, a, i && t[i - 1].tid == t[i].tid);
        if (!e->name[a])
            return -1;
    }
    e->name[0] = kymo_arena_str(&e->arena, "environment", 11);
    return e->name[0] ? 0 : -1;
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int is_blob(uint8_t kind)
{
    return kind == KYMO_ARG_BLOB;
}

static int is_packed(uint8_t kind)
{
    return kind == KYMO_ARG_COPY || kind == KYMO_ARG_POLL || kind == KYMO_ARG_FDSET;
}

/* Every offset that anything names: a blob's length is not written down, but it ends before the next. */
int emit_edges(struct emit *e)
{
    const struct kymo_image *h = e->image;
    const size_t cap =
        6 * h->call.n + h->call.n + 4 * h->object.n + 2 * h->node.n + h->process.n + h->actor.n;
    e->edge = KYMO_NEW_RAW(&e->arena, uint32_t, cap + 1);
    e->named = KYMO_NEW(&e->arena, uint8_t, e->n_blob / 8 + 1);
    if (!e->edge || !e->named)
        return -1;
    size_t n = 0;
    for (uint64_t i = 0; i < h->call.n; i++) {
        const struct kymo_icall *c = &e->call[i];
        for (int k = 0; k < 6; k++)
            if (is_blob(c->kind[k]) || is_packed(c->kind[k]))
                e->edge[n++] = (uint32_t)(is_blob(c->kind[k]) ? c->arg[k] : c->arg[k] >> 16);
        e->edge[n++] = c->text;
    }
    for (uint64_t i = 0; i < h->object.n; i++) {
        const struct kymo_iobject *o = &e->object[i];
        const uint32_t at[4] = {o->path, o->local, o->peer, o->watch};
        memcpy(e->edge + n, at, sizeof(at));
        n += 4;
    }
    for (uint64_t i = 0; i < h->node.n; i++) {
        e->edge[n++] = e->node[i].path;
        e->edge[n++] = e->node[i].target;
    }
    for (uint64_t i = 0; i < h->process.n; i++)
        e->edge[n++] = e->process[i].cwd;
    for (uint64_t i = 0; i < h->actor.n; i++)
        e->edge[n++] = e->actor[i].comm;
    qsort(e->edge, n, sizeof(*e->edge), by_value);
    e->n_edges = n;
    return 0;
}
