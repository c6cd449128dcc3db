/* SPDX-License-Identifier: Apache-2.0
 * slice.c: one pass over the chunks of a capture. What happened is chosen by row; the books are kept
 * as a recorder would have written them that began with the slice: who the processes were, the clock,
 * the spans that were open, the context, and losses that add up to what is there.
 */
#include "format/file/slice.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/size.h"
#include "format/file/choose.h"
#include "format/file/held.h"
#include "format/trace/filter.h"

#define WHOLE_TIME                                                                             \
    {                                                                                          \
        .since_ns = 0, .until_ns = UINT64_MAX                                                  \
    }

struct slice {
    const struct kymo_slice_opts *o;
    kymo_reader *r;
    struct kymo_writer *w;
    struct kymo_gather *g;
    struct kymo_people *people;
    struct kymo_ledger *ledger;
    struct kymo_names *names;
    struct kymo_choose choose;
    struct kymo_plan plan;
    struct kymo_held *held;
    struct kymo_time_span window; /* of --since and --until */
    uint64_t rows_in, sealed_ns, loss_ns;
    uint8_t *mask; /* [KYMO_CHUNK_ROWS_MAX] */
    int is_timed;  /* the window is known */
    int is_begun;  /* the books that were held are written */
};

/* -------- time -------- */

static uint64_t later(uint64_t start_ns, uint64_t ns)
{
    return ns < UINT64_MAX - start_ns ? start_ns + ns : UINT64_MAX;
}

/* A mark's spans, cut to the window. */
static void cut_spans(struct slice *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->plan.n_spans; i++) {
        struct kymo_time_span span = s->plan.span[i];
        if (span.since_ns < s->window.since_ns)
            span.since_ns = s->window.since_ns;
        if (span.until_ns > s->window.until_ns)
            span.until_ns = s->window.until_ns;
        if (span.since_ns <= span.until_ns)
            s->plan.span[n++] = span;
    }
    s->plan.n_spans = n;
}

/* Times are told since the start, which the first chunk with times shows. */
static void set_time(struct slice *s, uint64_t start_ns)
{
    const struct kymo_slice_opts *o = s->o;
    s->is_timed = 1;
    s->choose.start_ns = start_ns;
    s->window.since_ns = o->since_ns ? later(start_ns, o->since_ns) : 0;
    s->window.until_ns = later(start_ns, o->until_ns);
    cut_spans(s);
    s->choose.span = o->mark ? s->plan.span : &s->window;
    s->choose.n_spans = o->mark ? s->plan.n_spans : 1;
}

static kymo_status make_plan(struct slice *s, const char *path, struct kymo_err *err)
{
    const struct kymo_slice_opts *o = s->o;
    if (!kymo_plan_can(path)) {
        if (o->mark || o->cgroup.n)
            return KYMO_FAIL(
                err, KYMO_EUSAGE, KYMO_NOWHERE,
                "a mark or a cgroup is looked up before the rows: this needs a file, "
                "not a pipe");
        return KYMO_OK;
    }
    KYMO_TRY(kymo_plan_make(&s->plan, path, o->mark, s->names, s->people, err));
    if (o->mark && !s->plan.n_spans)
        return KYMO_FAIL(
            err, KYMO_EUSAGE, KYMO_NOWHERE,
            s->plan.has_moment
                ? "the mark '%s' is a moment and not a span: use --since and --until"
                : "there is no mark '%s'",
            o->mark);
    set_time(s, s->plan.start_ns);
    return KYMO_OK;
}

/* -------- what happened -------- */

/* Who is in the rows of a batch with a task has to be known in the slice. */
static kymo_status need_row(struct slice *s, const struct kymo_batch *b, const int column[3],
                            uint32_t row, uint64_t ts, struct kymo_err *err)
{
    const uint64_t pid = kymo_batch_u64(b, (uint32_t)column[0], row);
    const uint64_t start = column[1] < 0 ? 0 : kymo_batch_u64(b, (uint32_t)column[1], row);
    if (column[2] >= 0)
        KYMO_TRY(kymo_people_need_cgroup(s->people, kymo_batch_u64(b, (uint32_t)column[2], row),
                                         ts, err));
    return kymo_people_need(s->people, pid, start, ts, err);
}

