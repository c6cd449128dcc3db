/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/salvage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "format/base/size.h"
#include "format/file/window.h"

#define MEMORY_BYTES_DEFAULT ((size_t)256 << 20)
#define SCHEMAS_BYTES ((size_t)64 << 20)
#define IN_VAIN_BYTES ((uint64_t)1 << 30)
#define IN_VAIN_TIMES 64u

struct known {
    uint64_t hash;
    const struct kymo_schema *schema;
    uint64_t rows; /* kept */
};

struct salvage {
    const struct kymo_salvage_opts *o;
    struct kymo_writer *w;
    struct kymo_window in;
    struct kymo_decoder *decoder;
    struct kymo_arena keep, chunk;
    struct known *known;
    size_t n_known;
    int looked_ahead;
    uint64_t ts_max_ns;
    uint64_t in_vain;      /* bytes of bodies that were no good */
    struct kymo_lost lost; /* the stretch at hand; from == to: none */
    char why[KYMO_ERR_BYTES_MAX];
    struct kymo_salvage_result r;
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a salvage");
}

/* -------- what is lost -------- */

static int is_losing(const struct salvage *s)
{
    return s->lost.to != s->lost.from;
}

/* The bytes from the cursor to `to` are lost; the first reason stands. */
static void lose(struct salvage *s, uint64_t n, uint64_t rows, const char *why)
{
    if (!n)
        return;
    if (!is_losing(s)) {
        (void)snprintf(s->why, sizeof(s->why), "%s", why);
        s->lost = (struct kymo_lost){.from = s->in.at, .to = s->in.at, .why = s->why};
    }
    s->lost.to = s->in.at + n;
    s->lost.rows += rows;
}

static void end_loss(struct salvage *s)
{
    if (!is_losing(s))
        return;
    s->r.ranges++;
    s->r.lost_bytes += s->lost.to - s->lost.from;
    s->r.lost_rows += s->lost.rows;
    if (s->o->lost)
        s->o->lost(s->o->ctx, &s->lost);
    memset(&s->lost, 0, sizeof(s->lost));
}

/* Nothing right here: on to the next magic, at least one byte further. */
static kymo_status lose_to_next(struct salvage *s, uint64_t rows, const char *why,
                                struct kymo_err *err)
{
    const uint64_t at = s->in.at;
    struct kymo_window *in = &s->in;
    lose(s, 1, rows, why);
    kymo_window_skip(in, 1);
    KYMO_TRY(kymo_window_find(in, err));
    s->lost.to = in->at > at ? in->at : s->lost.to;
    return KYMO_OK;
}

/* -------- schemas -------- */

static struct known *find(const struct salvage *s, uint64_t hash)
{
    for (size_t i = 0; i < s->n_known; i++)
        if (s->known[i].hash == hash)
            return &s->known[i];
    return NULL;
}

static kymo_status learn(struct salvage *s, uint64_t hash, const struct kymo_schema *schema,
                         struct kymo_err *err)
{
    if (find(s, hash))
        return KYMO_OK;
    if (s->n_known == KYMO_FILE_SCHEMAS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, s->in.at, "more than %u schemas",
                         KYMO_FILE_SCHEMAS_MAX);
    struct known *known = realloc(s->known, (s->n_known + 1) * sizeof(*known));
    if (!known)
        return no_memory(err);
    s->known = known;
    s->known[s->n_known++] = (struct known){.hash = hash, .schema = schema};
    return KYMO_OK;
}

static int is_body_right(const struct kymo_chunk_header *h, const uint8_t *body)
{
    return XXH3_64bits(body, h->body_bytes) == h->body_xxh3;
}

/* A schema whose checksums are right; damage is no schema. */
static kymo_status take_schema(struct salvage *s, const struct kymo_chunk_header *h,
                               const uint8_t *body, uint64_t at, struct kymo_err *err)
{
    struct kymo_schema *schema;
    if (find(s, h->schema_hash))
        return KYMO_OK;
    KYMO_TRY(
        kymo_schema_decode(&schema, kymo_bytes_view(body, h->body_bytes, at), &s->keep, err));
    return learn(s, h->schema_hash, schema, err);
}

/* At a chunk header of the look ahead: a schema is learned, and the chunk passed over by its length
 * where another, or the end, follows there. passed out. */
