/* SPDX-License-Identifier: Apache-2.0
 * The rows of a block: who is looked at, and what is found.
 */
#include <math.h>
#include <string.h>

#include "analyze/core/lloyd.h"

#define FILTER_ROWS 512u
#define AHEAD_ROWS 48u /* rows on their way to the caches while a tile is worked on */

static float round_down(double slack)
{
    return (float)(slack - fabs(slack) * KYMO_LLOYD_ROUND);
}

static void find_norms(struct kymo_lloyd *l, struct kymo_lloyd_part *p, const uint32_t *row,
                       size_t n_rows)
{
    for (size_t r = 0; r < n_rows && !l->has_norms; r++) {
        const double norm2 = kymo_row_sqdist(l->a.ops, l->X, row[r], l->rows.pivot);
        l->norm2[row[r]] = (float)(norm2 * l->rows.scale * l->rows.scale);
        p->moment += kymo_dense_weight(l->X, row[r]) * norm2;
    }
}

/* The row's label is c from now on. */
static void relabel(struct kymo_lloyd *l, struct kymo_lloyd_part *p, size_t row, uint32_t c)
{
    const uint32_t was = l->label[row];
    if (c == was)
        return;
    if (!l->first)
        kymo_lloyd_put(l, p, row, was, -1);
    kymo_lloyd_put(l, p, row, c, 1);
    l->label[row] = c;
    p->changed++;
}

/* -- one slack a row --------------------------------------------------------------------------- */

/* Rows lo..hi-1 whose label may change, in order, to open; returns how many. */
static size_t filter(const struct kymo_lloyd *l, size_t lo, size_t hi, uint32_t *open)
{
    size_t n = 0;
    if (l->first || l->slack_off) {
        for (size_t i = lo; i < hi; i++)
            open[n++] = (uint32_t)i;
        return n;
    }
    return l->open_rows(lo, hi, l->slack, l->label, l->k, l->drift_up, open);
}

static void visit(struct kymo_lloyd *l, struct kymo_lloyd_part *p, const uint32_t *row,
                  size_t n_rows)
{
    struct kymo_nearest_tile t;
    find_norms(l, p, row, n_rows);
    kymo_assign_tile(&l->a, row, n_rows, l->norm2, &p->scratch, &t);
    for (size_t r = 0; r < n_rows; r++) {
        const uint32_t c = t.label[r];
        l->slack[row[r]] = round_down((double)t.lower[r] - (double)t.upper[r] + l->drift[c]);
        relabel(l, p, row[r], c);
    }
    p->visited += n_rows;
}

/* Visit tiles while AHEAD_ROWS are left behind them; returns how many rows are left, now at open[0].
 * `fresh` of them, the last, come from the filter. */
static size_t visit_ahead(struct kymo_lloyd *l, struct kymo_lloyd_part *p, uint32_t *open,
                          size_t n_open, size_t fresh)
{
    size_t done = 0, fetched = n_open;
    const size_t n = n_open + fresh;
    for (; n - done >= KYMO_TILE_ROWS + AHEAD_ROWS; done += KYMO_TILE_ROWS) {
        for (; fetched < done + KYMO_TILE_ROWS + AHEAD_ROWS; fetched++)
            kymo_rows32_fetch(&l->rows, open[fetched]);
        visit(l, p, open + done, KYMO_TILE_ROWS);
    }
    for (; fetched < n; fetched++)
        kymo_rows32_fetch(&l->rows, open[fetched]);
    memmove(open, open + done, (n - done) * sizeof(*open));
    return n - done;
}

static void visit_plain(struct kymo_lloyd *l, struct kymo_lloyd_part *p, size_t lo_row,
                        size_t hi)
{
    uint32_t open[FILTER_ROWS + AHEAD_ROWS + KYMO_TILE_ROWS + KYMO_OPEN_SPARE] = {0};
    size_t n_open = 0;
    for (size_t lo = lo_row; lo < hi; lo += FILTER_ROWS) {
        const size_t fresh =
            filter(l, lo, lo + FILTER_ROWS < hi ? lo + FILTER_ROWS : hi, open + n_open);
        n_open = visit_ahead(l, p, open, n_open, fresh);
    }
    for (size_t i = 0; i < n_open; i += KYMO_TILE_ROWS)
        visit(l, p, open + i, n_open - i < KYMO_TILE_ROWS ? n_open - i : KYMO_TILE_ROWS);
}

