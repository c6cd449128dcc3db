/* SPDX-License-Identifier: Apache-2.0 */
#include "record/outbox.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "format/trace/chunk.h"
#include "format/trace/writer.h"
#include "record/host.h"
#include "record/kept.h"

#define TABLES_MAX 24u
#define BUSY_QUEUED 8u
#define QUEUE_MAX 256u
#define RINGS_MAX 8192u

enum order { ORDER_ROWS, ORDER_SECOND, ORDER_PART, ORDER_CONTEXT_BEGIN, ORDER_CONTEXT_END };

struct item {
    enum order order;
    struct kymo_rows *rows;
    uint32_t flags;
    uint64_t ts_ns;
};

struct pool {
    const struct kymo_schema *schema;
    struct kymo_rows *free[OUTBOX_SMALL_BUFFERS];
    uint32_t n_free, n_made, cap;
};

/* Rows that a bound of the disk kept out, until the account of their second goes by. */
struct refused {
    uint64_t calls[RINGS_MAX]; /* by ring */
    uint64_t processes, total;
};

struct outbox {
    struct kymo_writer *writer;
    struct rotate *files;
    struct flight *flight;
    struct kept *kept; /* of parts; NULL: there is one file */
    struct refused *refused;
    uint64_t part_bytes, part_ns;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    struct pool pool[TABLES_MAX];
    uint32_t n_pools;
    struct item queue[QUEUE_MAX];
    uint32_t head, tail; /* tail - head are waiting */
    bool busy, stop;
    bool bound, part_ordered;
    uint64_t bytes, open_bytes, part_began_ns;
    kymo_status status;
    struct kymo_err err;
};

/* ---- what a bound of the disk keeps out ------------------------------------------------------- */

static bool is_text(const struct kymo_batch *b, uint32_t column, uint32_t row, const char *text)
{
    uint32_t n;
    const char *s = kymo_batch_str(b, column, row, &n);

    return n == strlen(text) && !memcmp(s, text, n);
}

static void refuse(struct outbox *o, const struct kymo_batch *b)
{
    if (!o->refused && !(o->refused = calloc(1, sizeof(*o->refused))))
        return;
    for (uint32_t i = 0; i < b->n_rows; i++) {
        if (b->schema == &KYMO_TABLE_SYSCALL) {
            const uint64_t cpu = kymo_batch_lane(b, KYMO_SYSCALL_CPU, i);
            o->refused->calls[cpu < RINGS_MAX ? cpu : 0]++;
        } else if (b->schema == &KYMO_TABLE_PROCESS &&
                   !is_text(b, KYMO_PROCESS_KIND, i, "snapshot")) {
            o->refused->processes++;
        } else {
            continue;
        }
        o->refused->total++;
    }
}

/* The account says stored of what was refused behind its back: what one second says of a ring is what was
 * put since the second before, so it can be put right to the row. */
static void correct_account(struct outbox *o, struct kymo_rows *loss)
{
    const struct kymo_batch b = kymo_rows_view(loss);

    for (uint32_t i = 0; o->refused && i < b.n_rows; i++) {
        const uint64_t ring = b.lane[KYMO_LOSS_RING][i], stored = b.lane[KYMO_LOSS_STORED][i];
        uint64_t *debt = is_text(&b, KYMO_LOSS_SOURCE, i, "process") ? &o->refused->processes
                         : is_text(&b, KYMO_LOSS_SOURCE, i, "syscall") && ring < RINGS_MAX
                             ? &o->refused->calls[ring]
                             : NULL;
        if (!debt)
            continue;
        const uint64_t n = *debt < stored ? *debt : stored;
        loss->lane[KYMO_LOSS_STORED][i] -= n;
        loss->lane[KYMO_LOSS_DROPPED_QUEUE][i] += n;
        *debt -= n;
    }
}

/* Tables that come in any amount leave room for those that say what became of them. */
static bool is_bulk(const struct kymo_schema *s)
{
    return s == &KYMO_TABLE_SYSCALL || s == &KYMO_TABLE_PROCESS || s == &KYMO_TABLE_FD ||
           s == &KYMO_TABLE_COUNT || s == &KYMO_TABLE_COUNT_ERROR;
}

