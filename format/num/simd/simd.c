/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/simd/simd.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"plain", "avx2", "avx512", "neon"};

const char *kymo_simd_name(enum kymo_simd level)
{
    return names[level];
}

static int cpu_has(enum kymo_simd level)
{
    switch (level) {
    case KYMO_SIMD_PLAIN:
        return 1;
#if defined(__x86_64__)
    case KYMO_SIMD_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case KYMO_SIMD_AVX512:
        return cpu_has(KYMO_SIMD_AVX2) && __builtin_cpu_supports("avx512f") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512bw");
#elif defined(__aarch64__)
    case KYMO_SIMD_NEON:
        return 1;
#endif
    default:
        return 0;
    }
}

static enum kymo_simd choose(void)
{
    const char *wanted = getenv("KYMO_SIMD");
    enum kymo_simd best = KYMO_SIMD_PLAIN;
    for (int level = KYMO_SIMD_PLAIN; level <= KYMO_SIMD_NEON; level++) {
        if (!cpu_has((enum kymo_simd)level))
            continue;
        best = (enum kymo_simd)level;
        if (wanted && strcmp(wanted, names[level]) == 0)
            break;
    }
    return best;
}

enum kymo_simd kymo_simd_level(void)
{
    static atomic_int known; /* level + 1 */
    int level = atomic_load_explicit(&known, memory_order_relaxed);
    if (!level) {
        level = (int)choose() + 1;
        atomic_store_explicit(&known, level, memory_order_relaxed);
    }
    return (enum kymo_simd)(level - 1);
}
