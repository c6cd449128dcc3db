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
    BPF_MAP_TYPE_LRU_HASH = 9,
    BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1 };
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

/* Two words until 6.2, one of 64 bits since: the same bytes. */
typedef struct {
    u32 cap[2];
} kernel_cap_t;

/* Namespaces. */
struct ns_common {
    unsigned int inum;
};
struct user_namespace {
    struct ns_common ns;
};
struct mnt_namespace {
    struct ns_common ns;
};
struct pid_namespace {
    struct ns_common ns;
};
struct net {
    struct ns_common ns;
};
struct nsproxy {
    struct mnt_namespace *mnt_ns;
    struct net *net_ns;
};
struct upid {
    int nr;
    struct pid_namespace *ns;
};
struct pid {
    unsigned int level;
    struct upid numbers[1];
};

struct cred {
    kuid_t uid;
    kgid_t gid;
    kuid_t euid;
    kgid_t egid;
    kernel_cap_t cap_effective;
    struct user_namespace *user_ns;
};

/* Files. */
struct qstr {
    const unsigned char *name;
};
struct hlist_bl_node {
    struct hlist_bl_node **pprev;
};
struct super_block {
    unsigned long s_magic;
};
struct inode {
    unsigned short i_mode;
    unsigned long i_ino;
    struct super_block *i_sb;
};
struct dentry {
    struct hlist_bl_node d_hash;
    struct dentry *d_parent;
    struct qstr d_name;
};
struct vfsmount {
    struct dentry *mnt_root;
};
struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
};
struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
};
struct file {
    struct path f_path;
    struct inode *f_inode;
    void *private_data;
};
struct fs_struct {
    struct path pwd;
};

/* Sockets. */
struct in6_addr {
    u8 in6_u[16];
};
struct sock_common {
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num;
    unsigned short skc_family;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
};
struct sock {
    struct sock_common __sk_common;
};
struct socket {
    struct sock *sk;
};
struct sockaddr_un {
    unsigned short sun_family;
};
struct unix_address {
    int len;
    struct sockaddr_un name[1];
};
struct unix_sock {
    struct unix_address *addr;
    struct sock *peer;
};

struct mm_struct {
    unsigned long arg_start, arg_end;
    struct file *exe_file;
};

struct list_head {
    struct list_head *next;
};
typedef struct {
    int counter;
} atomic_t;
struct signal_struct {
    atomic_t live;
    struct list_head thread_head;
    int group_exit_code;
    unsigned int flags;
    u64 utime, stime;
    unsigned long min_flt, maj_flt, maxrss;
    unsigned long long sum_sched_runtime;
};
struct sched_entity {
    u64 sum_exec_runtime;
};

struct kernfs_node {
    u64 id;
};
struct cgroup_subsys_state;
struct cgroup_root;
struct cgroup {
    struct kernfs_node *kn;
    struct cgroup_subsys_state *subsys[16];
    struct cgroup_root *root;
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
    struct fs_struct *fs;
    struct nsproxy *nsproxy;
    struct pid *thread_pid;
    struct signal_struct *signal;
    struct list_head thread_node;
    struct sched_entity se;
    u64 utime, stime;
    unsigned long min_flt, maj_flt;
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
struct bpf_iter__task_file {
    struct bpf_iter_meta *meta;
    struct task_struct *task;
    u32 fd;
    struct file *file;
};

#pragma clang attribute pop

#endif
