/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/synth/study.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/reader.h"

#define LEARNER_BYTES ((size_t)1 << 30)
#define READER_BYTES ((size_t)1 << 30)
#define SPANS_MAX 4096u
#define FOREVER_NS (UINT64_C(1) << 62)

struct part {
    uint64_t from_ns, to_ns;
    uint32_t stretch;
};

struct study {
    const struct kymo_study_opts *o;
    const char *path;
    struct kymo_sequence_learner *l;
    struct part *part; /* [n] owned */
    size_t n;
    uint64_t first_ns, last_ns, rows;
    uint32_t *stretch; /* scratch, a chunk long */
};

/* -- which part ------------------------------------------------------------------------------- */

static kymo_status add_part(struct study *s, uint64_t from_ns, uint64_t to_ns,
                            struct kymo_err *err)
{
    if (s->n == SPANS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u marks", SPANS_MAX);
    struct part *more = realloc(s->part, (s->n + 1) * sizeof(*more));
    if (!more)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    s->part = more;
    s->part[s->n++] = (struct part){from_ns, to_ns, KYMO_STRETCH_NONE};
    return KYMO_OK;
}

static int is_text(const struct kymo_batch *b, int column, uint32_t row, const char *word)
{
    uint32_t n;
    const char *s = kymo_batch_str(b, (uint32_t)column, row, &n);
    return n == strlen(word) && memcmp(s, word, n) == 0;
}

/* Spans of the mark: one with a length, or a begin and the next end. */
static kymo_status take_marks(struct study *s, const struct kymo_batch *b, uint64_t *begun_ns,
                              struct kymo_err *err)
{
    const int kind = kymo_batch_column(b, "kind"), name = kymo_batch_column(b, "name");
    const int dur = kymo_batch_column(b, "dur"), ts = kymo_schema_ts(b->schema);
    if (kind < 0 || name < 0 || dur < 0 || ts < 0 ||
        kymo_batch_column_type(b, (uint32_t)kind) != KYMO_T_STR ||
        kymo_batch_column_type(b, (uint32_t)name) != KYMO_T_STR)
        return KYMO_OK;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (!is_text(b, name, i, s->o->mark))
            continue;
        const uint64_t at_ns = kymo_batch_u64(b, (uint32_t)ts, i);
        const uint64_t dur_ns =
            kymo_batch_present(b, (uint32_t)dur, i) ? kymo_batch_u64(b, (uint32_t)dur, i) : 0;
        if (dur_ns) {
            KYMO_TRY(
                add_part(s, at_ns, at_ns + (dur_ns < FOREVER_NS ? dur_ns : FOREVER_NS), err));
        } else if (is_text(b, kind, i, "end") && *begun_ns) {
            KYMO_TRY(add_part(s, *begun_ns, at_ns, err));
            *begun_ns = 0;
        } else if (!is_text(b, kind, i, "end")) {
            *begun_ns = at_ns;
        }
    }
    return KYMO_OK;
}

static kymo_status read_marks(struct study *s, kymo_reader *r, struct kymo_err *err)
{
    static const char *const tables[] = {"mark"};
    const struct kymo_batch *b;
    uint64_t begun_ns = 0;
    KYMO_TRY(kymo_reader_select(r, tables, 1, err));
    for (;;) {
        const kymo_status status = kymo_reader_next(r, &b, err);
        if (status && status != KYMO_ETORN)
            return status;
        if (status || !b)
            break;
        KYMO_TRY(take_marks(s, b, &begun_ns, err));
    }
    if (!s->n)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has no span marked '%s'", s->path,
                         s->o->mark);
    return KYMO_OK;
}

static kymo_status find_parts(struct study *s, struct kymo_err *err)
{
    kymo_reader *r = NULL;
    if (!s->o->mark)
        return KYMO_OK;
    if (strcmp(s->path, "-") == 0)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "--mark reads a capture twice, which standard input does not allow");
    KYMO_TRY(kymo_reader_open(&r, s->path, READER_BYTES, err));
    const kymo_status status = read_marks(s, r, err);
    kymo_reader_close(r);
    return status;
}

