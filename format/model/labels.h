/* SPDX-License-Identifier: Apache-2.0
 * labels.h: names with verdicts, and the windows that vote for them.
 */
#ifndef KYMO_MODEL_LABELS_H
#define KYMO_MODEL_LABELS_H

#include "format/model/matrix.h"
#include "format/model/model.h"

#define KYMO_LABELS_MAX 256u

struct kymo_label {
    char name[KYMO_LABEL_BYTES_MAX];
    enum kymo_verdict verdict;
};
struct kymo_labels {
    struct kymo_label label[KYMO_LABELS_MAX];
    size_t n;
};

/* "idle=good,storm=bad": appended. errors EUSAGE: another form, or one name with two verdicts */
KYMO_MUST_USE kymo_status kymo_labels_parse(struct kymo_labels *l, const char *text,
                                            struct kymo_err *err);
/* "idle,reads", all of this verdict: appended. */
KYMO_MUST_USE kymo_status kymo_labels_add(struct kymo_labels *l, const char *names,
                                          enum kymo_verdict verdict, struct kymo_err *err);
/* One name of so many bytes. */
KYMO_MUST_USE kymo_status kymo_labels_add_one(struct kymo_labels *l, const char *name,
                                              size_t bytes, enum kymo_verdict verdict,
                                              struct kymo_err *err);
/* Index of a name, l->n: none. */
size_t kymo_labels_find(const struct kymo_labels *l, const char *name);

/* Count how many rows lie wholly inside a span of each label. inside [n] out. */
void kymo_labels_cover(const struct kymo_labels *l, const struct kymo_matrix *m,
                       uint64_t *inside);

/* The label of each row by the matrix's own marks: row_label [n] out, an index or UINT32_MAX. Of
 * several marks that hold a row, the shortest of a known name counts. */
void kymo_labels_from_marks(const struct kymo_labels *l, const struct kymo_matrix *m,
                            uint32_t *row_label);

/*
 * Give each state that was voted for its verdict: that of most of its labelled windows, with the
 * share that agrees as purity and their number as evidence; its name is the most frequent label of
 * that verdict. A tie between good and bad leaves it unknown. A state without votes stays as it is.
 *
 * state, row_label [n]; by: "marks" or "labels"
 * errors ELIMIT
 */
KYMO_MUST_USE kymo_status kymo_labels_vote(struct kymo_model *model,
                                           const struct kymo_labels *l, size_t n,
                                           const uint32_t *state, const uint32_t *row_label,
                                           const char *by, struct kymo_err *err);

#endif
