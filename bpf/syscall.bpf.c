/* SPDX-License-Identifier: GPL-2.0-only
 *
 * syscall.bpf.c: one record a system call, written at its exit.
 *
 * Entry stores a time stamp in the thread's slot and nothing else; exit takes it, reads the
 * arguments from the registers that were saved at entry, and writes the record. Entries and exits
 * do not pair, and each odd case has its rule:
 *
 *   refused by seccomp, entered before we attached   exit with an empty slot: duration unknown
 *   the child of clone, fork, vfork                  exit without entry, result 0: flagged CHILD
 *   exit, exit_group, rt_sigreturn                   never exit (usefully): row made at entry
 *   successful exec                                  registers belong to the new image: no arguments
 */
#include "bpf/ring.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define NR_NONE 0xffffu

/* What each call's arguments are: [0] of the native table, [1] of the 32-bit one. */
const volatile __u32 call_info[2][KYMO_CALLS_MAX];
/* For numbers beyond the table. */
const volatile __u32 call_info_unknown;

/* From schema.h, which BPF does not include. */
enum { CALL_AT_ENTRY = 1, CALL_CHILD = 2, CALL_UNREAD = 8, CALL_EXECED = 32, CALL_COMPAT = 64 };

static __always_inline bool is_compat(struct task_struct *t)
{
#if defined(__TARGET_ARCH_x86)
    return t->thread_info.status & 2; /* TS_COMPAT */
#else
    return t->thread_info.flags & (1ul << 22); /* TIF_32BIT */
#endif
}

static __always_inline u32 call_number(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
    return (u32)regs->orig_ax;
#else
    return (u32)regs->syscallno;
#endif
}

static __always_inline void call_args(struct pt_regs *regs, bool compat, u64 arg[6])
{
#if defined(__TARGET_ARCH_x86)
    if (compat) {
        arg[0] = (u32)regs->bx;
        arg[1] = (u32)regs->cx;
        arg[2] = (u32)regs->dx;
        arg[3] = (u32)regs->si;
        arg[4] = (u32)regs->di;
        arg[5] = (u32)regs->bp;
        return;
    }
    arg[0] = regs->di;
    arg[1] = regs->si;
    arg[2] = regs->dx;
    arg[3] = regs->r10;
    arg[4] = regs->r8;
    arg[5] = regs->r9;
#else
    const u64 mask = compat ? 0xffffffffu : ~0ull;
    arg[0] = regs->orig_x0 & mask; /* x0 holds the result by now */
    arg[1] = regs->regs[1] & mask;
    arg[2] = regs->regs[2] & mask;
    arg[3] = regs->regs[3] & mask;
    arg[4] = regs->regs[4] & mask;
    arg[5] = regs->regs[5] & mask;
#endif
}

static __always_inline u32 info_of(u32 nr, bool compat)
{
    if (nr >= KYMO_CALLS_MAX)
        return call_info_unknown;
    return call_info[compat ? 1 : 0][nr];
}

enum choice { LEFT_OUT, CHOSEN, NO_ROOM };

/*
 * The slow path, once a task: judge it by the filters, and if it is chosen write its TASK record.
 * Without room for that the call is lost too, because nobody could say whose it is; the next one
 * tries again.
 */
static __noinline enum choice announce(struct kymo_slot *s, u32 cpu)
{
    struct task_struct *t = (struct task_struct *)bpf_get_current_task();
    const u64 now = generation_now();
    struct kymo_ring_ctl *c = ring_of(cpu);
    struct kymo_event_task e = {};
    struct kymo_event_task *to;

    if (!c)
        return LEFT_OUT;
    task_fill(&e, t);
    if (!task_chosen(&e, t, s->state)) {
        s->state = now | (s->state & KYMO_SLOT_MEMBER) | KYMO_SLOT_REJECTED;
        return LEFT_OUT;
    }
    if (c->busy)
        return NO_ROOM;
    c->busy = 1;
    to = ring_room(c, cpu);
    if (to) {
        e.head.bytes = sizeof(e);
        e.head.kind = KYMO_EVENT_TASK;
        e.head.n_args = 0;
        e.head.ts_ns = bpf_ktime_get_ns();
        *to = e;
        c->tasks++;
        ring_commit(c, sizeof(e));
        s->state = now | (s->state & KYMO_SLOT_MEMBER) | KYMO_SLOT_ANNOUNCED;
    }
    c->busy = 0;
    return to ? CHOSEN : NO_ROOM;
}

