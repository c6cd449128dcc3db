/* SPDX-License-Identifier: Apache-2.0
 * module.c: processes of MPI as ranks.h wants them. A library of its own, opened by --mpi alone, so that nothing else
 * needs MPI.
 */
#include <limits.h>
#include <mpi.h>
#include <stdlib.h>

#include "analyze/core/ranks.h"

/* One call moves at most so many values, which an int counts. */
#define AT_ONCE ((size_t)1 << 24)

static void reduce(double *v, size_t n, MPI_Op op)
{
    for (size_t at = 0; at < n; at += AT_ONCE) {
        const size_t left = n - at < AT_ONCE ? n - at : AT_ONCE;
        MPI_Allreduce(MPI_IN_PLACE, v + at, (int)left, MPI_DOUBLE, op, MPI_COMM_WORLD);
    }
}

static void sum(double *v, size_t n)
{
    reduce(v, n, MPI_SUM);
}

static void max(double *v, size_t n)
{
    reduce(v, n, MPI_MAX);
}

static void share(void *bytes, size_t n, int from)
{
    char *p = bytes;
    for (size_t at = 0; at < n; at += AT_ONCE) {
        const size_t left = n - at < AT_ONCE ? n - at : AT_ONCE;
        MPI_Bcast(p + at, (int)left, MPI_BYTE, from, MPI_COMM_WORLD);
    }
}

static void leave(int status)
{
    MPI_Abort(MPI_COMM_WORLD, status);
    abort(); /* which does not return here */
}

static void end(void)
{
    MPI_Finalize();
}

/* NULL: another version of the table is wanted, or MPI does not begin. */
const struct kymo_ranks *kymo_ranks_begin(int version);
const struct kymo_ranks *kymo_ranks_begin(int version)
{
    static struct kymo_ranks table = {
        .sum = sum, .max = max, .share = share, .leave = leave, .end = end};
    if (version != KYMO_RANKS_VERSION || MPI_Init(NULL, NULL) != MPI_SUCCESS)
        return NULL;
    MPI_Comm_rank(MPI_COMM_WORLD, &table.rank);
    MPI_Comm_size(MPI_COMM_WORLD, &table.size);
    return &table;
}
