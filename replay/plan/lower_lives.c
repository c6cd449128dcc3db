/* SPDX-License-Identifier: Apache-2.0
 * lower_lives.c: processes, signals, ids and limits.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "replay/plan/lower_own.h"

/* ---- lives ---- */

/* clone3 has its flags in memory: threads share all, and who waits for its child's exec borrowed its memory out. */
static uint64_t clone_flags(const struct maker *m, uint32_t call)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint32_t child = m->note[call].link;
    if (!strcmp(m->row[call]->name, "clone"))
        return t->arg[0];
    if (!strcmp(m->row[call]->name, "fork"))
        return SIGCHLD;
    if (!strcmp(m->row[call]->name, "vfork"))
        return CLONE_VM | CLONE_VFORK | SIGCHLD;
    if (m->note[call].how == KYMO_HOW_THREAD)
        return CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    const struct actor *a = child == NONE ? NULL : actor_at(m, child);
    for (uint32_t i = 0; a && i < a->n; i++) {
        const uint32_t k = m->t->order[a->first + i];
        if (call_at(m, k)->exit_ns > t->exit_ns)
            break;
        if (m->row[k] && (m->row[k]->op == OP_EXEC || m->row[k]->op == OP_EXIT) &&
            call_at(m, k)->ret == 0)
            return CLONE_VM | CLONE_VFORK | SIGCHLD;
    }
    return SIGCHLD;
}

kymo_status lower_fork(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint32_t child = m->note[call].link;
    arg_set(c, 0, KYMO_ARG_IMM, clone_flags(m, call));
    if (c->how == KYMO_HOW_FORK || c->how == KYMO_HOW_THREAD) {
        c->other = c->how == KYMO_HOW_THREAD ? child : actor_at(m, child)->proc;
        for (int i = 1; i < 6; i++)
            arg_set(c, i, KYMO_ARG_IMM, 0);
    }
    return KYMO_OK;
}

kymo_status lower_exec(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint64_t none;
    uint32_t comm, at;
    const int i = m->row[call]->flags & ROW_AT ? 2 : 1;
    if (c->how == KYMO_HOW_EXEC) {
        comm = kymo_trace_comm(m->t, call);
        return blob_text(m, text_of(m, comm), strlen(text_of(m, comm)), &c->text);
    }
    KYMO_TRY(blob_put(m, &none, sizeof(none), 8, &at));
    arg_set(c, i, KYMO_ARG_BLOB, at);
    arg_set(c, i + 1, KYMO_ARG_BLOB, at);
    return KYMO_OK;
}

kymo_status lower_wait(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const int is_id = m->row[call]->arg == 1, i = is_id ? 1 : 0;
    const int64_t who = (int32_t)t->arg[i];
    uint32_t child = m->note[call].link;
    if (is_id && t->arg[0] != P_PID) {
        arg_set(c, i, KYMO_ARG_IMM, 0);
        if (t->arg[0] == P_PGID)
            arg_set(c, 0, KYMO_ARG_IMM, P_ALL);
        return t->arg[0] == P_PIDFD ? lower_inject(c) : KYMO_OK;
    }
    if (child == NONE && who > 0)
        child = family_pid(m, (uint64_t)who, t->exit_ns);
    if (who > 0)
        arg_set(c, i, child == NONE ? KYMO_ARG_IMM : KYMO_ARG_PID,
                child == NONE ? NOBODY_PID : child);
    else if (!is_id && child != NONE && t->ret > 0)
        arg_set(c, i, KYMO_ARG_PID, child); /* of any child, the one it was */
    else
        arg_set(c, i, KYMO_ARG_IMM, UINT64_MAX);
    return KYMO_OK;
}

kymo_status lower_kill(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint32_t target = m->note[call].link;
    const int64_t pid = (int32_t)t->arg[0];
    const uint64_t sig = t->arg[m->row[call]->arg == 2 ? 2 : 1];
    if (m->row[call]->arg) {
        if (target == NONE && t->ret == 0 && sig)
            how_set(c, KYMO_HOW_SKIP, KYMO_WHY_SIGNAL);
        return KYMO_OK;
    }
    if (pid < -1) {
        const uint32_t leader = family_pid(m, (uint64_t)-pid, t->exit_ns);
        if (leader != NONE) {
            arg_set(c, 0, KYMO_ARG_PGID, leader);
            return KYMO_OK;
        }
    } else if (pid > 0 && target != NONE) {
        arg_set(c, 0, KYMO_ARG_PID, target);
        return KYMO_OK;
    } else if (pid > 0 && t->ret == -ESRCH) {
        arg_set(c, 0, KYMO_ARG_IMM, NOBODY_PID);
        return KYMO_OK;
    } else if (pid == 0 && !sig) {
        arg_set(c, 0, KYMO_ARG_IMM, 0);
        return KYMO_OK;
    }
    how_set(c, KYMO_HOW_SKIP, KYMO_WHY_SIGNAL);
    return KYMO_OK;
}

