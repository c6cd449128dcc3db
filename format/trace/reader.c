/* SPDX-License-Identifier: Apache-2.0
 * reader.c: chunks from a file or a pipe, in order. Bodies that nobody asked for are sought over
 * where the input can seek, and read past where it cannot.
 *
 * Where a file ends in mid-chunk, or in zeros (a crash between growing a file and filling it),
 * its tail is torn and everything before it is good. Any other damage is corruption.
 */
#include "format/trace/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "format/base/file.h"
#include "format/trace/ahead.h"

#define MEMORY_BYTES_DEFAULT ((size_t)256 << 20)
#define SKIP_BYTES 65536u
/* A body whose checksum fails is torn, not corrupt, when it and the file end in so many zeros. */
#define ZERO_TAIL_BYTES 64u
#define NAMES_MAX 65536u

struct known {
    const struct kymo_schema *schema;
    uint64_t rows, chunks;
    int is_selected;
    uint8_t *want; /* [n_columns], NULL: all */
    int has_ts;
    int is_told; /* by the end chunk */
};

struct ask {
    const char *table;
    const char **column;
    size_t n;
    struct ask *next;
};

struct kymo_reader {
    int fd, can_seek;
    uint64_t at, size_bytes;
    size_t cap_bytes;
    struct kymo_arena keep;   /* schemas and what was asked for */
    struct kymo_slot own;     /* the chunk at hand, when there are no threads */
    struct kymo_slot *slot;   /* where bodies are read to */
    struct kymo_slot *given;  /* what the last call gave a batch of */
    struct kymo_ahead *ahead; /* NULL: no threads */
    struct known *known;
    size_t n_known;
    const char **selected; /* NULL: all tables */
    size_t n_selected;
    struct ask *ask;
    int is_lazy, in_call_order;
    uint64_t since_ns, until_ns, start_ns;
    int has_start;
    struct kymo_chunk_header header; /* of the chunk that was read last */
    int is_over, is_complete;
    kymo_status read_status; /* why reading ahead ended, told when what lies before was given */
    struct kymo_err read_err;
    kymo_status broken;
    struct kymo_err why;
};

/* -------- bytes -------- */

/* Up to n bytes; fewer only at the end of the input. */
static kymo_status read_up_to(struct kymo_reader *r, void *p, size_t n, size_t *got,
                              struct kymo_err *err)
{
    size_t have = 0;
    while (have < n) {
        const ssize_t m = read(r->fd, (uint8_t *)p + have, n - have);
        if (m < 0 && errno == EINTR)
            continue;
        if (m < 0)
            return KYMO_FAIL(err, KYMO_EINPUT, r->at + have, "read: %s", strerror(errno));
        if (!m)
            break;
        have += (size_t)m;
    }
    r->at += have;
    *got = have;
    return KYMO_OK;
}

static size_t zeros_at_end(const uint8_t *p, size_t n)
{
    size_t k = 0;
    while (k < n && !p[n - 1 - k])
        k++;
    return k;
}

/* Is there nothing but zeros up to the end of the input? */
static kymo_status rest_is_zero(struct kymo_reader *r, int *yes, struct kymo_err *err)
{
    uint8_t p[SKIP_BYTES];
    size_t got;
    *yes = 1;
    do {
        KYMO_TRY(read_up_to(r, p, sizeof(p), &got, err));
        *yes = zeros_at_end(p, got) == got;
    } while (*yes && got == sizeof(p));
    return KYMO_OK;
}

static kymo_status torn(uint64_t at, struct kymo_err *err)
{
    return KYMO_FAIL(
        err, KYMO_ETORN, at,
        "the file ends in mid-chunk (a writer that was cut off); all before it is good");
}

/* Damage in p[n], the last bytes read: a tear when they and the rest are zeros, else what err says. */
static kymo_status torn_or(struct kymo_reader *r, kymo_status damage, uint64_t chunk_at,
                           const uint8_t *p, size_t n, size_t zeros_min, struct kymo_err *err)
{
    int zero = 0;
    if (damage == KYMO_ECORRUPT && zeros_at_end(p, n) >= zeros_min)
        KYMO_TRY(rest_is_zero(r, &zero, err));
    return zero ? torn(chunk_at, err) : damage;
}

