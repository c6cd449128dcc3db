/* SPDX-License-Identifier: Apache-2.0
 * cleaning.c: a re-recording becomes a capture of what was replayed. Once read for who is who (tags.h), then
 * row by row as a slice is: what is left out was seen and filtered, which the rows of losses say in the end.
 */
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/file/gather.h"
#include "format/file/held.h"
#include "format/file/ledger.h"
#include "format/trace/reader.h"
#include "format/trace/sysname.h"
#include "replay/proof/proof.h"
#include "replay/proof/tags.h"

#define ZSTD_LEVEL 1

struct cleaning {
    struct kymo_tags *tags;
    kymo_reader *r;
    struct kymo_writer *w;
    struct kymo_gather *g;
    struct kymo_ledger *ledger;
    struct kymo_held *held;
    uint64_t sealed_ns;
    int is_said; /* what this capture is */
    /* of the batch at hand */
    struct kymo_arena arena;
    uint32_t *row; /* [KYMO_CHUNK_ROWS_MAX] those kept */
    uint32_t n_rows;
    struct kymo_buf text, at; /* its dictionary with what was added, once something was */
    uint32_t n_texts;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "cleaning a re-recording passes the memory budget");
}

/* The columns that this program's recorder writes, where it writes them; newer ones may follow. */
static kymo_status check_shape(const struct kymo_batch *b, const struct kymo_schema *want,
                               struct kymo_err *err)
{
    int same = b->schema->n_columns >= want->n_columns;
    for (uint32_t c = 0; same && c < want->n_columns; c++)
        same = !strcmp(b->schema->column[c].name, want->column[c].name) &&
               b->schema->column[c].type == want->column[c].type &&
               b->schema->column[c].order == want->column[c].order;
    return same ? KYMO_OK
                : KYMO_FAIL(err, KYMO_EINPUT, b->at_bytes,
                            "table '%s' is not as this version's recorder writes it",
                            want->table);
}

/* -------- the dictionary -------- */

/* The number of a text in the batch's dictionary; it may be a new one. */
static kymo_status add_text(struct cleaning *c, const struct kymo_batch *b, const char *s,
                            uint64_t *id, struct kymo_err *err)
{
    if (!c->n_texts) {
        const uint32_t n = b->str.n;
        kymo_buf_clear(&c->text);
        kymo_buf_clear(&c->at);
        kymo_buf_put(&c->text, b->str.bytes, b->str.at ? b->str.at[n] : 0);
        if (b->str.at)
            kymo_buf_put(&c->at, b->str.at, ((size_t)n + 1) * sizeof(uint32_t));
        c->n_texts = n;
    }
    kymo_buf_put(&c->text, s, strlen(s));
    const uint32_t end = (uint32_t)c->text.n;
    kymo_buf_put(&c->at, &end, sizeof(end));
    if (c->text.failed || c->at.failed || c->text.n > KYMO_CHUNK_STR_BYTES_MAX)
        return no_memory(err);
    *id = c->n_texts++;
    return KYMO_OK;
}

/* A copy of a column that may be changed, in view's place. */
static kymo_status own_lane(struct cleaning *c, struct kymo_batch *view, uint32_t column,
                            uint64_t **out, struct kymo_err *err)
{
    const uint32_t n =
        view->schema->column[column].order == KYMO_ORDER_TASK ? view->n_tasks : view->n_rows;
    uint64_t *lane = KYMO_NEW_RAW(&c->arena, uint64_t, n);
    if (!lane)
        return no_memory(err);
    memcpy(lane, view->lane[column], n * sizeof(*lane));
    ((uint64_t **)view->lane)[column] = lane;
    *out = lane;
    return KYMO_OK;
}

/* A view of a batch with columns of its own. */
static kymo_status begin_batch(struct cleaning *c, const struct kymo_batch *b,
                               struct kymo_batch *view, struct kymo_err *err)
{
    kymo_arena_reset(&c->arena);
    c->n_rows = c->n_texts = 0;
    uint64_t **lane = KYMO_NEW_RAW(&c->arena, uint64_t *, b->schema->n_columns);
    if (!lane)
        return no_memory(err);
    memcpy(lane, b->lane, b->schema->n_columns * sizeof(*lane));
    *view = *b;
    view->lane = lane;
    return KYMO_OK;
}

static kymo_status end_batch(struct cleaning *c, struct kymo_batch *view, struct kymo_err *err)
{
    if (c->n_texts)
        view->str = (struct kymo_strings){c->n_texts, (const uint32_t *)(const void *)c->at.p,
                                          (const char *)c->text.p};
    return kymo_gather_rows(c->g, view, c->row, c->n_rows, NULL, err);
}

