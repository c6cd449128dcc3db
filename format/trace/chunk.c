/* SPDX-License-Identifier: Apache-2.0
 * chunk.c: the two fixed headers of the format.
 *
 *    file    0 magic[8]  8 u16 version  10 zero[6]
 *    chunk   0 magic[4]  4 u32 kind  8 u32 flags  12 u32 n_rows  16 u32 body_bytes  20 zero[4]
 *           24 u64 schema_hash  32 u64 ts_min  40 u64 ts_max  48 u64 body_xxh3  56 u64 header_xxh3
 */
#include "format/trace/chunk.h"

#include <string.h>
#include <xxhash.h>

/* A byte above 127, CR LF, DOS end of file, LF: a transfer that meddles with text shows at once. */
static const uint8_t file_magic[8] = {0x8b, 'K', 'Y', 'M', '\r', '\n', 0x1a, '\n'};
static const uint8_t chunk_magic[4] = {'K', 'C', 'H', 'K'};

void kymo_file_header_encode(uint8_t out[KYMO_FILE_HEADER_BYTES])
{
    memset(out, 0, KYMO_FILE_HEADER_BYTES);
    memcpy(out, file_magic, sizeof(file_magic));
    kymo_store_u16(out + 8, KYMO_FORMAT_VERSION);
}

kymo_status kymo_file_header_decode(const uint8_t in[KYMO_FILE_HEADER_BYTES],
                                    struct kymo_err *err)
{
    if (memcmp(in, file_magic, sizeof(file_magic)) != 0) {
        if (!memcmp(in, file_magic, 4))
            return KYMO_FAIL(err, KYMO_ECORRUPT, 4,
                             "the first bytes were changed as if this were text; copy the file "
                             "in binary mode");
        return KYMO_FAIL(err, KYMO_ECORRUPT, 0, "not a kymo capture");
    }
    const unsigned version = kymo_load_u16(in + 8);
    if (version != KYMO_FORMAT_VERSION)
        return KYMO_FAIL(err, KYMO_ECORRUPT, 8,
                         "capture format version %u, this kymo reads version %u", version,
                         KYMO_FORMAT_VERSION);
    for (uint64_t i = 10; i < KYMO_FILE_HEADER_BYTES; i++)
        if (in[i])
            return KYMO_FAIL(err, KYMO_ECORRUPT, i,
                             "file header: a reserved byte is 0x%02x, not zero", in[i]);
    return KYMO_OK;
}

void kymo_chunk_header_encode(const struct kymo_chunk_header *h,
                              uint8_t out[KYMO_CHUNK_HEADER_BYTES])
{
    memset(out, 0, KYMO_CHUNK_HEADER_BYTES);
    memcpy(out, chunk_magic, sizeof(chunk_magic));
    kymo_store_u32(out + 4, h->kind);
    kymo_store_u32(out + 8, h->flags);
    kymo_store_u32(out + 12, h->n_rows);
    kymo_store_u32(out + 16, h->body_bytes);
    kymo_store_u64(out + 24, h->schema_hash);
    kymo_store_u64(out + 32, h->ts_min_ns);
    kymo_store_u64(out + 40, h->ts_max_ns);
    kymo_store_u64(out + 48, h->body_xxh3);
    kymo_store_u64(out + 56, XXH3_64bits(out, 56));
}

/* What a known kind may say; kinds of later versions are skipped whatever they say. */
static kymo_status check_fields(const struct kymo_chunk_header *h, uint64_t at,
                                struct kymo_err *err)
{
    if (h->kind > KYMO_CHUNK_END)
        return KYMO_OK;
    const uint32_t flags = h->kind == KYMO_CHUNK_DATA ? KYMO_CHUNK_SEAL : 0;
    if (h->flags & ~flags)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at + 8, "chunk: unknown flags 0x%x", h->flags);
    if (h->kind != KYMO_CHUNK_DATA && h->n_rows)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at + 12,
                         "chunk: %u rows in a chunk that holds none", h->n_rows);
    if (h->kind == KYMO_CHUNK_DATA && (!h->n_rows || h->n_rows > KYMO_CHUNK_ROWS_MAX))
        return KYMO_FAIL(err, KYMO_ECORRUPT, at + 12, "chunk: %u rows, 1 to %u are allowed",
                         h->n_rows, KYMO_CHUNK_ROWS_MAX);
    if (h->kind != KYMO_CHUNK_DATA && (h->ts_min_ns || h->ts_max_ns))
        return KYMO_FAIL(err, KYMO_ECORRUPT, at + 32, "chunk: times in a chunk that has none");
    if (h->kind == KYMO_CHUNK_END && h->schema_hash)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at + 24, "end chunk: it names a schema");
    if (h->kind == KYMO_CHUNK_SCHEMA && h->body_xxh3 != h->schema_hash)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at + 24,
                         "schema chunk: its hash is not that of its body");
    if (h->ts_min_ns > h->ts_max_ns)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at + 32, "chunk: its times end before they begin");
    return KYMO_OK;
}

kymo_status kymo_chunk_header_decode(struct kymo_chunk_header *h,
                                     const uint8_t in[KYMO_CHUNK_HEADER_BYTES],
                                     uint64_t at_bytes, struct kymo_err *err)
{
    if (memcmp(in, chunk_magic, sizeof(chunk_magic)) != 0)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at_bytes, "no chunk begins here");
    if (kymo_load_u64(in + 56) != XXH3_64bits(in, 56))
        return KYMO_FAIL(err, KYMO_ECORRUPT, at_bytes,
                         "chunk header: its checksum does not match");
    if (kymo_load_u32(in + 20))
        return KYMO_FAIL(err, KYMO_ECORRUPT, at_bytes + 20,
                         "chunk header: a reserved field is not zero");
    const struct kymo_chunk_header got = {
        .kind = kymo_load_u32(in + 4),
        .flags = kymo_load_u32(in + 8),
        .n_rows = kymo_load_u32(in + 12),
        .body_bytes = kymo_load_u32(in + 16),
        .schema_hash = kymo_load_u64(in + 24),
        .ts_min_ns = kymo_load_u64(in + 32),
        .ts_max_ns = kymo_load_u64(in + 40),
        .body_xxh3 = kymo_load_u64(in + 48),
    };
    if (!got.kind)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at_bytes + 4,
                         "chunk header: kind 0 does not exist");
    if (got.body_bytes > KYMO_CHUNK_BODY_BYTES_MAX)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at_bytes + 16,
                         "chunk: a body of %u bytes, at most %u are allowed", got.body_bytes,
                         KYMO_CHUNK_BODY_BYTES_MAX);
    KYMO_TRY(check_fields(&got, at_bytes, err));
    *h = got;
    return KYMO_OK;
}