/* -------- open and ask -------- */

static void measure(struct kymo_reader *r)
{
    struct stat st;
    r->can_seek = 0;
    r->size_bytes = 0;
    if (!fstat(r->fd, &st) && S_ISREG(st.st_mode) && lseek(r->fd, 0, SEEK_CUR) >= 0) {
        r->can_seek = 1;
        r->size_bytes = st.st_size > 0 ? (uint64_t)st.st_size : 0;
    }
}

static kymo_status open_header(struct kymo_reader *r, struct kymo_err *err)
{
    uint8_t header[KYMO_FILE_HEADER_BYTES] = {0};
    size_t got;
    KYMO_TRY(read_up_to(r, header, sizeof(header), &got, err));
    if (!got)
        return KYMO_FAIL(err, KYMO_ECORRUPT, 0, "not a kymo capture: it is empty");
    if (got < sizeof(header) && header[0] == 0x8b)
        return KYMO_FAIL(err, KYMO_ECORRUPT, got, "a capture that ends in its first %u bytes",
                         KYMO_FILE_HEADER_BYTES);
    return kymo_file_header_decode(header, err);
}

kymo_status kymo_reader_open(kymo_reader **out, const char *path, size_t memory_bytes_max,
                             struct kymo_err *err)
{
    int fd = -1;
    KYMO_TRY(kymo_file_open(&fd, path, err));
    struct kymo_reader *r = calloc(1, sizeof(*r));
    if (!r) {
        if (fd > 0)
            close(fd);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a reader");
    }
    const size_t cap = memory_bytes_max ? memory_bytes_max : MEMORY_BYTES_DEFAULT;
    r->fd = fd;
    r->until_ns = UINT64_MAX;
    r->cap_bytes = cap;
    kymo_arena_init(&r->keep, cap / 8);
    measure(r);
    r->slot = &r->own;
    kymo_status s = kymo_slot_open(&r->own, cap / 8 * 7, err);
    if (!s)
        s = open_header(r, err);
    if (s) {
        kymo_reader_close(r);
        return s;
    }
    *out = r;
    return KYMO_OK;
}

void kymo_reader_close(kymo_reader *r)
{
    if (!r)
        return;
    if (r->fd > 0)
        close(r->fd);
    kymo_ahead_close(r->ahead);
    kymo_slot_close(&r->own);
    kymo_arena_release(&r->keep);
    free(r);
}

static kymo_status ask_too_much(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "what is asked of the reader passes its memory budget");
}

static kymo_status copy_names(struct kymo_reader *r, const char *const *names, size_t n,
                              const char ***out, struct kymo_err *err)
{
    const char **copy = n <= NAMES_MAX ? KYMO_NEW(&r->keep, const char *, n) : NULL;
    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = kymo_arena_str(&r->keep, names[i], strlen(names[i]));
        if (!copy[i])
            copy = NULL;
    }
    if (!copy)
        return ask_too_much(err);
    *out = copy;
    return KYMO_OK;
}

/* What of a table is asked for, as far as it is known now. */
static kymo_status apply_ask(struct kymo_reader *r, struct known *k, struct kymo_err *err)
{
    k->is_selected = !r->selected;
    for (size_t i = 0; i < r->n_selected && !k->is_selected; i++)
        k->is_selected = !strcmp(r->selected[i], k->schema->table);
    k->want = NULL;
    if (r->is_lazy) {
        k->want = KYMO_NEW(&r->keep, uint8_t, k->schema->n_columns);
        if (!k->want)
            return ask_too_much(err);
    }
    for (const struct ask *a = r->ask; a; a = a->next) {
        if (strcmp(a->table, k->schema->table) != 0)
            continue;
        k->want = KYMO_NEW(&r->keep, uint8_t, k->schema->n_columns);
        if (!k->want)
            return ask_too_much(err);
        for (size_t i = 0; i < a->n; i++) {
            const int c = kymo_schema_column(k->schema, a->column[i]);
            if (c >= 0)
                k->want[c] = 1;
        }
        break;
    }
    return KYMO_OK;
}

static kymo_status apply_all(struct kymo_reader *r, struct kymo_err *err)
{
    for (size_t i = 0; i < r->n_known; i++)
        KYMO_TRY(apply_ask(r, &r->known[i], err));
    return KYMO_OK;
}

