/* SPDX-License-Identifier: GPL-2.0-only
 *
 * process.bpf.c: births, execs and deaths of processes, on a ring of their own so that a flood of
 * system calls cannot starve them; and the upkeep of the slots, whose answers these events undo.
 * All by copies: raw tracepoints need no type information of the kernel's own, and these are rare.
 */
#include "bpf/task.bpf.h"
#include "bpf/walk.bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4 << 20);
} process_ring SEC(".maps");

/* Too large for the stack. Tracepoints of this file run with preemption off and never nest; the
 * iterators, which can be preempted by them, have theirs, and run one at a time. */
struct scratch {
    struct kymo_event_process event;
    struct walk walk;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct scratch);
} scratch SEC(".maps"), iter_scratch SEC(".maps");

struct process_counts {
    u64 seen, stored, filtered, dropped_ring;
};
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct process_counts);
} process_counts SEC(".maps");

/* Processes whose last thread has left, so that two that leave at once do not both say so. */
struct ended {
    u64 start_ns;
    u32 pid, pad;
};
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, struct ended);
    __type(value, u32);
} ended SEC(".maps");

static __always_inline void *only(void *map)
{
    const u32 zero = 0;
    return bpf_map_lookup_elem(map, &zero);
}

static void send_bytes(void *e, u64 bytes)
{
    struct process_counts *n = only(&process_counts);

    if (!n)
        return;
    if (bpf_ringbuf_output(&process_ring, e, bytes, BPF_RB_NO_WAKEUP))
        n->dropped_ring++;
    else
        n->stored++;
}

static void send(struct kymo_event_process *e, u32 text_bytes)
{
    const u64 bytes = KYMO_EVENT_PROCESS_FIXED + text_bytes;

    if (bytes > sizeof(*e))
        return;
    e->task.head.bytes = bytes;
    send_bytes(e, bytes);
}

static void clear(struct kymo_event_process *e, u8 kind)
{
    e->task.head.kind = kind;
    e->task.head.n_args = 0;
    e->task.head.ts_ns = bpf_ktime_get_ns();
    e->task.entity = 0;
    __builtin_memset(&e->usage, 0, sizeof(e->usage));
    e->code = 0;
    e->exe_bytes = 0;
    e->argv_bytes = 0;
    e->cwd_bytes = 0;
    e->has_exe = 0;
    e->has_cwd = 0;
    e->pad = 0;
}

/* Fill the common part; NULL when the task is not to be recorded. */
static struct scratch *begin(struct task_struct *t, u32 choice, u8 kind)
{
    struct process_counts *n = only(&process_counts);
    struct scratch *s = only(&scratch);

    if (!n || !s)
        return 0;
    n->seen++;
    task_fill(&s->event.task, t);
    if (task_judge(&s->event.task, t, choice) == KYMO_SLOT_REJECTED) {
        n->filtered++;
        return 0;
    }
    clear(&s->event, kind);
    return s;
}

/* Append what was walked to the text; returns where it ends. */
static __noinline u32 put_walk(struct scratch *s, u32 at)
{
    u32 n = *(volatile u32 *)&s->walk.bytes;

    if (n > KYMO_WALK_MAX || at > KYMO_WALK_MAX + KYMO_ARGV_MAX)
        return at;
    bpf_probe_read_kernel(s->event.text + at, n, s->walk.text);
    return at + n;
}

static __noinline u32 put_exe(struct scratch *s, struct task_struct *t, u32 at)
{
    struct file *f = BPF_CORE_READ(t, mm, exe_file);
    u32 end;

    if (!f)
        return at;
    walk_path(&s->walk, BPF_CORE_READ(f, f_path.mnt), BPF_CORE_READ(f, f_path.dentry));
    end = put_walk(s, at);
    s->event.exe_bytes = end - at;
    s->event.has_exe = s->walk.is_whole;
    return end;
}

static __noinline u32 put_cwd(struct scratch *s, struct task_struct *t, u32 at)
{
    struct fs_struct *fs = BPF_CORE_READ(t, fs);
    u32 end;

    if (!fs)
        return at;
    walk_path(&s->walk, BPF_CORE_READ(fs, pwd.mnt), BPF_CORE_READ(fs, pwd.dentry));
    end = put_walk(s, at);
    s->event.cwd_bytes = end - at;
    s->event.has_cwd = s->walk.is_whole;
    return end;
}

