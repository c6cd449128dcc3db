/* SPDX-License-Identifier: Apache-2.0 */
#include "format/stat/fileby.h"

#include <stdlib.h>

#define FDS_BYTES_MAX ((size_t)128 << 20)
#define CACHE 4096u

struct kymo_fileby {
    struct kymo_fdtable *table;
    /* Names that come again are not looked up again. */
    struct {
        uint64_t serial;
        uint32_t id;
    } cache[2][CACHE];
};

kymo_status kymo_fileby_open(struct kymo_fileby **out, struct kymo_err *err)
{
    struct kymo_fileby *f = calloc(1, sizeof(*f));
    if (!f)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    const kymo_status s = kymo_fdtable_open(&f->table, FDS_BYTES_MAX, err);
    if (s) {
        free(f);
        return s;
    }
    *out = f;
    return KYMO_OK;
}

void kymo_fileby_close(struct kymo_fileby *f)
{
    if (!f)
        return;
    kymo_fdtable_close(f->table);
    free(f);
}

struct kymo_fdtable *kymo_fileby_table(struct kymo_fileby *f)
{
    return f->table;
}

static kymo_status number_of(struct kymo_fileby *f, int which, struct kymo_by *by,
                             const struct kymo_fd_about *about, uint32_t *id,
                             struct kymo_err *err)
{
    const size_t at = about->serial % CACHE;
    *id = 0;
    if (!about->is_about)
        return KYMO_OK;
    if (about->serial && f->cache[which][at].serial == about->serial) {
        *id = f->cache[which][at].id;
        return KYMO_OK;
    }
    KYMO_TRY(kymo_by_text(by, about->text, about->n, id, err));
    if (about->serial) {
        f->cache[which][at].serial = about->serial;
        f->cache[which][at].id = *id;
    }
    return KYMO_OK;
}

kymo_status kymo_fileby_take(struct kymo_fileby *f, const struct kymo_batch *b,
                             const struct kymo_names *names, struct kymo_by *file,
                             struct kymo_by *addr, struct kymo_err *err)
{
    struct kymo_fd_about of_file, of_addr;
    if (file)
        KYMO_TRY(kymo_by_room(file, b->n_rows, err));
    if (addr)
        KYMO_TRY(kymo_by_room(addr, b->n_rows, err));
    kymo_fdtable_begin(f->table, b, names);
    for (uint32_t row = 0; row < b->n_rows; row++) {
        kymo_fdtable_row(f->table, row, &of_file, &of_addr);
        if (file)
            KYMO_TRY(number_of(f, 0, file, &of_file, &file->id[row], err));
        if (addr)
            KYMO_TRY(number_of(f, 1, addr, &of_addr, &addr->id[row], err));
    }
    return KYMO_OK;
}
