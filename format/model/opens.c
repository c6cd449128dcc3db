/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/opens.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SLOTS_FIRST 1024u
#define OPENS_MAX (1u << 22)
#define TEXT_BYTES_MAX ((size_t)256 << 20)
/* What follows the first row by less belongs to the first snapshot. */
#define FIRST_NS 1000000000u

kymo_status kymo_opens_init(struct kymo_opens *s, struct kymo_err *err)
{
    memset(s, 0, sizeof(*s));
    s->is_sorted = 1;
    s->n_slots = s->n_last_slots = SLOTS_FIRST;
    s->text = calloc(s->n_slots, sizeof(struct kymo_open_text *));
    s->last = calloc(s->n_last_slots, sizeof(*s->last));
    kymo_arena_init(&s->texts, TEXT_BYTES_MAX);
    return s->text && s->last ? KYMO_OK
                              : KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                                          "out of memory for open descriptors");
}

void kymo_opens_release(struct kymo_opens *s)
{
    kymo_arena_release(&s->texts);
    free(s->open);
    free(s->text);
    free(s->last);
    memset(s, 0, sizeof(*s));
}

/* -------- texts -------- */

static const struct kymo_open_text **text_at(const struct kymo_open_text **slot,
                                             uint32_t n_slots, enum kymo_fd_kind kind,
                                             const char *text, uint32_t n)
{
    uint64_t h = XXH3_64bits_withSeed(text, n, (uint64_t)kind);
    for (;; h++) {
        const struct kymo_open_text *t = slot[h & (n_slots - 1)];
        if (!t || (t->n == n && t->kind == kind && !memcmp(t->text, text, n)))
            return &slot[h & (n_slots - 1)];
    }
}

static int grow_texts(struct kymo_opens *s)
{
    const uint32_t n = s->n_slots * 2;
    const struct kymo_open_text **slot = calloc(n, sizeof(struct kymo_open_text *));
    if (!slot)
        return 0;
    for (uint32_t i = 0; i < s->n_slots; i++)
        if (s->text[i])
            *text_at(slot, n, s->text[i]->kind, s->text[i]->text, s->text[i]->n) = s->text[i];
    free(s->text);
    s->text = slot;
    s->n_slots = n;
    return 1;
}

/* One copy of each; NULL when memory ended. */
static const struct kymo_open_text *intern(struct kymo_opens *s, enum kymo_fd_kind kind,
                                           const char *text, uint32_t n)
{
    if (s->n_texts >= s->n_slots / 2 && !grow_texts(s))
        return NULL;
    const struct kymo_open_text **at = text_at(s->text, s->n_slots, kind, text, n);
    const struct kymo_open_text *known = *at;
    if (known)
        return known;
    struct kymo_open_text *t = kymo_arena_alloc(&s->texts, sizeof(*t) + n + 1, 1);
    if (!t)
        return NULL;
    t->n = n;
    t->kind = kind;
    memcpy(t->text, text, n);
    t->text[n] = 0;
    s->n_texts++;
    *at = t;
    return t;
}

/* -------- entries -------- */

static uint32_t *last_at(const struct kymo_opens *s, uint32_t *slot, uint32_t n_slots,
                         const struct kymo_open *e)
{
    const uint64_t part[] = {e->pid, e->start_ns, (uint64_t)e->fd};
    for (uint64_t h = XXH3_64bits(part, sizeof(part));; h++) {
        uint32_t *at = &slot[h & (n_slots - 1)];
        const struct kymo_open *was = *at ? &s->open[*at - 1] : NULL;
        if (!was || (was->pid == e->pid && was->start_ns == e->start_ns && was->fd == e->fd))
            return at;
    }
}

