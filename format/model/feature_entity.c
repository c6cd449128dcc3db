/* SPDX-License-Identifier: Apache-2.0
 * feature_entity.c: whose a row is. What processes and cgroups there are is told by tables of their own,
 * which a recorder writes before the calls that they explain.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "format/model/feature_run.h"
#include "format/model/place_name.h"

/* Bounds of what a capture can make us hold. */
#define PROCESS_SLOTS (1u << 17) /* a generation; a process has two, half of them are used */
#define EXES_MAX (1u << 16)      /* later ones are not known */
#define CGROUPS_MAX (1u << 16)   /* past it all are forgotten */
#define COMM_SHOWN 64

/* -- texts ------------------------------------------------------------------------------------ */

static uint32_t *text_slot(struct text_set *t, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (t->slots - 1);
    while (t->slot[at] && t->hash[t->slot[at]] != hash)
        at = (at + 1) & (t->slots - 1);
    return &t->slot[at];
}

static int grow_texts(struct text_set *t)
{
    const uint32_t cap = t->cap ? t->cap * 2 : 64, slots = cap * 2;
    char **text = realloc(t->text, cap * sizeof(*text));
    if (text)
        t->text = text;
    uint64_t *hash = text ? realloc(t->hash, cap * sizeof(*hash)) : NULL;
    if (hash)
        t->hash = hash;
    uint32_t *slot = hash ? calloc(slots, sizeof(*slot)) : NULL;
    if (!slot)
        return 0;
    free(t->slot);
    t->slot = slot;
    t->slots = slots;
    t->cap = cap;
    if (!t->n) {
        t->text[0] = NULL;
        t->hash[0] = 0;
        t->n = 1;
    }
    for (uint32_t i = 1; i < t->n; i++)
        *text_slot(t, t->hash[i]) = i;
    return 1;
}

/* The index of a text, which is added; 0: it is empty, or there are too many. */
static uint32_t add_text(struct text_set *t, const char *s, size_t n)
{
    const uint64_t hash = XXH3_64bits(s, n);
    if (!n)
        return 0;
    if (t->slots && *text_slot(t, hash))
        return *text_slot(t, hash);
    if (t->n == t->cap && (t->n >= EXES_MAX || !grow_texts(t)))
        return 0;
    char *copy = strndup(s, n);
    if (!copy)
        return 0;
    t->text[t->n] = copy;
    t->hash[t->n] = hash;
    *text_slot(t, hash) = t->n;
    return t->n++;
}

/* -- processes -------------------------------------------------------------------------------- */

static uint64_t process_key(uint64_t pid, uint64_t start_ns, uint64_t execseq)
{
    const uint64_t k = kymo_mix64(kymo_mix64(kymo_mix64(pid + 1) ^ start_ns) ^ execseq);
    return k + !k;
}

/* The last process of a pid. */
static uint64_t pid_key(uint64_t pid)
{
    const uint64_t k = kymo_mix64(~pid);
    return k + !k;
}

static struct known_process *process_slot(struct known_process *slot, uint64_t key)
{
    uint32_t at = (uint32_t)key & (PROCESS_SLOTS - 1);
    while (slot[at].key && slot[at].key != key)
        at = (at + 1) & (PROCESS_SLOTS - 1);
    return &slot[at];
}

/* Where a key is or goes in the young generation; NULL without memory. */
static struct known_process *young(struct process_map *m, uint64_t key)
{
    if (m->n >= PROCESS_SLOTS / 2) {
        free(m->slot[1]);
        m->slot[1] = m->slot[0];
        m->slot[0] = NULL;
        m->n = 0;
    }
    if (!m->slot[0])
        m->slot[0] = calloc(PROCESS_SLOTS, sizeof(*m->slot[0]));
    if (!m->slot[0])
        return NULL;
    struct known_process *p = process_slot(m->slot[0], key);
    m->n += !p->key;
    return p;
}

static const struct known_process *find_process(struct process_map *m, uint64_t key)
{
    for (int g = 0; g < 2; g++) {
        if (!m->slot[g])
            continue;
        const struct known_process *p = process_slot(m->slot[g], key);
        if (!p->key)
            continue;
        if (g == 0)
            return p;
        const struct known_process old = *p; /* met again: it is young */
        struct known_process *to = young(m, key);
        if (to)
            *to = old;
        return to;
    }
    return NULL;
}

