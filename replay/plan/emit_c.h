/* SPDX-License-Identifier: Apache-2.0
 * emit_c.h: a plan as one readable C program, for a bug report.
 *
 * The program needs the C library and Linux alone, compiles without a warning as gnu11, and runs without
 * privileges in a folder that it makes and removes: the tree of the plan, its processes and threads, each
 * call a line that says what came of it when it was recorded; the environment is a thread of the first
 * process. Where the host lets it, it has a root and a network of its own; else paths lie below its folder and
 * addresses are free ports of the loopback. Its status is 0 when every call's result was of the recorded kind
 * (the same error, zero, more than zero), 1 when one was not, 3 when it could not begin.
 */
#ifndef KYMO_PLAN_EMIT_C_H
#define KYMO_PLAN_EMIT_C_H

#include "format/base/bytes.h"
#include "replay/plan/image.h"

/*
 * Write the program.
 *
 * image   passed kymo_image_check(), borrowed
 * title   a line for its first comment, any bytes; borrowed
 * out     the text is put at its end; `failed` of it is checked here
 * errors  EUSAGE: a plan of another machine, or without calls; ELIMIT: memory
 * cost    O(bytes of the image); equal runs of calls are searched for within 64 calls
 */
KYMO_MUST_USE kymo_status kymo_plan_emit_c(const struct kymo_image *image, const char *title,
                                           struct kymo_buf *out, struct kymo_err *err);

#endif
