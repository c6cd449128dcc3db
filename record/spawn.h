/* SPDX-License-Identifier: Apache-2.0
 * spawn.h: the command that is recorded. It starts only when told to, so that not one of its
 * calls is missed, and it gets none of the recorder's powers.
 */
#ifndef KYMO_RECORD_SPAWN_H
#define KYMO_RECORD_SPAWN_H

#include <sys/types.h>

#include "format/base/err.h"

struct spawn {
    pid_t pid;
    int go;     /* closing it lets the command run */
    int failed; /* the errno of a failed exec comes through here */
};

/* Fork; the child waits. */
KYMO_MUST_USE kymo_status spawn_prepare(struct spawn *s, char *const *argv,
                                        struct kymo_err *err);
/* Let it run. errors: EUSAGE when the command cannot be executed (the child is reaped) */
KYMO_MUST_USE kymo_status spawn_go(struct spawn *s, const char *name, struct kymo_err *err);
/* The exit status a shell would show for a wait status. */
int spawn_exit_status(int wait_status);

#endif
