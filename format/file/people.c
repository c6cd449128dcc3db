/* SPDX-License-Identifier: Apache-2.0
 * people.c: one entry a pid, of the process that has it now. A fork takes over what its parent is;
 * the entries of the dead are swept when the table would grow.
 */
#include "format/file/people.h"

#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/file/heldfds.h"

#define SLOTS_FIRST 1024u
#define PEOPLE_MAX (1u << 20)
#define TEXT_BYTES_MAX ((size_t)256 << 20)
#define ANCESTORS_MAX 64

enum { COMM, EXE, ARGV, CWD, TEXTS };
static const char *const text_name[TEXTS] = {"comm", "exe", "argv", "cwd"};
static const uint32_t text_column[TEXTS] = {KYMO_PROCESS_COMM, KYMO_PROCESS_EXE,
                                            KYMO_PROCESS_ARGV, KYMO_PROCESS_CWD};

/* Credentials and namespaces: euid to userns. */
#define POWERS (KYMO_PROCESS_USERNS - KYMO_PROCESS_EUID + 1)

struct person {
    uint64_t pid, start_ns, tid, ppid, execseq, uid, gid, cgroup;
    char *text[TEXTS]; /* owned, NULL: "" */
    uint32_t bytes[TEXTS];
    uint64_t power[POWERS];
    uint8_t has_power[POWERS];
    uint8_t is_used, is_known, is_needed, is_written, is_dead;
};

struct cgroup {
    uint64_t id;
    char *path; /* owned */
    uint8_t is_used, is_needed, is_written;
};

struct kymo_people {
    struct kymo_gather *g;
    struct kymo_heldfds *fds;
    struct person *slot;
    uint32_t n_slots, n;
    struct cgroup *cgroup;
    uint32_t n_cgroup_slots, n_cgroups;
    size_t text_bytes;
    struct kymo_rows *row, *cgroup_row; /* one row on its way */
};

static kymo_status no_memory(struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                     "the processes of this capture pass the memory budget");
}

kymo_status kymo_people_open(struct kymo_people **out, struct kymo_gather *g,
                             struct kymo_err *err)
{
    struct kymo_people *p = calloc(1, sizeof(*p));
    if (!p)
        return no_memory(err);
    p->g = g;
    p->n_slots = p->n_cgroup_slots = SLOTS_FIRST;
    p->slot = calloc(p->n_slots, sizeof(*p->slot));
    p->cgroup = calloc(p->n_cgroup_slots, sizeof(*p->cgroup));
    kymo_status s = p->slot && p->cgroup ? KYMO_OK : no_memory(err);
    if (!s)
        s = kymo_rows_open(&p->row, &KYMO_TABLE_PROCESS, 1, err);
    if (!s)
        s = kymo_rows_open(&p->cgroup_row, &KYMO_TABLE_CGROUP, 1, err);
    if (!s)
        s = kymo_heldfds_open(&p->fds, err);
    if (s) {
        kymo_people_close(p);
        return s;
    }
    *out = p;
    return KYMO_OK;
}

static void forget(struct kymo_people *p, struct person *who)
{
    for (int i = 0; i < TEXTS; i++) {
        p->text_bytes -= who->bytes[i];
        free(who->text[i]);
    }
    memset(who, 0, sizeof(*who));
}

void kymo_people_close(struct kymo_people *p)
{
    if (!p)
        return;
    for (uint32_t i = 0; p->slot && i < p->n_slots; i++)
        forget(p, &p->slot[i]);
    for (uint32_t i = 0; p->cgroup && i < p->n_cgroup_slots; i++)
        free(p->cgroup[i].path);
    free(p->slot);
    free(p->cgroup);
    kymo_rows_close(p->row);
    kymo_rows_close(p->cgroup_row);
    kymo_heldfds_close(p->fds);
    free(p);
}

/* -------- tables by number -------- */

static uint32_t slot_of(uint64_t number, uint32_t n_slots)
{
    return (uint32_t)(number * 0x9e3779b97f4a7c15u >> 32) & (n_slots - 1);
}

/* The place of a pid: its entry, or a free one. */
static struct person *person_at(struct person *slot, uint32_t n_slots, uint64_t pid)
{
    uint32_t h = slot_of(pid, n_slots);
    while (slot[h].is_used && slot[h].pid != pid)
        h = (h + 1) & (n_slots - 1);
    return &slot[h];
}

