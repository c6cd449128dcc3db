/* SPDX-License-Identifier: Apache-2.0
 * writer.c: chunks to a file or a pipe, in order, without a seek. A chunk is written by one
 * write, so that a kill between two calls leaves whole chunks.
 */
#include "format/trace/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/base/file.h"
#include "format/trace/chunk.h"

/* Tables of calls are narrow. */
#define ROUNDED_COLUMNS_MAX 64u
#define ROUNDED_TABLES_MAX 8u
#define SCHEMA_AGAIN_BYTES ((uint64_t)64 << 20)

/* A table that this file has. */
struct known {
    uint64_t hash;
    uint64_t written_at; /* offset of its last schema chunk */
    uint64_t rows, chunks;
};

/* A table of this program whose times are rounded, for as long as the writer lives. */
struct rounded_schema {
    const struct kymo_schema *of;
    uint64_t hash; /* of `of` */
    struct kymo_schema schema;
};

struct kymo_writer {
    int fd;
    char *name;
    struct kymo_encoder *encoder;
    struct kymo_buf chunk; /* header and body of data */
    struct kymo_buf side;  /* and of what stands between */
    uint64_t unit_ns;      /* of rounded times; 0: as they are */
    char unit_meta[48];
    struct kymo_buf rounded; /* the lanes of ts and dur */
    struct rounded_schema rounded_schema[ROUNDED_TABLES_MAX];
    size_t n_rounded_schemas;
    uint64_t bytes;
    struct known *known;
    size_t n_known;
    kymo_status broken; /* a write failed: what follows would lie behind a hole */
};

static kymo_status write_all(struct kymo_writer *w, const void *p, size_t n,
                             struct kymo_err *err)
{
    const kymo_status s = kymo_file_write(w->fd, p, n, w->name, err);
    if (s)
        w->broken = s;
    else
        w->bytes += n;
    return s;
}

kymo_status kymo_writer_open_idle(struct kymo_writer **out, int zstd_level,
                                  struct kymo_err *err)
{
    struct kymo_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a writer");
    w->fd = -1;
    const kymo_status s = kymo_encoder_open(&w->encoder, zstd_level, err);
    if (s) {
        kymo_writer_close(w);
        return s;
    }
    *out = w;
    return KYMO_OK;
}

kymo_status kymo_writer_begin(struct kymo_writer *w, int fd, const char *name,
                              struct kymo_err *err)
{
    uint8_t header[KYMO_FILE_HEADER_BYTES];
    char *copy = strdup(name);
    if (!copy)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a writer");
    free(w->name);
    w->name = copy;
    w->fd = fd;
    w->bytes = 0;
    w->n_known = 0;
    w->broken = KYMO_OK;
    kymo_file_header_encode(header);
    return write_all(w, header, sizeof(header), err);
}

kymo_status kymo_writer_open(struct kymo_writer **out, int fd, const char *name, int zstd_level,
                             struct kymo_err *err)
{
    struct kymo_writer *w;
    KYMO_TRY(kymo_writer_open_idle(&w, zstd_level, err));
    const kymo_status s = kymo_writer_begin(w, fd, name, err);
    if (s) {
        kymo_writer_close(w);
        return s;
    }
    *out = w;
    return KYMO_OK;
}

void kymo_writer_close(struct kymo_writer *w)
{
    if (!w)
        return;
    free(w->known);
    free(w->name);
    kymo_encoder_close(w->encoder);
    kymo_buf_release(&w->chunk);
    kymo_buf_release(&w->side);
    kymo_buf_release(&w->rounded);
    free(w);
}

uint64_t kymo_writer_bytes(const struct kymo_writer *w)
{
    return w->bytes;
}

static kymo_status refuse_broken(const struct kymo_writer *w, struct kymo_err *err)
{
    if (w->broken)
        return KYMO_FAIL(err, w->broken, KYMO_NOWHERE, "%s: an earlier write failed", w->name);
    return KYMO_OK;
}

/* Room for the header, then the body is appended by the caller. */
static kymo_status begin_chunk(struct kymo_buf *chunk, struct kymo_err *err)
{
    kymo_buf_clear(chunk);
    chunk->failed = 0;
    if (!kymo_buf_reserve(chunk, KYMO_CHUNK_HEADER_BYTES))
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a chunk");
    chunk->n = KYMO_CHUNK_HEADER_BYTES;
    return KYMO_OK;
}

