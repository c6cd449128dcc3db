/* SPDX-License-Identifier: Apache-2.0
 * sizes.c: streams added up by column.
 */
#include "format/trace/sizes.h"

#include <stdlib.h>
#include <string.h>

/* A table's entry of this name; a new one where there is none. */
static struct kymo_size *find(struct kymo_sizes *s, const char *table, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->size[i].name, name) && !strcmp(s->size[i].table, table))
            return &s->size[i];
    if (s->n == s->cap) {
        const size_t cap = s->cap ? 2 * s->cap : 64;
        struct kymo_size *size = realloc(s->size, cap * sizeof(*size));
        if (!size)
            return NULL;
        s->size = size;
        s->cap = cap;
    }
    s->size[s->n] = (struct kymo_size){.table = table, .name = name};
    return &s->size[s->n++];
}

static const char *name_of(const struct kymo_schema *schema, const struct kymo_entry *e)
{
    switch (e->what) {
    case KYMO_STREAM_TASKS:
    case KYMO_STREAM_KEYS:
        return "(order)";
    case KYMO_STREAM_LENGTHS:
    case KYMO_STREAM_STRINGS:
        return "(strings)";
    default:
        return schema->column[e->column].name;
    }
}

kymo_status kymo_sizes_add(struct kymo_sizes *s, const struct kymo_schema *schema,
                           const struct kymo_toc *toc, uint32_t n_rows, uint64_t chunk_bytes,
                           struct kymo_err *err)
{
    double streams = 0;
    for (uint32_t i = 0; i < toc->n_entries; i++)
        streams += toc->entry[i].s.stored_bytes;
    /* More than there is in the file: they were all in one frame. */
    const double share = streams > (double)chunk_bytes ? (double)chunk_bytes / streams : 1;
    double left = (double)chunk_bytes;
    for (uint32_t i = 0; i <= toc->n_entries; i++) {
        const struct kymo_entry *e = i < toc->n_entries ? &toc->entry[i] : NULL;
        const double bytes = e ? share * e->s.stored_bytes : left;
        struct kymo_size *size = find(s, schema->table, e ? name_of(schema, e) : "(contents)");
        if (!size)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for sizes");
        size->bytes += bytes;
        size->streams += e != NULL;
        size->rows += e ? 0 : n_rows;
        if (e)
            size->codec_bytes[e->s.codec] += bytes;
        left -= bytes;
    }
    return KYMO_OK;
}

void kymo_sizes_release(struct kymo_sizes *s)
{
    free(s->size);
    *s = (struct kymo_sizes){0};
}
