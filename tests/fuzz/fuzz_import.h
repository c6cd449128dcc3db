/* SPDX-License-Identifier: Apache-2.0
 * fuzz_import.h: one importer, from bytes to the last chunk.
 */
#ifndef KYMO_FUZZ_IMPORT_H
#define KYMO_FUZZ_IMPORT_H

#include <fcntl.h>
#include <unistd.h>

#include "format/import/import.h"

#define CHUNK_ROWS 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline kymo_status fuzz_run(const struct kymo_importer *importer, struct kymo_input *in,
                                   struct kymo_sink *sink, uint32_t arch)
{
    const struct kymo_import_opts o = {.arch = arch};
    const char *at;
    KYMO_TRY(kymo_import_run(importer, &in, 1, &o, sink, &at, NULL));
    return kymo_sink_finish(sink, NULL);
}

static inline int fuzz_import(const struct kymo_importer *importer, const uint8_t *data,
                              size_t size, uint32_t arch)
{
    static int fd = -1;
    struct kymo_writer *w = NULL;
    struct kymo_sink *sink = NULL;
    struct kymo_input *in = NULL;
    if (fd < 0)
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (importer->guess)
        (void)importer->guess(data, size);
    if (fd >= 0 && !kymo_input_memory(&in, data, size, "fuzz", NULL) &&
        !kymo_writer_open(&w, fd, "fuzz", 1, NULL) &&
        !kymo_sink_open(&sink, w, CHUNK_ROWS, NULL))
        (void)fuzz_run(importer, in, sink, arch);
    kymo_sink_close(sink);
    kymo_writer_close(w);
    kymo_input_close(in);
    return 0;
}

#endif
