/* SPDX-License-Identifier: Apache-2.0
 * cloud_rows.h: rows for tests of clusterers, and tests run once for each level of vector instructions.
 */
#ifndef KYMO_TESTS_CLOUD_ROWS_H
#define KYMO_TESTS_CLOUD_ROWS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "format/base/arena.h"
#include "format/base/rng.h"
#include "format/num/dense.h"
#include "format/num/simd/simd.h"

enum rows_kind {
    ROWS_CLOUDS, /* four of unequal density, and some rows anywhere */
    ROWS_GRID,   /* small whole numbers: many ties and duplicates */
    ROWS_EQUAL,  /* all the same */
    ROWS_KINDS
};

static inline double *rows_make(struct kymo_arena *a, enum rows_kind kind, size_t n, size_t d,
                                uint64_t seed)
{
    struct kymo_rng r;
    kymo_rng_init(&r, seed);
    double *x = KYMO_NEW_RAW(a, double, n *d);
    for (size_t i = 0; i < n; i++) {
        const size_t cloud = (size_t)kymo_rng_below(&r, 5);
        for (size_t j = 0; j < d; j++) {
            /* Four uniform numbers together are bell enough. */
            double u = 0;
            for (int k = 0; k < 4; k++)
                u += kymo_rng_unit(&r) - 0.5;
            if (kind == ROWS_EQUAL)
                x[i * d + j] = 0.1 * (double)j;
            else if (kind == ROWS_GRID)
                x[i * d + j] = (double)kymo_rng_below(&r, d < 3 ? 12 : 4);
            else if (cloud == 4)
                x[i * d + j] = 12 * kymo_rng_unit(&r);
            else
                x[i * d + j] = 3 * (double)cloud + u * (0.4 + 0.3 * (double)cloud);
        }
    }
    return x;
}

/* A golden CSV: a line of names, then numbers. */
static inline double *rows_read_csv(struct kymo_arena *a, const char *path, size_t *n,
                                    size_t *d)
{
    char line[8192];
    FILE *f = fopen(path, "r");
    if (!f || !fgets(line, sizeof(line), f))
        abort();
    *d = 1;
    for (const char *p = line; (p = strchr(p, ',')); p++)
        (*d)++;
    const size_t most = 1000;
    double *x = KYMO_NEW(a, double, most **d);
    for (*n = 0; *n < most && fgets(line, sizeof(line), f); (*n)++) {
        char *p = line;
        for (size_t j = 0; j < *d; j++, p++)
            x[*n * *d + j] = strtod(p, &p);
    }
    fclose(f);
    return x;
}

/* Run the tests in a process of their own for each level that this CPU has; the first failure's status.
 * The level is chosen once a process, so nothing may have asked for it before. */
static inline int run_at_every_level(int (*run)(void))
{
    static const char *const level[] = {"plain", "avx2", "avx512", "neon"};
    int worst = 0;
    for (size_t i = 0; i < sizeof(level) / sizeof(*level); i++) {
        fflush(NULL);
        const pid_t child = fork();
        if (child < 0)
            return 1;
        if (child == 0) {
            setenv("KYMO_SIMD", level[i], 1);
            if (strcmp(kymo_simd_name(kymo_simd_level()), level[i]) != 0)
                exit(0); /* not on this CPU */
            printf("# %s\n", level[i]);
            exit(run() ? 1 : 0);
        }
        int status;
        if (waitpid(child, &status, 0) < 0)
            return 1;
        if (!WIFEXITED(status) || WEXITSTATUS(status))
            worst = 1;
    }
    return worst;
}

#endif
