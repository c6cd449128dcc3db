/* SPDX-License-Identifier: Apache-2.0
 * test_chunk.c: headers, and bodies of every shape of table: one row, many tasks and keys, null
 * here and there; memory that runs out at every step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "format/base/rng.h"
#include "format/trace/chunk.h"
#include "format/trace/order.h"

static void a_header_comes_back_and_every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    const struct kymo_chunk_header h = {
        KYMO_CHUNK_DATA, KYMO_CHUNK_SEAL, 77, 1234, 0x1122334455667788u, 5, 9, 42};
    struct kymo_chunk_header got;
    uint8_t p[KYMO_CHUNK_HEADER_BYTES];
    kymo_chunk_header_encode(&h, p);
    assert_int_equal(kymo_chunk_header_decode(&got, p, 100, NULL), KYMO_OK);
    assert_memory_equal(&got, &h, sizeof(h));
    for (size_t bit = 0; bit < 8 * sizeof(p); bit++) {
        struct kymo_err err;
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(kymo_chunk_header_decode(&got, p, 100, &err), KYMO_ECORRUPT);
        assert_true(err.at_bytes >= 100 && err.at_bytes < 164);
        p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void headers_that_say_what_they_must_not_are_refused(void **state)
{
    (void)state;
    static const struct kymo_chunk_header bad[] = {
        {0, 0, 0, 0, 0, 0, 0, 0},
        {KYMO_CHUNK_DATA, 2, 1, 0, 0, 0, 0, 0},
        {KYMO_CHUNK_DATA, 0, 0, 0, 0, 0, 0, 0},
        {KYMO_CHUNK_DATA, 0, KYMO_CHUNK_ROWS_MAX + 1, 0, 0, 0, 0, 0},
        {KYMO_CHUNK_DATA, 0, 1, KYMO_CHUNK_BODY_BYTES_MAX + 1, 0, 0, 0, 0},
        {KYMO_CHUNK_DATA, 0, 1, 0, 0, 9, 5, 0},
        {KYMO_CHUNK_SCHEMA, 0, 0, 0, 1, 0, 0, 2},
        {KYMO_CHUNK_SCHEMA, 0, 1, 0, 2, 0, 0, 2},
        {KYMO_CHUNK_END, 1, 0, 0, 0, 0, 0, 0},
        {KYMO_CHUNK_END, 0, 0, 0, 7, 0, 0, 0},
        {KYMO_CHUNK_END, 0, 0, 0, 0, 0, 1, 0},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t p[KYMO_CHUNK_HEADER_BYTES];
        struct kymo_chunk_header got = {.kind = 99};
        kymo_chunk_header_encode(&bad[i], p);
        assert_int_equal(kymo_chunk_header_decode(&got, p, 0, NULL), KYMO_ECORRUPT);
        assert_int_equal(got.kind, 99);
    }
}

static const struct kymo_column_def mixed_columns[] = {
    {"ts", "ns", KYMO_T_U64, KYMO_ORDER_CHAIN, 0},
    {"row", "", KYMO_T_I64, KYMO_ORDER_ROW, 1},
    {"task", "", KYMO_T_STR, KYMO_ORDER_TASK, 0},
    {"key", "", KYMO_T_U64, KYMO_ORDER_KEY, 0},
    {"call", "", KYMO_T_F64, KYMO_ORDER_CALL, 1},
    {"split", "", KYMO_T_I64, KYMO_ORDER_SPLIT, 1},
    {"text", "", KYMO_T_STR, KYMO_ORDER_SPLIT, 1},
    {"dur", "ns", KYMO_T_U64, KYMO_ORDER_SPLIT, 1},
    {"asked", "", KYMO_T_U64, KYMO_ORDER_SPLIT, 1},
};
#define COLUMNS 9
static const struct kymo_schema mixed = {
    .table = "mixed", .n_columns = COLUMNS, .column = mixed_columns, .meta = ""};

/* nulls: 0 none, 1 some, 2 all, 3 by key */
static void fill(struct kymo_rows *r, uint32_t n, uint32_t tasks, uint32_t keys, int nulls,
                 struct kymo_rng *rng)
{
    static const char *const text[] = {"a", "bb", "/a/path", ""};
    kymo_rows_clear(r);
    for (uint32_t t = 0; t < tasks; t++) {
        const uint32_t task = kymo_rows_add_task(r);
        r->lane[2][task] = kymo_rows_intern(r, text[t % 3], strlen(text[t % 3]));
    }
    for (uint32_t k = 0; k < keys; k++)
        r->lane[3][kymo_rows_add_key(r)] = k * 3;
    for (uint32_t i = 0; i < n; i++) {
        const uint64_t dice = kymo_rng_u64(rng);
        const uint32_t row = kymo_rows_add(r);
        r->task[row] = (uint32_t)(dice % tasks);
        r->key[row] = (uint16_t)((dice >> 20) % keys);
        kymo_rows_set(r, 0, row, 1000 + i * 7 - dice % 5);
        for (uint32_t c = 1; c < COLUMNS; c++) {
            if (c == 2 || c == 3 || nulls == 2 || (nulls == 1 && (dice >> (30 + c)) % 3 == 0) ||
                (nulls == 3 && r->key[row] % 2))
                continue;
            if (c == 4)
                kymo_rows_set_f64(r, c, row, (double)(dice % 1000) / 3);
            else if (c == 6)
                kymo_rows_set_str(r, c, row, text[dice % 4], strlen(text[dice % 4]));
            else
                kymo_rows_set(r, c, row, (uint64_t)((int64_t)(dice % 77) - 40));
            if (c == 8 && r->key[row] % 3 == 0) /* a result that is what was asked for */
                kymo_rows_set(r, 5, row, r->lane[8][row]);
        }
    }
}

