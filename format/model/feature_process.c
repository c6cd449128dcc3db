/* SPDX-License-Identifier: Apache-2.0
 * feature_process.c: life and death of processes, how many were at work, and what those that ended had
 * used. The kernel tells CPU time, memory and faults of a process at its end, so they count there.
 */
#include <stdio.h>
#include <string.h>

#include "format/model/feature_places.h"

enum {
    COL_FORK,
    COL_EXEC,
    COL_EXIT,
    COL_THREADS,
    COL_PROCESSES,
    COL_FAILED,
    COL_KILLED,
    COL_CRED,
    COL_EXES,
    COL_LIFETIME,
    COL_USER,
    COL_SYSTEM,
    COL_BUSY,
    COL_RSS,
    COL_MINFLT,
    COL_MAJFLT,
    COL_COUNT
};

struct churn {
    uint64_t event[KYMO_PROCESS_KINDS];
    uint64_t failed, killed;
    uint64_t ended; /* processes whose usage is known, and of them: */
    uint64_t lifetime_ns, utime_ns, stime_ns, maxrss_bytes, minflt, majflt;
    struct kymo_distinct thread, process, exe, new_exe;
};

static const struct {
    const char *name, *unit, *about;
} columns[COL_COUNT] = {
    [COL_FORK] = {"process.fork", "1/s", "processes begun"},
    [COL_EXEC] = {"process.exec", "1/s", "programs begun"},
    [COL_EXIT] = {"process.exit", "1/s", "threads ended"},
    [COL_THREADS] = {"distinct.threads", "", "different threads that made a call"},
    [COL_PROCESSES] = {"distinct.processes", "", "different processes that made a call"},
    [COL_FAILED] = {"process.failed", "1/s", "processes ended with a status that is not 0"},
    [COL_KILLED] = {"process.killed", "1/s", "processes ended by a signal"},
    [COL_CRED] = {"process.cred", "1/s", "changes of ids, capabilities or namespaces"},
    [COL_EXES] = {"distinct.executables", "", "different executables begun"},
    [COL_LIFETIME] = {"process.lifetime", "ns", "mean life of the processes ended; 0: none"},
    [COL_USER] = {"cpu.user", "s/s", "CPU time in user mode, whole life, of processes ended"},
    [COL_SYSTEM] = {"cpu.system", "s/s",
                    "CPU time in the kernel, whole life, of processes ended"},
    [COL_BUSY] = {"cpu.busy", "share", "CPU time by lifetime of the processes ended; 0: none"},
    [COL_RSS] = {"memory.max", "B", "largest peak memory of a process ended; 0: none"},
    [COL_MINFLT] = {"faults.minor", "1/s", "minor page faults, whole life, of processes ended"},
    [COL_MAJFLT] = {"faults.major", "1/s", "major page faults, whole life, of processes ended"},
};

static void process_column(size_t i, struct kymo_feature_column *out)
{
    const uint32_t by_call = i == COL_THREADS     ? KYMO_FROM_CALLS
                             : i == COL_PROCESSES ? KYMO_FROM_CALLS | KYMO_FROM_COUNTS
                                                  : KYMO_FROM_PROCESSES;
    kymo_column_set(out, "", columns[i].name, "", columns[i].unit, KYMO_BEND_LOG1P, by_call);
}

static void process_about(size_t i, char buf[KYMO_ABOUT_BYTES])
{
    snprintf(buf, KYMO_ABOUT_BYTES, "%s", columns[i].about);
}

/* A wait status: the low seven bits are the signal, above eight bits the program's own. */
static void add_end(struct churn *c, const struct kymo_process_row *r)
{
    if (r->is_end) {
        c->killed += (r->code & 0x7f) != 0;
        c->failed += (r->code & 0x7f) == 0 && (r->code >> 8 & 0xff) != 0;
    }
    if (!r->has_usage)
        return;
    c->ended++;
    c->lifetime_ns += r->lifetime_ns;
    c->utime_ns += r->utime_ns;
    c->stime_ns += r->stime_ns;
    c->minflt += r->minflt;
    c->majflt += r->majflt;
    if (r->maxrss_bytes > c->maxrss_bytes)
        c->maxrss_bytes = r->maxrss_bytes;
}

