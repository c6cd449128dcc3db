/* SPDX-License-Identifier: Apache-2.0
 * kymo-density: the states of a host as dense regions, and what belongs to none.
 * needs: openblas
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "analyze/core/density.h"
#include "analyze/core/hdbscan.h"
#include "analyze/fit/fit_options.h"
#include "analyze/fit/progress.h"
#include "analyze/fit/search.h"

#define TOOL "kymo-density"
#define MIN_ROWS 5u

struct opts {
    struct kymo_fit_opts fit;
    const char *method, *curve, *members;
    double eps, min_weight, min_cluster;
};

/* What either method comes to. */
struct found {
    uint32_t *label; /* [X.n], KYMO_NOISE */
    size_t k, n_noise, n_core;
    const double *member, *outlier; /* [X.n], of HDBSCAN */
    const uint8_t *core;            /* [X.n], of DBSCAN */
    int stopped;
};

struct run {
    const struct opts *o;
    struct kymo_fit *f;
    struct found found;
    double eps;
    double silhouette;
};

static int parse_args(int argc, char **argv, struct opts *o)
{
    const struct kymo_opt table[] = {
        KYMO_FIT_OPT_FILES(&o->fit),
        {KYMO_OPT_CHOICE, 0, "method", "hdbscan|dbscan",
         "with a density of each state's own, or one for all (hdbscan)", &o->method, 0, 0},
        {KYMO_OPT_F64, 0, "eps", "R",
         "of dbscan: rows as near as this are neighbours (the bend of --curve-out)", &o->eps, 0,
         1e300},
        {KYMO_OPT_F64, 0, "min-samples", "N",
         "rows, itself among them, that a row in a dense place has near it (5)", &o->min_weight,
         1, 1e12},
        {KYMO_OPT_F64, 0, "min-cluster-size", "N",
         "of hdbscan: rows that make a state (as --min-samples, at least 2)", &o->min_cluster,
         2, 1e12},
        {KYMO_OPT_STR, 0, "curve-out", "FILE",
         "write here how far each row is from its neighbours, sorted (.npy, or CSV)", &o->curve,
         0, 0},
        {KYMO_OPT_STR, 0, "members-out", "FILE",
         "write here what each training row is: hdbscan its membership and outlier score, "
         "dbscan whether it is in a dense place",
         &o->members, 0, 0},
        KYMO_FIT_OPT_ROWS(&o->fit),
        KYMO_FIT_OPT_RUN(&o->fit),
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "find the states of a host as dense regions, and what belongs to none",
        .positional = "[MATRIX]",
        .positional_max = 1,
        .examples =
            "kymo density prod.features.kymo -w prod.model.json\n"
            "kymo density --method dbscan --eps 0.5 iris.csv -w iris.json -o labels.csv\n",
        .opt = table,
        .n_opt = KYMO_COUNT_OF(table),
    };
    const int usage = kymo_fit_parse(&cli, argc, argv, &o->fit);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    const bool dbscan = strcmp(o->method, "dbscan") == 0;
    if (o->eps >= 0 && !dbscan)
        return kymo_cli_usage(TOOL, "--eps is of --method dbscan");
    if (o->min_cluster >= 0 && dbscan)
        return kymo_cli_usage(TOOL, "--min-cluster-size is of --method hdbscan");
    return KYMO_CLI_GO_ON;
}

static void on_dbscan(void *ctx, enum kymo_density_stage stage)
{
    static const char *const words[] = {"sorting rows", "finding dense places", "joining them",
                                        "giving out the rest"};
    (void)ctx;
    kymo_progress(-1, "%s", words[stage]);
}

static void on_hdbscan(void *ctx, enum kymo_hdbscan_stage stage)
{
    static const char *const words[] = {"finding neighbours", "growing the tree",
                                        "choosing states"};
    (void)ctx;
    kymo_progress(-1, "%s", words[stage]);
}

