/* SPDX-License-Identifier: GPL-2.0-only
 *
 * task.bpf.h: who a task is and whether it is to be recorded. Needed once a task, not once a
 * call: the answer is kept in the task's slot until something about it changes.
 */
#ifndef KYMO_TASK_BPF_H
#define KYMO_TASK_BPF_H

#include "bpf/vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "format/event.h"

#define CGROUP_DEPTH_MAX 16
#define CGROUP_ROOT_ID 1

const volatile struct kymo_whom whom;

/* One slot a thread, indexed by tid; sized to pid_max at start. Shared by all our programs. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct kymo_slot);
} slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct kymo_live);
} live SEC(".maps");

/* How many threads ended and images were replaced: what was remembered of a thread (known.bpf.h) is stale then.
 * Not mapped by the recorder, which must not make it look fresh. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, u64);
} ends SEC(".maps");

static __always_inline void known_stale(void)
{
    const u32 zero = 0;
    u64 *n = bpf_map_lookup_elem(&ends, &zero);

    if (n)
        __sync_fetch_and_add(n, 1);
}

static __always_inline struct kymo_live *live_now(void)
{
    const u32 zero = 0;
    return bpf_map_lookup_elem(&live, &zero);
}

static __always_inline struct kymo_slot *slot_of(u32 tid)
{
    return bpf_map_lookup_elem(&slots, &tid);
}

/* The v1 controller that a hybrid host accounts memory by, else the one that limits pids. */
static struct cgroup_subsys_state *v1_css_of(struct css_set *set)
{
    struct cgroup_subsys_state *css = 0;
    u32 i;

    if (bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
        i = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
        bpf_core_read(&css, sizeof(css), &set->subsys[i]);
        if (css && BPF_CORE_READ(css, cgroup, kn, id) != CGROUP_ROOT_ID)
            return css;
    }
    if (bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id)) {
        i = bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id);
        bpf_core_read(&css, sizeof(css), &set->subsys[i]);
    }
    return css;
}

/* The v2 id where it is not the root, else the v1 one: hybrid hosts keep their tree in v1. */
static u64 cgroup_id_of(struct task_struct *t)
{
    struct css_set *set = BPF_CORE_READ(t, cgroups);
    const u64 v2 = BPF_CORE_READ(set, dfl_cgrp, kn, id);
    struct cgroup_subsys_state *css;

    if (v2 != CGROUP_ROOT_ID)
        return v2;
    css = v1_css_of(set);
    return css ? BPF_CORE_READ(css, cgroup, kn, id) : v2;
}

/* 1 when equal, else 0, without a branch: the verifier would follow both sides of each. */
static __always_inline u64 same(u64 a, u64 b)
{
    u64 x = a ^ b;

    asm volatile("" : "+r"(x));
    return ((x | -x) >> 63) ^ 1;
}

static __always_inline u64 less(u64 a, u64 b)
{
    asm volatile("" : "+r"(a), "+r"(b));
    return ((~a & b) | ((~a | b) & (a - b))) >> 63;
}

/*
 * Is the task at this address in this cgroup or below it? Walks both hierarchies upwards; past the root it
 * reads zeroes, which are no cgroup's id. Not static: the verifier looks once, and not for each caller.
 */
__noinline u64 cgroup_below(u64 task, u64 id)
{
    struct css_set *set = BPF_CORE_READ((struct task_struct *)task, cgroups);
    struct cgroup_subsys_state *css = v1_css_of(set);
    struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);
    struct cgroup_subsys_state *dfl = (void *)cgroup; /* a cgroup begins with its own css */
    u64 found = 0;

    for (int i = 0; i < CGROUP_DEPTH_MAX; i++) {
        found |= same(BPF_CORE_READ(dfl, cgroup, kn, id), id);
        found |= same(BPF_CORE_READ(css, cgroup, kn, id), id);
        dfl = BPF_CORE_READ(dfl, parent);
        css = BPF_CORE_READ(css, parent);
    }
    return found;
}

/* Is one of these ids listed? 0 is no cgroup's. */
__noinline u64 is_followed(u64 v2, u64 v1)
{
    const struct kymo_live *l = live_now();
    u64 in_v2 = 0, in_v1 = 0;

    if (!l)
        return 0;
    for (u32 j = 0; j < KYMO_CGROUPS_MAX; j++) {
        in_v2 |= same(l->cgroup_v2[j], v2);
        in_v1 |= same(l->cgroup_v1[j], v1);
    }
    return (in_v2 & (same(v2, 0) ^ 1)) | (in_v1 & (same(v1, 0) ^ 1));
}

/* The same as cgroup_below for those that were found by name, which may come and go. */
__noinline u64 cgroup_followed(u64 task)
{
    struct css_set *set = BPF_CORE_READ((struct task_struct *)task, cgroups);
    struct cgroup_subsys_state *css = v1_css_of(set);
    struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);
    struct cgroup_subsys_state *dfl = (void *)cgroup;
    u64 found = 0;

    for (int i = 0; i < CGROUP_DEPTH_MAX; i++) {
        found |=
            is_followed(BPF_CORE_READ(dfl, cgroup, kn, id), BPF_CORE_READ(css, cgroup, kn, id));
        dfl = BPF_CORE_READ(dfl, parent);
        css = BPF_CORE_READ(css, parent);
    }
    return found;
}

