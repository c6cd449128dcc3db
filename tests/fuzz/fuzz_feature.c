/* SPDX-License-Identifier: Apache-2.0
 * fuzz_feature: any bytes as a capture, with checksums made right, into windows of every kind of entity.
 * Whatever its rows say, what comes out is finite and within the bounds of memory.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/model/feature.h"
#include "format/trace/reader.h"
#include "tests/fuzz/mend.h"

#define INPUT_BYTES_MAX (1u << 20)
#define IN_FLIGHT_BYTES_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct kymo_feature_spec spec;

static kymo_status look(void *ctx, const struct kymo_window *w, struct kymo_err *err)
{
    uint64_t *left = ctx;
    for (size_t j = 0; j < spec.d; j++)
        if (!isfinite(w->x[j]) || w->x[j] < 0)
            abort();
    if (!(w->lost >= 0 && w->lost <= 1) || !*w->entity + !w->dur_ns > 1)
        abort();
    return (*left)-- ? KYMO_OK : KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "enough windows");
}

static void featurize(const char *path, enum kymo_by by)
{
    kymo_reader *r = NULL;
    struct kymo_feature_run *run = NULL;
    struct kymo_arena arena;
    struct kymo_vocabulary_fit fit = {0};
    uint64_t windows = 2000;
    kymo_arena_init(&arena, (size_t)16 << 20);
    if (!kymo_feature_spec_init(&spec, 1000000000, 500000000, by, NULL) &&
        !kymo_reader_open(&r, path, (size_t)64 << 20, NULL) && !kymo_feature_ask(r, NULL) &&
        !kymo_feature_open(&run, &spec, 0, &arena, look, &windows, NULL)) {
        struct kymo_capture_facts facts;
        struct kymo_span *span;
        size_t n_spans;
        kymo_feature_bound(run, IN_FLIGHT_BYTES_MAX);
        kymo_feature_learn(run, &fit);
        (void)!kymo_feature_read(r, NULL, run, &facts, &span, &n_spans, NULL);
    }
    kymo_feature_close(run);
    kymo_vocabulary_release(&fit);
    kymo_arena_release(&arena);
    kymo_reader_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char path[] = "/tmp/kymo-fuzz-XXXXXX";
    uint8_t *p = n <= INPUT_BYTES_MAX ? malloc(n + 1) : NULL;
    if (!p)
        return 0;
    memcpy(p, data, n);
    mend(p, n);
    const int fd = mkstemp(path);
    if (fd >= 0 && write(fd, p, n) == (ssize_t)n)
        featurize(path, (enum kymo_by)(n % KYMO_BY_COUNT));
    if (fd >= 0)
        close(fd);
    unlink(path);
    free(p);
    return 0;
}