static int grow_last(struct kymo_opens *s)
{
    const uint32_t n = s->n_last_slots * 2;
    uint32_t *slot = calloc(n, sizeof(*slot));
    if (!slot)
        return 0;
    for (uint32_t i = 0; i < s->n_last_slots; i++)
        if (s->last[i])
            *last_at(s, slot, n, &s->open[s->last[i] - 1]) = s->last[i];
    free(s->last);
    s->last = slot;
    s->n_last_slots = n;
    return 1;
}

static int grow_opens(struct kymo_opens *s)
{
    const size_t cap = s->cap ? s->cap * 2 : 256;
    struct kymo_open *more = cap <= OPENS_MAX ? realloc(s->open, cap * sizeof(*more)) : NULL;
    if (!more)
        return 0;
    s->open = more;
    s->cap = cap;
    return 1;
}

/* Where memory ends the rest is not known, as it is without snapshots. */
static void add(struct kymo_opens *s, const struct kymo_open *e)
{
    if (!e->what || s->is_full || (s->n_last >= s->n_last_slots / 2 && !grow_last(s)) ||
        (s->n == s->cap && !grow_opens(s))) {
        s->is_full = 1;
        return;
    }
    uint32_t *last = last_at(s, s->last, s->n_last_slots, e);
    if (*last && s->open[*last - 1].what == e->what)
        return;
    s->n_last += !*last;
    s->is_sorted &= !s->n || s->open[s->n - 1].ts_ns <= e->ts_ns;
    s->open[s->n++] = *e;
    *last = (uint32_t)s->n;
}

/* -------- rows -------- */

static int is_number(const struct kymo_batch *b, int column)
{
    return column >= 0 && b->schema->column[column].type == KYMO_T_U64 &&
           !b->schema->column[column].nullable && b->lane[column];
}

static int is_text(const struct kymo_batch *b, int column)
{
    return column >= 0 && b->schema->column[column].type == KYMO_T_STR && b->lane[column];
}

static const char *text(const struct kymo_batch *b, int column, uint32_t row, uint32_t *n)
{
    *n = 0;
    return is_text(b, column) && kymo_batch_present(b, (uint32_t)column, row)
               ? kymo_batch_str(b, (uint32_t)column, row, n)
               : "";
}

static int begins(const char *s, uint32_t n, const char *with)
{
    const size_t w = strlen(with);
    return n >= w && !memcmp(s, with, w);
}

/* As calls name such things (fdcall.c): "[pipe]", "[eventfd]"; no numbers, which say nothing later. */
static const struct kymo_open_text *other(struct kymo_opens *s, const char *target, uint32_t n)
{
    if (begins(target, n, "pipe:"))
        return intern(s, KYMO_FD_OTHER, "[pipe]", 6);
    if (begins(target, n, "anon_inode:[eventpoll]"))
        return intern(s, KYMO_FD_OTHER, "[epoll]", 7);
    if (begins(target, n, "anon_inode:"))
        return intern(s, KYMO_FD_OTHER, target + 11, n - 11);
    return intern(s, KYMO_FD_OTHER, target, n);
}

static const struct kymo_open_text *what_of(struct kymo_opens *s, const struct kymo_batch *b,
                                            const int c[3], uint32_t row)
{
    static const char gone[] = " (deleted)";
    const uint32_t n_gone = sizeof(gone) - 1;
    uint32_t n, n_addr;
    const char *target = text(b, c[0], row, &n);
    if (begins(target, n, "socket:")) {
        const char *addr = text(b, c[2], row, &n_addr);
        if (!n_addr || addr[n_addr - 1] == ':') /* the other end has no name */
            addr = text(b, c[1], row, &n_addr);
        return n_addr ? intern(s, KYMO_FD_SOCKET, addr, n_addr)
                      : intern(s, KYMO_FD_SOCKET, "[socket]", 8);
    }
    if (!n || target[0] != '/')
        return other(s, target, n);
    if (n > n_gone && !memcmp(target + n - n_gone, gone, n_gone))
        n -= n_gone;
    return intern(s, KYMO_FD_FILE, target, n);
}

