/* SPDX-License-Identifier: Apache-2.0
 * err.h: the error idiom. The message is written once, where the value is known.
 */
#ifndef KYMO_BASE_ERR_H
#define KYMO_BASE_ERR_H

#include <stdarg.h>

#include "format/kymo.h"

#define KYMO_NOWHERE UINT64_MAX

/* Write the message; NULL err is allowed. Text is cut at KYMO_ERR_BYTES_MAX. */
void kymo_err_set(struct kymo_err *err, kymo_status code, uint64_t at_bytes, const char *fmt,
                  ...) KYMO_PRINTF(4, 5);

/* The code is an operand, so the compiler sees that the path is nonzero. */
#define KYMO_FAIL(err, code, at_bytes, ...)                                                    \
    (kymo_err_set((err), (code), (at_bytes), __VA_ARGS__), (code))

#define KYMO_TRY(x)                                                                            \
    do {                                                                                       \
        const kymo_status kymo_try_ = (x);                                                     \
        if (kymo_try_)                                                                         \
            return kymo_try_;                                                                  \
    } while (0)

#endif
