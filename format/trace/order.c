/* SPDX-License-Identifier: Apache-2.0
 * order.c: two counting sorts.
 */
#include "format/trace/order.h"

#include <string.h>

/* at[] counts, then sums, then walks on while rows are put down, and is set back at the end. */
static void starts(uint32_t *at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        at[i + 1] += at[i];
}

static void step_back(uint32_t *at, uint32_t count)
{
    memmove(at + 1, at, count * sizeof(*at));
    at[0] = 0;
}

void kymo_order_by_task(const uint32_t *task, uint32_t n, uint32_t count, uint32_t *at,
                        uint32_t *by_task)
{
    memset(at, 0, ((size_t)count + 1) * sizeof(*at));
    for (uint32_t i = 0; i < n; i++)
        at[task[i] + 1]++;
    starts(at, count);
    for (uint32_t i = 0; i < n; i++)
        by_task[at[task[i]]++] = i;
    step_back(at, count);
}

void kymo_order_by_call(const uint16_t *key, const uint32_t *by_task, uint32_t n,
                        uint32_t count, uint32_t *at, uint32_t *by_call)
{
    memset(at, 0, ((size_t)count + 1) * sizeof(*at));
    for (uint32_t i = 0; i < n; i++)
        at[key[i] + 1]++;
    starts(at, count);
    for (uint32_t i = 0; i < n; i++)
        by_call[at[key[by_task[i]]]++] = by_task[i];
    step_back(at, count);
}

uint32_t kymo_order_runs(const uint32_t *task, const uint16_t *key, const uint32_t *by_call,
                         uint32_t n, struct kymo_run *run, uint32_t max)
{
    struct kymo_run now = {0};
    uint32_t n_runs = 0;
    for (uint32_t i = 0; i < n && n_runs <= max; i++) {
        const uint32_t row = by_call[i];
        if (now.n && now.task == task[row] && now.key == key[row]) {
            now.n++;
            continue;
        }
        if (now.n)
            run[n_runs - 1] = now;
        now = (struct kymo_run){.task = task[row], .n = 1, .key = key[row]};
        n_runs++;
    }
    if (now.n && n_runs <= max)
        run[n_runs - 1] = now;
    return n_runs;
}
