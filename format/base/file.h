/* SPDX-License-Identifier: Apache-2.0
 * file.h: whole-file read, and output that appears whole or not at all.
 */
#ifndef KYMO_BASE_FILE_H
#define KYMO_BASE_FILE_H

#include "format/base/bytes.h"

/* Open for reading; "-" is stdin (fd 0, not to be closed by name). Directories are refused. */
KYMO_MUST_USE kymo_status kymo_file_open(int *fd, const char *path, struct kymo_err *err);
/* Read a whole file of at most max_bytes into out (owned by the caller's buffer). */
KYMO_MUST_USE kymo_status kymo_file_read(struct kymo_buf *out, const char *path,
                                         size_t max_bytes, struct kymo_err *err);
/* Write all of p[n] to fd: short writes and EINTR are gone on with. EPIPE becomes KYMO_EPIPE,
 * all else KYMO_EOUTPUT. name is for messages. */
KYMO_MUST_USE kymo_status kymo_file_write(int fd, const void *p, size_t n, const char *name,
                                          struct kymo_err *err);

/* An output file that is written beside its name and renamed when complete. Where the system has files
 * without a name, it has none until then, so that nothing is left behind however the program ends.
 * "-" is stdout. An existing path without force is refused (EUSAGE) at open. */
struct kymo_out {
    int fd;
    int is_stdout, is_unnamed;
    const char *path; /* borrowed */
    char tmp[4096 + 32];
};
KYMO_MUST_USE kymo_status kymo_out_open(struct kymo_out *o, const char *path, int force,
                                        struct kymo_err *err);
/* Sync, close, rename. On failure the old file is left as it was. */
KYMO_MUST_USE kymo_status kymo_out_commit(struct kymo_out *o, struct kymo_err *err);
/* Drop what was written; harmless after commit. */
void kymo_out_abort(struct kymo_out *o);

#endif
