/* SPDX-License-Identifier: GPL-2.0-only
 *
 * cells.bpf.h: level counts. One cell a process, call and CPU, in memory that both sides map; only
 * this CPU writes it, and nobody takes its counts back: the recorder reads differences.
 */
#ifndef KYMO_CELLS_BPF_H
#define KYMO_CELLS_BPF_H

#include "bpf/ring.bpf.h"

const volatile __u32 cells_of_cpu = 1; /* a power of two; KYMO_CELL_SPARE more follow them */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* CPUs * (cells_of_cpu + KYMO_CELL_SPARE) */
    __type(key, u32);
    __type(value, struct kymo_cell);
} cells SEC(".maps");

/* Now and then: once in n, a power of two, at random, so that no rhythm of calls hides from it. */
static __always_inline bool one_in(struct kymo_ring_ctl *c, u32 n)
{
    c->rng = c->rng * 6364136223846793005ull + 1442695040888963407ull;
    return (c->rng >> 40 & (n - 1)) == 0;
}

static __always_inline struct kymo_cell *cell_of(u32 cpu, u32 entity, bool compat, u32 nr)
{
    const u64 key = (u64)entity << 32 | (compat ? 1u << 16 : 0) | (nr + 1);
    const u32 first = cpu * (cells_of_cpu + KYMO_CELL_SPARE);
    const u32 at = (u32)(key * 0x9e3779b97f4a7c15ull >> 40);
    struct kymo_cell *cell;
    u32 i;

    for (u32 probe = 0; probe < KYMO_CELL_PROBES; probe++) {
        i = first + ((at + probe) & (cells_of_cpu - 1));
        cell = bpf_map_lookup_elem(&cells, &i);
        if (!cell)
            return 0;
        if (cell->key == key)
            return cell;
        if (!cell->key) {
            cell->key = key;
            return cell;
        }
    }
    /* No room near: the call is counted without saying whose. */
    i = first + cells_of_cpu + (nr & (KYMO_CALLS_MAX - 1)) + (compat ? KYMO_CALLS_MAX : 0);
    cell = bpf_map_lookup_elem(&cells, &i);
    if (cell)
        cell->key = key & 0xffffffff;
    return cell;
}

/* 0 for less than 256 ns, and one more each time it doubles. */
static __always_inline u32 bucket_of(u64 ns)
{
    u32 b = 0;

    ns >>= 7;
    if (ns >> 16)
        ns >>= 16, b += 16;
    if (ns >> 8)
        ns >>= 8, b += 8;
    if (ns >> 4)
        ns >>= 4, b += 4;
    if (ns >> 2)
        ns >>= 2, b += 2;
    if (ns >> 1)
        b += 1;
    return b < KYMO_CELL_BUCKETS ? b : KYMO_CELL_BUCKETS - 1;
}

static __always_inline void count_error(struct kymo_cell *cell, u32 no)
{
    cell->errors++;
    for (u32 i = 0; i < KYMO_CELL_ERRNOS; i++) {
        if (!cell->err[i].no)
            cell->err[i].no = no;
        if (cell->err[i].no == no) {
            cell->err[i].n++;
            return;
        }
    }
    cell->errno_other++;
}

struct call {
    u64 dur_ns;
    s64 ret;
    u32 nr;
    u32 info; /* KYMO_INFO_* */
    u32 tid;
    u8 flags; /* KYMO_CALL_* */
};

static __always_inline void count(struct kymo_ring_ctl *c, u32 cpu, u32 entity, bool compat,
                                  const struct call *call)
{
    const u32 nr = call->nr < KYMO_CALLS_MAX ? call->nr : KYMO_CALLS_MAX - 1;
    struct kymo_cell *cell = cell_of(cpu, entity, compat, nr);
    const s64 ret = call->ret;

    if (!cell) {
        c->dropped_ring++;
        return;
    }
    cell->calls++;
    /* What was taken at entry has no result: 0. */
    if (ret < 0 && ret >= -4095 && (ret > -512 || ret < -516))
        count_error(cell, (u32)-ret);
    else if (ret > 0 && (call->info & KYMO_INFO_BYTES))
        cell->bytes += ret;
    if (call->dur_ns != KYMO_DUR_UNKNOWN) {
        cell->timed++;
        cell->time_ns += call->dur_ns;
        cell->lat[bucket_of(call->dur_ns)]++;
    }
    c->aggregated++;
}

#endif
