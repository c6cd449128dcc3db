/* SPDX-License-Identifier: Apache-2.0
 * feature_process.c: life and death of processes, and how many were at work.
 */
#include <stdio.h>
#include <string.h>

#include "format/model/feature_group.h"

#define FLOOR_LOG 0.5

enum { COL_FORK, COL_EXEC, COL_EXIT, COL_THREADS, COL_PROCESSES, COL_COUNT };

struct churn {
    uint64_t event[3]; /* by enum kymo_process_kind */
    struct kymo_distinct thread, process;
};

static void process_column(size_t i, struct kymo_feature_column *out)
{
    static const char *const name[COL_COUNT] = {"process.fork", "process.exec", "process.exit",
                                                "distinct.threads", "distinct.processes"};
    snprintf(out->name, sizeof(out->name), "%s", name[i]);
    snprintf(out->unit, sizeof(out->unit), "%s", i <= COL_EXIT ? "1/s" : "");
    out->bend = KYMO_BEND_LOG1P;
    out->floor = FLOOR_LOG;
}

static void process_event(uint8_t *acc, enum kymo_process_kind kind)
{
    ((struct churn *)(void *)acc)->event[kind]++;
}

static void process_task(uint8_t *acc, uint64_t pid, uint64_t tid)
{
    struct churn *c = (struct churn *)(void *)acc;
    kymo_distinct_add(&c->thread, kymo_mix64(tid + 1));
    kymo_distinct_add(&c->process, kymo_mix64(pid + 1));
}

static void process_merge(uint8_t *into, const uint8_t *from)
{
    struct churn *a = (struct churn *)(void *)into;
    const struct churn *b = (const struct churn *)(const void *)from;
    for (int i = 0; i < 3; i++)
        a->event[i] += b->event[i];
    kymo_distinct_merge(&a->thread, &b->thread);
    kymo_distinct_merge(&a->process, &b->process);
}

static void process_finish(const uint8_t *acc, double seconds, double *x)
{
    const struct churn *c = (const struct churn *)(const void *)acc;
    for (int i = 0; i < 3; i++)
        x[i] = (double)c->event[i] / seconds;
    x[COL_THREADS] = c->thread.n;
    x[COL_PROCESSES] = c->process.n;
}

static void process_release(uint8_t *acc)
{
    struct churn *c = (struct churn *)(void *)acc;
    kymo_distinct_release(&c->thread);
    kymo_distinct_release(&c->process);
}

const struct kymo_feature_group kymo_group_process = {
    .name = "process",
    .factor = 0.7,
    .n_columns = COL_COUNT,
    .acc_bytes = sizeof(struct churn),
    .column = process_column,
    .process = process_event,
    .task = process_task,
    .merge = process_merge,
    .finish = process_finish,
    .release = process_release,
};