static kymo_status look_at(struct salvage *s, struct kymo_window *in,
                           const struct kymo_chunk_header *h, int *passed, struct kymo_err *err)
{
    const size_t n = KYMO_CHUNK_HEADER_BYTES + h->body_bytes;
    struct kymo_window beyond;
    struct kymo_chunk_header next;
    size_t have;
    *passed = 0;
    if (h->kind == KYMO_CHUNK_SCHEMA) {
        KYMO_TRY(kymo_window_need(in, n, &have, err));
        const uint8_t *body = kymo_window_bytes(in) + KYMO_CHUNK_HEADER_BYTES;
        if (have >= n && is_body_right(h, body))
            (void)take_schema(s, h, body, in->at, NULL);
        return KYMO_OK;
    }
    kymo_window_open(&beyond, in->fd, in->at + n);
    const kymo_status status = kymo_window_header(&beyond, &next, passed, err);
    kymo_window_close(&beyond);
    if (*passed)
        kymo_window_skip(in, n);
    return status;
}

static kymo_status look_on(struct salvage *s, struct kymo_window *in, struct kymo_err *err)
{
    struct kymo_chunk_header h;
    size_t have;
    for (;;) {
        int found, passed = 0;
        KYMO_TRY(kymo_window_need(in, 1, &have, err));
        if (!have)
            return KYMO_OK;
        KYMO_TRY(kymo_window_header(in, &h, &found, err));
        if (found)
            KYMO_TRY(look_at(s, in, &h, &passed, err));
        if (passed)
            continue;
        kymo_window_skip(in, 1);
        KYMO_TRY(kymo_window_find(in, err));
    }
}

/* The schemas in the rest of a file. */
static kymo_status look_ahead(struct salvage *s, struct kymo_err *err)
{
    struct kymo_window in;
    s->looked_ahead = 1;
    if (!s->in.can_seek)
        return KYMO_OK;
    kymo_window_open(&in, s->in.fd, s->in.at);
    const kymo_status status = look_on(s, &in, err);
    kymo_window_close(&in);
    return status;
}

/* Tables that this program writes itself. */
static kymo_status learn_own(struct salvage *s, uint64_t hash, struct kymo_err *err)
{
    for (size_t i = 0; i < KYMO_TABLES_OWN_N; i++)
        if (kymo_schema_hash(KYMO_TABLES_OWN[i]) == hash)
            return learn(s, hash, KYMO_TABLES_OWN[i], err);
    return KYMO_OK;
}

static kymo_status schema_of(struct salvage *s, uint64_t hash, struct known **out,
                             struct kymo_err *err)
{
    *out = find(s, hash);
    if (*out)
        return KYMO_OK;
    KYMO_TRY(learn_own(s, hash, err));
    if (!find(s, hash) && !s->looked_ahead)
        KYMO_TRY(look_ahead(s, err));
    *out = find(s, hash);
    return KYMO_OK;
}

/* -------- chunks -------- */

static kymo_status keep_rows(struct salvage *s, const struct kymo_chunk_header *h,
                             const uint8_t *body, int *whole, char *why, size_t why_bytes,
                             struct kymo_err *err)
{
    struct kymo_err broken = {0};
    struct kymo_batch b;
    struct known *k;
    *whole = 0;
    KYMO_TRY(schema_of(s, h->schema_hash, &k, err));
    if (!k) {
        (void)snprintf(why, why_bytes, "rows of a table whose schema is nowhere in the file");
        return KYMO_OK;
    }
    kymo_arena_reset(&s->chunk);
    const kymo_status status = kymo_chunk_decode(
        s->decoder, k->schema, h,
        kymo_bytes_view(body, h->body_bytes, s->in.at + KYMO_CHUNK_HEADER_BYTES), NULL,
        &s->chunk, &b, &broken);
    if (status) {
        (void)snprintf(why, why_bytes, "%s", broken.text);
        return KYMO_OK;
    }
    KYMO_TRY(kymo_writer_put(s->w, &b, h->flags & KYMO_CHUNK_SEAL, err));
    s->ts_max_ns = h->ts_max_ns > s->ts_max_ns ? h->ts_max_ns : s->ts_max_ns;
    k->rows += h->n_rows;
    s->r.rows += h->n_rows;
    s->r.chunks++;
    *whole = 1;
    return KYMO_OK;
}