/* -- a slack a row and group ------------------------------------------------------------------- */

/* Open rows of a run of FILTER_ROWS, in row order, and the groups that each has to meet. */
struct flock {
    size_t n;
    uint32_t row[FILTER_ROWS], label[FILTER_ROWS];
    unsigned char groups[FILTER_ROWS];
    uint16_t sorted[FILTER_ROWS]; /* by groups, so that rows of a tile want much the same */
};

static void filter_groups(const struct kymo_lloyd *l, size_t lo, size_t hi, struct flock *f)
{
    const size_t G = l->a.n_groups;
    const int all = l->first || l->slack_off;
    size_t begin[257] = {0};
    f->n = 0;
    for (size_t i = lo; i < hi; i++) {
        unsigned groups = all ? (1u << G) - 1 : 0;
        const float *slack = l->slack + i * G;
        const float *drift = l->drift_up + (all ? 0 : l->label[i]) * G;
        for (size_t g = 0; g < G && !all; g++)
            groups |= (unsigned)!(slack[g] > drift[g]) << g;
        f->row[f->n] = (uint32_t)i;
        f->groups[f->n] = (unsigned char)groups;
        f->n += groups != 0;
    }
    for (size_t i = 0; i < f->n; i++)
        begin[f->groups[i] + 1]++;
    for (size_t b = 1; b < 257; b++)
        begin[b] += begin[b - 1];
    for (size_t i = 0; i < f->n; i++)
        f->sorted[begin[f->groups[i]]++] = (uint16_t)i;
}

/* A row before and after: what is known of its scores. */
struct meeting {
    const struct kymo_group_scores *scores;
    unsigned groups; /* met */
    size_t r;        /* the row's place in the tile */
    uint32_t was, now;
    int has_own; /* own is the score of the centre before, found by itself */
    float own, best, next;
};

static void meet(const struct kymo_lloyd *l, const float *x, struct meeting *m)
{
    const struct kymo_assigner *a = &l->a;
    m->best = m->next = INFINITY;
    m->now = 0;
    for (size_t g = 0; g < a->n_groups; g++) {
        if (!(m->groups >> g & 1))
            continue;
        const struct kymo_group_scores *s = &m->scores[g];
        const float least = s->least[m->r], next = s->next[m->r];
        if (least < m->best) {
            m->next = m->best < next ? m->best : next;
            m->best = least;
            m->now = a->order[s->label[m->r]];
        } else if (least < m->next) {
            m->next = least;
        }
    }
    m->has_own = !l->first && !(m->groups >> kymo_assigner_group_of(a, m->was) & 1);
    if (!m->has_own)
        return;
    const size_t place = a->place[m->was], d = l->X->d;
    m->own = a->bias[place] - a->ops->dot_f32(d, x, a->narrow + place * d);
    if (m->own < m->best) {
        m->next = m->best;
        m->best = m->own;
        m->now = m->was;
    } else if (m->own < m->next) {
        m->next = m->own;
    }
}

/* Slacks of a row whose nearest centre is clear. A group that was not met is no nearer than it was: with
 * gap = l - u > 0 for the centre before, l >= d(x, before) + gap. */
static void keep_slacks(struct kymo_lloyd *l, size_t row, const struct meeting *m,
                        const struct kymo_nearest_error *e)
{
    const size_t G = l->a.n_groups, own = kymo_assigner_group_of(&l->a, m->now);
    const double upper = (double)kymo_nearest_upper(e, m->best);
    float *slack = l->slack + row * G;
    const double *drift = l->drift + m->now * G;
    for (size_t g = 0; g < G; g++) {
        double lower;
        if (m->groups >> g & 1) {
            const struct kymo_group_scores *s = &m->scores[g];
            lower = (double)kymo_nearest_lower(e, g == own ? s->next[m->r] : s->least[m->r]);
        } else if (m->now == m->was) {
            continue;
        } else {
            /* Its own group was met, or its score is at hand. */
            const size_t old = kymo_assigner_group_of(&l->a, m->was);
            const struct kymo_group_scores *s = &m->scores[old];
            const float met = old == own ? s->next[m->r] : s->least[m->r];
            const float score = m->has_own ? m->own : met;
            lower = (double)kymo_nearest_lower(e, score);
            if (g != old)
                lower += (double)slack[g] - (double)l->drift_up[m->was * G + g];
        }
        slack[g] = round_down(lower - upper + drift[g]);
    }
}

