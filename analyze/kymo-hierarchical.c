/* SPDX-License-Identifier: Apache-2.0
 * kymo-hierarchical: the states of a host as branches of a tree.
 * needs: openblas
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyze/core/birch.h"
#include "analyze/core/dendrogram.h"
#include "analyze/core/linkage.h"
#include "analyze/core/metrics.h"
#include "analyze/fit/fit_options.h"
#include "analyze/fit/progress.h"
#include "analyze/fit/search.h"
#include "format/base/file.h"
#include "format/io/load.h"

#define TOOL "kymo-hierarchical"
#define K_MAX_CUT 24u

struct opts {
    struct kymo_fit_opts fit;
    const char *k, *method, *z_out, *newick, *gnuplot, *distances;
    uint64_t k_max, memory_bytes, groups, n_states;
    double height;
};

struct run {
    const struct opts *o;
    struct kymo_fit *f;
    enum kymo_linkage_method method;
    struct kymo_dense rows;    /* what the tree is of: f->X, or the groups */
    const uint32_t *group;     /* [X.n] of each row, or NULL: each row by itself */
    struct kymo_birch_out few; /* the groups */
    struct kymo_linkage_out tree;
    double silhouette; /* of the cut, NaN: not worked out */
    const char *cut;   /* why so many */
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        KYMO_FIT_OPT_FILES(&o->fit),
        {KYMO_OPT_CHOICE, 0, "method", "ward|average|complete|single|centroid",
         "what the distance of two clusters is (ward)", &o->method, 0, 0},
        {KYMO_OPT_STR, 'k', NULL, "N|auto",
         "cut the tree into so many states (auto: the best silhouette)", &o->k, 0, 0},
        {KYMO_OPT_U64, 0, "k-max", "N", "where -k auto stops trying (24)", &o->k_max, 2, 4096},
        {KYMO_OPT_F64, 0, "height", "H", "cut the tree at this height, in place of -k",
         &o->height, 0, 1e300},
        {KYMO_OPT_STR, 0, "distances", "FILE",
         "distances of the rows, as a square or one condensed column (.npy or CSV); in place "
         "of "
         "those of the matrix",
         &o->distances, 0, 0},
        {KYMO_OPT_STR, 0, "tree-out", "FILE",
         "write the merges here, as SciPy's Z: two clusters, height, size (.npy, or CSV)",
         &o->z_out, 0, 0},
        {KYMO_OPT_STR, 0, "newick", "FILE", "write the tree here, in Newick's form", &o->newick,
         0, 0},
        {KYMO_OPT_STR, 0, "gnuplot", "FILE", "write the tree here, as lines for gnuplot",
         &o->gnuplot, 0, 0},
        {KYMO_OPT_BYTES, 0, "memory", "SIZE",
         "what the distances may take; of more rows the likest are joined beforehand (4G)",
         &o->memory_bytes, 1 << 20, 1e15},
        {KYMO_OPT_U64, 0, "groups", "N", "join the rows to so many groups beforehand",
         &o->groups, 2, 1e7},
        KYMO_FIT_OPT_ROWS(&o->fit),
        KYMO_FIT_OPT_RUN(&o->fit),
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "find the states of a host as branches of a tree",
        .positional = "[MATRIX]",
        .positional_max = 1,
        .examples =
            "kymo hierarchical prod.features.kymo -w prod.model.json --newick prod.nwk\n"
            "kymo hierarchical --method average -k 6 prod.features.kymo -w prod.model.json\n"
            "kymo hierarchical -k 3 iris.csv -w iris.json --tree-out Z.npy -o labels.csv\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    const int usage = kymo_fit_parse(&cli, argc, argv, &o->fit);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    if (o->height >= 0 && strcmp(o->k, "auto") != 0)
        return kymo_cli_usage(TOOL, "-k and --height both say where to cut");
    if (o->distances && o->groups)
        return kymo_cli_usage(TOOL, "--groups joins rows, and --distances knows none");
    return kymo_parse_k(TOOL, o->k, &o->n_states);
}