kymo_status kymo_reader_select(kymo_reader *r, const char *const *tables, size_t n,
                               struct kymo_err *err)
{
    const char **copy = NULL;
    if (n)
        KYMO_TRY(copy_names(r, tables, n, &copy, err));
    r->selected = copy;
    r->n_selected = n;
    return apply_all(r, err);
}

kymo_status kymo_reader_columns(kymo_reader *r, const char *table, const char *const *columns,
                                size_t n, struct kymo_err *err)
{
    struct ask *a = KYMO_NEW(&r->keep, struct ask, 1);
    if (!a)
        return ask_too_much(err);
    a->table = kymo_arena_str(&r->keep, table, strlen(table));
    if (!a->table)
        return ask_too_much(err);
    KYMO_TRY(copy_names(r, columns, n, &a->column, err));
    a->n = n;
    a->next = r->ask;
    r->ask = a;
    return apply_all(r, err);
}

void kymo_reader_call_order(kymo_reader *r, int on)
{
    r->in_call_order = on;
    kymo_decoder_call_order(r->own.decoder, on);
    if (r->ahead)
        kymo_ahead_call_order(r->ahead, on);
}

/* Schemas come later than this, as nothing was read yet. */
void kymo_reader_lazy(kymo_reader *r)
{
    r->is_lazy = 1;
}

kymo_status kymo_reader_threads(kymo_reader *r, unsigned n, struct kymo_err *err)
{
    if (n < 2 || r->ahead)
        return KYMO_OK;
    const unsigned most = KYMO_AHEAD_THREADS_MAX;
    KYMO_TRY(kymo_ahead_open(&r->ahead, n < most ? n : most, r->cap_bytes / 8 * 7, err));
    kymo_ahead_call_order(r->ahead, r->in_call_order);
    return KYMO_OK;
}

void kymo_reader_time(kymo_reader *r, uint64_t since_ns, uint64_t until_ns)
{
    r->since_ns = since_ns;
    r->until_ns = until_ns;
}

const struct kymo_chunk_header *kymo_reader_chunk(const kymo_reader *r)
{
    return r->given ? &r->given->h : &r->header;
}

const struct kymo_toc *kymo_reader_toc(const kymo_reader *r)
{
    return r->given ? kymo_decoder_toc(r->given->decoder) : NULL;
}

int kymo_reader_complete(const kymo_reader *r)
{
    return r->is_complete;
}

uint64_t kymo_reader_at(const kymo_reader *r)
{
    return r->at;
}

uint64_t kymo_reader_start_ns(const kymo_reader *r)
{
    return r->start_ns;
}

const struct kymo_batch *kymo_reader_batch(const kymo_reader *r)
{
    return r->given ? &r->given->batch : NULL;
}

size_t kymo_reader_schemas(const kymo_reader *r)
{
    return r->n_known;
}

const struct kymo_schema *kymo_reader_schema(const kymo_reader *r, size_t i)
{
    return r->known[i].schema;
}

/* -------- chunks -------- */

/* at_end out: 1 where the file ends as it should. */
static kymo_status take_header(struct kymo_reader *r, int *at_end, struct kymo_err *err)
{
    const uint64_t at = r->at;
    uint8_t p[KYMO_CHUNK_HEADER_BYTES];
    size_t got;
    KYMO_TRY(read_up_to(r, p, sizeof(p), &got, err));
    *at_end = !got;
    if (!got)
        return KYMO_OK;
    if (r->is_complete)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "there are bytes behind the end that the writer wrote");
    if (got < sizeof(p)) {
        uint8_t whole[KYMO_CHUNK_HEADER_BYTES];
        const struct kymo_chunk_header any = {.kind = KYMO_CHUNK_SCHEMA};
        kymo_chunk_header_encode(&any, whole);
        const size_t n = got < 4 ? got : 4;
        if (memcmp(p, whole, n) != 0 && zeros_at_end(p, got) != got)
            return KYMO_FAIL(err, KYMO_ECORRUPT, at, "no chunk begins here");
        return torn(at, err);
    }
    const kymo_status s = kymo_chunk_header_decode(&r->header, p, at, err);
    return s ? torn_or(r, s, at, p, sizeof(p), 8, err) : KYMO_OK;
}

