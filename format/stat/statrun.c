/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/statrun.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/stat/fileby.h"
#include "format/trace/reader.h"

#define SEALS_NS 2000000000u /* loss rows come each second */
#define WARNING_BYTES 256

struct run {
    const struct kymo_statrun_in *in;
    struct kymo_tally *tally;
    struct kymo_names *names;
    struct kymo_fileby *files;                /* NULL: nobody asks for them */
    uint64_t batches[KYMO_STATRUN_FILES_MAX]; /* of each file, in the first pass */
    int pass, can_repeat, has_table;
    /* of the file at hand */
    kymo_reader *reader;
    const struct kymo_schema *schema;
};

/* -------- what is asked of the reader -------- */

/* By the schema at hand: a column called path is a path, without descriptors, elsewhere. */
static int follows(const struct run *s)
{
    return kymo_tally_field(s->tally, KYMO_BY_FILE) || kymo_tally_field(s->tally, KYMO_BY_ADDR);
}

/* Ask for what is needed alone. */
static kymo_status ask_columns(struct run *s, const struct kymo_schema *schema,
                               struct kymo_err *err)
{
    uint8_t *want = calloc(schema->n_columns, 1);
    const char **name = calloc(schema->n_columns, sizeof(*name));
    size_t n = 0;
    kymo_status status = KYMO_OK;
    if (!want || !name) {
        status = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    } else {
        kymo_tally_need(s->tally, want);
        if (follows(s))
            kymo_fdtable_need(schema, want);
        for (uint32_t c = 0; c < schema->n_columns; c++)
            if (want[c])
                name[n++] = schema->column[c].name;
        status = kymo_reader_columns(s->reader, schema->table, name, n, err);
    }
    free(want);
    free(name);
    return status;
}

/* Before a chunk of the table was seen: the recorder's own schema says what will be needed. */
static kymo_status ask_beforehand(struct run *s, struct kymo_err *err)
{
    const char *const nothing[] = {""};
    const char *table[] = {s->in->table, KYMO_TABLE_SYSNAME.table, KYMO_TABLE_LOSS.table,
                           KYMO_TABLE_PROCESS.table, KYMO_TABLE_FD.table};
    KYMO_TRY(kymo_reader_select(s->reader, table, s->files && !s->can_repeat ? 5 : 3, err));
    if (strcmp(s->in->table, KYMO_TABLE_LOSS.table) != 0)
        KYMO_TRY(kymo_reader_columns(s->reader, KYMO_TABLE_LOSS.table, nothing, 1, err));
    kymo_reader_call_order(s->reader, !s->files); /* descriptors are followed through time */
    if (strcmp(s->in->table, KYMO_TABLE_SYSCALL.table) != 0 ||
        kymo_tally_bind(s->tally, &KYMO_TABLE_SYSCALL, s->names, 0, NULL))
        return KYMO_OK;
    return ask_columns(s, &KYMO_TABLE_SYSCALL, err);
}

/* Few chunks are cut by a window's or a limit's edge: only those need their times. */
static kymo_status more_times(struct run *s, const struct kymo_batch *b, struct kymo_err *err)
{
    uint8_t *want = calloc(b->schema->n_columns, 1);
    if (!want)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    want[kymo_schema_ts(b->schema)] = 1;
    const kymo_status status = kymo_reader_more(s->reader, want, err);
    free(want);
    return status;
}

/* The first of a schema. Chunks outside of the limits need not be read, but for those that tell how
 * long the capture went on, and where descriptors are followed. */
static kymo_status bind(struct run *s, const struct kymo_schema *schema, struct kymo_err *err)
{
    uint64_t since, until;
    KYMO_TRY(kymo_tally_bind(s->tally, schema, s->names, kymo_reader_start_ns(s->reader), err));
    if (follows(s) && (!s->files || !kymo_fdtable_fits(schema)))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "table %s lacks columns that descriptors are followed by",
                         schema->table);
    kymo_tally_range(s->tally, &since, &until);
    if (!s->files)
        kymo_reader_time(s->reader, since,
                         until < UINT64_MAX - SEALS_NS ? until + SEALS_NS : until);
    s->schema = schema;
    return ask_columns(s, schema, err);
}

/* -------- rows -------- */

static kymo_status take_batch(struct run *s, const struct kymo_batch *b, struct kymo_err *err)
{
    KYMO_TRY(kymo_names_learn(s->names, b, err));
    if (s->files && !s->can_repeat)
        KYMO_TRY(kymo_fdtable_learn(kymo_fileby_table(s->files), b, err));
    if (strcmp(b->schema->table, s->in->table) != 0) {
        if (!strcmp(b->schema->table, KYMO_TABLE_LOSS.table))
            kymo_tally_saw(s->tally, b->ts_max_ns);
        return KYMO_OK;
    }
    s->has_table = 1;
    if (s->schema != b->schema)
        KYMO_TRY(bind(s, b->schema, err));
    if (follows(s)) /* all rows are followed, those that are not counted too */
        KYMO_TRY(kymo_fileby_take(s->files, b, s->names,
                                  kymo_tally_field(s->tally, KYMO_BY_FILE),
                                  kymo_tally_field(s->tally, KYMO_BY_ADDR), err));
    if (kymo_tally_cuts(s->tally, b))
        KYMO_TRY(more_times(s, b, err));
    return kymo_tally_take(s->tally, b, err);
}