static kymo_status end_chunk(struct kymo_buf *chunk, struct kymo_chunk_header *h,
                             struct kymo_err *err)
{
    if (chunk->failed)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a chunk");
    const size_t body_bytes = chunk->n - KYMO_CHUNK_HEADER_BYTES;
    if (body_bytes > KYMO_CHUNK_BODY_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "a chunk of %zu bytes is too large",
                         body_bytes);
    h->body_bytes = (uint32_t)body_bytes;
    h->body_xxh3 = XXH3_64bits(chunk->p + KYMO_CHUNK_HEADER_BYTES, body_bytes);
    if (h->kind == KYMO_CHUNK_SCHEMA)
        h->schema_hash = h->body_xxh3;
    kymo_chunk_header_encode(h, chunk->p);
    return KYMO_OK;
}

static kymo_status put_schema(struct kymo_writer *w, struct known *k,
                              const struct kymo_schema *s, struct kymo_err *err)
{
    const uint64_t at = w->bytes;
    struct kymo_chunk_header h = {.kind = KYMO_CHUNK_SCHEMA};
    KYMO_TRY(begin_chunk(&w->side, err));
    kymo_schema_encode(s, &w->side);
    if (w->side.n - KYMO_CHUNK_HEADER_BYTES > KYMO_SCHEMA_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "the schema of table %s is too large",
                         s->table);
    KYMO_TRY(end_chunk(&w->side, &h, err));
    KYMO_TRY(write_all(w, w->side.p, w->side.n, err));
    k->written_at = at;
    return KYMO_OK;
}

static struct known *find_known(const struct kymo_writer *w, uint64_t hash)
{
    for (size_t i = 0; i < w->n_known; i++)
        if (w->known[i].hash == hash)
            return &w->known[i];
    return NULL;
}

/* The place of a new schema; it counts from when it is written, so a failed write leaves no trace. */
static kymo_status new_known(struct kymo_writer *w, uint64_t hash, struct known **out,
                             struct kymo_err *err)
{
    if (w->n_known == KYMO_FILE_SCHEMAS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%s: more than %u schemas", w->name,
                         KYMO_FILE_SCHEMAS_MAX);
    struct known *known = realloc(w->known, (w->n_known + 1) * sizeof(*known));
    if (!known)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a schema");
    w->known = known;
    known[w->n_known] = (struct known){.hash = hash};
    *out = &known[w->n_known];
    return KYMO_OK;
}

static kymo_status announce(struct kymo_writer *w, const struct kymo_schema *s, uint64_t hash,
                            struct known **out, struct kymo_err *err)
{
    KYMO_TRY(refuse_broken(w, err));
    if (!hash)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a schema");
    struct known *k = find_known(w, hash);
    if (k && w->bytes - k->written_at < SCHEMA_AGAIN_BYTES) {
        *out = k;
        return KYMO_OK;
    }
    const int is_new = !k;
    if (is_new)
        KYMO_TRY(new_known(w, hash, &k, err));
    KYMO_TRY(put_schema(w, k, s, err));
    w->n_known += (size_t)is_new;
    *out = k;
    return KYMO_OK;
}

kymo_status kymo_writer_declare(struct kymo_writer *w, const struct kymo_schema *s,
                                struct kymo_err *err)
{
    struct known *k;
    return announce(w, s, kymo_schema_hash(s), &k, err);
}

/* -------- rounded times -------- */

void kymo_writer_time_unit(struct kymo_writer *w, uint64_t unit_ns)
{
    w->unit_ns = unit_ns > 1 ? unit_ns : 0;
    (void)snprintf(w->unit_meta, sizeof(w->unit_meta), "{\"time_unit_ns\": %llu}",
                   (unsigned long long)unit_ns);
}

static uint64_t nearest(uint64_t v, uint64_t unit)
{
    const uint64_t over = v % unit;
    return over * 2 < unit || v > UINT64_MAX - unit ? v - over : v - over + unit;
}

/* The schema of rounded rows. Of many tables the oldest are forgotten: a recorder has few, and who puts needs
 * one at a time. */
static const struct kymo_schema *rounded_schema(struct kymo_writer *w,
                                                const struct kymo_schema *of)
{
    const uint64_t hash = kymo_schema_hash(of);
    for (size_t i = 0; i < w->n_rounded_schemas && i < ROUNDED_TABLES_MAX; i++)
        if (w->rounded_schema[i].of == of && w->rounded_schema[i].hash == hash)
            return &w->rounded_schema[i].schema;
    struct rounded_schema *r = &w->rounded_schema[w->n_rounded_schemas++ % ROUNDED_TABLES_MAX];
    *r = (struct rounded_schema){of, hash, *of};
    if (!r->schema.meta[0])
        r->schema.meta = w->unit_meta;
    return &r->schema;
}

