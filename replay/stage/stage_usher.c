/* SPDX-License-Identifier: Apache-2.0
 * stage_usher.c: tells actors whether others sleep. Who wakes a futex or sends a signal must find its man in the
 * kernel: between his saying "I am about to" and his sleep there is a moment that only the kernel's account of
 * tasks shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "replay/stage/stage_inside.h"

#define LOOK_AGAIN_NS 10000

int inside_sleeps(const struct inside *s, uint32_t tid)
{
    char path[32], text[256];

    if (s->proc_fd < 0)
        return -1;
    snprintf(path, sizeof(path), "%u/stat", tid);
    const int fd = openat(s->proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    const ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *state = strrchr(text, ')');
    return !state || !state[1] ? -1 : state[2] == 'S';
}

/* Answer whoever can be answered; how many cannot yet. */
static uint32_t answer_all(struct inside *s)
{
    uint32_t left = 0;

    for (uint32_t a = 1; a < s->n_actors; a++) {
        uint32_t *ask = &s->progress[a].scratch[KYMO_ASK];
        const uint32_t of = __atomic_load_n(ask, __ATOMIC_ACQUIRE);
        if (!of)
            continue;
        if (of <= s->n_actors && inside_sleeps(s, __atomic_load_n(&s->progress[of - 1].tid,
                                                                  __ATOMIC_ACQUIRE)) == 0) {
            left++;
            continue;
        }
        __atomic_store_n(ask, 0, __ATOMIC_SEQ_CST);
        kymo_stage_futex(ask, KYMO_FUTEX_WAKE, 1, NULL);
    }
    return left;
}

static void *usher(void *arg)
{
    struct inside *s = arg;
    const struct timespec again = {0, LOOK_AGAIN_NS};

    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    for (;;) {
        const uint32_t asks = __atomic_load_n(&s->more->asks, __ATOMIC_SEQ_CST);
        if (answer_all(s))
            nanosleep(&again, NULL);
        else
            kymo_stage_futex(&s->more->asks, KYMO_FUTEX_WAIT, asks, NULL);
    }
    return NULL;
}

kymo_status inside_usher(struct inside *s, struct kymo_err *err)
{
    pthread_t thread;
    const int e = pthread_create(&thread, NULL, usher, s);

    if (e)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot make a thread: %s",
                         strerror(e));
    pthread_detach(thread);
    return KYMO_OK;
}
