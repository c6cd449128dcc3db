/* SPDX-License-Identifier: Apache-2.0
 * dendrogram.h: what a tree of merges says: partitions, sums, text to draw it from.
 *
 * Z is [n-1] complete, as kymo_linkage() makes it; sizes are not looked at. Labels are numbered in
 * the order in which clusters first appear among the rows.
 */
#ifndef KYMO_CORE_DENDROGRAM_H
#define KYMO_CORE_DENDROGRAM_H

#include "analyze/core/linkage.h"
#include "format/base/bytes.h"

/*
 * Labels of the k clusters that are left after the first n - k merges.
 *
 * label   [n] out, 0..k-1          k  1..n
 * cost    O(n)
 * errors  ELIMIT: no memory
 */
KYMO_MUST_USE kymo_status kymo_dendrogram_cut(size_t n, const struct kymo_merge *Z, size_t k,
                                              uint32_t *label, struct kymo_err *err);

/* Labels of the clusters no merge of which is higher than height; k out: how many. In a tree with
 * inversions a merge counts as high as the highest below it. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_dendrogram_cut_height(size_t n, const struct kymo_merge *Z,
                                                     double height, uint32_t *label, size_t *k,
                                                     struct kymo_err *err);

/* What tells a good cut. */
enum kymo_cut_index {
    KYMO_CUT_SILHOUETTE, /* O(n^2 d) a cut */
    KYMO_CUT_CALINSKI,   /* O(n d) a cut */
};

/*
 * The cut into k_min..k_max clusters with the highest index, the fewest clusters of equals.
 *
 * x       the rows of the tree            k_min >= 2, k_max < n
 * score   [k_max - k_min + 1] out, the index of each; may be NULL
 * k       out
 * label   [n] out, of that cut
 * errors  ELIMIT: no memory
 */
KYMO_MUST_USE kymo_status kymo_dendrogram_best(const struct kymo_dense *x,
                                               const struct kymo_merge *Z,
                                               enum kymo_cut_index index, size_t k_min,
                                               size_t k_max, unsigned n_threads, double *score,
                                               size_t *k, uint32_t *label,
                                               struct kymo_err *err);

/* Sum over all pairs of rows of the height at which they come together, and of its square.
 * errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_dendrogram_cophenetic(size_t n, const struct kymo_merge *Z,
                                                     double *sum, double *sum_of_squares,
                                                     struct kymo_err *err);

/*
 * The tree in Newick's form, one line: a branch is as long as its ends' heights are apart, never less
 * than 0.
 *
 * name    [n] of the rows, UTF-8 or not, borrowed; NULL, or NULL in it: the row's number. A name of
 *         other than letters, digits, and . + - is put in single quotes, a quote in it doubled;
 *         control bytes become spaces.
 * out     gains the text; no memory shows in out->failed
 * errors  ELIMIT: no memory for the order
 */
KYMO_MUST_USE kymo_status kymo_dendrogram_newick(size_t n, const struct kymo_merge *Z,
                                                 const char *const *name, struct kymo_buf *out,
                                                 struct kymo_err *err);

/*
 * The tree for gnuplot: for each merge four lines "x y", up, across and down, and an empty one, to be
 * drawn with lines; rows stand at x = 0..n-1 in the order in which their branches do not cross, which
 * comes first, a comment "# x row" each.
 */
KYMO_MUST_USE kymo_status kymo_dendrogram_gnuplot(size_t n, const struct kymo_merge *Z,
                                                  struct kymo_buf *out, struct kymo_err *err);

/* The rows from left to right, so that no branches cross: the part with the lower number first.
 * order [n] out. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_dendrogram_order(size_t n, const struct kymo_merge *Z,
                                                uint32_t *order, struct kymo_err *err);

#endif
