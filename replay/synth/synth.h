/* SPDX-License-Identifier: Apache-2.0
 * synth.h: a capture of what was never recorded: threads that act as those of a behaviour did.
 *
 * Every thread goes from symbol to symbol, at distances and with durations drawn from what was recorded. What it
 * draws has to be legal where it is: an open descriptor of the sort, a child to wait for. Where it is not, what
 * else followed the same context is tried, and then the call that makes it legal is made before ("enabling").
 */
#ifndef KYMO_SYNTH_SYNTH_H
#define KYMO_SYNTH_SYNTH_H

#include "format/model/sequence.h"

struct kymo_synth_opts {
    uint64_t duration_ns, seed;
    double rate;        /* calls a second, times what was recorded; 1 */
    uint32_t threads;   /* that are there at the start, 0: as recorded */
    uint32_t arch;      /* KYMO_ARCH_* whose numbers calls have; 0: this machine's */
    uint64_t calls_max; /* 0: a thousand millions */
    const char *note;   /* goes into the context: what it was made of; borrowed */
};

struct kymo_synth_stats {
    uint64_t calls, enabling, alternatives, idle;
    uint64_t processes, threads; /* at the start and made */
    double aim_per_s;            /* calls a second of the behaviour, as asked for */
    int is_cut;                  /* calls_max was reached */
};

/*
 * Generate a capture into fd, which stays the caller's.
 *
 * The same behaviour, options and build give the same bytes.
 * errors  EINPUT: nothing in the behaviour that could be done; ELIMIT; those of a writer
 * cost    about half a microsecond a call
 */
KYMO_MUST_USE kymo_status kymo_synth(const struct kymo_behaviour *b,
                                     const struct kymo_symbols *s,
                                     const struct kymo_synth_opts *o, int fd, const char *name,
                                     struct kymo_synth_stats *stats, struct kymo_err *err);

#endif
