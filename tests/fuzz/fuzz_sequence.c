/* SPDX-License-Identifier: Apache-2.0
 * fuzz_sequence.c: a model's section of sequences, as JSON; what is let in has to be fit to generate from.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "replay/synth/synth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct kymo_behaviour *b, const struct kymo_symbols *s)
{
    const struct kymo_synth_opts o = {.duration_ns = 50000000, .seed = 1, .calls_max = 2000};
    struct kymo_synth_stats t;
    const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        abort();
    if (kymo_synth(b, s, &o, fd, "fuzz", &t, NULL) == KYMO_OK && t.calls > o.calls_max)
        abort();
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *j = NULL;
    struct kymo_symbols s;
    struct kymo_behaviour b = {0};
    if (kymo_json_parse(&j, (const char *)data, size, "fuzz", NULL) != KYMO_OK)
        return 0;
    if (kymo_symbols_init(&s, NULL) == KYMO_OK) {
        if (kymo_sequence_parse(&b, &s, j, 0, "fuzz", NULL) == KYMO_OK &&
            kymo_behaviour_prune(&b, (size_t)64 << 10, NULL) == KYMO_OK)
            use(&b, &s);
        kymo_behaviour_release(&b);
        kymo_symbols_release(&s);
    }
    json_decref(j);
    return 0;
}
