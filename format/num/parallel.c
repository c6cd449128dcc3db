/* SPDX-License-Identifier: Apache-2.0 */
#include "format/num/parallel.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct job {
    atomic_size_t next;
    size_t n_blocks;
    kymo_block_fn fn;
    void *ctx;
};

static void *work(void *arg)
{
    struct job *j = arg;
    for (;;) {
        const size_t b = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
        if (b >= j->n_blocks)
            return NULL;
        j->fn(j->ctx, b);
    }
}

void kymo_parallel(size_t n_blocks, unsigned n_threads, kymo_block_fn fn, void *ctx)
{
    struct job j = {.n_blocks = n_blocks, .fn = fn, .ctx = ctx};
    atomic_init(&j.next, 0);
    pthread_t thread[KYMO_THREADS_MAX];
    unsigned started = 0;
    const unsigned wanted = n_threads > KYMO_THREADS_MAX ? KYMO_THREADS_MAX : n_threads;
    while (started + 1 < wanted && started + 1 < n_blocks &&
           pthread_create(&thread[started], NULL, work, &j) == 0)
        started++;
    work(&j);
    for (unsigned i = 0; i < started; i++)
        pthread_join(thread[i], NULL);
}

unsigned kymo_cpus(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 1)
        return 1;
    return n > (long)KYMO_THREADS_MAX ? KYMO_THREADS_MAX : (unsigned)n;
}
