/* SPDX-License-Identifier: Apache-2.0
 * arena.h: a bump allocator with a cap. What a file's lengths ask for is paid from here,
 * so a hostile length ends as KYMO_ELIMIT and not as an empty machine.
 */
#ifndef KYMO_BASE_ARENA_H
#define KYMO_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct kymo_arena_block;

struct kymo_arena {
    struct kymo_arena_block *block; /* newest first */
    size_t used_bytes;              /* handed out or held in blocks, counted against the cap */
    size_t cap_bytes;
    size_t next_bytes; /* what the next block should hold at least */
    uint64_t fail_at;  /* fault injection in tests: the k-th call from now fails; 0 never */
};

/* On the caller's storage; allocates nothing until asked. */
void kymo_arena_init(struct kymo_arena *a, size_t cap_bytes);
void kymo_arena_release(struct kymo_arena *a);
/* Forget everything handed out; the memory, or as much in one piece, is used again. */
void kymo_arena_reset(struct kymo_arena *a);

/* Zeroed memory for n items of item_bytes, 16-byte aligned; NULL past the cap or on overflow.
 * n = 0 gives a valid pointer. */
void *kymo_arena_alloc(struct kymo_arena *a, size_t n, size_t item_bytes);
/* The same without zeroing, for buffers that are filled whole. */
void *kymo_arena_alloc_raw(struct kymo_arena *a, size_t n, size_t item_bytes);
/* A NUL-terminated copy of n bytes; NULL past the cap. */
char *kymo_arena_str(struct kymo_arena *a, const char *s, size_t n);

#define KYMO_NEW(arena, type, n) ((type *)kymo_arena_alloc((arena), (n), sizeof(type)))
#define KYMO_NEW_RAW(arena, type, n) ((type *)kymo_arena_alloc_raw((arena), (n), sizeof(type)))

#endif
