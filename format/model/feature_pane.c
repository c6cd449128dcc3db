/* SPDX-License-Identifier: Apache-2.0
 * feature_pane.c: panes of time with an accumulator an entity, and windows made of them.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/model/feature_run.h"

/* Bounds of what a capture can make us hold. */
#define GAP_PANES_MAX 1000000u /* a leap in time past this is damage, not idleness */
#define PANES_MAX 1000000u     /* open at once, in a capture without seals */

kymo_status kymo_feature_no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for features");
}

/* Grow an owned array so that one more fits; 0 when there is no memory. */
int kymo_feature_room(void **p, size_t *cap, size_t n, size_t item_bytes)
{
    if (n < *cap)
        return 1;
    const size_t more = *cap ? *cap * 2 : 16;
    void *q = realloc(*p, more * item_bytes);
    if (!q)
        return 0;
    *p = q;
    *cap = more;
    return 1;
}

void kymo_acc_release(struct kymo_feature_run *r, uint8_t *acc)
{
    for (size_t g = 0; g < r->n_groups; g++)
        if (r->group[g]->release)
            r->group[g]->release(acc + r->at[g]);
}

void kymo_pane_release(struct kymo_feature_run *r, struct pane *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        kymo_acc_release(r, p->entity[i].acc);
        free(p->entity[i].acc);
        free(p->entity[i].name);
        r->in_flight_bytes -= r->acc_bytes;
    }
    free(p->entity);
    free(p->slot);
    memset(p, 0, sizeof(*p));
}

/* -- panes ------------------------------------------------------------------------------------ */

void kymo_pane_origin(struct kymo_feature_run *r, uint64_t ts)
{
    if (r->has_origin)
        return;
    r->has_origin = 1;
    r->origin_ns = r->end_ns = r->seal_ns = ts;
    r->facts.first_ns = ts;
}

/* Rows before the origin (of a table written later) count in the first pane. */
uint64_t kymo_pane_of(const struct kymo_feature_run *r, uint64_t ts)
{
    return ts <= r->origin_ns ? 0 : (ts - r->origin_ns) / r->step_ns;
}

static kymo_status grow_panes(struct kymo_feature_run *r, uint32_t want, struct kymo_err *err)
{
    uint32_t cap = r->pane_cap ? r->pane_cap : 16;
    while (cap < want)
        cap *= 2;
    struct pane *p = calloc(cap, sizeof(*p));
    if (!p)
        return kymo_feature_no_memory(err);
    for (uint32_t i = 0; r->pane_cap && i < r->pane_n; i++)
        p[(r->pane_first + i) % cap] = r->pane[(r->pane_first + i) % r->pane_cap];
    free(r->pane);
    r->pane = p;
    r->pane_cap = cap;
    return KYMO_OK;
}

/* The pane of this index, opened with all before it; NULL in *out: it has closed already. */
kymo_status kymo_pane_get(struct kymo_feature_run *r, uint64_t index, uint64_t at_bytes,
                          struct pane **out, struct kymo_err *err)
{
    *out = NULL;
    if (index < r->pane_first)
        return KYMO_OK;
    const uint64_t open = index - r->pane_first + 1;
    if (open > PANES_MAX || open > (uint64_t)r->pane_n + GAP_PANES_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, at_bytes,
                         "time leaps %" PRIu64 " steps with no seal; use a longer --step",
                         open);
    if (open > r->pane_cap)
        KYMO_TRY(grow_panes(r, (uint32_t)open, err));
    if (open > r->pane_n)
        r->pane_n = (uint32_t)open;
    *out = &r->pane[index % r->pane_cap];
    return KYMO_OK;
}

static kymo_status rehash_pane(struct pane *p, struct kymo_err *err)
{
    const uint32_t slots = p->slots ? p->slots * 2 : 8;
    uint32_t *slot = calloc(slots, sizeof(*slot));
    if (!slot)
        return kymo_feature_no_memory(err);
    for (uint32_t i = 0; i < p->n; i++) {
        uint32_t at = (uint32_t)kymo_mix64(p->entity[i].key) & (slots - 1);
        while (slot[at])
            at = (at + 1) & (slots - 1);
        slot[at] = i + 1;
    }
    free(p->slot);
    p->slot = slot;
    p->slots = slots;
    return KYMO_OK;
}

