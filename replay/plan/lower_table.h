/* SPDX-License-Identifier: Apache-2.0
 * lower_table.h: how each call is lowered: a row a name (lower_table.def).
 */
#ifndef KYMO_PLAN_LOWER_TABLE_H
#define KYMO_PLAN_LOWER_TABLE_H

#include <stdint.h>

/* What a call does, as far as the compiler cares. */
enum op {
    OP_PLAIN, /* its arguments say all */
    OP_FD,    /* about a descriptor, which stays as it is */
    OP_OPEN,
    OP_CLOSE,
    OP_CLOSE_RANGE,
    OP_DUP,
    OP_FCNTL,
    OP_PIPE,
    OP_PAIR,
    OP_MAKE, /* its result is a descriptor on an object of kind `arg` */
    OP_SOCKET,
    OP_BIND,
    OP_LISTEN,
    OP_CONNECT,
    OP_ACCEPT,
    OP_SHUTDOWN,
    OP_READ,
    OP_WRITE,
    OP_MOVE, /* from a descriptor to another */
    OP_SEEK,
    OP_RESIZE,
    OP_LIST,
    OP_LOOK, /* a path that stays as it is */
    OP_MKDIR,
    OP_REMOVE,
    OP_RENAME,
    OP_LINK,
    OP_SYMLINK,
    OP_READLINK,
    OP_MKNOD,
    OP_TRUNCATE,
    OP_CHDIR,
    OP_FCHDIR,
    OP_EPOLL_CTL,
    OP_EPOLL_WAIT,
    OP_POLL,
    OP_SELECT,
    OP_MMAP,
    OP_MUNMAP,
    OP_MREMAP,
    OP_REGION, /* on addresses that are there */
    OP_BRK,
    OP_FUTEX,
    OP_FORK,
    OP_EXEC,
    OP_EXIT,
    OP_WAIT,
    OP_KILL,
    OP_SLEEP,
    OP_SIGACTION,
    OP_SIGMASK,
    OP_SIGWAIT,
    OP_SIMULATED,
    OP_FOLLOWS,
    OP_POWER,
    OP_RESULT, /* its cause cannot be made here: injected */
};

/* arg kinds, a letter an argument; see lower_table.def */
struct lower_row {
    const char *name;
    uint8_t op;
    uint8_t arg;     /* by op */
    const char *how; /* a letter an argument */
    uint8_t flags;   /* ROW_* */
};
enum {
    ROW_AT = 1,       /* its path hangs at the descriptor in front of it */
    ROW_BYTES = 2,    /* its result is a number of bytes */
    ROW_MEMORY = 4,   /* on the actor's own address space */
    ROW_NOFOLLOW = 8, /* the last link of its path is not followed */
    ROW_VECTOR = 16,  /* iovec */
    ROW_MSG = 32,     /* msghdr */
    ROW_PLACED = 64,  /* reads or writes at an offset of its own */
    ROW_LATER = 128,  /* special: lower_special() has to look at it */
};

/* NULL: a call that is not known. */
const struct lower_row *lower_row_of(const char *name);
const struct lower_row *lower_rows(uint32_t *n);

#endif
