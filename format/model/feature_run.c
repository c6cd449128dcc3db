/* SPDX-License-Identifier: Apache-2.0
 * feature_run.c: a capture from its beginning to its end: chunks to those who know their table.
 */
#include "format/model/feature_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/chunk.h"
#include "format/trace/reader.h"
#include "format/trace/sysname.h"

/* Bounds of what a capture can make us hold. */
#define SPANS_MAX 100000u
#define HOLD_NS_MAX 600000000000u /* of counts that never come, as after a cut */

kymo_status kymo_feature_open(struct kymo_feature_run **out,
                              const struct kymo_feature_spec *spec, uint32_t capture,
                              struct kymo_arena *arena, kymo_window_fn fn, void *ctx,
                              struct kymo_err *err)
{
    struct kymo_feature_run *r = calloc(1, sizeof(*r));
    if (!r)
        return kymo_feature_no_memory(err);
    r->spec = spec;
    r->capture = capture;
    r->arena = arena;
    r->fn = fn;
    r->ctx = ctx;
    r->bytes_max = KYMO_FEATURE_BYTES_MAX;
    r->step_ns = spec->step_ns;
    r->window_panes = (uint32_t)(spec->window_ns / spec->step_ns);
    for (size_t g = 0; kymo_feature_group_at(g); g++) {
        r->group[g] = kymo_feature_group_at(g);
        r->at[g] = r->acc_bytes;
        r->acc_bytes += r->group[g]->acc_bytes;
        r->n_groups++;
    }
    r->trash = calloc(1, r->acc_bytes);
    r->merged = calloc(1, r->acc_bytes);
    r->x = calloc(spec->d, sizeof(*r->x));
    r->row_acc = calloc(KYMO_CHUNK_ROWS_MAX, sizeof(*r->row_acc));
    r->task_thread = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*r->task_thread));
    r->task_pane_gen = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*r->task_pane_gen));
    r->task_entity = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*r->task_entity));
    r->kind = calloc(KYMO_CHUNK_KEYS_MAX, sizeof(*r->kind));
    r->hash = XXH3_createState();
    if (!r->trash || !r->merged || !r->x || !r->row_acc || !r->task_thread ||
        !r->task_pane_gen || !r->task_entity || !r->kind || !r->hash) {
        kymo_feature_close(r);
        return kymo_feature_no_memory(err);
    }
    XXH3_64bits_reset(r->hash);
    *out = r;
    return KYMO_OK;
}

void kymo_feature_close(struct kymo_feature_run *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->pane_n; i++)
        kymo_pane_release(r, &r->pane[(r->pane_first + i) % r->pane_cap]);
    if (r->trash)
        kymo_acc_release(r, r->trash);
    kymo_entities_release(r);
    kymo_opens_forget_all(r);
    XXH3_freeState(r->hash);
    free(r->trash);
    free(r->merged);
    free(r->x);
    free(r->pane);
    free(r->thread);
    free(r->text);
    free(r->span);
    free(r->begun);
    free(r->row_acc);
    free(r->row_stretch);
    free(r->task_stretch);
    free(r->task_thread);
    free(r->task_pane_gen);
    free(r->task_entity);
    free(r->kind);
    free(r);
}

/* -- rows in ---------------------------------------------------------------------------------- */

int kymo_is_text(const struct kymo_batch *b, uint64_t id, const char *word)
{
    size_t n;
    const char *s = kymo_cell_text(b, id, &n);
    return n == strlen(word) && memcmp(s, word, n) == 0;
}

static kymo_status add_span(struct kymo_feature_run *r, char *name, uint64_t start_ns,
                            uint64_t end_ns, struct kymo_err *err)
{
    if (r->span_n == SPANS_MAX ||
        !kymo_feature_room((void **)&r->span, &r->span_cap, r->span_n, sizeof(*r->span)))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u marks", SPANS_MAX);
    r->span[r->span_n++] = (struct kymo_span){name, start_ns, end_ns, r->capture};
    return KYMO_OK;
}