/* -------- calls -------- */

static kymo_status tasks_of(struct cleaning *c, const struct kymo_batch *b,
                            struct kymo_tagged ***out, struct kymo_err *err)
{
    struct kymo_tagged **of = KYMO_NEW(&c->arena, struct kymo_tagged *, b->n_tasks);
    if (!of)
        return no_memory(err);
    for (uint32_t i = 0; i < b->n_tasks; i++)
        KYMO_TRY(kymo_tags_thread(c->tags, b->lane[KYMO_SYSCALL_PID][i],
                                  b->lane[KYMO_SYSCALL_START][i], b->lane[KYMO_SYSCALL_TID][i],
                                  &of[i], err));
    *out = of;
    return KYMO_OK;
}

static kymo_status names_of(struct cleaning *c, const struct kymo_batch *b, const char ***out,
                            struct kymo_err *err)
{
    const char **of = KYMO_NEW(&c->arena, const char *, b->n_keys);
    if (!of)
        return no_memory(err);
    for (uint32_t i = 0; i < b->n_keys; i++) {
        const struct kymo_sysinfo *info = kymo_sysinfo((uint32_t)b->lane[KYMO_SYSCALL_ARCH][i],
                                                       (uint32_t)b->lane[KYMO_SYSCALL_NR][i]);
        of[i] = info ? info->name : "";
    }
    *out = of;
    return KYMO_OK;
}

static void read_row(struct kymo_tag_row *r, const struct kymo_batch *b, uint32_t i,
                     const char *const *name)
{
    r->call = name[b->key[i]];
    r->flags = b->lane[KYMO_SYSCALL_FLAGS][i];
    for (uint32_t k = 0; k < 6; k++)
        r->arg[k] = kymo_batch_present(b, KYMO_SYSCALL_ARG0 + k, i)
                        ? b->lane[KYMO_SYSCALL_ARG0 + k][i]
                        : 0;
    const uint64_t comm = b->lane[KYMO_SYSCALL_COMM][b->task[i]];
    r->comm = b->str.bytes + b->str.at[comm];
    r->comm_bytes = b->str.at[comm + 1] - b->str.at[comm];
}

static kymo_status learn_calls(struct cleaning *c, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    struct kymo_tagged **thread;
    const char **name;
    KYMO_TRY(check_shape(b, &KYMO_TABLE_SYSCALL, err));
    kymo_arena_reset(&c->arena);
    KYMO_TRY(tasks_of(c, b, &thread, err));
    KYMO_TRY(names_of(c, b, &name, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct kymo_tag_row row;
        read_row(&row, b, i, name);
        KYMO_TRY(kymo_tags_learn(c->tags, thread[b->task[i]], &row, err));
    }
    return KYMO_OK;
}

/* Under its recorded name; a task's first row that is kept says who it is. */
static kymo_status rename_task(struct cleaning *c, const struct kymo_batch *b,
                               struct kymo_tagged *th, const char *comm, uint32_t task,
                               uint64_t *const lane[3], struct kymo_err *err)
{
    (void)kymo_tags_process(c->tags, th->pid, th->start_ns, &lane[0][task]);
    lane[1][task] = kymo_tags_tid(c->tags, th);
    return comm ? add_text(c, b, comm, &lane[2][task], err) : KYMO_OK;
}

static kymo_status take_calls(struct cleaning *c, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    struct kymo_batch view;
    struct kymo_tagged **thread;
    const char **name;
    uint64_t *lane[3];
    KYMO_TRY(check_shape(b, &KYMO_TABLE_SYSCALL, err));
    KYMO_TRY(begin_batch(c, b, &view, err));
    KYMO_TRY(tasks_of(c, b, &thread, err));
    KYMO_TRY(names_of(c, b, &name, err));
    KYMO_TRY(own_lane(c, &view, KYMO_SYSCALL_PID, &lane[0], err));
    KYMO_TRY(own_lane(c, &view, KYMO_SYSCALL_TID, &lane[1], err));
    KYMO_TRY(own_lane(c, &view, KYMO_SYSCALL_COMM, &lane[2], err));
    uint8_t *is_named = KYMO_NEW(&c->arena, uint8_t, b->n_tasks);
    if (!is_named)
        return no_memory(err);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct kymo_tag_row row;
        const char *comm;
        const uint32_t task = b->task[i];
        read_row(&row, b, i, name);
        if (!kymo_tags_keep(c->tags, thread[task], &row, &comm)) {
            KYMO_TRY(kymo_ledger_cut(c->ledger, b->schema->table, b->lane[KYMO_SYSCALL_CPU][i],
                                     1, KYMO_CUT_FILTER, row.flags, err));
            continue;
        }
        c->row[c->n_rows++] = i;
        if (!is_named[task])
            KYMO_TRY(rename_task(c, b, thread[task], comm, task, lane, err));
        is_named[task] = 1;
    }
    return end_batch(c, &view, err);
}

