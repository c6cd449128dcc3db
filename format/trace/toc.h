/* SPDX-License-Identifier: Apache-2.0
 * toc.h: the table of contents of a data chunk: how many tasks, keys and strings there are, which
 * task made how many rows of which key, and what streams follow (SPEC.md has the bytes).
 */
#ifndef KYMO_TRACE_TOC_H
#define KYMO_TRACE_TOC_H

#include "format/trace/batch.h"
#include "format/trace/column.h"

/* The kinds of stream in a data body; the number is on disk. */
enum kymo_stream_what {
    KYMO_STREAM_VALUES = 0,   /* of a column, or of one key's part of it */
    KYMO_STREAM_PRESENT = 1,  /* 0 or 1 a value of the same, when some are null */
    KYMO_STREAM_TASKS = 2,    /* task of each row, in row order */
    KYMO_STREAM_KEYS = 3,     /* key of each row, in (task, row) order */
    KYMO_STREAM_LENGTHS = 4,  /* bytes of strings 1.. */
    KYMO_STREAM_STRINGS = 5,  /* their bytes, one after the other */
    KYMO_STREAM_RELATIVE = 6, /* values, less what the same rows hold in another column */
    KYMO_STREAM_WHAT_COUNT
};

/* The first byte of a body: how its table of contents and its streams lie there. */
enum kymo_body_form {
    KYMO_BODY_PLAIN = 0,      /* both as they are */
    KYMO_BODY_TOC_ZSTD = 1,   /* the table in a zstd frame */
    KYMO_BODY_WHOLE_ZSTD = 2, /* all of it in one frame: chunks of few rows */
};
#define KYMO_TOC_BYTES_MAX (4u << 20)
#define KYMO_BODY_WHOLE_BYTES_MAX (4u << 20)
/* Streams of fewer values say no least and greatest value. */
#define KYMO_ZONE_VALUES_MIN 64u

/* One stream. */
struct kymo_entry {
    struct kymo_stream s; /* extremes are the encoder's alone */
    enum kymo_stream_what what;
    uint32_t column;
    uint32_t key;         /* n_keys: all of them, one after the other */
    uint32_t base_column; /* RELATIVE: lies behind `column`, so that no circle can close */
    uint8_t has_zone;
    uint64_t zone_min, zone_range;
    struct kymo_bytes stored;
};

/* What stands before the streams. n_runs = 0: no index, count the rows to know. */
struct kymo_toc {
    uint32_t n_tasks, n_keys, n_strings, n_runs, n_entries;
    struct kymo_run *run;
    struct kymo_entry *entry;
    /* entry[first[c]..first[c+1]) are column c's; those before first[0] are the chunk's own */
    uint32_t *first;
};

/* Is a column stored key by key, or may it be? */
static inline int kymo_order_splits(uint8_t order)
{
    return order == KYMO_ORDER_SPLIT || order == KYMO_ORDER_CHAIN;
}

/* Append the head and the index. */
void kymo_toc_put_head(const struct kymo_toc *t, struct kymo_buf *out);
/* Append one entry. type is the column's: zones of i64 are signed. */
void kymo_toc_put_entry(const struct kymo_entry *e, const struct kymo_schema *schema,
                        struct kymo_buf *out);

/*
 * Read it all; `streams` is what follows, and each entry gets its part of it.
 * Memory comes from the arena. errors ECORRUPT, with the byte; ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_toc_take(struct kymo_toc *t, const struct kymo_schema *schema,
                                        uint32_t n_rows, struct kymo_bytes toc,
                                        struct kymo_bytes streams, struct kymo_arena *arena,
                                        struct kymo_err *err);

#endif
