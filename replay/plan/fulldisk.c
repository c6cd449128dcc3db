/* SPDX-License-Identifier: Apache-2.0
 * fulldisk.c: writes that found no room. Which disk was full, and how full, a capture does not tell; a device
 * that is always full answers the same write in the same way. Processes that need it have it open from
 * the start, under a number that nobody of the slice uses, which execs and children keep.
 */
#include <errno.h>
#include <fcntl.h>

#include "replay/plan/compile_own.h"

#define ROOM_ABOVE 16u

static int found_no_room(const struct maker *m, uint32_t call)
{
    const struct note *n = &m->note[call];
    return m->row[call] && m->row[call]->op == OP_WRITE && has_ret(call_at(m, call)) &&
           call_at(m, call)->ret == -ENOSPC && n->object != NONE &&
           object_at(m, n->object)->kind == O_FILE;
}

static uint32_t number_above_all(const struct maker *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->procs.n; i++)
        n = proc_at(m, i)->n_fds > n ? proc_at(m, i)->n_fds : n;
    return n + ROOM_ABOVE < KYMO_FDS_MAX ? n + ROOM_ABOVE : NONE;
}

static kymo_status give(struct maker *m, uint32_t root)
{
    struct list *starts = &proc_at(m, root)->starts;
    struct start_fd *s;
    for (size_t i = 0; i < starts->n; i++)
        if (AT(*starts, struct start_fd, i)->fd == m->full_fd)
            return KYMO_OK;
    KYMO_TRY(list_add(m, starts, sizeof(*s), &s));
    *s = (struct start_fd){.fd = m->full_fd, .object = m->full_object};
    object_at(m, m->full_object)->refs++;
    return KYMO_OK;
}

kymo_status fulldisk_find(struct maker *m)
{
    m->full_fd = NONE;
    for (uint32_t i = 0; i < m->t->n_calls; i++) {
        if (!found_no_room(m, i))
            continue;
        if (m->full_fd == NONE) {
            m->full_fd = number_above_all(m);
            if (m->full_fd == NONE)
                return KYMO_OK;
            KYMO_TRY(object_new(m, O_FILE, NONE, &m->full_object));
            object_at(m, m->full_object)->is_start = 1;
            object_at(m, m->full_object)->flags = O_WRONLY;
            KYMO_TRY(tree_start_file(m, m->full_object, "/dev/full"));
        }
        KYMO_TRY(give(m, proc_at(m, proc_of_call(m, i))->root));
    }
    return KYMO_OK;
}

int fulldisk_takes(const struct maker *m, uint32_t call)
{
    return m->full_fd != NONE && found_no_room(m, call);
}
