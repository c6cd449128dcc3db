/* SPDX-License-Identifier: Apache-2.0
 * fuzz_vocabulary: any text as what a spec froze. What is taken comes back from its own JSON, knows its
 * own hashes and has weights that are finite.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "format/model/vocabulary.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct kymo_vocabulary *v, struct kymo_arena *arena)
{
    struct kymo_vocabulary *again;
    json_t *j = kymo_vocabulary_json(v);
    if (!j)
        return;
    if (kymo_vocabulary_parse(&again, j, arena, "fuzz", NULL) || again->xxh3 != v->xxh3)
        abort();
    json_decref(j);
    for (size_t i = 0; i < KYMO_GRAMS; i++)
        if (!isfinite(v->idf[i]))
            abort();
    for (int k = 0; k < KYMO_KNOWN_KINDS; k++)
        for (uint32_t i = 0; i < v->known[k].n; i++)
            if (!kymo_is_known(v, (enum kymo_known)k, v->known[k].hash[i]))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kymo_arena arena;
    struct kymo_vocabulary *v;
    json_t *j = NULL;
    kymo_arena_init(&arena, (size_t)16 << 20);
    if (kymo_json_parse(&j, (const char *)data, size, "fuzz", NULL) == KYMO_OK &&
        kymo_vocabulary_parse(&v, j, &arena, "fuzz", NULL) == KYMO_OK)
        use(v, &arena);
    json_decref(j);
    kymo_arena_release(&arena);
    return 0;
}