/* -- the tree --------------------------------------------------------------------------------- */

static void on_merge(void *ctx, const struct kymo_linkage_tick *t)
{
    (void)ctx;
    kymo_progress((double)t->merges / (double)t->merges_all, "%zu of %zu merges", t->merges,
                  t->merges_all);
}

static void on_row(void *ctx, size_t done)
{
    const struct run *r = ctx;
    kymo_progress((double)done / (double)r->f->X.n, "joining rows beforehand");
}

/* Rows whose tree fits into that memory: average and complete keep distances of pairs. */
static size_t rows_in(enum kymo_linkage_method method, uint64_t bytes, size_t d)
{
    if (method == KYMO_LINKAGE_AVERAGE || method == KYMO_LINKAGE_COMPLETE)
        return (size_t)sqrt((double)bytes / (7.0 / 6 * 2)); /* n^2 / 4 doubles and a sixth */
    return (size_t)((double)bytes / (8.0 * (2.0 * (double)d + 8)));
}

static kymo_status join_beforehand(struct run *r, size_t groups, struct kymo_err *err)
{
    struct kymo_fit *f = r->f;
    const struct kymo_birch_in in = {.x = &f->X,
                                     .m_max = groups,
                                     .stop = kymo_progress_stop(),
                                     .tick = on_row,
                                     .tick_ctx = r};
    KYMO_TRY(kymo_birch(&in, &f->arena, &r->few, err));
    if (r->few.n_done < f->X.n)
        return KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE,
                         "stopped while rows were joined: nothing is left to keep");
    r->rows = (struct kymo_dense){
        .n = r->few.m, .d = f->X.d, .f64 = r->few.centroid, .weight = r->few.weight};
    r->group = r->few.label;
    return KYMO_OK;
}

static kymo_status load_distances(struct run *r, struct kymo_distances *d,
                                  struct kymo_matrix *m, struct kymo_err *err)
{
    const size_t n = r->f->X.n;
    KYMO_TRY(kymo_matrix_load(m, r->o->distances, err));
    if (r->f->split.n_train != r->f->m.n)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "--distances are those of all rows: --holdout 0, without --marked");
    const bool square = m->n == n && m->d == n,
               condensed = m->d == 1 && m->n == n * (n - 1) / 2;
    if (!square && !condensed)
        return KYMO_FAIL(
            err, KYMO_EINPUT, KYMO_NOWHERE,
            "%s is %zu by %zu; distances of %zu rows are a square, or one column of "
            "%zu",
            r->o->distances, m->n, m->d, n, n * (n - 1) / 2);
    double *at = KYMO_NEW_RAW(&r->f->arena, double, m->n * m->d);
    if (!at)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < m->n; i++)
        for (size_t j = 0; j < m->d; j++) {
            at[i * m->d + j] = kymo_matrix_at(m, i, j);
            if (at[i * m->d + j] < 0)
                return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                                 "%s: a distance of row %zu is negative", r->o->distances,
                                 i + 1);
        }
    *d = (struct kymo_distances){.n = n,
                                 .form = square && !condensed ? KYMO_DISTANCES_SQUARE
                                                              : KYMO_DISTANCES_CONDENSED,
                                 .at = at,
                                 .weight = r->f->X.weight};
    return KYMO_OK;
}

