/* SPDX-License-Identifier: GPL-2.0-only
 *
 * vmlinux.h: the kernel types that our programs read, and of each only the fields they read.
 * CO-RE finds the true offsets at load, so this header needs no kernel to build against, and a
 * diff of it shows each new dependence on the kernel. Keep it by hand.
 */
#ifndef KYMO_VMLINUX_H
#define KYMO_VMLINUX_H

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __sum16;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef _Bool bool;
enum { false = 0, true = 1 };

/* From the stable bpf(2) interface. */
enum {
    BPF_MAP_TYPE_HASH = 1,
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_F_MMAPABLE = 1024 };
enum { BPF_RB_NO_WAKEUP = 1 };

struct bpf_raw_tracepoint_args {
    __u64 args[0];
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
    unsigned long bx, cx, dx, si, di, bp;
    unsigned long r8, r9, r10;
    unsigned long orig_ax;
};
struct thread_info {
    u32 status;
};
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
    u64 regs[31];
    u64 orig_x0;
    s32 syscallno;
};
struct thread_info {
    unsigned long flags;
};
#endif

typedef struct {
    u32 val;
} kuid_t;
typedef struct {
    u32 val;
} kgid_t;

struct cred {
    kuid_t uid;
    kgid_t gid;
};

struct mm_struct {
    unsigned long arg_start, arg_end;
};

struct kernfs_node {
    u64 id;
};
struct cgroup {
    struct kernfs_node *kn;
};
struct cgroup_subsys_state {
    struct cgroup *cgroup;
    struct cgroup_subsys_state *parent;
};
enum cgroup_subsys_id {
    memory_cgrp_id,
    pids_cgrp_id,
};
struct css_set {
    struct cgroup_subsys_state *subsys[16];
    struct cgroup *dfl_cgrp;
};

struct task_struct {
    struct thread_info thread_info;
    int pid;
    int tgid;
    u64 start_boottime;
    u64 self_exec_id;
    struct task_struct *real_parent;
    struct task_struct *group_leader;
    const struct cred *cred;
    struct mm_struct *mm;
    struct css_set *cgroups;
    int exit_code;
    char comm[16];
};

struct linux_binprm {
    const char *filename;
};

struct seq_file;
struct bpf_iter_meta {
    struct seq_file *seq;
};
struct bpf_iter__task {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
};

#pragma clang attribute pop

#endif