static __noinline u32 put_argv(struct scratch *s, struct task_struct *t, u32 at)
{
    const u64 start = BPF_CORE_READ(t, mm, arg_start);
    u64 n = BPF_CORE_READ(t, mm, arg_end) - start;

    if (n > KYMO_ARGV_MAX)
        n = KYMO_ARGV_MAX;
    if (at > KYMO_WALK_MAX || bpf_probe_read_user(s->event.text + at, n, (const void *)start))
        return at;
    s->event.argv_bytes = n;
    return at + n;
}

SEC("raw_tp/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
    struct kymo_slot *mine = slot_of(BPF_CORE_READ(parent, pid));
    struct kymo_slot *its = slot_of(BPF_CORE_READ(child, pid));
    const u32 member = mine ? mine->choice & KYMO_SLOT_MEMBER : 0;
    struct scratch *s;

    if (its) {
        its->entered_ns = 0;
        its->choice = member;
    }
    s = begin(child, member, KYMO_EVENT_FORK);
    if (s)
        send(&s->event, 0);
    return 0;
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *t, int old_pid, struct linux_binprm *bprm)
{
    const int pid = BPF_CORE_READ(t, pid);
    struct kymo_slot *now = slot_of(pid), *old = slot_of((u32)old_pid);
    const u32 member = old ? old->choice & KYMO_SLOT_MEMBER : 0;
    struct scratch *s;
    u32 at;

    known_stale();
    if (old && old_pid != pid) {
        if (now)
            now->entered_ns = old->entered_ns;
        old->entered_ns = 0;
        old->choice = 0;
    }
    if (now)
        now->choice = member;
    s = begin(t, member, KYMO_EVENT_EXEC);
    if (!s)
        return 0;
    at = put_exe(s, t, 0);
    at = put_argv(s, t, at);
    at = put_cwd(s, t, at);
    send(&s->event, at);
    return 0;
}

/* ---- exit ----------------------------------------------------------------------------------- */

#define LEAVING_MAX 64      /* threads of one process that leave at the same moment */
#define SIGNAL_GROUP_EXIT 4 /* include/linux/sched/signal.h */

static __always_inline void add_thread(struct kymo_event_usage *u, struct task_struct *t)
{
    u->utime_ns += BPF_CORE_READ(t, utime);
    u->stime_ns += BPF_CORE_READ(t, stime);
    u->runtime_ns += BPF_CORE_READ(t, se.sum_exec_runtime);
    u->minflt += BPF_CORE_READ(t, min_flt);
    u->majflt += BPF_CORE_READ(t, maj_flt);
}

/* What the threads that were released left in the process, and those that were not yet. */
static __noinline void add_usage(struct kymo_event_process *e, struct task_struct *t)
{
    struct signal_struct *sig = BPF_CORE_READ(t, signal);
    struct list_head *node = BPF_CORE_READ(sig, thread_head.next);
    const u64 own = bpf_core_field_offset(struct task_struct, thread_node);
    struct kymo_event_usage *u = &e->usage;

    u->lifetime_ns = bpf_ktime_get_boot_ns() - e->task.start_ns;
    u->utime_ns = BPF_CORE_READ(sig, utime);
    u->stime_ns = BPF_CORE_READ(sig, stime);
    u->runtime_ns = BPF_CORE_READ(sig, sum_sched_runtime);
    u->minflt = BPF_CORE_READ(sig, min_flt);
    u->majflt = BPF_CORE_READ(sig, maj_flt);
    u->maxrss_pages = BPF_CORE_READ(sig, maxrss);
    for (int i = 0; i < LEAVING_MAX; i++) {
        if (!node || node == &sig->thread_head)
            break;
        add_thread(u, (void *)((char *)node - own));
        node = BPF_CORE_READ(node, next);
    }
}

/* As wait(2) tells it: of the process when all of it is gone, else of the thread. */
static u32 wait_status(struct task_struct *t, bool is_last)
{
    if (is_last && (BPF_CORE_READ(t, signal, flags) & SIGNAL_GROUP_EXIT))
        return BPF_CORE_READ(t, signal, group_exit_code);
    return is_last ? BPF_CORE_READ(t, group_leader, exit_code) : BPF_CORE_READ(t, exit_code);
}

static bool is_last_thread(const struct kymo_event_task *e, struct task_struct *t)
{
    const struct ended key = {.start_ns = e->start_ns, .pid = e->pid};
    const u32 yes = 1;

    return !BPF_CORE_READ(t, signal, live.counter) &&
           !bpf_map_update_elem(&ended, &key, &yes, BPF_NOEXIST);
}