static void process_event(uint8_t *acc, const struct kymo_process_row *r)
{
    struct churn *c = (struct churn *)(void *)acc;
    c->event[r->kind]++;
    if (r->kind == KYMO_PROCESS_IS_EXIT)
        add_end(c, r);
    if (r->kind == KYMO_PROCESS_IS_EXEC && r->exe) {
        kymo_distinct_add(&c->exe, r->exe, 1);
        if (r->exe_is_new)
            kymo_distinct_add(&c->new_exe, r->exe, 1);
    }
}

static void process_task(uint8_t *acc, uint64_t pid, uint64_t tid)
{
    struct churn *c = (struct churn *)(void *)acc;
    if (tid)
        kymo_distinct_add(&c->thread, kymo_mix64(tid + 1), 1);
    kymo_distinct_add(&c->process, kymo_mix64(pid + 1), 1);
}

static void process_merge(uint8_t *into, const uint8_t *from)
{
    struct churn *a = (struct churn *)(void *)into;
    const struct churn *b = (const struct churn *)(const void *)from;
    for (int i = 0; i < KYMO_PROCESS_KINDS; i++)
        a->event[i] += b->event[i];
    a->failed += b->failed;
    a->killed += b->killed;
    a->ended += b->ended;
    a->lifetime_ns += b->lifetime_ns;
    a->utime_ns += b->utime_ns;
    a->stime_ns += b->stime_ns;
    a->minflt += b->minflt;
    a->majflt += b->majflt;
    if (b->maxrss_bytes > a->maxrss_bytes)
        a->maxrss_bytes = b->maxrss_bytes;
    kymo_distinct_merge(&a->thread, &b->thread);
    kymo_distinct_merge(&a->process, &b->process);
    kymo_distinct_merge(&a->exe, &b->exe);
    kymo_distinct_merge(&a->new_exe, &b->new_exe);
}

static void process_finish(const uint8_t *acc, const struct kymo_finish *f, double *x)
{
    const struct churn *c = (const struct churn *)(const void *)acc;
    const double ns = f->seconds * 1e9, cpu_ns = (double)c->utime_ns + (double)c->stime_ns;
    x[COL_FORK] = (double)c->event[KYMO_PROCESS_IS_FORK] / f->seconds;
    x[COL_EXEC] = (double)c->event[KYMO_PROCESS_IS_EXEC] / f->seconds;
    x[COL_EXIT] = (double)c->event[KYMO_PROCESS_IS_EXIT] / f->seconds;
    x[COL_CRED] = (double)c->event[KYMO_PROCESS_IS_CRED] / f->seconds;
    x[COL_THREADS] = c->thread.n;
    x[COL_PROCESSES] = c->process.n;
    x[COL_FAILED] = (double)c->failed / f->seconds;
    x[COL_KILLED] = (double)c->killed / f->seconds;
    x[COL_EXES] = c->exe.n;
    x[COL_LIFETIME] = c->ended ? (double)c->lifetime_ns / (double)c->ended : 0;
    x[COL_USER] = (double)c->utime_ns / ns;
    x[COL_SYSTEM] = (double)c->stime_ns / ns;
    x[COL_BUSY] = c->lifetime_ns ? cpu_ns / (double)c->lifetime_ns : 0;
    x[COL_RSS] = (double)c->maxrss_bytes;
    x[COL_MINFLT] = (double)c->minflt / f->seconds;
    x[COL_MAJFLT] = (double)c->majflt / f->seconds;
}

static void process_release(uint8_t *acc)
{
    struct churn *c = (struct churn *)(void *)acc;
    kymo_distinct_release(&c->thread);
    kymo_distinct_release(&c->process);
    kymo_distinct_release(&c->exe);
    kymo_distinct_release(&c->new_exe);
}

const struct kymo_feature_group kymo_group_process = {
    .name = "process",
    .factor = 0.5,
    .n_columns = COL_COUNT,
    .acc_bytes = sizeof(struct churn),
    .column = process_column,
    .about = process_about,
    .process = process_event,
    .task = process_task,
    .merge = process_merge,
    .finish = process_finish,
    .release = process_release,
};

uint32_t kymo_new_exes(const struct kymo_finish *f)
{
    const struct churn *c = kymo_group_memory(f, &kymo_group_process);
    return c->new_exe.n;
}
