/* SPDX-License-Identifier: Apache-2.0
 * scap_events.h: what the event types of scap files are. Types come in pairs, an even one for the entry and
 * the odd one after it for the exit.
 */
#ifndef KYMO_IMPORT_SCAP_EVENTS_H
#define KYMO_IMPORT_SCAP_EVENTS_H

#include <stddef.h>
#include <stdint.h>

enum kymo_scap_class {
    KYMO_SCAP_UNKNOWN, /* of a later version: counted, not understood */
    KYMO_SCAP_CALL,
    KYMO_SCAP_GENERIC, /* a call by its number alone */
    KYMO_SCAP_EXEC,
    KYMO_SCAP_CLONE,
    KYMO_SCAP_EXIT,     /* a task's death */
    KYMO_SCAP_KERNEL,   /* switches, signals, faults, drops: no table has them */
    KYMO_SCAP_INTERNAL, /* the recorder's talk with itself */
};

/*
 * What each parameter of an event is, a letter each, in `enter` and `exit`:
 *   r the result    0..5 that argument of the call    p q its paths    - nothing that is kept
 *   a a socket address    t s a connection: its destination, its source is the address
 */
struct kymo_scap_event {
    uint16_t type; /* of the entry */
    uint8_t cls;   /* enum kymo_scap_class */
    const char *name;
    const char *enter, *exit;
};

/* NULL: of no type that is known. type may be an entry's or an exit's. */
const struct kymo_scap_event *kymo_scap_event(uint16_t type);
/* The first type of a name, by which sysdig prints it. */
const struct kymo_scap_event *kymo_scap_event_by_name(const char *name, size_t n);

#endif
