/* SPDX-License-Identifier: Apache-2.0
 * filter.h: the one filter language, for a row of any table.
 *
 *     syscall == openat && ret < 0 && comm ~ "redis*"
 *     dur >= 1ms || (errno && !(path ~ "/proc*"))
 *
 *   expression  field [op value] | ! e | e && e | e || e | ( e )
 *   op          == != < <= > >= ~ (glob: * ? and \ for the next as it is) !~
 *   value       a number with an optional unit, a word, or text in quotes
 *   field       a column of the table; where the table has what they stand on, also
 *               syscall (name of arch and nr), errno (of ret in -4095..-1, by name or number)
 *               and time (ns since the capture's start)
 *
 * A field alone is true where it is not null, not 0 and not empty. A comparison with a null cell
 * is false. Times without a unit are seconds, as everywhere; K M G T are 1024 each.
 */
#ifndef KYMO_TRACE_FILTER_H
#define KYMO_TRACE_FILTER_H

#include "format/trace/batch.h"
#include "format/trace/names.h"

#define KYMO_FILTER_BYTES_MAX 4096u
#define KYMO_FILTER_NODES_MAX 256u
#define KYMO_FILTER_DEPTH_MAX 32u

struct kymo_filter; /* owned: _open, _close */

/* Parse. errors EUSAGE, with the place in the message. */
KYMO_MUST_USE kymo_status kymo_filter_open(struct kymo_filter **out, const char *text,
                                           struct kymo_err *err);
void kymo_filter_close(struct kymo_filter *f);

/*
 * Resolve the fields against a schema (borrowed while bound); may be called again for another.
 *
 * names     borrowed, may be NULL: names of calls
 * start_ns  what `time` counts from
 * errors    EUSAGE: no such field (the message names those there are), or a value that the field
 *           cannot have
 */
KYMO_MUST_USE kymo_status kymo_filter_bind(struct kymo_filter *f, const struct kymo_schema *s,
                                           const struct kymo_names *names, uint64_t start_ns,
                                           struct kymo_err *err);
/* Set want[c] = 1 for the columns that the filter looks at; bound. */
void kymo_filter_need(const struct kymo_filter *f, uint8_t *want);
/* Before the rows of a batch of the bound schema. errors ELIMIT. */
KYMO_MUST_USE kymo_status kymo_filter_begin(struct kymo_filter *f, const struct kymo_batch *b,
                                            struct kymo_err *err);
/*
 * Can any row of a batch pass? Asked before its rows are decoded, it goes by what is there: the zones of the
 * columns, the lanes of its tasks and keys, the texts of its dictionary. 0: none can. Call
 * kymo_filter_begin() with the batch first, and again when more of it was decoded.
 */
int kymo_filter_may_match(struct kymo_filter *f);
/* Does this row of the batch pass? */
int kymo_filter_match(struct kymo_filter *f, uint32_t row);

/* The fields derived for a schema, beside its columns: names, at most max of them; returns how many. */
size_t kymo_filter_derived(const struct kymo_schema *s, const char **names, size_t max);
/* Does s[n] match the glob? */
int kymo_glob(const char *pattern, size_t pattern_bytes, const char *s, size_t n);

#endif