static kymo_status skip_body(struct kymo_reader *r, struct kymo_err *err)
{
    const uint64_t chunk_at = r->at - KYMO_CHUNK_HEADER_BYTES;
    uint64_t left = r->header.body_bytes;
    if (r->can_seek) {
        if (left > r->size_bytes - r->at)
            measure(r); /* it may be growing */
        if (!r->can_seek || r->size_bytes < r->at || left > r->size_bytes - r->at)
            return torn(chunk_at, err);
        if (lseek(r->fd, (off_t)left, SEEK_CUR) < 0)
            return KYMO_FAIL(err, KYMO_EINPUT, r->at, "seek: %s", strerror(errno));
        r->at += left;
        return KYMO_OK;
    }
    uint8_t p[SKIP_BYTES];
    while (left) {
        const size_t n = left < sizeof(p) ? (size_t)left : sizeof(p);
        size_t got;
        KYMO_TRY(read_up_to(r, p, n, &got, err));
        if (got < n)
            return torn(chunk_at, err);
        left -= n;
    }
    return KYMO_OK;
}

/* The body in memory, its checksum checked. */
static kymo_status take_body(struct kymo_reader *r, struct kymo_bytes *body,
                             struct kymo_err *err)
{
    const uint64_t at = r->at, chunk_at = at - KYMO_CHUNK_HEADER_BYTES;
    const uint32_t n = r->header.body_bytes;
    size_t got;
    kymo_arena_reset(&r->slot->arena);
    if (r->can_seek && r->at <= r->size_bytes && n > r->size_bytes - r->at)
        measure(r);
    if (r->can_seek && (r->at > r->size_bytes || n > r->size_bytes - r->at))
        return torn(chunk_at, err);
    uint8_t *p = KYMO_NEW_RAW(&r->slot->arena, uint8_t, n);
    if (!p)
        return KYMO_FAIL(err, KYMO_ELIMIT, chunk_at,
                         "a chunk of %u bytes passes the memory budget", n);
    KYMO_TRY(read_up_to(r, p, n, &got, err));
    if (got < n)
        return torn(chunk_at, err);
    if (XXH3_64bits(p, n) != r->header.body_xxh3) {
        const kymo_status s =
            KYMO_FAIL(err, KYMO_ECORRUPT, chunk_at,
                      "the checksum of this chunk does not match its %u bytes", n);
        return torn_or(r, s, chunk_at, p, n, ZERO_TAIL_BYTES, err);
    }
    *body = kymo_bytes_view(p, n, at);
    return KYMO_OK;
}

static struct known *find_known(const struct kymo_reader *r, uint64_t hash)
{
    for (size_t i = 0; i < r->n_known; i++)
        if (r->known[i].schema->hash == hash)
            return &r->known[i];
    return NULL;
}

static kymo_status take_schema(struct kymo_reader *r, struct known **out, struct kymo_err *err)
{
    struct kymo_bytes body;
    const uint64_t at = r->at;
    KYMO_TRY(take_body(r, &body, err));
    *out = find_known(r, r->header.schema_hash);
    if (*out)
        return KYMO_OK;
    if (!r->known)
        r->known = KYMO_NEW(&r->keep, struct known, KYMO_FILE_SCHEMAS_MAX);
    if (!r->known || r->n_known == KYMO_FILE_SCHEMAS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, at,
                         "more than %u schemas, or no memory left for one",
                         KYMO_FILE_SCHEMAS_MAX);
    struct kymo_schema *schema;
    KYMO_TRY(kymo_schema_decode(&schema, body, &r->keep, err));
    struct known *k = &r->known[r->n_known];
    *k = (struct known){.schema = schema, .has_ts = kymo_schema_ts(schema) >= 0};
    KYMO_TRY(apply_ask(r, k, err));
    r->n_known++;
    *out = k;
    return KYMO_OK;
}