static int same_row(const struct kymo_batch *a, uint32_t i, const struct kymo_batch *b,
                    uint32_t j)
{
    for (uint32_t c = 0; c < a->schema->n_columns; c++) {
        uint32_t n, m;
        if (kymo_batch_present(a, c, i) != kymo_batch_present(b, c, j))
            return 0;
        if (!kymo_batch_present(a, c, i))
            continue;
        if (a->schema->column[c].type != KYMO_T_STR) {
            if (kymo_batch_lane(a, c, i) != kymo_batch_lane(b, c, j))
                return 0;
            continue;
        }
        const char *s = kymo_batch_str(a, c, i, &n), *t = kymo_batch_str(b, c, j, &m);
        if (n != m || memcmp(s, t, n) != 0)
            return 0;
    }
    return 1;
}

static int same(const struct kymo_batch *a, const struct kymo_batch *b)
{
    for (uint32_t i = 0; i < a->n_rows; i++)
        if (!same_row(a, i, b, i))
            return 0;
    return a->n_rows == b->n_rows;
}

struct codecs {
    struct kymo_encoder *encoder;
    struct kymo_decoder *decoder;
    struct kymo_rows *rows;
    struct kymo_buf body;
    struct kymo_chunk_header h;
};

static int open_codecs(void **state)
{
    struct codecs *c = calloc(1, sizeof(*c));
    *state = c;
    return !c || kymo_encoder_open(&c->encoder, 1, NULL) ||
           kymo_decoder_open(&c->decoder, NULL) || kymo_rows_open(&c->rows, &mixed, 6000, NULL);
}

static int close_codecs(void **state)
{
    struct codecs *c = *state;
    kymo_encoder_close(c->encoder);
    kymo_decoder_close(c->decoder);
    kymo_rows_close(c->rows);
    kymo_buf_release(&c->body);
    free(c);
    return 0;
}

static struct kymo_batch encode(struct codecs *c)
{
    const struct kymo_batch b = kymo_rows_view(c->rows);
    kymo_buf_clear(&c->body);
    assert_int_equal(kymo_chunk_encode(c->encoder, &b, &c->body, NULL), KYMO_OK);
    c->h = (struct kymo_chunk_header){.kind = KYMO_CHUNK_DATA,
                                      .n_rows = b.n_rows,
                                      .ts_min_ns = b.ts_min_ns,
                                      .ts_max_ns = b.ts_max_ns};
    return b;
}

static kymo_status decode(struct codecs *c, const uint8_t *want, struct kymo_arena *arena,
                          struct kymo_batch *out)
{
    return kymo_chunk_decode(c->decoder, &mixed, &c->h,
                             kymo_bytes_view(c->body.p, c->body.n, 0), want, arena, out, NULL);
}

static void every_shape_of_table_comes_back(void **state)
{
    static const uint32_t rows[] = {1, 2, 1999, 6000}, tasks[] = {1, 3, 300},
                          keys[] = {1, 2, 100, 512};
    struct codecs *c = *state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 11);
    for (size_t i = 0; i < 4 * 3 * 4 * 4; i++) {
        struct kymo_arena arena;
        struct kymo_batch out;
        kymo_arena_init(&arena, (size_t)32 << 20);
        fill(c->rows, rows[i % 4], tasks[i / 4 % 3], keys[i / 12 % 4], (int)(i / 48), &rng);
        const struct kymo_batch in = encode(c);
        assert_int_equal(decode(c, NULL, &arena, &out), KYMO_OK);
        assert_true(same(&in, &out));
        kymo_arena_release(&arena);
    }
}

