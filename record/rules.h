/* SPDX-License-Identifier: Apache-2.0
 * rules.h: questions about tasks, for the kernel side: filters and option lists to steps over a stack.
 */
#ifndef KYMO_RECORD_RULES_H
#define KYMO_RECORD_RULES_H

#include "format/base/err.h"
#include "format/event.h"

/* All append to a rule; errors EUSAGE, naming what the kernel side cannot answer, or too many steps. */
KYMO_MUST_USE kymo_status rules_number(struct kymo_rule *r, uint8_t field, uint64_t value,
                                       struct kymo_err *err);
/* A whole name, or one with a trailing *. */
KYMO_MUST_USE kymo_status rules_comm(struct kymo_rule *r, const char *pattern,
                                     struct kymo_err *err);
/* A path of a cgroup that exists, or its id. */
KYMO_MUST_USE kymo_status rules_cgroup(struct kymo_rule *r, const char *path,
                                       struct kymo_err *err);
/* KYMO_RULE_NOT, _AND, _OR. */
KYMO_MUST_USE kymo_status rules_combine(struct kymo_rule *r, uint8_t kind,
                                        struct kymo_err *err);
/*
 * A filter (format/trace/filter.h) over pid, tid, ppid, uid, gid, comm and cgroup: what is known of a task
 * before any of its calls.
 */
KYMO_MUST_USE kymo_status rules_filter(struct kymo_rule *r, const char *text,
                                       struct kymo_err *err);

#endif
