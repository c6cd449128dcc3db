/* SPDX-License-Identifier: Apache-2.0
 * script.h: a behaviour made ready to be drawn from: what follows what, how long it takes, how much it moves.
 */
#ifndef KYMO_SYNTH_SCRIPT_H
#define KYMO_SYNTH_SCRIPT_H

#include "format/base/rng.h"
#include "format/model/sequence.h"
#include "format/trace/sysname.h"

#define SCRIPT_NONE UINT32_MAX

/* Times to draw: buckets by how much they have, then evenly by logarithm inside one. */
struct script_times {
    const struct kymo_spread *spread; /* borrowed */
    uint64_t *cum;                    /* [spread->used] arena */
    double factor;                    /* so that the mean is the recorded one */
    double mean_ns;
};

/* How the world answers a symbol, worked out once. */
enum script_does {
    DOES_NOTHING,
    DOES_OPEN,   /* makes a descriptor `on` */
    DOES_PAIR,   /* makes two of `on` */
    DOES_ACCEPT, /* makes a connection of a listening one */
    DOES_CLOSE,
    DOES_RANGE,  /* close_range: nothing that is ours */
    DOES_DUP,    /* dup, and fcntl's */
    DOES_DUP_AT, /* dup2, dup3: at a number that is given */
    DOES_CONNECT,
    DOES_LISTEN,
    DOES_WATCH, /* epoll_ctl */
    DOES_FORK,
    DOES_THREAD,
    DOES_EXEC,
    DOES_EXIT, /* of the thread */
    DOES_EXIT_ALL,
    DOES_WAIT, /* for a child */
    DOES_MAP,
    DOES_UNMAP,
};

/* What a number above 0 that a symbol gives back is. */
enum script_gives {
    GIVES_NUMBER,
    GIVES_BYTES,
    GIVES_FD,
    GIVES_CHILD,
    GIVES_PID,
    GIVES_TID,
    GIVES_PPID,
    GIVES_ADDRESS,
};

struct script_symbol {
    struct kymo_symbol is;
    const char *name;
    const struct kymo_symbol_sums
        *sums; /* borrowed; NULL: of the world's own, see script_enabler() */
    const struct kymo_fd_callinfo *info; /* NULL: no descriptors */
    const struct kymo_sysinfo *sys;
    int32_t nr; /* -1: not a call, or none of this machine's */
    enum script_does does;
    enum script_gives gives;
    uint8_t needs; /* enum kymo_on of a descriptor that has to be there, NONE */
    uint8_t is_cloexec;
    uint8_t names;     /* 1: has a path, 2: and another */
    double addr_share; /* how many of them have an address */
    uint64_t paths_n, peers_n;
    struct script_times gap, dur;
    double bend; /* of results between least and greatest, see draw_between() */
    uint64_t least, most;
    uint32_t becomes; /* role, of BECOME; SCRIPT_NONE: not in this behaviour */
};

struct script_next {
    uint32_t symbol;
    uint64_t cum; /* of its context, up to and with this one */
};
struct script_context {
    uint16_t s[KYMO_GRAM - 1]; /* own numbers of symbols; KYMO_SYMBOL_NONE: shorter */
    uint16_t used;
    /* Of next: what followed it, whatever was before; and what followed it where the longer context is not
     * known. A thread that gets there from a longer one goes by the latter: what was rare enough to be cut short
     * would be drowned by what was not. */
    struct script_span {
        uint32_t first, n;
    } all, own;
};

struct script_role {
    const struct kymo_conduct *conduct;
    const char *comm;                   /* arena */
    int is_thread, is_fork, is_spawner; /* is_fork: how deep */
    uint32_t fate; /* of a program: what children that begin it are told by; else 0 */
    struct script_symbol *symbol;   /* [n_symbols] arena */
    uint32_t n_symbols, begin;      /* the symbol that begins; SCRIPT_NONE: none is born */
    struct script_context *context; /* [slots] arena */
    uint32_t slots;
    struct script_next *next;
    double alive;      /* its threads at a time, as recorded */
    uint32_t at_start; /* threads that are there when it begins */
    double life_ns;    /* mean, of those that ended */
    double gap_factor, dur_cap_ns;
    double calls_per_s;        /* as recorded, of all its threads */
    uint32_t fds[KYMO_ON_FDS]; /* that a process of it has open at the start */
    uint32_t leader;           /* role that its process begins as; SCRIPT_NONE */
    const char *leader_comm;   /* arena; "" not known */
};

struct script {
    struct kymo_arena arena;
    struct script_role *role; /* [n] */
    uint32_t n;
    double seconds;
    double alive;       /* threads at a time */
    double calls_per_s; /* as recorded, times what was asked for */
};

struct script_opts {
    uint32_t arch;
    double rate;      /* times as many calls a second */
    uint32_t threads; /* at the start, all roles together; 0: as recorded */
};

/* errors EINPUT: nothing in it that could be done; ELIMIT */
KYMO_MUST_USE kymo_status script_make(struct script *s, const struct kymo_behaviour *b,
                                      const struct kymo_symbols *symbols,
                                      const struct script_opts *o, struct kymo_err *err);
void script_release(struct script *s);

/* The context of s[4], or NULL. */
const struct script_context *script_find(const struct script_role *r,
                                         const uint16_t s[KYMO_GRAM - 1]);
/* What a thread goes by that is in the context. */
static inline struct script_span script_span(const struct script_context *c)
{
    return c->own.n ? c->own : c->all;
}
/* A context that the role is often in. */
void script_any_context(const struct script_role *r, struct kymo_rng *rng,
                        uint16_t s[KYMO_GRAM - 1]);
uint64_t script_time(const struct script_times *t, struct kymo_rng *rng);
/* A number between two, whose mean is that of the recorded ones. */
uint64_t script_number(const struct script_symbol *s, struct kymo_rng *rng);
/* A call of the world's own, which makes what another one needs: by a name and what it is on. */
void script_know(struct script_symbol *s, uint32_t arch);

#endif
