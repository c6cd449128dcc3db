/* SPDX-License-Identifier: Apache-2.0
 * stage_target.h: the one peer outside that a sandbox may have sockets to.
 */
#ifndef KYMO_STAGE_TARGET_H
#define KYMO_STAGE_TARGET_H

#include <sys/socket.h>

#include "format/base/err.h"

struct stage_target {
    struct sockaddr_storage address;
    socklen_t bytes; /* 0: there is none */
};

/* errors  EUSAGE: not HOST:PORT; EINPUT: no such host */
KYMO_MUST_USE kymo_status stage_target_find(struct stage_target *t, const char *text,
                                            struct kymo_err *err);
/* Answer one request on the socket `way_out`: a socket that connects to it, or a word that there is none. */
void stage_target_answer(const struct stage_target *t, int way_out);

#endif