/* A mark with a duration is a span; so is a begin with the next end of its name. A point is none. */
static kymo_status take_marks(struct kymo_feature_run *r, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const uint64_t kind = kymo_cell(b, KYMO_MARK_KIND, NULL, i),
                       ts = b->lane[KYMO_MARK_TS][i];
        const char *s;
        size_t n;
        s = kymo_cell_text(b, kymo_cell(b, KYMO_MARK_NAME, NULL, i), &n);
        const uint8_t *there = b->present[KYMO_MARK_DUR];
        const uint64_t dur = !there || there[i] ? kymo_cell(b, KYMO_MARK_DUR, NULL, i) : 0;
        size_t m = r->begun_n;
        while (m > 0 &&
               (strlen(r->begun[m - 1].name) != n || memcmp(r->begun[m - 1].name, s, n) != 0))
            m--;
        if (kymo_is_text(b, kind, "end")) {
            if (m == 0)
                continue;
            KYMO_TRY(add_span(r, r->begun[m - 1].name, r->begun[m - 1].start_ns, ts, err));
            r->begun[m - 1] = r->begun[--r->begun_n];
            continue;
        }
        char *name = kymo_arena_str(r->arena, s, n);
        if (!name || r->begun_n == SPANS_MAX)
            return KYMO_FAIL(err, KYMO_ELIMIT, b->at_bytes, "marks pass the memory budget");
        if (dur && dur <= UINT64_MAX - ts) {
            KYMO_TRY(add_span(r, name, ts, ts + dur, err));
        } else { /* a moment too: an end of the same name may follow */
            if (!kymo_feature_room((void **)&r->begun, &r->begun_cap, r->begun_n,
                                   sizeof(*r->begun)))
                return kymo_feature_no_memory(err);
            r->begun[r->begun_n++] =
                (struct open_mark){name, ts, kymo_is_text(b, kind, "begin")};
        }
    }
    return KYMO_OK;
}

/* A source that has an account was on, whether it had rows or not. */
static void learn_source(struct kymo_feature_run *r, const struct kymo_batch *b, uint32_t i)
{
    const int aggregated = kymo_schema_column(b->schema, "aggregated");
    const uint64_t source = kymo_cell(b, KYMO_LOSS_SOURCE, NULL, i);
    if (kymo_is_text(b, source, "syscall"))
        r->facts.from |= KYMO_FROM_CALLS;
    else if (kymo_is_text(b, source, "process"))
        r->facts.from |= KYMO_FROM_PROCESSES;
    if (aggregated < 0 || !kymo_cell(b, (uint32_t)aggregated, NULL, i))
        return;
    r->facts.from |= KYMO_FROM_COUNTS;
    if (!r->hold_ns && b->lane[KYMO_LOSS_TS][i] > r->counted_until_ns)
        r->hold_ns = r->seal_ns > r->counted_until_ns ? r->seal_ns : r->counted_until_ns;
}

/* The counts of a loss row reach back to the seal before: every pane of that stretch has them. */
static kymo_status take_losses(struct kymo_feature_run *r, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    const int quota = kymo_schema_column(b->schema, "dropped_quota");
    const int sampled = kymo_schema_column(b->schema, "sampled");
    for (uint32_t i = 0; i < b->n_rows; i++) {
        learn_source(r, b, i);
        const uint64_t stored = kymo_cell(b, KYMO_LOSS_STORED, NULL, i);
        const uint64_t dropped = kymo_cell(b, KYMO_LOSS_DROPPED_RING, NULL, i) +
                                 kymo_cell(b, KYMO_LOSS_DROPPED_NESTED, NULL, i) +
                                 kymo_cell(b, KYMO_LOSS_DROPPED_QUEUE, NULL, i) +
                                 (quota < 0 ? 0 : kymo_cell(b, (uint32_t)quota, NULL, i));
        r->facts.stored += stored;
        r->facts.dropped += dropped;
        const uint64_t ts = b->lane[KYMO_LOSS_TS][i];
        /* what sampling left out is in no window either, on purpose or not */
        const uint64_t gone =
            dropped + (sampled < 0 ? 0 : kymo_cell(b, (uint32_t)sampled, NULL, i));
        if (!gone || ts < r->origin_ns)
            continue;
        const uint64_t from = kymo_pane_of(r, r->seal_ns);
        const uint64_t to = kymo_pane_of(r, ts > r->seal_ns ? ts - 1 : ts);
        struct pane *p;
        KYMO_TRY(kymo_pane_get(r, to, b->at_bytes, &p, err));
        for (uint64_t at = from > r->pane_first ? from : r->pane_first; at <= to && p; at++) {
            struct pane *q = &r->pane[at % r->pane_cap];
            q->seen += stored + gone;
            q->dropped += gone;
        }
    }
    return KYMO_OK;
}

