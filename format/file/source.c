/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int text_column(const struct kymo_batch *b, const char *name)
{
    const int c = kymo_batch_column(b, name);
    return c >= 0 && kymo_batch_column_type(b, (uint32_t)c) == KYMO_T_STR ? c : -1;
}

/* The first word on a key stands. */
static void take_fact(const struct kymo_batch *b, uint32_t row, const char *want, char *out)
{
    const int key = text_column(b, "key"), value = text_column(b, "value");
    uint32_t n;
    if (out[0] || key < 0 || value < 0 || !kymo_batch_present(b, (uint32_t)key, row) ||
        !kymo_batch_present(b, (uint32_t)value, row))
        return;
    const char *s = kymo_batch_str(b, (uint32_t)key, row, &n);
    if (n != strlen(want) || memcmp(s, want, n) != 0)
        return;
    s = kymo_batch_str(b, (uint32_t)value, row, &n);
    (void)snprintf(out, KYMO_HOST_BYTES_MAX, "%.*s", (int)n, s);
}

static kymo_status take_anchors(struct kymo_source *s, const struct kymo_batch *b,
                                struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema), real = kymo_batch_column(b, "real");
    if (ts < 0 || real < 0 || kymo_batch_column_type(b, (uint32_t)real) != KYMO_T_U64)
        return KYMO_OK;
    for (uint32_t i = 0; i < b->n_rows; i++)
        if (kymo_batch_present(b, (uint32_t)real, i))
            KYMO_TRY(kymo_clockmap_add(&s->real, b->lane[ts][i],
                                       kymo_batch_u64(b, (uint32_t)real, i), err));
    return KYMO_OK;
}

static kymo_status look(struct kymo_source *s, kymo_reader *r, struct kymo_err *err)
{
    static const char *const books[] = {"context", "clock"};
    struct kymo_chunk_header h;
    const char *table;
    int done = 0;
    KYMO_TRY(kymo_reader_select(r, books, 2, err));
    for (;;) {
        const kymo_status status = kymo_reader_skim(r, &h, &table, 0, &done, err);
        s->is_torn = status == KYMO_ETORN;
        if (s->is_torn || (!status && done))
            break;
        KYMO_TRY(status);
        const struct kymo_batch *b = kymo_reader_batch(r);
        if (!b)
            continue;
        if (!strcmp(table, "clock"))
            KYMO_TRY(take_anchors(s, b, err));
        for (uint32_t i = 0; !strcmp(table, "context") && i < b->n_rows; i++) {
            take_fact(b, i, "hostname", s->host);
            take_fact(b, i, "boot_id", s->boot);
        }
    }
    s->start_ns = kymo_reader_start_ns(r);
    return KYMO_OK;
}

kymo_status kymo_source_look(struct kymo_source *s, const char *path, struct kymo_err *err)
{
    kymo_reader *r;
    struct stat st;
    memset(s, 0, sizeof(*s));
    s->path = path;
    if (!strcmp(path, "-") ||
        (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "a merge looks at its inputs before it reads them: this needs a file, "
                         "not a pipe");
    KYMO_TRY(kymo_reader_open(&r, path, 0, err));
    const kymo_status status = look(s, r, err);
    kymo_reader_close(r);
    return status;
}

void kymo_source_release(struct kymo_source *s)
{
    kymo_reader_close(s->r);
    s->r = NULL;
    s->b = NULL;
    kymo_clockmap_release(&s->real);
    kymo_clockmap_release(&s->map);
}

struct kymo_clockmap *kymo_source_map(struct kymo_source *s)
{
    return s->is_mapped ? &s->map : NULL;
}

uint64_t kymo_source_time(struct kymo_source *s, uint64_t ns)
{
    return s->is_mapped ? kymo_clockmap_apply(&s->map, ns) : ns;
}

kymo_status kymo_source_next(struct kymo_source *s, const struct kymo_batch **batch,
                             struct kymo_err *err)
{
    *batch = NULL;
    if (!s->r)
        KYMO_TRY(kymo_reader_open(&s->r, s->path, 0, err));
    const kymo_status status = kymo_reader_next(s->r, batch, err);
    if (status == KYMO_ETORN)
        *batch = NULL;
    else if (status)
        return status;
    s->is_done = !*batch;
    return KYMO_OK;
}
