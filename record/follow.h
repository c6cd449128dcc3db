/* SPDX-License-Identifier: Apache-2.0
 * follow.h: cgroups and containers chosen by name, also those that start later or start again.
 *
 * A cgroup is told by its number, which it gets when it is made. So names are looked up again
 * whenever a cgroup was made anywhere on the host, which the kernel side counts.
 */
#ifndef KYMO_RECORD_FOLLOW_H
#define KYMO_RECORD_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "format/base/err.h"
#include "format/event.h"

struct follow_opts {
    const char *const *cgroups; /* paths below a hierarchy, or absolute */
    size_t n_cgroups;
    const char *const *containers; /* ids, beginnings of ids, or names */
    size_t n_containers;
    bool wait; /* those that are not there yet are awaited */
};

/* Nothing to choose by? */
bool follow_anything(const struct follow_opts *o);
/*
 * What of it is there now.
 *
 * errors  EUSAGE: one is not there and nobody said to wait, or its name fits several
 */
KYMO_MUST_USE kymo_status follow_check(const struct follow_opts *o, struct kymo_err *err);
/* Write the numbers as they are now. Returns whether there are new ones: then tasks are to be judged
 * again. */
bool follow_look(const struct follow_opts *o, struct kymo_live *live);

/* Does a cgroup folder of this name hold this container? Names are those that docker, containerd,
 * podman, CRI-O, runc, LXC and systemd-nspawn give; an id may be cut to six digits or more. */
bool follow_names_container(const char *folder, const char *container);
/* The id of a container that docker or podman know by this name, from their state below root ("" for
 * the host); false when none does or it cannot be read. */
bool follow_id_by_name(const char *root, const char *name, char *id, size_t cap);

#endif
