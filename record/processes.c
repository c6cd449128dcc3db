/* SPDX-License-Identifier: Apache-2.0 */
#include "record/processes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "record/host.h"
#include "record/redact.h"

#define CGROUP_SLOTS (2 * PROCESSES_CGROUPS_MAX)

/* What a thread may do, as a hash; 0: never heard of. Events come ahead of the descriptions that
 * threads give of themselves on the other rings, so what it was before the last event stays. */
struct powers {
    uint64_t start_ns, ts_ns; /* of the last event */
    uint64_t now, before;
};

struct cgroup {
    uint64_t id;
    char *path; /* owned; NULL: nobody told */
    bool is_used, is_written;
    bool is_twice; /* two hierarchies have it: their processes have to be asked which */
};

struct processes {
    processes_rows rows;
    void *rows_ctx;
    struct redact *redact;
    struct powers *powers; /* [n_tids], untouched pages cost nothing */
    uint32_t n_tids;
    struct cgroup cgroup[CGROUP_SLOTS];
    uint32_t n_cgroups;
    struct processes_totals totals;
};

kymo_status processes_open(struct processes **out, uint32_t n_tids, processes_rows rows,
                           void *ctx, struct kymo_err *err)
{
    struct processes *p = calloc(1, sizeof(*p));

    if (!p)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    p->rows = rows;
    p->rows_ctx = ctx;
    p->n_tids = n_tids;
    p->powers = mmap(NULL, n_tids * sizeof(*p->powers), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->powers == MAP_FAILED) {
        free(p);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u threads",
                         n_tids);
    }
    *out = p;
    return KYMO_OK;
}

void processes_close(struct processes *p)
{
    if (!p)
        return;
    munmap(p->powers, p->n_tids * sizeof(*p->powers));
    for (uint32_t i = 0; i < CGROUP_SLOTS; i++)
        free(p->cgroup[i].path);
    free(p);
}

void processes_redact(struct processes *p, struct redact *r)
{
    p->redact = r;
}

void processes_totals(const struct processes *p, struct processes_totals *out)
{
    *out = p->totals;
}

/* ---- cgroups -------------------------------------------------------------------------------- */

/* The place of an id, its own or a free one; NULL when there are too many. */
static struct cgroup *cgroup_at(struct processes *p, uint64_t id)
{
    uint32_t i = (uint32_t)(id * 0x9e3779b97f4a7c15u >> 32) % CGROUP_SLOTS;

    while (p->cgroup[i].is_used && p->cgroup[i].id != id)
        i = (i + 1) % CGROUP_SLOTS;
    struct cgroup *c = &p->cgroup[i];
    if (c->is_used)
        return c;
    if (p->n_cgroups == PROCESSES_CGROUPS_MAX)
        return NULL;
    p->n_cgroups++;
    *c = (struct cgroup){.id = id, .is_used = true};
    return c;
}

void processes_cgroup_made(struct processes *p, const struct kymo_event_cgroup *e, size_t bytes)
{
    struct cgroup *c = bytes > KYMO_EVENT_CGROUP_FIXED ? cgroup_at(p, e->id) : NULL;

    if (!c || c->is_written)
        return;
    c->is_twice |= c->path != NULL;
    free(c->path);
    c->path = c->is_twice ? NULL : strndup(e->path, bytes - KYMO_EVENT_CGROUP_FIXED);
}

void processes_cgroup(struct processes *p, uint64_t id, uint32_t pid, uint64_t ts_ns)
{
    struct cgroup *c = cgroup_at(p, id);
    char path[PROCESSES_PATH_MAX];

    if (!c)
        p->totals.unnamed_cgroups++;
    if (!c || c->is_written)
        return;
    struct kymo_rows *r = p->rows(p->rows_ctx, &KYMO_TABLE_CGROUP);
    if (!r)
        return; /* the next time it is met */
    const uint32_t i = kymo_rows_add(r);
    const char *name = c->path ? c->path : path;
    const size_t n = c->path ? strlen(name) : host_cgroup_path(id, pid, path, sizeof(path));
    kymo_rows_set(r, KYMO_CGROUP_TS, i, ts_ns);
    kymo_rows_set(r, KYMO_CGROUP_ID, i, id);
    kymo_rows_set_str(r, KYMO_CGROUP_PATH, i, name, n);
    free(c->path);
    c->path = NULL;
    c->is_written = true;
}

/* ---- a row ---------------------------------------------------------------------------------- */

size_t processes_path(const char *walk, size_t n, char *out, size_t cap)
{
    size_t at = 0;

    if (!cap || n > cap - 1 || (n && walk[n - 1]))
        return 0;
    while (n) { /* walk[n - 1] ends a name */
        size_t begin = n - 1;
        while (begin && walk[begin - 1])
            begin--;
        out[at++] = '/';
        memcpy(out + at, walk + begin, n - 1 - begin);
        at += n - 1 - begin;
        n = begin;
    }
    if (!at)
        out[at++] = '/';
    out[at] = 0;
    return at;
}