/* Slot of a key in the pane: holds index + 1, or 0 where it would go. */
static uint32_t *find_slot(struct pane *p, uint64_t key)
{
    uint32_t at = (uint32_t)kymo_mix64(key) & (p->slots - 1);
    while (p->slot[at] && p->entity[p->slot[at] - 1].key != key)
        at = (at + 1) & (p->slots - 1);
    return &p->slot[at];
}

static kymo_status add_entity(struct kymo_feature_run *r, struct pane *p, uint64_t key,
                              const char *name, uint32_t *index, struct kymo_err *err)
{
    if (r->in_flight_bytes + r->acc_bytes > r->bytes_max)
        return KYMO_FAIL(
            err, KYMO_ELIMIT, KYMO_NOWHERE,
            "windows in flight pass %zu MiB; use a coarser --by, or a capture with seals",
            r->bytes_max >> 20);
    size_t cap = p->cap;
    if (!kymo_feature_room((void **)&p->entity, &cap, p->n, sizeof(*p->entity)))
        return kymo_feature_no_memory(err);
    p->cap = (uint32_t)cap;
    struct entity e = {.key = key, .name = strdup(name), .acc = calloc(1, r->acc_bytes)};
    if (!e.name || !e.acc) {
        free(e.name);
        free(e.acc);
        return kymo_feature_no_memory(err);
    }
    r->in_flight_bytes += r->acc_bytes;
    p->entity[p->n] = e;
    *index = p->n++;
    return KYMO_OK;
}

kymo_status kymo_entity_get(struct kymo_feature_run *r, struct pane *p, const struct who *w,
                            uint32_t *index, struct kymo_err *err)
{
    if (p->n >= p->slots - p->slots / 4)
        KYMO_TRY(rehash_pane(p, err));
    uint32_t *slot = find_slot(p, w->key);
    if (!*slot) {
        char name[KYMO_ENTITY_NAME_MAX];
        uint32_t i;
        kymo_entity_name(r, w, name);
        KYMO_TRY(add_entity(r, p, w->key, name, &i, err));
        *slot = i + 1;
    }
    *index = *slot - 1;
    return KYMO_OK;
}

/* -- windows out ------------------------------------------------------------------------------ */

static int by_entity_key(const void *a, const void *b)
{
    const struct entity *x = *(struct entity *const *)a, *y = *(struct entity *const *)b;
    return x->key != y->key ? (x->key > y->key) - (x->key < y->key) : strcmp(x->name, y->name);
}

static int by_entity_name(const void *a, const void *b)
{
    const struct entity *x = *(struct entity *const *)a, *y = *(struct entity *const *)b;
    const int c = strcmp(x->name, y->name);
    return c ? c : (x->key > y->key) - (x->key < y->key);
}

static kymo_status emit(struct kymo_feature_run *r, uint64_t start_ns, uint64_t dur_ns,
                        double lost, const struct entity *e, uint64_t events,
                        const uint8_t *acc, struct kymo_err *err)
{
    const uint64_t end_ns = start_ns + dur_ns;
    struct kymo_finish f = {
        .acc = acc, .seconds = (double)dur_ns / 1e9, .vocabulary = r->spec->vocabulary};
    double *x = r->x;
    kymo_opens_of(r, e->key, end_ns, f.open);
    for (size_t g = 0; g < r->n_groups; g++) {
        r->group[g]->finish(acc + r->at[g], &f, x);
        x += r->group[g]->n_columns;
    }
    for (size_t j = 0; j < r->spec->d; j++)
        assert(isfinite(r->x[j])); /* no group divides by nothing */
    const struct kymo_window w = {
        .start_ns = start_ns,
        .dur_ns = dur_ns,
        .real_ns = r->has_clock ? r->clock_real_ns + (end_ns - r->clock_ns) : 0,
        .events = events,
        .lost = lost,
        .capture = r->capture,
        .entity = e->name,
        .x = r->x,
    };
    r->facts.windows++;
    return r->fn(r->ctx, &w, err);
}

/* The entity of this key in all panes of the window, merged into r->merged. */
static uint64_t merge_entity(struct kymo_feature_run *r, uint64_t first, uint64_t key)
{
    uint64_t events = 0;
    for (uint32_t i = 0; i < r->window_panes && first + i < r->pane_first + r->pane_n; i++) {
        struct pane *p = &r->pane[(first + i) % r->pane_cap];
        const uint32_t slot = p->slots ? *find_slot(p, key) : 0;
        if (!slot)
            continue;
        events += p->entity[slot - 1].events;
        for (size_t g = 0; g < r->n_groups; g++)
            if (r->group[g]->merge)
                r->group[g]->merge(r->merged + r->at[g], p->entity[slot - 1].acc + r->at[g]);
    }
    return events;
}

