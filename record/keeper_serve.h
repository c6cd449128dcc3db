/* SPDX-License-Identifier: Apache-2.0
 * keeper_serve.h: the keeper's own side: what it does with a request (keeper.h), and without.
 */
#ifndef KYMO_RECORD_KEEPER_SERVE_H
#define KYMO_RECORD_KEEPER_SERVE_H

#include <sys/types.h>

struct keeper_opts;

/*
 * Be the keeper, in the process that was forked for it: learn from o what requests are held
 * against, close everything else, give up what is not needed, then say on the socket that it is
 * ready, or why not, and serve until the recorder is gone.
 */
_Noreturn void keeper_serve(int socket, pid_t recorder, const struct keeper_opts *o);

#endif