static void learn_fds(struct kymo_opens *s, const struct kymo_batch *b)
{
    const int ts = kymo_batch_column(b, "ts"), pid = kymo_batch_column(b, "pid");
    const int start = kymo_batch_column(b, "start"), fd = kymo_batch_column(b, "fd");
    const int c[3] = {kymo_batch_column(b, "target"), kymo_batch_column(b, "local"),
                      kymo_batch_column(b, "peer")};
    if (!is_number(b, ts) || !is_number(b, pid) || !is_number(b, start) || !is_number(b, fd) ||
        !is_text(b, c[0]))
        return;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const uint64_t at = kymo_batch_u64(b, (uint32_t)ts, i);
        s->first_ns = s->first_ns ? s->first_ns : at;
        const struct kymo_open e = {
            at - s->first_ns < FIRST_NS ? 0 : at, kymo_batch_u64(b, (uint32_t)pid, i),
            kymo_batch_u64(b, (uint32_t)start, i),
            (int64_t)(kymo_batch_u64(b, (uint32_t)fd, i) & INT32_MAX), what_of(s, b, c, i)};
        add(s, &e);
    }
}

static int is_snapshot(const struct kymo_batch *b, int kind, uint32_t row)
{
    uint32_t n;
    const char *s = text(b, kind, row, &n);
    return n == 8 && !memcmp(s, "snapshot", 8);
}

static void learn_cwds(struct kymo_opens *s, const struct kymo_batch *b)
{
    const int ts = kymo_batch_column(b, "ts"), pid = kymo_batch_column(b, "pid");
    const int start = kymo_batch_column(b, "start"), cwd = kymo_batch_column(b, "cwd");
    const int kind = kymo_batch_column(b, "kind");
    if (!is_number(b, ts) || !is_number(b, pid) || !is_number(b, start) || !is_text(b, cwd))
        return;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        uint32_t n;
        const char *path = text(b, cwd, i, &n);
        uint64_t at = kymo_batch_u64(b, (uint32_t)ts, i);
        if (n && is_snapshot(b, kind, i)) {
            s->first_cwd_ns = s->first_cwd_ns ? s->first_cwd_ns : at;
            at = at - s->first_cwd_ns < FIRST_NS ? 0 : at;
        }
        const struct kymo_open e = {at, kymo_batch_u64(b, (uint32_t)pid, i),
                                    kymo_batch_u64(b, (uint32_t)start, i), KYMO_OPENS_CWD,
                                    n ? intern(s, KYMO_FD_FILE, path, n) : NULL};
        if (n)
            add(s, &e);
    }
}

void kymo_opens_learn(struct kymo_opens *s, const struct kymo_batch *b)
{
    if (!strcmp(b->schema->table, KYMO_TABLE_FD.table))
        learn_fds(s, b);
    else if (!strcmp(b->schema->table, KYMO_TABLE_PROCESS.table))
        learn_cwds(s, b);
}

static int by_time(const void *a, const void *b)
{
    const struct kymo_open *x = a, *y = b;
    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    if (x->pid != y->pid)
        return x->pid < y->pid ? -1 : 1;
    return (x->fd > y->fd) - (x->fd < y->fd);
}

void kymo_opens_sort(struct kymo_opens *s)
{
    if (s->is_sorted)
        return;
    if (s->n > s->at)
        qsort(s->open + s->at, s->n - s->at, sizeof(*s->open), by_time);
    /* The places that `last` knows have moved: what is learned from now on starts anew. */
    memset(s->last, 0, s->n_last_slots * sizeof(*s->last));
    s->n_last = 0;
    s->is_sorted = 1;
}

const struct kymo_open *kymo_opens_next(struct kymo_opens *s, uint64_t until_ns)
{
    return s->at < s->n && s->open[s->at].ts_ns <= until_ns ? &s->open[s->at++] : NULL;
}
