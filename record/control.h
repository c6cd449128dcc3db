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
 *
 *     recorder        another recorder runs now; its pid is the sender's
 *     PID             of its keeper
 *
 * The connection of another recorder stays for as long as both run, and the answer to it is this
 * recorder's own greeting. So each knows whom to skip, and when to stop: a pid is used again.
 */
#ifndef KYMO_RECORD_CONTROL_H
#define KYMO_RECORD_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include "format/base/err.h"

#define CONTROL_CLIENTS_MAX 16u
#define CONTROL_PEERS_MAX 16u
#define CONTROL_POLLFDS_MAX (CONTROL_CLIENTS_MAX + CONTROL_PEERS_MAX + 1u)
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
/* out holds what control_meet made, or NULL. An error leaves it, deaf, for the other recorders. */
KYMO_MUST_USE kymo_status control_open(struct control **out, struct kymo_err *err);
void control_close(struct control *c); /* NULL is fine; removes the socket where it still may */
/* Remove the socket of a recorder that is gone. */
void control_remove(pid_t recorder);
/* Fill fds for poll(2); returns how many. */
nfds_t control_pollfds(const struct control *c, struct pollfd fds[CONTROL_POLLFDS_MAX]);
/* Serve what is ready, without blocking. take returns NULL, or why the mark is refused. */
typedef const char *(*control_take)(void *ctx, const struct control_mark *m);
void control_serve(struct control *c, control_take take, void *ctx);

/*
 * Tell the other recorders of this one, and hear of them, now and later: there is false when one is
 * gone. keeper is the pid of this recorder's other process. May come before control_open.
 */
typedef void (*control_recorder)(void *ctx, pid_t pid, bool there);
void control_meet(struct control **out, pid_t keeper, control_recorder told, void *ctx);

/*
 * The client's side: send a mark to the recorder with this pid, or to the only one there is (0).
 *
 * errors  EHOST: no recorder runs; EUSAGE: several run and pid is 0 (their pids are in the message),
 *         or the recorder refused
 */
KYMO_MUST_USE kymo_status control_send_mark(const struct control_mark *m, pid_t pid,
                                            struct kymo_err *err);

#endif
