/* SPDX-License-Identifier: Apache-2.0 */
#include "record/callrows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <xxhash.h>

#include "record/addr.h"
#include "record/host.h"
#include "record/redact.h"

#define ROW_NONE UINT32_MAX
#define NRS 65536u

#define KNOWN_TEXTS 4096u
struct known {
    uint64_t hash;
    uint32_t chunk; /* serial of the chunk that `id` is a string of */
    uint32_t id;    /* 0: none */
};

struct callrows {
    struct task *task; /* [n_tids], untouched pages cost nothing */
    uint32_t n_tids;
    uint32_t *known; /* [n_tids] */
    size_t n_known;
    uint32_t chunk;
    uint32_t key_chunk[2][NRS]; /* serial of the chunk that `key` is of; 0 never */
    uint16_t key[2][NRS];
    callrows_new_key on_new_key;
    void *on_new_key_ctx;
    struct redact *redact; /* borrowed */
    uint64_t seed;
    struct known known_text[KNOWN_TEXTS];
};

static void *map_zeroed(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

kymo_status callrows_open(struct callrows **out, uint32_t n_tids, struct kymo_err *err)
{
    struct callrows *c = map_zeroed(sizeof(*c));

    if (!c)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    c->n_tids = n_tids;
    c->chunk = 1;
    if (getrandom(&c->seed, sizeof(c->seed), 0) != (ssize_t)sizeof(c->seed))
        c->seed = host_mono_ns();
    c->task = map_zeroed(n_tids * sizeof(*c->task));
    c->known = map_zeroed(n_tids * sizeof(*c->known));
    if (!c->task || !c->known) {
        callrows_close(c);
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u threads",
                         n_tids);
    }
    *out = c;
    return KYMO_OK;
}

void callrows_close(struct callrows *c)
{
    if (!c)
        return;
    if (c->task)
        munmap(c->task, c->n_tids * sizeof(*c->task));
    if (c->known)
        munmap(c->known, c->n_tids * sizeof(*c->known));
    munmap(c, sizeof(*c));
}

void callrows_next_chunk(struct callrows *c)
{
    c->chunk++;
}

void callrows_on_new_key(struct callrows *c, callrows_new_key f, void *ctx)
{
    c->on_new_key = f;
    c->on_new_key_ctx = ctx;
}

void callrows_redact(struct callrows *c, struct redact *r)
{
    c->redact = r;
}

struct task *callrows_task(const struct callrows *c, uint32_t tid)
{
    return tid < c->n_tids ? &c->task[tid] : NULL;
}

size_t callrows_known(const struct callrows *c, const uint32_t **tids)
{
    *tids = c->known;
    return c->n_known;
}

struct task *callrows_learn(struct callrows *c, const struct kymo_event_task *e)
{
    struct task *t = callrows_task(c, e->head.tid);

    if (!t)
        return NULL;
    if (!t->known)
        c->known[c->n_known++] = e->head.tid;
    *t = (struct task){
        .start_ns = e->start_ns,
        .exec_seq = e->exec_seq,
        .cgroup_id = e->cgroup_id,
        .pid = e->pid,
        .tid = e->head.tid,
        .ppid = e->ppid,
        .uid = e->uid,
        .gid = e->gid,
        .known = true,
    };
    memcpy(t->comm, e->comm, sizeof(t->comm));
    return t;
}

/* ---- interning ------------------------------------------------------------------------------ */

static uint32_t task_row(struct callrows *c, struct kymo_rows *r, struct task *t)
{
    if (t->chunk == c->chunk)
        return t->row;
    const uint32_t row = kymo_rows_add_task(r);
    if (row == ROW_NONE)
        return row;
    r->lane[KYMO_SYSCALL_PID][row] = t->pid;
    r->lane[KYMO_SYSCALL_TID][row] = t->tid;
    r->lane[KYMO_SYSCALL_COMM][row] =
        kymo_rows_intern(r, t->comm, strnlen(t->comm, sizeof(t->comm)));
    r->lane[KYMO_SYSCALL_CGROUP][row] = t->cgroup_id;
    r->lane[KYMO_SYSCALL_START][row] = t->start_ns;
    r->lane[KYMO_SYSCALL_EXECSEQ][row] = t->exec_seq;
    t->chunk = c->chunk;
    t->row = row;
    return row;
}

static uint16_t key_row(struct callrows *c, struct kymo_rows *r, uint32_t nr, bool compat)
{
    uint32_t *chunk = &c->key_chunk[compat][nr & (NRS - 1)];
    uint16_t *key = &c->key[compat][nr & (NRS - 1)];

    if (*chunk == c->chunk)
        return *key;
    const uint16_t row = kymo_rows_add_key(r);
    if (row == UINT16_MAX)
        return row;
    const uint32_t arch = compat ? host_arch_compat() : host_arch();
    r->lane[KYMO_SYSCALL_ARCH][row] = arch;
    r->lane[KYMO_SYSCALL_NR][row] = nr;
    if (!*chunk && c->on_new_key)
        c->on_new_key(c->on_new_key_ctx, arch, nr);
    *chunk = c->chunk;
    *key = row;
    return row;
}

/* ---- the row -------------------------------------------------------------------------------- */

struct texts {
    uint32_t path, path2, addr; /* string ids */
    bool has_path, has_path2, has_addr;
};

