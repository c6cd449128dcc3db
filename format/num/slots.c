/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/slots.h"

#include <stdatomic.h>

#include "format/num/parallel.h"

struct job {
    atomic_size_t next;
    size_t n_blocks;
    kymo_slot_fn fn;
    void *ctx;
};

static void work(void *ctx, size_t slot)
{
    struct job *j = ctx;
    for (;;) {
        const size_t b = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
        if (b >= j->n_blocks)
            return;
        j->fn(j->ctx, b, slot);
    }
}

size_t kymo_slots(size_t n_blocks, unsigned n_threads)
{
    const size_t n = n_threads > KYMO_THREADS_MAX ? KYMO_THREADS_MAX : n_threads;
    const size_t most = n_blocks < n ? n_blocks : n;
    return most ? most : 1;
}

void kymo_parallel_slots(size_t n_blocks, unsigned n_threads, kymo_slot_fn fn, void *ctx)
{
    struct job j = {.n_blocks = n_blocks, .fn = fn, .ctx = ctx};
    atomic_init(&j.next, 0);
    const size_t n_slots = kymo_slots(n_blocks, n_threads);
    kymo_parallel(n_slots, (unsigned)n_slots, work, &j);
}
