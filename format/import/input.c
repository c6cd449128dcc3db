/* SPDX-License-Identifier: Apache-2.0
 * The bytes of an input with a window over them: what is peeked at is held, what is skipped is gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef KYMO_HAVE_ZLIB
#include <zlib.h>
#endif

#include "format/base/file.h"
#include "format/import/import.h"

#define STEP_BYTES ((size_t)64 << 10)
#define RAW_BYTES (2 * STEP_BYTES) /* a step behind the first bytes, which come as they like */

struct kymo_input {
    const char *name; /* borrowed */
    int fd;           /* -1: memory */
    struct kymo_bytes memory;
    struct kymo_buf window; /* [at, n) is yet to be taken */
    size_t at;
    uint64_t at_bytes, line_bytes; /* of window.p + at; of the start of the line last taken */
    uint64_t lines;
    bool ended, is_gzip;
#ifdef KYMO_HAVE_ZLIB
    z_stream z;
    bool z_open, z_done;
    uint8_t *raw; /* [RAW_BYTES] */
#endif
};

/* Some bytes of the file itself; 0 at its end. */
static kymo_status read_raw(struct kymo_input *in, uint8_t *to, size_t n, size_t *got,
                            struct kymo_err *err)
{
    if (in->fd < 0) {
        *got = n < in->memory.left ? n : in->memory.left;
        if (*got)
            memcpy(to, in->memory.p, *got);
        in->memory.p += *got;
        in->memory.left -= *got;
        return KYMO_OK;
    }
    for (;;) {
        const ssize_t r = read(in->fd, to, n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return KYMO_FAIL(err, KYMO_EINPUT, in->at_bytes, "cannot read %s: %s", in->name,
                             strerror(errno));
        *got = (size_t)r;
        return KYMO_OK;
    }
}

#ifdef KYMO_HAVE_ZLIB
static kymo_status feed(struct kymo_input *in, struct kymo_err *err)
{
    size_t got;
    KYMO_TRY(read_raw(in, in->raw, STEP_BYTES, &got, err));
    in->z.next_in = in->raw;
    in->z.avail_in = (uInt)got;
    if (!got && !in->z_done)
        return KYMO_FAIL(err, KYMO_ECORRUPT, in->at_bytes,
                         "%s: the gzip data ends in its middle", in->name);
    return KYMO_OK;
}

/* Some unpacked bytes; gzip members may follow one another. */
static kymo_status read_gzip(struct kymo_input *in, uint8_t *to, size_t n, size_t *got,
                             struct kymo_err *err)
{
    in->z.next_out = to;
    in->z.avail_out = (uInt)n;
    while (in->z.avail_out == (uInt)n) {
        if (!in->z.avail_in)
            KYMO_TRY(feed(in, err));
        if (!in->z.avail_in)
            break;
        if (in->z_done && inflateReset(&in->z) != Z_OK)
            return KYMO_FAIL(err, KYMO_ELIMIT, in->at_bytes, "no memory to unpack %s",
                             in->name);
        const int z = inflate(&in->z, Z_NO_FLUSH);
        in->z_done = z == Z_STREAM_END;
        if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR)
            return KYMO_FAIL(err, KYMO_ECORRUPT, in->at_bytes, "%s: bad gzip data: %s",
                             in->name, in->z.msg ? in->z.msg : "no reason given");
    }
    *got = n - in->z.avail_out;
    return KYMO_OK;
}

/* Go on as gzip with what was already read of the file. */
static kymo_status begin_gzip(struct kymo_input *in, struct kymo_err *err)
{
    in->raw = malloc(RAW_BYTES);
    if (!in->raw || inflateInit2(&in->z, 15 + 16) != Z_OK)
        return KYMO_FAIL(err, KYMO_ELIMIT, 0, "no memory to unpack %s", in->name);
    in->z_open = true;
    memcpy(in->raw, in->window.p, in->window.n);
    in->z.next_in = in->raw;
    in->z.avail_in = (uInt)in->window.n;
    kymo_buf_clear(&in->window);
    in->is_gzip = true;
    return KYMO_OK;
}
#else
static kymo_status read_gzip(struct kymo_input *in, uint8_t *to, size_t n, size_t *got,
                             struct kymo_err *err)
{
    return read_raw(in, to, n, got, err);
}

static kymo_status begin_gzip(struct kymo_input *in, struct kymo_err *err)
{
    return KYMO_FAIL(err, KYMO_EINPUT, 0,
                     "%s is packed with gzip, which this build cannot unpack; try gunzip first",
                     in->name);
}
#endif

static kymo_status fill(struct kymo_input *in, struct kymo_err *err)
{
    if (in->at) {
        in->window.n -= in->at;
        memmove(in->window.p, in->window.p + in->at, in->window.n);
        in->at = 0;
    }
    uint8_t *to = kymo_buf_reserve(&in->window, STEP_BYTES);
    size_t got = 0;
    if (!to)
        return KYMO_FAIL(err, KYMO_ELIMIT, in->at_bytes, "no memory for %s", in->name);
    KYMO_TRY(in->is_gzip ? read_gzip(in, to, STEP_BYTES, &got, err)
                         : read_raw(in, to, STEP_BYTES, &got, err));
    in->window.n += got;
    in->ended = !got;
    return KYMO_OK;
}

