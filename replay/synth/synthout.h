/* SPDX-License-Identifier: Apache-2.0
 * synthout.h: generated rows on their way into a capture, as a recorder would have written them: chunks cut each
 * second, behind each a seal.
 */
#ifndef KYMO_SYNTH_SYNTHOUT_H
#define KYMO_SYNTH_SYNTHOUT_H

#include "format/trace/writer.h"
#include "replay/synth/world.h"

#define SYNTH_START_NS (1000 * UINT64_C(1000000000))
#define SYNTH_CGROUP 1u

struct synthout {
    struct kymo_writer *w;
    struct kymo_rows *syscall, *process, *fd;
    uint32_t arch;
    uint64_t second_ns;        /* end of the second that is being filled */
    uint64_t calls, processes; /* stored since the last seal */
    uint32_t *task;            /* [cap_tasks] by thread: task of this chunk + 1 */
    uint32_t cap_tasks;
    uint32_t *tasked; /* [n_tasked] threads that have one */
    uint32_t n_tasked, cap_tasked;
    uint16_t *key; /* by number of call: key of this chunk + 1 */
    uint32_t n_keys;
};

struct synthout_call {
    uint32_t thread; /* an index of the caller's */
    uint32_t tid;
    const struct world_process *process;
    const char *comm;
    uint32_t nr, flags;
    uint64_t ts_ns, dur_ns;
    int has_dur, has_ret, n_args;
    int64_t ret;
    uint64_t arg[6];
    const char *path, *path2, *addr; /* NULL: none */
};

struct synthout_process {
    const char *kind;
    const struct world_process *process;
    uint32_t tid;
    const char *comm;
    uint64_t ts_ns;
    int is_last; /* exit: of the process, with what it had used */
    uint64_t code;
    struct kymo_ends ends;
};

KYMO_MUST_USE kymo_status synthout_open(struct synthout *o, int fd, const char *name,
                                        uint32_t arch, struct kymo_err *err);
void synthout_close(struct synthout *o);
/* What a capture begins with. note: what it was made of. */
KYMO_MUST_USE kymo_status synthout_begin(struct synthout *o, const char *note,
                                         struct kymo_err *err);
/* Rows come in the order of their times. */
KYMO_MUST_USE kymo_status synthout_call(struct synthout *o, const struct synthout_call *c,
                                        struct kymo_err *err);
KYMO_MUST_USE kymo_status synthout_process(struct synthout *o, const struct synthout_process *p,
                                           struct kymo_err *err);
KYMO_MUST_USE kymo_status synthout_open_fd(struct synthout *o, uint64_t ts_ns,
                                           const struct world_process *p, int32_t fd,
                                           struct kymo_err *err);
/* A moment has come: seconds before it are written and sealed. */
KYMO_MUST_USE kymo_status synthout_until(struct synthout *o, uint64_t ts_ns,
                                         struct kymo_err *err);
KYMO_MUST_USE kymo_status synthout_finish(struct synthout *o, uint64_t end_ns,
                                          struct kymo_err *err);

#endif