static kymo_status grow_tree(struct run *r, struct kymo_err *err)
{
    struct kymo_fit *f = r->f;
    struct kymo_distances given;
    struct kymo_linkage_in in = {.method = r->method,
                                 .rows = &r->rows,
                                 .n_threads = (unsigned)f->o->threads,
                                 .stop = kymo_progress_stop(),
                                 .tick = on_merge};
    const size_t most =
        r->o->groups ? (size_t)r->o->groups : rows_in(r->method, r->o->memory_bytes, f->X.d);
    r->rows = f->X;
    if (r->o->distances) {
        struct kymo_matrix m;
        kymo_matrix_init(&m, 0);
        const kymo_status s = load_distances(r, &given, &m, err);
        kymo_matrix_release(&m);
        if (s)
            return s;
        in.rows = NULL;
        in.distances = &given;
    } else if (f->X.n > most) {
        KYMO_TRY(join_beforehand(r, most, err));
    }
    KYMO_TRY(kymo_linkage(&in, &f->arena, &r->tree, err));
    kymo_progress_end();
    if (r->tree.stopped)
        return KYMO_FAIL(err, KYMO_ESTOPPED, KYMO_NOWHERE,
                         "stopped after %zu of %zu merges: an unfinished tree has no cut",
                         r->tree.n_merges, r->rows.n - 1);
    return KYMO_OK;
}

/* -- the cut ---------------------------------------------------------------------------------- */

static kymo_status cut_tree(struct run *r, uint32_t *label, size_t *k, struct kymo_err *err)
{
    const size_t n = r->rows.n;
    if (r->o->height >= 0) {
        r->cut = "cut at the height given";
        return kymo_dendrogram_cut_height(n, r->tree.Z, r->o->height, label, k, err);
    }
    if (r->o->n_states || n < 4) {
        *k = r->o->n_states ? (size_t)r->o->n_states : 1;
        r->cut = "cut into as many as were asked for";
        if (*k > n)
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "%zu states want at least as many rows, and there are %zu", *k, n);
        return kymo_dendrogram_cut(n, r->tree.Z, *k, label, err);
    }
    r->cut = "cut where the silhouette is best";
    const size_t most = (size_t)r->o->k_max < n - 1 ? (size_t)r->o->k_max : n - 1;
    /* Of many rows the cheap index; a silhouette takes every pair. */
    const enum kymo_cut_index index =
        n <= 5 * KYMO_SAMPLE_ROWS ? KYMO_CUT_SILHOUETTE : KYMO_CUT_CALINSKI;
    if (index == KYMO_CUT_CALINSKI)
        r->cut = "cut where the Calinski-Harabasz index is best";
    return kymo_dendrogram_best(&r->rows, r->tree.Z, index, 2, most, (unsigned)r->f->o->threads,
                                NULL, k, label, err);
}

static kymo_status judge_cut(struct run *r, const uint32_t *label, size_t k,
                             struct kymo_err *err)
{
    struct kymo_search s;
    r->silhouette = NAN;
    if (k < 2)
        return KYMO_OK;
    KYMO_TRY(kymo_search_open(&s, r->f, k, 2, k, err));
    KYMO_TRY(kymo_search_silhouettes(&s, 1, &label, err));
    r->silhouette = s.tried[0].silhouette;
    return KYMO_OK;
}

/* -- what is written -------------------------------------------------------------------------- */

static kymo_status write_text(const struct run *r, const char *path,
                              kymo_status (*make)(const struct run *, struct kymo_buf *,
                                                  struct kymo_err *),
                              struct kymo_err *err)
{
    struct kymo_buf text = {0};
    struct kymo_out out;
    if (!path)
        return KYMO_OK;
    KYMO_TRY(kymo_out_open(&out, path, r->f->o->force, err));
    kymo_status s = make(r, &text, err);
    if (!s && text.failed)
        s = kymo_fit_no_memory(err);
    if (!s)
        s = kymo_file_write(out.fd, text.p, text.n, path, err);
    kymo_buf_release(&text);
    if (!s)
        return kymo_out_commit(&out, err);
    kymo_out_abort(&out);
    return s;
}

static kymo_status make_newick(const struct run *r, struct kymo_buf *out, struct kymo_err *err)
{
    return kymo_dendrogram_newick(r->rows.n, r->tree.Z, NULL, out, err);
}

static kymo_status make_gnuplot(const struct run *r, struct kymo_buf *out, struct kymo_err *err)
{
    return kymo_dendrogram_gnuplot(r->rows.n, r->tree.Z, out, err);
}

