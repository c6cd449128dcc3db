/* SPDX-License-Identifier: Apache-2.0
 * tree_own.h: what the tree's files share.
 */
#ifndef KYMO_PLAN_TREE_OWN_H
#define KYMO_PLAN_TREE_OWN_H

#include "replay/plan/compile_own.h"

#define LINKS_MAX 40u /* as the kernel's */

struct way {
    uint32_t slot;     /* of the last name; NONE: the path is a directory itself ("/", "..") */
    uint32_t dir;      /* where it lies, or that directory */
    uint8_t is_lost;   /* a name before it is missing, is no directory, or is too long */
    uint8_t wants_dir; /* ends with a slash */
};

struct pace {
    uint32_t call, steps, links;
    uint8_t found; /* the call found all names but the last */
};

/* ---- tree.c ---- */
KYMO_MUST_USE kymo_status tree_slot_use(struct maker *m, uint32_t who, uint32_t slot,
                                        int writes);
KYMO_MUST_USE kymo_status tree_dir_use(struct maker *m, uint32_t call, uint32_t dir,
                                       int writes);
KYMO_MUST_USE kymo_status tree_be_there(struct maker *m, uint32_t call, uint32_t slot);
KYMO_MUST_USE kymo_status tree_be_absent(struct maker *m, uint32_t call, uint32_t slot);
KYMO_MUST_USE kymo_status tree_make_it(struct maker *m, uint32_t call, uint32_t slot,
                                       uint8_t kind, uint32_t *inode);
void tree_be_kind(struct maker *m, uint32_t inode, uint8_t kind);
KYMO_MUST_USE kymo_status tree_be_link(struct maker *m, uint32_t slot, uint32_t bytes);
KYMO_MUST_USE kymo_status tree_walk_path(struct maker *m, struct pace *p, uint32_t dir,
                                         const char *path, struct way *w);
KYMO_MUST_USE kymo_status tree_cwd_of(struct maker *m, uint32_t proc, uint32_t *dir);
KYMO_MUST_USE kymo_status tree_name_it(struct maker *m, uint32_t slot, uint32_t inode);

#endif