static void visit_flock(struct kymo_lloyd *l, struct kymo_lloyd_part *p, struct flock *f)
{
    struct kymo_group_scores scores[KYMO_GROUPS_MAX];
    const size_t G = l->a.n_groups;
    for (size_t i = 0; i < f->n && i < AHEAD_ROWS; i++)
        kymo_rows32_fetch(&l->rows, f->row[f->sorted[i]]);
    for (size_t i = 0; i < f->n; i += KYMO_TILE_ROWS) {
        uint32_t row[KYMO_TILE_ROWS];
        const size_t n_rows = f->n - i < KYMO_TILE_ROWS ? f->n - i : KYMO_TILE_ROWS;
        unsigned groups = 0;
        for (size_t r = 0; r < n_rows; r++) {
            row[r] = f->row[f->sorted[i + r]];
            groups |= f->groups[f->sorted[i + r]];
            if (i + r + AHEAD_ROWS < f->n)
                kymo_rows32_fetch(&l->rows, f->row[f->sorted[i + r + AHEAD_ROWS]]);
        }
        size_t stride;
        const float *x =
            kymo_rows32_tile(&l->rows, row, n_rows, KYMO_TILE_ROWS, p->scratch.tile, &stride);
        find_norms(l, p, row, n_rows);
        l->a.groups(&l->a.near, groups, l->a.group_vectors, x, stride, scores);
        for (size_t r = 0; r < n_rows; r++) {
            const struct kymo_nearest_error e =
                kymo_nearest_error(&l->a.near, l->norm2[row[r]]);
            struct meeting m = {scores, groups, r, l->label[row[r]], 0, 0, 0, 0, 0};
            meet(l, x + r * stride, &m);
            if (m.next - m.best > e.score2) {
                keep_slacks(l, row[r], &m, &e);
            } else {
                struct kymo_nearest_tile t;
                kymo_assign_exact(&l->a, row[r], &p->scratch, 0, &t);
                m.now = t.label[0];
                for (size_t g = 0; g < G; g++)
                    l->slack[row[r] * G + g] = round_down(
                        (double)t.lower[0] - (double)t.upper[0] + l->drift[m.now * G + g]);
            }
            f->label[f->sorted[i + r]] = m.now;
        }
    }
    p->visited += f->n;
}

static void visit_groups(struct kymo_lloyd *l, struct kymo_lloyd_part *p, size_t lo_row,
                         size_t hi)
{
    struct flock f;
    for (size_t lo = lo_row; lo < hi; lo += FILTER_ROWS) {
        filter_groups(l, lo, lo + FILTER_ROWS < hi ? lo + FILTER_ROWS : hi, &f);
        visit_flock(l, p, &f);
        for (size_t i = 0; i < f.n; i++) /* in row order: the order of sums */
            relabel(l, p, f.row[i], f.label[i]);
    }
}

/* -- one slack a row, and the centres around its own ------------------------------------------- */

/* What a centre of a ball costs beside one of all centres: it lies elsewhere for every row. */
#define BALL_COST 3u
#define IDLE_PASSES 16u

/* Open rows of a run of FILTER_ROWS, in row order. */
struct herd {
    size_t n, n_left;
    uint32_t row[FILTER_ROWS + KYMO_OPEN_SPARE], label[FILTER_ROWS];
    uint16_t left[FILTER_ROWS]; /* who has not found its centre yet */
};

static size_t next_tile(const struct herd *h, size_t i, uint32_t *row)
{
    const size_t n_rows = h->n_left - i < KYMO_TILE_ROWS ? h->n_left - i : KYMO_TILE_ROWS;
    for (size_t r = 0; r < n_rows; r++)
        row[r] = h->row[h->left[i + r]];
    return n_rows;
}

static void settle(struct kymo_lloyd *l, struct herd *h, size_t i, uint32_t c, float upper,
                   float lower)
{
    h->label[i] = c;
    l->slack[h->row[i]] = round_down((double)lower - (double)upper + l->drift[c]);
}

