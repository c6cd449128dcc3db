/* SPDX-License-Identifier: Apache-2.0 */
#include "format/io/clocksteps.h"

#include <string.h>

static uint64_t size_of(int64_t v)
{
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

static void learn(struct kymo_clocksteps *c, uint64_t ts, uint64_t boot, uint64_t real)
{
    const uint64_t span = ts - c->ts_ns, least = KYMO_CLOCKSTEPS_NS_MIN + span / 1000;
    /* Differences wrap, so that clocks of any value, honest or not, give numbers. */
    const int64_t slept = (int64_t)(boot - c->boot_ns - span);
    const int64_t set = (int64_t)(real - c->real_ns - (boot - c->boot_ns));
    const int is_later = c->has_last && ts > c->ts_ns;

    if (c->has_last && !is_later)
        return;
    if (is_later && (size_of(set) >= least || (slept > 0 && (uint64_t)slept >= least))) {
        if (c->n < KYMO_CLOCKSTEPS_MAX)
            c->step[c->n++] = (struct kymo_clockstep){
                c->ts_ns, ts, size_of(set) >= least ? set : 0,
                slept > 0 && (uint64_t)slept >= least ? (uint64_t)slept : 0};
        c->n_all++;
    }
    c->has_last = 1;
    c->ts_ns = ts;
    c->boot_ns = boot;
    c->real_ns = real;
}

static int is_number(const struct kymo_schema *s, int column)
{
    return column >= 0 && s->column[column].type == KYMO_T_U64;
}

void kymo_clocksteps_learn(struct kymo_clocksteps *c, const struct kymo_batch *b)
{
    if (strcmp(b->schema->table, KYMO_TABLE_CLOCK.table) != 0)
        return;
    const int ts = kymo_schema_ts(b->schema), boot = kymo_schema_column(b->schema, "boot");
    const int real = kymo_schema_column(b->schema, "real");
    if (ts < 0 || !is_number(b->schema, boot) || !is_number(b->schema, real))
        return;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (kymo_batch_present(b, (uint32_t)boot, i) &&
            kymo_batch_present(b, (uint32_t)real, i))
            learn(c, kymo_batch_u64(b, (uint32_t)ts, i), kymo_batch_u64(b, (uint32_t)boot, i),
                  kymo_batch_u64(b, (uint32_t)real, i));
}