/* The distance curve, where somebody wants it or the bend in it. */
static kymo_status look_at_curve(struct run *r, bool bend, struct kymo_err *err)
{
    static const char *const names[] = {"distance"};
    double *curve = NULL;
    const size_t n = r->f->X.n;
    if (!bend && !r->o->curve)
        return KYMO_OK;
    KYMO_TRY(kymo_density_curve(&r->f->X, r->o->min_weight, (unsigned)r->f->o->threads,
                                &r->f->arena, &curve, err));
    if (bend) {
        r->eps = kymo_density_suggest_eps(n, curve);
        if (!isfinite(r->eps))
            return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                             "%zu rows have no %g neighbours: a smaller --min-samples", n,
                             r->o->min_weight);
    }
    return r->o->curve ? kymo_fit_write_table(r->f, r->o->curve, n, 1, curve, names, err)
                       : KYMO_OK;
}

static kymo_status find_dbscan(struct run *r, struct kymo_err *err)
{
    struct kymo_density_out out;
    r->eps = r->o->eps;
    KYMO_TRY(look_at_curve(r, r->eps < 0, err));
    const struct kymo_density_in in = {.x = &r->f->X,
                                       .eps = r->eps,
                                       .min_weight = r->o->min_weight,
                                       .n_threads = (unsigned)r->f->o->threads,
                                       .stop = kymo_progress_stop(),
                                       .tick = on_dbscan};
    KYMO_TRY(kymo_density(&in, &r->f->arena, &out, err));
    r->found = (struct found){.label = out.label,
                              .k = out.k,
                              .n_noise = out.n_noise,
                              .n_core = out.n_core,
                              .core = out.core,
                              .stopped = out.stopped};
    return KYMO_OK;
}

static kymo_status find_hdbscan(struct run *r, struct kymo_err *err)
{
    struct kymo_hdbscan_out out;
    KYMO_TRY(look_at_curve(r, false, err));
    const double smallest =
        r->o->min_cluster >= 0 ? r->o->min_cluster : fmax(r->o->min_weight, 2);
    const struct kymo_hdbscan_in in = {.x = &r->f->X,
                                       .min_weight = r->o->min_weight,
                                       .min_cluster_weight = smallest,
                                       .n_threads = (unsigned)r->f->o->threads,
                                       .stop = kymo_progress_stop(),
                                       .tick = on_hdbscan};
    KYMO_TRY(kymo_hdbscan(&in, &r->f->arena, &out, err));
    r->found = (struct found){.label = out.label,
                              .k = out.k,
                              .n_noise = out.n_noise,
                              .member = out.member,
                              .outlier = out.outlier,
                              .stopped = out.stopped};
    return KYMO_OK;
}

/* Noise is a state of its own, behind the others; it is there when it has rows. */
static kymo_status number_states(struct run *r, uint32_t **out, size_t *k, struct kymo_err *err)
{
    uint32_t *label = KYMO_NEW_RAW(&r->f->arena, uint32_t, r->f->X.n);
    if (!label)
        return kymo_fit_no_memory(err);
    *k = r->found.k + (r->found.n_noise > 0);
    for (size_t i = 0; i < r->f->X.n; i++)
        label[i] = r->found.label[i] == KYMO_NOISE ? (uint32_t)r->found.k : r->found.label[i];
    *out = label;
    return KYMO_OK;
}

static kymo_status judge(struct run *r, const uint32_t *label, size_t k, struct kymo_err *err)
{
    struct kymo_search s;
    r->silhouette = NAN;
    if (k < 2 || r->found.n_noise)
        return KYMO_OK; /* noise is no cluster, so it has no silhouette */
    KYMO_TRY(kymo_search_open(&s, r->f, k, 2, k, err));
    KYMO_TRY(kymo_search_silhouettes(&s, 1, &label, err));
    r->silhouette = s.tried[0].silhouette;
    return KYMO_OK;
}

