/* SPDX-License-Identifier: Apache-2.0
 * symbol.h: the alphabet of sequences. A symbol is a call with how it ended, how much it moved and what it
 * was on; two more say that a thread begins, and that it goes on as something else.
 *
 * As text, which is how models and matrices hold it (SYMBOL in the tables of their manual pages):
 *
 *     NAME:RESULT:SIZE:ON:VARIANT     read:+:5:stream*:0
 *
 *     RESULT   "0", "+" (above 0, or an address), "." (it does not return), or "!" and the errno
 *     SIZE     of what moves bytes: 1 + the whole logarithm to base 2 of how many; else 0
 *     ON       enum kymo_on; "*" behind it: the descriptor of the thread's call before (of epoll_ctl: what it
 *              watches is that)
 *     VARIANT  of calls that are several in one, the argument that tells which (fcntl's command); of one that made
 *              a process, kymo_symbol_fate() of the program that this began soon; else 0
 *     "^"      a thread begins        ">R"  it goes on in role R (see sequence.h)
 *     "~NAME"  in place of NAME: the child's return from a fork   "=NAME" the return of an exec that succeeded
 */
#ifndef KYMO_MODEL_SYMBOL_H
#define KYMO_MODEL_SYMBOL_H

#include "format/base/arena.h"
#include "format/model/fdrole.h"

#define KYMO_SYMBOLS_MAX 60000u
#define KYMO_SYMBOL_NONE UINT16_MAX
#define KYMO_SYMBOL_TEXT 160u

enum kymo_symbol_kind {
    KYMO_SYMBOL_CALL,
    KYMO_SYMBOL_CHILD,
    KYMO_SYMBOL_EXECED,
    KYMO_SYMBOL_BEGIN,
    KYMO_SYMBOL_BECOME,
    KYMO_SYMBOL_KINDS
};
enum kymo_result { KYMO_RESULT_ZERO, KYMO_RESULT_MORE, KYMO_RESULT_NEVER, KYMO_RESULT_ERROR };

struct kymo_symbol {
    uint32_t word; /* of the call's name, or of the role's (BECOME) */
    uint32_t variant;
    uint16_t error;
    uint8_t kind, result, size, on, is_same, pad;
};

/* Symbols and words, each once; ids never change. */
struct kymo_symbols {
    struct kymo_arena arena;
    const char **word; /* [n_words] owned array of arena texts; [0] is "" */
    uint32_t n_words, cap_words;
    struct kymo_symbol *v; /* [n] owned */
    uint32_t n, cap;
    uint32_t *slot, *word_slot; /* owned, open addressing: index + 1 */
    uint32_t slots, word_slots;
};

KYMO_MUST_USE kymo_status kymo_symbols_init(struct kymo_symbols *s, struct kymo_err *err);
void kymo_symbols_release(struct kymo_symbols *s);
/* 0: "", or there is no room. */
uint32_t kymo_symbols_word(struct kymo_symbols *s, const char *text, size_t n);
/* KYMO_SYMBOL_NONE: there is no room. */
uint16_t kymo_symbols_add(struct kymo_symbols *s, const struct kymo_symbol *v);

/* 1 + floor(log2(bytes)); 0 for none. */
static inline uint8_t kymo_size_class(uint64_t bytes)
{
    return bytes ? (uint8_t)(64 - __builtin_clzll(bytes)) : 0;
}
/* Which argument tells what a call is, -1: none does. */
int kymo_symbol_selector(const char *call);
/* A number for the name of a program, never 0 nor KYMO_FATE_OPEN; 0: it began none, and ended. */
#define KYMO_FATE_OPEN UINT32_MAX /* not known */
uint32_t kymo_symbol_fate(const char *comm, size_t n);
/* Does its result count bytes? */
int kymo_moves_bytes(const char *call);

/* Into buf, returned. */
const char *kymo_symbol_text(const struct kymo_symbols *s, uint16_t id,
                             char buf[KYMO_SYMBOL_TEXT]);
/* errors ECORRUPT: no such text; ELIMIT */
KYMO_MUST_USE kymo_status kymo_symbols_parse(struct kymo_symbols *s, const char *text, size_t n,
                                             uint16_t *id, struct kymo_err *err);

#endif
