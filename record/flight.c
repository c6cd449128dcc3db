/* SPDX-License-Identifier: Apache-2.0 */
#include "record/flight.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORK_BYTES (4u << 20)
/* Of the ring's bytes, for context that was evicted. */
#define CONTEXT_PART 8u
#define MARK_BYTES_MAX 255u

/* A chunk in the ring, its bytes behind it. A rest at the ring's end that holds no entry is passed over. */
struct entry {
    uint64_t bytes; /* with this, a multiple of 8 */
    uint64_t ts_ns; /* ends_second: of the seal */
    uint64_t context;
    bool ends_second;
    struct kymo_encoded c; /* c.p is not used: entries do not move, yet their copies do */
};

struct context {
    uint64_t number, bytes;
    struct entry **entry; /* owned */
    size_t n, cap;
};

struct flight {
    struct flight_opts o;
    struct kymo_writer *w;
    struct rotate *files;
    struct kept *kept;
    struct triggers *triggers;
    struct kymo_rows *mark;
    uint8_t *ring;
    uint64_t cap, head, tail; /* positions, ever growing; the place of one is its rest by cap */
    struct entry *last;       /* youngest; NULL: none */
    uint64_t context_number;  /* of the context that is passing by; 0: none */
    uint64_t contexts;
    struct context evicted;
    /* Of the oldest second in the ring the first rows are gone: nothing of it may be written. */
    bool is_headless;
    struct {
        bool is_wanted, is_open;
        uint64_t at, until_ns;
        uint64_t past; /* and at least as far as here, where the trigger was seen */
    } dump;
    bool has_fired, is_bound, said_small;
    uint64_t fired_ns, held_back_since;
    struct flight_totals totals;
};

static void say(const struct flight *f, const char *text)
{
    if (f->o.say)
        f->o.say(text);
}

/* ---- the ring ------------------------------------------------------------------------------- */

/* Where the entry at a position lies: behind the rest of the ring that is too short for one. */
static uint64_t at_entry(const struct flight *f, uint64_t pos)
{
    const uint64_t rest = f->cap - pos % f->cap;

    if (pos == f->tail)
        return pos;
    if (rest < sizeof(struct entry) ||
        !((struct entry *)(void *)(f->ring + pos % f->cap))->bytes)
        return pos + rest;
    return pos;
}

static struct entry *entry_at(const struct flight *f, uint64_t pos)
{
    return (struct entry *)(void *)(f->ring + pos % f->cap);
}

static uint64_t next_of(const struct flight *f, uint64_t pos)
{
    return at_entry(f, pos + entry_at(f, pos)->bytes);
}

/* ---- context that was evicted --------------------------------------------------------------- */

static void forget_context(struct context *c)
{
    while (c->n)
        free(c->entry[--c->n]);
    c->bytes = 0;
}

static kymo_status keep_context(struct flight *f, const struct entry *e, struct kymo_err *err)
{
    struct context *c = &f->evicted;

    if (c->number != e->context)
        forget_context(c);
    c->number = e->context;
    if (c->bytes + e->bytes > f->o.ring_bytes / CONTEXT_PART)
        return KYMO_OK; /* a ring too small for it: a file then knows what its seconds say */
    if (c->n == c->cap) {
        const size_t cap = c->cap ? 2 * c->cap : 16;
        struct entry **entry = realloc(c->entry, cap * sizeof(struct entry *));
        if (!entry)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
        c->entry = entry;
        c->cap = cap;
    }
    struct entry *copy = malloc(e->bytes);
    if (!copy)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    memcpy(copy, e, e->bytes);
    c->entry[c->n++] = copy;
    c->bytes += e->bytes;
    return KYMO_OK;
}

/* ---- dumping -------------------------------------------------------------------------------- */

static kymo_status write_entry(struct flight *f, const struct entry *e, struct kymo_err *err)
{
    struct kymo_encoded c = e->c;

    c.p = (const uint8_t *)(e + 1);
    return kymo_writer_append(f->w, &c, err);
}

static kymo_status end_dump(struct flight *f, struct kymo_err *err)
{
    char text[600];

    f->dump.is_wanted = f->dump.is_open = false;
    KYMO_TRY(rotate_end(f->files, err));
    snprintf(text, sizeof(text), "wrote %.500s", rotate_last(f->files));
    say(f, text);
    return KYMO_OK;
}