/* -------- processes, descriptors -------- */

static int is_kind(const struct kymo_batch *b, uint32_t row, const char *word)
{
    uint32_t n;
    const char *kind = kymo_batch_str(b, KYMO_PROCESS_KIND, row, &n);
    return n == strlen(word) && !memcmp(kind, word, n);
}

/* The stage is no program of the recording: whatever it runs as, its file and arguments are not told. */
static kymo_status take_processes(struct cleaning *c, const struct kymo_batch *b,
                                  struct kymo_err *err)
{
    struct kymo_batch view;
    uint64_t *pid, *tid, *ppid, *comm, *exe, *argv;
    KYMO_TRY(check_shape(b, &KYMO_TABLE_PROCESS, err));
    KYMO_TRY(begin_batch(c, b, &view, err));
    KYMO_TRY(own_lane(c, &view, KYMO_PROCESS_PID, &pid, err));
    KYMO_TRY(own_lane(c, &view, KYMO_PROCESS_TID, &tid, err));
    KYMO_TRY(own_lane(c, &view, KYMO_PROCESS_PPID, &ppid, err));
    KYMO_TRY(own_lane(c, &view, KYMO_PROCESS_COMM, &comm, err));
    KYMO_TRY(own_lane(c, &view, KYMO_PROCESS_EXE, &exe, err));
    KYMO_TRY(own_lane(c, &view, KYMO_PROCESS_ARGV, &argv, err));
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct kymo_tagged *th =
            kymo_tags_find(c->tags, pid[i], b->lane[KYMO_PROCESS_START][i], tid[i]);
        if (!th || !th->is_known) {
            if (!is_kind(b, i, "snapshot") &&
                !is_kind(b, i, "cred")) /* no source counted those */
                KYMO_TRY(kymo_ledger_cut(c->ledger, b->schema->table, 0, 1, KYMO_CUT_FILTER, 0,
                                         err));
            continue;
        }
        const char *name = is_kind(b, i, "exec") ? kymo_tags_exec_row(th) : NULL;
        c->row[c->n_rows++] = i;
        (void)kymo_tags_process(c->tags, th->pid, th->start_ns, &pid[i]);
        tid[i] = kymo_tags_tid(c->tags, th);
        if (!kymo_tags_process(c->tags, ppid[i], 0, &ppid[i]))
            ppid[i] = 0; /* the sandbox */
        exe[i] = argv[i] = 0;
        if (name)
            KYMO_TRY(add_text(c, b, name, &comm[i], err));
    }
    return end_batch(c, &view, err);
}

static kymo_status take_fds(struct cleaning *c, const struct kymo_batch *b,
                            struct kymo_err *err)
{
    struct kymo_batch view;
    uint64_t *pid;
    KYMO_TRY(check_shape(b, &KYMO_TABLE_FD, err));
    KYMO_TRY(begin_batch(c, b, &view, err));
    KYMO_TRY(own_lane(c, &view, KYMO_FD_PID, &pid, err));
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (kymo_tags_process(c->tags, pid[i], b->lane[KYMO_FD_START][i], &pid[i]))
            c->row[c->n_rows++] = i;
    return end_batch(c, &view, err);
}

/* -------- books -------- */

static kymo_status take_losses(struct cleaning *c, const struct kymo_batch *b,
                               struct kymo_err *err)
{
    struct kymo_rows *r;
    uint8_t *all = KYMO_NEW_RAW(&c->arena, uint8_t, b->n_rows);
    if (!all)
        return no_memory(err);
    memset(all, 1, b->n_rows);
    KYMO_TRY(kymo_held_losses(c->held, b, &r, err));
    kymo_ledger_settle(c->ledger, r, all);
    const struct kymo_batch settled = kymo_rows_view(r);
    return kymo_gather_rows(c->g, &settled, NULL, settled.n_rows, NULL, err);
}

static kymo_status say_what_it_is(struct cleaning *c, uint64_t ts_ns, struct kymo_err *err)
{
    static const char key[] = "replay", value[] = "a re-recording under recorded names";
    struct kymo_rows *r;
    c->is_said = 1;
    KYMO_TRY(kymo_rows_open(&r, &KYMO_TABLE_CONTEXT, 1, err));
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_CONTEXT_TS, i, ts_ns);
    kymo_rows_set_str(r, KYMO_CONTEXT_KEY, i, key, sizeof(key) - 1);
    kymo_rows_set_str(r, KYMO_CONTEXT_VALUE, i, value, sizeof(value) - 1);
    const struct kymo_batch b = kymo_rows_view(r);
    const kymo_status s = kymo_gather_rows(c->g, &b, NULL, 1, NULL, err);
    kymo_rows_close(r);
    return s;
}