/* The first row says where time begins. */
static kymo_status begin(struct study *s, uint64_t first_ns, struct kymo_err *err)
{
    const struct kymo_study_opts *o = s->o;
    const uint64_t from_ns = first_ns + (o->since_ns < FOREVER_NS ? o->since_ns : FOREVER_NS);
    const uint64_t until_ns = o->until_ns && o->until_ns < FOREVER_NS ? first_ns + o->until_ns
                                                                      : first_ns + FOREVER_NS;
    s->first_ns = first_ns;
    if (!s->n)
        KYMO_TRY(add_part(s, from_ns, until_ns, err));
    for (size_t i = 0; i < s->n; i++) {
        struct part *p = &s->part[i];
        p->from_ns = p->from_ns > from_ns ? p->from_ns : from_ns;
        p->to_ns = p->to_ns < until_ns ? p->to_ns : until_ns;
        if (p->to_ns > p->from_ns)
            KYMO_TRY(kymo_sequence_stretch(s->l, p->from_ns, p->to_ns - p->from_ns, "",
                                           &p->stretch, err));
    }
    return KYMO_OK;
}

/* -- the rows --------------------------------------------------------------------------------- */

static void place_rows(struct study *s, const struct kymo_batch *b)
{
    const uint64_t *ts = b->lane[KYMO_SYSCALL_TS];
    size_t at = 0;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        for (size_t k = 0;
             k < s->n && (ts[i] < s->part[at].from_ns || ts[i] >= s->part[at].to_ns); k++)
            at = (at + 1) % s->n;
        const int in = ts[i] >= s->part[at].from_ns && ts[i] < s->part[at].to_ns;
        s->stretch[i] = in ? s->part[at].stretch : KYMO_STRETCH_NONE;
        s->rows += s->stretch[i] != KYMO_STRETCH_NONE;
    }
    if (b->n_rows && ts[b->n_rows - 1] > s->last_ns)
        s->last_ns = ts[b->n_rows - 1];
}

static kymo_status read_rows(struct study *s, kymo_reader *r, struct kymo_err *err)
{
    static const char *const tables[] = {"syscall", "process", "fd"};
    const struct kymo_batch *b;
    KYMO_TRY(kymo_reader_select(r, tables, KYMO_COUNT_OF(tables), err));
    KYMO_TRY(
        kymo_reader_columns(r, "syscall", kymo_sequence_columns, kymo_sequence_columns_n, err));
    for (;;) {
        const kymo_status status = kymo_reader_next(r, &b, err);
        if (status && status != KYMO_ETORN)
            return status;
        if (status || !b)
            return KYMO_OK;
        const int is_call = strcmp(b->schema->table, "syscall") == 0;
        if (is_call && b->n_rows && b->lane[KYMO_SYSCALL_TS]) {
            if (!s->first_ns)
                KYMO_TRY(begin(
                    s, kymo_reader_start_ns(r) ? kymo_reader_start_ns(r) : b->ts_min_ns, err));
            place_rows(s, b);
        }
        KYMO_TRY(kymo_sequence_chunk(s->l, b, is_call ? s->stretch : NULL, err));
    }
}

/* What all parts did, and for how long. */
static kymo_status sum_up(struct study *s, struct kymo_behaviour *is, struct kymo_err *err)
{
    size_t n;
    const struct kymo_stretch *stretch = kymo_sequence_stretches(s->l, &n);
    for (size_t i = 0; i < n; i++)
        KYMO_TRY(kymo_behaviour_add(is, &stretch[i].is, 1, err));
    is->seconds = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct part *p = &s->part[i];
        const uint64_t to_ns = p->to_ns < s->last_ns ? p->to_ns : s->last_ns;
        is->seconds += to_ns > p->from_ns ? (double)(to_ns - p->from_ns) / 1e9 : 0;
    }
    if (!s->rows || !(is->seconds > 0))
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s has no calls there", s->path);
    return KYMO_OK;
}

static kymo_status study_all(struct study *s, struct kymo_behaviour *is, struct kymo_err *err)
{
    kymo_reader *r = NULL;
    KYMO_TRY(find_parts(s, err));
    KYMO_TRY(kymo_reader_open(&r, s->path, READER_BYTES, err));
    const kymo_status status = read_rows(s, r, err);
    kymo_reader_close(r);
    return status ? status : sum_up(s, is, err);
}

kymo_status kymo_study(const char *path, const struct kymo_study_opts *o,
                       struct kymo_sequence_learner **learner, struct kymo_behaviour *is,
                       struct kymo_err *err)
{
    struct study s = {.o = o, .path = path};
    memset(is, 0, sizeof(*is));
    KYMO_TRY(kymo_sequence_open(&s.l, LEARNER_BYTES, err));
    s.stretch = calloc(KYMO_CHUNK_ROWS_MAX, sizeof(*s.stretch));
    kymo_status status = KYMO_OK;
    if (!s.stretch)
        status = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    if (!status)
        status = study_all(&s, is, err);
    free(s.stretch);
    free(s.part);
    if (status) {
        kymo_behaviour_release(is);
        kymo_sequence_close(s.l);
        return status;
    }
    *learner = s.l;
    return KYMO_OK;
}
