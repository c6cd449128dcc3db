/* SPDX-License-Identifier: Apache-2.0
 * lower_memory.c: the address space, and what threads wait for in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include "replay/plan/lower_own.h"

#define FREE_ADDRESS 0x6f0000000000u /* where nothing is ever mapped */
#define LIVE_BYTES_MAX ((uint64_t)256 << 20)
#define RSEQ_AT (SINK_OWN + 0x1000u) /* 64 bytes a lane */

/* ---- address space ---- */

kymo_status lower_mmap(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct note *n = &m->note[call];
    uint64_t flags = t->arg[3] & ~(uint64_t)(MAP_HUGETLB | MAP_LOCKED);
    uint64_t prot = t->arg[2];
    if (t->arg[1] > LIVE_BYTES_MAX)
        flags &= ~(uint64_t)MAP_POPULATE;
    if (n->cut)
        arg_set(c, 0, KYMO_ARG_REGION, n->at);
    else
        flags &= ~(uint64_t)(MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (flags & MAP_FIXED_NOREPLACE)
        flags &= ~(uint64_t)(MAP_FIXED | MAP_FIXED_NOREPLACE);
    arg_set(c, 2, KYMO_ARG_IMM, prot);
    arg_set(c, 3, KYMO_ARG_IMM, flags | (t->arg[3] & MAP_ANONYMOUS ? MAP_NORESERVE : 0));
    if (flags & MAP_ANONYMOUS || (int32_t)t->arg[4] < 0)
        arg_set(c, 4, KYMO_ARG_IMM, UINT64_MAX);
    else
        arg_fd(c, 4, t->arg[4], KYMO_ARG_FD);
    if (n->object != NONE && object_at(m, n->object)->kind == O_FILE &&
        (object_at(m, n->object)->flags & O_ACCMODE) == O_WRONLY)
        return lower_inject(c);
    return KYMO_OK;
}

kymo_status lower_munmap(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct note *n = &m->note[call];
    if (n->cut) {
        arg_set(c, 0, KYMO_ARG_REGION, n->at);
        arg_set(c, 1, KYMO_ARG_IMM, least(t->arg[1], n->size));
        return KYMO_OK;
    }
    arg_set(c, 0, KYMO_ARG_IMM, t->ret < 0 ? t->arg[0] & 4095 : FREE_ADDRESS);
    arg_set(c, 1, KYMO_ARG_IMM, least(t->arg[1], (uint64_t)1 << 30));
    c->why = c->how == KYMO_HOW_ISSUE ? KYMO_WHY_SCRATCH : c->why;
    return KYMO_OK;
}

kymo_status lower_mremap(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    if (!m->note[call].cut)
        return lower_inject(c);
    arg_set(c, 0, KYMO_ARG_REGION, m->note[call].at);
    arg_set(c, 3, KYMO_ARG_IMM, t->arg[3] & MREMAP_MAYMOVE);
    arg_set(c, 4, KYMO_ARG_IMM, 0);
    return KYMO_OK;
}

/* On memory that no call of the slice made: on the sink's own end, in a way of which no harm comes. */
kymo_status lower_region(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct note *n = &m->note[call];
    const uint8_t what = m->row[call]->arg;
    if (what == 1 && (t->arg[2] == 100 || t->arg[2] == 101)) { /* memory is declared broken */
        how_set(c, KYMO_HOW_SKIP, KYMO_WHY_POWER);
        return KYMO_OK;
    }
    if (n->cut) {
        arg_set(c, 0, KYMO_ARG_REGION, n->at);
        arg_set(c, 1, KYMO_ARG_IMM, least(t->arg[1], n->size));
        return KYMO_OK;
    }
    if (c->how == KYMO_HOW_ISSUE)
        c->why = KYMO_WHY_SCRATCH;
    arg_set(c, 1, KYMO_ARG_IMM, least(t->arg[1], 0x10000));
    if (what == 0) { /* mprotect: what the pattern has already */
        arg_set(c, 0, KYMO_ARG_PATTERN, 0);
        arg_set(c, 2, KYMO_ARG_IMM, PROT_READ);
        return KYMO_OK;
    }
    arg_set(c, 0, KYMO_ARG_SINK, SINK_OWN + 0x80000u);
    if (what == 1)
        arg_set(c, 2, KYMO_ARG_IMM, t->arg[2] == MADV_DONTNEED ? MADV_DONTNEED : MADV_NORMAL);
    return KYMO_OK;
}

kymo_status lower_brk(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint64_t bytes = m->note[call].at;
    if (!t->arg[0])
        return KYMO_OK;
    arg_set(c, 0, KYMO_ARG_BREAK, least(bytes, LIVE_BYTES_MAX));
    if (bytes > LIVE_BYTES_MAX)
        c->flags |= KYMO_ICALL_LONGER;
    return KYMO_OK;
}

/* ---- one another ---- */

kymo_status lower_futex(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct word *w = m->note[call].extra == NONE ? NULL : word_at(m, m->note[call].extra);
    const int cmd = (int)t->arg[1] & FUTEX_CMD_MASK;
    uint64_t op = t->arg[1];
    if (!w)
        return lower_inject(c);
    if (w->is_shared)
        op &= ~(uint64_t)FUTEX_PRIVATE_FLAG;
    arg_set(c, 0, w->is_shared ? KYMO_ARG_WORD : KYMO_ARG_OWN_WORD, w->index);
    arg_set(c, 1, KYMO_ARG_IMM, op);
    arg_set(c, 2, KYMO_ARG_IMM, t->arg[2]);
    switch (cmd) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        /* words are 0: who slept waits for that, who did not is told that it is another */
        arg_set(c, 2, KYMO_ARG_IMM, t->ret == -EAGAIN ? t->arg[2] ? t->arg[2] : 1 : 0);
        arg_set(c, 5, KYMO_ARG_IMM, cmd == FUTEX_WAIT ? 0 : UINT32_MAX);
        if (!t->arg[3] || (t->ret != -ETIMEDOUT && t->ret != -EAGAIN))
            arg_set(c, 3, KYMO_ARG_IMM, 0);
        else if (cmd == FUTEX_WAIT)
            arg_set(c, 3, KYMO_ARG_WAIT, dur_of(t));
        else
            arg_set(c, 3, op & FUTEX_CLOCK_REALTIME ? KYMO_ARG_UNTIL_REAL : KYMO_ARG_UNTIL,
                    t->exit_ns - m->origin);
        return KYMO_OK;
    case FUTEX_WAKE:
        return KYMO_OK;
    case FUTEX_WAKE_BITSET:
        arg_set(c, 5, KYMO_ARG_IMM, UINT32_MAX);
        return KYMO_OK;
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
    case FUTEX_WAKE_OP:
        arg_set(c, 3, KYMO_ARG_IMM, t->arg[3]);
        arg_set(c, 4, w->is_shared ? KYMO_ARG_WORD : KYMO_ARG_OWN_WORD, w->index + 1u);
        arg_set(c, 5, KYMO_ARG_IMM, 0); /* the value is 0; set it to 0 if it is 0 */
        return t->ret < 0 && t->ret != -EAGAIN ? lower_inject(c) : KYMO_OK;
    default:
        return lower_inject(c);
    }
}

kymo_status lower_robust_list(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    arg_set(c, 0, KYMO_ARG_BLOB, m->zeros);
    return KYMO_OK;
}

kymo_status lower_own_memory(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint32_t lane = actor_at(m, actor_of_call(m, call))->lane;
    arg_set(c, 0, KYMO_ARG_SINK, RSEQ_AT + (uint64_t)(lane % 4096) * 64);
    return KYMO_OK;
}
