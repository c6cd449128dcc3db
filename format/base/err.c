/* SPDX-License-Identifier: Apache-2.0 */
#include "format/base/err.h"

#include <stdio.h>

void kymo_err_set(struct kymo_err *err, kymo_status code, uint64_t at_bytes, const char *fmt,
                  ...)
{
    if (!err)
        return;
    err->code = code;
    err->at_bytes = at_bytes;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
}

const char *kymo_status_name(kymo_status s)
{
    static const char *const name[] = {
        [KYMO_OK] = "ok",
        [KYMO_EUSAGE] = "bad request",
        [KYMO_EINPUT] = "unreadable input",
        [KYMO_ECORRUPT] = "corrupt input",
        [KYMO_ETORN] = "torn input",
        [KYMO_ELIMIT] = "limit reached",
        [KYMO_EHOST] = "host cannot",
        [KYMO_EOUTPUT] = "output failed",
        [KYMO_EPIPE] = "reader left",
        [KYMO_ESTOPPED] = "stopped",
    };
    const size_t i = (size_t)s;
    return i < sizeof(name) / sizeof(name[0]) ? name[i] : "unknown status";
}
