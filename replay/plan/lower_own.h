/* SPDX-License-Identifier: Apache-2.0
 * lower_own.h: what the files that lower calls by their names share.
 */
#ifndef KYMO_PLAN_LOWER_OWN_H
#define KYMO_PLAN_LOWER_OWN_H

#include "replay/plan/compile_own.h"

#define FAR_S 3600 /* what does not come */

/* ---- helpers (lower_special.c) ---- */
uint64_t lower_meant_ns(const struct kymo_trace_call *t);
uint64_t lower_meant_ms(const struct kymo_trace_call *t, uint64_t recorded);
/* The result cannot be had by itself. */
kymo_status lower_inject(struct kymo_icall *c);
/* Argument i: a pointer to bytes, to a copy of them that may be written. */
KYMO_MUST_USE kymo_status lower_blob(struct maker *m, struct kymo_icall *c, int i,
                                     const void *p, size_t n);
KYMO_MUST_USE kymo_status lower_copy(struct maker *m, struct kymo_icall *c, int i,
                                     const void *p, size_t n);
static inline void how_set(struct kymo_icall *c, uint8_t how, uint8_t why)
{
    c->how = how;
    c->why = why;
}
static inline uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- by name ---- */
typedef kymo_status lower_by_name(struct maker *m, uint32_t call, struct kymo_icall *c);
lower_by_name lower_accept, lower_affinity, lower_alarm, lower_arch_prctl, lower_bind,
    lower_brk, lower_caps, lower_clock, lower_close_range, lower_connect, lower_epoll_ctl,
    lower_epoll_wait, lower_exec, lower_fcntl, lower_fork, lower_futex, lower_getsockopt,
    lower_ioctl, lower_kill, lower_membarrier, lower_memfd, lower_mknod, lower_mmap, lower_move,
    lower_mremap, lower_munmap, lower_open, lower_own_ids, lower_own_memory, lower_pair,
    lower_personality, lower_poll, lower_prctl, lower_prlimit, lower_region, lower_robust_list,
    lower_scheduler, lower_seek, lower_select, lower_send, lower_set_ids, lower_setpriority,
    lower_setrlimit, lower_setsockopt, lower_sigaction, lower_sigmask, lower_signalfd,
    lower_sleep, lower_socket, lower_timerfd, lower_wait, lower_who, lower_xattr;

#endif
