/* SPDX-License-Identifier: GPL-2.0-only
 *
 * ring.bpf.h: one ring per CPU in memory that both sides map, so that a record costs a few
 * stores and neither a system call nor a wake-up.
 *
 * One producer a ring: programs on the syscall tracepoints run with preemption off, and nothing
 * that may run in an interrupt writes here. The busy word catches what should not happen: a
 * producer inside a producer drops its record and counts it.
 *
 * Order: the record's bytes must be visible before the head that covers them. x86 keeps the order
 * of stores, so a compiler barrier is enough; arm64 needs the exchange.
 */
#ifndef KYMO_RING_BPF_H
#define KYMO_RING_BPF_H

#include "bpf/task.bpf.h"

const volatile __u32 ring_slices = 1; /* a CPU; a power of two */

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* CPUs */
    __type(key, u32);
    __type(value, struct kymo_ring_ctl);
} ring_ctl SEC(".maps");

struct slice {
    char bytes[KYMO_SLICE_BYTES + KYMO_SLACK_BYTES];
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1); /* CPUs * ring_slices */
    __type(key, u32);
    __type(value, struct slice);
} ring_data SEC(".maps");

static __always_inline struct kymo_ring_ctl *ring_of(u32 cpu)
{
    return bpf_map_lookup_elem(&ring_ctl, &cpu);
}

/* Where the next record goes: at least KYMO_SLACK_BYTES of room, or NULL when the ring is full. */
static __always_inline void *ring_room(struct kymo_ring_ctl *c, u32 cpu)
{
    const u64 head = c->head;
    const u64 size = (u64)ring_slices << KYMO_SLICE_BITS;
    const u32 key = cpu * ring_slices + ((u32)(head >> KYMO_SLICE_BITS) & (ring_slices - 1));
    struct slice *s;

    if (head - *(volatile u64 *)&c->tail > size - KYMO_SLACK_BYTES)
        return 0;
    s = bpf_map_lookup_elem(&ring_data, &key);
    if (!s)
        return 0;
    return s->bytes + ((u32)head & (KYMO_SLICE_BYTES - 8));
}

static __always_inline void ring_commit(struct kymo_ring_ctl *c, u32 bytes)
{
#if defined(__TARGET_ARCH_arm64)
    __sync_lock_test_and_set(&c->head, c->head + bytes);
#else
    const u64 head = c->head + bytes;
    asm volatile("" ::: "memory");
    *(volatile u64 *)&c->head = head;
#endif
}

#endif
