/* SPDX-License-Identifier: GPL-2.0-only
 *
 * known.bpf.h: whose call it is, without asking the kernel, which on a host with mitigations costs as much as
 * all the rest of an entry.
 *
 * A thread has one kernel stack for as long as it lives, and its registers are saved at the top of it. So each
 * CPU remembers whose the stack is that it saw last. A stack gets another owner, and a thread another number
 * (the one that execs takes its leader's), only behind an exit or an exec: each of those makes all answers
 * stale.
 *
 * These maps are not shared with the recorder: a task's address that it could change would let it read memory.
 */
#ifndef KYMO_KNOWN_BPF_H
#define KYMO_KNOWN_BPF_H

#include "bpf/task.bpf.h"

/*
 * The kernel's bpf_rdonly_cast(address, type), which came with 6.2: follow this address as that type, and read zeroes
 * where it leads nowhere. Whoever loads the programs puts its number in place of ours (session.c) and says
 * that it is there. Declared as an extern it would be looked for in all modules, too, which takes more rights than
 * the rest.
 */
const volatile bool has_cast;
static void *(*cast)(const void *, __u32) = (void *)KYMO_CALL_CAST;

/* Read in two ways: through pointers that the kernel's own type information makes safe to follow, and, where a
 * program has none such, by copies. */
#if defined(__TARGET_ARCH_x86)
#define COMPAT_WORD thread_info.status
#define COMPAT_MASK 2u /* TS_COMPAT */
#else
#define COMPAT_WORD thread_info.flags
#define COMPAT_MASK (1ul << 22) /* TIF_32BIT */
#endif

struct known {
    u64 regs; /* address of the saved registers; 0: none */
    u64 task; /* address of its struct task_struct */
    u64 ends; /* how many exits and execs there had been */
    u32 tid;
    u32 compat; /* was a 32-bit call entered, when the thread was last asked for */
    u32 pad[8]; /* a cache line each */
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1); /* CPUs */
    __type(key, u32);
    __type(value, struct known);
} known SEC(".maps");

/*
 * The thread whose registers these are, if it is known here, and whether the call that it is in is a 32-bit one.
 * Without the cast the kernel is asked at every entry, and only an exit finds its thread known.
 */
static __always_inline bool is_known(const void *regs, u32 cpu, bool leaves, u32 *tid,
                                     bool *compat)
{
    const u32 zero = 0;
    struct known *k;
    struct task_struct *t;
    u64 *n;

    if (!has_cast && !leaves)
        return false;
    k = bpf_map_lookup_elem(&known, &cpu);
    n = bpf_map_lookup_elem(&ends, &zero);
    if (!k || !n || k->regs != (u64)regs || k->ends != *n)
        return false;
    *tid = k->tid;
    *compat = k->compat;
    if (!has_cast)
        return true;
    t = cast((void *)k->task, bpf_core_type_id_kernel(struct task_struct));
    *compat = t->COMPAT_WORD & COMPAT_MASK;
    return true;
}

/* Remember the current thread. */
static __always_inline void now_known(const void *regs, u32 cpu, struct task_struct *t)
{
    const u32 zero = 0;
    struct known *k = bpf_map_lookup_elem(&known, &cpu);
    u64 *n = bpf_map_lookup_elem(&ends, &zero);

    if (!k || !n)
        return;
    k->regs = (u64)regs;
    k->task = (u64)t;
    k->ends = *n;
    k->tid = t->pid;
    k->compat = t->COMPAT_WORD & COMPAT_MASK;
}

#endif
