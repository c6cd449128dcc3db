/* SPDX-License-Identifier: Apache-2.0
 * progress.h: one line on a terminal while a fit runs, and the wish to stop it.
 */
#ifndef KYMO_FIT_PROGRESS_H
#define KYMO_FIT_PROGRESS_H

#include <signal.h>
#include <stdbool.h>

/* Take SIGINT and SIGTERM: the first one asks to stop with the best so far, the second one ends. shown:
 * print a line if standard error is a terminal. */
void kymo_progress_open(bool shown);
/* The signal that asks to stop, 0 yet. */
const volatile sig_atomic_t *kymo_progress_stop(void);
/* A step of the whole is done; done in 0..1 of all work, or < 0 where nobody knows. A few times a second
 * the line is shown, with what is left at this rate. */
void kymo_progress(double done, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Take the line away. */
void kymo_progress_end(void);

#endif
