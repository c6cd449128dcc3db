/* SPDX-License-Identifier: Apache-2.0
 * rotate.h: the files of a recording. One file or pipe, or parts that follow each other; each is a whole
 * capture. The bounds of the disk are kept here: before a byte is written that would pass one, the oldest
 * part goes, or, where none may, the chunk is refused.
 *
 *     -w cap.kymo  ->  cap.000001.kymo  cap.000002.kymo  ...
 *
 * Parts that earlier recordings left under the same name are counted, numbered on from and, as the oldest,
 * the first to go. Nothing is ever overwritten. One thread at a time.
 */
#ifndef KYMO_RECORD_ROTATE_H
#define KYMO_RECORD_ROTATE_H

#include <stdbool.h>

#include "format/trace/writer.h"
#include "record/hook.h"

struct rotate; /* owned */

struct rotate_opts {
    const char *path;   /* of the one file, for messages; or what the parts are named after */
    int fd;             /* the one file, borrowed; not used for parts */
    bool parts;         /* are there to be parts? */
    uint64_t n_parts;   /* keep this many, the newest; 0: all */
    uint64_t max_bytes; /* of all files together; 0: no bound */
    double min_free;    /* of the disk, 0..1; 0: no bound */
    bool may_delete;    /* the oldest part goes when a bound is met */
    uint64_t sync_ns;   /* fdatasync so often; 0: never */
    struct hook *hook;  /* told of each finished part; NULL: none; borrowed */
};

/* A name in its parts: dir/stem.NUMBERsuffix */
struct rotate_name {
    char dir[4096], stem[256], suffix[16];
};
KYMO_MUST_USE kymo_status rotate_name_split(struct rotate_name *out, const char *path,
                                            struct kymo_err *err);
/* The number of a part's file name, 0 when it is none. */
uint64_t rotate_name_number(const struct rotate_name *n, const char *file);

/* Open the folder and look at what lies there; no part is opened yet. w is borrowed. */
KYMO_MUST_USE kymo_status rotate_open(struct rotate **out, const struct rotate_opts *o,
                                      struct kymo_writer *w, struct kymo_err *err);
/* Begin the one file, or the next part: created anew (O_EXCL, O_NOFOLLOW, 0600). */
KYMO_MUST_USE kymo_status rotate_begin(struct rotate *r, struct kymo_err *err);
/* The END chunk; a part is synced, closed, counted, and handed to the hook. */
KYMO_MUST_USE kymo_status rotate_end(struct rotate *r, struct kymo_err *err);
int rotate_folder(
    const struct rotate *r); /* descriptor of the parts' folder, borrowed; -1: no parts */
/*
 * Write a chunk. spare bytes are left free below the bound of the disk, for what has to come after.
 *
 * taken   out: false when a bound of the disk forbids it; nothing was written then
 */
KYMO_MUST_USE kymo_status rotate_put(struct rotate *r, const struct kymo_encoded *c,
                                     uint64_t spare, bool *taken, struct kymo_err *err);
/* Is there room for this much, after the oldest parts went? */
bool rotate_room(struct rotate *r, uint64_t bytes, bool is_new_file);
/* What is kept free for small chunks, so that the account of what was refused still fits. */
uint64_t rotate_spare(const struct rotate *r);

uint64_t rotate_part_bytes(const struct rotate *r); /* of the open file */
uint64_t rotate_bytes(const struct rotate *r);      /* written since _open, all files */
/* Parts begun and deleted since _open, and the name of the last one begun, "" before it. */
void rotate_counts(const struct rotate *r, uint64_t *begun, uint64_t *deleted);
const char *rotate_last(const struct rotate *r);
/* A failure to sync, or to delete; KYMO_OK while all is well. */
kymo_status rotate_status(struct rotate *r, struct kymo_err *err);

/* Wait until all that was written is on the disk, if it is to be synced at all. */
KYMO_MUST_USE kymo_status rotate_sync(struct rotate *r, struct kymo_err *err);

/* What was not ended stays unfinished; a part in which nothing was written goes. NULL is fine. */
void rotate_close(struct rotate *r);

#endif
