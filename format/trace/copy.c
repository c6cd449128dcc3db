/* SPDX-License-Identifier: Apache-2.0
 * copy.c: rows from chunk to chunk. A first pass over the rows finds each its task and key and
 * interns what strings are new, as far as there is room; then column by column in tight loops.
 */
#include "format/trace/copy.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NONE UINT32_MAX
#define SLOTS_FIRST 256u

/* The tasks or the keys of a chunk: tuples of the lanes of one order's columns. */
struct group {
    uint8_t order;
    uint32_t *column; /* [n_columns] of the target */
    uint32_t n_columns;
    uint64_t *tuple; /* [n_columns] one being looked up */
    uint32_t *slot;  /* open addressing: number of the tuple in the target + 1, 0 free */
    uint32_t n_slots;
    uint32_t *memo; /* [cap_memo] number in the batch -> in the target, NONE: not yet */
    uint32_t cap_memo;
};

struct kymo_copy {
    struct kymo_rows *to;
    const struct kymo_batch *from;       /* not looked into by _clear: it may be gone by then */
    uint32_t n_strings, n_tasks, n_keys; /* of it */
    const struct kymo_schema
        *mapped;          /* what `source` is about, and its hash: a schema of another */
    uint64_t mapped_hash; /* reader may come to lie where this one lay */
    int *source;          /* [n_columns of the target] column of the batch, or -1 */
    char **constant;      /* [n_columns], NULL: none */
    uint32_t *text;       /* [n_text] columns of the target with a string a row */
    uint32_t n_text;
    struct group task, key;
    uint32_t
        *string; /* [cap_string] id in the batch -> in the target, 0: not yet (but for id 0) */
    uint32_t cap_string;
    uint32_t *new_id; /* [n_columns] strings of one row that the target has not */
    uint32_t n_new;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory to copy rows");
}

static const struct kymo_column_def *def_of(const struct kymo_copy *c, uint32_t column)
{
    return &c->to->schema->column[column];
}

/* -------- open, close, clear -------- */

static int open_group(struct kymo_copy *c, struct group *g, uint8_t order)
{
    const uint32_t d = c->to->schema->n_columns;
    g->order = order;
    g->column = calloc(d, sizeof(*g->column));
    g->tuple = calloc(d, sizeof(*g->tuple));
    g->n_slots = SLOTS_FIRST;
    g->slot = calloc(g->n_slots, sizeof(*g->slot));
    if (!g->column || !g->tuple || !g->slot)
        return 0;
    for (uint32_t i = 0; i < d; i++)
        if (def_of(c, i)->order == order)
            g->column[g->n_columns++] = i;
    return 1;
}

static void close_group(struct group *g)
{
    free(g->column);
    free(g->tuple);
    free(g->slot);
    free(g->memo);
}

kymo_status kymo_copy_open(struct kymo_copy **out, struct kymo_rows *to, struct kymo_err *err)
{
    const uint32_t d = to->schema->n_columns;
    struct kymo_copy *c = calloc(1, sizeof(*c));
    if (!c)
        return no_memory(err);
    c->to = to;
    c->source = calloc(d, sizeof(*c->source));
    c->constant = calloc(d, sizeof(*c->constant));
    c->text = calloc(d, sizeof(*c->text));
    c->new_id = calloc(d, sizeof(*c->new_id));
    if (!c->source || !c->constant || !c->text || !c->new_id ||
        !open_group(c, &c->task, KYMO_ORDER_TASK) || !open_group(c, &c->key, KYMO_ORDER_KEY)) {
        kymo_copy_close(c);
        return no_memory(err);
    }
    *out = c;
    return KYMO_OK;
}

void kymo_copy_close(struct kymo_copy *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; c->constant && i < c->to->schema->n_columns; i++)
        free(c->constant[i]);
    free(c->constant);
    free(c->source);
    free(c->text);
    free(c->new_id);
    free(c->string);
    close_group(&c->task);
    close_group(&c->key);
    free(c);
}