static kymo_status take_cgroups(struct kymo_feature_run *r, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    for (uint32_t i = 0; i < b->n_rows; i++) {
        size_t n;
        const char *s = kymo_cell_text(b, kymo_cell(b, KYMO_CGROUP_PATH, NULL, i), &n);
        KYMO_TRY(kymo_entity_cgroup(r, kymo_cell(b, KYMO_CGROUP_ID, NULL, i), s, n, err));
    }
    return KYMO_OK;
}

/* A level of counts, for whatever part of the capture. */
static kymo_status take_levels(struct kymo_feature_run *r, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    (void)err;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (kymo_is_text(b, kymo_cell(b, KYMO_LEVEL_FROM, NULL, i), "counts") ||
            kymo_is_text(b, kymo_cell(b, KYMO_LEVEL_TO, NULL, i), "counts"))
            r->facts.from |= KYMO_FROM_COUNTS;
    return KYMO_OK;
}

static void take_clock(struct kymo_feature_run *r, const struct kymo_batch *b)
{
    const uint32_t last = b->n_rows - 1;
    r->has_clock = 1;
    r->clock_ns = b->lane[KYMO_CLOCK_TS][last];
    r->clock_real_ns = kymo_cell(b, KYMO_CLOCK_REAL, NULL, last);
}

static kymo_status take_clock_rows(struct kymo_feature_run *r, const struct kymo_batch *b,
                                   struct kymo_err *err)
{
    (void)err;
    take_clock(r, b);
    return KYMO_OK;
}

/* Does the table say where windows begin and how far the capture goes? */
enum origin { ORIGIN_NONE, ORIGIN_FIRST, ORIGIN_LAST, ORIGIN_COUNTED };

struct table {
    const char *name;
    const struct kymo_schema *schema; /* the columns that indexes mean */
    uint32_t n_columns;               /* that must be there: those of the first version */
    kymo_status (*take)(struct kymo_feature_run *, const struct kymo_batch *,
                        struct kymo_err *);
    enum origin origin;
};

static const struct table tables[] = {
    {"syscall", &KYMO_TABLE_SYSCALL, KYMO_SYSCALL_COLUMNS, kymo_take_calls, ORIGIN_FIRST},
    {"process", &KYMO_TABLE_PROCESS, KYMO_PROCESS_CODE + 1, kymo_take_processes, ORIGIN_LAST},
    {"mark", &KYMO_TABLE_MARK, KYMO_MARK_COLUMNS, take_marks, ORIGIN_NONE},
    {"loss", &KYMO_TABLE_LOSS, KYMO_LOSS_UNREAD + 1, take_losses, ORIGIN_FIRST},
    {"clock", &KYMO_TABLE_CLOCK, KYMO_CLOCK_COLUMNS, take_clock_rows, ORIGIN_FIRST},
    {"cgroup", &KYMO_TABLE_CGROUP, KYMO_CGROUP_COLUMNS, take_cgroups, ORIGIN_NONE},
    {"fd", &KYMO_TABLE_FD, KYMO_FD_TARGET + 1, kymo_take_opens, ORIGIN_NONE},
    {"level", &KYMO_TABLE_LEVEL, KYMO_LEVEL_TO + 1, take_levels, ORIGIN_NONE},
    {"count", &KYMO_TABLE_COUNT, KYMO_COUNT_COLUMNS, kymo_take_counts, ORIGIN_COUNTED},
    {"count_error", &KYMO_TABLE_COUNT_ERROR, KYMO_COUNT_ERROR_COLUMNS, kymo_take_count_errors,
     ORIGIN_NONE},
};

const char *const kymo_feature_tables[] = {"syscall", "process",    "mark", "loss",
                                           "clock",   "cgroup",     "fd",   "level",
                                           "count",   "count_error"};
const size_t kymo_feature_tables_n = KYMO_COUNT_OF(kymo_feature_tables);
_Static_assert(KYMO_COUNT_OF(kymo_feature_tables) == KYMO_COUNT_OF(tables),
               "a table is read that is not asked for, or the other way about");

