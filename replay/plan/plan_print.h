/* SPDX-License-Identifier: Apache-2.0
 * plan_print.h: a plan for people, and for programs: what it would do, and what it would not.
 */
#ifndef KYMO_PLAN_PLAN_PRINT_H
#define KYMO_PLAN_PLAN_PRINT_H

#include <stdio.h>

#include "replay/plan/compile.h"

/* What is shown; image is needed, the others where there is a capture: without, calls are named by this machine's
 * numbers and coverage is told from the image. */
struct kymo_plan_view {
    const char *name; /* of the file */
    const struct kymo_image *image;
    const struct kymo_trace *trace;
    const struct kymo_coverage *coverage;
    uint64_t disk_bytes;
};

const char *kymo_how_name(uint8_t how);
const char *kymo_why_name(uint8_t why);

/* Coverage as the image tells it: names are numbers of calls. line is malloc'ed. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_cover_image(const struct kymo_image *image,
                                           struct kymo_coverage *out, struct kymo_err *err);

/* errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_plan_print(const struct kymo_plan_view *v, FILE *out,
                                          struct kymo_err *err);
KYMO_MUST_USE kymo_status kymo_plan_print_json(const struct kymo_plan_view *v, FILE *out,
                                               struct kymo_err *err);
/* A line a call, in the order of their moments within each actor. */
void kymo_plan_print_calls(const struct kymo_plan_view *v, FILE *out);

#endif
