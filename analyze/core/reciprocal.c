/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "analyze/core/linkage_own.h"

/* Rounds go on while a merge costs at most so many searches. */
#define SEARCHES_A_MERGE_MAX 12u
/* Pairs that one join takes: a share of the clusters, so that stores need little room beside what
 * they hold. */
#define JOIN_SHARE 8u
#define JOIN_PAIRS_MIN 64u
/* Slots are packed when fewer than seven eighths of them hold a cluster. */
#define IS_SPARSE(live, slots) ((live) < (slots) - (slots) / 8)

struct rounds {
    struct kymo_linkage_job *job;
    const struct kymo_slots_ops *ops;
    void *store;
    size_t slots, live;
    uint32_t since;         /* clusters born since then are new */
    struct kymo_near *nn;   /* [slots] */
    uint32_t *nn_birth;     /* [slots] birth of the neighbour when it was found */
    uint32_t *birth;        /* [slots] number of the merge that made the cluster; DEAD */
    uint32_t *row;          /* [slots] a row of the cluster */
    double *top;            /* [slots] its height */
    uint32_t *q;            /* [slots] scratch */
    struct kymo_near *best; /* [slots] scratch */
    uint32_t *from, *to;    /* [slots] scratch */
    uint32_t *chain;        /* [slots] */
    size_t chain_n;
    uint8_t *wanted;             /* [slots] scratch */
    struct kymo_slot_pair *pair; /* [slots / 2] */
};

#define DEAD UINT32_MAX

/* A dead one knows nobody. */
static int knows(const struct rounds *r, size_t i)
{
    const uint32_t s = r->nn[i].slot;
    return r->birth[i] != DEAD && s != KYMO_NEAR_NONE && r->birth[s] == r->nn_birth[i];
}

static void search(struct rounds *r, size_t n_q)
{
    for (size_t i = 0; i < n_q; i++) {
        const uint32_t near = r->nn[r->q[i]].slot;
        r->best[i] = near != KYMO_NEAR_NONE && r->birth[near] != DEAD
                         ? (struct kymo_near){NAN, near}
                         : (struct kymo_near){INFINITY, KYMO_NEAR_NONE};
    }
    r->ops->search(r->store, n_q, r->q, r->best);
    for (size_t i = 0; i < n_q; i++) {
        r->nn[r->q[i]] = r->best[i];
        r->nn_birth[r->q[i]] = r->birth[r->best[i].slot];
    }
}

/* Slots close up: what is dead disappears. Fills r->from; call before the store is told. */
static size_t plan_packing(struct rounds *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->slots; i++) {
        r->to[i] = KYMO_NEAR_NONE;
        if (r->birth[i] != DEAD) {
            r->to[i] = (uint32_t)n;
            r->from[n++] = (uint32_t)i;
        }
    }
    return n;
}

static void pack(struct rounds *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t f = r->from[i];
        r->nn[i] = r->nn[f];
        if (r->nn[i].slot != KYMO_NEAR_NONE)
            r->nn[i].slot = r->to[r->nn[i].slot];
        r->nn_birth[i] = r->nn_birth[f];
        r->birth[i] = r->birth[f];
        r->row[i] = r->row[f];
        r->top[i] = r->top[f];
    }
    for (size_t i = 0; i < r->chain_n; i++)
        r->chain[i] = r->to[r->chain[i]];
    r->slots = n;
}

/* Book one merge at a value; the store is told by the caller. */
static void book(struct rounds *r, struct kymo_slot_pair p, double value)
{
    const double h = r->ops->height(r->store, value);
    const double parts = fmax(r->top[p.keep], r->top[p.drop]);
    r->top[p.keep] = fmax(h, parts); /* rounding must not turn the tree */
    kymo_linkage_note(r->job, r->row[p.keep], r->row[p.drop], r->top[p.keep]);
    r->birth[p.keep] = (uint32_t)r->job->n_found;
    r->birth[p.drop] = DEAD;
    r->nn[p.keep].slot = KYMO_NEAR_NONE;
    r->live--;
}

