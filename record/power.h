/* SPDX-License-Identifier: Apache-2.0
 * power.h: what each process of the recorder may do, and how it gives the rest up.
 *
 *   kymo-record   opens the output, loads, attaches; then drops: an unprivileged user, no
 *                 capabilities, no new privileges, a filter on its system calls. It drains,
 *                 encodes and writes for as long as the recording lasts.
 *   the keeper    (keeper.h) forked before that, keeps the few capabilities that a running
 *                 recording still needs, and serves a fixed list of requests.
 *   the command   (spawn.h) after --, gets what its caller would have given it.
 */
#ifndef KYMO_RECORD_POWER_H
#define KYMO_RECORD_POWER_H

#include <stdbool.h>
#include <sys/capability.h>
#include <sys/types.h>

#include "format/base/err.h"

/* Who the recorder becomes. Made before anything else, while names can still be looked up. */
struct power_plan {
    bool becomes; /* another user */
    bool asked;   /* with -Z: to fail is an error */
    uid_t uid;
    gid_t gid;
};

/*
 * Who to become: the named user; with NULL and started as root the user kymo, or nobody where there
 * is none. A root without capabilities would still own the files of root, and with them the host.
 *
 * errors  EUSAGE: no such user
 */
KYMO_MUST_USE kymo_status power_plan_drop(struct power_plan *p, const char *user,
                                          struct kymo_err *err);

/*
 * Give up everything, for good, in this thread and those that it starts: call it before any other
 * thread runs. command may still be signalled; 0: there is none.
 *
 * errors  EHOST; *why says what could not be given up though nobody asked for it (else NULL)
 */
KYMO_MUST_USE kymo_status power_drop(const struct power_plan *p, pid_t command,
                                     const char **why, struct kymo_err *err);
/* The parts of it that tests look at one by one. */
KYMO_MUST_USE kymo_status power_confine_recorder(pid_t command, struct kymo_err *err);
KYMO_MUST_USE kymo_status power_confine_keeper(struct kymo_err *err);

/* Keep those of the listed capabilities that are held, and no others. errors: EHOST */
KYMO_MUST_USE kymo_status power_keep(const cap_value_t *caps, size_t n, struct kymo_err *err);
/* Is it permitted to this process? */
bool power_holds(cap_value_t cap);

/* Where 0, 1 or 2 is closed, something that can be neither read nor written takes its place: the next
 * file that is opened is not to become somebody's standard output. */
void power_hold_standard_fds(void);

/*
 * Open a file to write as the person who ran us would: what that user may not make there, root
 * makes for itself. So a sudo rule for the recorder gives nobody a file in a folder of root's.
 * returns  the descriptor, or -1 and errno
 */
int power_open_output(const char *path, int flags);
/* Who would own a file that is made so in this folder. */
void power_folder_owner(int folder, uid_t *uid, gid_t *gid);

#endif
