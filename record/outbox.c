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

#define TABLES_MAX 16u
#define QUEUE_MAX 256u

struct pool {
    const struct kymo_schema *schema;
    struct kymo_rows *free[OUTBOX_SMALL_BUFFERS];
    uint32_t n_free, n_made, cap;
};

struct outbox {
    struct kymo_writer *writer;
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t work, idle;
    struct pool pool[TABLES_MAX];
    uint32_t n_pools;
    struct {
        struct kymo_rows *rows;
        uint32_t flags;
    } queue[QUEUE_MAX];
    uint32_t head, tail; /* tail - head are waiting */
    bool busy, stop;
    uint64_t bytes;
    kymo_status status;
    struct kymo_err err;
};

static void write_rows(struct outbox *o, const struct kymo_rows *rows, uint32_t flags)
{
    const struct kymo_batch b = kymo_rows_view(rows);
    struct kymo_err err = {0};

    if (o->status)
        return; /* the output is gone; keep emptying the queue so that nobody waits */
    const kymo_status s = kymo_writer_put(o->writer, &b, flags, &err);
    pthread_mutex_lock(&o->lock);
    o->bytes = kymo_writer_bytes(o->writer);
    if (s) {
        o->status = s;
        o->err = err;
    }
    pthread_mutex_unlock(&o->lock);
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

static void *writer_main(void *arg)
{
    struct outbox *o = arg;

    pthread_mutex_lock(&o->lock);
    for (;;) {
        while (o->head == o->tail && !o->stop)
            pthread_cond_wait(&o->work, &o->lock);
        if (o->head == o->tail)
            break;
        struct kymo_rows *rows = o->queue[o->head % QUEUE_MAX].rows;
        const uint32_t flags = o->queue[o->head % QUEUE_MAX].flags;
        o->head++;
        o->busy = true;
        pthread_mutex_unlock(&o->lock);
        write_rows(o, rows, flags);
        kymo_rows_clear(rows);
        pthread_mutex_lock(&o->lock);
        struct pool *p = pool_of(o, rows->schema);
        p->free[p->n_free++] = rows;
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

kymo_status outbox_open(struct outbox **out, int fd, const char *name, int zstd_level,
                        uint64_t unit_ns, struct kymo_err *err)
{
    struct outbox *o = calloc(1, sizeof(*o));

    if (!o)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->work, NULL);
    pthread_cond_init(&o->idle, NULL);
    kymo_status s = kymo_writer_open(&o->writer, fd, name, zstd_level, err);
    if (!s)
        kymo_writer_time_unit(o->writer, unit_ns);
    if (!s && start_thread(o))
        s = KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start the writer thread");
    if (s) {
        outbox_close(o);
        return s;
    }
    o->started = true;
    *out = o;
    return KYMO_OK;
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

void outbox_put(struct outbox *o, struct kymo_rows *rows, uint32_t flags)
{
    pthread_mutex_lock(&o->lock);
    while (o->tail - o->head == QUEUE_MAX)
        pthread_cond_wait(&o->idle, &o->lock);
    o->queue[o->tail % QUEUE_MAX].rows = rows;
    o->queue[o->tail % QUEUE_MAX].flags = flags;
    o->tail++;
    pthread_cond_signal(&o->work);
    pthread_mutex_unlock(&o->lock);
}

kymo_status outbox_status(struct outbox *o, struct kymo_err *err)
{
    pthread_mutex_lock(&o->lock);
    const kymo_status s = o->status;
    if (s && err)
        *err = o->err;
    pthread_mutex_unlock(&o->lock);
    return s;
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

kymo_status outbox_finish(struct outbox *o, struct kymo_err *err)
{
    stop_thread(o); /* it leaves only with an empty queue */
    if (o->status) {
        if (err)
            *err = o->err;
        return o->status;
    }
    const kymo_status s = kymo_writer_finish(o->writer, err);
    o->bytes = kymo_writer_bytes(o->writer);
    return s;
}

void outbox_close(struct outbox *o)
{
    if (!o)
        return;
    stop_thread(o);
    for (uint32_t i = 0; i < o->n_pools; i++)
        while (o->pool[i].n_free)
            kymo_rows_close(o->pool[i].free[--o->pool[i].n_free]);
    kymo_writer_close(o->writer);
    pthread_mutex_destroy(&o->lock);
    pthread_cond_destroy(&o->work);
    pthread_cond_destroy(&o->idle);
    free(o);
}
