/* SPDX-License-Identifier: Apache-2.0
 * load.h: a matrix or a capture by its path, whatever its form.
 */
#ifndef KYMO_IO_LOAD_H
#define KYMO_IO_LOAD_H

#include "format/model/matrix.h"

/*
 * Read a matrix into an initialised m: .npy and .csv/.tsv/.txt by their ends, all else ("-" too) as
 * .kymo, table features.
 */
KYMO_MUST_USE kymo_status kymo_matrix_load(struct kymo_matrix *m, const char *path,
                                           struct kymo_err *err);

/* Does the path end so that it is read as .npy or CSV? */
int kymo_path_is_table(const char *path);

/*
 * Add a capture to a matrix that has a spec, or read a matrix of the same spec.
 *
 * is_matrix  out: 1 when the input held a features table (spec NULL is fine for those alone)
 */
KYMO_MUST_USE kymo_status kymo_matrix_load_any(struct kymo_matrix *m, const char *path,
                                               const struct kymo_feature_spec *spec,
                                               int *is_matrix, struct kymo_err *err);

/* Featurize one capture into a matrix whose spec was set. ordinal: which capture it is; threads decode
 * ahead, and change no byte of it. */
KYMO_MUST_USE kymo_status kymo_matrix_load_capture(struct kymo_matrix *m, const char *path,
                                                   uint32_t ordinal, unsigned threads,
                                                   struct kymo_err *err);

/* Learn from a capture what is usual in windows of a spec without a vocabulary. */
KYMO_MUST_USE kymo_status kymo_vocabulary_load(struct kymo_vocabulary_fit *fit,
                                               const struct kymo_feature_spec *spec,
                                               const char *path, unsigned threads,
                                               struct kymo_err *err);

#endif