static kymo_status need_people(struct slice *s, const struct kymo_batch *b, const uint32_t *row,
                               uint32_t n, struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema);
    const int column[3] = {kymo_batch_column(b, "pid"), kymo_batch_column(b, "start"),
                           kymo_batch_column(b, "cgroup")};
    const int by_task =
        column[0] >= 0 && b->task && b->schema->column[column[0]].order == KYMO_ORDER_TASK;
    if (column[0] < 0 || ts < 0)
        return KYMO_OK;
    for (int i = 0; i < 3; i++)
        if (column[i] >= 0 && kymo_batch_column_type(b, (uint32_t)column[i]) != KYMO_T_U64)
            return KYMO_OK;
    memset(s->mask, 0, b->n_tasks);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t at = row ? row[i] : i;
        if (by_task && s->mask[b->task[at]])
            continue;
        if (by_task)
            s->mask[b->task[at]] = 1;
        const uint64_t when = b->lane[ts][at];
        KYMO_TRY(need_row(s, b, column, at, when > s->sealed_ns ? when : s->sealed_ns, err));
    }
    return KYMO_OK;
}

static kymo_status take_events(struct slice *s, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema);
    const int whole = !s->choose.is_filtered &&
                      (ts < 0 || kymo_choose_holds(&s->choose, b->ts_min_ns, b->ts_max_ns));
    uint32_t n = b->n_rows;
    if (!whole)
        KYMO_TRY(kymo_choose_rows(&s->choose, b, &n, err));
    const uint32_t *row = whole ? NULL : s->choose.row;
    if (s->choose.is_cut)
        KYMO_TRY(need_people(s, b, row, n, err));
    if (whole && kymo_gather_can_pass(s->g))
        return kymo_gather_pass(s->g, b, err);
    return kymo_gather_rows(s->g, b, row, n, NULL, err);
}

/* A chunk that was not decoded: of another time, or of a table that nobody asked for. */
static kymo_status pass_over(struct slice *s, const struct kymo_chunk_header *h,
                             const char *table, struct kymo_err *err)
{
    const int in_time = kymo_choose_meets(&s->choose, h->ts_min_ns, h->ts_max_ns);
    return kymo_ledger_cut(
        s->ledger, table, KYMO_LEDGER_ANY, h->n_rows,
        in_time ? KYMO_CUT_FILTER : kymo_choose_why(&s->choose, h->ts_min_ns), 0, err);
}

/* -------- processes -------- */

static uint64_t number(const struct kymo_batch *b, const char *name, uint32_t row)
{
    const int c = kymo_batch_column(b, name);
    return c >= 0 && kymo_batch_column_type(b, (uint32_t)c) == KYMO_T_U64 &&
                   kymo_batch_present(b, (uint32_t)c, row)
               ? kymo_batch_u64(b, (uint32_t)c, row)
               : 0;
}

static int is_kind(const struct kymo_batch *b, uint32_t row, const char *word)
{
    const int c = kymo_batch_column(b, "kind");
    uint32_t n = 0;
    const char *kind = c >= 0 && kymo_batch_column_type(b, (uint32_t)c) == KYMO_T_STR &&
                               kymo_batch_present(b, (uint32_t)c, row)
                           ? kymo_batch_str(b, (uint32_t)c, row, &n)
                           : "";
    return n == strlen(word) && !memcmp(kind, word, n);
}

static kymo_status take_process(struct slice *s, const struct kymo_batch *b, uint32_t row,
                                int asked, int *keep, struct kymo_err *err)
{
    const uint64_t pid = number(b, "pid", row), start = number(b, "start", row);
    const uint64_t ts = number(b, "ts", row);
    const uint64_t now = ts > s->sealed_ns ? ts : s->sealed_ns;
    const int in_time = kymo_choose_span(&s->choose, ts) != NULL;
    KYMO_TRY(kymo_people_learn(s->people, b, row, err));
    const int needed = kymo_people_is_needed(s->people, pid, start);
    *keep = asked || (in_time && needed);
    /* An exit says little of who left: what is known of it goes before. */
    if (*keep && !(is_kind(b, row, "exit") && kymo_people_knows_exe(s->people, pid, start)))
        kymo_people_written(s->people, pid, start);
    if (*keep || needed)
        KYMO_TRY(kymo_people_need(s->people, pid, start, now, err));
    if (*keep)
        KYMO_TRY(kymo_people_need(s->people, number(b, "ppid", row), 0, now, err));
    if (*keep || is_kind(b, row, "snapshot") || is_kind(b, row, "cred"))
        return KYMO_OK; /* those are the recorder's own: no source counted them */
    return kymo_ledger_cut(s->ledger, b->schema->table, 0, 1,
                           in_time ? KYMO_CUT_FILTER : kymo_choose_why(&s->choose, ts), 0, err);
}