/* Read enough to know whether this is gzip. */
static kymo_status begin(struct kymo_input *in, struct kymo_err *err)
{
    static const uint8_t gzip[2] = {0x1f, 0x8b};
    while (!in->ended && in->window.n < sizeof(gzip) && in->window.n < STEP_BYTES)
        KYMO_TRY(fill(in, err));
    if (in->window.n < sizeof(gzip) || memcmp(in->window.p, gzip, sizeof(gzip)) != 0)
        return KYMO_OK;
    return begin_gzip(in, err);
}

static kymo_status open_as(struct kymo_input **out, struct kymo_input from,
                           struct kymo_err *err)
{
    struct kymo_input *in = malloc(sizeof(*in));
    if (!in)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    *in = from;
    const kymo_status s = begin(in, err);
    if (s) {
        kymo_input_close(in);
        return s;
    }
    *out = in;
    return KYMO_OK;
}

kymo_status kymo_input_open(struct kymo_input **out, const char *path, struct kymo_err *err)
{
    struct kymo_input from = {.name = path};
    KYMO_TRY(kymo_file_open(&from.fd, path, err));
    return open_as(out, from, err);
}

kymo_status kymo_input_memory(struct kymo_input **out, const void *p, size_t n,
                              const char *name, struct kymo_err *err)
{
    const struct kymo_input from = {.name = name, .fd = -1, .memory = kymo_bytes_view(p, n, 0)};
    return open_as(out, from, err);
}

void kymo_input_close(struct kymo_input *in)
{
    if (!in)
        return;
#ifdef KYMO_HAVE_ZLIB
    if (in->z_open)
        inflateEnd(&in->z);
    free(in->raw);
#endif
    if (in->fd > STDIN_FILENO)
        close(in->fd);
    kymo_buf_release(&in->window);
    free(in);
}

const char *kymo_input_name(const struct kymo_input *in)
{
    return in->name;
}

uint64_t kymo_input_at(const struct kymo_input *in)
{
    return in->at_bytes;
}

uint64_t kymo_input_lines(const struct kymo_input *in)
{
    return in->lines;
}

kymo_status kymo_input_peek(struct kymo_input *in, size_t n, const uint8_t **p, size_t *have,
                            struct kymo_err *err)
{
    if (n > KYMO_IMPORT_LINE_MAX)
        return KYMO_FAIL(err, KYMO_ELIMIT, in->at_bytes,
                         "%s: a record of %zu bytes passes the limit of %zu", in->name, n,
                         KYMO_IMPORT_LINE_MAX);
    while (!in->ended && in->window.n - in->at < n)
        KYMO_TRY(fill(in, err));
    *p = in->window.p + in->at;
    *have = in->window.n - in->at;
    return KYMO_OK;
}

void kymo_input_skip(struct kymo_input *in, size_t n)
{
    in->at += n;
    in->at_bytes += n;
}

kymo_status kymo_input_line(struct kymo_input *in, char **line, size_t *n, struct kymo_err *err)
{
    size_t looked = 0;
    uint8_t *end = NULL;
    for (;;) {
        if (in->window.n - in->at > looked)
            end = memchr(in->window.p + in->at + looked, '\n', in->window.n - in->at - looked);
        if (end || in->ended)
            break;
        looked = in->window.n - in->at;
        if (looked > KYMO_IMPORT_LINE_MAX)
            return KYMO_FAIL(err, KYMO_ELIMIT, in->at_bytes,
                             "line %llu is longer than %zu bytes: is this text?",
                             (unsigned long long)in->lines + 1, KYMO_IMPORT_LINE_MAX);
        KYMO_TRY(fill(in, err));
    }
    if (!end && in->window.n == in->at) {
        *line = NULL;
        return KYMO_OK;
    }
    if (!end && !kymo_buf_reserve(&in->window, 1))
        return KYMO_FAIL(err, KYMO_ELIMIT, in->at_bytes, "no memory for %s", in->name);
    char *start = (char *)in->window.p + in->at;
    const size_t bytes = end ? (size_t)((char *)end - start) : in->window.n - in->at;
    size_t text = bytes;
    while (text && start[text - 1] == '\r')
        text--;
    start[text] = '\0';
    in->lines++;
    in->line_bytes = in->at_bytes;
    if (memchr(start, '\0', text))
        return kymo_input_bad_line(in, err, "a zero byte, this is no text");
    kymo_input_skip(in, bytes + (end != NULL));
    *line = start;
    *n = text;
    return KYMO_OK;
}

void kymo_input_place(struct kymo_input *in, uint64_t line, uint64_t at_bytes)
{
    in->lines = line;
    in->line_bytes = at_bytes;
}

kymo_status kymo_input_bad_line(const struct kymo_input *in, struct kymo_err *err,
                                const char *fmt, ...)
{
    char what[KYMO_ERR_BYTES_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return KYMO_FAIL(err, KYMO_ECORRUPT, in->line_bytes, "line %llu: %s",
                     (unsigned long long)in->lines, what);
}