/* The writer's own count of its rows and chunks: a chunk cut out of the middle shows here. */
static kymo_status take_end(struct kymo_reader *r, struct kymo_err *err)
{
    struct kymo_bytes body;
    const uint64_t at = r->at;
    uint64_t n;
    KYMO_TRY(take_body(r, &body, err));
    KYMO_TRY(kymo_bytes_varint(&body, &n, err));
    if (n != r->n_known)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                         "the writer told %llu schemas, the file has %zu",
                         (unsigned long long)n, r->n_known);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t hash, rows, chunks;
        KYMO_TRY(kymo_bytes_u64(&body, &hash, err));
        KYMO_TRY(kymo_bytes_varint(&body, &rows, err));
        KYMO_TRY(kymo_bytes_varint(&body, &chunks, err));
        struct known *k = find_known(r, hash);
        if (k && k->is_told)
            return KYMO_FAIL(err, KYMO_ECORRUPT, at, "the writer told table %s twice",
                             k->schema->table);
        if (k)
            k->is_told = 1;
        if (!k || k->rows != rows || k->chunks != chunks)
            return KYMO_FAIL(err, KYMO_ECORRUPT, at,
                             "table %s: the writer wrote %llu rows in %llu chunks, the file "
                             "has %llu in %llu",
                             k ? k->schema->table : "?", (unsigned long long)rows,
                             (unsigned long long)chunks, k ? (unsigned long long)k->rows : 0,
                             k ? (unsigned long long)k->chunks : 0);
    }
    if (body.left)
        return KYMO_FAIL(err, KYMO_ECORRUPT, body.at_bytes, "end chunk: %zu bytes too many",
                         body.left);
    r->is_complete = 1;
    return KYMO_OK;
}

static kymo_status count_data(struct kymo_reader *r, struct known **out, struct kymo_err *err)
{
    struct known *k = find_known(r, r->header.schema_hash);
    if (!k)
        return KYMO_FAIL(err, KYMO_ECORRUPT, r->at - KYMO_CHUNK_HEADER_BYTES + 24,
                         "rows of a table that the file has not described");
    k->rows += r->header.n_rows;
    k->chunks++;
    if (k->has_ts && !r->has_start) {
        r->start_ns = r->header.ts_min_ns;
        r->has_start = 1;
    }
    *out = k;
    return KYMO_OK;
}

/* The body of the chunk at hand into its slot, to be decoded there. */
static kymo_status fill_slot(struct kymo_reader *r, const struct known *k, struct kymo_err *err)
{
    struct kymo_slot *slot = r->slot;
    KYMO_TRY(take_body(r, &slot->body, err));
    slot->h = r->header;
    slot->schema = k->schema;
    slot->want = k->want;
    return KYMO_OK;
}

static kymo_status open_slot(struct kymo_reader *r, struct kymo_slot *slot,
                             struct kymo_err *err)
{
    if (slot->status) {
        if (err)
            *err = slot->err;
        return slot->status;
    }
    slot->batch.at_bytes = slot->body.at_bytes - KYMO_CHUNK_HEADER_BYTES;
    r->given = slot;
    return KYMO_OK;
}

static kymo_status take_data(struct kymo_reader *r, const struct known *k, struct kymo_err *err)
{
    KYMO_TRY(fill_slot(r, k, err));
    kymo_slot_decode(r->slot);
    return open_slot(r, r->slot, err);
}

static int is_wanted(const struct kymo_reader *r, const struct known *k)
{
    return k->is_selected && (!k->has_ts || (r->header.ts_max_ns >= r->since_ns &&
                                             r->header.ts_min_ns <= r->until_ns));
}

/* One chunk; filled out: 1 where it was data that is wanted, which now lies in the slot. */
static kymo_status step(struct kymo_reader *r, int *filled, struct kymo_err *err)
{
    struct known *k;
    int at_end;
    *filled = 0;
    KYMO_TRY(take_header(r, &at_end, err));
    r->is_over = at_end;
    if (at_end)
        return KYMO_OK;
    switch (r->header.kind) {
    case KYMO_CHUNK_SCHEMA:
        return take_schema(r, &k, err);
    case KYMO_CHUNK_END:
        return take_end(r, err);
    case KYMO_CHUNK_DATA:
        KYMO_TRY(count_data(r, &k, err));
        if (!is_wanted(r, k))
            return skip_body(r, err);
        KYMO_TRY(fill_slot(r, k, err));
        *filled = 1;
        return KYMO_OK;
    default:
        return skip_body(r, err);
    }
}