static kymo_status write_chunk(struct outbox *o, const struct kymo_batch *b,
                               const struct kymo_encoded *c, struct kymo_err *err)
{
    bool taken;

    KYMO_TRY(
        rotate_put(o->files, c, is_bulk(b->schema) ? rotate_spare(o->files) : 0, &taken, err));
    if (!taken) {
        refuse(o, b);
        pthread_mutex_lock(&o->lock);
        o->bound = true;
        pthread_mutex_unlock(&o->lock);
    }
    return KYMO_OK;
}

/* ---- the writer's thread ---------------------------------------------------------------------- */

static kymo_status write_rows(struct outbox *o, struct kymo_rows *rows, uint32_t flags,
                              struct kymo_err *err)
{
    struct kymo_encoded c;

    if (!rows->n_rows && !flags)
        return KYMO_OK; /* given back */
    if (rows->schema == &KYMO_TABLE_LOSS)
        correct_account(o, rows);
    const struct kymo_batch b = kymo_rows_view(rows);
    if (o->flight)
        KYMO_TRY(flight_look(o->flight, &b, err));
    if (o->kept)
        KYMO_TRY(kept_see(o->kept, &b, err));
    KYMO_TRY(kymo_writer_encode(o->writer, &b, flags, &c, err));
    return o->flight ? flight_keep(o->flight, &c, err) : write_chunk(o, &b, &c, err);
}

static kymo_status next_part(struct outbox *o, struct kymo_err *err)
{
    bool taken = true;

    KYMO_TRY(rotate_end(o->files, err));
    KYMO_TRY(rotate_begin(o->files, err));
    return kept_write(o->kept, o->writer, o->files, &taken, err);
}

static kymo_status obey(struct outbox *o, const struct item *i, struct kymo_err *err)
{
    switch (i->order) {
    case ORDER_ROWS:
        return write_rows(o, i->rows, i->flags, err);
    case ORDER_PART:
        return next_part(o, err);
    case ORDER_SECOND:
        return o->flight ? flight_second(o->flight, i->ts_ns, err) : KYMO_OK;
    default:
        if (o->flight)
            flight_context(o->flight, i->order == ORDER_CONTEXT_BEGIN);
        return KYMO_OK;
    }
}

/* What others may know, after each step. */
static void tell(struct outbox *o, const struct item *i, kymo_status s,
                 const struct kymo_err *err)
{
    o->bytes = rotate_bytes(o->files);
    o->open_bytes = rotate_part_bytes(o->files);
    if (i && i->order == ORDER_PART)
        o->part_ordered = false;
    if (o->flight && flight_bound(o->flight))
        o->bound = true;
    if (s && !o->status) {
        o->status = s;
        o->err = *err;
    }
}

static struct pool *pool_of(struct outbox *o, const struct kymo_schema *schema)
{
    for (uint32_t i = 0; i < o->n_pools; i++)
        if (o->pool[i].schema == schema)
            return &o->pool[i];
    if (o->n_pools == TABLES_MAX)
        return NULL;
    struct pool *p = &o->pool[o->n_pools++];
    p->schema = schema;
    p->cap = schema == &KYMO_TABLE_SYSCALL ? OUTBOX_CALL_BUFFERS : OUTBOX_SMALL_BUFFERS;
    return p;
}

static struct item take_item(struct outbox *o)
{
    const struct item i = o->queue[o->head % QUEUE_MAX];

    o->head++;
    o->busy = true;
    return i;
}

static void give_back(struct outbox *o, struct kymo_rows *rows)
{
    struct pool *p = rows ? pool_of(o, rows->schema) : NULL;

    if (p)
        p->free[p->n_free++] = rows;
}

/* One step, without the lock: an item, then a piece of a dump that is under way; item NULL: a piece alone. */
static kymo_status step(struct outbox *o, const struct item *item, struct kymo_err *err)
{
    if (item && !o->status) /* else the output is gone: empty the queue so that nobody waits */
        KYMO_TRY(obey(o, item, err));
    return o->flight && !o->status ? flight_work(o->flight, err) : KYMO_OK;
}

