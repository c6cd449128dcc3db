/* SPDX-License-Identifier: Apache-2.0
 * Threads of a log by tid: a hash with linear probing. The dead stay until room is wanted, as their end may be
 * told twice.
 */
#include <stdlib.h>
#include <string.h>

#include "format/import/strace.h"

#define SLOTS_MIN 64u
#define THREADS_MAX 65536u
#define TEXT_BYTES_MAX ((size_t)64 << 20)

static struct kymo_strace_thread *slot_of(const struct kymo_strace_threads *t, uint32_t tid)
{
    uint32_t i = (uint32_t)((tid * 0x9E3779B97F4A7C15ull) >> 32) & (t->slots - 1);
    while (t->slot[i].used && t->slot[i].tid != tid)
        i = (i + 1) & (t->slots - 1);
    return &t->slot[i];
}

void kymo_strace_threads_release(struct kymo_strace_threads *t)
{
    for (uint32_t i = 0; t->n_texts && i < t->slots; i++)
        free(t->slot[i].text);
    free(t->slot);
    memset(t, 0, sizeof(*t));
}

/* Forget the dead; take more room when the living are many. */
static kymo_status make_room(struct kymo_strace_threads *t, struct kymo_err *err)
{
    uint32_t living = 0;
    for (uint32_t i = 0; i < t->slots; i++)
        living += t->slot[i].used && !t->slot[i].gone;
    if (living >= THREADS_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "more than %u threads in one log",
                         THREADS_MAX);
    struct kymo_strace_threads other = *t;
    other.slots = SLOTS_MIN;
    while (other.slots < 4 * (living + 1))
        other.slots *= 2;
    other.n = living;
    other.slot = calloc(other.slots, sizeof(*other.slot));
    if (!other.slot)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    for (uint32_t i = 0; i < t->slots; i++)
        if (t->slot[i].used && !t->slot[i].gone)
            *slot_of(&other, t->slot[i].tid) = t->slot[i];
    free(t->slot);
    *t = other;
    return KYMO_OK;
}

kymo_status kymo_strace_thread_find(struct kymo_strace_threads *t, uint32_t tid,
                                    struct kymo_strace_thread **out, struct kymo_err *err)
{
    struct kymo_strace_thread *h = t->slots ? slot_of(t, tid) : NULL;
    if (!h || !h->used) {
        if (t->n >= t->slots / 2)
            KYMO_TRY(make_room(t, err));
        h = slot_of(t, tid);
        *h = (struct kymo_strace_thread){.tid = tid, .arch = t->arch, .used = true};
        t->n++;
    }
    *out = h;
    return KYMO_OK;
}

void kymo_strace_thread_drop(struct kymo_strace_threads *t, struct kymo_strace_thread *h)
{
    if (!h->text)
        return;
    t->text_bytes -= h->bytes;
    t->n_texts--;
    free(h->text);
    h->text = NULL;
}

kymo_status kymo_strace_thread_keep(struct kymo_strace_threads *t, struct kymo_strace_thread *h,
                                    const char *text, size_t n, uint64_t ts_ns,
                                    struct kymo_err *err)
{
    kymo_strace_thread_drop(t, h);
    if (n > TEXT_BYTES_MAX - t->text_bytes)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE,
                         "unfinished calls of more than %zu bytes", TEXT_BYTES_MAX);
    h->text = malloc(n + 1);
    if (!h->text)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    memcpy(h->text, text, n);
    h->text[n] = '\0';
    h->bytes = n;
    h->ts_ns = ts_ns;
    t->n_texts++;
    t->text_bytes += n;
    return KYMO_OK;
}