/* The rows left meet a ball around their centres; those that it does not reach stay left. */
static void visit_ball(struct kymo_lloyd *l, struct kymo_lloyd_part *p, struct herd *h,
                       size_t ball)
{
    struct kymo_ball_tile m = {.place = {0}};
    size_t left = 0;
    for (size_t i = 0; i < h->n_left; i += KYMO_TILE_ROWS) {
        uint32_t row[KYMO_TILE_ROWS];
        size_t stride;
        const size_t n_rows = next_tile(h, i, row);
        const float *x =
            kymo_rows32_tile(&l->rows, row, n_rows, KYMO_TILE_ROWS, p->scratch.tile, &stride);
        for (size_t r = 0; r < n_rows; r++) {
            m.own[r] = l->label[row[r]];
            m.norm2[r] = l->norm2[row[r]];
        }
        l->near.meet(&l->near, ball, x, stride, &m);
        for (size_t r = 0; r < n_rows; r++) {
            const uint16_t at = h->left[i + r];
            if (!(m.reached >> r & 1)) {
                h->left[left++] = at;
            } else if (m.clear >> r & 1) {
                const uint32_t c = l->near.near[m.own[r] * KYMO_BALL_MOST + m.place[r]];
                settle(l, h, at, c, m.upper[r], m.lower[r]);
            } else {
                struct kymo_nearest_tile t;
                kymo_assign_exact(&l->a, row[r], &p->scratch, 0, &t);
                settle(l, h, at, t.label[0], t.upper[0], t.lower[0]);
            }
        }
    }
    h->n_left = left;
}

/* The rows left meet all centres. */
static void visit_left(struct kymo_lloyd *l, struct kymo_lloyd_part *p, struct herd *h)
{
    for (size_t i = 0; i < h->n_left; i += KYMO_TILE_ROWS) {
        struct kymo_nearest_tile t;
        uint32_t row[KYMO_TILE_ROWS];
        const size_t n_rows = next_tile(h, i, row);
        kymo_assign_tile(&l->a, row, n_rows, l->norm2, &p->scratch, &t);
        for (size_t r = 0; r < n_rows; r++)
            settle(l, h, h->left[i + r], t.label[r], t.upper[r], t.lower[r]);
    }
}

/* A ball that reached too few of the rows that met it, for what it costs beside all centres, is left out for
 * some passes. */
static void judge_balls(const struct kymo_lloyd *l, struct kymo_lloyd_part *p,
                        const size_t *met, const size_t *reached)
{
    for (size_t b = 0; b < KYMO_BALLS; b++) {
        if (p->idle[b])
            p->idle[b]--;
        else if (reached[b] * l->k < met[b] * BALL_COST * kymo_ball_size(b))
            p->idle[b] = IDLE_PASSES;
    }
}

static void visit_balls(struct kymo_lloyd *l, struct kymo_lloyd_part *p, size_t lo_row,
                        size_t hi)
{
    struct herd h;
    size_t met[KYMO_BALLS] = {0}, reached[KYMO_BALLS] = {0};
    for (size_t lo = lo_row; lo < hi; lo += FILTER_ROWS) {
        h.n = filter(l, lo, lo + FILTER_ROWS < hi ? lo + FILTER_ROWS : hi, h.row);
        h.n_left = h.n;
        for (size_t i = 0; i < h.n; i++) {
            kymo_rows32_fetch(&l->rows, h.row[i]);
            h.left[i] = (uint16_t)i;
        }
        for (size_t ball = 0; ball < KYMO_BALLS; ball++) {
            if (p->idle[ball])
                continue;
            const size_t n = h.n_left;
            visit_ball(l, p, &h, ball);
            met[ball] += n;
            reached[ball] += n - h.n_left;
        }
        visit_left(l, p, &h);
        for (size_t i = 0; i < h.n; i++) /* in row order: the order of sums */
            relabel(l, p, h.row[i], h.label[i]);
        p->visited += h.n;
    }
    judge_balls(l, p, met, reached);
}

void kymo_lloyd_visit(struct kymo_lloyd *l, struct kymo_lloyd_part *p, size_t lo, size_t hi)
{
    if (l->near.meet && !l->first && !l->slack_off)
        visit_balls(l, p, lo, hi);
    else if (l->a.n_groups > 1)
        visit_groups(l, p, lo, hi);
    else
        visit_plain(l, p, lo, hi);
}