static __always_inline u64 rule_number(const struct kymo_event_task *e, u8 field)
{
    switch (field) {
    case KYMO_RULE_PID:
        return e->pid;
    case KYMO_RULE_TID:
        return e->head.tid;
    case KYMO_RULE_PPID:
        return e->ppid;
    case KYMO_RULE_UID:
        return e->uid;
    default:
        return e->gid;
    }
}

static __always_inline u64 rule_test(const volatile struct kymo_rule_step *r,
                                     const struct kymo_event_task *e, struct task_struct *t)
{
    const u64 *comm = (const u64 *)(const void *)e->comm;
    u64 task;

    if (r->field == KYMO_RULE_COMM)
        return same(comm[0] & r->mask[0], r->value[0]) &
               same(comm[1] & r->mask[1], r->value[1]);
    if (r->field == KYMO_RULE_CGROUP) {
        bpf_probe_read_kernel(&task, sizeof(task), &t); /* the address as a number */
        return cgroup_below(task, r->value[0]) & 1;
    }
    if (r->field == KYMO_RULE_FOLLOWED) {
        bpf_probe_read_kernel(&task, sizeof(task), &t);
        return cgroup_followed(task) & 1;
    }
    if (r->op == KYMO_RULE_LT)
        return less(rule_number(e, r->field), r->value[0]);
    return same(rule_number(e, r->field), r->value[0]);
}

/* The steps lie in rodata: the verifier follows the one way through them that they take. */
static __always_inline bool rule_holds(const volatile struct kymo_rule *rule,
                                       const struct kymo_event_task *e, struct task_struct *t)
{
    u64 stack = 1; /* bit 0 is its top */

    for (u32 i = 0; i < KYMO_RULE_STEPS_MAX && i < rule->n; i++) {
        const volatile struct kymo_rule_step *r = &rule->step[i];
        if (r->kind == KYMO_RULE_TEST)
            stack = stack << 1 | rule_test(r, e, t);
        else if (r->kind == KYMO_RULE_NOT)
            stack ^= 1;
        else if (r->kind == KYMO_RULE_AND)
            stack = stack >> 2 << 1 | (stack & stack >> 1 & 1);
        else
            stack = stack >> 2 << 1 | ((stack | stack >> 1) & 1);
    }
    return stack & 1;
}

/* Who it may act as, and in which namespaces. */
static void task_fill_powers(struct kymo_event_task *e, struct task_struct *t)
{
    const struct cred *cred = BPF_CORE_READ(t, cred);
    struct pid *pid = BPF_CORE_READ(t, group_leader, thread_pid);
    const u32 level = BPF_CORE_READ(pid, level);
    struct upid *own =
        (void *)((char *)&pid->numbers[0] + (u64)level * bpf_core_type_size(struct upid));

    e->euid = BPF_CORE_READ(cred, euid.val);
    e->egid = BPF_CORE_READ(cred, egid.val);
    e->capeff = 0;
    bpf_core_read(&e->capeff, sizeof(e->capeff), &cred->cap_effective);
    e->nspid = BPF_CORE_READ(own, nr);
    e->pidns = BPF_CORE_READ(own, ns, ns.inum);
    e->mntns = BPF_CORE_READ(t, nsproxy, mnt_ns, ns.inum);
    e->netns = BPF_CORE_READ(t, nsproxy, net_ns, ns.inum);
    e->userns = BPF_CORE_READ(cred, user_ns, ns.inum);
    e->pad = 0;
}

static __noinline void task_fill(struct kymo_event_task *e, struct task_struct *t)
{
    e->head.tid = BPF_CORE_READ(t, pid);
    e->pid = BPF_CORE_READ(t, tgid);
    e->ppid = BPF_CORE_READ(t, real_parent, tgid);
    e->start_ns = BPF_CORE_READ(t, group_leader, start_boottime);
    e->exec_seq = 0;
    if (bpf_core_field_exists(t->self_exec_id))
        bpf_core_read(&e->exec_seq, bpf_core_field_size(t->self_exec_id) == 4 ? 4 : 8,
                      &t->self_exec_id);
    e->cgroup_id = cgroup_id_of(t);
    e->uid = BPF_CORE_READ(t, cred, uid.val);
    e->gid = BPF_CORE_READ(t, cred, gid.val);
    BPF_CORE_READ_STR_INTO(&e->comm, t, comm);
    task_fill_powers(e, t);
}

/* This recorder's own processes, and those of the others. Not static: see cgroup_below. */
__noinline u64 skipped(u32 pid)
{
    const struct kymo_live *l = live_now();
    u64 found = 0;

    if (!l)
        return 1;
    for (u32 i = 0; i < KYMO_SKIP_MAX; i++)
        found |= same(l->skip[i], pid);
    return pid ? found : 0;
}

/* How a task is recorded: KYMO_SLOT_FULL, _COUNTED or _REJECTED. e is filled; choice are its slot's
 * flags. */
static __noinline u32 task_judge(const struct kymo_event_task *e, struct task_struct *t,
                                 u32 choice)
{
    if ((skipped(e->pid) & 1) || (whom.tree && !(choice & KYMO_SLOT_MEMBER)))
        return KYMO_SLOT_REJECTED;
    if (!rule_holds(&whom.chosen, e, t))
        return KYMO_SLOT_REJECTED;
    if (!whom.counts || (whom.full.n && rule_holds(&whom.full, e, t)))
        return KYMO_SLOT_FULL;
    return KYMO_SLOT_COUNTED;
}

#endif