static void columns_that_nobody_wants_are_left_out_and_the_others_are_the_same(void **state)
{
    struct codecs *c = *state;
    struct kymo_rng rng;
    struct kymo_arena arena;
    kymo_rng_init(&rng, 12);
    fill(c->rows, 500, 7, 9, 1, &rng);
    const struct kymo_batch in = encode(c);
    for (unsigned mask = 0; mask < 128; mask += 9) {
        uint8_t want[COLUMNS] = {0};
        struct kymo_batch out;
        kymo_arena_init(&arena, (size_t)32 << 20);
        for (unsigned k = 0; k < 7; k++)
            want[k] = mask >> k & 1;
        assert_int_equal(decode(c, want, &arena, &out), KYMO_OK);
        for (uint32_t k = 0; k < 7; k++) {
            assert_true(want[k] ? !!out.lane[k] : !out.lane[k] || k == 5);
            for (uint32_t i = 0; want[k] && i < in.n_rows; i++) {
                assert_int_equal(kymo_batch_present(&in, k, i), kymo_batch_present(&out, k, i));
                if (kymo_batch_present(&in, k, i))
                    assert_int_equal(kymo_batch_lane(&in, k, i), kymo_batch_lane(&out, k, i));
            }
        }
        kymo_arena_release(&arena);
    }
}

/* In call order a row is another one of the same chunk: this tells which. */
static void in_call_order_the_same_rows_stand_by_key_task_and_time(void **state)
{
    struct codecs *c = *state;
    static uint32_t by_task[6000], by_call[6000], task_at[301], key_at[513];
    struct kymo_rng rng;
    kymo_rng_init(&rng, 16);
    for (int i = 0; i < 12; i++) {
        const uint32_t n = i % 2 ? 6000 : 700, tasks = i % 3 ? 300 : 2, keys = i % 4 ? 3 : 90;
        struct kymo_arena arena;
        struct kymo_batch out;
        kymo_arena_init(&arena, (size_t)32 << 20);
        fill(c->rows, n, tasks, keys, i % 4, &rng);
        const struct kymo_batch in = encode(c);
        kymo_order_by_task(in.task, n, tasks, task_at, by_task);
        kymo_order_by_call(in.key, by_task, n, keys, key_at, by_call);
        kymo_decoder_call_order(c->decoder, 1);
        /* First nothing but the runs, then one column after the other. */
        uint8_t want[COLUMNS] = {0};
        assert_int_equal(decode(c, want, &arena, &out), KYMO_OK);
        uint32_t rows = 0;
        for (uint32_t k = 0; k < out.n_runs; k++)
            rows += out.run[k].n;
        assert_int_equal(rows, n);
        for (uint32_t k = 0; k < COLUMNS; k++) {
            want[COLUMNS - 1 - k] = 1;
            assert_int_equal(kymo_chunk_more(c->decoder, want, &out, NULL), KYMO_OK);
        }
        kymo_decoder_call_order(c->decoder, 0);
        for (uint32_t k = 0, row = 0; k < out.n_runs; k++)
            for (uint32_t j = 0; j < out.run[k].n; j++, row++) {
                assert_int_equal(out.run[k].task, in.task[by_call[row]]);
                assert_int_equal(out.run[k].key, in.key[by_call[row]]);
                assert_true(same_row(&in, by_call[row], &out, row));
            }
        kymo_arena_release(&arena);
    }
}

static void zones_are_the_least_and_the_greatest_of_what_is_there(void **state)
{
    struct codecs *c = *state;
    struct kymo_rng rng;
    struct kymo_arena arena;
    struct kymo_batch out;
    kymo_rng_init(&rng, 17);
    kymo_arena_init(&arena, (size_t)32 << 20);
    fill(c->rows, 6000, 5, 3, 1, &rng);
    (void)encode(c);
    assert_int_equal(decode(c, NULL, &arena, &out), KYMO_OK);
    for (uint32_t k = 0; k < COLUMNS; k++) {
        uint64_t min = UINT64_MAX, max = 0;
        const int is_signed = mixed_columns[k].type == KYMO_T_I64;
        const uint64_t flip =
            is_signed ? (uint64_t)1 << 63 : 0; /* so that unsigned order is right */
        const int is_call = mixed_columns[k].order == KYMO_ORDER_SPLIT;
        assert_true(out.zone[k].is_known || !is_call || mixed_columns[k].type == KYMO_T_STR);
        for (uint32_t i = 0; out.zone[k].is_known && i < out.n_rows; i++) {
            if (!kymo_batch_present(&out, k, i))
                continue;
            const uint64_t v = kymo_batch_lane(&out, k, i) ^ flip;
            min = v < min ? v : min;
            max = v > max ? v : max;
        }
        if (out.zone[k].is_known) {
            assert_int_equal(out.zone[k].min ^ flip, min);
            assert_int_equal(out.zone[k].max ^ flip, max);
        }
    }
    kymo_arena_release(&arena);
}

