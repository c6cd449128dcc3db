/* SPDX-License-Identifier: Apache-2.0
 * compile.h: a trace into a plan.
 */
#ifndef KYMO_PLAN_COMPILE_H
#define KYMO_PLAN_COMPILE_H

#include "format/base/bytes.h"
#include "replay/plan/image.h"
#include "replay/plan/trace.h"

/* One line of what a plan does with the calls of a trace: a call's name, how and why, summed. */
struct kymo_cover {
    uint32_t name; /* text of the trace */
    uint8_t how, why;
    uint8_t is_memory; /* on the actor's own address space: left out of coverage */
    uint64_t calls, bytes, blocked_ns;
};

/* Shares of the recorded calls that are issued (how ISSUE, FORK, THREAD, EXEC, EXIT), without the never-list
 * (POWER, SIGNAL) and the memory calls: DESIGN "coverage". 0..1; 1 where there is nothing. */
struct kymo_coverage {
    struct kymo_cover *line; /* [n] most calls first; owned by the plan */
    size_t n;
    double calls, bytes, blocked;
    double injected; /* share of the calls */
    uint64_t n_calls, n_never, n_memory;
};

struct kymo_plan_opts {
    size_t cap_bytes;       /* memory while compiling and of the image; 0: 2 GiB */
    uint32_t processes_max; /* 0: 4096, threads too */
    uint64_t disk_bytes;    /* what the tree may take; 0: 1 GiB. Larger files are sparse. */
    const char *target_from,
        *target_to; /* --target: connections to the first address go to the second (opt-in) */
};

struct kymo_plan {
    struct kymo_buf image; /* kymo_image and its sections */
    struct kymo_coverage coverage;
    struct kymo_arena arena;
    uint64_t disk_bytes; /* that the tree needs */
};

/*
 * errors  ELIMIT: memory, processes, disk; EUSAGE: a trace without calls
 * cost    O(calls log calls); dependencies a call: at most the actors that share its resource
 */
KYMO_MUST_USE kymo_status kymo_plan_compile(struct kymo_plan **out, const struct kymo_trace *t,
                                            const struct kymo_plan_opts *o,
                                            struct kymo_err *err);
void kymo_plan_free(struct kymo_plan *p);

/* Is this a plan that a stage may be given: magic, checksum, every offset, index, order and size inside its
 * bounds, dependencies without a cycle? errors ECORRUPT with the place. */
KYMO_MUST_USE kymo_status kymo_image_check(const void *image, size_t bytes,
                                           struct kymo_err *err);

static inline const void *kymo_image_at(const struct kymo_image *h, struct kymo_section s)
{
    return (const char *)h + s.at;
}

#endif
