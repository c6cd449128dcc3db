/* SPDX-License-Identifier: Apache-2.0
 * reader.h: what the tree's own tools may ask of a reader beyond kymo.h.
 */
#ifndef KYMO_TRACE_READER_H
#define KYMO_TRACE_READER_H

#include "format/trace/batch.h"
#include "format/trace/chunk.h"

/* Ask for some columns of a table only (names, n of them); others have NULL lanes. */
KYMO_MUST_USE kymo_status kymo_reader_columns(kymo_reader *r, const char *table,
                                              const char *const *columns, size_t n,
                                              struct kymo_err *err);
/*
 * Decode further columns, want[n_columns], of the batch that the last call gave; it stays where it is.
 * What a filter says about few columns so saves decoding the rest.
 */
KYMO_MUST_USE kymo_status kymo_reader_more(kymo_reader *r, const uint8_t *want,
                                           struct kymo_err *err);
/* Give the rows of grouped tables in call order (by key, task and time, batch->run) from the next
 * chunk on: for those who count and sum, it saves what sorting them back would cost. */
void kymo_reader_call_order(kymo_reader *r, int on);
/* Decode no column of any table, unless kymo_reader_columns() asked for it, before kymo_reader_more() does. */
void kymo_reader_lazy(kymo_reader *r);
/* Decode with n threads, ahead of the caller, from now on; batches come in the same order. What is asked
 * (tables, columns, time, order) has to be asked before. The memory cap holds for each thread. errors
 * EHOST, ELIMIT */
KYMO_MUST_USE kymo_status kymo_reader_threads(kymo_reader *r, unsigned n, struct kymo_err *err);
/* Skip chunks whose time range does not meet [since, until] (ns, inclusive); rows are not cut. */
void kymo_reader_time(kymo_reader *r, uint64_t since_ns, uint64_t until_ns);
/* Header of the chunk that the last batch came from (flags, seal). */
const struct kymo_chunk_header *kymo_reader_chunk(const kymo_reader *r);
/* The table of contents that the last batch came with: sizes and codecs of its streams. */
struct kymo_toc;
const struct kymo_toc *kymo_reader_toc(const kymo_reader *r);
/* After the end: was there an END chunk (a writer that finished)? */
int kymo_reader_complete(const kymo_reader *r);
/* Bytes consumed so far. */
uint64_t kymo_reader_at(const kymo_reader *r);

/* Time of the first chunk that has times: what "since the start" counts from; 0 before it. */
uint64_t kymo_reader_start_ns(const kymo_reader *r);

/*
 * The next chunk by its header alone, body skipped (for info and check).
 * table out, borrowed: name of its table, NULL for END; h out; done out: 1 at the end of the file.
 * verify != 0 also reads the body and checks its checksum, and decodes data. Without it, tables
 * that kymo_reader_select() named are decoded all the same: kymo_reader_batch() has them.
 */
KYMO_MUST_USE kymo_status kymo_reader_skim(kymo_reader *r, struct kymo_chunk_header *h,
                                           const char **table, int verify, int *done,
                                           struct kymo_err *err);
/* Rows of the chunk that kymo_reader_skim() came past, NULL where it did not decode them. */
const struct kymo_batch *kymo_reader_batch(const kymo_reader *r);
/* Schemas met so far. */
size_t kymo_reader_schemas(const kymo_reader *r);
const struct kymo_schema *kymo_reader_schema(const kymo_reader *r, size_t i);

#endif