/* A batch like b whose times are rounded: its lanes in the caller's storage, the rounded ones and the schema
 * in the writer's. */
static kymo_status round_times(struct kymo_writer *w, struct kymo_batch *b, uint64_t **lane,
                               struct kymo_err *err)
{
    const int ts = kymo_schema_ts(b->schema), dur = kymo_schema_dur(b->schema);
    const uint64_t unit = w->unit_ns;
    kymo_buf_clear(&w->rounded);
    uint64_t *room =
        (uint64_t *)(void *)kymo_buf_reserve(&w->rounded, 2 * sizeof(uint64_t) * b->n_rows);
    if (!room)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a chunk");
    for (uint32_t i = 0; i < b->n_rows; i++) {
        room[i] = b->lane[ts][i] - b->lane[ts][i] % unit;
        room[b->n_rows + i] = nearest(b->lane[dur][i], unit);
    }
    memcpy(lane, b->lane, b->schema->n_columns * sizeof(*lane));
    lane[ts] = room;
    lane[dur] = room + b->n_rows;
    b->schema = rounded_schema(w, b->schema);
    b->lane = lane;
    b->ts_min_ns -= b->ts_min_ns % unit;
    b->ts_max_ns -= b->ts_max_ns % unit;
    return KYMO_OK;
}

/* -------- rows -------- */

static kymo_status encode(struct kymo_writer *w, const struct kymo_batch *b, uint32_t flags,
                          struct kymo_encoded *out, struct kymo_err *err)
{
    struct kymo_chunk_header h = {
        .kind = KYMO_CHUNK_DATA,
        .flags = flags,
        .n_rows = b->n_rows,
        .schema_hash = kymo_schema_hash(b->schema),
        .ts_min_ns = b->ts_min_ns,
        .ts_max_ns = b->ts_max_ns,
    };
    if (!h.schema_hash)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a schema");
    KYMO_TRY(begin_chunk(&w->chunk, err));
    KYMO_TRY(kymo_chunk_encode(w->encoder, b, &w->chunk, err));
    KYMO_TRY(end_chunk(&w->chunk, &h, err));
    *out = (struct kymo_encoded){b->schema, h, w->chunk.p, w->chunk.n};
    return KYMO_OK;
}

kymo_status kymo_writer_encode(struct kymo_writer *w, const struct kymo_batch *b,
                               uint32_t flags, struct kymo_encoded *out, struct kymo_err *err)
{
    struct kymo_batch rounded = *b;
    uint64_t *lane[ROUNDED_COLUMNS_MAX];
    if (!b->n_rows) {
        *out = (struct kymo_encoded){.schema = b->schema};
        return KYMO_OK;
    }
    if (!w->unit_ns || kymo_schema_ts(b->schema) < 0 || kymo_schema_dur(b->schema) < 0 ||
        b->schema->n_columns > ROUNDED_COLUMNS_MAX)
        return encode(w, b, flags, out, err);
    KYMO_TRY(round_times(w, &rounded, lane, err));
    return encode(w, &rounded, flags, out, err);
}

kymo_status kymo_writer_append(struct kymo_writer *w, const struct kymo_encoded *c,
                               struct kymo_err *err)
{
    struct known *k;
    if (!c->n)
        return refuse_broken(w, err);
    KYMO_TRY(announce(w, c->schema, c->header.schema_hash, &k, err));
    KYMO_TRY(write_all(w, c->p, c->n, err));
    k->rows += c->header.n_rows;
    k->chunks++;
    return KYMO_OK;
}

kymo_status kymo_writer_put(struct kymo_writer *w, const struct kymo_batch *b, uint32_t flags,
                            struct kymo_err *err)
{
    struct kymo_encoded c;
    KYMO_TRY(refuse_broken(w, err));
    KYMO_TRY(kymo_writer_encode(w, b, flags, &c, err));
    return kymo_writer_append(w, &c, err);
}

kymo_status kymo_writer_finish(struct kymo_writer *w, struct kymo_err *err)
{
    struct kymo_chunk_header h = {.kind = KYMO_CHUNK_END};
    KYMO_TRY(refuse_broken(w, err));
    KYMO_TRY(begin_chunk(&w->side, err));
    kymo_buf_varint(&w->side, w->n_known);
    for (size_t i = 0; i < w->n_known; i++) {
        const struct known *k = &w->known[i];
        kymo_buf_u64(&w->side, k->hash);
        kymo_buf_varint(&w->side, k->rows);
        kymo_buf_varint(&w->side, k->chunks);
    }
    KYMO_TRY(end_chunk(&w->side, &h, err));
    return write_all(w, w->side.p, w->side.n, err);
}