static void *writer_main(void *arg)
{
    struct outbox *o = arg;

    pthread_mutex_lock(&o->lock);
    for (;;) {
        struct kymo_err err = {0};
        const bool has_work = o->flight && !o->status && flight_has_work(o->flight);
        while (o->head == o->tail && !o->stop && !has_work)
            pthread_cond_wait(&o->work, &o->lock);
        if (o->head == o->tail && o->stop)
            break;
        const bool has_item = o->head != o->tail;
        struct item i = {0};
        if (has_item)
            i = take_item(o);
        pthread_mutex_unlock(&o->lock);
        const kymo_status s = step(o, has_item ? &i : NULL, &err);
        if (i.rows)
            kymo_rows_clear(i.rows);
        pthread_mutex_lock(&o->lock);
        tell(o, has_item ? &i : NULL, s, &err);
        give_back(o, i.rows);
        o->busy = false;
        pthread_cond_broadcast(&o->idle);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* The writer takes no signals: they are the main thread's business. */
static int start_thread(struct outbox *o)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int e = pthread_create(&o->thread, NULL, writer_main, o);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e;
}

static kymo_status open_files(struct outbox *o, const struct outbox_opts *opts,
                              struct kymo_err *err)
{
    KYMO_TRY(kymo_writer_open_idle(&o->writer, opts->zstd_level, err));
    kymo_writer_time_unit(o->writer, opts->unit_ns);
    KYMO_TRY(rotate_open(&o->files, &opts->files, o->writer, err));
    if (opts->files.parts)
        KYMO_TRY(kept_open(&o->kept, err));
    if (opts->flight)
        return flight_open(&o->flight, opts->flight, o->writer, o->files, o->kept, err);
    return KYMO_OK;
}

kymo_status outbox_open_to(struct outbox **out, const struct outbox_opts *opts,
                           struct kymo_err *err)
{
    struct outbox *o = calloc(1, sizeof(*o));

    if (!o)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->work, NULL);
    pthread_cond_init(&o->idle, NULL);
    o->part_bytes = opts->part_bytes;
    o->part_ns = opts->part_ns;
    o->part_began_ns = host_mono_ns();
    const kymo_status s = open_files(o, opts, err);
    if (s) {
        outbox_close(o);
        return s;
    }
    *out = o;
    return KYMO_OK;
}

kymo_status outbox_start(struct outbox *o, struct kymo_err *err)
{
    if (!o->flight)
        KYMO_TRY(rotate_begin(o->files, err));
    if (start_thread(o))
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start the writer thread");
    o->started = true;
    return KYMO_OK;
}

kymo_status outbox_open(struct outbox **out, int fd, const char *name, int zstd_level,
                        uint64_t unit_ns, struct kymo_err *err)
{
    const struct outbox_opts opts = {
        .files = {.path = name, .fd = fd}, .zstd_level = zstd_level, .unit_ns = unit_ns};

    KYMO_TRY(outbox_open_to(out, &opts, err));
    const kymo_status s = outbox_start(*out, err);
    if (s)
        outbox_close(*out);
    return s;
}

struct kymo_rows *outbox_take(struct outbox *o, const struct kymo_schema *schema)
{
    struct kymo_rows *rows = NULL;
    bool make = false;

    pthread_mutex_lock(&o->lock);
    struct pool *p = pool_of(o, schema);
    if (p && p->n_free) {
        rows = p->free[--p->n_free];
    } else if (p && p->n_made < p->cap) {
        p->n_made++;
        make = true;
    }
    pthread_mutex_unlock(&o->lock);
    const uint32_t cap_rows =
        schema == &KYMO_TABLE_SYSCALL ? OUTBOX_CALL_ROWS : OUTBOX_SMALL_ROWS;
    if (make && kymo_rows_open(&rows, schema, cap_rows, NULL)) {
        pthread_mutex_lock(&o->lock);
        p->n_made--;
        pthread_mutex_unlock(&o->lock);
        return NULL;
    }
    return rows;
}

static void enqueue(struct outbox *o, const struct item *i)
{
    pthread_mutex_lock(&o->lock);
    while (o->tail - o->head == QUEUE_MAX)
        pthread_cond_wait(&o->idle, &o->lock);
    o->queue[o->tail % QUEUE_MAX] = *i;
    o->tail++;
    o->part_ordered |= i->order == ORDER_PART;
    pthread_cond_signal(&o->work);
    pthread_mutex_unlock(&o->lock);
}

