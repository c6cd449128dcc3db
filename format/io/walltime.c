/* SPDX-License-Identifier: Apache-2.0 */
#include "format/io/walltime.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a - b < b - a ? a - b : b - a;
}

static kymo_status learn(struct kymo_walltime *w, uint64_t ts, uint64_t real, uint64_t boot,
                         struct kymo_err *err)
{
    const uint64_t ahead = real - ts;
    const struct kymo_walltime_step *last = w->n ? &w->step[w->n - 1] : NULL;
    if (last &&
        (ts < last->from_ns || distance(ahead, last->ahead_ns) < KYMO_WALLTIME_STEP_NS_MIN))
        return KYMO_OK;
    if (w->n == KYMO_WALLTIME_STEPS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the wall clock was set more than %u times", KYMO_WALLTIME_STEPS_MAX);
    w->step[w->n++] = (struct kymo_walltime_step){ts, ahead, boot};
    return KYMO_OK;
}

kymo_status kymo_walltime_learn(struct kymo_walltime *w, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    if (strcmp(b->schema->table, KYMO_TABLE_CLOCK.table) != 0)
        return KYMO_OK;
    const int ts = kymo_schema_ts(b->schema), real = kymo_schema_column(b->schema, "real");
    if (ts < 0 || real < 0 || b->schema->column[real].type != KYMO_T_U64)
        return KYMO_OK;
    int boot = kymo_schema_column(b->schema, "boot");
    boot = boot >= 0 && b->schema->column[boot].type == KYMO_T_U64 ? boot : -1;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (!kymo_batch_present(b, (uint32_t)ts, i) ||
            !kymo_batch_present(b, (uint32_t)real, i))
            continue;
        const int has_boot = boot >= 0 && kymo_batch_present(b, (uint32_t)boot, i);
        KYMO_TRY(learn(w, kymo_batch_u64(b, (uint32_t)ts, i),
                       kymo_batch_u64(b, (uint32_t)real, i),
                       has_boot ? kymo_batch_u64(b, (uint32_t)boot, i) : 0, err));
    }
    return KYMO_OK;
}

uint64_t kymo_walltime_real(const struct kymo_walltime *w, uint64_t ts_ns)
{
    uint32_t low = 0, n = w->n;
    while (n > 1) {
        const uint32_t half = n / 2;
        if (w->step[low + half].from_ns <= ts_ns)
            low += half;
        n -= half;
    }
    return ts_ns + w->step[low].ahead_ns;
}

const char *kymo_walltime_text(char text[KYMO_WALLTIME_TEXT_BYTES], uint64_t real_ns)
{
    const time_t s = (time_t)(real_ns / 1000000000u);
    struct tm t;
    char day[24] = "?";
    if (gmtime_r(&s, &t))
        (void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &t);
    (void)snprintf(text, KYMO_WALLTIME_TEXT_BYTES, "%s.%09uZ", day,
                   (unsigned)(real_ns % 1000000000u));
    return text;
}
