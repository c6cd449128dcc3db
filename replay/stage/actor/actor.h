/* SPDX-License-Identifier: Apache-2.0
 * actor.h: the stage binary's parts. It stands alone: no C library, no thread-local storage, no allocation; what
 * it knows lies at the addresses of image.h.
 */
#ifndef KYMO_ACTOR_ACTOR_H
#define KYMO_ACTOR_ACTOR_H

#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#include "replay/stage/actor/shared.h"

/* One binary, linked where it lies: nothing is looked up in a table. */
#pragma GCC visibility push(hidden)

/* actor_entry.S */
long kymo_call(long nr, const uint64_t arg[6]);   /* a call like any other */
long kymo_inject(long nr, const uint64_t arg[6]); /* one that the supervisor answers */
/* A call that makes a task: where it returns 0, on `stack`, fn(arg), which does not return. */
long kymo_spawn(long nr, const uint64_t arg[6], void *stack, void (*fn)(void *), void *arg1);
_Noreturn void kymo_switch(void *stack, void (*fn)(void *), void *arg1);
void kymo_handler(int signal); /* does nothing */
void kymo_restorer(void);

#define ARGS(...) ((const uint64_t[6]){__VA_ARGS__})
static inline long own_call(long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                            uint64_t f)
{
    return kymo_call(nr, ARGS(a, b, c, d, e, f));
}

/* Addresses are given by image.h, the kernel, or the call that mapped there: numbers, all of them. */
static inline void *place(uint64_t address)
{
    return (void *)(uintptr_t)address; /* NOLINT(performance-no-int-to-ptr) */
}
static inline uint64_t address(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

#define IMAGE ((const struct kymo_image *)place(KYMO_IMAGE_BASE))
#define CONTROL ((struct kymo_control *)place(KYMO_CONTROL_BASE))
#define MORE ((struct kymo_more *)place(KYMO_CONTROL_BASE + KYMO_MORE_AT))
#define PROGRESS ((struct kymo_progress *)place(KYMO_CONTROL_BASE + CONTROL->progress_at))
#define OUTCOME ((struct kymo_outcome *)place(KYMO_CONTROL_BASE + CONTROL->outcome_at))
#define PID ((uint32_t *)place(KYMO_CONTROL_BASE + CONTROL->pid_at))
#define REGION ((uint64_t *)place(KYMO_REGIONS_BASE))
#define SECTION(type, name) ((const struct type *)place(KYMO_IMAGE_BASE + IMAGE->name.at))
#define BLOB ((const char *)place(KYMO_IMAGE_BASE + IMAGE->blob.at))

/* Recorded descriptor -> actual one, as the difference, so that pages that are never written cost nothing. Of one
 * process; a child of vfork, which shares its parent's memory but not its descriptors, has its own. */
struct fdmap {
    uint32_t n_odd; /* that differ */
    uint32_t high;  /* all at and above are 0 */
    int32_t by[KYMO_FDS_MAX];
};
#define FD_CLOSED 0x40000000 /* as a difference: a number that nobody has */
#define PID_NOBODY 0x3ffffffe

/* One actor while it acts: on its stack. */
struct self {
    uint32_t index, process;
    const struct kymo_icall *call; /* [n_calls] its own */
    uint32_t n_calls;
    struct kymo_outcome *outcome; /* [n_calls] */
    struct kymo_progress *progress;
    struct fdmap *fd;
    char *lane;
    uint32_t used; /* of the lane's scratch, in this call */
    int32_t *pair; /* KYMO_ARG_PAIR of this call */
    int is_guest;  /* a child of vfork, in its parent's memory */
    double pace;   /* as in control */
    uint64_t zero_ns;
    uint64_t spin_ns;
    const struct kymo_icall *birth; /* the call that makes a process, for its child */
    int birth_shares;               /* that child is a guest */
};

/* actor_clock.c */
void clock_find(const uint64_t *auxv);
uint64_t clock_ns(struct self *s); /* CLOCK_MONOTONIC */

/* actor_argument.c */
uint64_t argument_of(struct self *s, const struct kymo_icall *c, unsigned i);
void fd_set_to(struct fdmap *m, uint32_t recorded, int64_t actual);
void fd_closing(struct fdmap *m, uint32_t recorded);
static inline int64_t fd_of(const struct fdmap *m, uint64_t recorded)
{
    return recorded < KYMO_FDS_MAX ? (int64_t)recorded + m->by[recorded] : (int32_t)recorded;
}

/* actor_script.c */
_Noreturn void script_play(struct self *s, uint32_t from);
void actor_lost(uint32_t actor); /* it will never be */
uint64_t moment_of(struct self *s, const struct kymo_icall *c);
void outcome_begin(struct self *s, uint32_t i, uint64_t now_ns);
void outcome_end(struct self *s, uint32_t i, long ret);

/* actor_birth.c */
void self_init(struct self *s, uint32_t actor, struct fdmap *m, char *lane);
char *lane_of(uint32_t lane);
void lanes_map(uint32_t n);
void birth_process(struct self *s, uint32_t i);
void birth_thread(struct self *s, uint32_t i);
void thread_start(uint32_t actor); /* one that is there at the start; 0 or fails loudly */
void birth_exec(struct self *s, uint32_t i);
_Noreturn void death(struct self *s, uint32_t i);
void name_set(kymo_blob name);
void appear(const struct self *s, uint32_t tid); /* it is there now */
void start_wait(void);                           /* for the plan to begin */
void others_end(const struct self *s); /* of its process: an exec or exit_group ended them */

/* actor_begin.c */
extern struct fdmap process_fd;
extern uint64_t process_break;
_Noreturn void actor_fail(uint32_t actor, long error);
_Noreturn void actor_begin(uint64_t *sp);

#pragma GCC visibility pop

#endif
