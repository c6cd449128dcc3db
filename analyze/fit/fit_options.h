/* SPDX-License-Identifier: Apache-2.0
 * fit_options.h: the options that all clusterers have, once.
 */
#ifndef KYMO_FIT_FIT_OPTIONS_H
#define KYMO_FIT_FIT_OPTIONS_H

#include "analyze/fit/fit.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "format/num/parallel.h"

#define KYMO_FIT_DEFAULTS                                                                      \
    {                                                                                          \
        .seed = 1, .holdout = -1, .threads = kymo_cpus(), .variance_min = 0                    \
    }

/* Rows of a tool's option table; o is a struct kymo_fit_opts. */
#define KYMO_FIT_OPT_FILES(o)                                                                  \
    {KYMO_OPT_STR, 'w', "write", "FILE", "write the model here (-: standard output)",          \
     &(o)->out,    0,   0},                                                                    \
        {KYMO_OPT_STR, 'r', "read", "FILE", "the matrix, like a bare MATRIX", &(o)->in, 0, 0}, \
    {                                                                                          \
        KYMO_OPT_STR, 'o', "labels-out", "FILE",                                               \
            "write the state of every row here (.npy, or CSV)", &(o)->labels, 0, 0             \
    }
#define KYMO_FIT_OPT_ROWS(o)                                                                     \
    {KYMO_OPT_CHOICE,                                                                            \
     0,                                                                                          \
     "transform",                                                                                \
     "spec|standard|robust|log1p|none",                                                          \
     "how columns are bent and scaled (spec for a .kymo matrix, else none)",                     \
     &(o)->transform,                                                                            \
     0,                                                                                          \
     0},                                                                                         \
        {KYMO_OPT_F64,                                                                           \
         0,                                                                                      \
         "variance-threshold",                                                                   \
         "V",                                                                                    \
         "leave columns out whose variance, once bent, is V or less (none)",                     \
         &(o)->variance_min,                                                                     \
         0,                                                                                      \
         1e300},                                                                                 \
        {KYMO_OPT_STR,                                                                           \
         0,                                                                                      \
         "pca",                                                                                  \
         "SHARE|N",                                                                              \
         "take distances along so many principal components, or as keep that share of the "      \
         "variance",                                                                             \
         &(o)->pca,                                                                              \
         0,                                                                                      \
         0},                                                                                     \
        {KYMO_OPT_STR,  0, "weights", "FILE", "how many rows each row stands for (.npy or CSV)", \
         &(o)->weights, 0, 0},                                                                   \
        {KYMO_OPT_SHARE,                                                                         \
         0,                                                                                      \
         "holdout",                                                                              \
         "SHARE",                                                                                \
         "share of the windows kept back to calibrate p-values (20% for a .kymo matrix, else "   \
         "0)",                                                                                   \
         &(o)->holdout,                                                                          \
         0,                                                                                      \
         0.5},                                                                                   \
    {                                                                                            \
        KYMO_OPT_FLAG, 0, "marked", NULL,                                                        \
            "learn only from windows that lie wholly inside a mark", &(o)->marked, 0, 0          \
    }
#define KYMO_FIT_OPT_RUN(o)                                                                      \
    {KYMO_OPT_U64, 0, "seed", "N", "seed of all that is drawn (1)", &(o)->seed, 0, 0},           \
        {KYMO_OPT_U64,                                                                           \
         'j',                                                                                    \
         "jobs",                                                                                 \
         "N",                                                                                    \
         "threads; the result is the same for every number (all CPUs)",                          \
         &(o)->threads,                                                                          \
         1,                                                                                      \
         KYMO_THREADS_MAX},                                                                      \
        {KYMO_OPT_FLAG, 0, "json", NULL, "print the summary as JSON", &(o)->json, 0, 0},         \
        {KYMO_OPT_FLAG, 0, "force", NULL, "overwrite an output that exists", &(o)->force, 0, 0}, \
        {KYMO_OPT_FLAG, 'q', "quiet", NULL, "no summary and no warnings", &(o)->quiet, 0, 0},    \
    {                                                                                            \
        KYMO_OPT_FLAG, 0, "no-progress", NULL, "no progress line", &(o)->no_progress, 0, 0       \
    }

#define KYMO_FIT_OPT_MPI(o)                                                                    \
    {                                                                                          \
        KYMO_OPT_FLAG, 0, "mpi", NULL,                                                         \
            "be one of several processes under mpirun, which share the matrices out",          \
            &(o)->mpi, 0, 0                                                                    \
    }

/* Parse the table of a clusterer: one matrix in, one model out. Returns as kymo_cli_parse(). */
int kymo_fit_parse(const struct kymo_cli *cli, int argc, char **argv, struct kymo_fit_opts *o);

/* All of a clusterer's run but its core: open, refuse an output that exists, run, close, exit status. */
typedef kymo_status (*kymo_fit_run)(struct kymo_fit *f, void *ctx, struct kymo_err *err);
int kymo_fit_main(const struct kymo_fit_opts *o, const char *tool, kymo_fit_run run, void *ctx);

#endif
