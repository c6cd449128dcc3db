/* SPDX-License-Identifier: Apache-2.0 */
#include "record/rotate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "record/host.h"
#include "record/syncer.h"

#define DIGITS 6
#define TRIES_MAX 1000u
/* What the END chunk takes, and a schema that has to stand before a chunk. */
#define END_BYTES 2048u
#define SCHEMA_BYTES 4096u
#define SPARE_BYTES 65536u
#define LOOK_EVERY_NS 1000000000u

struct part {
    uint64_t number, bytes;
};

struct rotate {
    struct rotate_opts o;
    struct rotate_name name;
    struct kymo_writer *w;
    struct syncer *syncer;
    int dirfd, fd;     /* fd: of the open file; -1: none */
    struct part *part; /* finished ones, the oldest first */
    size_t n, cap;
    uint64_t next, number; /* of the next part, of the open one */
    uint64_t older_bytes;  /* of the finished parts that are there */
    uint64_t done_bytes;   /* written since _open to files that are finished */
    uint64_t begun, deleted;
    uint64_t looked_ns;
    bool is_open, is_full; /* is_full: the disk had too little free when looked at last */
    char last[4096 + 300];
};

/* ---- names ---------------------------------------------------------------------------------- */

kymo_status rotate_name_split(struct rotate_name *out, const char *path, struct kymo_err *err)
{
    static const char ending[] = ".kymo";
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    const size_t dir_bytes = slash ? (size_t)(slash - path) + (slash == path) : 1;
    size_t stem_bytes = strlen(base);
    const bool has_ending = stem_bytes > sizeof(ending) - 1 &&
                            !strcmp(base + stem_bytes - (sizeof(ending) - 1), ending);

    stem_bytes -= has_ending ? sizeof(ending) - 1 : 0;
    if (!stem_bytes || stem_bytes > 200 || dir_bytes >= sizeof(out->dir))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE, "no name for parts: '%.80s'", path);
    memcpy(out->dir, slash ? path : ".", dir_bytes);
    out->dir[dir_bytes] = 0;
    memcpy(out->stem, base, stem_bytes);
    out->stem[stem_bytes] = 0;
    memcpy(out->suffix, has_ending ? ending : "", has_ending ? sizeof(ending) : 1);
    return KYMO_OK;
}

uint64_t rotate_name_number(const struct rotate_name *n, const char *file)
{
    const size_t stem = strlen(n->stem);

    if (strncmp(file, n->stem, stem) != 0 || file[stem] != '.')
        return 0;
    const char *digit = file + stem + 1;
    const size_t digits = strspn(digit, "0123456789");
    /* As we write them: six digits, more only where six do not do. */
    if (digits < DIGITS || digits > 18 || (digits > DIGITS && *digit == '0') ||
        strcmp(digit + digits, n->suffix) != 0)
        return 0;
    return strtoull(digit, NULL, 10);
}

static void name_part(const struct rotate *r, uint64_t number, char out[300])
{
    snprintf(out, 300, "%s.%0*" PRIu64 "%s", r->name.stem, DIGITS, number, r->name.suffix);
}

/* ---- what lies there ------------------------------------------------------------------------ */

static kymo_status add_part(struct rotate *r, uint64_t number, uint64_t bytes,
                            struct kymo_err *err)
{
    if (r->n == r->cap) {
        const size_t cap = r->cap ? 2 * r->cap : 16;
        struct part *part = realloc(r->part, cap * sizeof(*part));
        if (!part)
            return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory for parts");
        r->part = part;
        r->cap = cap;
    }
    r->part[r->n++] = (struct part){number, bytes};
    r->older_bytes += bytes;
    return KYMO_OK;
}

