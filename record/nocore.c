/* SPDX-License-Identifier: Apache-2.0 */
#include "record/nocore.h"

#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static struct rlimit before;
static bool is_known;

void nocore_begin(void)
{
    if (!is_known)
        is_known = !getrlimit(RLIMIT_CORE, &before);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    if (is_known)
        (void)setrlimit(RLIMIT_CORE, &none);
    /* The limit does not hold for a core that is piped to a program; this does. */
    (void)prctl(PR_SET_DUMPABLE, 0);
}

void nocore_end(void)
{
    if (is_known)
        (void)setrlimit(RLIMIT_CORE, &before);
}
