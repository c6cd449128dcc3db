/* SPDX-License-Identifier: Apache-2.0 */
#include "replay/synth/synthout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/trace/sysname.h"

#define SECOND_NS UINT64_C(1000000000)
#define REAL_NS (1700000000 * SECOND_NS) /* of the start: the same every time */
#define SMALL_ROWS 4096u
#define ZSTD_LEVEL 1
#define CALLS_OF_ARCH 1024u

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
}

kymo_status synthout_open(struct synthout *o, int fd, const char *name, uint32_t arch,
                          struct kymo_err *err)
{
    memset(o, 0, sizeof(*o));
    o->arch = arch;
    o->second_ns = SYNTH_START_NS + SECOND_NS;
    o->n_keys = kymo_sys_count(arch);
    o->n_keys = o->n_keys > CALLS_OF_ARCH ? o->n_keys : CALLS_OF_ARCH;
    o->key = calloc(o->n_keys, sizeof(*o->key));
    if (!o->key)
        return no_memory(err);
    KYMO_TRY(kymo_writer_open(&o->w, fd, name, ZSTD_LEVEL, err));
    KYMO_TRY(kymo_rows_open(&o->syscall, &KYMO_TABLE_SYSCALL, KYMO_CHUNK_ROWS_MAX, err));
    KYMO_TRY(kymo_rows_open(&o->process, &KYMO_TABLE_PROCESS, SMALL_ROWS, err));
    return kymo_rows_open(&o->fd, &KYMO_TABLE_FD, SMALL_ROWS, err);
}

void synthout_close(struct synthout *o)
{
    kymo_rows_close(o->syscall);
    kymo_rows_close(o->process);
    kymo_rows_close(o->fd);
    kymo_writer_close(o->w);
    free(o->task);
    free(o->tasked);
    free(o->key);
    memset(o, 0, sizeof(*o));
}

/* -- chunks ----------------------------------------------------------------------------------- */

static kymo_status put(struct synthout *o, struct kymo_rows *rows, uint32_t flags,
                       struct kymo_err *err)
{
    const struct kymo_batch b = kymo_rows_view(rows);
    KYMO_TRY(kymo_writer_put(o->w, &b, flags, err));
    kymo_rows_clear(rows);
    return KYMO_OK;
}

/* Processes and what they have open come before the calls that they explain. */
static kymo_status flush(struct synthout *o, struct kymo_err *err)
{
    KYMO_TRY(put(o, o->process, 0, err));
    KYMO_TRY(put(o, o->fd, 0, err));
    KYMO_TRY(put(o, o->syscall, 0, err));
    for (uint32_t i = 0; i < o->n_tasked; i++)
        o->task[o->tasked[i]] = 0;
    o->n_tasked = 0;
    memset(o->key, 0, o->n_keys * sizeof(*o->key));
    return KYMO_OK;
}

static void set_str(struct kymo_rows *rows, uint32_t column, uint32_t row, const char *s)
{
    kymo_rows_set_str(rows, column, row, s, strlen(s));
}

static void add_loss(struct kymo_rows *rows, uint64_t ts_ns, const char *source,
                     uint64_t stored)
{
    const uint32_t i = kymo_rows_add(rows);
    kymo_rows_set(rows, KYMO_LOSS_TS, i, ts_ns);
    set_str(rows, KYMO_LOSS_SOURCE, i, source);
    kymo_rows_set(rows, KYMO_LOSS_SEEN, i, stored);
    kymo_rows_set(rows, KYMO_LOSS_STORED, i, stored);
}

static kymo_status seal(struct synthout *o, uint64_t ts_ns, struct kymo_err *err)
{
    struct kymo_rows *rows = NULL;
    KYMO_TRY(flush(o, err));
    KYMO_TRY(kymo_rows_open(&rows, &KYMO_TABLE_LOSS, 4, err));
    add_loss(rows, ts_ns, "syscall", o->calls);
    add_loss(rows, ts_ns, "process", o->processes);
    o->calls = o->processes = 0;
    const kymo_status s = put(o, rows, KYMO_CHUNK_SEAL, err);
    kymo_rows_close(rows);
    return s;
}

kymo_status synthout_until(struct synthout *o, uint64_t ts_ns, struct kymo_err *err)
{
    while (ts_ns >= o->second_ns) {
        KYMO_TRY(seal(o, o->second_ns, err));
        o->second_ns += SECOND_NS;
    }
    return KYMO_OK;
}

kymo_status synthout_finish(struct synthout *o, uint64_t end_ns, struct kymo_err *err)
{
    KYMO_TRY(synthout_until(o, end_ns, err));
    if (end_ns > o->second_ns - SECOND_NS)
        KYMO_TRY(seal(o, end_ns, err));
    return kymo_writer_finish(o->w, err);
}

