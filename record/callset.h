/* SPDX-License-Identifier: Apache-2.0
 * callset.h: a choice of system calls, as users write it.
 */
#ifndef KYMO_RECORD_CALLSET_H
#define KYMO_RECORD_CALLSET_H

#include "format/base/err.h"
#include "format/event.h"

struct callset {
    uint8_t native[KYMO_CALLS_MAX], compat[KYMO_CALLS_MAX]; /* nonzero: chosen */
};

/*
 * "openat,read,@net": names, @classes; "!futex,@time": all but these; NULL: all.
 * errors  EUSAGE, naming the word that is no call and no class
 */
KYMO_MUST_USE kymo_status callset_parse(struct callset *out, const char *text,
                                        struct kymo_err *err);

#endif
