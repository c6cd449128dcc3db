/* SPDX-License-Identifier: GPL-2.0-only
 *
 * syscall.bpf.c: one record a system call, written at its exit; or one count more.
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
#include "bpf/cells.bpf.h"
#include "bpf/known.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define NR_NONE 0xffffu

/* What each call's arguments are: [0] of the native table, [1] of the 32-bit one. */
const volatile __u32 call_info[2][KYMO_CALLS_MAX];
/* For numbers beyond the table. */
const volatile __u32 call_info_unknown;

/* From schema.h, which BPF does not include. */
enum { CALL_AT_ENTRY = 1, CALL_CHILD = 2, CALL_UNREAD = 8, CALL_EXECED = 32, CALL_COMPAT = 64 };

#if defined(__TARGET_ARCH_x86)
#define CALL_NUMBER orig_ax
#else
#define CALL_NUMBER syscallno
#endif

static __always_inline bool is_compat(struct task_struct *t)
{
    return BPF_CORE_READ(t, COMPAT_WORD) & COMPAT_MASK;
}

static __always_inline u32 call_number(struct pt_regs *regs)
{
    return (u32)BPF_CORE_READ(regs, CALL_NUMBER);
}

/* The first n arguments, and perhaps more, of a native call. */
static __always_inline void call_args_direct(struct pt_regs *regs, u32 n, u64 arg[6])
{
#if defined(__TARGET_ARCH_x86)
    arg[0] = regs->di;
    arg[1] = regs->si;
    arg[2] = regs->dx;
    if (n <= 3)
        return;
    arg[3] = regs->r10;
    arg[4] = regs->r8;
    arg[5] = regs->r9;
#else
    arg[0] = regs->orig_x0; /* x0 holds the result by now */
    arg[1] = regs->regs[1];
    arg[2] = regs->regs[2];
    if (n <= 3)
        return;
    arg[3] = regs->regs[3];
    arg[4] = regs->regs[4];
    arg[5] = regs->regs[5];
#endif
}

static __always_inline void call_args(struct pt_regs *regs, bool compat, u64 arg[6])
{
#if defined(__TARGET_ARCH_x86)
    if (compat) {
        arg[0] = (u32)BPF_CORE_READ(regs, bx);
        arg[1] = (u32)BPF_CORE_READ(regs, cx);
        arg[2] = (u32)BPF_CORE_READ(regs, dx);
        arg[3] = (u32)BPF_CORE_READ(regs, si);
        arg[4] = (u32)BPF_CORE_READ(regs, di);
        arg[5] = (u32)BPF_CORE_READ(regs, bp);
        return;
    }
    arg[0] = BPF_CORE_READ(regs, di);
    arg[1] = BPF_CORE_READ(regs, si);
    arg[2] = BPF_CORE_READ(regs, dx);
    arg[3] = BPF_CORE_READ(regs, r10);
    arg[4] = BPF_CORE_READ(regs, r8);
    arg[5] = BPF_CORE_READ(regs, r9);
#else
    const u64 mask = compat ? 0xffffffffu : ~0ull;
    arg[0] = BPF_CORE_READ(regs, orig_x0) & mask;
    arg[1] = BPF_CORE_READ(regs, regs[1]) & mask;
    arg[2] = BPF_CORE_READ(regs, regs[2]) & mask;
    arg[3] = BPF_CORE_READ(regs, regs[3]) & mask;
    arg[4] = BPF_CORE_READ(regs, regs[4]) & mask;
    arg[5] = BPF_CORE_READ(regs, regs[5]) & mask;
#endif
}

/* Is this number a call that does not return, in the native table, or in the 32-bit one? */
static __always_inline bool is_last(u32 nr)
{
#if defined(__TARGET_ARCH_x86)
    return nr == 60 || nr == 231 || nr == 15; /* exit, exit_group, rt_sigreturn */
#else
    return nr == 93 || nr == 94 || nr == 139;
#endif
}

static __always_inline bool is_last_compat(u32 nr)
{
#if defined(__TARGET_ARCH_x86)
    return nr == 1 || nr == 252 || nr == 173 || nr == 119; /* and sigreturn */
#else
    return nr == 1 || nr == 248 || nr == 173 || nr == 119;
#endif
}

/* Within the table, said so that the verifier believes it. */
static __always_inline u32 within_table(u32 nr)
{
    asm volatile("" : "+r"(nr));
    return nr & (KYMO_CALLS_MAX - 1);
}

static __always_inline u32 info_of(u32 nr, bool compat)
{
    if (nr >= KYMO_CALLS_MAX)
        return call_info_unknown;
    return call_info[compat ? 1 : 0][within_table(nr)];
}