/* -- what a capture begins with --------------------------------------------------------------- */

static kymo_status begin_context(struct synthout *o, const char *note, struct kymo_err *err)
{
    struct kymo_rows *rows = NULL;
    const char *const fact[][2] = {{"recorder", "kymo-synth " KYMO_VERSION},
                                   {"hostname", "synth"},
                                   {"machine", kymo_arch_name(o->arch)},
                                   {"sources", "syscall process"},
                                   {"snapshot_ns", "10000000000"},
                                   {"level", "full"},
                                   {"synth", note}};
    KYMO_TRY(kymo_rows_open(&rows, &KYMO_TABLE_CONTEXT, 16, err));
    for (size_t k = 0; k < sizeof(fact) / sizeof(fact[0]); k++) {
        const uint32_t i = kymo_rows_add(rows);
        kymo_rows_set(rows, KYMO_CONTEXT_TS, i, SYNTH_START_NS);
        set_str(rows, KYMO_CONTEXT_KEY, i, fact[k][0]);
        set_str(rows, KYMO_CONTEXT_VALUE, i, fact[k][1] ? fact[k][1] : "");
    }
    const kymo_status s = put(o, rows, 0, err);
    kymo_rows_close(rows);
    return s;
}

static kymo_status begin_clock(struct synthout *o, struct kymo_err *err)
{
    struct kymo_rows *rows = NULL;
    KYMO_TRY(kymo_rows_open(&rows, &KYMO_TABLE_CLOCK, 4, err));
    const uint32_t i = kymo_rows_add(rows);
    kymo_rows_set(rows, KYMO_CLOCK_TS, i, SYNTH_START_NS);
    kymo_rows_set(rows, KYMO_CLOCK_BOOT, i, SYNTH_START_NS);
    kymo_rows_set(rows, KYMO_CLOCK_REAL, i, REAL_NS);
    const kymo_status s = put(o, rows, 0, err);
    kymo_rows_close(rows);
    return s;
}

static kymo_status begin_cgroup(struct synthout *o, struct kymo_err *err)
{
    struct kymo_rows *rows = NULL;
    KYMO_TRY(kymo_rows_open(&rows, &KYMO_TABLE_CGROUP, 4, err));
    const uint32_t i = kymo_rows_add(rows);
    kymo_rows_set(rows, KYMO_CGROUP_TS, i, SYNTH_START_NS);
    kymo_rows_set(rows, KYMO_CGROUP_ID, i, SYNTH_CGROUP);
    set_str(rows, KYMO_CGROUP_PATH, i, "/synth");
    const kymo_status s = put(o, rows, 0, err);
    kymo_rows_close(rows);
    return s;
}

static kymo_status begin_sysnames(struct synthout *o, struct kymo_err *err)
{
    struct kymo_rows *rows = NULL;
    KYMO_TRY(kymo_rows_open(&rows, &KYMO_TABLE_SYSNAME, CALLS_OF_ARCH, err));
    for (uint32_t nr = 0; nr < kymo_sys_count(o->arch) && !kymo_rows_full(rows); nr++) {
        const struct kymo_sysinfo *info = kymo_sysinfo(o->arch, nr);
        if (!info)
            continue;
        const uint32_t i = kymo_rows_add(rows);
        kymo_rows_set(rows, KYMO_SYSNAME_ARCH, i, o->arch);
        kymo_rows_set(rows, KYMO_SYSNAME_NR, i, nr);
        set_str(rows, KYMO_SYSNAME_NAME, i, info->name);
    }
    const kymo_status s = put(o, rows, 0, err);
    kymo_rows_close(rows);
    return s;
}

kymo_status synthout_begin(struct synthout *o, const char *note, struct kymo_err *err)
{
    KYMO_TRY(begin_context(o, note, err));
    KYMO_TRY(begin_clock(o, err));
    KYMO_TRY(begin_cgroup(o, err));
    return begin_sysnames(o, err);
}

/* -- rows ------------------------------------------------------------------------------------- */

static int room_for_task(struct synthout *o, uint32_t thread)
{
    if (thread >= o->cap_tasks) {
        const uint32_t cap = thread + 1024;
        uint32_t *more = realloc(o->task, cap * sizeof(*more));
        if (!more)
            return 0;
        memset(more + o->cap_tasks, 0, (cap - o->cap_tasks) * sizeof(*more));
        o->task = more;
        o->cap_tasks = cap;
    }
    if (o->n_tasked == o->cap_tasked) {
        const uint32_t cap = o->cap_tasked ? o->cap_tasked * 2 : 256;
        uint32_t *more = realloc(o->tasked, cap * sizeof(*more));
        if (!more)
            return 0;
        o->tasked = more;
        o->cap_tasked = cap;
    }
    return 1;
}