/* Half of the table is full: the dead leave, and it grows if that was not enough. */
static kymo_status make_room(struct kymo_people *p, struct kymo_err *err)
{
    uint32_t alive = 0;
    if (p->n < p->n_slots / 2)
        return KYMO_OK;
    for (uint32_t i = 0; i < p->n_slots; i++)
        alive += p->slot[i].is_used && !p->slot[i].is_dead;
    const uint32_t n_slots = alive < p->n_slots / 4 ? p->n_slots : p->n_slots * 2;
    if (alive > PEOPLE_MAX)
        return no_memory(err);
    struct person *slot = calloc(n_slots, sizeof(*slot));
    if (!slot)
        return no_memory(err);
    for (uint32_t i = 0; i < p->n_slots; i++) {
        struct person *who = &p->slot[i];
        if (who->is_used && !who->is_dead)
            *person_at(slot, n_slots, who->pid) = *who;
        else
            forget(p, who);
    }
    free(p->slot);
    p->slot = slot;
    p->n_slots = n_slots;
    p->n = alive;
    return KYMO_OK;
}

/* The entry of the process; another that had its pid is gone. */
static kymo_status person(struct kymo_people *p, uint64_t pid, uint64_t start_ns,
                          struct person **out, struct kymo_err *err)
{
    KYMO_TRY(make_room(p, err));
    struct person *who = person_at(p->slot, p->n_slots, pid);
    if (who->is_used && start_ns && who->start_ns && who->start_ns != start_ns) {
        forget(p, who);
        p->n--;
    }
    if (!who->is_used) {
        who->is_used = 1;
        who->pid = pid;
        p->n++;
    }
    if (start_ns)
        who->start_ns = start_ns;
    *out = who;
    return KYMO_OK;
}

static const struct person *look(const struct kymo_people *p, uint64_t pid, uint64_t start_ns)
{
    const struct person *who = person_at(p->slot, p->n_slots, pid);
    if (!who->is_used || (start_ns && who->start_ns && who->start_ns != start_ns))
        return NULL;
    return who;
}

/* -------- learning -------- */

static kymo_status set_text(struct kymo_people *p, struct person *who, int which, const char *s,
                            uint32_t n, struct kymo_err *err)
{
    char *copy = n ? malloc(n) : NULL;
    if ((n && !copy) || n > TEXT_BYTES_MAX - p->text_bytes) {
        free(copy);
        return no_memory(err);
    }
    if (n)
        memcpy(copy, s, n);
    p->text_bytes += n;
    p->text_bytes -= who->bytes[which];
    free(who->text[which]);
    who->text[which] = copy;
    who->bytes[which] = n;
    return KYMO_OK;
}

static uint64_t number(const struct kymo_batch *b, const char *name, uint32_t row)
{
    const int c = kymo_batch_column(b, name);
    return c >= 0 && kymo_batch_column_type(b, (uint32_t)c) == KYMO_T_U64 &&
                   kymo_batch_present(b, (uint32_t)c, row)
               ? kymo_batch_u64(b, (uint32_t)c, row)
               : 0;
}

static const char *text(const struct kymo_batch *b, const char *name, uint32_t row, uint32_t *n)
{
    const int c = kymo_batch_column(b, name);
    *n = 0;
    return c >= 0 && kymo_batch_column_type(b, (uint32_t)c) == KYMO_T_STR &&
                   kymo_batch_present(b, (uint32_t)c, row)
               ? kymo_batch_str(b, (uint32_t)c, row, n)
               : "";
}

static int is_kind(const struct kymo_batch *b, uint32_t row, const char *kind)
{
    uint32_t n;
    const char *s = text(b, "kind", row, &n);
    return n == strlen(kind) && !memcmp(s, kind, n);
}

static kymo_status inherit(struct kymo_people *p, struct person *who, struct kymo_err *err)
{
    const struct person *parent = look(p, who->ppid, 0);
    for (int i = EXE; parent && parent != who && i < TEXTS; i++)
        if (!who->bytes[i])
            KYMO_TRY(set_text(p, who, i, parent->text[i], parent->bytes[i], err));
    return KYMO_OK;
}

static void learn_powers(struct person *who, const struct kymo_batch *b, uint32_t row)
{
    for (uint32_t i = 0; i < POWERS; i++) {
        const int c =
            kymo_batch_column(b, KYMO_TABLE_PROCESS.column[KYMO_PROCESS_EUID + i].name);
        if (c < 0 || kymo_batch_column_type(b, (uint32_t)c) != KYMO_T_U64 ||
            !kymo_batch_present(b, (uint32_t)c, row))
            continue;
        who->power[i] = kymo_batch_u64(b, (uint32_t)c, row);
        who->has_power[i] = 1;
    }
}