/* What the writer counted, as far as it can be read: how much of it is not there. */
static void take_end(struct salvage *s, const struct kymo_chunk_header *h, const uint8_t *body)
{
    struct kymo_bytes in = kymo_bytes_view(body, h->body_bytes, 0);
    uint64_t n, hash, rows, chunks, missing = 0;
    s->r.is_finished = 1;
    if (kymo_bytes_varint(&in, &n, NULL) || n > KYMO_FILE_SCHEMAS_MAX)
        return;
    for (uint64_t i = 0; i < n; i++) {
        if (kymo_bytes_u64(&in, &hash, NULL) || kymo_bytes_varint(&in, &rows, NULL) ||
            kymo_bytes_varint(&in, &chunks, NULL))
            return;
        const struct known *k = find(s, hash);
        const uint64_t kept = k ? k->rows : 0;
        missing += rows > kept ? rows - kept : 0;
    }
    s->r.missing_rows = missing;
}

/* A chunk whose checksums are right; whole out: it could be used. */
static kymo_status take_chunk(struct salvage *s, const struct kymo_chunk_header *h,
                              const uint8_t *body, int *whole, char *why, size_t why_bytes,
                              struct kymo_err *err)
{
    struct kymo_err broken = {0};
    *whole = 1;
    switch (h->kind) {
    case KYMO_CHUNK_SCHEMA:
        if (take_schema(s, h, body, s->in.at, &broken)) {
            *whole = 0;
            (void)snprintf(why, why_bytes, "%s", broken.text);
            return KYMO_OK;
        }
        return kymo_writer_declare(s->w, find(s, h->schema_hash)->schema, err);
    case KYMO_CHUNK_DATA:
        return keep_rows(s, h, body, whole, why, why_bytes, err);
    case KYMO_CHUNK_END:
        take_end(s, h, body);
        return KYMO_OK;
    default:
        *whole = 0;
        (void)snprintf(why, why_bytes, "a chunk of a kind that this version does not know");
        return KYMO_OK;
    }
}

/* Damage in a body: on behind it when a chunk, or the end, lies there as its header says; otherwise
 * bytes are missing or too many, and the next chunk is looked for inside. */
static kymo_status lose_chunk(struct salvage *s, const struct kymo_chunk_header *h, size_t have,
                              const char *why, struct kymo_err *err)
{
    const size_t n = KYMO_CHUNK_HEADER_BYTES + h->body_bytes;
    const uint64_t rows = h->kind == KYMO_CHUNK_DATA ? h->n_rows : 0;
    struct kymo_chunk_header next;
    size_t with_next;
    KYMO_TRY(kymo_window_need(&s->in, n + KYMO_CHUNK_HEADER_BYTES, &with_next, err));
    /* Headers that lie, each with a body to be hashed in vain, would cost the square of the file: past a
     * bound their bodies are believed to be there, and skipped. */
    s->in_vain += n;
    const int is_costly = s->in_vain > IN_VAIN_BYTES && s->in_vain / IN_VAIN_TIMES > s->in.at;
    const int follows =
        with_next >= n + KYMO_CHUNK_HEADER_BYTES &&
        !kymo_chunk_header_decode(&next, kymo_window_bytes(&s->in) + n, s->in.at + n, NULL);
    if ((have < n || (!follows && with_next != n)) && !is_costly)
        return lose_to_next(s, rows, why, err);
    lose(s, have < n ? have : n, rows, why);
    kymo_window_skip(&s->in, have < n ? have : n);
    return KYMO_OK;
}

static kymo_status step(struct salvage *s, const struct kymo_chunk_header *h,
                        struct kymo_err *err)
{
    const size_t n = KYMO_CHUNK_HEADER_BYTES + h->body_bytes;
    char why[KYMO_ERR_BYTES_MAX];
    size_t have;
    int whole;
    KYMO_TRY(kymo_window_need(&s->in, n, &have, err));
    if (have < n)
        return lose_chunk(s, h, have, "a chunk that is cut off", err);
    const uint8_t *body = kymo_window_bytes(&s->in) + KYMO_CHUNK_HEADER_BYTES;
    if (!is_body_right(h, body))
        return lose_chunk(s, h, have, "a chunk whose checksum does not match", err);
    KYMO_TRY(take_chunk(s, h, body, &whole, why, sizeof(why), err));
    if (whole)
        end_loss(s);
    else
        lose(s, n, h->kind == KYMO_CHUNK_DATA ? h->n_rows : 0, why);
    kymo_window_skip(&s->in, n);
    return KYMO_OK;
}

/* -------- the whole -------- */

