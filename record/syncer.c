/* SPDX-License-Identifier: Apache-2.0 */
#include "record/syncer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Parts that are finished faster than the disk takes them: the oldest are left to the kernel. */
#define LAST_MAX 8u
#define NS_PER_S 1000000000u

struct syncer {
    uint64_t every_ns;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    int fd, dirfd; /* watched; -1: none */
    int last[LAST_MAX];
    uint32_t n_last;
    bool stop;
    kymo_status status;
    struct kymo_err err;
};

/* A pipe or a device has nothing to sync, and says EINVAL. */
static void sync_fd(struct syncer *s, int fd)
{
    if (!fdatasync(fd) || errno == EINVAL || errno == EROFS)
        return;
    const int e = errno;
    pthread_mutex_lock(&s->lock);
    if (!s->status)
        s->status = KYMO_FAIL(&s->err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot sync the output: %s",
                              strerror(e));
    pthread_mutex_unlock(&s->lock);
}

static void sync_and_close(struct syncer *s, int fd)
{
    if (fd < 0)
        return;
    sync_fd(s, fd);
    close(fd);
}

/* One round, with the lock given up while the disk works. */
static void sync_round(struct syncer *s)
{
    int last[LAST_MAX];
    const uint32_t n = s->n_last;
    const int fd = s->fd >= 0 ? fcntl(s->fd, F_DUPFD_CLOEXEC, 0) : -1, dirfd = s->dirfd;

    memcpy(last, s->last, sizeof(last));
    s->n_last = 0;
    s->dirfd = -1;
    pthread_mutex_unlock(&s->lock);
    for (uint32_t i = 0; i < n; i++)
        sync_and_close(s, last[i]);
    sync_and_close(s, fd);
    if (dirfd >= 0) {
        (void)fsync(dirfd); /* not every file system can */
        close(dirfd);
    }
    pthread_mutex_lock(&s->lock);
}

static void *syncer_main(void *arg)
{
    struct syncer *s = arg;
    struct timespec until;

    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        const uint64_t ns = (uint64_t)until.tv_nsec + s->every_ns;
        until.tv_sec += (time_t)(ns / NS_PER_S);
        until.tv_nsec = (long)(ns % NS_PER_S);
        while (!s->stop && !s->n_last &&
               pthread_cond_timedwait(&s->work, &s->lock, &until) != ETIMEDOUT)
            ;
        sync_round(s);
    }
    sync_round(s); /* what came while the disk worked */
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

static int start_thread(struct syncer *s)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int e = pthread_create(&s->thread, NULL, syncer_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return e;
}

kymo_status syncer_open(struct syncer **out, uint64_t every_ns, struct kymo_err *err)
{
    pthread_condattr_t attr;
    struct syncer *s = calloc(1, sizeof(*s));

    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    s->every_ns = every_ns;
    s->fd = s->dirfd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->work, &attr);
    pthread_condattr_destroy(&attr);
    if (start_thread(s)) {
        free(s);
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot start the syncing thread");
    }
    *out = s;
    return KYMO_OK;
}

void syncer_watch(struct syncer *s, int fd, int dirfd)
{
    pthread_mutex_lock(&s->lock);
    if (s->fd >= 0 && s->n_last == LAST_MAX) {
        close(s->last[0]);
        memmove(s->last, s->last + 1, (LAST_MAX - 1) * sizeof(s->last[0]));
        s->n_last--;
    }
    if (s->fd >= 0)
        s->last[s->n_last++] = s->fd;
    s->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (dirfd >= 0 && s->dirfd < 0)
        s->dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
}

kymo_status syncer_status(struct syncer *s, struct kymo_err *err)
{
    pthread_mutex_lock(&s->lock);
    const kymo_status status = s->status;
    if (status && err)
        *err = s->err;
    pthread_mutex_unlock(&s->lock);
    return status;
}

kymo_status syncer_close(struct syncer *s, struct kymo_err *err)
{
    if (!s)
        return KYMO_OK;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    const kymo_status status = syncer_status(s, err);
    if (s->fd >= 0)
        close(s->fd);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->work);
    free(s);
    return status;
}