/* Does the task of this chunk still say who the thread is? An exec and a new name make another one. */
static int is_task(const struct kymo_rows *r, uint32_t task, const struct synthout_call *c,
                   uint64_t comm)
{
    return r->lane[KYMO_SYSCALL_TID][task] == c->tid &&
           r->lane[KYMO_SYSCALL_COMM][task] == comm &&
           r->lane[KYMO_SYSCALL_EXECSEQ][task] == c->process->execseq &&
           r->lane[KYMO_SYSCALL_PID][task] == c->process->pid;
}

static kymo_status task_of(struct synthout *o, const struct synthout_call *c, uint32_t *task,
                           struct kymo_err *err)
{
    struct kymo_rows *r = o->syscall;
    if (!room_for_task(o, c->thread))
        return no_memory(err);
    const uint64_t comm = kymo_rows_intern(r, c->comm, strlen(c->comm));
    if (o->task[c->thread] && is_task(r, o->task[c->thread] - 1, c, comm)) {
        *task = o->task[c->thread] - 1;
        return KYMO_OK;
    }
    *task = kymo_rows_add_task(r);
    r->lane[KYMO_SYSCALL_PID][*task] = c->process->pid;
    r->lane[KYMO_SYSCALL_TID][*task] = c->tid;
    r->lane[KYMO_SYSCALL_COMM][*task] = comm;
    r->lane[KYMO_SYSCALL_CGROUP][*task] = SYNTH_CGROUP;
    r->lane[KYMO_SYSCALL_START][*task] = c->process->start_ns;
    r->lane[KYMO_SYSCALL_EXECSEQ][*task] = c->process->execseq;
    if (!o->task[c->thread])
        o->tasked[o->n_tasked++] = c->thread;
    o->task[c->thread] = *task + 1;
    return KYMO_OK;
}

static void set_text(struct kymo_rows *r, uint32_t column, uint32_t row, const char *s)
{
    if (s)
        set_str(r, column, row, s);
}

kymo_status synthout_call(struct synthout *o, const struct synthout_call *c,
                          struct kymo_err *err)
{
    struct kymo_rows *r = o->syscall;
    uint32_t task;
    KYMO_TRY(synthout_until(o, c->ts_ns, err));
    if (kymo_rows_full(r) || r->n_tasks == KYMO_CHUNK_TASKS_MAX - 1 ||
        r->n_keys == KYMO_CHUNK_KEYS_MAX - 1)
        KYMO_TRY(flush(o, err));
    KYMO_TRY(task_of(o, c, &task, err));
    if (!o->key[c->nr]) {
        const uint16_t key = kymo_rows_add_key(r);
        r->lane[KYMO_SYSCALL_ARCH][key] = o->arch;
        r->lane[KYMO_SYSCALL_NR][key] = c->nr;
        o->key[c->nr] = (uint16_t)(key + 1);
    }
    const uint32_t i = kymo_rows_add(r);
    r->task[i] = task;
    r->key[i] = (uint16_t)(o->key[c->nr] - 1);
    r->lane[KYMO_SYSCALL_TS][i] = c->ts_ns;
    r->lane[KYMO_SYSCALL_FLAGS][i] = c->flags;
    if (c->has_dur)
        kymo_rows_set(r, KYMO_SYSCALL_DUR, i, c->dur_ns);
    if (c->has_ret)
        kymo_rows_set(r, KYMO_SYSCALL_RET, i, (uint64_t)c->ret);
    for (int a = 0; a < c->n_args; a++)
        kymo_rows_set(r, KYMO_SYSCALL_ARG0 + (uint32_t)a, i, c->arg[a]);
    set_text(r, KYMO_SYSCALL_PATH, i, c->path);
    set_text(r, KYMO_SYSCALL_PATH2, i, c->path2);
    set_text(r, KYMO_SYSCALL_ADDR, i, c->addr);
    o->calls++;
    return KYMO_OK;
}

static void set_usage(struct kymo_rows *r, uint32_t i, const struct synthout_process *p)
{
    kymo_rows_set(r, KYMO_PROCESS_CODE, i, p->code);
    kymo_rows_set(r, KYMO_PROCESS_LIFETIME, i, p->ts_ns - p->process->start_ns);
    kymo_rows_set(r, KYMO_PROCESS_UTIME, i, p->ends.utime_ns);
    kymo_rows_set(r, KYMO_PROCESS_STIME, i, p->ends.stime_ns);
    kymo_rows_set(r, KYMO_PROCESS_MAXRSS, i, p->ends.maxrss_bytes);
    kymo_rows_set(r, KYMO_PROCESS_MINFLT, i, p->ends.minflt);
    kymo_rows_set(r, KYMO_PROCESS_MAJFLT, i, p->ends.majflt);
}