static kymo_status take_processes(struct slice *s, const struct kymo_batch *b,
                                  struct kymo_err *err)
{
    uint32_t n = 0;
    if (!s->choose.is_cut)
        return kymo_gather_rows(s->g, b, NULL, b->n_rows, NULL, err);
    KYMO_TRY(kymo_choose_processes(&s->choose, b, s->mask, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        int keep;
        KYMO_TRY(take_process(s, b, i, s->mask[i], &keep, err));
        if (keep)
            s->choose.row[n++] = i;
    }
    return kymo_gather_rows(s->g, b, s->choose.row, n, NULL, err);
}

/* What was open: of the slice's time and processes as it is; what is older, or of a process that has
 * not appeared, is held for when it does. */
static kymo_status take_fds(struct slice *s, const struct kymo_batch *b, struct kymo_err *err)
{
    uint32_t n = 0;
    if (!s->choose.is_cut)
        return kymo_gather_rows(s->g, b, NULL, b->n_rows, NULL, err);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const int is_in_time = kymo_choose_span(&s->choose, number(b, "ts", i)) != NULL;
        if (is_in_time &&
            (!s->choose.is_filtered ||
             kymo_people_is_needed(s->people, number(b, "pid", i), number(b, "start", i))))
            s->choose.row[n++] = i;
        else
            kymo_people_hold_fd(s->people, b, i);
    }
    return kymo_gather_rows(s->g, b, s->choose.row, n, NULL, err);
}

/* -------- losses -------- */

/* The stretch (from, ts] of a row of losses: is some of it in the slice, and until when? */
static int is_loss_kept(const struct slice *s, uint64_t from_ns, uint64_t *ts)
{
    if (kymo_choose_span(&s->choose, *ts))
        return 1;
    uint64_t end = 0;
    for (size_t i = 0; i < s->choose.n_spans; i++)
        if (s->choose.span[i].since_ns <= *ts && s->choose.span[i].until_ns > from_ns)
            end = s->choose.span[i].until_ns;
    if (end)
        *ts = end;
    return end != 0;
}

static kymo_status take_losses(struct slice *s, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema);
    struct kymo_rows *r;
    uint32_t n = 0;
    if (!s->choose.is_cut || ts < 0)
        return kymo_gather_rows(s->g, b, NULL, b->n_rows, NULL, err);
    KYMO_TRY(kymo_held_losses(s->held, b, &r, err));
    uint64_t from = s->loss_ns;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        const uint64_t at = b->lane[ts][i];
        from = i && at > b->lane[ts][i - 1] ? b->lane[ts][i - 1] : from;
        s->mask[i] = (uint8_t)is_loss_kept(s, from, &r->lane[ts][i]);
        if (s->mask[i])
            s->choose.row[n++] = i;
        s->loss_ns = at > s->loss_ns ? at : s->loss_ns;
    }
    kymo_ledger_settle(s->ledger, r, s->mask);
    const struct kymo_batch settled = kymo_rows_view(r);
    return kymo_gather_rows(s->g, &settled, s->choose.row, n, NULL, err);
}

/* -------- the other books -------- */

/* Rows of the slice's time. */
static kymo_status take_in_time(struct slice *s, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema);
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (ts < 0 || kymo_choose_span(&s->choose, b->lane[ts][i]))
            s->choose.row[n++] = i;
    return kymo_gather_rows(s->g, b, s->choose.row, n, NULL, err);
}

/* What came before the slice is held until it begins: the last anchor of the clock, open marks. */
static kymo_status take_held(struct slice *s, const struct kymo_batch *b, struct kymo_err *err)
{
    const int is_clock = !strcmp(b->schema->table, "clock");
    const uint64_t since_ns = s->choose.n_spans ? s->choose.span[0].since_ns : 0;
    if (s->choose.is_cut && !s->is_begun && b->ts_min_ns < since_ns)
        KYMO_TRY(kymo_held_take(s->held, b, since_ns, err));
    if (s->choose.is_cut && b->ts_max_ns >= since_ns)
        KYMO_TRY(is_clock ? kymo_held_write_clock(s->held, s->g, err)
                          : kymo_held_write_marks(s->held, s->g, err));
    return take_in_time(s, b, err);
}

static kymo_status take_context(struct slice *s, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (!s->choose.is_cut || kymo_held_is_new(s->held, b, i))
            s->choose.row[n++] = i;
    return kymo_gather_rows(s->g, b, s->choose.row, n, NULL, err);
}

static kymo_status take_cgroups(struct slice *s, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    if (!s->choose.is_cut)
        return kymo_gather_rows(s->g, b, NULL, b->n_rows, NULL, err);
    return kymo_people_learn_cgroups(s->people, b, err);
}