/* What the batch's numbers are in the target: nothing is known. */
static void forget_batch(struct kymo_copy *c)
{
    if (c->n_strings)
        memset(c->string, 0, c->n_strings * sizeof(*c->string));
    for (uint32_t i = 0; i < c->n_tasks; i++)
        c->task.memo[i] = NONE;
    for (uint32_t i = 0; i < c->n_keys; i++)
        c->key.memo[i] = NONE;
}

void kymo_copy_clear(struct kymo_copy *c)
{
    kymo_rows_clear(c->to);
    memset(c->task.slot, 0, c->task.n_slots * sizeof(*c->task.slot));
    memset(c->key.slot, 0, c->key.n_slots * sizeof(*c->key.slot));
    forget_batch(c);
}

kymo_status kymo_copy_constant(struct kymo_copy *c, uint32_t column, const char *text,
                               struct kymo_err *err)
{
    assert(def_of(c, column)->type == KYMO_T_STR);
    char *copy = strdup(text);
    if (!copy)
        return no_memory(err);
    free(c->constant[column]);
    c->constant[column] = copy;
    forget_batch(c); /* a task with another constant is another task */
    c->mapped = NULL;
    return KYMO_OK;
}

/* -------- a batch -------- */

static int may_be_null(const struct kymo_column_def *d)
{
    return d->nullable || d->order == KYMO_ORDER_SPLIT;
}

static kymo_status map_column(struct kymo_copy *c, uint32_t i, const struct kymo_schema *s,
                              struct kymo_err *err)
{
    const struct kymo_column_def *to = def_of(c, i);
    c->source[i] = c->constant[i] ? -1 : kymo_schema_column(s, to->name);
    if (c->source[i] < 0)
        return KYMO_OK;
    const struct kymo_column_def *from = &s->column[c->source[i]];
    const int grouped = to->order == KYMO_ORDER_TASK || to->order == KYMO_ORDER_KEY;
    if (from->type != to->type || (grouped && from->order != to->order) ||
        (may_be_null(from) && !may_be_null(to)))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "table %s: column '%s' is of another kind than in the rows it is to "
                         "stand with",
                         s->table, to->name);
    return KYMO_OK;
}

/* kymo_schema_column() compares names one by one: once a schema, not once a batch. */
static kymo_status map_columns(struct kymo_copy *c, const struct kymo_schema *s,
                               struct kymo_err *err)
{
    if (c->mapped == s && c->mapped_hash == s->hash)
        return KYMO_OK;
    c->mapped = NULL;
    c->n_text = 0;
    for (uint32_t i = 0; i < c->to->schema->n_columns; i++) {
        const uint8_t order = def_of(c, i)->order;
        KYMO_TRY(map_column(c, i, s, err));
        if (c->source[i] >= 0 && def_of(c, i)->type == KYMO_T_STR && order != KYMO_ORDER_TASK &&
            order != KYMO_ORDER_KEY)
            c->text[c->n_text++] = i;
    }
    c->mapped = s;
    c->mapped_hash = s->hash;
    return KYMO_OK;
}

/* Doubling, so that batches a bit larger than the last do not each move it. */
static int grow(uint32_t **p, uint32_t *cap, uint32_t n)
{
    if (n <= *cap)
        return 1;
    const uint32_t want = n > *cap * 2 ? n : *cap * 2;
    uint32_t *q = realloc(*p, want * sizeof(*q));
    if (!q)
        return 0;
    *p = q;
    *cap = want;
    return 1;
}

kymo_status kymo_copy_begin(struct kymo_copy *c, const struct kymo_batch *from,
                            struct kymo_err *err)
{
    c->n_strings = c->n_tasks = c->n_keys = 0;
    KYMO_TRY(map_columns(c, from->schema, err));
    if (c->to->task && !from->task)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "table %s: its rows have no tasks",
                         from->schema->table);
    if (!grow(&c->string, &c->cap_string, from->str.n) ||
        !grow(&c->task.memo, &c->task.cap_memo, from->n_tasks) ||
        !grow(&c->key.memo, &c->key.cap_memo, from->n_keys))
        return no_memory(err);
    c->from = from;
    c->n_strings = from->str.n;
    c->n_tasks = from->n_tasks;
    c->n_keys = from->n_keys;
    forget_batch(c);
    return KYMO_OK;
}

