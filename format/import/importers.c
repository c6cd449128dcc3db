/* SPDX-License-Identifier: Apache-2.0
 * Which importers there are, and how several inputs of one are taken.
 */
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/import/import.h"

static const struct kymo_importer *const all[] = {
    &kymo_import_strace, &kymo_import_sequences, &kymo_import_pcap,     &kymo_import_scap,
    &kymo_import_perf,   &kymo_import_sysdig,    &kymo_import_tetragon, &kymo_import_ctf,
};

const struct kymo_importer *kymo_importer_by_name(const char *name)
{
    for (size_t i = 0; i < KYMO_COUNT_OF(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

const struct kymo_importer *kymo_importer_guess(const uint8_t *p, size_t n)
{
    const struct kymo_importer *found = NULL;
    for (size_t i = 0; i < KYMO_COUNT_OF(all); i++) {
        if (!all[i]->guess || !all[i]->guess(p, n))
            continue;
        if (found)
            return NULL;
        found = all[i];
    }
    return found;
}

struct running {
    void *ctx; /* NULL: at its end */
    uint64_t now_ns;
};

static kymo_status run_all(const struct kymo_importer *importer, struct kymo_input *const *in,
                           struct running *r, size_t n, const char **at, struct kymo_err *err)
{
    for (;;) {
        size_t least = n;
        for (size_t i = 0; i < n; i++)
            if (r[i].ctx && (least == n || r[i].now_ns < r[least].now_ns))
                least = i;
        if (least == n)
            return KYMO_OK;
        int more = 1;
        *at = kymo_input_name(in[least]);
        KYMO_TRY(importer->step(r[least].ctx, &more, &r[least].now_ns, err));
        if (!more) {
            importer->close(r[least].ctx);
            r[least].ctx = NULL;
        }
    }
}

kymo_status kymo_import_run(const struct kymo_importer *importer, struct kymo_input *const *in,
                            size_t n, const struct kymo_import_opts *o, struct kymo_sink *sink,
                            const char **at, struct kymo_err *err)
{
    struct running *r = calloc(n ? n : 1, sizeof(*r));
    kymo_status s = r ? KYMO_OK : KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    for (size_t i = 0; !s && i < n; i++) {
        *at = kymo_input_name(in[i]);
        s = importer->open(&r[i].ctx, in[i], o, sink, err);
    }
    if (!s)
        s = run_all(importer, in, r, n, at, err);
    for (size_t i = 0; r && i < n; i++)
        if (r[i].ctx)
            importer->close(r[i].ctx);
    free(r);
    return s;
}
