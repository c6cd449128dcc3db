/* SPDX-License-Identifier: Apache-2.0
 * gather.h: rows of any tables on their way into another capture, gathered into chunks.
 *
 * A flush writes what there is, table by table: names of calls, then what happened, then books, the
 * losses last, as their chunk carries the seal. Two things stand on that order: readers take the time
 * of the first chunk that has times as the capture's start, so books from before it must not be first;
 * and nothing older than a seal may follow it.
 */
#ifndef KYMO_FILE_GATHER_H
#define KYMO_FILE_GATHER_H

#include "format/file/clockmap.h"
#include "format/trace/batch.h"
#include "format/trace/writer.h"

struct kymo_gather; /* owned: _open, _close */

struct kymo_gather_opts {
    int archive;   /* fill chunks across flushes that do not insist */
    int with_host; /* tables get a column `host`, unless they have one */
    int sort;      /* rows of a chunk by ts: they come in runs of several inputs */
};

KYMO_MUST_USE kymo_status kymo_gather_open(struct kymo_gather **out, struct kymo_writer *w,
                                           const struct kymo_gather_opts *o,
                                           struct kymo_err *err);
void kymo_gather_close(struct kymo_gather *g);
/* The host of the rows that follow; with_host only. */
KYMO_MUST_USE kymo_status kymo_gather_host(struct kymo_gather *g, const char *host,
                                           struct kymo_err *err);
/*
 * Take row[n] of a batch; NULL: its first n. map, where there is one, puts ts on another axis. A chunk
 * that gets full is written.
 */
KYMO_MUST_USE kymo_status kymo_gather_rows(struct kymo_gather *g, const struct kymo_batch *b,
                                           const uint32_t *row, uint32_t n,
                                           struct kymo_clockmap *map, struct kymo_err *err);
/* A table without rows is still a table. */
KYMO_MUST_USE kymo_status kymo_gather_declare(struct kymo_gather *g,
                                              const struct kymo_schema *s,
                                              struct kymo_err *err);
/*
 * Everything up to sealed_ns has been taken (0: nobody promises that): write what is gathered, and
 * the seal. An archive waits until a minute is in flight, unless force.
 */
KYMO_MUST_USE kymo_status kymo_gather_flush(struct kymo_gather *g, uint64_t sealed_ns,
                                            int force, struct kymo_err *err);
/* May chunks be written as they are, past the gathering? Not in an archive, or with a host. */
int kymo_gather_can_pass(const struct kymo_gather *g);
KYMO_MUST_USE kymo_status kymo_gather_pass(struct kymo_gather *g, const struct kymo_batch *b,
                                           struct kymo_err *err);
/* Rows written or gathered so far. */
uint64_t kymo_gather_count(const struct kymo_gather *g);

/* Is this a table of what happened, and not one of the recorder's books? */
int kymo_is_event_table(const char *table);

#endif