/* -------- room -------- */

/* The batch's lanes of a column, NULL when it has none. */
static const uint64_t *lanes_of(const struct kymo_copy *c, uint32_t column)
{
    return c->source[column] < 0 ? NULL : c->from->lane[c->source[column]];
}

static int is_null(const struct kymo_copy *c, uint32_t column, uint32_t row)
{
    const uint8_t *present = c->from->present[c->source[column]];
    return present && !present[row];
}

static void want_string(struct kymo_copy *c, uint64_t id)
{
    if (id && !c->string[id])
        c->new_id[c->n_new++] = (uint32_t)id;
}

static void want_group(struct kymo_copy *c, const struct group *g, uint32_t at)
{
    for (uint32_t i = 0; i < g->n_columns; i++) {
        const uint32_t column = g->column[i];
        if (def_of(c, column)->type == KYMO_T_STR && lanes_of(c, column))
            want_string(c, lanes_of(c, column)[at]);
    }
}

static uint32_t bytes_of(const struct kymo_batch *b, uint32_t id)
{
    return b->str.at[id + 1] - b->str.at[id];
}

/* Each string once: a row may have one several times. */
static void drop_doubles(struct kymo_copy *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_new; i++) {
        uint32_t k = 0;
        while (k < n && c->new_id[k] != c->new_id[i])
            k++;
        if (k == n)
            c->new_id[n++] = c->new_id[i];
    }
    c->n_new = n;
}

static int strings_fit_as_counted(const struct kymo_copy *c, size_t constant_bytes,
                                  uint32_t constants)
{
    uint64_t bytes = c->to->str_bytes.n + constant_bytes;
    for (uint32_t i = 0; i < c->n_new; i++)
        bytes += bytes_of(c->from, c->new_id[i]);
    return bytes <= KYMO_CHUNK_STR_BYTES_MAX &&
           c->to->n_str + c->n_new + constants <= KYMO_CHUNK_STRINGS_MAX;
}

/* Is there room for the row's new strings? What is counted too high in a hurry is counted again. */
static int strings_fit(struct kymo_copy *c)
{
    size_t constant_bytes = 0;
    uint32_t constants = 0;
    for (uint32_t i = 0; i < c->to->schema->n_columns; i++)
        if (c->constant[i]) {
            constant_bytes += strlen(c->constant[i]);
            constants++;
        }
    if (strings_fit_as_counted(c, constant_bytes, constants))
        return 1;
    drop_doubles(c);
    return strings_fit_as_counted(c, constant_bytes, constants);
}

/* -------- tasks and keys -------- */

/* The lane of a task or key as the target has it; its strings are interned. 0: out of memory. */
static int target_lane(struct kymo_copy *c, uint32_t column, uint32_t at, uint64_t *out)
{
    const char *text = c->constant[column];
    if (text) {
        *out = kymo_rows_intern(c->to, text, strlen(text));
        return *out || !text[0];
    }
    const uint64_t *lane = lanes_of(c, column);
    *out = lane ? lane[at] : 0;
    if (*out && def_of(c, column)->type == KYMO_T_STR)
        *out = c->string[*out];
    return 1;
}

static uint32_t slot_of(const struct kymo_copy *c, const struct group *g, uint32_t number)
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < g->n_columns; i++) {
        const uint64_t lane = c->to->lane[g->column[i]][number];
        h = XXH3_64bits_withSeed(&lane, sizeof(lane), h);
    }
    return (uint32_t)h & (g->n_slots - 1);
}

static int is_tuple(const struct kymo_copy *c, const struct group *g, uint32_t number)
{
    for (uint32_t i = 0; i < g->n_columns; i++)
        if (c->to->lane[g->column[i]][number] != g->tuple[i])
            return 0;
    return 1;
}