static kymo_status write_tree(const struct run *r, struct kymo_err *err)
{
    static const char *const names[] = {"a", "b", "height", "size"};
    _Static_assert(sizeof(struct kymo_merge) == 4 * sizeof(double), "four columns");
    if (r->o->z_out)
        KYMO_TRY(kymo_fit_write_table(r->f, r->o->z_out, r->tree.n_merges, 4,
                                      (const double *)(const void *)r->tree.Z, names, err));
    KYMO_TRY(write_text(r, r->o->newick, make_newick, err));
    return write_text(r, r->o->gnuplot, make_gnuplot, err);
}

static json_t *fit_json(const struct run *r)
{
    double sum = NAN, squares = NAN;
    if (kymo_dendrogram_cophenetic(r->rows.n, r->tree.Z, &sum, &squares, NULL))
        return NULL;
    const size_t n = r->tree.n_merges;
    return json_pack("{s:I, s:s, s:I, s:s, s:o, s:o, s:o, s:o}", "rows", (json_int_t)r->f->X.n,
                     "method", kymo_linkage_name(r->method), "tree_of", (json_int_t)r->rows.n,
                     "joined_by", r->group ? "birch" : "nothing", "silhouette",
                     kymo_real_or_null(r->silhouette), "height_max",
                     kymo_real_or_null(n ? r->tree.Z[n - 1].height : 0), "cophenetic_sum",
                     kymo_real_or_null(sum), "cophenetic_sumsq", kymo_real_or_null(squares));
}

static enum kymo_linkage_method method_of(const char *word)
{
    int m = KYMO_LINKAGE_WARD;
    while (strcmp(kymo_linkage_name((enum kymo_linkage_method)m), word) != 0)
        m++;
    return (enum kymo_linkage_method)m;
}

static kymo_status run(struct kymo_fit *f, void *ctx, struct kymo_err *err)
{
    struct run *r = ctx;
    size_t k = 0;
    r->f = f;
    r->method = method_of(r->o->method);
    KYMO_TRY(kymo_fit_prepare(f, err));
    KYMO_TRY(grow_tree(r, err));
    uint32_t *of_tree = KYMO_NEW_RAW(&f->arena, uint32_t, r->rows.n);
    uint32_t *label = KYMO_NEW_RAW(&f->arena, uint32_t, f->X.n);
    if (!of_tree || !label)
        return kymo_fit_no_memory(err);
    KYMO_TRY(cut_tree(r, of_tree, &k, err));
    for (size_t i = 0; i < f->X.n; i++)
        label[i] = of_tree[r->group ? r->group[i] : i];
    KYMO_TRY(judge_cut(r, label, k, err));
    KYMO_TRY(kymo_fit_states(f, "hierarchical", k, k, label, NULL, err));
    KYMO_TRY(kymo_fit_finish(f, label, true, fit_json(r), err));
    KYMO_TRY(write_tree(r, err));
    if (f->o->json)
        return kymo_fit_print_json(f, err);
    if (f->o->quiet)
        return KYMO_OK;
    FILE *to = kymo_fit_summary(f);
    if (r->group)
        fprintf(to, "%zu rows were joined to %zu groups beforehand (--memory)\n", f->X.n,
                r->rows.n);
    kymo_fit_print_states(f, to, r->cut);
    if (!isnan(r->silhouette))
        fprintf(to, "silhouette %.4f\n", r->silhouette);
    return KYMO_OK;
}

int main(int argc, char **argv)
{
    struct opts o = {.fit = KYMO_FIT_DEFAULTS,
                     .k = "auto",
                     .method = "ward",
                     .k_max = K_MAX_CUT,
                     .memory_bytes = (uint64_t)4 << 30,
                     .height = -1};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct run r = {.o = &o};
    return kymo_fit_main(&o.fit, TOOL, run, &r);
}