static void put_process(struct process_map *m, const struct known_process *p, uint64_t key)
{
    struct known_process *to = young(m, key);
    if (to) {
        *to = *p;
        to->key = key;
    }
}

static void learn(struct kymo_feature_run *r, const struct who *w, uint32_t exe)
{
    const struct known_process p = {.start_ns = w->start_ns,
                                    .execseq = w->execseq,
                                    .cgroup = w->cgroup,
                                    .comm_hash = XXH3_64bits(w->comm, w->comm_bytes),
                                    .exe = exe};
    put_process(&r->process, &p, process_key(w->pid, w->start_ns, w->execseq));
    put_process(&r->process, &p, pid_key(w->pid));
}

void kymo_entity_learn(struct kymo_feature_run *r, const struct who *w, const char *exe,
                       size_t exe_bytes)
{
    const struct known_process *same =
        find_process(&r->process, process_key(w->pid, w->start_ns, w->execseq));
    const uint32_t was = same ? same->exe : 0;
    const uint32_t now = exe ? add_text(&r->exe, exe, exe_bytes) : 0;
    learn(r, w, now ? now : was);
}

void kymo_entity_fork(struct kymo_feature_run *r, const struct who *w, uint64_t ppid)
{
    const struct known_process *parent = find_process(&r->process, pid_key(ppid));
    learn(r, w, parent ? parent->exe : 0);
}

static uint32_t exe_of(struct kymo_feature_run *r, const struct who *w)
{
    const struct known_process *p =
        find_process(&r->process, process_key(w->pid, w->start_ns, w->execseq));
    return p ? p->exe : 0;
}

/* -- cgroups ---------------------------------------------------------------------------------- */

static struct cgroup_name *cgroup_slot(const struct cgroup_map *m, uint64_t id)
{
    uint32_t at = (uint32_t)kymo_mix64(id) & (m->slots - 1);
    while (m->slot[at].path && m->slot[at].id != id)
        at = (at + 1) & (m->slots - 1);
    return &m->slot[at];
}

static void forget_cgroups(struct cgroup_map *m)
{
    for (uint32_t i = 0; i < m->slots; i++)
        free(m->slot[i].path);
    free(m->slot);
    memset(m, 0, sizeof(*m));
}

static int grow_cgroups(struct cgroup_map *m)
{
    if (m->n >= CGROUPS_MAX)
        forget_cgroups(m);
    struct cgroup_map more = {.slots = m->slots ? m->slots * 2 : 64, .n = m->n};
    more.slot = calloc(more.slots, sizeof(*more.slot));
    if (!more.slot)
        return 0;
    for (uint32_t i = 0; i < m->slots; i++)
        if (m->slot[i].path)
            *cgroup_slot(&more, m->slot[i].id) = m->slot[i];
    free(m->slot);
    *m = more;
    return 1;
}

kymo_status kymo_entity_cgroup(struct kymo_feature_run *r, uint64_t id, const char *path,
                               size_t n, struct kymo_err *err)
{
    struct cgroup_map *m = &r->cgroup;
    char container[KYMO_PLACE_NAME_MAX], pod[KYMO_PLACE_NAME_MAX];
    if (m->n >= m->slots / 2 && !grow_cgroups(m))
        return kymo_feature_no_memory(err);
    char *copy = strndup(path, n);
    if (!copy)
        return kymo_feature_no_memory(err);
    kymo_container_name(copy, strlen(copy), container);
    kymo_pod_name(copy, strlen(copy), pod);
    struct cgroup_name *c = cgroup_slot(m, id);
    m->n += !c->path;
    free(c->path);
    *c = (struct cgroup_name){.id = id,
                              .container = XXH3_64bits(container, strlen(container)),
                              .pod = XXH3_64bits(pod, strlen(pod)),
                              .path = copy};
    return KYMO_OK;
}

static const struct cgroup_name *find_cgroup(const struct kymo_feature_run *r, uint64_t id)
{
    const struct cgroup_name *c = r->cgroup.slots ? cgroup_slot(&r->cgroup, id) : NULL;
    return c && c->path ? c : NULL;
}

