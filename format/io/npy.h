/* SPDX-License-Identifier: Apache-2.0
 * npy.h: NumPy's array file, versions 1 to 3, little-endian f4 and f8 in C order.
 * source: NumPy documentation, numpy.lib.format
 */
#ifndef KYMO_IO_NPY_H
#define KYMO_IO_NPY_H

#include "format/model/matrix.h"

/*
 * Bytes of a file into an initialised matrix; columns are named x0, x1, ...
 *
 * errors  EINPUT: no such array (another type, order or shape), naming what was found;
 *         ECORRUPT: a header that breaks its rules, or fewer bytes than the shape asks for
 */
KYMO_MUST_USE kymo_status kymo_npy_parse(struct kymo_matrix *m, struct kymo_bytes in,
                                         const char *name, struct kymo_err *err);
/* X [n,d] as version 1, '<f8'. */
KYMO_MUST_USE kymo_status kymo_npy_write(int fd, size_t n, size_t d, const double *X,
                                         const char *name, struct kymo_err *err);
/* Labels [n] as '<i4'. */
KYMO_MUST_USE kymo_status kymo_npy_write_labels(int fd, size_t n, const uint32_t *label,
                                                const char *name, struct kymo_err *err);

#endif