SEC("raw_tp/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *t)
{
    struct kymo_slot *slot = slot_of(BPF_CORE_READ(t, pid));
    const u32 choice = slot ? slot->choice : 0, entity = slot ? slot->entity : 0;
    struct scratch *s;
    bool is_last;

    known_stale();
    if (slot) {
        slot->entered_ns = 0;
        slot->choice = 0;
        slot->entity = 0;
    }
    s = begin(t, choice, KYMO_EVENT_EXIT);
    if (!s)
        return 0;
    s->event.task.entity = entity;
    is_last = is_last_thread(&s->event.task, t);
    if (is_last)
        add_usage(&s->event, t);
    s->event.code = wait_status(t, is_last);
    send(&s->event, 0);
    return 0;
}

SEC("raw_tp/task_rename")
int BPF_PROG(task_rename, struct task_struct *t)
{
    struct kymo_slot *s = slot_of(BPF_CORE_READ(t, pid));

    if (s)
        s->choice &= KYMO_SLOT_MEMBER;
    return 0;
}

/* Is it of a hierarchy that tasks are told by (cgroup_id_of)? */
static bool is_telling(struct cgroup *cgroup)
{
    struct task_struct *t = (struct task_struct *)bpf_get_current_task();
    struct cgroup_subsys_state *css = 0;
    u32 i;

    if (BPF_CORE_READ(cgroup, root) == BPF_CORE_READ(t, cgroups, dfl_cgrp, root))
        return true;
    if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
        i = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
        bpf_core_read(&css, sizeof(css), &cgroup->subsys[i]);
    }
    if (!css && bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id)) {
        i = bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id);
        bpf_core_read(&css, sizeof(css), &cgroup->subsys[i]);
    }
    return css;
}

/* Told at once: what lives there may be gone, with its cgroup, before we could ask. And an awaited one may be
 * there now: who waits looks when the number has changed. */
SEC("raw_tp/cgroup_mkdir")
int BPF_PROG(cgroup_made, struct cgroup *cgroup, const char *path)
{
    struct scratch *s = only(&scratch);
    struct kymo_event_cgroup *e = (void *)s;
    struct kymo_live *l = live_now();
    long n;

    if (l)
        __sync_fetch_and_add(&l->cgroups_made, 1);
    if (!s || !is_telling(cgroup))
        return 0;
    n = bpf_probe_read_kernel_str(e->path, sizeof(e->path), path);
    if (n <= 0 || n > (long)sizeof(e->path))
        return 0;
    __builtin_memset(&e->head, 0, sizeof(e->head));
    e->head.kind = KYMO_EVENT_CGROUP;
    e->head.bytes = KYMO_EVENT_CGROUP_FIXED + n;
    e->head.ts_ns = bpf_ktime_get_ns();
    e->id = BPF_CORE_READ(cgroup, kn, id);
    bpf_ringbuf_output(&process_ring, e, KYMO_EVENT_CGROUP_FIXED + n, BPF_RB_NO_WAKEUP);
    return 0;
}

/* ---- iterators ------------------------------------------------------------------------------ */

static u32 padded(u32 n)
{
    return (n + 7) & ~7u;
}

/* The tasks that exist, as struct kymo_event_process after another, each padded to 8 bytes. */
SEC("iter/task")
int snapshot(struct bpf_iter__task *ctx)
{
    struct task_struct *t = ctx->task;
    struct scratch *s = only(&iter_scratch);
    struct kymo_slot *slot;
    u32 at = 0;

    if (!t || !s)
        return 0;
    task_fill(&s->event.task, t);
    slot = slot_of(s->event.task.head.tid);
    if (task_judge(&s->event.task, t, slot ? slot->choice : 0) == KYMO_SLOT_REJECTED)
        return 0;
    clear(&s->event, KYMO_EVENT_SNAPSHOT);
    if (s->event.task.head.tid == s->event.task.pid) {
        at = put_exe(s, t, 0);
        at = put_cwd(s, t, at);
    }
    at = padded(KYMO_EVENT_PROCESS_FIXED + at);
    if (at > sizeof(s->event))
        return 0;
    s->event.task.head.bytes = at;
    bpf_seq_write(ctx->meta->seq, &s->event, at);
    return 0;
}

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define S_IFMT 0170000
#define S_IFSOCK 0140000

struct fd_scratch {
    struct kymo_event_fd event;
    struct walk walk;
    struct kymo_event_task task; /* whose descriptors come */
    struct task_struct *of;
    u32 is_chosen, pad;
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct fd_scratch);
} fd_scratch SEC(".maps");

