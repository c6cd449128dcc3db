/* SPDX-License-Identifier: Apache-2.0
 * fuzz_trigger: any text as a trigger; what is taken sees rows and seconds.
 */
#include <stdlib.h>
#include <string.h>

#include "record/trigger.h"
#include "tests/unit/tracegen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct kymo_rows *some_rows(void)
{
    static struct kymo_rows *r;
    struct tracegen g;
    if (r || kymo_rows_open(&r, &KYMO_TABLE_SYSCALL, 64, NULL))
        return r;
    tracegen_init(&g, 1);
    tracegen_begin(r);
    while (!kymo_rows_full(r))
        tracegen_row(&g, r);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char text[TRIGGER_BYTES_MAX + 2];
    struct trigger_hit hit[TRIGGER_MAX];
    struct triggers *t;
    struct kymo_rows *r = some_rows();
    if (!r || n > TRIGGER_BYTES_MAX)
        return 0;
    memcpy(text, data, n);
    text[n] = '\0';
    if (strstr(text, "score:") && strpbrk(text, "-/"))
        return 0; /* a model's file: standard input, or a device */
    const char *const texts[] = {text};
    const struct triggers_opts o = {.text = texts, .n = 1, .disk = -1};
    if (triggers_open(&t, &o, NULL))
        return 0;
    const struct kymo_batch b = kymo_rows_view(r);
    for (uint64_t second = 1; second < 4; second++) {
        kymo_status s;
        if (triggers_look(t, &b, hit, &s, NULL) > 1 ||
            triggers_second(t, second * 1000000000u, hit) > 1)
            abort();
    }
    triggers_close(t);
    return 0;
}