static kymo_status take_context(struct cleaning *c, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    KYMO_TRY(kymo_gather_rows(c->g, b, NULL, b->n_rows, NULL, err));
    return c->is_said ? KYMO_OK : say_what_it_is(c, b->ts_max_ns, err);
}

/* -------- chunks -------- */

static const struct book {
    const char *table;
    kymo_status (*take)(struct cleaning *, const struct kymo_batch *, struct kymo_err *);
} book[] = {
    {"syscall", take_calls}, {"process", take_processes}, {"fd", take_fds},
    {"loss", take_losses},   {"context", take_context},
};

static kymo_status take_batch(struct cleaning *c, const struct kymo_batch *b,
                              struct kymo_err *err)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(book); i++)
        if (!strcmp(book[i].table, b->schema->table))
            return b->n_rows ? book[i].take(c, b, err) : KYMO_OK;
    return kymo_gather_rows(c->g, b, NULL, b->n_rows, NULL, err);
}

static kymo_status learn(struct cleaning *c, const char *path, struct kymo_err *err)
{
    static const char *const tables[] = {"syscall"};
    const struct kymo_batch *b;
    KYMO_TRY(kymo_reader_open(&c->r, path, 0, err));
    KYMO_TRY(kymo_reader_select(c->r, tables, 1, err));
    for (;;) {
        KYMO_TRY(kymo_reader_next(c->r, &b, err));
        if (!b)
            break;
        KYMO_TRY(learn_calls(c, b, err));
    }
    kymo_reader_close(c->r);
    c->r = NULL;
    return kymo_tags_again(c->tags, err);
}

static kymo_status rewrite(struct cleaning *c, const char *path, struct kymo_err *err)
{
    const struct kymo_batch *b;
    KYMO_TRY(kymo_reader_open(&c->r, path, 0, err));
    for (;;) {
        KYMO_TRY(kymo_reader_next(c->r, &b, err));
        if (!b)
            break;
        KYMO_TRY(take_batch(c, b, err));
        const struct kymo_chunk_header *h = kymo_reader_chunk(c->r);
        if (h->flags & KYMO_CHUNK_SEAL) {
            c->sealed_ns = h->ts_max_ns > c->sealed_ns ? h->ts_max_ns : c->sealed_ns;
            KYMO_TRY(kymo_gather_flush(c->g, h->ts_max_ns, 0, err));
        }
    }
    if (!c->is_said)
        KYMO_TRY(say_what_it_is(c, c->sealed_ns, err));
    KYMO_TRY(kymo_gather_flush(c->g, c->sealed_ns, 1, err));
    for (size_t i = 0; i < kymo_reader_schemas(c->r); i++)
        KYMO_TRY(kymo_writer_declare(c->w, kymo_reader_schema(c->r, i), err));
    return kymo_writer_finish(c->w, err);
}

static kymo_status clean(struct cleaning *c, const char *path, const struct kymo_image *image,
                         int out_fd, struct kymo_err *err)
{
    const struct kymo_gather_opts how = {0};
    c->row = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*c->row));
    if (!c->row)
        return no_memory(err);
    KYMO_TRY(kymo_tags_open(&c->tags, image, err));
    KYMO_TRY(learn(c, path, err));
    KYMO_TRY(kymo_writer_open(&c->w, out_fd, "the re-recording", ZSTD_LEVEL, err));
    KYMO_TRY(kymo_gather_open(&c->g, c->w, &how, err));
    KYMO_TRY(kymo_ledger_open(&c->ledger, err));
    KYMO_TRY(kymo_held_open(&c->held, err));
    return rewrite(c, path, err);
}

kymo_status kymo_recording_clean(const char *path, const struct kymo_image *image, int out_fd,
                                 struct kymo_err *err)
{
    struct cleaning c = {0};
    kymo_arena_init(&c.arena, (size_t)256 << 20);
    const kymo_status s = clean(&c, path, image, out_fd, err);
    kymo_reader_close(c.r);
    kymo_held_close(c.held);
    kymo_ledger_close(c.ledger);
    kymo_gather_close(c.g);
    kymo_writer_close(c.w);
    kymo_tags_close(c.tags);
    kymo_arena_release(&c.arena);
    kymo_buf_release(&c.text);
    kymo_buf_release(&c.at);
    free(c.row);
    return s;
}
