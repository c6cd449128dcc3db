/* SPDX-License-Identifier: Apache-2.0 */
#include "format/anonymize/policy.h"

#include <string.h>

#include "format/anonymize/rewrite.h"
#include "format/base/size.h"

/* "*" is any table */
static const struct {
    const char *table, *column;
    enum kymo_treat treat;
} rules[] = {
    {"syscall", "comm", KYMO_TREAT_WORD},  {"syscall", "path", KYMO_TREAT_PATH},
    {"syscall", "path2", KYMO_TREAT_PATH}, {"syscall", "addr", KYMO_TREAT_ADDRESS},
    {"syscall", "arg0", KYMO_TREAT_ARG},   {"syscall", "arg1", KYMO_TREAT_ARG},
    {"syscall", "arg2", KYMO_TREAT_ARG},   {"syscall", "arg3", KYMO_TREAT_ARG},
    {"syscall", "arg4", KYMO_TREAT_ARG},   {"syscall", "arg5", KYMO_TREAT_ARG},
    {"syscall", "ret", KYMO_TREAT_RET},    {"process", "kind", KYMO_TREAT_TERM},
    {"process", "comm", KYMO_TREAT_WORD},  {"process", "exe", KYMO_TREAT_PATH},
    {"process", "argv", KYMO_TREAT_TEXT},  {"cgroup", "path", KYMO_TREAT_PATH},
    {"mark", "kind", KYMO_TREAT_TERM},     {"loss", "source", KYMO_TREAT_TERM},
    {"context", "key", KYMO_TREAT_TERM},   {"context", "value", KYMO_TREAT_FACT},
    {"redact", "rule", KYMO_TREAT_TERM},   {"sysname", "name", KYMO_TREAT_CALL},
    {"packet", "src", KYMO_TREAT_HOST},    {"packet", "dst", KYMO_TREAT_HOST},
    {"*", "comm", KYMO_TREAT_WORD},        {"*", "path", KYMO_TREAT_PATH},
    {"*", "exe", KYMO_TREAT_PATH},         {"*", "addr", KYMO_TREAT_ADDRESS},
    {"*", "uid", KYMO_TREAT_ID},           {"*", "gid", KYMO_TREAT_ID},
    {"*", "euid", KYMO_TREAT_ID},          {"*", "egid", KYMO_TREAT_ID},
    {"process", "cwd", KYMO_TREAT_PATH},   {"fd", "target", KYMO_TREAT_PATH},
    {"fd", "local", KYMO_TREAT_ADDRESS},   {"fd", "peer", KYMO_TREAT_ADDRESS},
};

static int is_text(enum kymo_treat t)
{
    return t <= KYMO_TREAT_FACT;
}

enum kymo_treat kymo_treat_of(const char *table, const struct kymo_column_def *column,
                              int hides_all)
{
    const int has_text = column->type == KYMO_T_STR;
    if (!strcmp(table, "mark") && !strcmp(column->name, "name"))
        return hides_all ? KYMO_TREAT_WORD : KYMO_TREAT_KEEP;
    for (size_t i = 0; i < KYMO_COUNT_OF(rules); i++) {
        const int is_table = rules[i].table[0] == '*' || !strcmp(rules[i].table, table);
        if (is_table && !strcmp(rules[i].column, column->name) &&
            is_text(rules[i].treat) == has_text)
            return rules[i].treat;
    }
    return has_text ? KYMO_TREAT_TEXT : KYMO_TREAT_KEEP;
}

static int is_in(const char *const *list, size_t n_list, const char *s, size_t n)
{
    for (size_t i = 0; i < n_list; i++)
        if (strlen(list[i]) == n && !memcmp(list[i], s, n))
            return 1;
    return 0;
}

static const char *const open_fact[] = {
    "machine",        "cpus",        "memory_bytes",  "page_bytes",        "sources",
    "clock_ticks_hz", "recorder",    "ring_bytes",    KYMO_ANONYMIZED_KEY, "redact_policy",
    "redact_key_id",  "snapshot_ns", "snapshots_cut", "cgroups_unnamed",
};

enum kymo_treat kymo_treat_of_fact(const char *key, size_t n)
{
    if (n == 6 && !memcmp(key, "kernel", n))
        return KYMO_TREAT_VERSION;
    return is_in(open_fact, KYMO_COUNT_OF(open_fact), key, n) ? KYMO_TREAT_KEEP
                                                              : KYMO_TREAT_TEXT;
}

int kymo_is_term(const char *s, size_t n)
{
    static const char *const term[] = {
        "snapshot", "fork",       "exec",    "exit",    "point",   "begin",
        "end",      "syscall",    "process", "net",     "app",     "packet",
        "system",   "hostname",   "kernel",  "command", "boot_id", "kernel_version",
        "option",   "assignment", "header",  "url",     "query",   "token",
        "program",  "sql",        "cred",
    };
    return is_in(term, KYMO_COUNT_OF(term), s, n) ||
           is_in(open_fact, KYMO_COUNT_OF(open_fact), s, n);
}
