/* SPDX-License-Identifier: Apache-2.0
 * merge.c: the input that is furthest behind goes on, by the rows that lie before all others and a
 * little more, as the rows of a chunk are sorted before it is written. Losses and other books are
 * rows like any; so no input runs ahead of the others by more than a chunk. What all of them have
 * sealed is flushed.
 */
#include "format/file/merge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/size.h"
#include "format/file/gather.h"
#include "format/file/source.h"

#define SEEN_FIRST 1024u
#define SEEN_MAX (1u << 23)
/* Rows are taken in runs of at least this much time, so that short runs do not cost more than rows. */
#define RUN_NS 10000000u
/* Two hosts seal at two moments of a second: one flush does for both. */
#define FLUSH_NS 900000000u
#define DECLARE_MAX 32u

struct merge {
    const struct kymo_merge_opts *o;
    struct kymo_writer *w;
    struct kymo_gather *g;
    struct kymo_source *in;
    size_t n, n_hosts;
    uint64_t *seen; /* hashes of rows that are to be there once; 0 free */
    uint32_t n_seen, n_slots;
    uint32_t *row;
    uint64_t rows_in, flushed_ns;
    size_t host; /* that the gather was told of + 1 */
    const char *at;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a merge");
}

/* -------- rows that are there once -------- */

/* Tables whose rows each part of a host tells again, and what makes two of them the same. */
static const struct once {
    const char *table;
    int with_time;
} once[] = {{"sysname", 0}, {"cgroup", 0}, {"context", 0}, {"mark", 1}, {"clock", 1}};

static int grow_seen(struct merge *m)
{
    const uint32_t n_slots = m->n_slots ? m->n_slots * 2 : SEEN_FIRST;
    uint64_t *seen = calloc(n_slots, sizeof(*seen));
    if (!seen)
        return 0;
    for (uint32_t i = 0; i < m->n_slots; i++) {
        if (!m->seen[i])
            continue;
        uint32_t at = (uint32_t)m->seen[i] & (n_slots - 1);
        while (seen[at])
            at = (at + 1) & (n_slots - 1);
        seen[at] = m->seen[i];
    }
    free(m->seen);
    m->seen = seen;
    m->n_slots = n_slots;
    return 1;
}

/* Was it there before? Past the bound rows may come twice. */
static kymo_status see(struct merge *m, uint64_t hash, int *is_new, struct kymo_err *err)
{
    hash += !hash;
    *is_new = 1;
    if (m->n_seen >= SEEN_MAX)
        return KYMO_OK;
    if (m->n_seen >= m->n_slots / 2 && !grow_seen(m))
        return no_memory(err);
    uint32_t at = (uint32_t)hash & (m->n_slots - 1);
    for (; m->seen[at]; at = (at + 1) & (m->n_slots - 1))
        if (m->seen[at] == hash) {
            *is_new = 0;
            return KYMO_OK;
        }
    m->seen[at] = hash;
    m->n_seen++;
    return KYMO_OK;
}

static uint64_t hash_cell(const struct kymo_batch *b, uint32_t c, uint32_t row, uint64_t hash)
{
    if (!kymo_batch_present(b, c, row))
        return hash * 31 + 1;
    if (b->schema->column[c].type == KYMO_T_STR) {
        uint32_t n;
        const char *s = kymo_batch_str(b, c, row, &n);
        return XXH3_64bits_withSeed(s, n, hash);
    }
    const uint64_t lane = kymo_batch_lane(b, c, row);
    return XXH3_64bits_withSeed(&lane, sizeof(lane), hash);
}

static uint64_t hash_row(const struct kymo_batch *b, uint32_t row, uint64_t hash, int with_time)
{
    const int ts = kymo_schema_ts(b->schema);
    for (uint32_t c = 0; c < b->schema->n_columns; c++)
        if (with_time || (int)c != ts)
            hash = hash_cell(b, c, row, hash);
    return hash;
}

