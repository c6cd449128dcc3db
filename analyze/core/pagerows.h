/* SPDX-License-Identifier: Apache-2.0
 * pagerows.h: rows of doubles that grow few and narrow: each a list of pages out of one pool, so
 * what a row gives up serves another row, and nothing need move.
 */
#ifndef KYMO_CORE_PAGEROWS_H
#define KYMO_CORE_PAGEROWS_H

#include "format/base/arena.h"
#include "format/base/err.h"

#define KYMO_PAGE_DOUBLES ((size_t)512)
#define KYMO_SLAB_PAGES ((size_t)256)

struct kymo_page_rows {
    size_t pages_max; /* of a row */
    uint32_t *page;   /* [slots, pages_max] */
    uint32_t *n;      /* [slots] pages a row holds; 0: there is no row in this slot */
    double **slab;    /* [n_slabs] */
    size_t n_slabs, slabs_max;
    uint32_t n_pages;   /* handed out so far; pages past them were never touched */
    uint32_t free_page; /* first of a list through the pages given back */
    struct kymo_arena *arena;
};

/* errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_page_rows_init(struct kymo_page_rows *r, size_t slots,
                                              size_t width, struct kymo_arena *arena,
                                              struct kymo_err *err);
/* Give an empty slot a row with room for width doubles. errors ELIMIT */
KYMO_MUST_USE kymo_status kymo_page_rows_add(struct kymo_page_rows *r, size_t slot,
                                             size_t width, struct kymo_err *err);
/* Give back what lies past width; 0: the row. */
void kymo_page_rows_trim(struct kymo_page_rows *r, size_t slot, size_t width);
/* The row of one slot goes to another, which had none. */
void kymo_page_rows_move(struct kymo_page_rows *r, size_t from, size_t to);

/* Page p of a row. */
static inline double *kymo_page(const struct kymo_page_rows *r, size_t slot, size_t p)
{
    const uint32_t id = r->page[slot * r->pages_max + p];
    return r->slab[id / KYMO_SLAB_PAGES] + id % KYMO_SLAB_PAGES * KYMO_PAGE_DOUBLES;
}

static inline double *kymo_page_cell(const struct kymo_page_rows *r, size_t slot, size_t column)
{
    return kymo_page(r, slot, column / KYMO_PAGE_DOUBLES) + column % KYMO_PAGE_DOUBLES;
}

#endif
