/* SPDX-License-Identifier: Apache-2.0
 * spawn.h: the command that is recorded. It starts only when told to, so that not one of its
 * calls is missed, and it gets none of the recorder's powers: the real user and group of the
 * caller or those of --as, no capability that an unprivileged caller lent the recorder, no
 * descriptor beyond 0, 1 and 2.
 */
#ifndef KYMO_RECORD_SPAWN_H
#define KYMO_RECORD_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "format/base/err.h"
#include "record/users.h"

struct spawn {
    pid_t pid;
    int go;     /* a byte lets the command run; closed without one, it never does */
    int failed; /* the errno of a failed exec comes through here */
};

struct spawn_opts {
    char *const *argv;
    const struct user *as; /* NULL: the caller */
    bool stdout_is_taken;  /* the capture goes there: the command's goes to stderr */
};

/* Fork; the child waits. */
KYMO_MUST_USE kymo_status spawn_prepare(struct spawn *s, const struct spawn_opts *o,
                                        struct kymo_err *err);
/* Let it run. errors: EUSAGE when the command cannot be executed (the child is reaped) */
KYMO_MUST_USE kymo_status spawn_go(struct spawn *s, const char *name, struct kymo_err *err);
/* The exit status a shell would show for a wait status. */
int spawn_exit_status(int wait_status);

#endif
