/* SPDX-License-Identifier: Apache-2.0 */
#include "format/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP_BYTES ((size_t)64 << 10)

kymo_status kymo_file_open(int *fd, const char *path, struct kymo_err *err)
{
    if (strcmp(path, "-") == 0) {
        *fd = STDIN_FILENO;
        return KYMO_OK;
    }
    const int f = open(path, O_RDONLY | O_CLOEXEC);
    if (f < 0)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "cannot open %s: %s", path,
                         strerror(errno));
    struct stat st;
    if (fstat(f, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(f);
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE, "%s is a directory, a file is wanted",
                         path);
    }
    *fd = f;
    return KYMO_OK;
}

/* How much to ask for next: a known size in one piece, else a step, and one byte past the cap
 * so that "exactly the cap" and "more" differ. */
static size_t next_step(const struct kymo_buf *b, size_t max_bytes)
{
    const size_t room = max_bytes - b->n;
    return room < READ_STEP_BYTES ? room + 1 : READ_STEP_BYTES;
}

static kymo_status read_all(struct kymo_buf *out, int fd, const char *path, size_t max_bytes,
                            struct kymo_err *err)
{
    for (;;) {
        const size_t step = next_step(out, max_bytes);
        uint8_t *to = kymo_buf_reserve(out, step);
        if (!to)
            return KYMO_FAIL(err, KYMO_ELIMIT, out->n, "no memory for %zu bytes of %s",
                             out->n + step, path);
        const ssize_t got = read(fd, to, step);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return KYMO_FAIL(err, KYMO_EINPUT, out->n, "cannot read %s: %s", path,
                             strerror(errno));
        if (got == 0)
            return KYMO_OK;
        if ((size_t)got > max_bytes - out->n)
            return KYMO_FAIL(err, KYMO_ELIMIT, max_bytes, "%s is longer than %zu bytes", path,
                             max_bytes);
        out->n += (size_t)got;
    }
}

kymo_status kymo_file_read(struct kymo_buf *out, const char *path, size_t max_bytes,
                           struct kymo_err *err)
{
    int fd;
    KYMO_TRY(kymo_file_open(&fd, path, err));
    struct kymo_buf got = {0};
    const kymo_status s = read_all(&got, fd, path, max_bytes, err);
    if (fd != STDIN_FILENO)
        close(fd);
    if (s) {
        kymo_buf_release(&got);
        return s;
    }
    kymo_buf_release(out);
    *out = got;
    return KYMO_OK;
}

kymo_status kymo_file_write(int fd, const void *p, size_t n, const char *name,
                            struct kymo_err *err)
{
    const uint8_t *at = p;
    while (n > 0) {
        const ssize_t put = write(fd, at, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EPIPE)
            return KYMO_FAIL(err, KYMO_EPIPE, KYMO_NOWHERE, "the reader of %s left", name);
        if (put < 0)
            return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write %s: %s", name,
                             strerror(errno));
        at += put;
        n -= (size_t)put;
    }
    return KYMO_OK;
}

/* The mode a plain open(path, O_CREAT, 0666) would give: mkstemp's 0600 would hide results from
 * the people they are made for. */
static mode_t plain_mode(void)
{
    const mode_t mask = umask(0);
    umask(mask);
    return (mode_t)(0666 & ~mask);
}

/* The folder of a path, with its slash; "." where it has none. Owned; NULL when out of memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
}

#define FD_PATH_BYTES 32

/* How a file without a name is reached to be given one. */
static const char *fd_path(int fd, char text[FD_PATH_BYTES])
{
    (void)snprintf(text, FD_PATH_BYTES, "/proc/self/fd/%d", fd);
    return text;
}

/* -1 where this system or file system has no such files. */
static int open_unnamed(const char *path)
{
    int fd = -1;
#ifdef O_TMPFILE
    char text[FD_PATH_BYTES];
    char *folder = folder_of(path);
    if (folder)
        fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    free(folder);
    if (fd >= 0 && access(fd_path(fd, text), F_OK) != 0) {
        close(fd);
        fd = -1;
    }
#else
    (void)path;
#endif
    return fd;
}

