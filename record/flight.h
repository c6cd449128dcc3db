/* SPDX-License-Identifier: Apache-2.0
 * flight.h: the flight recorder. Encoded chunks stay in a ring of memory; when a trigger fires, what is in the
 * ring and what follows for a while goes into a file of its own, an ordinary capture.
 *
 *     chunks --> [ oldest second | ... | youngest ] --evicted--> gone; its context is kept
 *                        ^ cursor of a dump: reads behind the writer, is never overtaken
 *
 * Seconds go as a whole, so that the account of each second in a file is that of its rows. All but _totals is
 * for the writer's thread.
 */
#ifndef KYMO_RECORD_FLIGHT_H
#define KYMO_RECORD_FLIGHT_H

#include "record/kept.h"
#include "record/trigger.h"

struct flight; /* owned */

#define FLIGHT_RING_BYTES_MIN ((uint64_t)1 << 20)

struct flight_opts {
    uint64_t ring_bytes; /* all that is kept, context and all */
    uint64_t ring_ns;    /* older seconds go even where there is room; 0: they stay */
    uint64_t post_ns;    /* how long it writes after a trigger */
    uint64_t every_ns;   /* triggers that fire sooner after the last are only counted */
    struct triggers_opts triggers;
    void (*say)(const char *text); /* what happens, for people; NULL: nobody listens */
};

struct flight_totals {
    uint64_t fired, held_back; /* triggers that were obeyed, and those that came too soon */
};

/* All pointers are borrowed. */
KYMO_MUST_USE kymo_status flight_open(struct flight **out, const struct flight_opts *o,
                                      struct kymo_writer *w, struct rotate *files,
                                      struct kept *kept, struct kymo_err *err);
void flight_close(struct flight *f); /* NULL is fine */

/* Rows before they are encoded: do they fire a trigger? A mark of kind trigger is a person's request. */
KYMO_MUST_USE kymo_status flight_look(struct flight *f, const struct kymo_batch *b,
                                      struct kymo_err *err);
KYMO_MUST_USE kymo_status flight_keep(struct flight *f, const struct kymo_encoded *c,
                                      struct kymo_err *err);
/* The chunks of a second are all there. */
KYMO_MUST_USE kymo_status flight_second(struct flight *f, uint64_t ts_ns, struct kymo_err *err);
/* Chunks from here on, as far as here, tell what a reader has to know beforehand: of these the youngest that
 * were evicted stay. */
void flight_context(struct flight *f, bool begins);
/* A dump under way goes on by a few MiB. */
bool flight_has_work(const struct flight *f);
KYMO_MUST_USE kymo_status flight_work(struct flight *f, struct kymo_err *err);
/* A bound of the disk stood in the way of a dump. */
bool flight_bound(const struct flight *f);
/* Nothing follows: complete the dump that is under way. */
KYMO_MUST_USE kymo_status flight_finish(struct flight *f, struct kymo_err *err);
void flight_totals(const struct flight *f, struct flight_totals *out);

#endif