/* The number that a process's cells are found by: its leader's, or a fresh one. */
static __always_inline u32 entity_of(struct kymo_slot *s, const struct kymo_event_task *e,
                                     struct kymo_ring_ctl *c, u32 cpu)
{
    struct kymo_slot *leader = e->pid == e->head.tid ? 0 : slot_of(e->pid);
    const u32 current = KYMO_SLOT_COUNTED | KYMO_SLOT_FULL;

    if (leader && leader->entity && (leader->choice & current) &&
        (leader->choice & ~(KYMO_GENERATION - 1)) == c->generation)
        return leader->entity;
    c->entities++;
    return cpu << 20 | ((u32)c->entities & 0xfffff);
}

/* What announce() fills: not on the stack, of which 6.1 gives all nested functions 512 bytes together. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct kymo_event_task);
} announced SEC(".maps");

/*
 * The slow path, once a task: judge it by the filters, and if it is chosen write its TASK record.
 * Returns how it is recorded; 0 without room for the record: then the call is lost too, because
 * nobody could say whose it is; the next one tries again.
 */
static __noinline u32 announce(struct kymo_slot *s, u32 cpu)
{
    struct task_struct *t = (struct task_struct *)bpf_get_current_task();
    struct kymo_ring_ctl *c = ring_of(cpu);
    const u32 zero = 0;
    struct kymo_event_task *e = bpf_map_lookup_elem(&announced, &zero);
    struct kymo_event_task *to;
    u32 choice, kept;

    if (!c || !s || !e)
        return KYMO_SLOT_REJECTED;
    __builtin_memset(e, 0, sizeof(*e));
    kept = c->generation | (s->choice & KYMO_SLOT_MEMBER);
    task_fill(e, t);
    choice = task_judge(e, t, s->choice);
    if (choice == KYMO_SLOT_REJECTED) {
        s->choice = kept | choice;
        return choice;
    }
    if (c->busy)
        return 0;
    c->busy = 1;
    to = ring_room(c, cpu);
    if (to) {
        e->entity = entity_of(s, e, c, cpu);
        e->choice = choice;
        e->head.bytes = sizeof(*e);
        e->head.kind = KYMO_EVENT_TASK;
        e->head.n_args = 0;
        e->head.ts_ns = bpf_ktime_get_ns();
        *to = *e;
        c->tasks++;
        ring_commit(c, sizeof(*e));
        s->entity = e->entity;
        s->choice = kept | choice;
    }
    c->busy = 0;
    return to ? choice : 0;
}

/*
 * A path, with its NUL; its length, or less than 1. By way of the stack: where a copy from user space may go is
 * checked, and for the ring, which lies in mapped pages, that check takes longer than the path. And on word by
 * word: a helper takes longer than that, too.
 */
#define SHORT_PATH 96
static __always_inline long put_path(char *to, const void *from)
{
    u64 word[SHORT_PATH / 8];
    long n = bpf_probe_read_user_str(word, sizeof(word), from);

    if (n <= 0)
        return n;
    if (n >= SHORT_PATH)
        return bpf_probe_read_user_str(to, KYMO_STR_MAX, from);
#pragma unroll
    for (u32 i = 0; i < SHORT_PATH / 8; i++) {
        ((u64 *)to)[i] = word[i];
        if (n <= 8 * (i + 1))
            break;
    }
    return n;
}

/* The same for the only string of most calls that have one. Returns the record's length; 0: no such call. */
static __noinline u32 put_only_path(struct kymo_event_call *e, u32 info)
{
    const u32 at = KYMO_EVENT_CALL_FIXED + 8 * KYMO_INFO_N_ARGS(info),
              which = KYMO_INFO_PATH(info);
    long n;

    if (!which || KYMO_INFO_PATH2(info) || KYMO_INFO_ADDR(info))
        return 0;
    n = put_path((char *)e + at, (const void *)e->arg[(which - 1) & 3]);
    if (n <= 0 || n > KYMO_STR_MAX)
        return 0;
    e->path_bytes = n - 1;
    return at + (((u32)n + 7) & ~7u);
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
        long n = put_path(base + at, (const void *)arg[(path - 1) & 7]);
        if (n > 0 && n <= KYMO_STR_MAX) {
            e->path_bytes = n - 1;
            at += ((u32)n + 7) & ~7u;
        } else {
            e->flags |= CALL_UNREAD;
        }
    }
    if (path2 && arg[(path2 - 1) & 7] && at <= KYMO_EVENT_CALL_FIXED + 48 + KYMO_STR_MAX) {
        long n = put_path(base + at, (const void *)arg[(path2 - 1) & 7]);
        if (n > 0 && n <= KYMO_STR_MAX) {
            e->path2_bytes = n - 1;
            at += ((u32)n + 7) & ~7u;
        } else {
            e->flags |= CALL_UNREAD;
        }
    }
    return at;
}