static struct kymo_slot_pair pair_of(uint32_t a, uint32_t b)
{
    return a < b ? (struct kymo_slot_pair){a, b} : (struct kymo_slot_pair){b, a};
}

/* Pairs of mutual neighbours among those that know theirs. Rounding may leave no such pair among
 * equal distances: then the nearest two are one. */
static size_t find_pairs(struct rounds *r)
{
    size_t n = 0, nearest = SIZE_MAX;
    for (size_t i = 0; i < r->slots; i++) {
        if (!knows(r, i))
            continue;
        const uint32_t s = r->nn[i].slot;
        if (s > i && r->nn[s].slot == i && knows(r, s))
            r->pair[n++] = (struct kymo_slot_pair){(uint32_t)i, s};
        if (nearest == SIZE_MAX || r->nn[i].value < r->nn[nearest].value)
            nearest = i;
    }
    if (!n)
        r->pair[n++] = pair_of((uint32_t)nearest, r->nn[nearest].slot);
    return n;
}

/* Merge pairs, which are booked already; packs the slots now and then. r->to says afterwards where
 * slots have gone. */
static kymo_status join(struct rounds *r, size_t n, const struct kymo_slot_pair *pair,
                        struct kymo_err *err)
{
    const int packs = IS_SPARSE(r->live, r->slots);
    const size_t n_new = plan_packing(r);
    KYMO_TRY(r->ops->join(r->store, n, pair, packs ? n_new : 0, packs ? r->from : NULL, err));
    for (size_t i = 0; !packs && i < r->slots; i++)
        r->to[i] = (uint32_t)i;
    /* Who pointed to a dropped one now points near the cluster that took it. */
    for (size_t i = 0; i < n; i++)
        r->to[pair[i].drop] = r->to[pair[i].keep];
    if (packs)
        pack(r, n_new);
    else
        for (size_t i = 0; i < r->slots; i++)
            if (r->nn[i].slot != KYMO_NEAR_NONE)
                r->nn[i].slot = r->to[r->nn[i].slot];
    return KYMO_OK;
}

static kymo_status join_some(struct rounds *r, size_t n, const struct kymo_slot_pair *pair,
                             struct kymo_err *err)
{
    for (size_t i = 0; i < n; i++)
        book(r, pair[i], fmin(r->nn[pair[i].keep].value, r->nn[pair[i].drop].value));
    return join(r, n, pair, err);
}

/* Those to be searched for: new ones, and neighbours of who knows them. */
static size_t list_wanted(struct rounds *r, uint32_t since)
{
    memset(r->wanted, 0, r->slots);
    for (size_t i = 0; i < r->slots; i++)
        if (knows(r, i))
            r->wanted[r->nn[i].slot] = 1;
    size_t n = 0;
    for (size_t i = 0; i < r->slots; i++)
        if ((r->wanted[i] || r->birth[i] >= since) && r->birth[i] != DEAD && !knows(r, i))
            r->q[n++] = (uint32_t)i;
    return n;
}

/* Returns through go_on whether rounds are worth it. */
static kymo_status one_round(struct rounds *r, int *go_on, struct kymo_err *err)
{
    size_t n_q = 0;
    for (size_t now; (now = list_wanted(r, r->since)) > 0; n_q += now)
        search(r, now);
    const size_t n = find_pairs(r);
    r->since = (uint32_t)r->job->n_found + 1;
    const size_t share = r->live / JOIN_SHARE;
    const size_t step = share > JOIN_PAIRS_MIN ? share : JOIN_PAIRS_MIN;
    for (size_t done = 0, now; done < n; done += now) {
        now = n - done < step ? n - done : step;
        KYMO_TRY(join_some(r, now, r->pair + done, err));
        for (size_t i = done + now; i < n; i++)
            r->pair[i] =
                (struct kymo_slot_pair){r->to[r->pair[i].keep], r->to[r->pair[i].drop]};
    }
    *go_on = n_q <= n * SEARCHES_A_MERGE_MAX;
    return KYMO_OK;
}