static kymo_status take_names(struct slice *s, const struct kymo_batch *b, struct kymo_err *err)
{
    KYMO_TRY(kymo_names_learn(s->names, b, err));
    return kymo_gather_rows(s->g, b, NULL, b->n_rows, NULL, err);
}

static const struct book {
    const char *table;
    kymo_status (*take)(struct slice *, const struct kymo_batch *, struct kymo_err *);
} book[] = {
    {"process", take_processes}, {"loss", take_losses},   {"mark", take_held},
    {"clock", take_held},        {"cost", take_in_time},  {"context", take_context},
    {"cgroup", take_cgroups},    {"sysname", take_names}, {"fd", take_fds},
};

/* -------- the slice's own word -------- */

static kymo_status say_words(struct slice *s, const char *key, const struct kymo_words *w,
                             struct kymo_err *err)
{
    char text[1024] = "";
    for (size_t i = 0; i < w->n; i++) {
        const size_t at = strlen(text);
        (void)snprintf(text + at, sizeof(text) - at, "%s%s", i ? "," : "", w->v[i]);
    }
    return w->n ? kymo_held_say(s->held, key, text, err) : KYMO_OK;
}

static kymo_status say_ns(struct slice *s, const char *key, uint64_t ns, struct kymo_err *err)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRIu64, ns);
    return kymo_held_say(s->held, key, text, err);
}

static kymo_status say_cuts(struct slice *s, struct kymo_err *err)
{
    const struct kymo_slice_opts *o = s->o;
    if (o->since_ns)
        KYMO_TRY(say_ns(s, "slice.since_ns", s->window.since_ns, err));
    if (o->until_ns != UINT64_MAX)
        KYMO_TRY(say_ns(s, "slice.until_ns", s->window.until_ns, err));
    if (o->mark)
        KYMO_TRY(kymo_held_say(s->held, "slice.mark", o->mark, err));
    KYMO_TRY(say_words(s, "slice.pid", &o->pid, err));
    KYMO_TRY(say_words(s, "slice.comm", &o->comm, err));
    KYMO_TRY(say_words(s, "slice.cgroup", &o->cgroup, err));
    KYMO_TRY(say_words(s, "slice.table", &o->table, err));
    if (o->filter)
        KYMO_TRY(kymo_held_say(s->held, "slice.filter", o->filter, err));
    return o->time_unit_ns > 1 ? say_ns(s, "time_unit_ns", o->time_unit_ns, err) : KYMO_OK;
}

/* The first flush of the slice's own time: what was held goes with it. */
static kymo_status begin_books(struct slice *s, struct kymo_err *err)
{
    if (s->is_begun)
        return KYMO_OK;
    s->is_begun = 1;
    KYMO_TRY(say_cuts(s, err));
    return kymo_held_write(s->held, s->g, s->choose.start_ns, err);
}

static kymo_status flush(struct slice *s, uint64_t sealed_ns, struct kymo_err *err)
{
    const struct kymo_choose *c = &s->choose;
    s->sealed_ns = sealed_ns > s->sealed_ns ? sealed_ns : s->sealed_ns;
    if (!c->n_spans || sealed_ns <= c->span[0].since_ns)
        return KYMO_OK;
    KYMO_TRY(begin_books(s, err));
    return kymo_gather_flush(s->g, sealed_ns, 0, err);
}

/* -------- chunks -------- */

static kymo_status take_batch(struct slice *s, const struct kymo_batch *b, struct kymo_err *err)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(book); i++)
        if (!strcmp(book[i].table, b->schema->table))
            return book[i].take(s, b, err);
    return take_events(s, b, err);
}

/* Is the chunk at hand worth decoding, by what the plan knows? */
static int is_worth_it(const struct slice *s, size_t chunk)
{
    if (!s->is_timed || chunk >= s->plan.n_chunks)
        return 1;
    const struct kymo_chunk_time *t = &s->plan.chunk[chunk];
    return !t->max_ns || kymo_choose_meets(&s->choose, t->min_ns, t->max_ns);
}

static kymo_status take_chunk(struct slice *s, const struct kymo_chunk_header *h,
                              const char *table, struct kymo_err *err)
{
    const struct kymo_batch *b = kymo_reader_batch(s->r);
    if (h->kind != KYMO_CHUNK_DATA)
        return KYMO_OK;
    s->rows_in += h->n_rows;
    if (!s->is_timed && h->ts_max_ns)
        set_time(s, kymo_reader_start_ns(s->r));
    if (b)
        KYMO_TRY(take_batch(s, b, err));
    else
        KYMO_TRY(pass_over(s, h, table, err));
    return h->flags & KYMO_CHUNK_SEAL ? flush(s, h->ts_max_ns, err) : KYMO_OK;
}

