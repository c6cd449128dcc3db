/* SPDX-License-Identifier: Apache-2.0 */
#include "record/callset.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "format/trace/sysname.h"
#include "record/host.h"

#define WORD_MAX 64u

static bool mark_class(uint8_t *set, uint32_t arch, const char *name, uint8_t value)
{
    bool any = false;

    for (uint32_t nr = 0; nr < KYMO_CALLS_MAX; nr++) {
        const struct kymo_sysinfo *i = kymo_sysinfo(arch, nr);
        if (i && !strcmp(kymo_class_name((enum kymo_class)i->cls), name)) {
            set[nr] = value;
            any = true;
        }
    }
    return any;
}

static bool mark_name(uint8_t *set, uint32_t arch, const char *name, uint8_t value)
{
    const int nr = kymo_sysnr(arch, name);

    if (nr < 0 || nr >= (int)KYMO_CALLS_MAX)
        return false;
    set[nr] = value;
    return true;
}

static bool mark_word(struct callset *s, const char *word, uint8_t value)
{
    const bool cls = *word == '@';
    bool (*const mark)(uint8_t *, uint32_t, const char *, uint8_t) =
        cls ? mark_class : mark_name;
    const bool native = mark(s->native, host_arch(), word + cls, value);
    const bool compat = mark(s->compat, host_arch_compat(), word + cls, value);

    return native || compat;
}

kymo_status callset_parse(struct callset *out, const char *text, struct kymo_err *err)
{
    const bool except = text && *text == '!';
    char word[WORD_MAX];
    struct callset s;

    memset(&s, !text || except, sizeof(s));
    for (const char *p = text ? text + except : ""; *p;) {
        const size_t n = strcspn(p, ",");
        snprintf(word, sizeof(word), "%.*s", (int)(n < sizeof(word) ? n : sizeof(word) - 1), p);
        if (!mark_word(&s, word, !except))
            return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                             "--syscalls: '%s' is no system call here, nor a class like @net",
                             word);
        p += n + (p[n] == ',');
    }
    *out = s;
    return KYMO_OK;
}