/* Calls are the bulk of a capture: what no feature is made of is not decoded. */
kymo_status kymo_feature_ask(kymo_reader *reader, struct kymo_err *err)
{
    static const char *const columns[] = {"ts",    "pid",     "tid",  "comm", "cgroup",
                                          "start", "execseq", "arch", "nr",   "dur",
                                          "ret",   "path",    "addr"};
    return kymo_reader_columns(reader, "syscall", columns, KYMO_COUNT_OF(columns), err);
}

kymo_status kymo_feature_ask_sequence(kymo_reader *reader, struct kymo_err *err)
{
    const char *columns[64] = {"cgroup", "execseq"};
    size_t n = 2;
    for (size_t i = 0; i < kymo_sequence_columns_n; i++)
        columns[n++] = kymo_sequence_columns[i];
    return kymo_reader_columns(reader, "syscall", columns, n, err);
}

/* Column indexes are those of this build's tables: refuse a table that has others, by name. */
static kymo_status check_columns(const struct table *t, const struct kymo_batch *b,
                                 struct kymo_err *err)
{
    for (uint32_t c = 0; c < t->n_columns; c++) {
        const struct kymo_column_def *want = &t->schema->column[c];
        if (c >= b->schema->n_columns || strcmp(b->schema->column[c].name, want->name) != 0 ||
            b->schema->column[c].order != want->order ||
            b->schema->column[c].type != want->type)
            return KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes,
                             "table '%s' lacks column %u '%s' where this version reads it",
                             t->name, c, want->name);
    }
    return b->lane[0]
               ? KYMO_OK
               : KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes, "table '%s' has no times", t->name);
}

/*
 * Calls that are counted have their rows at the end of the counts' window, seconds later, and belong to
 * all of it: until then no window closes that they could be of.
 */
static kymo_status seal(struct kymo_feature_run *r, uint64_t ts_ns, uint64_t at_bytes,
                        struct kymo_err *err)
{
    const uint64_t held = r->hold_ns && ts_ns > r->hold_ns && ts_ns - r->hold_ns < HOLD_NS_MAX
                              ? r->hold_ns
                              : ts_ns;
    KYMO_TRY(kymo_pane_close_until(r, held, at_bytes, err));
    r->seal_ns = ts_ns;
    return KYMO_OK;
}

/* Where windows begin, if this is the first table that says so: a count begins before its row. */
static void set_origin(struct kymo_feature_run *r, enum origin origin,
                       const struct kymo_batch *b)
{
    const uint64_t first = b->lane[0][0];
    const uint64_t dur = origin == ORIGIN_COUNTED ? kymo_cell(b, KYMO_COUNT_DUR, NULL, 0) : 0;
    if (origin == ORIGIN_LAST)
        kymo_pane_origin(r, b->lane[0][b->n_rows - 1]);
    else if (origin != ORIGIN_NONE)
        kymo_pane_origin(r, first > dur ? first - dur : 0);
}

kymo_status kymo_feature_chunk(struct kymo_feature_run *r, const struct kymo_batch *b,
                               uint32_t flags, uint64_t body_xxh3, struct kymo_err *err)
{
    const struct table *t = tables;
    const struct table *const end = tables + KYMO_COUNT_OF(tables);
    while (t < end && strcmp(t->name, b->schema->table) != 0)
        t++;
    if (t == end || b->n_rows == 0)
        return KYMO_OK;
    KYMO_TRY(check_columns(t, b, err));
    uint8_t raw[8];
    kymo_store_u64(raw, body_xxh3);
    XXH3_64bits_update(r->hash, raw, sizeof(raw));
    set_origin(r, t->origin, b);
    KYMO_TRY(t->take(r, b, err));
    if (r->sequence && t->take != kymo_take_calls)
        KYMO_TRY(kymo_sequence_chunk(r->sequence, b, NULL, err));
    if ((t->origin == ORIGIN_FIRST || t->origin == ORIGIN_COUNTED) && b->ts_max_ns > r->end_ns)
        r->end_ns = b->ts_max_ns;
    return flags & KYMO_CHUNK_SEAL ? seal(r, b->ts_max_ns, b->at_bytes, err) : KYMO_OK;
}