static json_t *fit_json(const struct run *r)
{
    const bool dbscan = strcmp(r->o->method, "dbscan") == 0;
    return json_pack("{s:I, s:s, s:o, s:f, s:I, s:o, s:o}", "rows", (json_int_t)r->f->X.n,
                     "method", r->o->method, "eps", dbscan ? json_real(r->eps) : json_null(),
                     "min_samples", r->o->min_weight, "noise_rows",
                     (json_int_t)r->found.n_noise, "core_rows",
                     dbscan ? json_integer((json_int_t)r->found.n_core) : json_null(),
                     "silhouette", kymo_real_or_null(r->silhouette));
}

static kymo_status write_members(const struct run *r, struct kymo_err *err)
{
    static const char *const of_hdbscan[] = {"member", "outlier"}, *const of_dbscan[] = {
                                                                       "core"};
    if (!r->o->members)
        return KYMO_OK;
    const size_t n = r->f->X.n, d = r->found.core ? 1 : 2;
    double *v = KYMO_NEW_RAW(&r->f->arena, double, d *n);
    if (!v)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < n; i++) {
        v[d * i] = r->found.core ? r->found.core[i] : r->found.member[i];
        if (d == 2)
            v[d * i + 1] = r->found.outlier[i];
    }
    return kymo_fit_write_table(r->f, r->o->members, n, d, v,
                                r->found.core ? of_dbscan : of_hdbscan, err);
}

static void print_summary(const struct run *r)
{
    FILE *to = kymo_fit_summary(r->f);
    char how[96];
    if (strcmp(r->o->method, "dbscan") == 0)
        snprintf(how, sizeof(how), "rows nearer than %g are neighbours%s", r->eps,
                 r->o->eps < 0 ? " (the bend of the curve)" : "");
    else
        snprintf(how, sizeof(how), "those that hold together longest as density rises");
    kymo_fit_print_states(r->f, to, how);
    if (r->found.n_noise)
        fprintf(to, "%zu windows belong to no state: they are state %zu, unknown\n",
                r->found.n_noise, r->found.k);
}

static kymo_status run(struct kymo_fit *f, void *ctx, struct kymo_err *err)
{
    struct run *r = ctx;
    uint32_t *label = NULL;
    size_t k = 0;
    r->f = f;
    KYMO_TRY(kymo_fit_prepare(f, err));
    KYMO_TRY(strcmp(r->o->method, "dbscan") == 0 ? find_dbscan(r, err) : find_hdbscan(r, err));
    kymo_progress_end();
    KYMO_TRY(number_states(r, &label, &k, err));
    if (r->found.k == 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s: no region is dense; a %s",
                         f->o->in,
                         r->o->eps >= 0 ? "larger --eps or a smaller --min-samples"
                                        : "smaller --min-samples");
    KYMO_TRY(judge(r, label, k, err));
    KYMO_TRY(
        kymo_fit_states(f, "density", k, r->found.n_noise ? r->found.k : k, label, NULL, err));
    const bool finished = !r->found.stopped && !*kymo_progress_stop();
    KYMO_TRY(kymo_fit_finish(f, label, finished, fit_json(r), err));
    KYMO_TRY(write_members(r, err));
    if (f->o->json)
        return kymo_fit_print_json(f, err);
    if (!f->o->quiet)
        print_summary(r);
    return KYMO_OK;
}

int main(int argc, char **argv)
{
    struct opts o = {.fit = KYMO_FIT_DEFAULTS,
                     .method = "hdbscan",
                     .eps = -1,
                     .min_weight = MIN_ROWS,
                     .min_cluster = -1};
    const int usage = parse_args(argc, argv, &o);
    if (usage != KYMO_CLI_GO_ON)
        return usage;
    struct run r = {.o = &o};
    return kymo_fit_main(&o.fit, TOOL, run, &r);
}
