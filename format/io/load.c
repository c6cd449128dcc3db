/* SPDX-License-Identifier: Apache-2.0 */
#include "format/io/load.h"

#include <string.h>

#include "format/base/file.h"
#include "format/io/csv.h"
#include "format/io/npy.h"
#include "format/trace/reader.h"

#define TEXT_BYTES_MAX ((size_t)4 << 30)
#define READER_BYTES_MAX ((size_t)1 << 30)

static int ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), e = strlen(end);
    return n >= e && strcmp(path + n - e, end) == 0;
}

static int is_csv(const char *path)
{
    return ends_with(path, ".csv") || ends_with(path, ".tsv") || ends_with(path, ".txt");
}

int kymo_path_is_table(const char *path)
{
    return ends_with(path, ".npy") || is_csv(path);
}

static kymo_status load_bytes(struct kymo_matrix *m, const char *path, struct kymo_err *err)
{
    struct kymo_buf file = {0};
    kymo_status s = kymo_file_read(&file, path, TEXT_BYTES_MAX, err);
    if (s) {
        kymo_buf_release(&file);
        return s;
    }
    if (!is_csv(path)) {
        s = kymo_npy_parse(m, kymo_bytes_view(file.p, file.n, 0), path, err);
        kymo_buf_release(&file);
        return s;
    }
    /* Column names stay views into the text, so that it has to live as long as the matrix. */
    char *text = kymo_arena_str(&m->arena, (const char *)file.p, file.n);
    const size_t n = file.n;
    kymo_buf_release(&file);
    if (!text)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%s passes the memory budget", path);
    return kymo_csv_parse(m, text, n, path, err);
}

#define TABLES_MAX 32u
enum wanted { WANT_MATRIX, WANT_MATRIX_SEQUENCE, WANT_ANY, WANT_ANY_SEQUENCE };

static kymo_status open_any(kymo_reader **r, const char *path, const struct kymo_batch **first,
                            enum wanted wanted, unsigned threads, struct kymo_err *err)
{
    const char *tables[TABLES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < kymo_matrix_tables_n; i++)
        tables[n++] = kymo_matrix_tables[i];
    if (wanted == WANT_MATRIX_SEQUENCE)
        tables[n++] = "sequence";
    for (size_t i = 0; wanted >= WANT_ANY && i < kymo_feature_tables_n; i++)
        tables[n++] = kymo_feature_tables[i];
    KYMO_TRY(kymo_reader_open(r, path, READER_BYTES_MAX, err));
    kymo_status s = wanted == WANT_ANY            ? kymo_feature_ask(*r, err)
                    : wanted == WANT_ANY_SEQUENCE ? kymo_feature_ask_sequence(*r, err)
                                                  : KYMO_OK;
    if (!s)
        s = kymo_reader_select(*r, tables, n, err);
    if (!s)
        s = kymo_reader_threads(*r, threads, err);
    if (!s)
        s = kymo_reader_next(*r, first, err);
    if (s) {
        kymo_reader_close(*r);
        *r = NULL;
    }
    return s;
}

kymo_status kymo_matrix_load(struct kymo_matrix *m, const char *path, struct kymo_err *err)
{
    if (kymo_path_is_table(path))
        return load_bytes(m, path, err);
    kymo_reader *r = NULL;
    const struct kymo_batch *first;
    KYMO_TRY(open_any(&r, path, &first, m->wants_sequence ? WANT_MATRIX_SEQUENCE : WANT_MATRIX,
                      1, err));
    const kymo_status s = kymo_matrix_read(m, r, first, path, err);
    kymo_reader_close(r);
    return s;
}

static kymo_status featurize(struct kymo_matrix *m, kymo_reader *r,
                             const struct kymo_batch *first, const char *path, uint32_t ordinal,
                             struct kymo_err *err)
{
    struct kymo_feature_run *run = NULL;
    KYMO_TRY(kymo_feature_open(&run, m->spec, ordinal, &m->arena, kymo_matrix_window, m, err));
    struct kymo_capture_facts facts;
    struct kymo_span *span;
    size_t n_spans;
    kymo_status s = m->learner ? kymo_feature_sequence(run, m->learner, err) : KYMO_OK;
    if (!s)
        s = kymo_feature_read(r, first, run, &facts, &span, &n_spans, err);
    kymo_feature_close(run);
    if (s)
        return s;
    const char *slash = strrchr(path, '/');
    char name[256];
    const size_t bytes = strlen(slash ? slash + 1 : path);
    const size_t kept = bytes < sizeof(name) - 1 ? bytes : sizeof(name) - 1;
    memcpy(name, slash ? slash + 1 : path, kept);
    name[kept] = 0;
    facts.name = name;
    return kymo_matrix_add_capture(m, &facts, span, n_spans, err);
}