static void set_maybe(struct kymo_rows *r, uint32_t column, uint32_t row, uint64_t v)
{
    if (v)
        kymo_rows_set(r, column, row, v);
}

static void fill_task(struct kymo_rows *r, uint32_t i, const struct kymo_event_task *t,
                      const char *kind)
{
    kymo_rows_set(r, KYMO_PROCESS_TS, i, t->head.ts_ns);
    kymo_rows_set_str(r, KYMO_PROCESS_KIND, i, kind, strlen(kind));
    kymo_rows_set(r, KYMO_PROCESS_PID, i, t->pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, i, t->head.tid);
    kymo_rows_set(r, KYMO_PROCESS_PPID, i, t->ppid);
    kymo_rows_set(r, KYMO_PROCESS_START, i, t->start_ns);
    kymo_rows_set(r, KYMO_PROCESS_EXECSEQ, i, t->exec_seq);
    kymo_rows_set(r, KYMO_PROCESS_UID, i, t->uid);
    kymo_rows_set(r, KYMO_PROCESS_GID, i, t->gid);
    kymo_rows_set(r, KYMO_PROCESS_CGROUP, i, t->cgroup_id);
    kymo_rows_set_str(r, KYMO_PROCESS_COMM, i, t->comm, strnlen(t->comm, sizeof(t->comm)));
    kymo_rows_set(r, KYMO_PROCESS_EUID, i, t->euid);
    kymo_rows_set(r, KYMO_PROCESS_EGID, i, t->egid);
    kymo_rows_set(r, KYMO_PROCESS_CAPEFF, i, t->capeff);
    set_maybe(r, KYMO_PROCESS_NSPID, i, t->nspid);
    set_maybe(r, KYMO_PROCESS_PIDNS, i, t->pidns);
    set_maybe(r, KYMO_PROCESS_MNTNS, i, t->mntns);
    set_maybe(r, KYMO_PROCESS_NETNS, i, t->netns);
    set_maybe(r, KYMO_PROCESS_USERNS, i, t->userns);
}

/* Ticks tell user from system time, the scheduler knows their sum: as the kernel itself scales what
 * it says in wait4 and getrusage (cputime_adjust). */
static void scale_times(const struct kymo_event_usage *u, uint64_t *utime, uint64_t *stime)
{
    *utime = u->utime_ns;
    *stime = u->stime_ns;
    if (!u->runtime_ns)
        return;
    *stime = !u->stime_ns   ? 0
             : !u->utime_ns ? u->runtime_ns
                            : (uint64_t)((double)u->runtime_ns * (double)u->stime_ns /
                                         ((double)u->utime_ns + (double)u->stime_ns));
    *utime = u->runtime_ns - *stime;
}

static void fill_usage(struct kymo_rows *r, uint32_t i, const struct kymo_event_usage *u)
{
    uint64_t utime, stime;

    scale_times(u, &utime, &stime);
    kymo_rows_set(r, KYMO_PROCESS_LIFETIME, i, u->lifetime_ns);
    kymo_rows_set(r, KYMO_PROCESS_UTIME, i, utime);
    kymo_rows_set(r, KYMO_PROCESS_STIME, i, stime);
    kymo_rows_set(r, KYMO_PROCESS_MAXRSS, i, u->maxrss_pages * (uint64_t)sysconf(_SC_PAGESIZE));
    kymo_rows_set(r, KYMO_PROCESS_MINFLT, i, u->minflt);
    kymo_rows_set(r, KYMO_PROCESS_MAJFLT, i, u->majflt);
}

/* A path from the kernel's walk; what lies too deep for that is asked of /proc. */
static void fill_path(struct redact *redact, struct kymo_rows *r, uint32_t column, uint32_t i,
                      bool is_whole, const char *walk, size_t n, const char *link, uint32_t pid)
{
    char path[PROCESSES_PATH_MAX];
    size_t got = is_whole ? processes_path(walk, n, path, sizeof(path)) : 0;

    if (!is_whole && n)
        got = host_link(pid, link, path, sizeof(path));
    const struct kymo_scrubbed safe = redact_path(redact, path, got, sizeof(path) - 1);
    kymo_rows_set_str(r, column, i, safe.s, safe.n);
}

