/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/callorder.h"

#include <stdlib.h>

#include "format/trace/order.h"

#define BYTES_MAX ((size_t)1 << 30)

struct kymo_callorder {
    struct kymo_arena arena;
};

kymo_status kymo_callorder_open(struct kymo_callorder **out, struct kymo_err *err)
{
    struct kymo_callorder *c = calloc(1, sizeof(*c));
    if (!c)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    kymo_arena_init(&c->arena, BYTES_MAX);
    *out = c;
    return KYMO_OK;
}

void kymo_callorder_close(struct kymo_callorder *c)
{
    if (!c)
        return;
    kymo_arena_release(&c->arena);
    free(c);
}

static kymo_status out_of_memory(const struct kymo_batch *b, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, b->at_bytes, "no memory to sort %u rows", b->n_rows);
}

/* order[i]: the row that comes i-th. */
static uint32_t *sort_rows(struct kymo_arena *a, const struct kymo_batch *b)
{
    const uint32_t n = b->n_rows;
    const size_t most = (b->n_tasks > b->n_keys ? b->n_tasks : b->n_keys) + (size_t)1;
    uint32_t *by_task = KYMO_NEW_RAW(a, uint32_t, n), *order = KYMO_NEW_RAW(a, uint32_t, n);
    uint32_t *at = KYMO_NEW(a, uint32_t, most);
    uint16_t *key = KYMO_NEW_RAW(a, uint16_t, n);
    if (!by_task || !order || !at || !key)
        return NULL;
    kymo_order_by_task(b->task, n, b->n_tasks, at, by_task);
    for (uint32_t i = 0; i < n; i++)
        key[i] = b->key[by_task[i]];
    kymo_order_by_call(key, by_task, n, b->n_keys, at, order);
    return order;
}

static int is_row_lane(const struct kymo_batch *b, uint32_t column)
{
    const uint8_t order = b->schema->column[column].order;
    return b->lane[column] && order != KYMO_ORDER_TASK && order != KYMO_ORDER_KEY;
}

static kymo_status sort_lanes(struct kymo_arena *a, const struct kymo_batch *b,
                              const uint32_t *order, struct kymo_batch *view,
                              struct kymo_err *err)
{
    const uint32_t n = b->n_rows, n_columns = b->schema->n_columns;
    uint64_t **lane = KYMO_NEW(a, uint64_t *, n_columns);
    uint8_t **present = KYMO_NEW(a, uint8_t *, n_columns);
    if (!lane || !present)
        return out_of_memory(b, err);
    for (uint32_t c = 0; c < n_columns; c++) {
        lane[c] = b->lane[c];
        present[c] = b->present[c];
        if (!is_row_lane(b, c))
            continue;
        lane[c] = KYMO_NEW_RAW(a, uint64_t, n);
        present[c] = b->present[c] ? KYMO_NEW_RAW(a, uint8_t, n) : NULL;
        if (!lane[c] || (b->present[c] && !present[c]))
            return out_of_memory(b, err);
        for (uint32_t i = 0; i < n; i++)
            lane[c][i] = b->lane[c][order[i]];
        for (uint32_t i = 0; present[c] && i < n; i++)
            present[c][i] = b->present[c][order[i]];
    }
    view->lane = lane;
    view->present = present;
    return KYMO_OK;
}

static kymo_status sort_ids(struct kymo_arena *a, const struct kymo_batch *b,
                            const uint32_t *order, struct kymo_batch *view,
                            struct kymo_err *err)
{
    uint32_t *task = KYMO_NEW_RAW(a, uint32_t, b->n_rows);
    uint16_t *key = KYMO_NEW_RAW(a, uint16_t, b->n_rows);
    if (!task || !key)
        return out_of_memory(b, err);
    for (uint32_t i = 0; i < b->n_rows; i++) {
        task[i] = b->task[order[i]];
        key[i] = b->key[order[i]];
    }
    view->task = task;
    view->key = key;
    return KYMO_OK;
}

static kymo_status find_runs(struct kymo_arena *a, const struct kymo_batch *b,
                             const uint32_t *order, const struct kymo_run **out,
                             uint32_t *n_runs, struct kymo_err *err)
{
    struct kymo_run *run = KYMO_NEW_RAW(a, struct kymo_run, b->n_rows);
    if (!run)
        return out_of_memory(b, err);
    *n_runs = kymo_order_runs(b->task, b->key, order, b->n_rows, run, b->n_rows);
    *out = run;
    return KYMO_OK;
}

static kymo_status one_run(struct kymo_arena *a, const struct kymo_batch *b,
                           const struct kymo_run **out, uint32_t *n_runs, struct kymo_err *err)
{
    struct kymo_run *run = KYMO_NEW(a, struct kymo_run, 1);
    if (!run)
        return out_of_memory(b, err);
    run->n = b->n_rows;
    *out = run;
    *n_runs = b->n_rows > 0;
    return KYMO_OK;
}

kymo_status kymo_callorder_take(struct kymo_callorder *c, const struct kymo_batch *b,
                                struct kymo_batch *view, const uint32_t **row,
                                const struct kymo_run **run, uint32_t *n_runs,
                                struct kymo_err *err)
{
    kymo_arena_reset(&c->arena);
    *view = *b;
    *row = NULL;
    *run = b->run;
    *n_runs = b->n_runs;
    if (b->run)
        return KYMO_OK;
    if (!b->task)
        return one_run(&c->arena, b, run, n_runs, err);
    const uint32_t *order = sort_rows(&c->arena, b);
    if (!order)
        return out_of_memory(b, err);
    KYMO_TRY(sort_ids(&c->arena, b, order, view, err));
    KYMO_TRY(sort_lanes(&c->arena, b, order, view, err));
    *row = order;
    return find_runs(&c->arena, b, order, run, n_runs, err);
}
