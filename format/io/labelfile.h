/* SPDX-License-Identifier: Apache-2.0
 * labelfile.h: labels of stretches of time, as text.
 */
#ifndef KYMO_IO_LABELFILE_H
#define KYMO_IO_LABELFILE_H

#include "format/model/labels.h"

/*
 * Read "start,end,entity,label,verdict" and let every window wholly inside vote.
 *
 * Times are seconds from the start of the first capture, or wall-clock seconds since 1970 when they
 * are 1e9 and more; an empty entity is every entity. Labels are appended to l.
 *
 * row_label [m->n] out: index of the label of each row, UINT32_MAX: none; the last line that covers
 *           a row counts
 */
KYMO_MUST_USE kymo_status kymo_labels_read(struct kymo_labels *l, const struct kymo_matrix *m,
                                           char *text, size_t bytes, const char *name,
                                           uint32_t *row_label, struct kymo_err *err);

#endif