/* A snapshot says who a process is: not again where an earlier part said so. */
static kymo_status is_process_new(struct merge *m, const struct kymo_batch *b, uint32_t row,
                                  uint64_t hash, int *is_new, struct kymo_err *err)
{
    const int kind = kymo_batch_column(b, "kind"), pid = kymo_batch_column(b, "pid");
    const int start = kymo_batch_column(b, "start");
    uint32_t n = 0;
    *is_new = 1;
    if (kind < 0 || pid < 0 || start < 0 ||
        kymo_batch_column_type(b, (uint32_t)kind) != KYMO_T_STR)
        return KYMO_OK;
    const char *word = kymo_batch_present(b, (uint32_t)kind, row)
                           ? kymo_batch_str(b, (uint32_t)kind, row, &n)
                           : "";
    hash = hash_cell(b, (uint32_t)start, row, hash_cell(b, (uint32_t)pid, row, hash));
    int is_first;
    KYMO_TRY(see(m, hash, &is_first, err));
    *is_new = is_first || n != 8 || memcmp(word, "snapshot", 8) != 0;
    return KYMO_OK;
}

static kymo_status is_row_new(struct merge *m, const struct kymo_source *s, uint32_t row,
                              const struct kymo_batch *b, int *is_new, struct kymo_err *err)
{
    const uint64_t hash =
        XXH3_64bits_withSeed(b->schema->table, strlen(b->schema->table), s->host_index);
    *is_new = 1;
    if (!strcmp(b->schema->table, "process"))
        return is_process_new(m, b, row, hash, is_new, err);
    for (size_t i = 0; i < KYMO_COUNT_OF(once); i++)
        if (!strcmp(b->schema->table, once[i].table))
            return see(m, hash_row(b, row, hash, once[i].with_time), is_new, err);
    return KYMO_OK;
}

/* -------- taking -------- */

static kymo_status take_rows(struct merge *m, struct kymo_source *s, const struct kymo_batch *b,
                             uint32_t from, uint32_t to, struct kymo_err *err)
{
    const int is_plain =
        kymo_is_event_table(b->schema->table) || !strcmp(b->schema->table, "loss");
    uint32_t n = 0;
    if (m->n_hosts > 1 && m->host != s->host_index + 1) {
        KYMO_TRY(kymo_gather_host(m->g, s->host, err));
        m->host = s->host_index + 1;
    }
    for (uint32_t i = from; i < to; i++) {
        int is_new = 1;
        if (!is_plain)
            KYMO_TRY(is_row_new(m, s, i, b, &is_new, err));
        if (is_new)
            m->row[n++] = i;
    }
    return kymo_gather_rows(m->g, b, m->row, n, kymo_source_map(s), err);
}

/* Where an input is: at its next row. */
static void set_key(struct kymo_source *s)
{
    const int ts = kymo_schema_ts(s->b->schema);
    s->key_ns = kymo_source_time(s, s->b->lane[ts][s->row]);
}

/* A table without rows is still a table, as long as there are few. */
static kymo_status declare(struct merge *m, const struct kymo_source *s, struct kymo_err *err)
{
    const size_t n = kymo_reader_schemas(s->r);
    for (size_t i = 0; n <= DECLARE_MAX && i < n; i++)
        KYMO_TRY(kymo_gather_declare(m->g, kymo_reader_schema(s->r, i), err));
    return KYMO_OK;
}

/* The next rows with a time; those of tables without are taken at once. */
static kymo_status advance(struct merge *m, struct kymo_source *s, struct kymo_err *err)
{
    const struct kymo_batch *b;
    m->at = s->path;
    s->b = NULL;
    while (!s->b) {
        KYMO_TRY(kymo_source_next(s, &b, err));
        if (s->is_done) {
            KYMO_TRY(declare(m, s, err));
            kymo_reader_close(s->r);
            s->r = NULL;
            return KYMO_OK;
        }
        m->rows_in += b->n_rows;
        if (kymo_schema_ts(b->schema) < 0) {
            KYMO_TRY(take_rows(m, s, b, 0, b->n_rows, err));
            continue;
        }
        s->b = b;
        s->row = 0;
        set_key(s);
        if (kymo_reader_chunk(s->r)->flags & KYMO_CHUNK_SEAL)
            s->sealed_ns = kymo_source_time(s, b->ts_max_ns);
    }
    return KYMO_OK;
}