static kymo_status stop_at_bound(struct flight *f, struct kymo_err *err)
{
    f->is_bound = true;
    if (f->dump.is_open)
        return end_dump(f, err);
    f->dump.is_wanted = false;
    return KYMO_OK;
}

/* Bytes of the second that begins at a position; whole: is its end there? */
static uint64_t second_bytes(const struct flight *f, uint64_t pos, bool *whole)
{
    uint64_t bytes = 0;

    for (*whole = false; pos != f->tail && !*whole; pos = next_of(f, pos)) {
        bytes += entry_at(f, pos)->bytes;
        *whole = entry_at(f, pos)->ends_second;
    }
    return bytes;
}

/* The file, what every file has to say first, and what was evicted of the last context. */
static kymo_status begin_dump(struct flight *f, struct kymo_err *err)
{
    bool taken;

    KYMO_TRY(rotate_begin(f->files, err));
    f->dump.is_open = true;
    f->dump.at = at_entry(f, f->head);
    KYMO_TRY(kept_write(f->kept, f->w, f->files, &taken, err));
    for (size_t i = 0; i < f->evicted.n; i++)
        KYMO_TRY(write_entry(f, f->evicted.entry[i], err));
    return KYMO_OK;
}

/* The second at the cursor, if it is there as a whole, or if it has to go. */
static kymo_status dump_second(struct flight *f, bool has_to, uint64_t *written,
                               struct kymo_err *err)
{
    bool whole;
    const uint64_t bytes = second_bytes(f, f->dump.at, &whole);
    bool is_over = false;

    if (!bytes || (!whole && !has_to))
        return KYMO_OK;
    if (!rotate_room(f->files, bytes + rotate_spare(f->files), false))
        return stop_at_bound(f, err);
    for (bool is_last = false; !is_last && f->dump.at != f->tail;) {
        const struct entry *e = entry_at(f, f->dump.at);
        KYMO_TRY(write_entry(f, e, err));
        is_last = e->ends_second;
        is_over =
            is_last && e->ts_ns >= f->dump.until_ns && f->dump.at + e->bytes >= f->dump.past;
        f->dump.at = next_of(f, f->dump.at);
    }
    *written += bytes;
    return is_over ? end_dump(f, err) : KYMO_OK;
}

bool flight_has_work(const struct flight *f)
{
    bool whole = false;

    if (!f->dump.is_wanted || f->is_headless)
        return false;
    if (f->dump.is_open)
        second_bytes(f, f->dump.at, &whole);
    return !f->dump.is_open || whole;
}

kymo_status flight_work(struct flight *f, struct kymo_err *err)
{
    uint64_t written = 0;

    if (f->dump.is_wanted && !f->dump.is_open && !f->is_headless) {
        if (!rotate_room(f->files, f->evicted.bytes + rotate_spare(f->files), true))
            return stop_at_bound(f, err);
        KYMO_TRY(begin_dump(f, err));
    }
    for (uint64_t before = UINT64_MAX; f->dump.is_open && written < WORK_BYTES;) {
        if (written == before)
            break;
        before = written;
        KYMO_TRY(dump_second(f, false, &written, err));
    }
    return KYMO_OK;
}

/* ---- making room ---------------------------------------------------------------------------- */

/* The oldest entry goes; a dump that has not come so far takes it along first. */
static kymo_status evict(struct flight *f, bool *ended_second, struct kymo_err *err)
{
    uint64_t written = 0;

    f->head = at_entry(f, f->head);
    while (f->dump.is_open && f->dump.at == f->head)
        KYMO_TRY(dump_second(f, true, &written, err));
    const struct entry *e = entry_at(f, f->head);
    *ended_second = e->ends_second;
    if (e->context)
        KYMO_TRY(keep_context(f, e, err));
    f->head += e->bytes;
    f->head = at_entry(f, f->head);
    if (f->head == f->tail)
        f->last = NULL;
    return KYMO_OK;
}

static void lose_head(struct flight *f)
{
    f->is_headless = true;
    if (!f->said_small && !f->dump.is_open)
        say(f, "the ring is too small for a second of this host: a dump would lack what came "
               "before it");
    f->said_small = true;
}

