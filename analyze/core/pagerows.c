/* SPDX-License-Identifier: Apache-2.0 */
#include "analyze/core/pagerows.h"

#include <string.h>

#define SLAB_PAGES KYMO_SLAB_PAGES
#define NO_PAGE UINT32_MAX

static size_t pages_for(size_t width)
{
    return (width + KYMO_PAGE_DOUBLES - 1) / KYMO_PAGE_DOUBLES;
}

static double *page_at(const struct kymo_page_rows *r, uint32_t id)
{
    return r->slab[id / SLAB_PAGES] + id % SLAB_PAGES * KYMO_PAGE_DOUBLES;
}

kymo_status kymo_page_rows_init(struct kymo_page_rows *r, size_t slots, size_t width,
                                struct kymo_arena *arena, struct kymo_err *err)
{
    struct kymo_page_rows made = {.arena = arena, .free_page = NO_PAGE};
    made.pages_max = pages_for(width);
    /* Ids have 32 bits; that many pages are 16 TiB. */
    const size_t all = slots * made.pages_max;
    made.slabs_max = (all < NO_PAGE ? all : NO_PAGE) / SLAB_PAGES + 1;
    made.page = kymo_arena_alloc_raw(arena, slots, made.pages_max * sizeof(uint32_t));
    made.n = KYMO_NEW(arena, uint32_t, slots);
    made.slab = KYMO_NEW_RAW(arena, double *, made.slabs_max);
    if (!made.page || !made.n || !made.slab)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the table of %zu rows passes the memory budget", slots);
    *r = made;
    return KYMO_OK;
}

static void give_back(struct kymo_page_rows *r, uint32_t id)
{
    memcpy(page_at(r, id), &r->free_page, sizeof(id));
    r->free_page = id;
}

static kymo_status add_slab(struct kymo_page_rows *r, struct kymo_err *err)
{
    double *slab = NULL;
    if (r->n_slabs < r->slabs_max)
        slab = KYMO_NEW_RAW(r->arena, double, SLAB_PAGES *KYMO_PAGE_DOUBLES);
    if (!slab)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "the distances of clusters pass the memory budget after %zu MiB",
                         r->n_slabs * SLAB_PAGES * KYMO_PAGE_DOUBLES * sizeof(double) >> 20);
    r->slab[r->n_slabs++] = slab;
    return KYMO_OK;
}

kymo_status kymo_page_rows_add(struct kymo_page_rows *r, size_t slot, size_t width,
                               struct kymo_err *err)
{
    const size_t want = pages_for(width);
    while (r->n[slot] < want) {
        uint32_t id = r->free_page;
        if (id != NO_PAGE) {
            memcpy(&r->free_page, page_at(r, id), sizeof(id));
        } else {
            if (r->n_pages == r->n_slabs * SLAB_PAGES)
                KYMO_TRY(add_slab(r, err));
            id = r->n_pages++;
        }
        r->page[slot * r->pages_max + r->n[slot]++] = id;
    }
    return KYMO_OK;
}

void kymo_page_rows_trim(struct kymo_page_rows *r, size_t slot, size_t width)
{
    const size_t keep = pages_for(width);
    while (r->n[slot] > keep)
        give_back(r, r->page[slot * r->pages_max + --r->n[slot]]);
}

void kymo_page_rows_move(struct kymo_page_rows *r, size_t from, size_t to)
{
    memcpy(r->page + to * r->pages_max, r->page + from * r->pages_max,
           r->n[from] * sizeof(*r->page));
    r->n[to] = r->n[from];
    r->n[from] = 0;
}