/* The rows of s that lie before `limit`, in file order. */
static kymo_status take_run(struct merge *m, struct kymo_source *s, uint64_t limit_ns,
                            struct kymo_err *err)
{
    const int ts = kymo_schema_ts(s->b->schema);
    const uint32_t from = s->row;
    m->at = s->path;
    do
        s->row++;
    while (s->row < s->b->n_rows && kymo_source_time(s, s->b->lane[ts][s->row]) <= limit_ns);
    KYMO_TRY(take_rows(m, s, s->b, from, s->row, err));
    if (s->row == s->b->n_rows)
        return advance(m, s, err);
    set_key(s);
    return KYMO_OK;
}

/* -------- order -------- */

static int is_open(const struct kymo_source *s)
{
    return s->b != NULL;
}

/* The input that is furthest behind, and where the next one is. */
static struct kymo_source *furthest_behind(struct merge *m, uint64_t *next_ns)
{
    struct kymo_source *least = NULL;
    *next_ns = UINT64_MAX;
    for (size_t i = 0; i < m->n; i++) {
        struct kymo_source *s = &m->in[i];
        if (s->is_done)
            continue;
        const uint64_t key = is_open(s) ? s->key_ns : s->start_ns;
        const uint64_t was = !least           ? UINT64_MAX
                             : is_open(least) ? least->key_ns
                                              : least->start_ns;
        if (!least || key < was) {
            *next_ns = least ? was : UINT64_MAX;
            least = s;
        } else if (key < *next_ns) {
            *next_ns = key;
        }
    }
    return least;
}

/* What every input has sealed: of one not begun, its start; of rows at hand, no more than these. */
static uint64_t sealed_by_all(const struct merge *m)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < m->n; i++) {
        const struct kymo_source *s = &m->in[i];
        if (s->is_done)
            continue;
        uint64_t sealed = is_open(s) ? s->sealed_ns : s->start_ns;
        if (is_open(s) && s->key_ns < sealed)
            sealed = s->key_ns;
        least = sealed < least ? sealed : least;
    }
    return least == UINT64_MAX ? 0 : least;
}

static kymo_status flush_sealed(struct merge *m, struct kymo_err *err)
{
    const uint64_t sealed_ns = sealed_by_all(m);
    m->at = NULL;
    if (sealed_ns <= m->flushed_ns || sealed_ns - m->flushed_ns < FLUSH_NS)
        return KYMO_OK;
    m->flushed_ns = sealed_ns;
    return kymo_gather_flush(m->g, sealed_ns, 1, err);
}

static kymo_status merge_rows(struct merge *m, struct kymo_err *err)
{
    uint64_t next_ns;
    for (;;) {
        struct kymo_source *s = furthest_behind(m, &next_ns);
        if (!s)
            return KYMO_OK;
        const uint64_t limit = next_ns < UINT64_MAX - RUN_NS ? next_ns + RUN_NS : UINT64_MAX;
        KYMO_TRY(is_open(s) ? take_run(m, s, limit, err) : advance(m, s, err));
        if (s->is_torn && s->is_done && m->o->warn)
            m->o->warn(m->o->ctx, s->path, "it ends in mid-chunk; what came before is used");
        KYMO_TRY(flush_sealed(m, err));
    }
}

/* -------- hosts -------- */

static int is_same_host(const struct kymo_source *a, const struct kymo_source *b, int parts)
{
    return parts || (a->boot[0] && !strcmp(a->boot, b->boot));
}

