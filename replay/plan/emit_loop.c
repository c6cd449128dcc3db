/* SPDX-License-Identifier: Apache-2.0
 * emit_loop.c: what repeats itself, as loops.
 *
 * From each place on, for each length of a round up to ROUND_MAX, it is counted how many rounds follow whose
 * texts are equal and whose numbers go up by the same steps from round to round. The round that saves most
 * lines wins, the shortest of those that save as many.
 */
#include <inttypes.h>
#include <string.h>

#include "replay/plan/emit_own.h"

#define ROUND_MAX 64u
#define SAVES_MIN 3u
#define FUNCTION_PIECES_MAX 300u
#define STEP_MAX                                                                               \
    ((int64_t)1 << 30) /* numbers that a loop works out stay far from where they would wrap */
#define FIRST_MAX ((int64_t)1 << 40)

static int64_t value_of(const struct emit *e, const struct piece *p, uint32_t k)
{
    int64_t v;
    memcpy(&v, e->value.p + (p->value + k) * sizeof(v), sizeof(v));
    return v;
}

/* The style of the k-th hole of a piece. */
static const uint8_t *next_hole(const uint8_t *p, const uint8_t *end)
{
    return memchr(p, HOLE, (size_t)(end - p));
}

/* May piece `b` stand where round `i` of a loop says, whose rounds 0 and 1 are `a` and `a2`? */
static int is_alike(const struct emit *e, const struct piece *a, const struct piece *a2,
                    const struct piece *b, int64_t i)
{
    if (a->hash != b->hash || a->bytes != b->bytes || a->n_values != b->n_values ||
        memcmp(e->text.p + a->at, e->text.p + b->at, a->bytes) != 0)
        return 0;
    const uint8_t *hole = e->text.p + a->at, *end = hole + a->bytes;
    for (uint32_t k = 0; k < a->n_values; k++, hole += 2) {
        hole = next_hole(hole, end);
        if (!hole)
            return 0;
        if (hole[1] == HOLE_WANT)
            continue;
        const int64_t v0 = value_of(e, a, k), v1 = value_of(e, a2, k), v = value_of(e, b, k);
        if (v0 == v && v0 == v1)
            continue;
        if (v0 > FIRST_MAX || v0 < -FIRST_MAX || v1 > FIRST_MAX || v1 < -FIRST_MAX ||
            v1 - v0 > STEP_MAX || v0 - v1 > STEP_MAX || v != v0 + (v1 - v0) * i)
            return 0;
    }
    return 1;
}

static size_t rounds_of(const struct emit *e, size_t at, size_t length)
{
    size_t rounds = 1;
    for (size_t i = at + length; i < e->n_pieces; i++) {
        const size_t k = (i - at) % length, round = (i - at) / length;
        const struct piece *a = &e->piece[at + k];
        if (!is_alike(e, a, a + length, &e->piece[i], (int64_t)round))
            break;
        if (k + 1 == length)
            rounds = round + 1;
    }
    return rounds;
}

struct loop {
    size_t length, rounds;
};

static struct loop find_loop(const struct emit *e, size_t at)
{
    struct loop best = {1, 1};
    size_t saved = SAVES_MIN - 1;
    for (size_t n = 1; n <= ROUND_MAX && at + 2 * n <= e->n_pieces; n++) {
        if (e->piece[at].hash != e->piece[at + n].hash)
            continue;
        const size_t rounds = rounds_of(e, at, n);
        if (rounds >= 3 && (rounds - 1) * n > saved) {
            saved = (rounds - 1) * n;
            best = (struct loop){n, rounds};
        }
    }
    return best;
}

/* Does the number of a hole differ anywhere in the loop? */
static int64_t step_of(const struct emit *e, const struct piece *p, uint32_t k,
                       const struct loop *l)
{
    return l->rounds > 1 ? value_of(e, p + l->length, k) - value_of(e, p, k) : 0;
}

static int is_one_want(const struct emit *e, const struct piece *p, uint32_t k,
                       const struct loop *l)
{
    for (size_t r = 1; r < l->rounds; r++)
        if (value_of(e, p + r * l->length, k) != value_of(e, p, k))
            return 0;
    return 1;
}

static void put_hole(struct emit *e, const struct piece *p, uint32_t k, uint8_t style,
                     const struct loop *l)
{
    struct kymo_buf *out = &e->body;
    const int64_t v = value_of(e, p, k);
    if (style == HOLE_WANT) {
        if (is_one_want(e, p, k, l))
            emit_number(out, v);
        else
            kymo_buf_printf(out, "SOME");
        return;
    }
    const int64_t step = step_of(e, p, k, l);
    if (!step) {
        emit_number(out, v);
        return;
    }
    kymo_buf_printf(out, "(");
    if (v) {
        emit_number(out, v);
        kymo_buf_printf(out, step < 0 ? " - " : " + ");
    } else if (step < 0)
        kymo_buf_printf(out, "-");
    if (step != 1 && step != -1)
        kymo_buf_printf(out, "%" PRId64 " * ", step < 0 ? -step : step);
    kymo_buf_printf(out, "i)");
}

static void put_piece(struct emit *e, const struct piece *p, const struct loop *l)
{
    const char *indent = l->rounds > 1 ? "        " : "    ";
    const uint8_t *s = e->text.p + p->at, *end = s + p->bytes;
    uint32_t k = 0;
    kymo_buf_printf(&e->body, "%s", indent);
    for (; s < end; s++) {
        if (*s == HOLE) {
            s++;
            put_hole(e, p, k++, *s, l);
        } else if (*s == '\n')
            kymo_buf_printf(&e->body, "\n%s", indent);
        else
            kymo_buf_u8(&e->body, *s);
    }
    kymo_buf_u8(&e->body, '\n');
}

static void put_loop(struct emit *e, size_t at, const struct loop *l)
{
    if (l->rounds > 1)
        kymo_buf_printf(&e->body, "    for (long i = 0; i < %zu; i++) {\n", l->rounds);
    for (size_t i = 0; i < l->length; i++)
        put_piece(e, &e->piece[at + i], l);
    if (l->rounds > 1)
        kymo_buf_printf(&e->body, "    }\n");
}

/* As many pieces as a function may have; where the next begins. */
static size_t put_part(struct emit *e, size_t at)
{
    for (size_t n = 0; at < e->n_pieces && n < FUNCTION_PIECES_MAX;) {
        const struct loop l = find_loop(e, at);
        put_loop(e, at, &l);
        at += l.length * l.rounds;
        n += l.length;
    }
    return at;
}

void emit_pieces(struct emit *e, const char *name)
{
    const size_t from = e->body.n;
    kymo_buf_printf(&e->body, "static void run_%s(void)\n{\n", name);
    size_t at = put_part(e, 0);
    unsigned part = 1;
    if (at < e->n_pieces) { /* again, as parts of their own: few threads are that long */
        e->body.n = from;
        for (at = 0, part = 0; at < e->n_pieces;) {
            kymo_buf_printf(&e->body, "static void run_%s_part%u(void)\n{\n", name, ++part);
            at = put_part(e, at);
            kymo_buf_printf(&e->body, "}\n\n");
        }
        kymo_buf_printf(&e->body, "static void run_%s(void)\n{\n", name);
        for (unsigned i = 1; i <= part; i++)
            kymo_buf_printf(&e->body, "    run_%s_part%u();\n", name, i);
    }
    kymo_buf_printf(&e->body, "}\n\n");
}