/* -- keys and names --------------------------------------------------------------------------- */

static uint64_t unknown_key(void)
{
    return XXH3_64bits(KYMO_PLACE_UNKNOWN, sizeof(KYMO_PLACE_UNKNOWN) - 1);
}

static uint64_t key_of(const struct kymo_feature_run *r, const struct who *w,
                       uint64_t comm_hash)
{
    const struct cgroup_name *c = find_cgroup(r, w->cgroup);
    switch (r->spec->by) {
    case KYMO_BY_CGROUP:
        return w->cgroup;
    case KYMO_BY_CONTAINER:
        return c ? c->container : unknown_key();
    case KYMO_BY_POD:
        return c ? c->pod : unknown_key();
    case KYMO_BY_EXE:
        return w->exe ? r->exe.hash[w->exe] : unknown_key();
    case KYMO_BY_COMM:
        return comm_hash;
    case KYMO_BY_PROCESS:
        return kymo_mix64(kymo_mix64(w->pid) ^ w->start_ns) + w->execseq;
    default:
        return 0;
    }
}

void kymo_entity_key(struct kymo_feature_run *r, struct who *w)
{
    if (r->spec->by == KYMO_BY_EXE)
        w->exe = exe_of(r, w);
    w->key =
        key_of(r, w, r->spec->by == KYMO_BY_COMM ? XXH3_64bits(w->comm, w->comm_bytes) : 0);
}

int kymo_entity_recall(struct kymo_feature_run *r, struct who *w)
{
    const struct known_process *p = find_process(&r->process, pid_key(w->pid));
    if (!p || p->start_ns != w->start_ns)
        return 0;
    w->execseq = p->execseq;
    w->cgroup = p->cgroup;
    w->exe = p->exe;
    w->key = key_of(r, w, p->comm_hash);
    return 1;
}

static void name_place(const struct kymo_feature_run *r, const struct who *w,
                       void (*name)(const char *, size_t, char *), char *out)
{
    const struct cgroup_name *c = find_cgroup(r, w->cgroup);
    name(c ? c->path : "", c ? strlen(c->path) : 0, out);
}

void kymo_entity_name(const struct kymo_feature_run *r, const struct who *w,
                      char out[KYMO_ENTITY_NAME_MAX])
{
    const int comm = w->comm_bytes < COMM_SHOWN ? (int)w->comm_bytes : COMM_SHOWN;
    const struct cgroup_name *c = find_cgroup(r, w->cgroup);
    switch (r->spec->by) {
    case KYMO_BY_CGROUP:
        if (c && *c->path)
            snprintf(out, KYMO_ENTITY_NAME_MAX, "%s", c->path);
        else
            snprintf(out, KYMO_ENTITY_NAME_MAX, "cgroup %" PRIu64, w->cgroup);
        return;
    case KYMO_BY_CONTAINER:
        name_place(r, w, kymo_container_name, out);
        return;
    case KYMO_BY_POD:
        name_place(r, w, kymo_pod_name, out);
        return;
    case KYMO_BY_EXE:
        snprintf(out, KYMO_ENTITY_NAME_MAX, "%s",
                 w->exe ? r->exe.text[w->exe] : KYMO_PLACE_UNKNOWN);
        return;
    case KYMO_BY_COMM:
        snprintf(out, KYMO_ENTITY_NAME_MAX, "%.*s", comm, w->comm);
        return;
    case KYMO_BY_PROCESS:
        snprintf(out, KYMO_ENTITY_NAME_MAX, "%.*s %" PRIu64 ".%" PRIu64 ".%" PRIu64, comm,
                 w->comm, w->pid, w->start_ns, w->execseq);
        return;
    default:
        snprintf(out, KYMO_ENTITY_NAME_MAX, "host");
    }
}

void kymo_entities_release(struct kymo_feature_run *r)
{
    free(r->process.slot[0]);
    free(r->process.slot[1]);
    for (uint32_t i = 1; i < r->exe.n; i++)
        free(r->exe.text[i]);
    free(r->exe.text);
    free(r->exe.hash);
    free(r->exe.slot);
    forget_cgroups(&r->cgroup);
}
