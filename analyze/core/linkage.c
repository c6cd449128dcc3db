/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/linkage.h"

#include <assert.h>
#include <stdlib.h>

#include "analyze/core/linkage_own.h"

#define ROWS_MAX ((size_t)1 << 31)
#define TICK_MERGES 256u

void kymo_linkage_note(struct kymo_linkage_job *j, uint32_t a, uint32_t b, double height)
{
    j->found[j->n_found++] = (struct kymo_found){a, b, height};
    if (j->in->tick && (j->n_found % TICK_MERGES == 0 || j->n_found + 1 == j->n)) {
        const struct kymo_linkage_tick t = {j->n_found, j->n - 1};
        j->in->tick(j->in->tick_ctx, &t);
    }
}

int kymo_linkage_stopped(struct kymo_linkage_job *j)
{
    if (j->in->stop && *j->in->stop)
        j->stopped = 1;
    return j->stopped;
}

struct ordered {
    struct kymo_found f;
    uint32_t at; /* when it was found */
};

static int by_height(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    if (x->f.height != y->f.height)
        return x->f.height < y->f.height ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static kymo_status sort_found(struct kymo_linkage_job *j, struct kymo_err *err)
{
    struct ordered *o = KYMO_NEW_RAW(j->scratch, struct ordered, j->n_found);
    if (!o)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the order of %zu merges passes the memory budget", j->n_found);
    for (size_t i = 0; i < j->n_found; i++)
        o[i] = (struct ordered){j->found[i], (uint32_t)i};
    if (j->n_found)
        qsort(o, j->n_found, sizeof(*o), by_height);
    for (size_t i = 0; i < j->n_found; i++)
        j->found[i] = o[i].f;
    return KYMO_OK;
}

/* The root of a row's tree, halving paths on the way. */
static uint32_t root_of(uint32_t *up, uint32_t i)
{
    while (up[i] != i) {
        up[i] = up[up[i]];
        i = up[i];
    }
    return i;
}

/* Rows of Z from the merges in their order. */
static kymo_status name_clusters(struct kymo_linkage_job *j, struct kymo_merge *Z,
                                 struct kymo_err *err)
{
    uint32_t *up = KYMO_NEW_RAW(j->scratch, uint32_t, j->n);
    uint32_t *name = KYMO_NEW_RAW(j->scratch, uint32_t, j->n);
    double *size = KYMO_NEW_RAW(j->scratch, double, j->n);
    if (!up || !name || !size)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the names of %zu clusters pass the memory budget", j->n);
    for (size_t i = 0; i < j->n; i++) {
        up[i] = name[i] = (uint32_t)i;
        size[i] = kymo_linkage_weight(j, i);
    }
    for (size_t i = 0; i < j->n_found; i++) {
        uint32_t a = root_of(up, j->found[i].a), b = root_of(up, j->found[i].b);
        if (name[a] > name[b]) {
            const uint32_t t = a;
            a = b;
            b = t;
        }
        Z[i] = (struct kymo_merge){name[a], name[b], j->found[i].height, size[a] + size[b]};
        up[b] = a;
        name[a] = (uint32_t)(j->n + i);
        size[a] = Z[i].size;
    }
    return KYMO_OK;
}

static kymo_status run(struct kymo_linkage_job *j, struct kymo_err *err)
{
    if (!j->in->rows)
        return kymo_linkage_matrix(j, err);
    switch (j->in->method) {
    case KYMO_LINKAGE_WARD:
        return kymo_linkage_ward(j, err);
    case KYMO_LINKAGE_AVERAGE:
    case KYMO_LINKAGE_COMPLETE:
        return kymo_linkage_pairs(j, err);
    case KYMO_LINKAGE_SINGLE:
        return kymo_linkage_single(j, err);
    case KYMO_LINKAGE_CENTROID:
        break;
    }
    return kymo_linkage_centroid(j, err);
}

static kymo_status link_all(struct kymo_linkage_job *j, struct kymo_merge *Z,
                            struct kymo_err *err)
{
    j->found = KYMO_NEW_RAW(j->scratch, struct kymo_found, j->n);
    if (!j->found)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the merges of %zu rows pass the memory budget", j->n);
    if (j->n > 1)
        KYMO_TRY(run(j, err));
    if (j->in->method != KYMO_LINKAGE_CENTROID)
        KYMO_TRY(sort_found(j, err));
    return name_clusters(j, Z, err);
}

kymo_status kymo_linkage(const struct kymo_linkage_in *in, struct kymo_arena *arena,
                         struct kymo_linkage_out *out, struct kymo_err *err)
{
    assert((in->rows != NULL) != (in->distances != NULL));
    struct kymo_linkage_job j = {.in = in};
    j.n = in->rows ? in->rows->n : in->distances->n;
    j.weight = in->rows ? in->rows->weight : in->distances->weight;
    assert(j.n >= 1);
    if (j.n >= ROWS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "%zu rows are too many for a tree",
                         j.n);
    struct kymo_merge *Z = KYMO_NEW_RAW(arena, struct kymo_merge, j.n - 1);
    if (!Z)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "a tree of %zu rows passes the memory budget", j.n);
    struct kymo_arena scratch;
    kymo_arena_init(&scratch, arena->cap_bytes - arena->used_bytes);
    j.scratch = &scratch;
    const kymo_status s = link_all(&j, Z, err);
    kymo_arena_release(&scratch);
    if (s)
        return s;
    *out = (struct kymo_linkage_out){Z, j.n_found, j.stopped};
    return KYMO_OK;
}

const char *kymo_linkage_name(enum kymo_linkage_method method)
{
    static const char *const names[] = {"ward", "average", "complete", "single", "centroid"};
    return names[method];
}