static kymo_status read_rows(struct run *s, uint64_t *batches, struct kymo_err *err)
{
    const struct kymo_batch *b;
    uint64_t n = 0;
    KYMO_TRY(ask_beforehand(s, err));
    KYMO_TRY(kymo_reader_threads(s->reader, s->in->threads, err));
    /* A file may be growing: a further pass takes what the first one took. */
    while (s->pass == 1 || n < *batches) {
        const kymo_status status = kymo_reader_next(s->reader, &b, err);
        if (status || !b) {
            if (s->pass == 1)
                *batches = n;
            return status;
        }
        n++;
        KYMO_TRY(take_batch(s, b, err));
    }
    return KYMO_OK;
}

/* Births before the first call of any child: the whole of a file's process rows, and of those of its
 * snapshots, ahead. Damage is for
 * the reading that counts to tell. */
static kymo_status learn_births(struct run *s, const char *path, struct kymo_err *err)
{
    const char *const table[] = {KYMO_TABLE_PROCESS.table, KYMO_TABLE_FD.table};
    const struct kymo_batch *b = NULL;
    kymo_reader *r;
    KYMO_TRY(kymo_reader_open(&r, path, 0, err));
    kymo_status status = kymo_reader_select(r, table, 2, err);
    while (!status && !kymo_reader_next(r, &b, NULL) && b)
        status = kymo_fdtable_learn(kymo_fileby_table(s->files), b, err);
    kymo_reader_close(r);
    return status;
}

static kymo_status read_file(struct run *s, size_t i, struct kymo_err *err)
{
    const char *path = s->in->path[i];
    if (s->files && s->can_repeat && s->pass == 1)
        KYMO_TRY(learn_births(s, path, err));
    KYMO_TRY(kymo_reader_open(&s->reader, path, 0, err));
    s->schema = NULL;
    kymo_status status = read_rows(s, &s->batches[i], err);
    if (status == KYMO_ETORN) {
        if (s->pass == 1)
            s->in->warn(path, err->text);
        status = KYMO_OK;
    }
    kymo_reader_close(s->reader);
    s->reader = NULL;
    return status;
}

static int can_repeat(const char *path)
{
    FILE *f = strcmp(path, "-") != 0 ? fopen(path, "rb") : NULL;
    const int yes = f && !fseek(f, 0, SEEK_END);
    if (f)
        fclose(f);
    return yes;
}

static void warn_of_gaps(const struct run *s)
{
    char text[WARNING_BYTES];
    const size_t vague = kymo_tally_vague(s->tally);
    const uint64_t forgotten =
        s->files ? kymo_fdtable_forgotten(kymo_fileby_table(s->files)) : 0;
    if (vague) {
        (void)snprintf(text, sizeof(text),
                       "the durations of %zu groups pass --memory and the input cannot be read "
                       "twice: their quantiles may be up to 1.6 %% too high",
                       vague);
        s->in->warn(NULL, text);
    }
    if (forgotten) {
        (void)snprintf(text, sizeof(text),
                       "the open descriptors of %" PRIu64 " processes passed the memory and "
                       "were forgotten; what they did later is under '?'",
                       forgotten);
        s->in->warn(NULL, text);
    }
}

static kymo_status read_all(struct run *s, const char **at, struct kymo_err *err)
{
    int again = 1;
    s->can_repeat = 1;
    for (size_t i = 0; i < s->in->n_paths; i++)
        s->can_repeat &= can_repeat(s->in->path[i]);
    for (s->pass = 1; again && (s->pass == 1 || s->can_repeat); s->pass++) {
        for (size_t i = 0; i < s->in->n_paths; i++) {
            *at = s->in->path[i];
            KYMO_TRY(read_file(s, i, err));
        }
        KYMO_TRY(kymo_tally_again(s->tally, &again, err));
        if (again && s->files)
            KYMO_TRY(kymo_fdtable_rewind(kymo_fileby_table(s->files), err));
    }
    if (!s->has_table)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "there are no rows of table %s; -t chooses another", s->in->table);
    *at = NULL;
    return KYMO_OK;
}

kymo_status kymo_statrun(struct kymo_tally *t, const struct kymo_statrun_in *in,
                         const char **at, struct kymo_err *err)
{
    struct run s = {.in = in, .tally = t};
    *at = NULL;
    if (in->n_paths > KYMO_STATRUN_FILES_MAX)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "more than %u files",
                         KYMO_STATRUN_FILES_MAX);
    kymo_status status = kymo_names_open(&s.names, err);
    if (!status && in->follow)
        status = kymo_fileby_open(&s.files, err);
    if (!status)
        status = read_all(&s, at, err);
    if (!status)
        warn_of_gaps(&s);
    kymo_fileby_close(s.files);
    kymo_names_close(s.names);
    return status;
}
