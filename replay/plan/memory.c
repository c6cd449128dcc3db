/* SPDX-License-Identifier: Apache-2.0
 * memory.c: mappings by the address they had, so that later calls find the same mapping at another one. A piece
 * is what is left of one in a row; pieces of a process lie in order of their addresses.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "replay/plan/compile_own.h"

#define PIECES_MAX 4096u /* of a process; what is mapped beyond is not followed */
#define REGIONS_MAX (1u << 22)
#define REGION_BYTES_MAX ((uint64_t)1 << 40)

/* The first piece that ends behind an address. */
static size_t piece_behind(const struct proc *p, uint64_t at)
{
    size_t low = 0, high = p->pieces.n;
    while (low < high) {
        const size_t mid = (low + high) / 2;
        const struct piece *x = AT(p->pieces, struct piece, mid);
        if (x->start + x->bytes <= at)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static kymo_status insert(struct maker *m, struct proc *p, size_t at, struct piece piece)
{
    struct piece *last;
    if (p->pieces.n >= PIECES_MAX)
        return KYMO_OK;
    KYMO_TRY(list_add(m, &p->pieces, sizeof(*last), &last));
    struct piece *const all = p->pieces.p;
    memmove(all + at + 1, all + at, (p->pieces.n - 1 - at) * sizeof(*all));
    all[at] = piece;
    return KYMO_OK;
}

/* Nothing is mapped there any more. */
static kymo_status cut(struct maker *m, struct proc *p, uint64_t start, uint64_t bytes)
{
    const uint64_t end = start + bytes;
    size_t i = piece_behind(p, start);
    while (i < p->pieces.n) {
        struct piece *x = AT(p->pieces, struct piece, i);
        const uint64_t x_end = x->start + x->bytes;
        if (x->start >= end)
            break;
        if (x->start < start && x_end > end) { /* the middle of it */
            const struct piece tail = {end, x_end - end, x->region,
                                       x->offset + (end - x->start)};
            x->bytes = start - x->start;
            return insert(m, p, i + 1, tail);
        }
        if (x->start < start) {
            x->bytes = start - x->start;
            i++;
        } else if (x_end > end) {
            x->offset += end - x->start;
            x->start = end;
            x->bytes = x_end - end;
            break;
        } else {
            struct piece *const all = p->pieces.p;
            memmove(all + i, all + i + 1, (p->pieces.n - i - 1) * sizeof(*all));
            p->pieces.n--;
        }
    }
    return KYMO_OK;
}

/* region << 40 | offset of an address; NONE in *out: in no mapping that a call made. */
static int find(const struct proc *p, uint64_t at, uint64_t *out)
{
    const size_t i = piece_behind(p, at);
    const struct piece *x = i < p->pieces.n ? AT(p->pieces, struct piece, i) : NULL;
    if (!x || at < x->start || x->offset + (at - x->start) >= REGION_BYTES_MAX)
        return 0;
    *out = (uint64_t)x->region << 40 | (x->offset + (at - x->start));
    return 1;
}

static kymo_status mapped(struct maker *m, uint32_t call, uint64_t start, uint64_t bytes,
                          uint32_t region, uint64_t offset)
{
    struct proc *p = proc_at(m, proc_of_call(m, call));
    if (bytes >= REGION_BYTES_MAX || start > UINT64_MAX - bytes || !bytes)
        return KYMO_OK;
    KYMO_TRY(cut(m, p, start, bytes));
    return insert(m, p, piece_behind(p, start), (struct piece){start, bytes, region, offset});
}

static uint64_t pages(uint64_t bytes)
{
    return bytes > UINT64_MAX - 4095 ? bytes : (bytes + 4095) & ~(uint64_t)4095;
}

static kymo_status maps(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct note *n = &m->note[call];
    const int is_fixed = (c->arg[3] & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0;
    const uint64_t start = (uint64_t)c->ret;
    uint64_t at;
    if (!is_ok(c))
        return KYMO_OK;
    if (is_fixed && find(proc_at(m, proc_of_call(m, call)), start, &at)) {
        n->at = at; /* over a part of another */
        n->cut = 1;
        return mapped(m, call, start, pages(c->arg[1]), (uint32_t)(at >> 40),
                      at & (REGION_BYTES_MAX - 1));
    }
    if (m->n_regions >= REGIONS_MAX)
        return KYMO_OK;
    n->link = m->n_regions++;
    return mapped(m, call, start, pages(c->arg[1]), n->link, 0);
}

static kymo_status moves(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct note *n = &m->note[call];
    struct proc *p = proc_at(m, proc_of_call(m, call));
    n->cut = (uint8_t)find(p, c->arg[0], &n->at);
    if (!is_ok(c) || !n->cut)
        return KYMO_OK;
    KYMO_TRY(cut(m, p, c->arg[0], pages(c->arg[1])));
    if (m->n_regions >= REGIONS_MAX)
        return KYMO_OK;
    n->link = m->n_regions++;
    return mapped(m, call, (uint64_t)c->ret, pages(c->arg[2]), n->link, 0);
}

kymo_status memory_exit(struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *c = call_at(m, call);
    struct note *n = &m->note[call];
    struct proc *p = proc_at(m, proc_of_call(m, call));
    switch (m->row[call]->op) {
    case OP_MMAP:
        return maps(m, call);
    case OP_MREMAP:
        return moves(m, call);
    case OP_MUNMAP:
        n->cut = (uint8_t)find(p, c->arg[0], &n->at);
        if (n->cut &&
            is_ok(c)) /* no farther than that mapping: behind it lies something else here */
            n->size = AT(p->pieces, struct piece, piece_behind(p, c->arg[0]))->start +
                      AT(p->pieces, struct piece, piece_behind(p, c->arg[0]))->bytes -
                      c->arg[0];
        return is_ok(c) ? cut(m, p, c->arg[0], pages(c->arg[1])) : KYMO_OK;
    case OP_REGION:
        n->cut = (uint8_t)find(p, c->arg[0], &n->at);
        if (n->cut)
            n->size = AT(p->pieces, struct piece, piece_behind(p, c->arg[0]))->start +
                      AT(p->pieces, struct piece, piece_behind(p, c->arg[0]))->bytes -
                      c->arg[0];
        return KYMO_OK;
    case OP_BRK:
        if (!p->brk)
            p->brk = (uint64_t)c->ret;
        n->at = c->arg[0] > p->brk ? c->arg[0] - p->brk : 0;
        return KYMO_OK;
    default:
        return KYMO_OK;
    }
}

kymo_status memory_fork(struct maker *m, uint32_t parent, uint32_t child)
{
    const struct proc *p = proc_at(m, parent);
    struct proc *c = proc_at(m, child);
    struct piece *x;
    for (size_t i = 0; i < p->pieces.n; i++) {
        KYMO_TRY(list_add(m, &c->pieces, sizeof(*x), &x));
        *x = *AT(p->pieces, struct piece, i);
    }
    c->brk = p->brk;
    return KYMO_OK;
}

void memory_exec(struct maker *m, uint32_t proc)
{
    proc_at(m, proc)->pieces.n = 0;
    proc_at(m, proc)->brk = 0;
}