static int by_number(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

static kymo_status look_around(struct rotate *r, struct kymo_err *err)
{
    const struct dirent *e;
    struct stat st;
    const int fd = openat(r->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    kymo_status s = KYMO_OK;

    if (!d)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot read the folder %s: %s",
                         r->name.dir, strerror(errno));
    while (!s && (e = readdir(d))) {
        const uint64_t number = rotate_name_number(&r->name, e->d_name);
        if (!number || fstatat(r->dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (number >= r->next)
            r->next = number + 1;
        if (S_ISREG(st.st_mode))
            s = add_part(r, number, (uint64_t)st.st_size, err);
    }
    closedir(d);
    if (r->n)
        qsort(r->part, r->n, sizeof(*r->part), by_number);
    return s;
}

/* ---- room ----------------------------------------------------------------------------------- */

/* Gone is gone, whoever removed it; what cannot be removed goes on to count. */
static bool delete_oldest(struct rotate *r)
{
    char name[300];

    if (!r->n)
        return false;
    name_part(r, r->part[0].number, name);
    if (!host_part_remove(r->dirfd, name) && errno != ENOENT)
        return false;
    r->older_bytes -= r->part[0].bytes;
    memmove(r->part, r->part + 1, --r->n * sizeof(*r->part));
    r->deleted++;
    return true;
}

static bool disk_is_low(const struct rotate *r)
{
    struct statvfs fs;

    return r->o.min_free > 0 && !fstatvfs(r->fd >= 0 ? r->fd : r->dirfd, &fs) && fs.f_blocks &&
           (double)fs.f_bavail / (double)fs.f_blocks < r->o.min_free;
}

bool rotate_room(struct rotate *r, uint64_t bytes, bool is_new_file)
{
    const uint64_t now = host_mono_ns();
    const uint64_t open_bytes = r->is_open ? kymo_writer_bytes(r->w) : 0;

    if (r->o.max_bytes && r->o.may_delete)
        while (r->older_bytes + open_bytes + bytes + END_BYTES > r->o.max_bytes &&
               delete_oldest(r))
            ;
    if (now - r->looked_ns >= LOOK_EVERY_NS || is_new_file) {
        r->looked_ns = now;
        while ((r->is_full = disk_is_low(r)) && r->o.may_delete && delete_oldest(r))
            ;
    }
    return !r->is_full && (!r->o.max_bytes ||
                           r->older_bytes + open_bytes + bytes + END_BYTES <= r->o.max_bytes);
}

uint64_t rotate_spare(const struct rotate *r)
{
    const uint64_t quarter = r->o.max_bytes / 4;

    return r->o.max_bytes ? (quarter < SPARE_BYTES ? quarter : SPARE_BYTES) : 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

/*
 * The one place where a part comes into being: a new private file under a number that nobody had.
 *
 * returns  a descriptor, or -1 and errno
 */
static int rotate_open_part(struct rotate *r, char name[300])
{
    int fd = -1;

    for (unsigned i = 0; i < TRIES_MAX && fd < 0; i++) {
        name_part(r, r->next, name);
        fd = host_part_open(r->dirfd, name);
        if (fd < 0 && errno != EEXIST)
            return -1;
        r->number = r->next++; /* another recorder may write parts of this name as well */
    }
    return fd;
}

kymo_status rotate_begin(struct rotate *r, struct kymo_err *err)
{
    char name[300];

    if (!r->o.parts) {
        r->fd = r->o.fd;
        snprintf(r->last, sizeof(r->last), "%s", r->o.path);
    } else {
        while (r->o.n_parts && r->n + 1 > r->o.n_parts && delete_oldest(r))
            ;
        r->fd = rotate_open_part(r, name);
        if (r->fd < 0)
            return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write %s in %s: %s", name,
                             r->name.dir, strerror(errno));
        if (!strcmp(r->name.dir, ".") && !strchr(r->o.path, '/'))
            snprintf(r->last, sizeof(r->last), "%s", name);
        else
            snprintf(r->last, sizeof(r->last), "%s%s%s", r->name.dir,
                     strcmp(r->name.dir, "/") != 0 ? "/" : "", name);
    }
    r->is_open = true;
    r->begun++;
    if (r->o.sync_ns && !r->syncer)
        KYMO_TRY(syncer_open(&r->syncer, r->o.sync_ns, err));
    if (r->syncer)
        syncer_watch(r->syncer, r->fd, r->o.parts ? r->dirfd : -1);
    return kymo_writer_begin(r->w, r->fd, r->last, err);
}

/* No longer the open file, whatever became of it. */
static kymo_status leave_file(struct rotate *r, struct kymo_err *err)
{
    const uint64_t bytes = kymo_writer_bytes(r->w);
    kymo_status s = KYMO_OK;

    r->is_open = false;
    r->done_bytes += bytes;
    if (r->syncer)
        syncer_watch(r->syncer, -1, -1);
    if (r->o.parts) {
        if (close(r->fd))
            s = KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write %s: %s", r->last,
                          strerror(errno));
        const kymo_status added = add_part(r, r->number, bytes, s ? NULL : err);
        s = s ? s : added;
    }
    r->fd = -1;
    return s;
}

kymo_status rotate_end(struct rotate *r, struct kymo_err *err)
{
    if (!r->is_open)
        return KYMO_OK;
    kymo_status s = kymo_writer_finish(r->w, err);
    const kymo_status left = leave_file(r, s ? NULL : err);
    s = s ? s : left;
    if (!s && r->o.hook)
        hook_run(r->o.hook, r->last);
    return s;
}

int rotate_folder(const struct rotate *r)
{
    return r->dirfd;
}

kymo_status rotate_put(struct rotate *r, const struct kymo_encoded *c, uint64_t spare,
                       bool *taken, struct kymo_err *err)
{
    *taken = true;
    if (!c->n)
        return KYMO_OK;
    if ((r->o.max_bytes || r->o.min_free > 0) &&
        !rotate_room(r, c->n + SCHEMA_BYTES + spare, false)) {
        *taken = false;
        return KYMO_OK;
    }
    return kymo_writer_append(r->w, c, err);
}

/* ---- numbers -------------------------------------------------------------------------------- */

uint64_t rotate_part_bytes(const struct rotate *r)
{
    return r->is_open ? kymo_writer_bytes(r->w) : 0;
}

uint64_t rotate_bytes(const struct rotate *r)
{
    return r->done_bytes + rotate_part_bytes(r);
}

void rotate_counts(const struct rotate *r, uint64_t *begun, uint64_t *deleted)
{
    *begun = r->begun;
    *deleted = r->deleted;
}

const char *rotate_last(const struct rotate *r)
{
    return r->last;
}

kymo_status rotate_status(struct rotate *r, struct kymo_err *err)
{
    return r->syncer ? syncer_status(r->syncer, err) : KYMO_OK;
}

/* ---- open, close ---------------------------------------------------------------------------- */

static kymo_status open_folder(struct rotate *r, struct kymo_err *err)
{
    KYMO_TRY(rotate_name_split(&r->name, r->o.path, err));
    r->dirfd = open(r->name.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->dirfd < 0)
        return KYMO_FAIL(err, KYMO_EOUTPUT, KYMO_NOWHERE, "cannot write to the folder %s: %s",
                         r->name.dir, strerror(errno));
    return look_around(r, err);
}

kymo_status rotate_open(struct rotate **out, const struct rotate_opts *o, struct kymo_writer *w,
                        struct kymo_err *err)
{
    struct rotate *r = calloc(1, sizeof(*r));

    if (!r)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    r->o = *o;
    r->w = w;
    r->dirfd = r->fd = -1;
    r->next = 1;
    kymo_status s = o->parts ? open_folder(r, err) : KYMO_OK;
    if (s) {
        rotate_close(r);
        return s;
    }
    *out = r;
    return KYMO_OK;
}

kymo_status rotate_sync(struct rotate *r, struct kymo_err *err)
{
    const kymo_status s = syncer_close(r->syncer, err);

    r->syncer = NULL;
    return s;
}

void rotate_close(struct rotate *r)
{
    char name[300];

    if (!r)
        return;
    if (r->is_open && r->o.parts) {
        if (kymo_writer_bytes(r->w) <= KYMO_FILE_HEADER_BYTES) {
            name_part(r, r->number, name);
            (void)!host_part_remove(r->dirfd, name);
        }
        close(r->fd);
    }
    (void)!rotate_sync(r, NULL);
    if (r->dirfd >= 0)
        close(r->dirfd);
    free(r->part);
    free(r);
}
