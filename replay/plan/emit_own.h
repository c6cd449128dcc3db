/* SPDX-License-Identifier: Apache-2.0
 * emit_own.h: what the parts of emit_c share.
 *
 * A call becomes a few lines of text with holes (struct piece): what stands in a hole is a number that may
 * differ from one round of a loop to the next. Pieces of equal text whose numbers go up by equal steps
 * become one loop (emit_loop.c).
 */
#ifndef KYMO_PLAN_EMIT_OWN_H
#define KYMO_PLAN_EMIT_OWN_H

#include "format/base/arena.h"
#include "format/base/bytes.h"
#include "replay/plan/image.h"

/* Parts of the program's fixed text (played.inc) that are there only where they are needed. */
enum {
    PART_WAITS = 1,
    PART_SETS = 2,
    PART_SIGNALS = 4,
    PART_PEOPLE = 8,
    PART_SOCKETS = 16,
    PART_OBJECTS = 32,
    PART_PEERS = 64,
    PART_ACTS = 128,
    PART_ACTPEERS = 256,
    PART_ACTOTHERS = 512,
};

#define HOLE '\x01' /* in a text: a number stands here; the next byte is its style */
enum {
    HOLE_NUMBER = 'n', /* goes up in a loop */
    HOLE_WANT = 'w',   /* a result above zero: where it differs, any will do */
};

struct piece {
    uint64_t hash;            /* of the text */
    size_t at, bytes;         /* in emit.text */
    uint32_t value, n_values; /* in emit.value */
};

struct emit {
    const struct kymo_image *image;
    const struct kymo_iprocess *process;
    const struct kymo_iactor *actor;
    const struct kymo_icall *call;
    const struct kymo_dep *dep;
    const struct kymo_iobject *object;
    const struct kymo_istart *start;
    const struct kymo_inode *node;
    const struct kymo_iact *act;
    const char *blob;
    uint64_t n_blob;

    struct kymo_arena arena;
    char **name;       /* [actors] of the identifier; [0] "environment" */
    uint8_t *is_there; /* [actors] it is there at the start, or someone makes it */
    uint32_t *edge;    /* blob offsets that something points to, ascending: where blobs end */
    size_t n_edges;
    uint8_t *named; /* a bit a byte of blob: it has become a named array */

    struct kymo_buf text;  /* of the pieces of one actor */
    struct kymo_buf value; /* int64_t each */
    struct piece *piece;
    size_t n_pieces, cap_pieces;

    struct kymo_buf data;  /* named arrays */
    struct kymo_buf place; /* lines of the table of addresses */
    struct kymo_buf body;  /* functions */
    uint32_t parts;
    uint32_t n_fd, n_region, n_word, n_own;
    uint64_t n_issued, n_left_out;
};

/* ---- emit_words.c: names, texts, numbers ---- */
/* The NUL-terminated text at a blob; "" where there is none. */
const char *emit_blob_text(const struct emit *e, kymo_blob at);
/* Bytes from a blob to where the next one begins. */
size_t emit_blob_bytes(const struct emit *e, kymo_blob at);
void emit_string(struct kymo_buf *out, const char *s, size_t n); /* a literal with its quotes */
void emit_comment(struct kymo_buf *out, const char *s); /* what may stand in a comment */
void emit_number(struct kymo_buf *out, int64_t v);
/* Names a blob as an array of bytes (or of pointers, where it holds pointers to others), "bytes_12"; `least`
 * bytes of it are needed. */
void emit_bytes(struct emit *e, struct kymo_buf *out, kymo_blob at, size_t least);
/* A literal, or the name of one that is too long for a literal. */
void emit_text(struct emit *e, struct kymo_buf *out, kymo_blob at);
int emit_names(struct emit *e); /* 0, or -1 out of memory */
int emit_edges(struct emit *e);

/* ---- emit_flags.c ---- */
/* The words of argument k of a call where there are any; 0: there are none. */
int emit_flags(struct kymo_buf *out, const char *call, int k, const uint64_t *arg);
const char *emit_signal(int s); /* NULL: no name */

/* ---- emit_addr.c: socket addresses, options, vectors ---- */
/* A call of in4(), in6() or local() at an address of n bytes; 0: it is none of these. */
int emit_addr(struct emit *e, struct kymo_buf *out, kymo_blob at, size_t n);
/* What is known of the layout of a blob argument; 0: nothing. */
int emit_struct(struct emit *e, struct kymo_buf *out, const char *name, int k,
                const struct kymo_icall *c);

/* ---- emit_call.c ---- */
void emit_hole(struct emit *e, struct kymo_buf *out, char style, int64_t v);
/* Pieces: forget all; begin one, NULL out of memory; it is what was put to emit.text since. */
void emit_pieces_clear(struct emit *e);
struct piece *emit_piece_begin(struct emit *e);
void emit_piece_end(struct emit *e, struct piece *p);
/* All of an actor's calls into pieces; 0, or -1 out of memory, as all of these. */
int emit_calls(struct emit *e, uint32_t actor);
/* Lines for n dependencies. */
void emit_deps(struct emit *e, struct kymo_buf *out, uint32_t dep, uint32_t n);

/* ---- emit_loop.c ---- */
/* The pieces as functions of at most some hundred lines; the last calls all. */
void emit_pieces(struct emit *e, const char *name);

/* ---- emit_scene.c: what is there at the start, and what the environment does ---- */
int emit_scene(struct emit *e);
/* The start's descriptors; after all that may need addresses. */
void emit_opens(struct emit *e);

/* ---- emit_c.c ---- */
/* Is that process there at the start, with someone in it? */
int emit_is_root(const struct emit *e, uint32_t process);

#endif