static int is_in_chain(const struct rounds *r, uint32_t slot)
{
    for (size_t i = r->chain_n; i > 0; i--)
        if (r->chain[i - 1] == slot)
            return 1;
    return 0;
}

static kymo_status join_chain(struct rounds *r, double value, struct kymo_err *err)
{
    const struct kymo_slot_pair p = pair_of(r->chain[r->chain_n - 2], r->chain[r->chain_n - 1]);
    r->chain_n -= 2;
    book(r, p, value);
    return join(r, 1, &p, err);
}

/* Follow nearest neighbours until two are each other's; of equal ones the way back is taken. */
static kymo_status chain_step(struct rounds *r, struct kymo_err *err)
{
    for (size_t i = 0; !r->chain_n; i++)
        if (r->birth[i] != DEAD)
            r->chain[r->chain_n++] = (uint32_t)i;
    const uint32_t tip = r->chain[r->chain_n - 1];
    if (!knows(r, tip)) {
        r->q[0] = tip;
        search(r, 1);
    }
    if (r->chain_n > 1) {
        const double back = r->nn[r->chain[r->chain_n - 2]].value;
        if (back <= r->nn[tip].value || is_in_chain(r, r->nn[tip].slot))
            return join_chain(r, fmin(back, r->nn[tip].value), err);
    }
    r->chain[r->chain_n++] = r->nn[tip].slot;
    return KYMO_OK;
}

static kymo_status rounds_init(struct rounds *r, struct kymo_err *err)
{
    struct kymo_arena *a = r->job->scratch;
    const size_t n = r->slots;
    r->nn = KYMO_NEW_RAW(a, struct kymo_near, n);
    r->best = KYMO_NEW_RAW(a, struct kymo_near, n);
    r->nn_birth = KYMO_NEW(a, uint32_t, n);
    r->birth = KYMO_NEW(a, uint32_t, n);
    r->row = KYMO_NEW_RAW(a, uint32_t, n);
    r->top = KYMO_NEW(a, double, n);
    r->q = KYMO_NEW_RAW(a, uint32_t, n);
    r->from = KYMO_NEW_RAW(a, uint32_t, n);
    r->to = KYMO_NEW_RAW(a, uint32_t, n);
    r->chain = KYMO_NEW_RAW(a, uint32_t, n);
    r->wanted = KYMO_NEW_RAW(a, uint8_t, n);
    r->pair = KYMO_NEW_RAW(a, struct kymo_slot_pair, n / 2 + 1);
    if (!r->nn || !r->best || !r->nn_birth || !r->birth || !r->row || !r->top || !r->q ||
        !r->from || !r->to || !r->chain || !r->wanted || !r->pair)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the neighbours of %zu rows pass the memory budget", n);
    for (size_t i = 0; i < n; i++) {
        r->nn[i] = (struct kymo_near){INFINITY, KYMO_NEAR_NONE};
        r->row[i] = (uint32_t)i;
    }
    return KYMO_OK;
}

kymo_status kymo_reciprocal(struct kymo_linkage_job *j, const struct kymo_slots_ops *ops,
                            void *store, struct kymo_err *err)
{
    struct rounds r = {.job = j, .ops = ops, .store = store, .slots = j->n, .live = j->n};
    KYMO_TRY(rounds_init(&r, err));
    int go_on = 1;
    while (r.live > 1 && go_on && !kymo_linkage_stopped(j))
        KYMO_TRY(one_round(&r, &go_on, err));
    while (r.live > 1 && !kymo_linkage_stopped(j))
        KYMO_TRY(chain_step(&r, err));
    return KYMO_OK;
}
