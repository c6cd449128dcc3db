/* SPDX-License-Identifier: Apache-2.0
 * trace.h: a capture in memory, by thread: what compile.h makes a plan of, and what proof.h compares.
 *
 * Calls stand in the order of their ends, as in the file; thread.call lists those of a thread in the order of
 * their beginnings. All of it lies in one arena: memory is bounded by rows times a constant (about 150 bytes)
 * plus the texts, and by the cap.
 */
#ifndef KYMO_PLAN_TRACE_H
#define KYMO_PLAN_TRACE_H

#include "format/base/arena.h"
#include "format/base/err.h"
#include "format/kymo.h"

struct kymo_trace_call {
    uint64_t enter_ns, exit_ns; /* CLOCK_MONOTONIC; enter = exit where the entry was not seen */
    int64_t ret;
    uint64_t arg[6];
    uint32_t thread;
    uint32_t path, path2, addr; /* texts; 0: none, or empty */
    uint32_t name;              /* text: the call's name */
    uint16_t nr;                /* of its own architecture */
    uint8_t flags;              /* KYMO_CALL_* */
    uint8_t n_args;
    uint8_t has;     /* KYMO_TRACE_HAS_* */
    uint8_t foreign; /* 1: not this machine's architecture; its nr means nothing here */
    int16_t here;    /* number of that name on this machine, -1 none */
};
enum {
    KYMO_TRACE_HAS_RET = 1,
    KYMO_TRACE_HAS_DUR = 2,
    KYMO_TRACE_HAS_PATH = 4,
    KYMO_TRACE_HAS_PATH2 = 8,
    KYMO_TRACE_HAS_ADDR = 16,
};

struct kymo_trace_thread {
    uint32_t process, tid;
    uint32_t comm;     /* text: at its first call; later names: kymo_trace_comm() */
    uint32_t first, n; /* of kymo_trace.order: its calls, by beginning */
};

struct kymo_trace_process {
    uint32_t pid, ppid;
    uint32_t parent;   /* process of the trace, UINT32_MAX: none */
    uint32_t leader;   /* thread, UINT32_MAX: the trace has none of it */
    uint64_t start_ns; /* identity, as recorded */
    uint64_t born_ns;  /* its fork, 0: before the slice */
    uint64_t died_ns;  /* UINT64_MAX: after the slice */
    uint32_t code;     /* wait status, where it died */
    uint32_t exe, cwd; /* texts: at the start */
};

/* A name that a thread had from a call on. */
struct kymo_trace_name {
    uint32_t thread, call; /* index into calls */
    uint32_t comm;
};

/* A descriptor open at a snapshot. */
struct kymo_trace_fd {
    uint64_t ts_ns;
    uint32_t process, fd;
    uint32_t target, local, peer;
};

struct kymo_trace {
    struct kymo_arena arena;
    struct kymo_trace_call *call; /* [n_calls] */
    size_t n_calls;
    uint32_t *order; /* [n_calls] by thread, then beginning */
    struct kymo_trace_thread *thread;
    size_t n_threads;
    struct kymo_trace_process *process;
    size_t n_processes;
    struct kymo_trace_name *name; /* by thread, then call */
    size_t n_names;
    struct kymo_trace_fd *fd; /* by time: snapshots */
    size_t n_fds;
    const char **text; /* [n_texts] NUL-terminated; [0] is "" */
    uint32_t *text_bytes;
    size_t n_texts;
    uint64_t first_ns, last_ns; /* first beginning, last end */
    uint64_t lost;              /* rows that the capture says it lost */
    uint64_t late;              /* rows without a beginning */
    int torn;
};

/*
 * Read a whole capture, or with fd >= 0 an open one of that name (a slice in a memfd).
 *
 * cap_bytes  memory for it; 0: 2 GiB
 * errors     those of the reader; ELIMIT; EUSAGE: no table syscall, or counts alone
 */
KYMO_MUST_USE kymo_status kymo_trace_load(struct kymo_trace **out, const char *path,
                                          size_t cap_bytes, struct kymo_err *err);
void kymo_trace_free(struct kymo_trace *t);

static inline const char *kymo_trace_text(const struct kymo_trace *t, uint32_t id)
{
    return t->text[id];
}
/* The name a thread had at a call (index into calls). */
uint32_t kymo_trace_comm(const struct kymo_trace *t, uint32_t call);

#endif