/* Its name for the moment before the rename; 0 or an errno. */
static int name_it(int fd, struct kymo_out *o)
{
    char text[FD_PATH_BYTES];
    char *end = o->tmp + strlen(o->tmp) - 6; /* XXXXXX */
    for (unsigned k = 0; k < 1000; k++) {
        (void)snprintf(end, 7, "%06u", ((unsigned)getpid() + k * 7919u) % 1000000u);
        if (!linkat(AT_FDCWD, fd_path(fd, text), AT_FDCWD, o->tmp, AT_SYMLINK_FOLLOW))
            return 0;
        if (errno != EEXIST)
            return errno;
    }
    return EEXIST;
}

kymo_status kymo_out_open(struct kymo_out *o, const char *path, int force, struct kymo_err *err)
{
    struct kymo_out opened = {.fd = STDOUT_FILENO, .path = path};
    if (strcmp(path, "-") == 0) {
        opened.is_stdout = 1;
        *o = opened;
        return KYMO_OK;
    }
    struct stat st;
    const int exists = lstat(path, &st) == 0;
    if (exists && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "%s is a directory", path);
    if (exists && !force)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "%s exists; --force replaces it",
                         path);
    if (exists && !S_ISREG(st.st_mode)) {
        /* A device or a pipe cannot be replaced by a rename: it is written as it is. */
        opened.fd = open(path, O_WRONLY | O_CLOEXEC);
        if (opened.fd < 0)
            return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write %s: %s", path,
                             strerror(errno));
        *o = opened;
        return KYMO_OK;
    }
    const int n = snprintf(opened.tmp, sizeof(opened.tmp), "%s.tmp-XXXXXX", path);
    if (n < 0 || (size_t)n >= sizeof(opened.tmp))
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "the name of the output is too long");
    opened.fd = open_unnamed(path);
    opened.is_unnamed = opened.fd >= 0;
    if (!opened.is_unnamed)
        opened.fd = mkstemp(opened.tmp);
    if (opened.fd < 0)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot create %s: %s", path,
                         strerror(errno));
    (void)fcntl(opened.fd, F_SETFD, FD_CLOEXEC);
    (void)fchmod(opened.fd, plain_mode());
    *o = opened;
    return KYMO_OK;
}

/* Make the rename last: best effort, as some file systems refuse to sync a directory. */
static void sync_folder_of(const char *path)
{
    char *folder = folder_of(path);
    if (!folder)
        return;
    const int fd = open(folder, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

kymo_status kymo_out_commit(struct kymo_out *o, struct kymo_err *err)
{
    if (o->is_stdout)
        return KYMO_OK;
    const int fd = o->fd;
    o->fd = -1;
    const int in_place = o->tmp[0] == '\0';
    int failed = !in_place && fsync(fd) != 0 ? errno : 0;
    if (!failed && o->is_unnamed) {
        failed = name_it(fd, o);
        o->is_unnamed = failed != 0;
    }
    if (close(fd) != 0 && !failed)
        failed = errno;
    if (!failed && !in_place && rename(o->tmp, o->path) != 0)
        failed = errno;
    if (failed) {
        if (!in_place && !o->is_unnamed)
            (void)unlink(o->tmp);
        o->tmp[0] = '\0';
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write %s: %s", o->path,
                         strerror(failed));
    }
    if (!in_place)
        sync_folder_of(o->path);
    o->tmp[0] = '\0';
    return KYMO_OK;
}

void kymo_out_abort(struct kymo_out *o)
{
    if (o->is_stdout || o->fd < 0)
        return;
    close(o->fd);
    o->fd = -1;
    if (o->tmp[0] && !o->is_unnamed)
        (void)unlink(o->tmp);
    o->tmp[0] = '\0';
}
