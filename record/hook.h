/* SPDX-License-Identifier: Apache-2.0
 * hook.h: the command that is run on each finished part (-z). A helper process, forked before the recorder
 * holds anything, runs them one after another: without the recorder's descriptors and capabilities, and
 * without ever making the recorder wait.
 *
 *     recorder --path of a part--> helper --fork, exec--> CMD PART
 *              <--what failed----
 */
#ifndef KYMO_RECORD_HOOK_H
#define KYMO_RECORD_HOOK_H

#include <stdbool.h>

#include "format/base/err.h"

struct hook; /* owned */

#define HOOK_WORDS_MAX 64u
#define HOOK_TEXT_MAX 512u

/*
 * Fork the helper. Call it while the process has one thread. command is split at blanks, and is found on
 * the PATH; no shell looks at it. It runs with the caller's real user and group.
 *
 * errors  EUSAGE: an empty or overlong command; EHOST: no process
 */
KYMO_MUST_USE kymo_status hook_open(struct hook **out, const char *command,
                                    struct kymo_err *err);
/* Have the command run on a file. Never waits: when too many are waiting already, that is a failure. Any
 * thread. */
void hook_run(struct hook *h, const char *path);
/* Text of the next failure, if there is one; never waits. */
bool hook_failure(struct hook *h, char text[HOOK_TEXT_MAX]);
/* Nothing follows: wait so long at most for what is still running; false when it runs on by itself. */
bool hook_finish(struct hook *h, int wait_ms);
void hook_close(struct hook *h); /* NULL is fine */

#endif
