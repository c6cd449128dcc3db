/* SPDX-License-Identifier: Apache-2.0
 * sweep.h: tests that try every byte or every call: a seeded tenth of them, all with KYMO_LONG set.
 */
#ifndef KYMO_TESTS_SWEEP_H
#define KYMO_TESTS_SWEEP_H

#include <stdint.h>
#include <stdlib.h>

static inline int sweep_takes(uint64_t i)
{
    static int is_long = -1;
    if (is_long < 0)
        is_long = getenv("KYMO_LONG") != NULL;
    return is_long || (i * 0x9e3779b97f4a7c15u >> 40) % 10 == 3;
}

#endif