void outbox_put(struct outbox *o, struct kymo_rows *rows, uint32_t flags)
{
    enqueue(o, &(struct item){.order = ORDER_ROWS, .rows = rows, .flags = flags});
}

void outbox_second(struct outbox *o, uint64_t ts_ns)
{
    if (o->flight)
        enqueue(o, &(struct item){.order = ORDER_SECOND, .ts_ns = ts_ns});
}

bool outbox_part_due(struct outbox *o, uint64_t ts_ns)
{
    pthread_mutex_lock(&o->lock);
    const bool due =
        !o->flight && !o->part_ordered &&
        ((o->part_bytes && o->open_bytes >= o->part_bytes) ||
         (o->part_ns && ts_ns >= o->part_began_ns && ts_ns - o->part_began_ns >= o->part_ns));
    pthread_mutex_unlock(&o->lock);
    return due;
}

void outbox_part(struct outbox *o, uint64_t ts_ns)
{
    o->part_began_ns = ts_ns;
    enqueue(o, &(struct item){.order = ORDER_PART, .ts_ns = ts_ns});
}

void outbox_context(struct outbox *o, bool begins)
{
    if (o->flight)
        enqueue(o, &(struct item){.order = begins ? ORDER_CONTEXT_BEGIN : ORDER_CONTEXT_END});
}

bool outbox_is_busy(struct outbox *o)
{
    pthread_mutex_lock(&o->lock);
    const bool busy = o->tail - o->head >= BUSY_QUEUED;
    pthread_mutex_unlock(&o->lock);
    return busy;
}

kymo_status outbox_status(struct outbox *o, struct kymo_err *err)
{
    pthread_mutex_lock(&o->lock);
    const kymo_status s = o->status;
    if (s && err)
        *err = o->err;
    pthread_mutex_unlock(&o->lock);
    return s ? s : rotate_status(o->files, err);
}

bool outbox_bound(struct outbox *o)
{
    pthread_mutex_lock(&o->lock);
    const bool bound = o->bound;
    pthread_mutex_unlock(&o->lock);
    return bound;
}

uint64_t outbox_bytes(struct outbox *o)
{
    pthread_mutex_lock(&o->lock);
    const uint64_t bytes = o->bytes;
    pthread_mutex_unlock(&o->lock);
    return bytes;
}

static void stop_thread(struct outbox *o)
{
    if (!o->started)
        return;
    pthread_mutex_lock(&o->lock);
    o->stop = true;
    pthread_cond_signal(&o->work);
    pthread_mutex_unlock(&o->lock);
    pthread_join(o->thread, NULL);
    o->started = false;
}

static kymo_status finish_files(struct outbox *o, struct kymo_err *err)
{
    kymo_status s = o->flight ? flight_finish(o->flight, err) : rotate_end(o->files, err);
    const kymo_status synced = rotate_sync(o->files, s ? NULL : err);

    o->bytes = rotate_bytes(o->files);
    return s ? s : synced;
}

kymo_status outbox_finish(struct outbox *o, struct kymo_err *err)
{
    stop_thread(o); /* it leaves only with an empty queue */
    if (o->status) {
        if (err)
            *err = o->err;
        return o->status;
    }
    return finish_files(o, err);
}

void outbox_totals(const struct outbox *o, struct outbox_totals *out)
{
    *out = (struct outbox_totals){.bytes = rotate_bytes(o->files),
                                  .refused = o->refused ? o->refused->total : 0,
                                  .last = rotate_last(o->files)};
    rotate_counts(o->files, &out->files, &out->deleted);
    if (o->flight)
        flight_totals(o->flight, &out->flight);
}

void outbox_close(struct outbox *o)
{
    if (!o)
        return;
    stop_thread(o);
    for (uint32_t i = 0; i < o->n_pools; i++)
        while (o->pool[i].n_free)
            kymo_rows_close(o->pool[i].free[--o->pool[i].n_free]);
    flight_close(o->flight);
    kept_close(o->kept);
    rotate_close(o->files);
    kymo_writer_close(o->writer);
    free(o->refused);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->work);
    pthread_cond_destroy(&o->idle);
    free(o);
}
