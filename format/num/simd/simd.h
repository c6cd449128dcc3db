/* SPDX-License-Identifier: Apache-2.0
 * simd.h: which vector instructions kernels use, decided once a process.
 *
 * A kernel is a file NAME.c in this folder: the plain C twin, one variant a level that pays, and one
 * function that picks by kymo_simd_level(). Variants agree with the plain twin exactly on what is
 * discrete (labels, neighbours, order) and within a bound that the kernel's header states on sums.
 */
#ifndef KYMO_NUM_SIMD_H
#define KYMO_NUM_SIMD_H

enum kymo_simd {
    KYMO_SIMD_PLAIN,  /* what the compiler makes of C for the oldest CPU it targets */
    KYMO_SIMD_AVX2,   /* with FMA */
    KYMO_SIMD_AVX512, /* F, DQ, VL, BW, with AVX2 and FMA */
    KYMO_SIMD_NEON,   /* every arm64 */
};

/* The best level of this CPU, or what KYMO_SIMD=plain|avx2|avx512|neon in the environment asks for
 * where the CPU has it. */
enum kymo_simd kymo_simd_level(void);
const char *kymo_simd_name(enum kymo_simd level);

#endif