kymo_status synthout_process(struct synthout *o, const struct synthout_process *p,
                             struct kymo_err *err)
{
    struct kymo_rows *r = o->process;
    const int is_start = strcmp(p->kind, "snapshot") == 0 || strcmp(p->kind, "exec") == 0;
    char exe[96];
    KYMO_TRY(synthout_until(o, p->ts_ns, err));
    if (kymo_rows_full(r))
        KYMO_TRY(put(o, r, 0, err));
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_PROCESS_TS, i, p->ts_ns);
    set_str(r, KYMO_PROCESS_KIND, i, p->kind);
    kymo_rows_set(r, KYMO_PROCESS_PID, i, p->process->pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, i, p->tid);
    kymo_rows_set(r, KYMO_PROCESS_PPID, i, p->process->ppid);
    kymo_rows_set(r, KYMO_PROCESS_START, i, p->process->start_ns);
    kymo_rows_set(r, KYMO_PROCESS_EXECSEQ, i, p->process->execseq);
    kymo_rows_set(r, KYMO_PROCESS_UID, i, 1000);
    kymo_rows_set(r, KYMO_PROCESS_GID, i, 1000);
    kymo_rows_set(r, KYMO_PROCESS_CGROUP, i, SYNTH_CGROUP);
    set_str(r, KYMO_PROCESS_COMM, i, p->comm);
    if (is_start) {
        snprintf(exe, sizeof(exe), "/synth/bin/%s", p->comm);
        set_str(r, KYMO_PROCESS_EXE, i, exe);
        set_str(r, KYMO_PROCESS_ARGV, i, p->comm);
        set_str(r, KYMO_PROCESS_CWD, i, "/synth");
    }
    kymo_rows_set(r, KYMO_PROCESS_NSPID, i, p->process->pid);
    if (p->is_last)
        set_usage(r, i, p);
    o->processes++;
    return KYMO_OK;
}

static void fd_target(const struct world_fd *f, char *target, size_t room)
{
    static const char *const anonymous[KYMO_ON_FDS] = {[KYMO_ON_EPOLL] = "[eventpoll]",
                                                       [KYMO_ON_EVENT] = "[eventfd]",
                                                       [KYMO_ON_TIMER] = "[timerfd]"};
    if (f->on == KYMO_ON_FILE)
        snprintf(target, room, "/synth/d%" PRIu32 "/f%" PRIu32, f->id % 64, f->id);
    else if (f->on == KYMO_ON_DIR)
        snprintf(target, room, "/synth/d%" PRIu32, f->id % 64);
    else if (f->on == KYMO_ON_PIPE)
        snprintf(target, room, "pipe:[%" PRIu32 "]", 1000000 + f->id);
    else if (f->on == KYMO_ON_OTHER) /* of which nothing is known, and which takes everything */
        snprintf(target, room, "/dev/null");
    else if (anonymous[f->on])
        snprintf(target, room, "anon_inode:%s", anonymous[f->on]);
    else
        snprintf(target, room, "socket:[%" PRIu32 "]", 1000000 + f->id);
}

kymo_status synthout_open_fd(struct synthout *o, uint64_t ts_ns, const struct world_process *p,
                             int32_t fd, struct kymo_err *err)
{
    struct kymo_rows *r = o->fd;
    const struct world_fd *f = &p->fd[fd];
    char text[64];
    KYMO_TRY(synthout_until(o, ts_ns, err));
    if (kymo_rows_full(r))
        KYMO_TRY(put(o, r, 0, err));
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_FD_TS, i, ts_ns);
    kymo_rows_set(r, KYMO_FD_PID, i, p->pid);
    kymo_rows_set(r, KYMO_FD_START, i, p->start_ns);
    kymo_rows_set(r, KYMO_FD_FD, i, (uint64_t)fd);
    fd_target(f, text, sizeof(text));
    set_str(r, KYMO_FD_TARGET, i, text);
    if (f->on == KYMO_ON_STREAM || f->on == KYMO_ON_LISTEN) {
        snprintf(text, sizeof(text), "inet:127.0.0.1:%" PRIu32, 20000 + f->id % 10000);
        set_str(r, KYMO_FD_LOCAL, i, text);
    }
    if (f->on == KYMO_ON_STREAM) {
        snprintf(text, sizeof(text), "inet:127.0.0.1:%" PRIu32, 30000 + f->id % 30000);
        set_str(r, KYMO_FD_PEER, i, text);
    }
    return KYMO_OK;
}