/* A handler, where the process was ever in one; SIGCHLD must stay what wait needs. */
kymo_status lower_sigaction(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct proc *p = proc_at(m, proc_of_call(m, call));
    const uint64_t sig = t->arg[0] & 127;
    const uint32_t code = p->of == NONE ? 0 : m->t->process[p->of].code;
    uint64_t what = p->has_handlers ? 2 : 1;
    if (sig == SIGCHLD && !p->has_handlers)
        what = 0;
    if (sig == SIGPIPE)
        what = 1;
    if (sig == (code & 127) && sig)
        what = 0;
    if (t->arg[1])
        arg_set(c, 1, KYMO_ARG_ACTION, what);
    return KYMO_OK;
}

kymo_status lower_sigmask(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const uint64_t mask = signals_mask(m, call);
    return t->arg[1] ? lower_blob(m, c, 1, &mask, sizeof(mask)) : KYMO_OK;
}

/* ---- ids and limits ---- */

kymo_status lower_set_ids(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const char *const name = m->row[call]->name;
    const int single = !strcmp(name, "setuid") || !strcmp(name, "setgid") ||
                       !strcmp(name, "setfsuid") || !strcmp(name, "setfsgid");
    const int is_uid = strstr(name, "uid") != NULL;
    if (c->ret < 0 && c->ret != -EPERM)
        return lower_inject(c);
    for (int i = 0; i < (single ? 1 : 3); i++)
        if (m->row[call]->how[i])
            arg_set(c, i, KYMO_ARG_IMM,
                    single ? (uint64_t)(is_uid ? m->own_uid : m->own_gid) : UINT32_MAX);
        else
            break;
    return KYMO_OK;
}

kymo_status lower_caps(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    const struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const int sets = !strcmp(m->row[call]->name, "capset");
    KYMO_TRY(lower_copy(m, c, 0, &head, sizeof(head)));
    if (t->arg[1] || sets)
        arg_set(c, 1, sets ? KYMO_ARG_BLOB : KYMO_ARG_SINK, sets ? m->zeros : 0);
    return KYMO_OK;
}

kymo_status lower_prctl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    uint32_t comm;
    switch (t->arg[0]) {
    case PR_SET_NAME: {
        const struct actor *a = actor_at(m, actor_of_call(m, call));
        const uint32_t i = m->index_of[call] + 1;
        comm = kymo_trace_comm(m->t, i < a->n ? m->t->order[a->first + i] : call);
        const char *const name = text_of(m, comm);
        return lower_blob(m, c, 1, name, strlen(name) + 1);
    }
    case PR_GET_NAME:
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER:
        arg_set(c, 1, KYMO_ARG_SINK, 0);
        return KYMO_OK;
    case PR_GET_DUMPABLE:
    case PR_GET_KEEPCAPS:
    case PR_SET_KEEPCAPS:
    case PR_CAPBSET_READ:
    case PR_GET_SECUREBITS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_TIMERSLACK:
    case PR_SET_TIMERSLACK:
    case PR_GET_THP_DISABLE:
    case PR_SET_THP_DISABLE:
    case PR_GET_SECCOMP:
        for (int i = 1; i < 5; i++)
            arg_set(c, i, KYMO_ARG_IMM, t->arg[i]);
        return t->ret == -EINVAL ? KYMO_OK
               : t->arg[0] == PR_GET_SECCOMP || t->arg[0] == PR_GET_NO_NEW_PRIVS ||
                       t->arg[0] == PR_CAPBSET_READ || t->arg[0] == PR_GET_SECUREBITS
                   ? lower_inject(c) /* the sandbox's answer is another */
                   : KYMO_OK;
    case PR_CAP_AMBIENT:
        for (int i = 1; i < 5; i++)
            arg_set(c, i, KYMO_ARG_IMM, t->arg[i]);
        return t->arg[1] == PR_CAP_AMBIENT_RAISE ? lower_inject(c) : KYMO_OK;
    case PR_SET_SECCOMP:
    case PR_SET_MM:
        how_set(c, KYMO_HOW_SKIP, KYMO_WHY_POWER);
        return KYMO_OK;
    default:
        return lower_inject(c);
    }
}

