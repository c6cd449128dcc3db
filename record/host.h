/* SPDX-License-Identifier: Apache-2.0
 * host.h: what the host says of itself: clocks, /proc, cgroup paths.
 */
#ifndef KYMO_RECORD_HOST_H
#define KYMO_RECORD_HOST_H

#include <stdbool.h>

#include "format/base/arena.h"
#include "format/base/err.h"

/* The inode of the initial pid namespace, a constant of the kernel (PROC_PID_INIT_INO). */
#define HOST_INIT_PID_NS_INO 0xEFFFFFFCu

uint32_t host_arch(void);        /* KYMO_ARCH_* of native calls */
uint32_t host_arch_compat(void); /* of 32-bit calls */
uint32_t host_pid_max(void);

uint64_t host_mono_ns(void);
uint64_t host_boot_ns(void);
uint64_t host_real_ns(void);
/* CPU time of this process, all threads, with its keeper, and its resident memory. */
uint64_t host_own_cpu_ns(void);
uint64_t host_own_rss_bytes(void);

/* One fact of the host after another: boot_id, hostname, kernel, arch, cpus, memory_bytes, ... */
typedef void (*host_fact)(void *ctx, const char *key, const char *value);
void host_facts(host_fact take, void *ctx);

/* The whole of a small /proc file into buf, NUL-terminated; its length, 0 when unreadable. */
size_t host_read(const char *path, char *buf, size_t cap);
/* Where a link of a process (exe, cwd) leads, and its arguments (NULs between); lengths, 0 when
 * unreadable (kernel threads). */
size_t host_link(uint32_t pid, const char *name, char *buf, size_t cap);
size_t host_argv(uint32_t pid, char *buf, size_t cap);
/* argv with NULs to one line: blanks between, quotes where an argument needs them. Returns the length. */
size_t host_join_argv(const char *argv, size_t n, char *out, size_t cap);

/* From now on ask the keeper for what is closed to us; NULL: nobody. Borrowed. */
struct keeper;
void host_use_keeper(struct keeper *k);

/* A new private file in a folder, and one removed there; by the keeper, once there is one, which looks
 * only into the folder of the output. -1, false: errno says why. */
int host_part_open(int folder, const char *name);
bool host_part_remove(int folder, const char *name);

/* The call a thread is blocked in: number and arguments; false when it runs or is gone. */
bool host_blocked_call(uint32_t pid, uint32_t tid, uint64_t *nr, uint64_t arg[6]);

/* Every thread of pid and of all processes below it, to take(). False when pid is not there. */
bool host_tree(uint32_t pid, void (*take)(void *ctx, uint32_t tid), void *ctx);

/* The id of a container that docker or podman know by this name (follow.h). */
bool host_container_id(const char *name, char *id, size_t cap);
/* Where the i-th cgroup hierarchy that tasks are told by is mounted: v2, and v1's memory and pids.
 * NULL: there are no more. */
const char *host_cgroup_mount(size_t i, bool *v2);
/* The inode (the kernel's id) of a cgroup folder, given as a path below a hierarchy's mount point or,
 * with mount "", as an absolute one; 0 when there is none. */
uint64_t host_cgroup_inode(const char *mount, const char *path);
/* The same in the first hierarchy that has it. */
uint64_t host_cgroup_id(const char *path);
/* Keep a path that was met while the cgroup was there: it may be gone when somebody asks. */
void host_cgroup_remember(uint64_t id, const char *path);
/* The path of a cgroup id below its hierarchy's root: asked of /proc/PID/cgroup first, then searched.
 * Returns its length, 0 when unknown. */
size_t host_cgroup_path(uint64_t id, uint32_t pid, char *buf, size_t cap);

#endif
