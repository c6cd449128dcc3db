/* SPDX-License-Identifier: Apache-2.0
 * fit_ranks.h: --mpi, and what a fit over several processes gathers.
 */
#ifndef KYMO_FIT_FIT_RANKS_H
#define KYMO_FIT_FIT_RANKS_H

#include "analyze/core/ranks.h"
#include "format/base/bytes.h"

/*
 * Open the module that knows MPI, and begin.
 *
 * out     the table, for as long as the process lives
 * errors  EHOST: there is no module, or it does not begin
 */
KYMO_MUST_USE kymo_status kymo_processes_open(const struct kymo_ranks **out,
                                              struct kymo_err *err);

/* Bytes of all processes, one behind the other in their order; r NULL: mine alone. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_processes_gather(const struct kymo_ranks *r, const void *mine,
                                                size_t bytes, struct kymo_buf *all,
                                                struct kymo_err *err);

#endif
