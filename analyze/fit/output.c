/* SPDX-License-Identifier: Apache-2.0
 * output.c: what a fit leaves beside its model.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyze/fit/fit.h"
#include "format/base/file.h"
#include "format/io/npy.h"

static bool is_npy(const char *path)
{
    const size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".npy") == 0;
}

static kymo_status put_labels_csv(int fd, const char *path, size_t n, size_t noise,
                                  const uint32_t *label, struct kymo_err *err)
{
    struct kymo_buf text = {0};
    kymo_buf_printf(&text, "state\n");
    for (size_t i = 0; i < n; i++)
        if (label[i] == noise)
            kymo_buf_printf(&text, "-1\n");
        else
            kymo_buf_printf(&text, "%" PRIu32 "\n", label[i]);
    kymo_status s = text.failed ? kymo_fit_no_memory(err) : KYMO_OK;
    if (!s)
        s = kymo_file_write(fd, text.p, text.n, path, err);
    kymo_buf_release(&text);
    return s;
}

/* Noise is -1, which is what other tools call it. */
static kymo_status put_labels_npy(int fd, const struct kymo_fit *f, const char *path,
                                  const uint32_t *label, struct kymo_err *err)
{
    struct kymo_buf copy = {0};
    uint32_t *to = (uint32_t *)(void *)kymo_buf_reserve(&copy, f->m.n * sizeof(*to));
    if (!to)
        return kymo_fit_no_memory(err);
    for (size_t i = 0; i < f->m.n; i++)
        to[i] = label[i] == f->model.noise ? UINT32_MAX : label[i];
    const kymo_status s = kymo_npy_write_labels(fd, f->m.n, to, path, err);
    kymo_buf_release(&copy);
    return s;
}

kymo_status kymo_fit_write_labels(const struct kymo_fit *f, const char *path,
                                  const uint32_t *label, struct kymo_err *err)
{
    struct kymo_out out;
    KYMO_TRY(kymo_out_open(&out, path, f->o->force, err));
    const kymo_status s =
        is_npy(path) ? put_labels_npy(out.fd, f, path, label, err)
                     : put_labels_csv(out.fd, path, f->m.n, f->model.noise, label, err);
    if (!s)
        return kymo_out_commit(&out, err);
    kymo_out_abort(&out);
    return s;
}

static kymo_status put_table_csv(int fd, const char *path, size_t n, size_t d, const double *v,
                                 const char *const *names, struct kymo_err *err)
{
    struct kymo_buf text = {0};
    for (size_t j = 0; j < d; j++)
        kymo_buf_printf(&text, "%s%c", names[j], j + 1 < d ? ',' : '\n');
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            kymo_buf_printf(&text, "%.17g%c", v[i * d + j], j + 1 < d ? ',' : '\n');
    kymo_status s = text.failed ? kymo_fit_no_memory(err) : KYMO_OK;
    if (!s)
        s = kymo_file_write(fd, text.p, text.n, path, err);
    kymo_buf_release(&text);
    return s;
}

kymo_status kymo_fit_write_table(const struct kymo_fit *f, const char *path, size_t n, size_t d,
                                 const double *v, const char *const *names,
                                 struct kymo_err *err)
{
    struct kymo_out out;
    KYMO_TRY(kymo_out_open(&out, path, f->o->force, err));
    const kymo_status s = is_npy(path) ? kymo_npy_write(out.fd, n, d, v, path, err)
                                       : put_table_csv(out.fd, path, n, d, v, names, err);
    if (!s)
        return kymo_out_commit(&out, err);
    kymo_out_abort(&out);
    return s;
}

FILE *kymo_fit_summary(const struct kymo_fit *f)
{
    return strcmp(f->o->out, "-") == 0 ? stderr : stdout;
}

kymo_status kymo_fit_print_json(const struct kymo_fit *f, struct kymo_err *err)
{
    json_t *doc =
        json_pack("{s:s, s:s, s:I, s:b, s:O, s:O}", "model", f->o->out, "family",
                  f->model.family, "k", (json_int_t)f->model.k, "finished", f->model.finished,
                  "fit", f->model.fit, "provenance", f->model.provenance);
    const kymo_status s = doc ? kymo_json_write(doc, "-", 0, err) : kymo_fit_no_memory(err);
    json_decref(doc);
    return s;
}

void kymo_fit_print_states(const struct kymo_fit *f, FILE *to, const char *how)
{
    fprintf(to,
            "%zu states from %zu windows (%zu held out, %zu left out for loss, %zu unmarked); "
            "%s\n",
            f->model.k, f->all.train, f->all.hold, f->all.lost, f->all.unmarked, how);
    if (f->model.projection)
        fprintf(to, "distances along %zu of %zu principal components, %.2f%% of the variance\n",
                f->model.p, f->model.d, f->pca_kept * 100);
    if (f->n_muted)
        fprintf(to, "%zu of %zu columns left out for want of variance\n", f->n_muted,
                f->model.d);
    if (f->agreed < f->all.train)
        fprintf(to, "%.2f%% of the windows lie nearest to the state that they were put in\n",
                100 * (double)f->agreed / (double)f->all.train);
    if (f->all.hold < KYMO_HOLDOUT_MIN && f->model.spec)
        fprintf(stderr,
                "%s: %zu windows held out, fewer than %u: no p-values, score goes by state and "
                "distance\n",
                f->tool, f->all.hold, KYMO_HOLDOUT_MIN);
}
