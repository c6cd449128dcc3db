/* SPDX-License-Identifier: Apache-2.0
 * fdcall.h: which calls make, copy, close and use descriptors, and by which argument.
 */
#ifndef KYMO_MODEL_FDCALL_H
#define KYMO_MODEL_FDCALL_H

#include <stdint.h>

enum kymo_fd_op {
    KYMO_FD_USES, /* nothing changes */
    KYMO_FD_OPENS,
    KYMO_FD_CLOSES,
    KYMO_FD_CLOSES_RANGE,
    KYMO_FD_DUPS, /* dup, dup2, dup3: the result is the copy */
    KYMO_FD_FCNTL,
    KYMO_FD_PIPES, /* two, in memory */
    KYMO_FD_MAKES, /* the result is of the kind that `makes` names */
    KYMO_FD_CONNECTS,
    KYMO_FD_BINDS,
    KYMO_FD_ACCEPTS,
    KYMO_FD_CHDIR,
    KYMO_FD_FCHDIR,
    KYMO_FD_FORKS,
    KYMO_FD_EXECS,
    KYMO_FD_UNSHARES,
    KYMO_FD_MAPS, /* mmap: a descriptor where it is not anonymous */
};

struct kymo_fd_callinfo {
    const char *name;
    enum kymo_fd_op op;
    int8_t fd;         /* argument that is the descriptor, -1 none */
    int8_t dir;        /* argument that is the path's directory, -1: the working directory */
    int8_t flags;      /* argument with the close-on-exec flag, -1 none */
    uint32_t cloexec;  /* that flag */
    const char *makes; /* "[epoll]" */
};

/* NULL: a call that is about no descriptor and whose paths, if any, start at the working directory. */
const struct kymo_fd_callinfo *kymo_fd_callinfo(const char *name);

#endif