/* Two hosts of one name get the beginning of their boot's id beside it. */
static void name_apart(struct kymo_source *s)
{
    char host[KYMO_HOST_BYTES_MAX];
    (void)snprintf(host, sizeof(host), "%.100s/%.8s", s->host, s->boot[0] ? s->boot : "?");
    memcpy(s->host, host, sizeof(host));
}

static void name_host(struct kymo_source *s)
{
    const char *slash = strrchr(s->path, '/');
    if (!s->host[0])
        (void)snprintf(s->host, sizeof(s->host), "%.100s", slash ? slash + 1 : s->path);
}

static void tell_hosts(struct merge *m)
{
    m->n_hosts = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct kymo_source *s = &m->in[i];
        size_t k = 0;
        name_host(s);
        while (k < i && !is_same_host(&m->in[k], s, m->o->parts))
            k++;
        s->host_index = k < i ? m->in[k].host_index : m->n_hosts++;
        if (k < i) {
            memcpy(s->host, m->in[k].host, sizeof(s->host));
            continue;
        }
        for (k = 0; k < i; k++)
            if (!strcmp(m->in[k].host, s->host)) {
                name_apart(s);
                break;
            }
    }
}

static kymo_status set_clocks(struct merge *m, struct kymo_err *err)
{
    for (size_t i = 0; i < m->n; i++) {
        struct kymo_source *s = &m->in[i];
        if (s->host_index == m->in[0].host_index)
            continue;
        m->at = m->in[0].real.n ? s->path : m->in[0].path;
        KYMO_TRY(kymo_clockmap_join(&s->map, &s->real, &m->in[0].real, err));
        s->is_mapped = 1;
        s->start_ns = kymo_source_time(s, s->start_ns);
    }
    return KYMO_OK;
}

static kymo_status look(struct merge *m, const char *const *path, size_t n,
                        struct kymo_err *err)
{
    for (size_t i = 0; i < n; i++) {
        m->at = path[i];
        m->n = i + 1;
        KYMO_TRY(kymo_source_look(&m->in[i], path[i], err));
    }
    tell_hosts(m);
    return set_clocks(m, err);
}

/* -------- the whole -------- */

/* The seal of the whole: what the inputs sealed last, where all of them sealed. */
static uint64_t last_seal(const struct merge *m)
{
    uint64_t last = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (!m->in[i].sealed_ns)
            return 0;
        last = m->in[i].sealed_ns > last ? m->in[i].sealed_ns : last;
    }
    return last;
}

static kymo_status merge(struct merge *m, const char *const *path, size_t n,
                         struct kymo_err *err)
{
    KYMO_TRY(look(m, path, n, err));
    const struct kymo_gather_opts how = {.with_host = m->n_hosts > 1, .sort = 1};
    m->at = NULL;
    KYMO_TRY(kymo_gather_open(&m->g, m->w, &how, err));
    KYMO_TRY(merge_rows(m, err));
    m->at = NULL;
    KYMO_TRY(kymo_gather_flush(m->g, last_seal(m), 1, err));
    return kymo_writer_finish(m->w, err);
}

kymo_status kymo_merge(const char *const *path, size_t n, const struct kymo_merge_opts *o,
                       struct kymo_writer *w, struct kymo_merge_result *out, const char **at,
                       struct kymo_err *err)
{
    struct merge m = {.o = o, .w = w};
    m.in = calloc(n ? n : 1, sizeof(*m.in));
    m.row = malloc(KYMO_CHUNK_ROWS_MAX * sizeof(*m.row));
    const kymo_status s = m.in && m.row ? merge(&m, path, n, err) : no_memory(err);
    if (!s)
        *out = (struct kymo_merge_result){
            .rows = kymo_gather_count(m.g), .rows_in = m.rows_in, .hosts = m.n_hosts};
    *at = m.at;
    for (size_t i = 0; m.in && i < m.n; i++)
        kymo_source_release(&m.in[i]);
    kymo_gather_close(m.g);
    free(m.in);
    free(m.row);
    free(m.seen);
    return s;
}