kymo_status kymo_feature_seal(struct kymo_feature_run *r, uint64_t ts_ns, struct kymo_err *err)
{
    return r->has_origin ? seal(r, ts_ns, KYMO_NOWHERE, err) : KYMO_OK;
}

void kymo_feature_learn(struct kymo_feature_run *r, struct kymo_vocabulary_fit *fit)
{
    r->fit = fit;
}

kymo_status kymo_feature_sequence(struct kymo_feature_run *r, struct kymo_sequence_learner *l,
                                  struct kymo_err *err)
{
    r->row_stretch = calloc(KYMO_CHUNK_ROWS_MAX, sizeof(*r->row_stretch));
    r->task_stretch = calloc(KYMO_CHUNK_TASKS_MAX, sizeof(*r->task_stretch));
    if (!r->row_stretch || !r->task_stretch)
        return kymo_feature_no_memory(err);
    r->sequence = l;
    return kymo_sequence_begin(l, r->capture, err);
}

void kymo_feature_learn_window(struct kymo_vocabulary_fit *fit,
                               const struct kymo_feature_spec *spec, const double *x)
{
    for (size_t j = 0; j < spec->d; j++) {
        if (strcmp(spec->column[j].group, kymo_group_grams.name) == 0) {
            kymo_vocabulary_window(fit, x + j);
            return;
        }
    }
}

void kymo_feature_bound(struct kymo_feature_run *r, size_t bytes)
{
    r->bytes_max = bytes;
}

kymo_status kymo_feature_finish(struct kymo_feature_run *r, struct kymo_capture_facts *facts,
                                struct kymo_span **spans, size_t *n_spans, struct kymo_err *err)
{
    if (r->has_origin) {
        KYMO_TRY(kymo_pane_close_until(r, r->end_ns, KYMO_NOWHERE, err));
        const uint64_t start_ns = r->origin_ns + r->pane_first * r->step_ns;
        const uint64_t have_ns = r->end_ns > start_ns ? r->end_ns - start_ns : 0;
        const uint64_t window_ns = r->spec->window_ns;
        if (have_ns >= window_ns - window_ns / 10)
            KYMO_TRY(kymo_pane_emit(r, r->pane_first, have_ns, err));
        else if (r->pane_first == 0 && (r->facts.rows || r->facts.calls))
            KYMO_TRY(
                kymo_pane_emit(r, 0, have_ns > window_ns / 10 ? have_ns : window_ns / 10, err));
    }
    for (size_t i = 0; i < r->begun_n; i++)
        if (r->begun[i].is_span)
            KYMO_TRY(add_span(r, r->begun[i].name, r->begun[i].start_ns, r->end_ns, err));
    struct kymo_span *kept = KYMO_NEW(r->arena, struct kymo_span, r->span_n);
    if (!kept)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "marks pass the memory budget");
    if (r->span_n)
        memcpy(kept, r->span, r->span_n * sizeof(*kept));
    r->facts.last_ns = r->end_ns;
    r->facts.from |= r->spec->vocabulary ? KYMO_FROM_KNOWN : 0;
    r->facts.xxh3 = XXH3_64bits_digest(r->hash);
    *facts = r->facts;
    *spans = kept;
    *n_spans = r->span_n;
    return KYMO_OK;
}

kymo_status kymo_feature_read(kymo_reader *reader, const struct kymo_batch *first,
                              struct kymo_feature_run *r, struct kymo_capture_facts *facts,
                              struct kymo_span **spans, size_t *n_spans, struct kymo_err *err)
{
    const struct kymo_batch *b = first;
    int torn = 0;
    for (;;) {
        if (b) {
            const struct kymo_chunk_header *h = kymo_reader_chunk(reader);
            KYMO_TRY(kymo_feature_chunk(r, b, h->flags, h->body_xxh3, err));
        }
        const kymo_status s = kymo_reader_next(reader, &b, err);
        if (s == KYMO_ETORN) {
            torn = 1;
            break;
        }
        if (s)
            return s;
        if (!b)
            break;
    }
    KYMO_TRY(kymo_feature_finish(r, facts, spans, n_spans, err));
    facts->torn = torn;
    return KYMO_OK;
}
