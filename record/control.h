/* SPDX-License-Identifier: Apache-2.0
 * control.h: the socket by which a running recorder is spoken to.
 *
 * One SOCK_SEQPACKET socket a recorder, record-PID.sock in /run/kymo (else $XDG_RUNTIME_DIR/kymo).
 * A request is one packet of lines, the answer one packet: "ok" or "error: why".
 *
 *     mark            the request
 *     point|begin|end|trigger   its kind; trigger asks a flight recorder to write
 *     TS              ns of the sender's CLOCK_MONOTONIC
 *     DUR             ns, or -
 *     NAME            the rest of the packet
 */
#ifndef KYMO_RECORD_CONTROL_H
#define KYMO_RECORD_CONTROL_H

#include <poll.h>
#include <sys/types.h>

#include "format/base/err.h"

#define CONTROL_CLIENTS_MAX 16u
#define CONTROL_POLLFDS_MAX (CONTROL_CLIENTS_MAX + 1u)
#define CONTROL_PACKET_MAX 1024u
#define CONTROL_NAME_MAX 255u
#define CONTROL_DUR_NONE UINT64_MAX

struct control_mark {
    const char *kind;
    const char *name;
    uint64_t ts_ns, dur_ns;
    uint32_t uid, pid; /* of the sender, by the kernel's word */
};

/* The recorder's side. */
struct control; /* owned */
KYMO_MUST_USE kymo_status control_open(struct control **out, struct kymo_err *err);
void control_close(struct control *c); /* NULL is fine; removes the socket */
/* Fill fds for poll(2); returns how many. */
nfds_t control_pollfds(const struct control *c, struct pollfd fds[CONTROL_POLLFDS_MAX]);
/* Serve what is ready, without blocking. take returns NULL, or why the mark is refused. */
typedef const char *(*control_take)(void *ctx, const struct control_mark *m);
void control_serve(struct control *c, control_take take, void *ctx);

/*
 * The client's side: send a mark to the recorder with this pid, or to the only one there is (0).
 *
 * errors  EHOST: no recorder runs; EUSAGE: several run and pid is 0 (their pids are in the message),
 *         or the recorder refused
 */
KYMO_MUST_USE kymo_status control_send_mark(const struct control_mark *m, pid_t pid,
                                            struct kymo_err *err);

#endif