kymo_status lower_arch_prctl(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint64_t code = call_at(m, call)->arg[0];
    if (code >= 0x1001 && code <= 0x1004) /* segment bases: the stage has no use for them */
        return lower_own_memory(m, call, c), arg_set(c, 1, KYMO_ARG_SINK, c->arg[0]),
               arg_set(c, 0, KYMO_ARG_IMM, code), KYMO_OK;
    return lower_inject(c);
}

kymo_status lower_personality(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    arg_set(c, 0, KYMO_ARG_IMM, UINT32_MAX); /* asks */
    return c->ret ? lower_inject(c) : KYMO_OK;
}

kymo_status lower_setrlimit(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)call;
    arg_set(c, 0, KYMO_ARG_IMM, 4); /* RLIMIT_CORE, which is 0 as it is */
    arg_set(c, 1, KYMO_ARG_BLOB, m->zeros);
    if (c->how == KYMO_HOW_ISSUE)
        c->why = KYMO_WHY_SUBSTITUTE;
    return KYMO_OK;
}

kymo_status lower_prlimit(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const struct kymo_trace_call *t = call_at(m, call);
    if (c->kind[0] == KYMO_ARG_PID && t->arg[0])
        arg_set(c, 0, KYMO_ARG_IMM, 0);
    if (t->arg[2] && c->how == KYMO_HOW_ISSUE)
        c->why = KYMO_WHY_SUBSTITUTE; /* asks, and sets nothing */
    return KYMO_OK;
}

kymo_status lower_who(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    for (int i = 0; i < 2; i++)
        if (c->kind[i] == KYMO_ARG_IMM && c->arg[i] == NOBODY_PID && c->ret != -ESRCH)
            arg_set(c, i, KYMO_ARG_IMM, 0);
    return KYMO_OK;
}

kymo_status lower_setpriority(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    KYMO_TRY(lower_who(m, call, c));
    return (int32_t)call_at(m, call)->arg[2] < 0 ? lower_inject(c) : KYMO_OK;
}

kymo_status lower_affinity(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    static const uint8_t all[128] = {[0 ... 127] = 0xff};
    const struct kymo_trace_call *t = call_at(m, call);
    KYMO_TRY(lower_who(m, call, c));
    arg_set(c, 1, KYMO_ARG_IMM,
            t->arg[1] > sizeof(all) && t->ret > 0 ? t->arg[1] : least(t->arg[1], sizeof(all)));
    if (!strcmp(m->row[call]->name, "sched_setaffinity"))
        return lower_blob(m, c, 2, all, sizeof(all));
    return KYMO_OK;
}

kymo_status lower_scheduler(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint64_t policy = call_at(m, call)->arg[1];
    KYMO_TRY(lower_who(m, call, c));
    if (strcmp(m->row[call]->name, "sched_setscheduler") != 0)
        return KYMO_OK;
    arg_set(c, 1, KYMO_ARG_IMM, policy);
    return policy == 1 || policy == 2 || policy == 6 ? lower_inject(c) : KYMO_OK;
}

kymo_status lower_clock(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    const uint64_t clock = call_at(m, call)->arg[0];
    arg_set(c, 0, KYMO_ARG_IMM, clock <= 11 ? clock : 3); /* a thread's own: this one's */
    return KYMO_OK;
}

kymo_status lower_alarm(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    return c->ret ? lower_inject(c) : KYMO_OK;
}

kymo_status lower_sleep(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    if (!strcmp(m->row[call]->name, "clock_nanosleep")) /* however it was said: for so long */
        arg_set(c, 1, KYMO_ARG_IMM, 0);
    return KYMO_OK;
}

kymo_status lower_membarrier(struct maker *m, uint32_t call, struct kymo_icall *c)
{
    (void)m;
    (void)call;
    return c->ret < 0 ? lower_inject(c) : KYMO_OK;
}
