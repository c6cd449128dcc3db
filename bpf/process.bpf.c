/* SPDX-License-Identifier: GPL-2.0-only
 *
 * process.bpf.c: births, execs and deaths of processes, on a ring of their own so that a flood of
 * system calls cannot starve them; and the upkeep of the slots, whose answers these events undo.
 */
#include "bpf/task.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4 << 20);
} process_ring SEC(".maps");

/* Too large for the stack. Tracepoints of this file run with preemption off and never nest. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct kymo_event_process);
} scratch SEC(".maps");

struct process_counts {
    u64 seen, stored, filtered, dropped_ring;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct process_counts);
} process_counts SEC(".maps");

static void *only(void *map)
{
    const u32 zero = 0;
    return bpf_map_lookup_elem(map, &zero);
}

static void send(struct kymo_event_process *e, u32 text_bytes)
{
    struct process_counts *n = only(&process_counts);
    u64 bytes = KYMO_EVENT_PROCESS_FIXED + text_bytes;

    if (!n || bytes > sizeof(*e))
        return;
    e->task.head.bytes = bytes;
    if (bpf_ringbuf_output(&process_ring, e, bytes, BPF_RB_NO_WAKEUP))
        n->dropped_ring++;
    else
        n->stored++;
}

/* Fill the common part; NULL when the task is not to be recorded. */
static struct kymo_event_process *begin(struct task_struct *t, u32 choice, u8 kind)
{
    struct process_counts *n = only(&process_counts);
    struct kymo_event_process *e = only(&scratch);

    if (!n || !e)
        return 0;
    n->seen++;
    task_fill(&e->task, t);
    if (task_judge(&e->task, t, choice) == KYMO_SLOT_REJECTED) {
        n->filtered++;
        return 0;
    }
    e->task.head.kind = kind;
    e->task.head.n_args = 0;
    e->task.head.ts_ns = bpf_ktime_get_ns();
    e->task.entity = 0;
    e->code = 0;
    e->exe_bytes = 0;
    e->argv_bytes = 0;
    return e;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
    struct kymo_slot *mine = slot_of(parent->pid), *its = slot_of(child->pid);
    const u32 member = mine ? mine->choice & KYMO_SLOT_MEMBER : 0;
    struct kymo_event_process *e;

    if (its) {
        its->entered_ns = 0;
        its->choice = member;
    }
    e = begin(child, member, KYMO_EVENT_FORK);
    if (e)
        send(e, 0);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *t, int old_pid, struct linux_binprm *bprm)
{
    struct kymo_slot *now = slot_of(t->pid), *old = slot_of((u32)old_pid);
    const u32 member = old ? old->choice & KYMO_SLOT_MEMBER : 0;
    unsigned long start, n;
    struct kymo_event_process *e;
    long exe;

    if (old && old_pid != t->pid) {
        if (now)
            now->entered_ns = old->entered_ns;
        old->entered_ns = 0;
        old->choice = 0;
    }
    if (now)
        now->choice = member;
    e = begin(t, member, KYMO_EVENT_EXEC);
    if (!e)
        return 0;
    exe = bpf_probe_read_kernel_str(e->text, KYMO_EXE_MAX, BPF_CORE_READ(bprm, filename));
    exe = exe > 0 ? (exe - 1) & (KYMO_EXE_MAX - 1) : 0;
    start = BPF_CORE_READ(t, mm, arg_start);
    n = BPF_CORE_READ(t, mm, arg_end) - start;
    if (n > KYMO_ARGV_MAX)
        n = KYMO_ARGV_MAX;
    e->exe_bytes = exe;
    if (!bpf_probe_read_user(e->text + exe, n, (const void *)start))
        e->argv_bytes = n;
    send(e, exe + e->argv_bytes);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *t)
{
    struct kymo_slot *s = slot_of(t->pid);
    const u32 choice = s ? s->choice : 0, entity = s ? s->entity : 0;
    struct kymo_event_process *e;

    if (s) {
        s->entered_ns = 0;
        s->choice = 0;
        s->entity = 0;
    }
    e = begin(t, choice, KYMO_EVENT_EXIT);
    if (e) {
        e->task.entity = entity;
        e->code = t->exit_code;
        send(e, 0);
    }
    return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(task_rename, struct task_struct *t)
{
    struct kymo_slot *s = slot_of(t->pid);

    if (s)
        s->choice &= KYMO_SLOT_MEMBER;
    return 0;
}

/* An awaited one may be there now: who waits looks when this has changed. */
SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(cgroup_made)
{
    struct kymo_live *l = live_now();

    if (l)
        __sync_fetch_and_add(&l->cgroups_made, 1);
    return 0;
}

/* The tasks that exist when the capture begins, as struct kymo_event_task after another. */
SEC("iter/task")
int snapshot(struct bpf_iter__task *ctx)
{
    struct task_struct *t = ctx->task;
    struct kymo_event_task e = {};
    struct kymo_slot *s;

    if (!t)
        return 0;
    task_fill(&e, t);
    e.head.bytes = sizeof(e);
    e.head.kind = KYMO_EVENT_TASK;
    e.head.ts_ns = bpf_ktime_get_ns();
    s = slot_of(e.head.tid);
    if (task_judge(&e, t, s ? s->choice : 0) != KYMO_SLOT_REJECTED)
        bpf_seq_write(ctx->meta->seq, &e, sizeof(e));
    return 0;
}
