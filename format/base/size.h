/* SPDX-License-Identifier: Apache-2.0
 * size.h: checked arithmetic for sizes that come from a file or a user.
 */
#ifndef KYMO_BASE_SIZE_H
#define KYMO_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* out = a + b; false and out untouched on overflow. */
static inline bool kymo_size_add(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

/* out = a * b; false and out untouched on overflow. */
static inline bool kymo_size_mul(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r))
        return false;
    *out = r;
    return true;
}

static inline size_t kymo_size_round_up(size_t n, size_t power_of_two)
{
    return (n + power_of_two - 1) & ~(power_of_two - 1);
}

#define KYMO_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
