/* SPDX-License-Identifier: Apache-2.0 */
#include "format/model/words.h"

#include <math.h>
#include <string.h>

/* Three significant digits with a factor of 1000 taken out. */
static void scaled(char *buf, double v, const char *tail)
{
    static const char *const factor[] = {"", "k", "M", "G", "T"};
    size_t f = 0;
    while (fabs(v) >= 999.5 && f < 4) {
        v /= 1000;
        f++;
    }
    snprintf(buf, KYMO_VALUE_BYTES, "%.3g%s%s", v, factor[f], tail);
}

static void nanoseconds(char *buf, double v)
{
    static const char *const unit[] = {"ns", "us", "ms", "s"};
    size_t u = 0;
    while (fabs(v) >= 999.5 && u < 3) {
        v /= 1000;
        u++;
    }
    snprintf(buf, KYMO_VALUE_BYTES, "%.3g %s", v, unit[u]);
}

const char *kymo_value_text(char *buf, double v, const char *unit)
{
    if (fabs(v) < 5e-4)
        v = 0;
    if (strcmp(unit, "ns") == 0)
        nanoseconds(buf, v);
    else if (strcmp(unit, "1/s") == 0)
        scaled(buf, v, "/s");
    else if (strcmp(unit, "B/s") == 0 || strcmp(unit, "B") == 0)
        scaled(buf, v, unit[1] ? " B/s" : " B");
    else
        snprintf(buf, KYMO_VALUE_BYTES, "%.3g%s%s", v, *unit ? " " : "", unit);
    return buf;
}
