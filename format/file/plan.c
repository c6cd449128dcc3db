/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/plan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNKS_MAX ((size_t)16 << 20)

int kymo_plan_can(const char *path)
{
    struct stat st;
    return strcmp(path, "-") != 0 && !stat(path, &st) && S_ISREG(st.st_mode);
}

void kymo_plan_release(struct kymo_plan *p)
{
    free(p->span);
    free(p->chunk);
    memset(p, 0, sizeof(*p));
}

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory to look through the file");
}

static kymo_status note_chunk(struct kymo_plan *p, const struct kymo_chunk_header *h,
                              struct kymo_err *err)
{
    if (p->n_chunks == CHUNKS_MAX) {
        p->is_whole = 0;
        return KYMO_OK;
    }
    if (!(p->n_chunks & (p->n_chunks - 1))) {
        const size_t cap = p->n_chunks ? p->n_chunks * 2 : 1;
        struct kymo_chunk_time *chunk = realloc(p->chunk, cap * sizeof(*chunk));
        if (!chunk)
            return no_memory(err);
        p->chunk = chunk;
    }
    p->chunk[p->n_chunks++] = (struct kymo_chunk_time){h->ts_min_ns, h->ts_max_ns};
    return KYMO_OK;
}

/* -------- marks -------- */

static kymo_status add_span(struct kymo_plan *p, uint64_t since_ns, uint64_t until_ns,
                            struct kymo_err *err)
{
    struct kymo_time_span *span =
        p->n_spans < KYMO_SPANS_MAX ? realloc(p->span, (p->n_spans + 1) * sizeof(*span)) : NULL;
    if (!span)
        return no_memory(err);
    p->span = span;
    p->span[p->n_spans++] = (struct kymo_time_span){since_ns, until_ns};
    return KYMO_OK;
}

static int is_text(const struct kymo_batch *b, int column, uint32_t row, const char *s)
{
    uint32_t n;
    const char *t = kymo_batch_str(b, (uint32_t)column, row, &n);
    return n == strlen(s) && !memcmp(s, t, n);
}

/* A begin waits for the next end of its name, a moment may turn out to be one; until_ns 0 says so. */
static kymo_status take_mark(struct kymo_plan *p, const struct kymo_batch *b, uint32_t row,
                             int kind, int dur, uint64_t ts, struct kymo_err *err)
{
    const uint64_t ns = dur >= 0 && kymo_batch_present(b, (uint32_t)dur, row)
                            ? kymo_batch_u64(b, (uint32_t)dur, row)
                            : 0;
    if (ns)
        return add_span(p, ts, ns < UINT64_MAX - ts ? ts + ns : UINT64_MAX, err);
    if (!is_text(b, kind, row, "end"))
        return add_span(p, ts, is_text(b, kind, row, "begin") ? 0 : 1, err);
    for (size_t i = p->n_spans; i-- > 0;)
        if (p->span[i].until_ns <= 1) {
            p->span[i].until_ns = ts > 1 ? ts : 2;
            break;
        }
    return KYMO_OK;
}

static kymo_status take_marks(struct kymo_plan *p, const struct kymo_batch *b, const char *mark,
                              struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema), kind = kymo_batch_column(b, "kind");
    const int name = kymo_batch_column(b, "name"), dur = kymo_batch_column(b, "dur");
    if (!mark || ts < 0 || kind < 0 || name < 0 ||
        kymo_batch_column_type(b, (uint32_t)kind) != KYMO_T_STR ||
        kymo_batch_column_type(b, (uint32_t)name) != KYMO_T_STR)
        return KYMO_OK;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (kymo_batch_present(b, (uint32_t)kind, i) &&
            kymo_batch_present(b, (uint32_t)name, i) && is_text(b, name, i, mark))
            KYMO_TRY(take_mark(p, b, i, kind, dur, b->lane[ts][i], err));
    return KYMO_OK;
}

static int by_time(const void *a, const void *b)
{
    const struct kymo_time_span *s = a, *t = b;
    return (s->since_ns > t->since_ns) - (s->since_ns < t->since_ns);
}

/* Moments go, a span that never ended reaches to the end; overlapping ones become one. */
static void settle_spans(struct kymo_plan *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_spans; i++) {
        p->has_moment |= p->span[i].until_ns == 1;
        if (p->span[i].until_ns == 1)
            continue;
        if (!p->span[i].until_ns)
            p->span[i].until_ns = UINT64_MAX;
        if (p->span[i].until_ns >= p->span[i].since_ns)
            p->span[n++] = p->span[i];
    }
    if (n)
        qsort(p->span, n, sizeof(*p->span), by_time);
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        if (m && p->span[i].since_ns <= p->span[m - 1].until_ns) {
            if (p->span[i].until_ns > p->span[m - 1].until_ns)
                p->span[m - 1].until_ns = p->span[i].until_ns;
        } else {
            p->span[m++] = p->span[i];
        }
    }
    p->n_spans = m;
}

/* -------- the look -------- */

static kymo_status look(struct kymo_plan *p, kymo_reader *r, const char *mark,
                        struct kymo_names *names, struct kymo_people *people,
                        struct kymo_err *err)
{
    static const char *const small[] = {"mark", "cgroup", "sysname"};
    struct kymo_chunk_header h;
    const char *table;
    int done = 0;
    KYMO_TRY(kymo_reader_select(r, small, 3, err));
    for (;;) {
        const kymo_status s = kymo_reader_skim(r, &h, &table, 0, &done, err);
        if (s == KYMO_ETORN || (!s && done))
            break;
        KYMO_TRY(s);
        KYMO_TRY(note_chunk(p, &h, err));
        const struct kymo_batch *b = kymo_reader_batch(r);
        if (!b)
            continue;
        KYMO_TRY(kymo_names_learn(names, b, err));
        if (!strcmp(table, "mark"))
            KYMO_TRY(take_marks(p, b, mark, err));
        else if (!strcmp(table, "cgroup"))
            KYMO_TRY(kymo_people_learn_cgroups(people, b, err));
    }
    p->start_ns = kymo_reader_start_ns(r);
    settle_spans(p);
    return KYMO_OK;
}

kymo_status kymo_plan_make(struct kymo_plan *p, const char *path, const char *mark,
                           struct kymo_names *names, struct kymo_people *people,
                           struct kymo_err *err)
{
    kymo_reader *r;
    memset(p, 0, sizeof(*p));
    p->is_whole = 1;
    KYMO_TRY(kymo_reader_open(&r, path, 0, err));
    const kymo_status s = look(p, r, mark, names, people, err);
    kymo_reader_close(r);
    return s;
}