void processes_fill(struct redact *redact, struct kymo_rows *r, uint32_t row,
                    const struct kymo_event_process *e, size_t bytes, const char *kind,
                    const char *argv, size_t argv_bytes)
{
    const size_t text = (size_t)e->exe_bytes + e->argv_bytes + e->cwd_bytes;
    const char *at = e->text;
    char line[2 * KYMO_ARGV_MAX];

    fill_task(r, row, &e->task, kind);
    if (e->task.head.kind == KYMO_EVENT_EXIT)
        kymo_rows_set(r, KYMO_PROCESS_CODE, row, e->code);
    if (e->usage.lifetime_ns)
        fill_usage(r, row, &e->usage);
    if (bytes < KYMO_EVENT_PROCESS_FIXED + text)
        return;
    if (e->argv_bytes) {
        argv = at + e->exe_bytes;
        argv_bytes = e->argv_bytes;
    }
    fill_path(redact, r, KYMO_PROCESS_EXE, row, e->has_exe, at, e->exe_bytes, "exe",
              e->task.pid);
    fill_path(redact, r, KYMO_PROCESS_CWD, row, e->has_cwd, at + e->exe_bytes + e->argv_bytes,
              e->cwd_bytes, "cwd", e->task.pid);
    if (!argv_bytes)
        return;
    const struct kymo_scrubbed safe =
        redact_argv(redact, argv, argv_bytes, argv_bytes >= KYMO_ARGV_MAX - 1);
    kymo_rows_set_str(r, KYMO_PROCESS_ARGV, row, line,
                      host_join_argv(safe.s, safe.n, line, sizeof(line)));
}

/* ---- events --------------------------------------------------------------------------------- */

static uint64_t hash_powers(const struct kymo_event_task *t)
{
    const uint64_t part[] = {(uint64_t)t->uid << 32 | t->gid, (uint64_t)t->euid << 32 | t->egid,
                             t->capeff, (uint64_t)t->pidns << 32 | t->mntns,
                             (uint64_t)t->netns << 32 | t->userns};

    return XXH3_64bits(part, sizeof(part)) | 1;
}

/* A birth, an exec or the start's list: its row says what the thread may do. */
static void learn_powers(struct processes *p, const struct kymo_event_task *t)
{
    struct powers *was = t->head.tid < p->n_tids ? &p->powers[t->head.tid] : NULL;

    if (!was || t->head.kind == KYMO_EVENT_EXIT)
        return;
    *was = (struct powers){.start_ns = t->start_ns,
                           .ts_ns = t->head.ts_ns,
                           .now = hash_powers(t),
                           .before = was->start_ns == t->start_ns ? was->now : 0};
}

/* A description: does it differ from what was known of that moment? */
static bool changed_powers(struct processes *p, const struct kymo_event_task *t)
{
    struct powers *was = &p->powers[t->head.tid];
    const uint64_t hash = hash_powers(t);

    if (!was->now || was->start_ns != t->start_ns) {
        *was = (struct powers){t->start_ns, t->head.ts_ns, hash, 0};
        return false;
    }
    uint64_t *then = t->head.ts_ns < was->ts_ns ? &was->before : &was->now;
    const bool changed = *then && *then != hash;
    *then = hash;
    return changed;
}

static bool add_row(struct processes *p, const struct kymo_event_process *e, size_t bytes,
                    const char *kind, const char *argv, size_t argv_bytes)
{
    processes_cgroup(p, e->task.cgroup_id, e->task.pid, e->task.head.ts_ns);
    struct kymo_rows *r = p->rows(p->rows_ctx, &KYMO_TABLE_PROCESS);
    if (!r)
        return false;
    processes_fill(p->redact, r, kymo_rows_add(r), e, bytes, kind, argv, argv_bytes);
    p->totals.rows++;
    return true;
}

bool processes_event(struct processes *p, const struct kymo_event_process *e, size_t bytes)
{
    static const char *const kind[] = {
        [KYMO_EVENT_FORK] = "fork", [KYMO_EVENT_EXEC] = "exec", [KYMO_EVENT_EXIT] = "exit"};

    learn_powers(p, &e->task);
    return add_row(p, e, bytes, kind[e->task.head.kind], NULL, 0);
}

void processes_snapshot(struct processes *p, const struct kymo_event_process *e, size_t bytes)
{
    char argv[KYMO_ARGV_MAX];

    learn_powers(p, &e->task);
    if (e->task.head.tid == e->task.pid)
        (void)add_row(p, e, bytes, "snapshot", argv,
                      host_argv(e->task.pid, argv, sizeof(argv)));
}

void processes_task(struct processes *p, const struct kymo_event_task *t)
{
    processes_cgroup(p, t->cgroup_id, t->pid, t->head.ts_ns);
    if (t->head.tid >= p->n_tids)
        return;
    const struct powers was = p->powers[t->head.tid];
    if (!changed_powers(p, t))
        return;
    struct kymo_rows *r = p->rows(p->rows_ctx, &KYMO_TABLE_PROCESS);
    if (!r) { /* the next description will find the same change */
        p->powers[t->head.tid] = was;
        return;
    }
    fill_task(r, kymo_rows_add(r), t, "cred");
    p->totals.rows++;
}
