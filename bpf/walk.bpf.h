/* SPDX-License-Identifier: GPL-2.0-only
 *
 * walk.bpf.h: the path of a file, by walking from it up to the root of its mount namespace, as
 * /proc would show it to somebody there. Names are written in the order of the walk, the last
 * first; user space turns them round.
 */
#ifndef KYMO_WALK_BPF_H
#define KYMO_WALK_BPF_H

#include "bpf/vmlinux.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "format/event.h"

#define WALK_STEPS_MAX 64
#define WALK_NAME_MAX 256u /* with its NUL */

struct walk {
    u32 bytes;
    u32 is_whole; /* it came to the root */
    char text[KYMO_WALK_MAX];
};

static __noinline void walk_path(struct walk *w, struct vfsmount *vfs, struct dentry *d)
{
    struct mount *m = (void *)((char *)vfs - bpf_core_field_offset(struct mount, mnt));
    struct dentry *root = BPF_CORE_READ(vfs, mnt_root);

    w->bytes = 0;
    w->is_whole = 0;
    if (!vfs || !d)
        return;
    for (int i = 0; i < WALK_STEPS_MAX; i++) {
        struct dentry *parent;
        long n;
        u32 at;
        if (d == root) { /* on what is it mounted? */
            struct mount *up = BPF_CORE_READ(m, mnt_parent);
            if (up == m || !up) {
                w->is_whole = 1;
                return;
            }
            d = BPF_CORE_READ(m, mnt_mountpoint);
            m = up;
            root = BPF_CORE_READ(m, mnt.mnt_root);
            continue;
        }
        /* Out of memory again: what the verifier knows of it does not grow with each step. */
        at = *(volatile u32 *)&w->bytes;
        if (at > KYMO_WALK_MAX - WALK_NAME_MAX)
            return;
        n = bpf_probe_read_kernel_str(w->text + at, WALK_NAME_MAX,
                                      BPF_CORE_READ(d, d_name.name));
        if (n <= 0)
            return;
        w->bytes = at + (u32)n;
        parent = BPF_CORE_READ(d, d_parent);
        if (parent == d) { /* of no tree: a pipe, a socket, memory */
            w->is_whole = 1;
            return;
        }
        d = parent;
    }
}

#endif
