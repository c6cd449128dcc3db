/* SPDX-License-Identifier: Apache-2.0
 * parallel.h: fixed blocks of work over a few threads. Which thread runs a block is left open, so
 * a block writes to its own place only, and whoever sums the places does it in block order: then
 * the bytes are the same for every number of threads.
 */
#ifndef KYMO_NUM_PARALLEL_H
#define KYMO_NUM_PARALLEL_H

#include <stddef.h>

#define KYMO_THREADS_MAX 256u

typedef void (*kymo_block_fn)(void *ctx, size_t block);

/* Run fn for blocks 0..n_blocks-1 on at most n_threads threads, the caller's among them; returns
 * when all are done. A thread that cannot be started is done without. */
void kymo_parallel(size_t n_blocks, unsigned n_threads, kymo_block_fn fn, void *ctx);

/* CPUs this process may use, at least 1: the default of -j. */
unsigned kymo_cpus(void);

/* Rows of one block for n rows: depends on n alone, so that sums do not depend on the threads. */
#define KYMO_BLOCKS_MAX 256u
#define KYMO_BLOCK_ROWS_MIN 512u
static inline size_t kymo_block_rows(size_t n)
{
    const size_t rows = (n + KYMO_BLOCKS_MAX - 1) / KYMO_BLOCKS_MAX;
    return rows < KYMO_BLOCK_ROWS_MIN ? KYMO_BLOCK_ROWS_MIN : rows;
}

#endif
