/* SPDX-License-Identifier: Apache-2.0
 * budget.h: when to record less, and when to record more again. Decides; others act.
 *
 *   full -> counts -> sampled -> off     a step down as soon as two seconds cost more than allowed
 *   off -> sampled -> counts -> full     a step up after a calm time, which doubles each time that the
 *                                        step up had to be taken back at once
 */
#ifndef KYMO_RECORD_BUDGET_H
#define KYMO_RECORD_BUDGET_H

#include <stdint.h>

struct budget {
    double cpu_max;      /* CPU time of the recorder per time, 1 is one CPU; 0: no bound */
    uint64_t memory_max; /* bytes resident; 0: no bound */
    uint32_t level_max;  /* KYMO_LEVEL_* that was asked for */
    /* own */
    uint32_t level;
    uint64_t at_ns, cpu_ns;         /* of the last look */
    uint32_t over, calm, calm_need; /* seconds */
    uint32_t since_up;              /* seconds since the last step up */
};

struct budget_step {
    uint32_t from, to;
    const char *why; /* "cpu", "memory", "calm" */
    double value;    /* share of a CPU, bytes, share of a CPU */
};

void budget_init(struct budget *b, double cpu_max, uint64_t memory_max, uint32_t level);
/*
 * Look once a second: what the recorder has used so far.
 * returns  nonzero when the level changes, to *step
 */
int budget_look(struct budget *b, uint64_t now_ns, uint64_t cpu_ns, uint64_t rss_bytes,
                struct budget_step *step);
/* "off", "sampled", "counts", "full" */
const char *budget_level_name(uint32_t level);

#endif
