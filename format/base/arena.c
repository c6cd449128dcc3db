/* SPDX-License-Identifier: Apache-2.0
 * Blocks grow by doubling up to BLOCK_BYTES_MAX; what is larger than that gets a block of its own.
 * used_bytes counts whole blocks, headers included, so that the cap bounds what malloc was asked for.
 */
#include "format/base/arena.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"

#define ALIGN_BYTES 16u
#define BLOCK_BYTES_MIN ((size_t)16 << 10)
#define BLOCK_BYTES_MAX ((size_t)4 << 20)

struct kymo_arena_block {
    struct kymo_arena_block *older;
    size_t cap_bytes; /* of data */
    size_t used_bytes;
    _Alignas(ALIGN_BYTES) unsigned char data[];
};

void kymo_arena_init(struct kymo_arena *a, size_t cap_bytes)
{
    memset(a, 0, sizeof(*a));
    a->cap_bytes = cap_bytes;
}

static void free_blocks(struct kymo_arena_block *b)
{
    while (b) {
        struct kymo_arena_block *const older = b->older;
        free(b);
        b = older;
    }
}

void kymo_arena_release(struct kymo_arena *a)
{
    free_blocks(a->block);
    a->block = NULL;
    a->used_bytes = 0;
}

void kymo_arena_reset(struct kymo_arena *a)
{
    struct kymo_arena_block *const only = a->block;
    if (only && !only->older) {
        only->used_bytes = 0;
        return;
    }
    /* Several blocks become one: what comes next is often like what was, or somewhat more. Pages that
     * are not touched cost nothing, growing again costs all of them. */
    a->next_bytes = 0;
    for (const struct kymo_arena_block *b = a->block; b; b = b->older)
        a->next_bytes += 2 * b->used_bytes;
    kymo_arena_release(a);
}

/* A block that holds need bytes, as large as habit and what is left of the cap allow. */
static struct kymo_arena_block *add_block(struct kymo_arena *a, size_t need)
{
    const size_t head = sizeof(struct kymo_arena_block);
    const size_t left = a->cap_bytes - a->used_bytes;
    if (left < head || need > left - head)
        return NULL;
    size_t cap = a->block ? 2 * a->block->cap_bytes : BLOCK_BYTES_MIN;
    if (cap > BLOCK_BYTES_MAX)
        cap = BLOCK_BYTES_MAX;
    if (cap < a->next_bytes)
        cap = a->next_bytes;
    a->next_bytes = 0;
    if (cap < need)
        cap = need;
    if (cap > left - head)
        cap = left - head;
    struct kymo_arena_block *b = malloc(head + cap);
    if (!b)
        return NULL;
    b->older = a->block;
    b->cap_bytes = cap;
    b->used_bytes = 0;
    a->block = b;
    a->used_bytes += head + cap;
    return b;
}

void *kymo_arena_alloc_raw(struct kymo_arena *a, size_t n, size_t item_bytes)
{
    if (a->fail_at && --a->fail_at == 0)
        return NULL;
    size_t need;
    if (!kymo_size_mul(n, item_bytes, &need) || need > SIZE_MAX - ALIGN_BYTES)
        return NULL;
    need = kymo_size_round_up(need ? need : 1, ALIGN_BYTES);
    struct kymo_arena_block *b = a->block;
    if (!b || need > b->cap_bytes - b->used_bytes) {
        b = add_block(a, need);
        if (!b)
            return NULL;
    }
    void *p = b->data + b->used_bytes;
    b->used_bytes += need;
    return p;
}

void *kymo_arena_alloc(struct kymo_arena *a, size_t n, size_t item_bytes)
{
    void *p = kymo_arena_alloc_raw(a, n, item_bytes);
    if (p)
        memset(p, 0, n * item_bytes);
    return p;
}

char *kymo_arena_str(struct kymo_arena *a, const char *s, size_t n)
{
    size_t bytes;
    if (!kymo_size_add(n, 1, &bytes))
        return NULL;
    char *p = kymo_arena_alloc_raw(a, bytes, 1);
    if (!p)
        return NULL;
    if (n)
        memcpy(p, s, n);
    p[n] = '\0';
    return p;
}