/* The bodies are not under a checksum here: any answer but a crash or rows out of range will do. */
static void a_body_cut_or_changed_anywhere_never_reads_out_of_bounds(void **state)
{
    struct codecs *c = *state;
    struct kymo_rng rng;
    struct kymo_arena arena;
    struct kymo_batch out;
    kymo_rng_init(&rng, 13);
    fill(c->rows, 60, 3, 4, 1, &rng);
    (void)encode(c);
    kymo_arena_init(&arena, (size_t)32 << 20);
    const size_t n = c->body.n;
    for (size_t cut = 0; cut < n; cut++) {
        c->body.n = cut;
        kymo_arena_reset(&arena);
        assert_int_equal(decode(c, NULL, &arena, &out), KYMO_ECORRUPT);
    }
    c->body.n = n;
    for (size_t i = 0; i < n * 8; i++) {
        c->body.p[i / 8] ^= (uint8_t)(1u << i % 8);
        kymo_arena_reset(&arena);
        if (!decode(c, NULL, &arena, &out))
            assert_true(same(&out, &out));
        c->body.p[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    kymo_arena_release(&arena);
}

static void memory_that_runs_out_at_any_call_is_a_limit(void **state)
{
    struct codecs *c = *state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 14);
    fill(c->rows, 5000, 5, 6, 1, &rng);
    const struct kymo_batch in = encode(c);
    for (int which = 0; which < 2; which++) {
        uint64_t k = 1;
        for (;; k++) {
            struct kymo_arena arena;
            struct kymo_batch out;
            kymo_arena_init(&arena, (size_t)32 << 20);
            struct kymo_arena *failing = which ? kymo_decoder_scratch(c->decoder) : &arena;
            failing->fail_at = k;
            const kymo_status s = decode(c, NULL, &arena, &out);
            failing->fail_at = 0;
            if (!s)
                assert_true(same(&in, &out));
            kymo_arena_release(&arena);
            if (!s)
                break;
            assert_int_equal(s, KYMO_ELIMIT);
        }
        assert_true(k > 3);
    }
}

static void rows_of_tasks_that_do_not_exist_are_refused_before_writing(void **state)
{
    struct codecs *c = *state;
    struct kymo_rng rng;
    kymo_rng_init(&rng, 15);
    fill(c->rows, 10, 2, 2, 0, &rng);
    c->rows->task[5] = 2;
    struct kymo_batch b = kymo_rows_view(c->rows);
    assert_int_equal(kymo_chunk_encode(c->encoder, &b, &c->body, NULL), KYMO_EUSAGE);
    c->rows->task[5] = 1;
    c->rows->key[5] = 2;
    assert_int_equal(kymo_chunk_encode(c->encoder, &b, &c->body, NULL), KYMO_EUSAGE);
    c->rows->key[5] = 1;
    b.n_rows = 0;
    assert_int_equal(kymo_chunk_encode(c->encoder, &b, &c->body, NULL), KYMO_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_comes_back_and_every_flipped_bit_is_noticed),
        cmocka_unit_test(headers_that_say_what_they_must_not_are_refused),
        cmocka_unit_test(every_shape_of_table_comes_back),
        cmocka_unit_test(columns_that_nobody_wants_are_left_out_and_the_others_are_the_same),
        cmocka_unit_test(in_call_order_the_same_rows_stand_by_key_task_and_time),
        cmocka_unit_test(zones_are_the_least_and_the_greatest_of_what_is_there),
        cmocka_unit_test(a_body_cut_or_changed_anywhere_never_reads_out_of_bounds),
        cmocka_unit_test(memory_that_runs_out_at_any_call_is_a_limit),
        cmocka_unit_test(rows_of_tasks_that_do_not_exist_are_refused_before_writing),
    };
    return cmocka_run_group_tests_name("chunk", tests, open_codecs, close_codecs);
}