/* One row. typed: the registers can be read directly. */
static __always_inline void record(struct pt_regs *regs, struct kymo_ring_ctl *c, u32 cpu,
                                   bool typed, u64 now, const struct call *call)
{
    const u32 n_args = KYMO_INFO_N_ARGS(call->info);
    u32 bytes = KYMO_EVENT_CALL_FIXED + 8 * n_args;
    struct kymo_event_call *e;
    u64 *word;

    if (unlikely(c->busy)) {
        c->dropped_nested++;
        return;
    }
    c->busy = 1;
    e = ring_room_for_call(c, cpu);
    if (unlikely(!e)) {
        c->busy = 0;
        return;
    }
    /* Word by word, as event.h draws them: the compiler would store byte by byte. */
    word = (u64 *)e;
    word[0] = bytes | KYMO_EVENT_CALL << 16 | n_args << 24 | (u64)call->tid << 32;
    word[1] = now;
    word[2] = call->dur_ns;
    word[3] = call->ret;
    word[4] = call->nr | (u32)call->flags << 16;
    if (typed && !(call->flags & CALL_COMPAT))
        call_args_direct(regs, n_args, e->arg);
    else
        call_args(regs, call->flags & CALL_COMPAT, e->arg);
    if (call->info & KYMO_INFO_STRINGS) {
        bytes = put_only_path(e, call->info);
        if (!bytes)
            bytes = put_strings(e, call->info);
        e->head.bytes = bytes;
        if (e->flags & CALL_UNREAD)
            c->unread++;
    }
    c->stored++;
    ring_commit(c, bytes);
    c->busy = 0;
}

/* Any call: its task may be new, left out or counted, and the call itself odd. */
static __always_inline void take(struct pt_regs *regs, struct kymo_ring_ctl *c,
                                 struct kymo_slot *s, u32 cpu, bool typed, struct call *call)
{
    u32 choice = s->choice & ~(u32)KYMO_SLOT_MEMBER;

    if (!(call->info & KYMO_INFO_WANTED)) {
        c->filtered++;
        return;
    }
    if ((choice & ~(KYMO_GENERATION - 1)) != c->generation || choice == c->generation)
        choice = announce(s, cpu);
    else
        choice &= KYMO_GENERATION - 1;
    if (choice == KYMO_SLOT_REJECTED) {
        c->filtered++;
    } else if (!choice) {
        if (c->busy)
            c->dropped_nested++;
        else
            c->dropped_ring++;
    } else if (choice == KYMO_SLOT_FULL && c->ceiling >= KYMO_LEVEL_FULL) {
        const u64 now = bpf_ktime_get_ns();
        if (s->entered_ns)
            call->dur_ns = now - s->entered_ns;
        record(regs, c, cpu, typed, now, call);
    } else if (c->ceiling <= KYMO_LEVEL_SAMPLED && !one_in(c, KYMO_SAMPLE_EVERY)) {
        c->sampled++;
    } else {
        if (s->entered_ns)
            call->dur_ns = bpf_ktime_get_ns() - s->entered_ns;
        count(c, cpu, s->entity, call->flags & CALL_COMPAT, call);
    }
    s->entered_ns = 0;
}

/* A call that does not return: its row is made now. */
static __noinline void take_at_entry(struct pt_regs *regs, u32 nr, u32 cpu, bool compat)
{
    struct call call = {.dur_ns = KYMO_DUR_UNKNOWN,
                        .nr = nr,
                        .tid = (u32)bpf_get_current_pid_tgid(),
                        .flags = CALL_AT_ENTRY | (compat ? CALL_COMPAT : 0)};
    struct kymo_ring_ctl *c = ring_of(cpu);
    struct kymo_slot *s = slot_of(call.tid);

    if (!c)
        return;
    c->seen++;
    if (!s) {
        c->filtered++;
        return;
    }
    s->entered_ns = 0;
    call.info = info_of(nr, compat);
    take(regs, c, s, cpu, false, &call);
}

/* By the number, so that what only counts need not ask for more; the table has the last word. */
static __always_inline bool may_be_last(u32 nr)
{
    return is_last(nr) || is_last_compat(nr);
}

