/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/heldfds.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_FIRST 1024u
#define SLOTS_MAX (1u << 21)
#define HELD_BYTES_MAX ((size_t)256 << 20)

enum { TARGET, LOCAL, PEER, TEXTS };
static const char *const text_name[TEXTS] = {"target", "local", "peer"};

struct fd {
    struct fd *next; /* the one learned before */
    uint64_t fd;
    uint32_t bytes[TEXTS];
    char text[]; /* all three, one behind the other */
};

struct process {
    uint64_t pid, start_ns; /* pid 0: a free slot */
    struct fd *fds;         /* owned, the last learned first */
};

struct kymo_heldfds {
    struct process *slot;
    uint32_t n_slots, n;
    size_t bytes;
    struct kymo_rows *row; /* one on its way */
};

kymo_status kymo_heldfds_open(struct kymo_heldfds **out, struct kymo_err *err)
{
    struct kymo_heldfds *h = calloc(1, sizeof(*h));
    kymo_status s = KYMO_OK;
    if (h) {
        h->n_slots = SLOTS_FIRST;
        h->slot = calloc(h->n_slots, sizeof(*h->slot));
    }
    if (!h || !h->slot)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for open descriptors");
    if (!s)
        s = kymo_rows_open(&h->row, &KYMO_TABLE_FD, 1, err);
    if (s) {
        kymo_heldfds_close(h);
        return s;
    }
    *out = h;
    return KYMO_OK;
}

static size_t bytes_of(const struct fd *f)
{
    return sizeof(*f) + f->bytes[TARGET] + f->bytes[LOCAL] + f->bytes[PEER];
}

static void drop(struct kymo_heldfds *h, struct process *p)
{
    for (struct fd *f; (f = p->fds) != NULL;) {
        p->fds = f->next;
        h->bytes -= bytes_of(f);
        free(f);
    }
}

void kymo_heldfds_close(struct kymo_heldfds *h)
{
    if (!h)
        return;
    for (uint32_t i = 0; h->slot && i < h->n_slots; i++)
        drop(h, &h->slot[i]);
    free(h->slot);
    kymo_rows_close(h->row);
    free(h);
}

/* -------- processes -------- */

static struct process *process_at(struct process *slot, uint32_t n_slots, uint64_t pid,
                                  uint64_t start_ns)
{
    uint32_t i = (uint32_t)((pid ^ start_ns << 20) * 0x9e3779b97f4a7c15u >> 32);
    while (slot[i & (n_slots - 1)].pid &&
           (slot[i & (n_slots - 1)].pid != pid || slot[i & (n_slots - 1)].start_ns != start_ns))
        i++;
    return &slot[i & (n_slots - 1)];
}

/* Half of the slots are taken: those of which nothing is held are freed, and if they were few there
 * will be twice as many. */
static int make_room(struct kymo_heldfds *h)
{
    uint32_t holding = 0;
    if (h->n < h->n_slots / 2)
        return 1;
    for (uint32_t i = 0; i < h->n_slots; i++)
        holding += h->slot[i].fds != NULL;
    const uint32_t n_slots = holding < h->n_slots / 4 ? h->n_slots : h->n_slots * 2;
    struct process *slot = n_slots <= SLOTS_MAX ? calloc(n_slots, sizeof(*slot)) : NULL;
    if (!slot)
        return 0;
    for (uint32_t i = 0; i < h->n_slots; i++)
        if (h->slot[i].fds)
            *process_at(slot, n_slots, h->slot[i].pid, h->slot[i].start_ns) = h->slot[i];
    free(h->slot);
    h->slot = slot;
    h->n_slots = n_slots;
    h->n = holding;
    return 1;
}

/* -------- rows -------- */

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

static struct fd *make_fd(const struct kymo_batch *b, uint32_t row)
{
    const char *s[TEXTS];
    uint32_t n[TEXTS];
    size_t bytes = 0;
    for (int i = 0; i < TEXTS; i++) {
        s[i] = text(b, text_name[i], row, &n[i]);
        bytes += n[i];
    }
    struct fd *f = malloc(sizeof(*f) + bytes);
    if (!f)
        return NULL;
    f->fd = number(b, "fd", row);
    for (size_t i = 0, at = 0; i < TEXTS; at += n[i++]) {
        f->bytes[i] = n[i];
        memcpy(f->text + at, s[i], n[i]);
    }
    return f;
}

void kymo_heldfds_learn(struct kymo_heldfds *h, const struct kymo_batch *b, uint32_t row)
{
    const uint64_t pid = number(b, "pid", row), start = number(b, "start", row);
    if (!pid || !make_room(h))
        return;
    struct process *p = process_at(h->slot, h->n_slots, pid, start);
    h->n += !p->pid;
    p->pid = pid;
    p->start_ns = start;
    /* A snapshot goes through descriptors upwards: where they begin again is the next one. */
    if (p->fds && p->fds->fd >= number(b, "fd", row))
        drop(h, p);
    struct fd *f = h->bytes < HELD_BYTES_MAX ? make_fd(b, row) : NULL;
    if (!f)
        return;
    f->next = p->fds;
    p->fds = f;
    h->bytes += bytes_of(f);
}

void kymo_heldfds_forget(struct kymo_heldfds *h, uint64_t pid, uint64_t start_ns)
{
    if (pid)
        drop(h, process_at(h->slot, h->n_slots, pid, start_ns));
}

/* An empty string where memory ended would be a wrong row. */
static kymo_status fill(struct kymo_rows *r, const struct fd *f, struct kymo_err *err)
{
    size_t at = 0;
    kymo_rows_set(r, KYMO_FD_FD, 0, f->fd);
    for (uint32_t i = 0; i < TEXTS; at += f->bytes[i++]) {
        const uint32_t id = kymo_rows_intern(r, f->text + at, f->bytes[i]);
        if (f->bytes[i] && !id)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                             "out of memory for open descriptors");
        kymo_rows_set(r, KYMO_FD_TARGET + i, 0, id);
    }
    return KYMO_OK;
}

kymo_status kymo_heldfds_write(struct kymo_heldfds *h, uint64_t pid, uint64_t start_ns,
                               uint64_t ts_ns, struct kymo_gather *g, struct kymo_err *err)
{
    struct process *p = pid ? process_at(h->slot, h->n_slots, pid, start_ns) : NULL;
    struct fd *up = NULL;
    kymo_status s = KYMO_OK;
    if (!p || !p->pid)
        return KYMO_OK;
    for (struct fd *f; (f = p->fds) != NULL; up = f) { /* turn them round */
        p->fds = f->next;
        f->next = up;
    }
    p->fds = up;
    for (const struct fd *f = p->fds; f && !s; f = f->next) {
        struct kymo_rows *r = h->row;
        kymo_rows_clear(r);
        kymo_rows_add(r);
        kymo_rows_set(r, KYMO_FD_TS, 0, ts_ns);
        kymo_rows_set(r, KYMO_FD_PID, 0, pid);
        kymo_rows_set(r, KYMO_FD_START, 0, start_ns);
        s = fill(r, f, err);
        const struct kymo_batch b = kymo_rows_view(r);
        if (!s)
            s = kymo_gather_rows(g, &b, NULL, 1, NULL, err);
    }
    drop(h, p);
    return s;
}