kymo_status kymo_matrix_load_any(struct kymo_matrix *m, const char *path,
                                 const struct kymo_feature_spec *spec, int *is_matrix,
                                 struct kymo_err *err)
{
    *is_matrix = 1;
    if (kymo_path_is_table(path))
        return load_bytes(m, path, err);
    kymo_reader *r = NULL;
    const struct kymo_batch *first;
    KYMO_TRY(open_any(&r, path, &first, WANT_ANY, 1, err));
    *is_matrix = first ? strcmp(first->schema->table, "features") == 0 : 0;
    for (size_t i = 0; !first && i < kymo_reader_schemas(r); i++)
        *is_matrix |= strcmp(kymo_reader_schema(r, i)->table, "features") == 0;
    kymo_status s;
    if (*is_matrix)
        s = kymo_matrix_read(m, r, first, path, err);
    else if (!spec)
        s = KYMO_FAIL(
            err, KYMO_EINPUT, KYMO_NOWHERE,
            "%s is a capture, and the model has no features of its own to make from it", path);
    else if (!(s = kymo_matrix_set_spec(m, spec, err)))
        s = featurize(m, r, first, path, 0, err);
    kymo_reader_close(r);
    return s;
}

kymo_status kymo_matrix_load_capture(struct kymo_matrix *m, const char *path, uint32_t ordinal,
                                     unsigned threads, struct kymo_err *err)
{
    kymo_reader *r = NULL;
    const struct kymo_batch *first;
    KYMO_TRY(
        open_any(&r, path, &first, m->learner ? WANT_ANY_SEQUENCE : WANT_ANY, threads, err));
    kymo_status s;
    if (first && strcmp(first->schema->table, "features") == 0)
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s is a feature matrix already", path);
    else
        s = featurize(m, r, first, path, ordinal, err);
    kymo_reader_close(r);
    return s;
}

/* -- vocabulary ------------------------------------------------------------------------------- */

struct learner {
    struct kymo_vocabulary_fit *fit;
    const struct kymo_feature_spec *spec;
};

/* What was lost says nothing about what is usual. */
static kymo_status learn_window(void *ctx, const struct kymo_window *w, struct kymo_err *err)
{
    const struct learner *l = ctx;
    (void)err;
    if (w->lost <= KYMO_LOST_MAX)
        kymo_feature_learn_window(l->fit, l->spec, w->x);
    return KYMO_OK;
}

kymo_status kymo_vocabulary_load(struct kymo_vocabulary_fit *fit,
                                 const struct kymo_feature_spec *spec, const char *path,
                                 unsigned threads, struct kymo_err *err)
{
    struct learner l = {fit, spec};
    struct kymo_feature_run *run = NULL;
    struct kymo_arena arena;
    struct kymo_capture_facts facts;
    struct kymo_span *span;
    size_t n_spans;
    kymo_reader *r = NULL;
    const struct kymo_batch *first;
    KYMO_TRY(open_any(&r, path, &first, WANT_ANY, threads, err));
    kymo_arena_init(&arena, READER_BYTES_MAX);
    kymo_status s = KYMO_OK;
    if (first && strcmp(first->schema->table, "features") == 0)
        s = KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                      "%s is a feature matrix; a vocabulary is learned from captures", path);
    if (!s)
        s = kymo_feature_open(&run, spec, 0, &arena, learn_window, &l, err);
    if (!s) {
        kymo_feature_learn(run, fit);
        s = kymo_feature_read(r, first, run, &facts, &span, &n_spans, err);
    }
    kymo_feature_close(run);
    kymo_arena_release(&arena);
    kymo_reader_close(r);
    return s;
}