/* Two clock reads are most of what we cost: who only counts takes them of some calls. */
static __always_inline bool is_timed(struct kymo_ring_ctl *c)
{
    return likely(c->ceiling == KYMO_LEVEL_FULL) || one_in(c, KYMO_TIME_EVERY);
}

/* Is the task known to be left out, by the answers that hold now? */
static __always_inline bool is_rejected(const struct kymo_ring_ctl *c,
                                        const struct kymo_slot *s)
{
    return (s->choice & ~(u32)KYMO_SLOT_MEMBER) == (c->generation | KYMO_SLOT_REJECTED);
}

/* The same where some tasks are but counted, or left out. */
static __always_inline bool is_worth_timing(struct kymo_ring_ctl *c, const struct kymo_slot *s)
{
    if (unlikely(is_rejected(c, s)))
        return false;
    return !whom.counts || !(s->choice & KYMO_SLOT_COUNTED) || c->ceiling != KYMO_LEVEL_FULL ||
           one_in(c, KYMO_TIME_EVERY);
}

static __always_inline void enter(struct pt_regs *regs, struct kymo_ring_ctl *c, u32 cpu,
                                  u32 nr, u32 tid, bool compat, bool timed)
{
    struct kymo_slot *s = slot_of(tid);

    if (!s)
        return;
    if (unlikely(compat ? is_last_compat(nr) : is_last(nr))) {
        take_at_entry(regs, nr, cpu, compat);
        return;
    }
    if (timed && is_worth_timing(c, s))
        s->entered_ns = bpf_ktime_get_ns();
}

/* The entry of a thread that this CPU did not see last, of a 32-bit call, or of one that does not return. */
static __noinline void enter_otherwise(struct pt_regs *regs, u32 cpu, u32 nr, bool timed)
{
    struct task_struct *t = bpf_get_current_task_btf();
    struct kymo_ring_ctl *c = ring_of(cpu);

    now_known(regs, cpu, t);
    if (c)
        enter(regs, c, cpu, nr, t->pid, t->COMPAT_WORD & COMPAT_MASK, timed);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *regs, long id)
{
    const u32 cpu = bpf_get_smp_processor_id();
    struct kymo_ring_ctl *c = ring_of(cpu);
    struct kymo_slot *s;
    bool timed, compat;
    u32 tid;

    if (!c || unlikely(c->ceiling == KYMO_LEVEL_OFF))
        return 0;
    timed = is_timed(c);
    if (!timed && !may_be_last((u32)id))
        return 0;
    if (is_known(regs, cpu, false, &tid, &compat) && !compat && !is_last((u32)id) &&
        (s = slot_of(tid))) {
        if (timed && is_worth_timing(c, s))
            s->entered_ns = bpf_ktime_get_ns();
        return 0;
    }
    enter_otherwise(regs, cpu, (u32)id, timed);
    return 0;
}

/* The exit of a call that is not plain; the odd cases are told apart here. */
static __always_inline void exit_any(struct pt_regs *regs, u32 cpu, long ret, bool typed,
                                     u32 nr, bool compat)
{
    struct call call = {.dur_ns = KYMO_DUR_UNKNOWN,
                        .ret = ret,
                        .tid = (u32)bpf_get_current_pid_tgid(),
                        .nr = nr};
    struct kymo_ring_ctl *c = ring_of(cpu);
    struct kymo_slot *s = slot_of(call.tid);

    if (!c || c->ceiling == KYMO_LEVEL_OFF || call.nr == ~0u)
        return; /* the row of an rt_sigreturn was made at entry */
    c->seen++;
    if (!s) {
        c->filtered++; /* pid_max was raised after the start: no slot for this thread */
        return;
    }
    call.info = info_of(call.nr, compat);
    if (call.nr > NR_NONE)
        call.nr = NR_NONE;
    if (compat)
        call.flags = CALL_COMPAT;
    if (!ret && (call.info & KYMO_INFO_FORKS) && !s->entered_ns)
        call.flags |= CALL_CHILD;
    if (!ret && (call.info & KYMO_INFO_CREDS))
        s->choice &= KYMO_SLOT_MEMBER; /* another user: describe and judge the thread again */
    if (!ret && (call.info & KYMO_INFO_EXECS)) {
        call.flags |= CALL_EXECED;
        call.info &= ~(7u | KYMO_INFO_STRINGS);
    }
    take(regs, c, s, cpu, typed, &call);
}

