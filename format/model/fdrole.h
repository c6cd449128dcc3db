/* SPDX-License-Identifier: Apache-2.0
 * fdrole.h: what sort of thing a call was on: a file, a connection, a listening socket, a pipe... Follows
 * descriptors as fdtable.h does, but keeps their sort alone, which is all that sequences need.
 *
 * What was open before the capture is known from snapshots; what none told of is guessed from the first
 * call that only one sort allows.
 */
#ifndef KYMO_MODEL_FDROLE_H
#define KYMO_MODEL_FDROLE_H

#include "format/model/fdcall.h"
#include "format/model/fdset.h"

enum kymo_on {
    KYMO_ON_NONE, /* no descriptor */
    KYMO_ON_FILE,
    KYMO_ON_DIR,
    KYMO_ON_SOCKET, /* of a kind that connects, not connected (yet) */
    KYMO_ON_STREAM, /* connected */
    KYMO_ON_DGRAM,
    KYMO_ON_LISTEN,
    KYMO_ON_PIPE,
    KYMO_ON_EPOLL,
    KYMO_ON_EVENT,
    KYMO_ON_TIMER,
    KYMO_ON_OTHER,
    KYMO_ON_PROCESS, /* a call that makes a process */
    KYMO_ON_THREAD,  /* or a thread */
    KYMO_ON_COUNT
};
#define KYMO_ON_FDS KYMO_ON_PROCESS /* those before are of descriptors */
const char *kymo_on_name(enum kymo_on on);
/* KYMO_ON_COUNT when the word is none. */
enum kymo_on kymo_on_value(const char *word, size_t n);
/* Of a row of table fd. */
enum kymo_on kymo_on_target(const char *target, size_t n, int has_local, int has_peer);

struct kymo_fdroles; /* owned: _open, _close */

KYMO_MUST_USE kymo_status kymo_fdroles_open(struct kymo_fdroles **out, struct kymo_err *err);
void kymo_fdroles_close(struct kymo_fdroles *r);

/* What happened beside the calls, in the order of time. */
void kymo_fdroles_fork(struct kymo_fdroles *r, uint64_t ppid, uint64_t pid, uint64_t start_ns);
void kymo_fdroles_exec(struct kymo_fdroles *r, uint64_t pid);
void kymo_fdroles_exit(struct kymo_fdroles *r, uint64_t pid, uint64_t start_ns);
/* A snapshot says so. */
void kymo_fdroles_tell(struct kymo_fdroles *r, uint64_t pid, uint64_t start_ns, int64_t fd,
                       enum kymo_on on);

/* A call, out of its row. */
struct kymo_fdrole_call {
    const struct kymo_fd_callinfo *info; /* NULL: it is about no descriptor */
    uint64_t pid, start_ns;
    uint64_t arg[6], flags; /* KYMO_CALL_* */
    int64_t ret;
    int has_ret, has_path;
    int is_arm; /* O_DIRECTORY has another value there */
};

/*
 * What the call was on: of one that makes a descriptor, what it made. Then what it changes is taken in.
 *
 * fd  out: the descriptor that it was given, -1 none
 */
enum kymo_on kymo_fdroles_call(struct kymo_fdroles *r, const struct kymo_fdrole_call *c,
                               int64_t *fd);
/* How many descriptors below a thousand the process has open on each sort: n [KYMO_ON_FDS] out. */
void kymo_fdroles_count(struct kymo_fdroles *r, uint64_t pid, uint64_t start_ns, uint32_t *n);

#endif