static kymo_status evict_second(struct flight *f, struct kymo_err *err)
{
    bool ended = false;

    while (!ended && f->head != f->tail)
        KYMO_TRY(evict(f, &ended, err));
    if (!ended)
        lose_head(f);
    return KYMO_OK;
}

kymo_status flight_keep(struct flight *f, const struct kymo_encoded *c, struct kymo_err *err)
{
    const uint64_t bytes = (sizeof(struct entry) + c->n + 7) / 8 * 8;

    if (!c->n)
        return KYMO_OK;
    if (bytes > f->cap / 2) {
        while (f->head != f->tail)
            KYMO_TRY(evict_second(f, err));
        lose_head(f);
        return f->dump.is_open ? kymo_writer_append(f->w, c, err) : KYMO_OK;
    }
    for (;;) {
        const uint64_t rest = f->cap - f->tail % f->cap, pad = rest < bytes ? rest : 0;
        if (f->tail + pad + bytes - f->head <= f->cap) {
            if (pad >= sizeof(struct entry))
                entry_at(f, f->tail)->bytes = 0;
            if (f->head == f->tail)
                f->head += pad;
            if (f->dump.is_open && f->dump.at == f->tail)
                f->dump.at += pad;
            f->tail += pad;
            break;
        }
        KYMO_TRY(evict_second(f, err));
    }
    struct entry *e = entry_at(f, f->tail);
    *e = (struct entry){.bytes = bytes, .context = f->context_number, .c = *c};
    memcpy(e + 1, c->p, c->n);
    f->tail += bytes;
    f->last = e;
    return KYMO_OK;
}

void flight_context(struct flight *f, bool begins)
{
    f->context_number = begins ? ++f->contexts : 0;
}

/* ---- triggers ------------------------------------------------------------------------------- */

static kymo_status keep_mark(struct flight *f, const struct trigger_hit *hit,
                             struct kymo_err *err)
{
    char name[MARK_BYTES_MAX + 64];
    struct kymo_encoded c;

    snprintf(name, sizeof(name), "%.*s", (int)MARK_BYTES_MAX, hit->text);
    if (f->held_back_since)
        snprintf(name + strlen(name), sizeof(name) - strlen(name),
                 " (%" PRIu64 " held back before)", f->held_back_since);
    kymo_rows_clear(f->mark);
    const uint32_t i = kymo_rows_add(f->mark);
    kymo_rows_set(f->mark, KYMO_MARK_TS, i, hit->ts_ns);
    kymo_rows_set_str(f->mark, KYMO_MARK_KIND, i, "trigger", 7);
    kymo_rows_set_str(f->mark, KYMO_MARK_NAME, i, name, strlen(name));
    kymo_rows_set(f->mark, KYMO_MARK_UID, i, (uint64_t)getuid());
    kymo_rows_set(f->mark, KYMO_MARK_PID, i, hit->pid);
    const struct kymo_batch b = kymo_rows_view(f->mark);
    KYMO_TRY(kymo_writer_encode(f->w, &b, 0, &c, err));
    return flight_keep(f, &c, err);
}

/* past: a place in the ring that has to be in the file. */
static void want_dump(struct flight *f, const char *why, uint64_t ts_ns, uint64_t past)
{
    char text[600];

    snprintf(text, sizeof(text), "triggered by %.400s%s", why,
             f->dump.is_wanted ? ", writing on" : "");
    say(f, text);
    f->dump.is_wanted = true;
    f->dump.until_ns = ts_ns + f->o.post_ns;
    f->dump.past = past;
    f->has_fired = true;
    f->fired_ns = ts_ns;
    f->totals.fired++;
}

static kymo_status obey(struct flight *f, const struct trigger_hit *hit, size_t n,
                        struct kymo_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (f->has_fired && hit[i].ts_ns < f->fired_ns + f->o.every_ns) {
            f->totals.held_back++;
            f->held_back_since++;
            continue;
        }
        KYMO_TRY(keep_mark(f, &hit[i], err));
        want_dump(f, hit[i].text, hit[i].ts_ns, f->tail);
        f->held_back_since = 0;
    }
    return KYMO_OK;
}