static kymo_status take_file_header(struct salvage *s, struct kymo_err *err)
{
    struct kymo_err why = {0};
    size_t have;
    KYMO_TRY(kymo_window_need(&s->in, KYMO_FILE_HEADER_BYTES, &have, err));
    if (have >= KYMO_FILE_HEADER_BYTES &&
        !kymo_file_header_decode(kymo_window_bytes(&s->in), &why)) {
        kymo_window_skip(&s->in, KYMO_FILE_HEADER_BYTES);
        return KYMO_OK;
    }
    if (!have)
        return KYMO_OK;
    const char *text = why.text[0] ? why.text : "the file ends in its first bytes";
    /* The header may be damaged, or missing with the first chunk in its place. */
    if (have >= 4 && !memcmp(kymo_window_bytes(&s->in), "KCHK", 4))
        return KYMO_OK;
    return lose_to_next(s, 0, text, err);
}

static kymo_status walk(struct salvage *s, struct kymo_err *err)
{
    struct kymo_chunk_header h;
    size_t have;
    int found;
    KYMO_TRY(take_file_header(s, err));
    for (;;) {
        KYMO_TRY(kymo_window_need(&s->in, 1, &have, err));
        if (!have)
            break;
        KYMO_TRY(kymo_window_header(&s->in, &h, &found, err));
        KYMO_TRY(found ? step(s, &h, err) : lose_to_next(s, 0, "no chunk begins here", err));
    }
    end_loss(s);
    return KYMO_OK;
}

/* The salvaged capture says so itself, where it is one: a matrix has no context. */
static kymo_status say_it(struct salvage *s, struct kymo_err *err)
{
    const struct {
        const char *key;
        uint64_t value;
    } fact[] = {{"recover.lost_ranges", s->r.ranges},
                {"recover.lost_bytes", s->r.lost_bytes},
                {"recover.lost_rows_min",
                 s->r.lost_rows > s->r.missing_rows ? s->r.lost_rows : s->r.missing_rows}};
    int is_capture = 0;
    struct kymo_rows *r;
    for (size_t i = 0; i < s->n_known; i++)
        is_capture |= !strcmp(s->known[i].schema->table, "context") ||
                      !strcmp(s->known[i].schema->table, "syscall");
    if (!s->r.ranges || !is_capture)
        return KYMO_OK;
    KYMO_TRY(kymo_rows_open(&r, &KYMO_TABLE_CONTEXT, KYMO_COUNT_OF(fact), err));
    kymo_status status = KYMO_OK;
    for (size_t i = 0; i < KYMO_COUNT_OF(fact) && !status; i++) {
        char text[24];
        const int n = snprintf(text, sizeof(text), "%" PRIu64, fact[i].value);
        const uint32_t row = kymo_rows_add(r);
        const uint32_t key = kymo_rows_intern(r, fact[i].key, strlen(fact[i].key));
        const uint32_t value = kymo_rows_intern(r, text, (size_t)n);
        kymo_rows_set(r, KYMO_CONTEXT_TS, row, s->ts_max_ns);
        kymo_rows_set(r, KYMO_CONTEXT_KEY, row, key);
        kymo_rows_set(r, KYMO_CONTEXT_VALUE, row, value);
        status = key && value ? KYMO_OK : no_memory(err);
    }
    const struct kymo_batch b = kymo_rows_view(r);
    if (!status)
        status = kymo_writer_put(s->w, &b, 0, err);
    kymo_rows_close(r);
    return status;
}

static kymo_status salvage(struct salvage *s, struct kymo_err *err)
{
    KYMO_TRY(kymo_decoder_open(&s->decoder, err));
    KYMO_TRY(walk(s, err));
    if (!s->r.chunks && !s->n_known)
        return KYMO_FAIL(err, KYMO_ECORRUPT, KYMO_NOWHERE,
                         "not one whole chunk of a capture in %" PRIu64 " bytes", s->in.at);
    KYMO_TRY(say_it(s, err));
    return kymo_writer_finish(s->w, err);
}

kymo_status kymo_salvage(int fd, const struct kymo_salvage_opts *o, struct kymo_writer *w,
                         struct kymo_salvage_result *out, struct kymo_err *err)
{
    struct salvage s = {.o = o, .w = w};
    const off_t at = lseek(fd, 0, SEEK_CUR);
    kymo_window_open(&s.in, fd, at > 0 ? (uint64_t)at : 0);
    kymo_arena_init(&s.keep, SCHEMAS_BYTES);
    kymo_arena_init(&s.chunk, o->memory_bytes ? o->memory_bytes : MEMORY_BYTES_DEFAULT);
    const kymo_status status = salvage(&s, err);
    if (!status)
        *out = s.r;
    kymo_window_close(&s.in);
    kymo_decoder_close(s.decoder);
    kymo_arena_release(&s.keep);
    kymo_arena_release(&s.chunk);
    free(s.known);
    return status;
}