void kymo_people_hold_fd(struct kymo_people *p, const struct kymo_batch *b, uint32_t row)
{
    kymo_heldfds_learn(p->fds, b, row);
}

kymo_status kymo_people_learn(struct kymo_people *p, const struct kymo_batch *b, uint32_t row,
                              struct kymo_err *err)
{
    struct person *who;
    const uint64_t pid = number(b, "pid", row), tid = number(b, "tid", row);
    if (is_kind(b, row, "exit") && number(b, "lifetime", row)) /* of its last thread */
        kymo_heldfds_forget(p->fds, pid, number(b, "start", row));
    if (tid && tid != pid)
        return KYMO_OK; /* a thread of it */
    KYMO_TRY(person(p, pid, number(b, "start", row), &who, err));
    who->tid = tid;
    who->ppid = number(b, "ppid", row);
    who->execseq = number(b, "execseq", row);
    who->uid = number(b, "uid", row);
    who->gid = number(b, "gid", row);
    who->cgroup = number(b, "cgroup", row);
    who->is_known = 1;
    who->is_dead = is_kind(b, row, "exit") != 0;
    for (int i = 0; i < TEXTS; i++) {
        uint32_t n;
        const char *s = text(b, text_name[i], row, &n);
        if (n)
            KYMO_TRY(set_text(p, who, i, s, n, err));
    }
    learn_powers(who, b, row);
    return is_kind(b, row, "fork") ? inherit(p, who, err) : KYMO_OK;
}

static struct cgroup *cgroup_at(struct cgroup *slot, uint32_t n_slots, uint64_t id)
{
    uint32_t h = slot_of(id, n_slots);
    while (slot[h].is_used && slot[h].id != id)
        h = (h + 1) & (n_slots - 1);
    return &slot[h];
}

static kymo_status cgroup(struct kymo_people *p, uint64_t id, struct cgroup **out,
                          struct kymo_err *err)
{
    if (p->n_cgroups >= p->n_cgroup_slots / 2) {
        const uint32_t n_slots = p->n_cgroup_slots * 2;
        struct cgroup *slot = n_slots <= PEOPLE_MAX ? calloc(n_slots, sizeof(*slot)) : NULL;
        if (!slot)
            return no_memory(err);
        for (uint32_t i = 0; i < p->n_cgroup_slots; i++)
            if (p->cgroup[i].is_used)
                *cgroup_at(slot, n_slots, p->cgroup[i].id) = p->cgroup[i];
        free(p->cgroup);
        p->cgroup = slot;
        p->n_cgroup_slots = n_slots;
    }
    *out = cgroup_at(p->cgroup, p->n_cgroup_slots, id);
    if (!(*out)->is_used) {
        (*out)->is_used = 1;
        (*out)->id = id;
        p->n_cgroups++;
    }
    return KYMO_OK;
}

/* -------- writing -------- */

/* An empty string where memory ended would be a wrong row. */
static kymo_status put_text(struct kymo_rows *r, uint32_t column, const char *s, size_t n,
                            struct kymo_err *err)
{
    const uint32_t id = kymo_rows_intern(r, s, n);
    if (n && !id)
        return no_memory(err);
    kymo_rows_set(r, column, 0, id);
    return KYMO_OK;
}

static kymo_status write_cgroup(struct kymo_people *p, struct cgroup *c, uint64_t ts_ns,
                                struct kymo_err *err)
{
    struct kymo_rows *r = p->cgroup_row;
    kymo_rows_clear(r);
    kymo_rows_add(r);
    kymo_rows_set(r, KYMO_CGROUP_TS, 0, ts_ns);
    kymo_rows_set(r, KYMO_CGROUP_ID, 0, c->id);
    KYMO_TRY(put_text(r, KYMO_CGROUP_PATH, c->path, strlen(c->path), err));
    const struct kymo_batch b = kymo_rows_view(r);
    c->is_written = 1;
    return kymo_gather_rows(p->g, &b, NULL, 1, NULL, err);
}

