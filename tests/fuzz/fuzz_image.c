/* SPDX-License-Identifier: Apache-2.0
 * fuzz_image: any bytes as a plan file, with length and checksum made right, so that the fuzzer gets behind them.
 * What passes is printed, call by call.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "replay/plan/machine.h"
#include "replay/plan/plan_print.h"

#define INPUT_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void mend(uint8_t *p, size_t n)
{
    struct kymo_image h;
    memcpy(&h, p, sizeof(h));
    h.magic = KYMO_IMAGE_MAGIC;
    h.machine = KYMO_ARCH_HERE;
    h.bytes = n;
    memcpy(p, &h, sizeof(h));
    const size_t from = offsetof(struct kymo_image, machine);
    h.checksum = XXH3_64bits(p + from, n - from);
    memcpy(p, &h, sizeof(h));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < sizeof(struct kymo_image) || n > INPUT_BYTES_MAX)
        return 0;
    uint8_t *p = malloc(n);
    FILE *null = fopen("/dev/null", "we");
    if (p && null) {
        memcpy(p, data, n);
        mend(p, n);
        if (!kymo_image_check(p, n, NULL)) {
            const struct kymo_plan_view v = {.name = "plan",
                                             .image = (const struct kymo_image *)(void *)p};
            kymo_plan_print_calls(&v, null);
            (void)!kymo_plan_print(&v, null, NULL);
        }
    }
    if (null)
        fclose(null);
    free(p);
    return 0;
}