static int grow_slots(struct kymo_copy *c, struct group *g, uint32_t n)
{
    uint32_t *slot = calloc((size_t)g->n_slots * 2, sizeof(*slot));
    if (!slot)
        return 0;
    free(g->slot);
    g->slot = slot;
    g->n_slots *= 2;
    for (uint32_t number = 0; number < n; number++) {
        uint32_t h = slot_of(c, g, number);
        while (slot[h])
            h = (h + 1) & (g->n_slots - 1);
        slot[h] = number + 1;
    }
    return 1;
}

/* The number of the tuple in the target; a new one gets the next, for which there is room. */
static int find_tuple(struct kymo_copy *c, struct group *g, uint32_t *n_numbers, uint32_t *out)
{
    uint64_t hash = 0;
    if (*n_numbers >= g->n_slots / 2 && !grow_slots(c, g, *n_numbers))
        return 0;
    for (uint32_t i = 0; i < g->n_columns; i++)
        hash = XXH3_64bits_withSeed(&g->tuple[i], sizeof(g->tuple[i]), hash);
    uint32_t h = (uint32_t)hash & (g->n_slots - 1);
    for (; g->slot[h]; h = (h + 1) & (g->n_slots - 1))
        if (is_tuple(c, g, g->slot[h] - 1)) {
            *out = g->slot[h] - 1;
            return 1;
        }
    *out = (*n_numbers)++;
    g->slot[h] = *out + 1;
    for (uint32_t i = 0; i < g->n_columns; i++)
        c->to->lane[g->column[i]][*out] = g->tuple[i];
    return 1;
}

static int know_group(struct kymo_copy *c, struct group *g, uint32_t at, uint32_t *n_numbers)
{
    if (g->memo[at] != NONE)
        return 1;
    for (uint32_t i = 0; i < g->n_columns; i++)
        if (!target_lane(c, g->column[i], at, &g->tuple[i]))
            return 0;
    return find_tuple(c, g, n_numbers, &g->memo[at]);
}

/* -------- rows -------- */

static kymo_status intern_new(struct kymo_copy *c, struct kymo_err *err)
{
    const struct kymo_batch *b = c->from;
    for (uint32_t i = 0; i < c->n_new; i++) {
        const uint32_t id = c->new_id[i];
        c->string[id] = kymo_rows_intern(c->to, b->str.bytes + b->str.at[id], bytes_of(b, id));
        if (!c->string[id] && bytes_of(b, id))
            return no_memory(err);
    }
    return KYMO_OK;
}

/* Make the target know what the row stands on; fits out: 0 when there is no room for it. */
static kymo_status know_row(struct kymo_copy *c, uint32_t row, int *fits, struct kymo_err *err)
{
    struct kymo_rows *to = c->to;
    const int grouped = to->task != NULL;
    const uint32_t task = grouped ? c->from->task[row] : 0;
    const uint32_t key = grouped ? c->from->key[row] : 0;
    const int new_task = grouped && c->task.memo[task] == NONE;
    const int new_key = grouped && c->key.memo[key] == NONE;
    *fits =
        !(new_task && to->n_tasks == to->cap_tasks) && !(new_key && to->n_keys == to->cap_keys);
    if (!*fits)
        return KYMO_OK;
    c->n_new = 0;
    if (new_task)
        want_group(c, &c->task, task);
    if (new_key)
        want_group(c, &c->key, key);
    for (uint32_t i = 0; i < c->n_text; i++) {
        const uint64_t *lane = lanes_of(c, c->text[i]);
        if (lane && !is_null(c, c->text[i], row))
            want_string(c, kymo_batch_lane(c->from, (uint32_t)c->source[c->text[i]], row));
    }
    *fits = !(c->n_new || new_task || new_key) || strings_fit(c);
    if (!*fits)
        return KYMO_OK;
    KYMO_TRY(intern_new(c, err));
    if (new_task && !know_group(c, &c->task, task, &to->n_tasks))
        return no_memory(err);
    if (new_key && !know_group(c, &c->key, key, &to->n_keys))
        return no_memory(err);
    return KYMO_OK;
}