static __noinline void exit_otherwise(struct pt_regs *regs, u32 cpu, long ret)
{
    struct task_struct *t = bpf_get_current_task_btf();

    now_known(regs, cpu, t);
    exit_any(regs, cpu, ret, true, (u32)regs->CALL_NUMBER, t->COMPAT_WORD & COMPAT_MASK);
}

#define INFO_ODD (KYMO_INFO_FORKS | KYMO_INFO_EXECS | KYMO_INFO_CREDS)

/* A call of no odd kind, native and of a known task. */
static __always_inline bool is_plain(const struct call *call, bool compat)
{
    return !compat && (call->info & (INFO_ODD | KYMO_INFO_WANTED)) == KYMO_INFO_WANTED;
}

/* The exit of a plain call that is but counted; false: it is another. */
static __always_inline bool counted(struct kymo_ring_ctl *c, struct kymo_slot *s, u32 cpu,
                                    struct call *call)
{
    const u32 choice = s->choice & ~(u32)KYMO_SLOT_MEMBER;

    if (choice != (c->generation | KYMO_SLOT_COUNTED) &&
        (choice != (c->generation | KYMO_SLOT_FULL) || c->ceiling != KYMO_LEVEL_COUNTS))
        return false;
    c->seen++;
    if (s->entered_ns) {
        call->dur_ns = bpf_ktime_get_ns() - s->entered_ns;
        s->entered_ns = 0;
    }
    count(c, cpu, s->entity, false, call);
    return true;
}

/*
 * Calls of tasks that are known, native, and of no odd kind are plain. Nearly all are, so their way is short.
 */
SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
    const u32 cpu = bpf_get_smp_processor_id();
    struct kymo_ring_ctl *c = ring_of(cpu);
    struct call call = {.ret = ret, .nr = (u32)regs->CALL_NUMBER, .dur_ns = KYMO_DUR_UNKNOWN};
    struct kymo_slot *s;
    u64 now, entered;
    bool compat;

    if (!c || c->ceiling == KYMO_LEVEL_OFF || call.nr >= KYMO_CALLS_MAX)
        goto otherwise;
    if (!is_known(regs, cpu, true, &call.tid, &compat))
        goto otherwise;
    call.info = call_info[0][within_table(call.nr)];
    s = slot_of(call.tid);
    if (!s || !is_plain(&call, compat))
        goto otherwise;
    entered = s->entered_ns;
    if (c->ceiling == KYMO_LEVEL_FULL && entered &&
        (s->choice & ~(u32)KYMO_SLOT_MEMBER) == (c->generation | KYMO_SLOT_FULL)) {
        c->seen++;
        now = bpf_ktime_get_ns();
        s->entered_ns = 0;
        call.dur_ns = now - entered;
        record(regs, c, cpu, true, now, &call);
        return 0;
    }
    if (is_rejected(c, s)) {
        c->seen++;
        c->filtered++;
        s->entered_ns = 0;
        return 0;
    }
    if ((c->ceiling == KYMO_LEVEL_COUNTS || whom.counts) && counted(c, s, cpu, &call))
        return 0;
otherwise:
    exit_otherwise(regs, cpu, ret);
    return 0;
}

/* The same for kernels whose type information comes from a file: none of their pointers can be followed. */
SEC("raw_tp/sys_enter")
int sys_enter_raw(struct bpf_raw_tracepoint_args *ctx)
{
    const u32 cpu = bpf_get_smp_processor_id(), nr = (u32)ctx->args[1];
    struct kymo_ring_ctl *c = ring_of(cpu);
    bool timed;

    if (!c || c->ceiling == KYMO_LEVEL_OFF)
        return 0;
    timed = is_timed(c);
    if (timed || may_be_last(nr))
        enter((struct pt_regs *)ctx->args[0], c, cpu, nr, (u32)bpf_get_current_pid_tgid(),
              is_compat((struct task_struct *)bpf_get_current_task()), timed);
    return 0;
}

SEC("raw_tp/sys_exit")
int sys_exit_raw(struct bpf_raw_tracepoint_args *ctx)
{
    struct pt_regs *regs = (struct pt_regs *)ctx->args[0];

    exit_any(regs, bpf_get_smp_processor_id(), (long)ctx->args[1], false, call_number(regs),
             is_compat((struct task_struct *)bpf_get_current_task()));
    return 0;
}

/* Moves are rare and may take many threads along: let every task be judged again. */
SEC("raw_tp/cgroup_attach_task")
int cgroup_moved(void *ctx)
{
    for (u32 cpu = 0; cpu < KYMO_CPUS_MAX; cpu++)
        __sync_fetch_and_add(&ring_ctl[cpu].generation, KYMO_GENERATION);
    return 0;
}