/* Entities of a window in order of their names, each once; owned array. */
static kymo_status window_entities(struct kymo_feature_run *r, uint64_t first,
                                   struct entity ***out, size_t *n_out, struct kymo_err *err)
{
    size_t n = 0, kept = 0;
    for (uint32_t i = 0; i < r->window_panes && first + i < r->pane_first + r->pane_n; i++)
        n += r->pane[(first + i) % r->pane_cap].n;
    struct entity **e = calloc(n + 1, sizeof(struct entity *));
    if (!e)
        return kymo_feature_no_memory(err);
    n = 0;
    for (uint32_t i = 0; i < r->window_panes && first + i < r->pane_first + r->pane_n; i++) {
        struct pane *p = &r->pane[(first + i) % r->pane_cap];
        for (uint32_t j = 0; j < p->n; j++)
            e[n++] = &p->entity[j];
    }
    /* a process may go by another name from one pane to the next */
    qsort(e, n, sizeof(struct entity *), by_entity_key);
    for (size_t i = 0; i < n; i++)
        if (!kept || e[kept - 1]->key != e[i]->key)
            e[kept++] = e[i];
    qsort(e, kept, sizeof(struct entity *), by_entity_name);
    *out = e;
    *n_out = kept;
    return KYMO_OK;
}

static double window_lost(const struct kymo_feature_run *r, uint64_t first)
{
    uint64_t seen = 0, dropped = 0;
    for (uint32_t i = 0; i < r->window_panes && first + i < r->pane_first + r->pane_n; i++) {
        const struct pane *p = &r->pane[(first + i) % r->pane_cap];
        seen += p->seen;
        dropped += p->dropped;
    }
    if (!dropped)
        return 0;
    return dropped >= seen ? 1 : (double)dropped / (double)seen;
}

/* Emit the window that begins with this pane; a host has one even when nothing happened. */
kymo_status kymo_pane_emit(struct kymo_feature_run *r, uint64_t first, uint64_t dur_ns,
                           struct kymo_err *err)
{
    const uint64_t start_ns = r->origin_ns + first * r->step_ns;
    const double lost = window_lost(r, first);
    struct entity **e;
    size_t n;
    KYMO_TRY(window_entities(r, first, &e, &n, err));
    kymo_status s = KYMO_OK;
    if (n == 0 && r->spec->by == KYMO_BY_HOST) {
        char host[] = "host";
        const struct entity idle = {.name = host};
        s = emit(r, start_ns, dur_ns, lost, &idle, 0, r->merged, err);
    }
    for (size_t i = 0; i < n && !s; i++) {
        if (r->window_panes == 1) {
            s = emit(r, start_ns, dur_ns, lost, e[i], e[i]->events, e[i]->acc, err);
            continue;
        }
        const uint64_t events = merge_entity(r, first, e[i]->key);
        s = emit(r, start_ns, dur_ns, lost, e[i], events, r->merged, err);
        kymo_acc_release(r, r->merged);
        memset(r->merged, 0, r->acc_bytes);
    }
    free(e);
    return s;
}

static void drop_first_pane(struct kymo_feature_run *r)
{
    if (r->pane_n) {
        kymo_pane_release(r, &r->pane[r->pane_first % r->pane_cap]);
        r->pane_n--;
    }
    r->pane_first++;
}

/* Close every window that ends at or before ts. */
kymo_status kymo_pane_close_until(struct kymo_feature_run *r, uint64_t ts, uint64_t at_bytes,
                                  struct kymo_err *err)
{
    if (ts < r->origin_ns)
        return KYMO_OK;
    const uint64_t ended = (ts - r->origin_ns) / r->step_ns; /* panes wholly before ts */
    if (ended > r->pane_first && ended - r->pane_first > (uint64_t)r->pane_n + GAP_PANES_MAX)
        return KYMO_FAIL(err, KYMO_ECORRUPT, at_bytes, "a seal leaps %" PRIu64 " steps of time",
                         ended - r->pane_first);
    while (r->pane_first + r->window_panes <= ended) {
        KYMO_TRY(kymo_pane_emit(r, r->pane_first, r->spec->window_ns, err));
        drop_first_pane(r);
    }
    kymo_opens_forget(r, r->origin_ns + r->pane_first * r->step_ns);
    return KYMO_OK;
}
