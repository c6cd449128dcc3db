/* SPDX-License-Identifier: Apache-2.0 */
#include "format/file/window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STEP_BYTES ((size_t)1 << 20)
#define MAGIC_BYTES 4u

void kymo_window_open(struct kymo_window *w, int fd, uint64_t at)
{
    struct stat st;
    *w = (struct kymo_window){.fd = fd, .at = at};
    w->can_seek = !fstat(fd, &st) && S_ISREG(st.st_mode);
}

void kymo_window_close(struct kymo_window *w)
{
    free(w->p);
    w->p = NULL;
}

const uint8_t *kymo_window_bytes(const struct kymo_window *w)
{
    return w->p + w->cursor;
}

/* Room for a step more: what lies behind the cursor is let go first. */
static kymo_status make_room(struct kymo_window *w, struct kymo_err *err)
{
    if (w->cursor) {
        memmove(w->p, w->p + w->cursor, w->n - w->cursor);
        w->n -= w->cursor;
        w->cursor = 0;
    }
    if (w->cap - w->n >= STEP_BYTES)
        return KYMO_OK;
    const size_t cap = w->cap ? w->cap * 2 : STEP_BYTES * 2;
    uint8_t *p = realloc(w->p, cap);
    if (!p)
        return KYMO_FAIL(err, KYMO_ELIMIT, w->at, "out of memory for %zu bytes of the input",
                         cap);
    w->p = p;
    w->cap = cap;
    return KYMO_OK;
}

static kymo_status read_step(struct kymo_window *w, struct kymo_err *err)
{
    ssize_t got;
    const uint64_t from = w->at + (w->n - w->cursor);
    KYMO_TRY(make_room(w, err));
    do
        got = w->can_seek ? pread(w->fd, w->p + w->n, STEP_BYTES, (off_t)from)
                          : read(w->fd, w->p + w->n, STEP_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return KYMO_FAIL(err, KYMO_EINPUT, from, "read: %s", strerror(errno));
    w->n += (size_t)got;
    w->is_at_end = !got;
    return KYMO_OK;
}

kymo_status kymo_window_need(struct kymo_window *w, size_t n, size_t *have,
                             struct kymo_err *err)
{
    while (w->n - w->cursor < n && !w->is_at_end)
        KYMO_TRY(read_step(w, err));
    *have = w->n - w->cursor;
    return KYMO_OK;
}

void kymo_window_skip(struct kymo_window *w, uint64_t n)
{
    const size_t held = w->n - w->cursor;
    if (n <= held) {
        w->cursor += (size_t)n;
    } else {
        w->n = w->cursor = 0;
        w->is_at_end = 0;
    }
    w->at += n;
}

kymo_status kymo_window_find(struct kymo_window *w, struct kymo_err *err)
{
    static const char magic[] = "KCHK";
    size_t have;
    for (;;) {
        KYMO_TRY(kymo_window_need(w, MAGIC_BYTES, &have, err));
        if (have < MAGIC_BYTES) {
            kymo_window_skip(w, have);
            return KYMO_OK;
        }
        const uint8_t *p = kymo_window_bytes(w);
        const uint8_t *k = memchr(p, magic[0], have - MAGIC_BYTES + 1);
        kymo_window_skip(w, k ? (size_t)(k - p) : have - MAGIC_BYTES + 1);
        if (k && !memcmp(k, magic, MAGIC_BYTES))
            return KYMO_OK;
        if (k)
            kymo_window_skip(w, 1);
    }
}

kymo_status kymo_window_header(struct kymo_window *w, struct kymo_chunk_header *h, int *found,
                               struct kymo_err *err)
{
    size_t have;
    KYMO_TRY(kymo_window_need(w, KYMO_CHUNK_HEADER_BYTES, &have, err));
    *found = have >= KYMO_CHUNK_HEADER_BYTES &&
             !kymo_chunk_header_decode(h, kymo_window_bytes(w), w->at, NULL);
    return KYMO_OK;
}