static __always_inline enum choice choose(struct kymo_slot *s, u32 cpu)
{
    const u64 state = s->state & ~(u64)KYMO_SLOT_MEMBER;
    const u64 now = generation_now();
    if (state == (now | KYMO_SLOT_ANNOUNCED))
        return CHOSEN;
    if (state == (now | KYMO_SLOT_REJECTED))
        return LEFT_OUT;
    return announce(s, cpu);
}

/* Is this call to be recorded? If not, it is counted under its reason. */
static __always_inline bool wanted(struct kymo_ring_ctl *c, struct kymo_slot *s, u32 cpu,
                                   u32 info)
{
    enum choice choice = LEFT_OUT;

    if (info & KYMO_INFO_WANTED)
        choice = choose(s, cpu);
    if (choice == CHOSEN)
        return true;
    if (choice == LEFT_OUT)
        c->filtered++;
    else if (c->busy)
        c->dropped_nested++;
    else
        c->dropped_ring++;
    return false;
}

/* Append the strings that the call's arguments point at; returns the record's length. */
static __noinline u32 put_strings(struct kymo_event_call *e, u32 info)
{
    const u32 n_args = KYMO_INFO_N_ARGS(info);
    u32 at = KYMO_EVENT_CALL_FIXED + 8 * n_args;
    u64 arg[8] = {e->arg[0], e->arg[1], e->arg[2], e->arg[3], e->arg[4], e->arg[5], 0, 0};
    const u32 path = KYMO_INFO_PATH(info), path2 = KYMO_INFO_PATH2(info),
              addr = KYMO_INFO_ADDR(info);
    char *base = (char *)e;

    if (addr) {
        const void *p = (const void *)arg[(addr - 1) & 7];
        u32 want = (u32)arg[KYMO_INFO_ADDRLEN(info)];
        if ((info & KYMO_INFO_LEN_POINTER) && e->ret < 0)
            return at; /* the kernel would have filled it in, and did not */
        if ((info & KYMO_INFO_LEN_POINTER) && p &&
            bpf_probe_read_user(&want, sizeof(want),
                                (const void *)arg[KYMO_INFO_ADDRLEN(info)]))
            e->flags |= CALL_UNREAD;
        if (want > KYMO_ADDR_MAX)
            want = KYMO_ADDR_MAX;
        if (!p || !want || (e->flags & CALL_UNREAD))
            return at;
        if (bpf_probe_read_user(base + at, want, p)) {
            e->flags |= CALL_UNREAD;
            return at;
        }
        e->has_addr = 1;
        e->path_bytes = want;
        return at + ((want + 7) & ~7u);
    }
    if (path && arg[(path - 1) & 7]) {
        long n =
            bpf_probe_read_user_str(base + at, KYMO_STR_MAX, (const void *)arg[(path - 1) & 7]);
        if (n > 0 && n <= KYMO_STR_MAX) {
            e->path_bytes = n - 1;
            at += ((u32)n + 7) & ~7u;
        } else {
            e->flags |= CALL_UNREAD;
        }
    }
    if (path2 && arg[(path2 - 1) & 7] && at <= KYMO_EVENT_CALL_FIXED + 48 + KYMO_STR_MAX) {
        long n = bpf_probe_read_user_str(base + at, KYMO_STR_MAX,
                                         (const void *)arg[(path2 - 1) & 7]);
        if (n > 0 && n <= KYMO_STR_MAX) {
            e->path2_bytes = n - 1;
            at += ((u32)n + 7) & ~7u;
        } else {
            e->flags |= CALL_UNREAD;
        }
    }
    return at;
}

struct call {
    u64 dur_ns;
    s64 ret;
    u32 nr;
    u32 info;
    u32 tid;
    u8 flags;
};