/* Where the batch's column holds the value of a row, by the column's order there. */
static uint32_t place(const struct kymo_batch *b, uint8_t order, uint32_t row)
{
    return order == KYMO_ORDER_TASK  ? b->task[row]
           : order == KYMO_ORDER_KEY ? b->key[row]
                                     : row;
}

static kymo_status copy_constant(struct kymo_copy *c, uint32_t column, uint32_t n,
                                 struct kymo_err *err)
{
    struct kymo_rows *to = c->to;
    const char *text = c->constant[column];
    const uint32_t id = kymo_rows_intern(to, text, strlen(text));
    if (!id && text[0])
        return no_memory(err);
    for (uint32_t i = 0; i < n; i++)
        kymo_rows_set(to, column, to->n_rows + i, id);
    return KYMO_OK;
}

static void copy_column(struct kymo_copy *c, uint32_t column, const uint32_t *row, uint32_t n)
{
    struct kymo_rows *to = c->to;
    uint64_t *lane = to->lane[column] + to->n_rows;
    uint8_t *present = to->present[column] ? to->present[column] + to->n_rows : NULL;
    const uint64_t *from = lanes_of(c, column);
    if (!from) {
        memset(lane, 0, n * sizeof(*lane));
        if (present)
            memset(present, 0, n);
        return;
    }
    const uint8_t order = c->from->schema->column[c->source[column]].order;
    const uint8_t *has = c->from->present[c->source[column]];
    if (order == KYMO_ORDER_TASK || order == KYMO_ORDER_KEY)
        for (uint32_t i = 0; i < n; i++)
            lane[i] = from[place(c->from, order, row[i])];
    else
        for (uint32_t i = 0; i < n; i++)
            lane[i] = from[row[i]];
    if (has)
        for (uint32_t i = 0; i < n; i++)
            lane[i] = has[row[i]] ? lane[i] : 0;
    if (present)
        for (uint32_t i = 0; i < n; i++)
            present[i] = has ? has[row[i]] : 1;
    if (def_of(c, column)->type == KYMO_T_STR)
        for (uint32_t i = 0; i < n; i++)
            lane[i] = lane[i] ? c->string[lane[i]] : 0;
}

static kymo_status copy_columns(struct kymo_copy *c, const uint32_t *row, uint32_t n,
                                struct kymo_err *err)
{
    struct kymo_rows *to = c->to;
    for (uint32_t i = 0; i < to->schema->n_columns; i++) {
        const uint8_t order = def_of(c, i)->order;
        if (order == KYMO_ORDER_TASK || order == KYMO_ORDER_KEY)
            continue;
        if (c->constant[i])
            KYMO_TRY(copy_constant(c, i, n, err));
        else
            copy_column(c, i, row, n);
    }
    for (uint32_t i = 0; to->task && i < n; i++) {
        to->task[to->n_rows + i] = c->task.memo[c->from->task[row[i]]];
        to->key[to->n_rows + i] = (uint16_t)c->key.memo[c->from->key[row[i]]];
    }
    to->n_rows += n;
    return KYMO_OK;
}

kymo_status kymo_copy_rows(struct kymo_copy *c, const uint32_t *row, uint32_t n,
                           uint32_t *copied, struct kymo_err *err)
{
    const uint32_t room = c->to->cap_rows - c->to->n_rows;
    const uint32_t most = n < room ? n : room;
    uint32_t k = 0;
    for (int fits = 1; k < most; k++) {
        KYMO_TRY(know_row(c, row[k], &fits, err));
        if (!fits)
            break;
    }
    if (n && !k && !c->to->n_rows)
        return KYMO_FAIL(err, KYMO_ELIMIT, c->from->at_bytes,
                         "table %s: a row has more text than a chunk can hold",
                         c->from->schema->table);
    KYMO_TRY(copy_columns(c, row, k, err));
    *copied = k;
    return KYMO_OK;
}
