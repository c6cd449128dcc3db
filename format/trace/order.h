/* SPDX-License-Identifier: Apache-2.0
 * order.h: the two orders of a grouped chunk that cost no bytes. Both sides of the format make
 * them by counting sorts:
 *
 *   rows      a0 b0 a1 a2 b1      the task of each row, in row order:          a b a a b
 *   by task   a0 a1 a2 | b0 b1    the key of each row, in task order:          k l k | k k
 *   by call   k: a0 a2 b0 b1 | l: a1      CALL, SPLIT and CHAIN columns, in this order
 */
#ifndef KYMO_TRACE_ORDER_H
#define KYMO_TRACE_ORDER_H

#include "format/trace/batch.h"

/*
 * at[count+1], out   where each group begins; by[n], out: the rows, sorted by group, stable.
 * group[i] < count has been checked.
 */
void kymo_order_by_task(const uint32_t *task, uint32_t n, uint32_t count, uint32_t *at,
                        uint32_t *by_task);
/* The same by key, from the rows in task order. */
void kymo_order_by_call(const uint16_t *key, const uint32_t *by_task, uint32_t n,
                        uint32_t count, uint32_t *at, uint32_t *by_call);
/* Rows of one key and task that follow each other in call order, into run[max]; returns how many
 * there are, or more than max when they are too many to be of use. */
uint32_t kymo_order_runs(const uint32_t *task, const uint16_t *key, const uint32_t *by_call,
                         uint32_t n, struct kymo_run *run, uint32_t max);

#endif
