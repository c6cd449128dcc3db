/* SPDX-License-Identifier: Apache-2.0
 * callmask.h: what the numbers of a system call are: addresses, user ids, or neither.
 */
#ifndef KYMO_ANONYMIZE_CALLMASK_H
#define KYMO_ANONYMIZE_CALLMASK_H

#include "format/anonymize/mask.h"

struct kymo_call_numbers {
    const char *name;
    uint8_t address; /* bit i: argument i is an address, however small */
    uint8_t number;  /* argument i is a length or an offset, however large */
    uint8_t id;      /* argument i is a user or a group */
    char ret;        /* 'a' an address, 'i' a user or a group, 0 neither */
};

/* What is known of a call; never NULL. name may be NULL. */
const struct kymo_call_numbers *kymo_call_numbers(const char *name);
/* An argument's pseudonym. arch is AUDIT_ARCH_*. */
uint64_t kymo_mask_arg(struct kymo_mask *m, const struct kymo_call_numbers *call, unsigned i,
                       uint64_t arch, uint64_t v);
uint64_t kymo_mask_ret(struct kymo_mask *m, const struct kymo_call_numbers *call, uint64_t arch,
                       uint64_t v);

#endif
