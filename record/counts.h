/* SPDX-License-Identifier: Apache-2.0
 * counts.h: level counts, from the cells that the kernel side fills to rows of the tables count and
 * count_error, window by window.
 *
 * The cells only ever grow. A window is the difference to what they held when the window before was
 * taken, so nothing has to stand still while we look, and a row that found no buffer is in the next
 * window's.
 */
#ifndef KYMO_RECORD_COUNTS_H
#define KYMO_RECORD_COUNTS_H

#include <stdbool.h>

#include "format/event.h"
#include "format/trace/batch.h"

struct counts; /* owned */

/* Where the cells are: the kernel's maps, or a test's. */
struct counts_source {
    void *ctx;
    uint32_t n_cpus;
    struct kymo_cell *(*cells)(void *ctx, uint32_t cpu, uint32_t *n);
};

KYMO_MUST_USE kymo_status counts_open(struct counts **out, const struct counts_source *source,
                                      struct kymo_err *err);
void counts_close(struct counts *c);

/* A TASK record: whose cells those of its entity are. */
void counts_learn(struct counts *c, const struct kymo_event_task *t);
/* A thread of this entity ended: its cells are free for others once nothing was counted in them for a while. */
void counts_ended(struct counts *c, uint32_t entity);

/* Empty rows of a table with room for one more; NULL when there are none now. */
typedef struct kymo_rows *(*counts_rows)(void *ctx, const struct kymo_schema *schema);
/* A call that has rows: it may want a name. */
typedef void (*counts_name)(void *ctx, uint32_t arch, uint32_t nr);
/* One row a process and call that was counted since the last window. cost O(cells). */
void counts_window(struct counts *c, uint64_t ts_ns, uint64_t dur_ns, counts_rows rows,
                   counts_name name, void *ctx);

#endif