static kymo_status next_here(struct kymo_reader *r, struct kymo_err *err)
{
    int filled = 0;
    while (!r->is_over && !filled)
        KYMO_TRY(step(r, &filled, err));
    if (!filled)
        return KYMO_OK;
    kymo_slot_decode(&r->own);
    return open_slot(r, &r->own, err);
}

/* Read on as far as there are free slots. What ends the reading is kept until its turn comes. */
static void read_ahead(struct kymo_reader *r)
{
    struct kymo_slot *slot;
    while (!r->is_over && !r->read_status && (slot = kymo_ahead_free(r->ahead))) {
        int filled = 0;
        r->slot = slot;
        while (!r->is_over && !r->read_status && !filled)
            r->read_status = step(r, &filled, &r->read_err);
        if (filled)
            kymo_ahead_submit(r->ahead);
    }
    r->slot = &r->own;
}

static kymo_status next_ahead(struct kymo_reader *r, struct kymo_err *err)
{
    read_ahead(r);
    struct kymo_slot *slot = kymo_ahead_take(r->ahead);
    if (!slot && r->read_status) {
        *err = r->read_err;
        return r->read_status;
    }
    read_ahead(r); /* the slot that was given before is free now */
    return slot ? open_slot(r, slot, err) : KYMO_OK;
}

/* After damage there is no going on: the same answer again. */
static kymo_status remember(struct kymo_reader *r, kymo_status s, const struct kymo_err *why,
                            struct kymo_err *err)
{
    r->broken = s;
    r->why = *why;
    if (err)
        *err = *why;
    return s;
}

kymo_status kymo_reader_next(kymo_reader *r, const struct kymo_batch **b, struct kymo_err *err)
{
    struct kymo_err why = {0};
    if (r->broken)
        return remember(r, r->broken, &r->why, err);
    r->given = NULL;
    const kymo_status s = r->ahead ? next_ahead(r, &why) : next_here(r, &why);
    if (s)
        return remember(r, s, &why, err);
    *b = r->given ? &r->given->batch : NULL;
    return KYMO_OK;
}

kymo_status kymo_reader_more(kymo_reader *r, const uint8_t *want, struct kymo_err *err)
{
    struct kymo_err why = {0};
    if (r->broken)
        return remember(r, r->broken, &r->why, err);
    if (!r->given)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "there is no batch to decode more of");
    const kymo_status s = kymo_chunk_more(r->given->decoder, want, &r->given->batch, &why);
    return s ? remember(r, s, &why, err) : KYMO_OK;
}

static kymo_status skim(struct kymo_reader *r, const char **table, int verify,
                        struct kymo_err *err)
{
    struct known *k = NULL;
    struct kymo_bytes body;
    int is_asked;
    r->given = NULL;
    switch (r->header.kind) {
    case KYMO_CHUNK_SCHEMA:
        KYMO_TRY(take_schema(r, &k, err));
        break;
    case KYMO_CHUNK_END:
        KYMO_TRY(take_end(r, err));
        break;
    case KYMO_CHUNK_DATA:
        KYMO_TRY(count_data(r, &k, err));
        is_asked = verify || (r->selected && k->is_selected);
        KYMO_TRY(is_asked ? take_data(r, k, err) : skip_body(r, err));
        break;
    default:
        KYMO_TRY(verify ? take_body(r, &body, err) : skip_body(r, err));
    }
    *table = k ? k->schema->table : NULL;
    return KYMO_OK;
}

kymo_status kymo_reader_skim(kymo_reader *r, struct kymo_chunk_header *h, const char **table,
                             int verify, int *done, struct kymo_err *err)
{
    struct kymo_err why = {0};
    if (r->broken)
        return remember(r, r->broken, &r->why, err);
    int at_end = r->is_over;
    kymo_status s = at_end ? KYMO_OK : take_header(r, &at_end, &why);
    if (!s && !at_end)
        s = skim(r, table, verify, &why);
    if (s)
        return remember(r, s, &why, err);
    r->is_over = at_end;
    *done = at_end;
    if (!at_end)
        *h = r->header;
    return KYMO_OK;
}
