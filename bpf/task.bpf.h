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

/* Its generation is bumped when tasks move between cgroups: every slot's answer is stale then. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct kymo_live);
} live SEC(".maps");

static __always_inline struct kymo_live *live_now(void)
{
    const u32 zero = 0;
    return bpf_map_lookup_elem(&live, &zero);
}

static __always_inline u64 generation_now(void)
{
    const struct kymo_live *l = live_now();
    return l ? *(volatile const u64 *)&l->generation << 8 : 0;
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

__noinline bool cgroup_listed(u64 id, bool v1)
{
    const struct kymo_live *l = live_now();

    if (!l || !id)
        return false;
    for (u32 i = 0; i < KYMO_CGROUPS_MAX; i++)
        if ((v1 ? l->cgroup_v1[i] : l->cgroup_v2[i]) == id)
            return true;
    return false;
}

/* This recorder's own processes, and those of the others. */
__noinline bool skipped(u32 pid)
{
    const struct kymo_live *l = live_now();

    if (!l)
        return true;
    for (u32 i = 0; i < KYMO_SKIP_MAX; i++)
        if (l->skip[i] == pid)
            return pid != 0;
    return false;
}

/* Is the task in a chosen cgroup or below one? Walks both hierarchies upwards. */
static bool cgroup_chosen(struct task_struct *t)
{
    struct css_set *set = BPF_CORE_READ(t, cgroups);
    struct cgroup_subsys_state *css = v1_css_of(set);
    struct cgroup *cgroup = BPF_CORE_READ(set, dfl_cgrp);
    struct cgroup_subsys_state *dfl = (void *)cgroup; /* a cgroup begins with its own css */

    for (int i = 0; i < CGROUP_DEPTH_MAX && dfl; i++) {
        if (cgroup_listed(BPF_CORE_READ(dfl, cgroup, kn, id), false))
            return true;
        dfl = BPF_CORE_READ(dfl, parent);
    }
    for (int i = 0; i < CGROUP_DEPTH_MAX && css; i++) {
        if (cgroup_listed(BPF_CORE_READ(css, cgroup, kn, id), true))
            return true;
        css = BPF_CORE_READ(css, parent);
    }
    return false;
}

static bool comm_chosen(const char comm[KYMO_COMM_BYTES])
{
    for (u32 i = 0; i < KYMO_LIST_MAX && i < whom.n_comms; i++) {
        bool same = true;
        for (u32 j = 0; j < KYMO_COMM_BYTES; j++) {
            if (j >= whom.comm_bytes[i])
                break;
            if (comm[j] != whom.comm[i][j]) {
                same = false;
                break;
            }
            if (!comm[j])
                break;
        }
        if (same)
            return true;
    }
    return false;
}

static bool uid_chosen(u32 uid)
{
    for (u32 i = 0; i < KYMO_LIST_MAX && i < whom.n_uids; i++)
        if (whom.uid[i] == uid)
            return true;
    return false;
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
}

/* Does any filter leave this task out? e is filled; state holds the slot's flags. */
static __noinline bool task_chosen(const struct kymo_event_task *e, struct task_struct *t,
                                   u64 state)
{
    if (skipped(e->pid))
        return false;
    if (whom.tree && !(state & KYMO_SLOT_MEMBER))
        return false;
    if (whom.n_uids && !uid_chosen(e->uid))
        return false;
    if (whom.n_comms && !comm_chosen(e->comm))
        return false;
    return !whom.n_cgroups || cgroup_chosen(t);
}

#endif
