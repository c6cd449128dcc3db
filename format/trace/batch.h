/* SPDX-License-Identifier: Apache-2.0
 * batch.h: the rows of one chunk in memory, on the way in (rows are appended) and on the way
 * out (rows were decoded). Every cell is one 64-bit lane: integers as they are, i64 and f64 by
 * their bits, f32 by its bits in the low half, strings as ids of the chunk's own dictionary
 * (id 0 is the empty string).
 */
#ifndef KYMO_TRACE_BATCH_H
#define KYMO_TRACE_BATCH_H

#include "format/trace/schema.h"

#define KYMO_CHUNK_ROWS_MAX 131072u
#define KYMO_CHUNK_TASKS_MAX 65536u
#define KYMO_CHUNK_KEYS_MAX 512u
#define KYMO_CHUNK_STR_BYTES_MAX (32u << 20)
#define KYMO_CHUNK_STRINGS_MAX (1u << 22)

struct kymo_strings {
    uint32_t n;         /* ids 0..n-1; 0 is "" */
    const uint32_t *at; /* [n+1] offsets into bytes */
    const char *bytes;
};

/* Rows of one task and key that follow each other in call order. */
struct kymo_run {
    uint32_t task, n;
    uint16_t key;
};

/* The least and the greatest value of a column in this chunk, as lanes of its type. */
struct kymo_zone {
    uint64_t min, max;
    int is_known;
};

/* A decoded (or about to be encoded) chunk. lane[c] has n_rows, n_tasks or n_keys items by the
 * column's order (CALL and SPLIT are in row order here: the codec reorders). */
struct kymo_batch {
    const struct kymo_schema *schema;
    uint32_t n_rows, n_tasks, n_keys;
    const uint32_t *task; /* [n_rows] task of each row; NULL unless the table is grouped */
    const uint16_t *key;  /* [n_rows] key of each row; NULL unless the table is grouped */
    /* [n_runs], when the rows stand in call order: by key, task and time. NULL in row order. */
    const struct kymo_run *run;
    uint32_t n_runs;
    /* [n_columns]; NULL where the column was not asked for. What lies in a null cell is undefined. */
    uint64_t *const *lane;
    uint8_t *const *
        present; /* [n_columns]; NULL, or 0/1 a row (ROW, CALL, SPLIT): all present when NULL */
    struct kymo_strings str; /* n ids; at and bytes are NULL where no strings were asked for */
    const struct kymo_zone *zone;  /* [n_columns], NULL when unknown */
    uint64_t ts_min_ns, ts_max_ns; /* of the first column when its unit is ns, else 0 */
    uint64_t at_bytes;             /* offset of the chunk in its file */
};

/* The lane of one cell whatever the column's order. The caller has checked presence. */
static inline uint64_t kymo_batch_lane(const struct kymo_batch *b, uint32_t c, uint32_t row)
{
    switch (b->schema->column[c].order) {
    case KYMO_ORDER_TASK:
        return b->lane[c][b->task[row]];
    case KYMO_ORDER_KEY:
        return b->lane[c][b->key[row]];
    default:
        return b->lane[c][row];
    }
}

/* A lane of a numeric type as a double. */
double kymo_lane_f64(enum kymo_type type, uint64_t lane);

/*
 * Rows being gathered for one chunk, owned: _open/_close. Columns are plain arrays, so a hot loop
 * writes lanes directly:
 *     const uint32_t i = rows->n_rows++;
 *     rows->lane[KYMO_SYSCALL_TS][i] = ts; rows->task[i] = task; ...
 * and a nullable cell, null until then, also through present[c][i] = 1.
 */
struct kymo_rows {
    const struct kymo_schema *schema; /* borrowed */
    uint32_t n_rows, n_tasks, n_keys;
    uint32_t cap_rows, cap_tasks, cap_keys;
    uint32_t *task;    /* [cap_rows] or NULL */
    uint16_t *key;     /* [cap_rows] or NULL */
    uint64_t **lane;   /* [n_columns] */
    uint8_t **present; /* [n_columns]; NULL where the column is not nullable and not SPLIT */
    struct kymo_buf str_bytes;
    struct kymo_buf str_at; /* u32 offsets, native order */
    uint32_t n_str;
    uint32_t *str_slot; /* open-addressing hash of ids */
    uint32_t str_slots;
};

/* cap_rows <= KYMO_CHUNK_ROWS_MAX. errors ELIMIT when out of memory. */
KYMO_MUST_USE kymo_status kymo_rows_open(struct kymo_rows **out,
                                         const struct kymo_schema *schema, uint32_t cap_rows,
                                         struct kymo_err *err);
void kymo_rows_close(struct kymo_rows *r);
/* Forget the rows, tasks, keys and strings; keep the memory. */
void kymo_rows_clear(struct kymo_rows *r);
static inline int kymo_rows_full(const struct kymo_rows *r)
{
    return r->n_rows == r->cap_rows;
}
/* Start a row: all lanes 0, nullable cells null (present 0). Not full, says the caller. */
uint32_t kymo_rows_add(struct kymo_rows *r);
void kymo_rows_set(struct kymo_rows *r, uint32_t column, uint32_t row, uint64_t lane);
void kymo_rows_set_f64(struct kymo_rows *r, uint32_t column, uint32_t row, double v);
void kymo_rows_set_str(struct kymo_rows *r, uint32_t column, uint32_t row, const char *s,
                       size_t n);
/* The id of s[n] in this chunk; the same string has the same id. 0 when the dictionary is full. */
uint32_t kymo_rows_intern(struct kymo_rows *r, const char *s, size_t n);
/* A fresh task or key of this chunk; the caller fills its lanes. UINT32_MAX / UINT16_MAX when full. */
uint32_t kymo_rows_add_task(struct kymo_rows *r);
uint16_t kymo_rows_add_key(struct kymo_rows *r);
/* Look at the rows as a batch, without copying; valid until they change. */
struct kymo_batch kymo_rows_view(const struct kymo_rows *r);

#endif