/*
 * A text of the kernel's, hidden where it is secret, as a string of this chunk. Most texts come again and again:
 * those of this chunk that were found to be harmless are known by their hash, whose seed nobody knows, so that
 * nobody can make two that share one.
 */
static struct known *known_text(struct callrows *c, const char *raw, size_t n, uint64_t kind)
{
    const uint64_t hash = XXH3_64bits_withSeed(raw, n, c->seed + kind);
    struct known *k = &c->known_text[hash & (KNOWN_TEXTS - 1)];

    if (k->hash != hash || k->chunk != c->chunk) {
        k->hash = hash;
        k->chunk = c->chunk;
        k->id = 0;
    }
    return k;
}

static uint32_t intern_path(struct callrows *c, struct kymo_rows *r, const char *s, size_t n)
{
    if (!n)
        return 0;
    struct known *known = known_text(c, s, n, 0);
    if (known->id)
        return known->id;
    const struct kymo_scrubbed safe = redact_path(c->redact, s, n, KYMO_STR_MAX - 1);
    const uint32_t id = kymo_rows_intern(r, safe.s, safe.n);
    if (safe.s == s) /* what was hidden is counted each time */
        known->id = id;
    return id;
}

static uint32_t intern_addr(struct callrows *c, struct kymo_rows *r, const uint8_t *raw,
                            size_t n)
{
    char text[ADDR_TEXT_MAX];
    struct known *known = known_text(c, (const char *)raw, n, 1);

    if (known->id)
        return known->id;
    const size_t bytes = addr_text(raw, n, text);
    const struct kymo_scrubbed safe = redact_addr(c->redact, text, bytes);
    const uint32_t id = kymo_rows_intern(r, safe.s, safe.n);
    if (safe.s == text)
        known->id = id;
    return id;
}

/* The strings of a record; false when the chunk's dictionary is full. */
static bool take_texts(struct callrows *c, struct kymo_rows *r, const struct kymo_event_call *e,
                       size_t bytes, struct texts *t)
{
    const size_t at = KYMO_EVENT_CALL_FIXED + 8u * e->head.n_args;
    const char *first = (const char *)e + at;
    const size_t first_padded =
        e->has_addr ? (e->path_bytes + 7u) & ~7u : (e->path_bytes + 8u) & ~7u;

    memset(t, 0, sizeof(*t));
    if (at >= bytes || at + e->path_bytes > bytes)
        return true;
    if (e->has_addr) {
        t->has_addr = true;
        t->addr = intern_addr(c, r, (const uint8_t *)first, e->path_bytes);
        return t->addr != 0;
    }
    t->has_path = true;
    t->path = intern_path(c, r, first, e->path_bytes);
    if (e->path_bytes && !t->path)
        return false;
    if (at + first_padded >= bytes || at + first_padded + e->path2_bytes > bytes)
        return true;
    t->has_path2 = true;
    t->path2 = intern_path(c, r, first + first_padded, e->path2_bytes);
    return !e->path2_bytes || t->path2;
}

/* Cells are null until they are set, so only those are touched that the call has. */
static void set(struct kymo_rows *r, uint32_t column, uint32_t i, uint64_t v)
{
    r->lane[column][i] = v;
    r->present[column][i] = 1;
}

bool callrows_add(struct callrows *c, struct kymo_rows *r, const struct kymo_event_call *e,
                  size_t bytes, uint32_t cpu, uint32_t flags)
{
    struct task *t = callrows_task(c, e->head.tid);
    static struct task nobody;
    struct texts texts;

    if (!t)
        t = &nobody; /* beyond our slots: the kernel side never sends these */
    const uint32_t task = task_row(c, r, t);
    if (task == ROW_NONE)
        return false;
    const uint16_t key = key_row(c, r, e->nr, (e->flags & KYMO_CALL_COMPAT) != 0);
    if (key == UINT16_MAX || !take_texts(c, r, e, bytes, &texts))
        return false;
    flags |= e->flags;
    const uint32_t i = r->n_rows++;
    r->task[i] = task;
    r->key[i] = key;
    r->lane[KYMO_SYSCALL_TS][i] = e->head.ts_ns;
    r->lane[KYMO_SYSCALL_CPU][i] = cpu;
    r->lane[KYMO_SYSCALL_FLAGS][i] = flags;
    if (e->dur_ns != KYMO_DUR_UNKNOWN)
        set(r, KYMO_SYSCALL_DUR, i, e->dur_ns);
    if (!(flags & (KYMO_CALL_AT_ENTRY | KYMO_CALL_UNFINISHED)))
        set(r, KYMO_SYSCALL_RET, i, (uint64_t)e->ret);
    const uint32_t n_args = e->head.n_args < 6 ? e->head.n_args : 6;
    for (uint32_t a = 0; a < n_args; a++)
        set(r, KYMO_SYSCALL_ARG0 + a, i, e->arg[a]);
    if (texts.has_path)
        set(r, KYMO_SYSCALL_PATH, i, texts.path);
    if (texts.has_path2)
        set(r, KYMO_SYSCALL_PATH2, i, texts.path2);
    if (texts.has_addr)
        set(r, KYMO_SYSCALL_ADDR, i, texts.addr);
    return true;
}