/* A table without rows is still a table; one whose times are rounded has another schema now. */
static kymo_status declare(struct slice *s, struct kymo_err *err)
{
    for (size_t i = 0; i < kymo_reader_schemas(s->r); i++) {
        const struct kymo_schema *schema = kymo_reader_schema(s->r, i);
        if (s->o->time_unit_ns > 1 && kymo_schema_ts(schema) >= 0 &&
            kymo_schema_dur(schema) >= 0)
            continue;
        KYMO_TRY(kymo_writer_declare(s->w, schema, err));
    }
    return KYMO_OK;
}

static kymo_status finish(struct slice *s, struct kymo_err *err)
{
    if (s->choose.filter && !s->choose.n_bound && s->choose.misfit.code) {
        *err = s->choose.misfit;
        return s->choose.misfit.code;
    }
    KYMO_TRY(begin_books(s, err));
    KYMO_TRY(kymo_gather_flush(s->g, s->sealed_ns, 1, err));
    KYMO_TRY(declare(s, err));
    return kymo_writer_finish(s->w, err);
}

static kymo_status ask_books(struct slice *s, struct kymo_err *err)
{
    const char *name[KYMO_COUNT_OF(book)];
    for (size_t i = 0; i < KYMO_COUNT_OF(book); i++)
        name[i] = book[i].table;
    return kymo_reader_select(s->r, name, KYMO_COUNT_OF(book), err);
}

static kymo_status walk(struct slice *s, int *torn, struct kymo_err *err)
{
    struct kymo_chunk_header h;
    const char *table;
    int done = 0;
    KYMO_TRY(ask_books(s, err));
    for (size_t i = 0;; i++) {
        const kymo_status status =
            kymo_reader_skim(s->r, &h, &table, is_worth_it(s, i), &done, err);
        *torn = status == KYMO_ETORN;
        if (*torn || (!status && done))
            break;
        KYMO_TRY(status);
        KYMO_TRY(take_chunk(s, &h, table, err));
    }
    return finish(s, err);
}

/* -------- open and close -------- */

static kymo_status open_slice(struct slice *s, const char *path, struct kymo_err *err)
{
    const struct kymo_gather_opts how = {.archive = s->o->archive};
    s->mask = malloc(KYMO_CHUNK_ROWS_MAX);
    if (!s->mask)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a slice");
    kymo_writer_time_unit(s->w, s->o->time_unit_ns);
    KYMO_TRY(kymo_gather_open(&s->g, s->w, &how, err));
    KYMO_TRY(kymo_people_open(&s->people, s->g, err));
    KYMO_TRY(kymo_ledger_open(&s->ledger, err));
    KYMO_TRY(kymo_names_open(&s->names, err));
    KYMO_TRY(kymo_held_open(&s->held, err));
    KYMO_TRY(kymo_choose_open(&s->choose, s->o, s->people, s->ledger, err));
    s->choose.names = s->names;
    s->choose.span = &s->window;
    s->choose.n_spans = 1;
    KYMO_TRY(make_plan(s, path, err));
    return kymo_reader_open(&s->r, path, 0, err);
}

static void close_slice(struct slice *s)
{
    kymo_reader_close(s->r);
    kymo_choose_close(&s->choose);
    kymo_held_close(s->held);
    kymo_names_close(s->names);
    kymo_ledger_close(s->ledger);
    kymo_people_close(s->people);
    kymo_gather_close(s->g);
    kymo_plan_release(&s->plan);
    free(s->mask);
}

kymo_status kymo_slice(const char *path, const struct kymo_slice_opts *o, struct kymo_writer *w,
                       struct kymo_slice_result *out, struct kymo_err *err)
{
    struct slice s = {.o = o, .w = w, .window = WHOLE_TIME};
    struct kymo_err ignored = {0};
    struct kymo_err *why = err ? err : &ignored;
    int torn = 0;
    kymo_status status = open_slice(&s, path, why);
    if (!status)
        status = walk(&s, &torn, why);
    if (!status)
        *out = (struct kymo_slice_result){.rows = kymo_gather_count(s.g),
                                          .rows_in = s.rows_in,
                                          .spans = (int)s.plan.n_spans,
                                          .torn = torn};
    close_slice(&s);
    return status;
}
