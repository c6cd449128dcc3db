/* SPDX-License-Identifier: Apache-2.0
 * ahead.c: a ring of slots. Slot k of the file lies at k modulo their number; four counters that
 * only rise say how far each part has come: freed <= taken <= claimed <= submitted.
 */
#include "format/trace/ahead.h"

#include <pthread.h>
#include <stdlib.h>

/* More slots than threads: chunks are of all sizes, and a long one must not keep those behind it waiting. */
#define SPARE_SLOTS 4u

struct kymo_ahead {
    pthread_mutex_t lock;
    pthread_cond_t submitted_one, decoded_one;
    uint64_t submitted, claimed, taken, freed;
    int is_closing, in_call_order;
    struct kymo_slot *slot;
    unsigned n_slots, n_threads;
    pthread_t *thread;
};

kymo_status kymo_slot_open(struct kymo_slot *s, size_t cap_bytes, struct kymo_err *err)
{
    *s = (struct kymo_slot){0};
    kymo_arena_init(&s->arena, cap_bytes / 3 * 2);
    KYMO_TRY(kymo_decoder_open(&s->decoder, err));
    kymo_decoder_scratch(s->decoder)->cap_bytes = cap_bytes / 3;
    return KYMO_OK;
}

void kymo_slot_close(struct kymo_slot *s)
{
    kymo_decoder_close(s->decoder);
    kymo_arena_release(&s->arena);
}

void kymo_slot_decode(struct kymo_slot *s)
{
    s->status = kymo_chunk_decode(s->decoder, s->schema, &s->h, s->body, s->want, &s->arena,
                                  &s->batch, &s->err);
}

static void *decode_slots(void *arg)
{
    struct kymo_ahead *a = arg;
    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (!a->is_closing && a->claimed == a->submitted)
            pthread_cond_wait(&a->submitted_one, &a->lock);
        if (a->is_closing)
            break;
        struct kymo_slot *s = &a->slot[a->claimed++ % a->n_slots];
        pthread_mutex_unlock(&a->lock);
        kymo_slot_decode(s);
        pthread_mutex_lock(&a->lock);
        s->is_done = 1;
        pthread_cond_signal(&a->decoded_one);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static kymo_status open_slots(struct kymo_ahead *a, size_t cap_bytes, struct kymo_err *err)
{
    const unsigned n = 2 * a->n_threads + SPARE_SLOTS;
    a->slot = calloc(n, sizeof(*a->slot));
    if (!a->slot)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u threads",
                         a->n_threads);
    for (; a->n_slots < n; a->n_slots++)
        KYMO_TRY(kymo_slot_open(&a->slot[a->n_slots], cap_bytes, err));
    return KYMO_OK;
}

kymo_status kymo_ahead_open(struct kymo_ahead **out, unsigned n_threads, size_t cap_bytes,
                            struct kymo_err *err)
{
    struct kymo_ahead *a = calloc(1, sizeof(*a));
    if (!a)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for a reader");
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->submitted_one, NULL);
    pthread_cond_init(&a->decoded_one, NULL);
    a->n_threads = n_threads;
    kymo_status s = open_slots(a, cap_bytes, err);
    a->n_threads = 0;
    a->thread = s ? NULL : calloc(n_threads, sizeof(*a->thread));
    if (!s && !a->thread)
        s = KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for %u threads",
                      n_threads);
    for (unsigned i = 0; i < n_threads && !s; i++) {
        if (pthread_create(&a->thread[i], NULL, decode_slots, a))
            s = KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "thread %u of %u cannot be started",
                          i + 1, n_threads);
        a->n_threads += !s;
    }
    if (s) {
        kymo_ahead_close(a);
        return s;
    }
    *out = a;
    return KYMO_OK;
}

void kymo_ahead_close(struct kymo_ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->is_closing = 1;
    pthread_cond_broadcast(&a->submitted_one);
    pthread_mutex_unlock(&a->lock);
    for (unsigned i = 0; i < a->n_threads; i++)
        pthread_join(a->thread[i], NULL);
    for (unsigned i = 0; i < a->n_slots; i++)
        kymo_slot_close(&a->slot[i]);
    pthread_cond_destroy(&a->submitted_one);
    pthread_cond_destroy(&a->decoded_one);
    pthread_mutex_destroy(&a->lock);
    free(a->thread);
    free(a->slot);
    free(a);
}

void kymo_ahead_call_order(struct kymo_ahead *a, int on)
{
    a->in_call_order = on;
}

/* submitted, taken and freed are the reader's own; the lock is for what the threads see. */
struct kymo_slot *kymo_ahead_free(struct kymo_ahead *a)
{
    if (a->submitted - a->freed == a->n_slots)
        return NULL;
    struct kymo_slot *s = &a->slot[a->submitted % a->n_slots];
    kymo_decoder_call_order(s->decoder, a->in_call_order);
    s->is_done = 0;
    return s;
}

void kymo_ahead_submit(struct kymo_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->submitted++;
    pthread_cond_signal(&a->submitted_one);
    pthread_mutex_unlock(&a->lock);
}

struct kymo_slot *kymo_ahead_take(struct kymo_ahead *a)
{
    a->freed = a->taken;
    if (a->taken == a->submitted)
        return NULL;
    struct kymo_slot *s = &a->slot[a->taken++ % a->n_slots];
    pthread_mutex_lock(&a->lock);
    while (!s->is_done)
        pthread_cond_wait(&a->decoded_one, &a->lock);
    pthread_mutex_unlock(&a->lock);
    return s;
}
