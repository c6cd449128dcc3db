/* SPDX-License-Identifier: Apache-2.0
 * fdset.h: which descriptors processes have open, and on what; bounded memory. What was open before
 * the capture is known from snapshots alone, and is not guessed.
 */
#ifndef KYMO_MODEL_FDSET_H
#define KYMO_MODEL_FDSET_H

#include <stddef.h>

#include "format/base/err.h"

#define KYMO_FD_MAX (1 << 17)  /* descriptors above are not followed */
#define KYMO_FD_TEXT_MAX 8192u /* longer names are not known */

enum kymo_fd_kind {
    KYMO_FD_UNKNOWN, /* open, but not on what; or never heard of */
    KYMO_FD_FILE,
    KYMO_FD_SOCKET, /* the name is an address, or "[socket]" */
    KYMO_FD_OTHER,  /* "[pipe]", "[epoll]", ... */
};

/* A name with all who use it. */
struct kymo_fdname {
    uint32_t refs;
    uint32_t n;
    uint64_t serial; /* no two alike */
    enum kymo_fd_kind kind;
    char text[]; /* n bytes and a NUL */
};

struct kymo_fdset;  /* owned: _open, _close */
struct kymo_fdproc; /* a process in it; borrowed until the next call that names a process */

KYMO_MUST_USE kymo_status kymo_fdset_open(struct kymo_fdset **out, size_t cap_bytes,
                                          struct kymo_err *err);
void kymo_fdset_close(struct kymo_fdset *s);
/* Processes whose descriptors were forgotten, oldest first, to stay within the cap. */
uint64_t kymo_fdset_forgotten(const struct kymo_fdset *s);

/* The process of that pid and start; a pid that comes round again begins with nothing known.
 * NULL when out of memory. */
struct kymo_fdproc *kymo_fdset_process(struct kymo_fdset *s, uint64_t pid, uint64_t start_ns);
/* The one that is known of a pid, NULL: none. */
struct kymo_fdproc *kymo_fdset_known(struct kymo_fdset *s, uint64_t pid);
/* A child with what its parent has, as of now; does nothing when the parent is not known. With
 * KYMO_FD_ANY_START the child is whatever process of that pid comes next. */
#define KYMO_FD_ANY_START UINT64_MAX
void kymo_fdset_fork(struct kymo_fdset *s, uint64_t parent_pid, uint64_t pid,
                     uint64_t start_ns);
/* From now on both have one table (CLONE_FILES). */
void kymo_fdset_share(struct kymo_fdset *s, uint64_t parent_pid, uint64_t pid);
void kymo_fdset_exit(struct kymo_fdset *s, uint64_t pid, uint64_t start_ns);
/* Closes what is to be closed on exec, in a table of its own. */
void kymo_fdset_exec(struct kymo_fdset *s, struct kymo_fdproc *p);
/* A table of its own, as it is. */
void kymo_fdset_unshare(struct kymo_fdset *s, struct kymo_fdproc *p);

/* A name; NULL when out of memory or too long. Whoever is handed it owns one reference. */
struct kymo_fdname *kymo_fdset_name(struct kymo_fdset *s, enum kymo_fd_kind kind,
                                    const char *text, size_t n);
void kymo_fdname_drop(struct kymo_fdset *s, struct kymo_fdname *name);

/* What a descriptor is open on; NULL: not known. Borrowed until the set changes. */
struct kymo_fdname *kymo_fdset_get(const struct kymo_fdproc *p, int64_t fd);
/* fd is open on name (borrowed; NULL: on something). */
void kymo_fdset_put(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd,
                    struct kymo_fdname *name, int cloexec);
/* A snapshot says that fd is open on name (borrowed). What a call said stands: it was told in the
 * words of the process, and at the moment. */
void kymo_fdset_tell(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd,
                     struct kymo_fdname *name);
/* It was used, so it is open, on what it was or on something not known. */
void kymo_fdset_used(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd);
/* fd, which stays open, is on name (borrowed) from now on. */
void kymo_fdset_rename(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd,
                       struct kymo_fdname *name);
/* The kernel chose fd as the lowest that was free: those below are open. */
void kymo_fdset_chosen(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t fd);
/* The lowest descriptor that seems free, from `from` on; -1 none. 0, 1 and 2 are taken for open until
 * they are closed. */
int64_t kymo_fdset_lowest(const struct kymo_fdproc *p, int64_t from);
void kymo_fdset_shut(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t first, int64_t last);
void kymo_fdset_cloexec(struct kymo_fdset *s, struct kymo_fdproc *p, int64_t first,
                        int64_t last, int on);

/* The working directory, NULL not known. */
struct kymo_fdname *kymo_fdset_cwd(const struct kymo_fdproc *p);
void kymo_fdset_chdir(struct kymo_fdset *s, struct kymo_fdproc *p, struct kymo_fdname *name);

#endif
