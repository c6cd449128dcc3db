/* SPDX-License-Identifier: Apache-2.0
 * slots.h: blocks over threads as parallel.h runs them, where a block also needs scratch memory
 * that the next block on the same thread can use again.
 */
#ifndef KYMO_NUM_SLOTS_H
#define KYMO_NUM_SLOTS_H

#include <stddef.h>

/* At no time do two calls have the same slot. What is left in a slot's scratch by an earlier block
 * must not show in the result: which slot a block gets is left open. */
typedef void (*kymo_slot_fn)(void *ctx, size_t block, size_t slot);

/* Slots that n_threads need for n_blocks, at least 1. */
size_t kymo_slots(size_t n_blocks, unsigned n_threads);

/* Run fn for blocks 0..n_blocks-1, slots 0..kymo_slots()-1; returns when all are done. */
void kymo_parallel_slots(size_t n_blocks, unsigned n_threads, kymo_slot_fn fn, void *ctx);

#endif