static __always_inline void record(struct pt_regs *regs, struct kymo_ring_ctl *c, u32 cpu,
                                   bool compat, u64 now, const struct call *call)
{
    struct kymo_event_call *e;
    u32 info = call->info, bytes;

    if (c->busy) {
        c->dropped_nested++;
        return;
    }
    c->busy = 1;
    e = ring_room(c, cpu);
    if (!e) {
        c->dropped_ring++;
        c->busy = 0;
        return;
    }
    if (call->flags & CALL_EXECED)
        info &= ~(7u | KYMO_INFO_STRINGS);
    e->head.kind = KYMO_EVENT_CALL;
    e->head.n_args = KYMO_INFO_N_ARGS(info);
    e->head.tid = call->tid;
    e->head.ts_ns = now;
    e->dur_ns = call->dur_ns;
    e->ret = call->ret;
    e->nr = call->nr < NR_NONE ? call->nr : NR_NONE;
    e->flags = call->flags | (compat ? CALL_COMPAT : 0);
    e->has_addr = 0;
    e->path_bytes = 0;
    e->path2_bytes = 0;
    call_args(regs, compat, e->arg);
    bytes = KYMO_EVENT_CALL_FIXED + 8 * KYMO_INFO_N_ARGS(info);
    if (info & KYMO_INFO_STRINGS) {
        bytes = put_strings(e, info);
        if (e->flags & CALL_UNREAD)
            c->unread++;
    }
    e->head.bytes = bytes;
    c->stored++;
    ring_commit(c, bytes);
    c->busy = 0;
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *regs, long id)
{
    const u32 tid = (u32)bpf_get_current_pid_tgid();
    struct kymo_slot *s = slot_of(tid);
    struct task_struct *t = bpf_get_current_task_btf();
    struct call call = {
        .dur_ns = KYMO_DUR_UNKNOWN, .nr = (u32)id, .tid = tid, .flags = CALL_AT_ENTRY};
    struct kymo_ring_ctl *c;
    bool compat;
    u32 cpu;

    if (!s)
        return 0;
    compat = is_compat(t);
    call.info = info_of((u32)id, compat);
    if (!(call.info & KYMO_INFO_AT_ENTRY)) {
        s->entered_ns = bpf_ktime_get_ns();
        return 0;
    }
    s->entered_ns = 0;
    cpu = bpf_get_smp_processor_id();
    c = ring_of(cpu);
    if (!c)
        return 0;
    c->seen++;
    if (!wanted(c, s, cpu, call.info))
        return 0;
    record(regs, c, cpu, compat, bpf_ktime_get_ns(), &call);
    return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
    const u64 now = bpf_ktime_get_ns();
    const u32 tid = (u32)bpf_get_current_pid_tgid();
    const u32 cpu = bpf_get_smp_processor_id();
    struct task_struct *t = bpf_get_current_task_btf();
    struct kymo_ring_ctl *c = ring_of(cpu);
    struct kymo_slot *s = slot_of(tid);
    struct call call = {.ret = ret, .tid = tid};
    bool compat;
    u64 entered;

    if (!c)
        return 0;
    call.nr = call_number(regs);
    if (call.nr == ~0u) /* rt_sigreturn: its row was made at entry */
        return 0;
    c->seen++;
    if (!s) {
        c->filtered++; /* pid_max was raised after the start: no slot for this thread */
        return 0;
    }
    entered = s->entered_ns;
    s->entered_ns = 0;
    compat = is_compat(t);
    call.info = info_of(call.nr, compat);
    if ((call.info & KYMO_INFO_CREDS) && !ret)
        s->state &= KYMO_SLOT_MEMBER; /* another user: describe and judge the thread again */
    if (!wanted(c, s, cpu, call.info))
        return 0;
    call.dur_ns = entered ? now - entered : KYMO_DUR_UNKNOWN;
    if (!entered && !ret && (call.info & KYMO_INFO_FORKS))
        call.flags = CALL_CHILD;
    if (!ret && (call.info & KYMO_INFO_EXECS))
        call.flags = CALL_EXECED;
    record(regs, c, cpu, compat, now, &call);
    return 0;
}
