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

/* In .bss rather than a map of its own: reached without a lookup, and mapped by both sides too. */
struct kymo_ring_ctl ring_ctl[KYMO_CPUS_MAX] __attribute__((aligned(256)));

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
    /* A mask and no branch: the compiler may compute the address before it looks at the bound, which
     * verifiers before 6.2 do not follow. More CPUs are refused when a recording begins. */
    return &ring_ctl[cpu & (KYMO_CPUS_MAX - 1)];
}

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define RING_BYTES ((u64)ring_slices << KYMO_SLICE_BITS)

static __always_inline u64 ring_used(struct kymo_ring_ctl *c)
{
    return c->head - *(volatile u64 *)&c->tail;
}

/* Where the head points to: KYMO_SLACK_BYTES lie behind it, and are free if the ring has room. */
static __always_inline void *ring_head(struct kymo_ring_ctl *c, u32 cpu)
{
    const u64 head = c->head;
    const u32 key = cpu * ring_slices + ((u32)(head >> KYMO_SLICE_BITS) & (ring_slices - 1));
    struct slice *s = bpf_map_lookup_elem(&ring_data, &key);
    u32 at = (u32)head & (KYMO_SLICE_BYTES - 8);

    if (!s)
        return 0;
    asm volatile("" : "+r"(at)); /* or it is added before s is known to be there */
    return s->bytes + (at & (KYMO_SLICE_BYTES - 8));
}

/* Where the next record goes: at least KYMO_SLACK_BYTES of room, or NULL when the ring is full. */
static __always_inline void *ring_room(struct kymo_ring_ctl *c, u32 cpu)
{
    return ring_used(c) > RING_BYTES - KYMO_SLACK_BYTES ? 0 : ring_head(c, cpu);
}

/*
 * A ring that fills is shared: beyond half, each cgroup (each process, where none are used) gets an eighth
 * of the ring until the recorder has taken half a ring more. So a flood drops its own calls, and
 * its neighbours keep theirs.
 */
struct quota {
    u64 epoch, bytes;
};
#define QUOTA_CLASSES 256u
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, QUOTA_CLASSES);
    __type(key, u32);
    __type(value, struct quota);
} quotas SEC(".maps");

static __noinline bool over_quota(u64 epoch, u64 limit)
{
    struct task_struct *t = (struct task_struct *)bpf_get_current_task();
    u64 id = cgroup_id_of(t);
    struct quota *q;
    u32 class;

    if (id == CGROUP_ROOT_ID)
        id = bpf_get_current_pid_tgid() >> 32 << 32;
    class = (u32)(id * 0x9e3779b97f4a7c15ull >> 56) & (QUOTA_CLASSES - 1);
    q = bpf_map_lookup_elem(&quotas, &class);
    if (!q)
        return false;
    if (q->epoch != epoch) {
        q->epoch = epoch;
        q->bytes = 0;
    }
    if (q->bytes > limit)
        return true;
    q->bytes += 64; /* about a record */
    return false;
}

/* Room for a call; NULL when it is dropped, and counted why. */
static __always_inline void *ring_room_for_call(struct kymo_ring_ctl *c, u32 cpu)
{
    void *room;

    if (unlikely(ring_used(c) > RING_BYTES / 2)) {
        if (over_quota(c->tail / (RING_BYTES / 2), RING_BYTES / 8)) {
            c->dropped_quota++;
            return 0;
        }
        room = ring_room(c, cpu);
    } else {
        room = ring_head(c, cpu);
    }
    if (unlikely(!room))
        c->dropped_ring++;
    return room;
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
