/* SPDX-License-Identifier: Apache-2.0
 * pick.h: run the variant of a kernel that a level has, or go on to the plain twin behind it.
 */
#ifndef KYMO_NUM_SIMD_PICK_H
#define KYMO_NUM_SIMD_PICK_H

#include "format/num/simd/simd.h"

/* In a function without a result: call NAME_avx512, NAME_avx2 or NAME_neon and return. */
#if defined(__x86_64__)
#define KYMO_TRY_LANES(level, name, ...)                                                       \
    do {                                                                                       \
        if ((level) == KYMO_SIMD_AVX512) {                                                     \
            name##_avx512(__VA_ARGS__);                                                        \
            return;                                                                            \
        }                                                                                      \
        if ((level) == KYMO_SIMD_AVX2) {                                                       \
            name##_avx2(__VA_ARGS__);                                                          \
            return;                                                                            \
        }                                                                                      \
    } while (0)
#elif defined(__aarch64__)
#define KYMO_TRY_LANES(level, name, ...)                                                       \
    do {                                                                                       \
        if ((level) == KYMO_SIMD_NEON) {                                                       \
            name##_neon(__VA_ARGS__);                                                          \
            return;                                                                            \
        }                                                                                      \
    } while (0)
#else
#define KYMO_TRY_LANES(level, name, ...) (void)(level)
#endif

#endif