/* As struct sockaddr_in and sockaddr_in6 have it. */
static u32 put_inet(char *to, struct sock *sk, u16 family, bool peer)
{
    const u16 num = BPF_CORE_READ(sk, __sk_common.skc_num);
    const u16 port =
        peer ? BPF_CORE_READ(sk, __sk_common.skc_dport) : (u16)__builtin_bswap16(num);

    if (!port)
        return 0;
    __builtin_memset(to, 0, 28);
    __builtin_memcpy(to, &family, 2);
    __builtin_memcpy(to + 2, &port, 2);
    if (family == AF_INET) {
        const u32 v4 = peer ? BPF_CORE_READ(sk, __sk_common.skc_daddr)
                            : BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
        __builtin_memcpy(to + 4, &v4, 4);
        return 16;
    }
    if (peer)
        bpf_core_read(to + 8, 16, &sk->__sk_common.skc_v6_daddr);
    else
        bpf_core_read(to + 8, 16, &sk->__sk_common.skc_v6_rcv_saddr);
    return 28;
}

static u32 put_unix(char *to, struct sock *sk, bool peer)
{
    struct unix_sock *u = (void *)sk; /* which begins with its sock */
    struct unix_address *addr;
    u32 n;

    if (peer)
        u = (void *)BPF_CORE_READ(u, peer);
    addr = u ? BPF_CORE_READ(u, addr) : 0;
    n = addr ? (u32)BPF_CORE_READ(addr, len) : 0;
    if (!n || n > KYMO_ADDR_MAX || bpf_probe_read_kernel(to, n, &addr->name[0]))
        return 0;
    return n;
}

static __noinline u32 put_sockaddr(struct fd_scratch *s, struct file *f, u32 at, bool peer)
{
    struct socket *socket = BPF_CORE_READ(f, private_data);
    struct sock *sk = BPF_CORE_READ(socket, sk);
    const u16 family = sk ? BPF_CORE_READ(sk, __sk_common.skc_family) : 0;

    if (at > KYMO_WALK_MAX + KYMO_ADDR_MAX)
        return 0;
    if (family == AF_INET || family == AF_INET6)
        return put_inet(s->event.text + at, sk, family, peer);
    return family == AF_UNIX ? put_unix(s->event.text + at, sk, peer) : 0;
}

static void fill_file(struct fd_scratch *s, struct file *f)
{
    struct kymo_event_fd *e = &s->event;
    struct dentry *d = BPF_CORE_READ(f, f_path.dentry);
    u32 n;

    e->ino = BPF_CORE_READ(f, f_inode, i_ino);
    e->magic = BPF_CORE_READ(f, f_inode, i_sb, s_magic);
    e->mode = BPF_CORE_READ(f, f_inode, i_mode);
    e->is_deleted = BPF_CORE_READ(d, d_parent) != d && !BPF_CORE_READ(d, d_hash.pprev);
    e->target_bytes = 0;
    e->local_bytes = 0;
    e->peer_bytes = 0;
    if ((e->mode & S_IFMT) == S_IFSOCK) {
        e->has_target = 0;
        e->local_bytes = put_sockaddr(s, f, 0, 0);
        e->peer_bytes = put_sockaddr(s, f, e->local_bytes, 1);
        return;
    }
    walk_path(&s->walk, BPF_CORE_READ(f, f_path.mnt), d);
    n = *(volatile u32 *)&s->walk.bytes;
    e->has_target = s->walk.is_whole;
    if (n > KYMO_WALK_MAX)
        return;
    bpf_probe_read_kernel(e->text, n, s->walk.text);
    e->target_bytes = n;
}

/* What they have open, as struct kymo_event_fd after another. */
SEC("iter/task_file")
int snapshot_fds(struct bpf_iter__task_file *ctx)
{
    struct task_struct *t = ctx->task;
    struct fd_scratch *s = only(&fd_scratch);
    struct file *f = ctx->file;
    u32 bytes;

    if (!t || !f || !s || t->pid != t->tgid)
        return 0;
    if (s->of != t || !ctx->fd || s->task.pid != t->tgid) {
        const struct kymo_slot *slot = slot_of(t->pid);
        task_fill(&s->task, t);
        s->of = t;
        s->is_chosen = task_judge(&s->task, t, slot ? slot->choice : 0) != KYMO_SLOT_REJECTED;
    }
    if (!s->is_chosen)
        return 0;
    s->event.pid = s->task.pid;
    s->event.start_ns = s->task.start_ns;
    s->event.fd = ctx->fd;
    fill_file(s, f);
    bytes = s->event.target_bytes + s->event.local_bytes + s->event.peer_bytes;
    bytes = padded(KYMO_EVENT_FD_FIXED + bytes);
    if (bytes > sizeof(s->event))
        return 0;
    s->event.bytes = bytes;
    bpf_seq_write(ctx->meta->seq, &s->event, bytes);
    return 0;
}