/* People are not held back. */
static void take_requests(struct flight *f, const struct kymo_batch *b)
{
    char name[MARK_BYTES_MAX + 1];
    uint32_t n;

    for (uint32_t i = 0; i < b->n_rows; i++) {
        const char *kind = kymo_batch_str(b, KYMO_MARK_KIND, i, &n);
        if (n != 7 || memcmp(kind, "trigger", 7) != 0)
            continue;
        const char *s = kymo_batch_str(b, KYMO_MARK_NAME, i, &n);
        snprintf(name, sizeof(name), "%.*s", (int)n, s);
        want_dump(f, name, kymo_batch_lane(b, KYMO_MARK_TS, i), f->tail + 1);
    }
}

kymo_status flight_look(struct flight *f, const struct kymo_batch *b, struct kymo_err *err)
{
    struct trigger_hit hit[TRIGGER_MAX];
    kymo_status s;

    if (b->schema == &KYMO_TABLE_MARK)
        take_requests(f, b);
    const size_t n = triggers_look(f->triggers, b, hit, &s, err);
    KYMO_TRY(s);
    return obey(f, hit, n, err);
}

static kymo_status drop_head(struct flight *f, struct kymo_err *err)
{
    f->is_headless = false;
    while (f->head != f->tail)
        KYMO_TRY(evict_second(f, err));
    f->is_headless = false;
    return KYMO_OK;
}

kymo_status flight_second(struct flight *f, uint64_t ts_ns, struct kymo_err *err)
{
    struct trigger_hit hit[TRIGGER_MAX];

    KYMO_TRY(obey(f, hit, triggers_second(f->triggers, ts_ns, hit), err));
    if (f->last) {
        f->last->ends_second = true;
        f->last->ts_ns = ts_ns;
    }
    if (f->is_headless)
        return drop_head(f, err);
    for (uint64_t pos = at_entry(f, f->head), end; f->o.ring_ns && pos != f->tail; pos = end) {
        const struct entry *e = entry_at(f, pos);
        end = next_of(f, pos);
        if (!e->ends_second)
            continue;
        if (e->ts_ns + f->o.ring_ns >= ts_ns || (f->dump.is_open && f->dump.at < end))
            break;
        KYMO_TRY(evict_second(f, err));
    }
    return KYMO_OK;
}

/* ---- open, close ---------------------------------------------------------------------------- */

bool flight_bound(const struct flight *f)
{
    return f->is_bound;
}

kymo_status flight_finish(struct flight *f, struct kymo_err *err)
{
    uint64_t before = UINT64_MAX, written = 0;

    if (f->last)
        f->last->ends_second = true;
    if (f->is_headless)
        KYMO_TRY(drop_head(f, err));
    KYMO_TRY(flight_work(f, err));
    while (f->dump.is_open && written != before) {
        before = written;
        KYMO_TRY(dump_second(f, true, &written, err));
    }
    return f->dump.is_open ? end_dump(f, err) : KYMO_OK;
}

void flight_totals(const struct flight *f, struct flight_totals *out)
{
    *out = f->totals;
}

kymo_status flight_open(struct flight **out, const struct flight_opts *o, struct kymo_writer *w,
                        struct rotate *files, struct kept *kept, struct kymo_err *err)
{
    struct flight *f = calloc(1, sizeof(*f));

    if (!f)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    f->o = *o;
    if (f->o.triggers.disk < 0)
        f->o.triggers.disk = rotate_folder(files);
    f->o.triggers.say = o->say;
    f->w = w;
    f->files = files;
    f->kept = kept;
    f->cap = (o->ring_bytes - o->ring_bytes / CONTEXT_PART) / 8 * 8;
    void *ring = mmap(NULL, f->cap, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    f->ring = ring == MAP_FAILED ? NULL : ring;
    kymo_status s = KYMO_OK;
    if (!f->ring)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "no memory for a ring of %" PRIu64 " MiB",
                      o->ring_bytes >> 20);
    if (!s)
        s = kymo_rows_open(&f->mark, &KYMO_TABLE_MARK, 1, err);
    if (!s)
        s = triggers_open(&f->triggers, &f->o.triggers, err);
    if (s) {
        flight_close(f);
        return s;
    }
    *out = f;
    return KYMO_OK;
}

void flight_close(struct flight *f)
{
    if (!f)
        return;
    triggers_close(f->triggers);
    forget_context(&f->evicted);
    free(f->evicted.entry);
    kymo_rows_close(f->mark);
    if (f->ring)
        munmap(f->ring, f->cap);
    free(f);
}