kymo_status kymo_people_learn_cgroups(struct kymo_people *p, const struct kymo_batch *b,
                                      struct kymo_err *err)
{
    for (uint32_t i = 0; i < b->n_rows; i++) {
        struct cgroup *c;
        uint32_t n;
        const char *path = text(b, "path", i, &n);
        KYMO_TRY(cgroup(p, number(b, "id", i), &c, err));
        if (c->path && strlen(c->path) == n && !memcmp(c->path, path, n))
            continue;
        char *copy = n <= TEXT_BYTES_MAX - p->text_bytes ? strndup(path, n) : NULL;
        if (!copy)
            return no_memory(err);
        p->text_bytes += n;
        free(c->path);
        c->path = copy;
        if (c->is_needed)
            KYMO_TRY(write_cgroup(p, c, number(b, "ts", i), err));
    }
    return KYMO_OK;
}

const char *kymo_people_cgroup(const struct kymo_people *p, uint64_t id)
{
    return cgroup_at(p->cgroup, p->n_cgroup_slots, id)->path;
}

kymo_status kymo_people_need_cgroup(struct kymo_people *p, uint64_t id, uint64_t ts_ns,
                                    struct kymo_err *err)
{
    struct cgroup *c;
    KYMO_TRY(cgroup(p, id, &c, err));
    c->is_needed = 1;
    return c->path && !c->is_written ? write_cgroup(p, c, ts_ns, err) : KYMO_OK;
}

static kymo_status write_person(struct kymo_people *p, struct person *who, uint64_t ts_ns,
                                struct kymo_err *err)
{
    struct kymo_rows *r = p->row;
    kymo_rows_clear(r);
    kymo_rows_add(r);
    kymo_rows_set(r, KYMO_PROCESS_TS, 0, ts_ns);
    KYMO_TRY(put_text(r, KYMO_PROCESS_KIND, "snapshot", 8, err));
    kymo_rows_set(r, KYMO_PROCESS_PID, 0, who->pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, 0, who->tid);
    kymo_rows_set(r, KYMO_PROCESS_PPID, 0, who->ppid);
    kymo_rows_set(r, KYMO_PROCESS_START, 0, who->start_ns);
    kymo_rows_set(r, KYMO_PROCESS_EXECSEQ, 0, who->execseq);
    kymo_rows_set(r, KYMO_PROCESS_UID, 0, who->uid);
    kymo_rows_set(r, KYMO_PROCESS_GID, 0, who->gid);
    kymo_rows_set(r, KYMO_PROCESS_CGROUP, 0, who->cgroup);
    for (int i = 0; i < TEXTS; i++)
        KYMO_TRY(
            put_text(r, text_column[i], who->text[i] ? who->text[i] : "", who->bytes[i], err));
    for (uint32_t i = 0; i < POWERS; i++)
        if (who->has_power[i])
            kymo_rows_set(r, KYMO_PROCESS_EUID + i, 0, who->power[i]);
    const struct kymo_batch b = kymo_rows_view(r);
    who->is_written = 1;
    KYMO_TRY(kymo_gather_rows(p->g, &b, NULL, 1, NULL, err));
    return kymo_heldfds_write(p->fds, who->pid, who->start_ns, ts_ns, p->g, err);
}

kymo_status kymo_people_need(struct kymo_people *p, uint64_t pid, uint64_t start_ns,
                             uint64_t ts_ns, struct kymo_err *err)
{
    for (int i = 0; i < ANCESTORS_MAX && pid; i++) {
        struct person *who;
        KYMO_TRY(person(p, pid, start_ns, &who, err));
        if (who->is_needed && (who->is_written || !who->is_known))
            return KYMO_OK;
        who->is_needed = 1;
        if (!who->is_known)
            return KYMO_OK;
        if (!who->is_written)
            KYMO_TRY(write_person(p, who, ts_ns, err));
        KYMO_TRY(kymo_people_need_cgroup(p, who->cgroup, ts_ns, err));
        pid = who->ppid == pid ? 0 : who->ppid;
        start_ns = 0;
    }
    return KYMO_OK;
}

int kymo_people_is_needed(const struct kymo_people *p, uint64_t pid, uint64_t start_ns)
{
    const struct person *who = look(p, pid, start_ns);
    return who && who->is_needed;
}

int kymo_people_knows_exe(const struct kymo_people *p, uint64_t pid, uint64_t start_ns)
{
    const struct person *who = look(p, pid, start_ns);
    return who && who->bytes[EXE];
}

void kymo_people_written(struct kymo_people *p, uint64_t pid, uint64_t start_ns)
{
    struct person *who = person_at(p->slot, p->n_slots, pid);
    if (who->is_used && (!start_ns || !who->start_ns || who->start_ns == start_ns))
        who->is_written = 1;
}
