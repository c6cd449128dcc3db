/* SPDX-License-Identifier: Apache-2.0
 * play.h: a run of the generator, as its parts share it: play.c leads threads through time, nextcall.c picks what
 * they do next, deed.c does it. For those alone.
 */
#ifndef KYMO_SYNTH_PLAY_H
#define KYMO_SYNTH_PLAY_H

#include "replay/synth/script.h"
#include "replay/synth/synth.h"
#include "replay/synth/synthout.h"
#include "replay/synth/world.h"

#define ACTORS_MAX 65536u

/* A thread. */
struct actor {
    uint32_t process, tid, role;
    uint16_t context[KYMO_GRAM - 1];
    uint32_t symbol;                 /* that it is at */
    const struct script_symbol *own; /* what has to be done before it; NULL: nothing */
    uint64_t last_ns, enter_ns, exit_ns, born_ns, no;
    uint32_t
        fate; /* of the program that it will begin; 0: none; KYMO_FATE_OPEN: whatever comes */
    int64_t last_fd;
    uint32_t child;      /* tid of what its call has made already, 0: nothing */
    uint32_t generation; /* events of an older one are void */
    uint8_t is_used, is_resident, is_waiting, is_idle, strays;
};

struct moment {
    uint64_t at_ns, no;
    uint32_t actor, generation;
};

struct play {
    const struct kymo_synth_opts *o;
    struct script script;
    struct world world;
    struct synthout out;
    struct kymo_rng rng;
    struct kymo_synth_stats stats;
    struct actor *actor; /* [n] owned */
    uint32_t n, cap, free_hint, n_live;
    struct moment *heap; /* [n_heap] owned, the earliest first */
    size_t n_heap, cap_heap;
    uint64_t no, end_ns;
    double dilation; /* of all times */
    struct script_symbol enabler[KYMO_ON_FDS];
};

static inline struct world_process *play_process(struct play *p, const struct actor *a)
{
    return &p->world.process[a->process];
}
static inline const struct script_symbol *play_symbol(const struct play *p,
                                                      const struct actor *a)
{
    return a->own ? a->own : &p->script.role[a->role].symbol[a->symbol];
}

/* -- nextcall.c -- */
/* May the thread do that now? */
int play_is_legal(struct play *p, const struct actor *a, const struct script_symbol *s);
/* Pick what it does next: a->symbol, and a->own where something has to be made for it. 0: there is nothing. */
int play_choose(struct play *p, struct actor *a);
void play_make_enablers(struct play *p);

/* -- deed.c -- */
/*
 * Make the process or thread that the call at hand makes, before it returns.
 *
 * made  out: its actor
 */
KYMO_MUST_USE kymo_status play_make_child(struct play *p, uint32_t actor, uint64_t now_ns,
                                          uint32_t *made, struct kymo_err *err);
/* What became of a call. */
enum deed { DEED_DONE, DEED_WAITS, DEED_ENDS, DEED_ENDS_ALL, DEED_REFUSED };
/* Do the call that the thread is at, whose time is over: its row goes out, the world changes. */
KYMO_MUST_USE kymo_status play_do(struct play *p, uint32_t actor, enum deed *deed,
                                  struct kymo_err *err);

/* -- play.c -- */
/* A thread of a process that is there; WORLD_NONE: no memory, or too many. Pointers to actors end here. */
uint32_t play_actor(struct play *p, uint32_t process, uint32_t tid, uint32_t role,
                    uint64_t now_ns);

#endif
