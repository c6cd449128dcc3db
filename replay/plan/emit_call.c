/* SPDX-License-Identifier: Apache-2.0
 * emit_call.c: a call of a plan as a line of C.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"
#include "replay/plan/emit_own.h"

#define SETS_INLINE_MAX 8u

void emit_hole(struct emit *e, struct kymo_buf *out, char style, int64_t v)
{
    kymo_buf_u8(out, HOLE);
    kymo_buf_u8(out, (uint8_t)style);
    kymo_buf_put(&e->value, &v, sizeof(v));
}

static void number(struct emit *e, struct kymo_buf *out, uint64_t v)
{
    emit_hole(e, out, HOLE_NUMBER, (int64_t)v);
}

static const char *call_name(const struct emit *e, const struct kymo_icall *c, char *room,
                             size_t bytes)
{
    const struct kymo_sysinfo *info = kymo_sysinfo(e->image->machine, c->nr);
    if (info && info->name)
        return info->name;
    snprintf(room, bytes, "call_%u", c->nr);
    return room;
}

static const char *why_text(uint8_t why)
{
    static const char *const text[KYMO_WHY_COUNT] = {
        [KYMO_WHY_ERROR] = "nothing here brings that error about",
        [KYMO_WHY_RESULT] = "nothing here brings that result about",
        [KYMO_WHY_SIMULATED] = "simulated",
        [KYMO_WHY_SIGNAL] = "to someone who is not here",
        [KYMO_WHY_POWER] = "never",
        [KYMO_WHY_IOCTL] = "a device's own",
        [KYMO_WHY_FOREIGN] = "of another architecture",
        [KYMO_WHY_UNKNOWN] = "unknown",
        [KYMO_WHY_UNFINISHED] = "it had not ended",
        [KYMO_WHY_FOLLOWS] = "comes by itself",
        [KYMO_WHY_BOUND] = "too large",
    };
    return why < KYMO_WHY_COUNT && text[why] ? text[why] : "left out";
}

/* Calls that no plan that kymo compiled issues; the file of a plan may be anybody's. */
static int is_never(const char *name)
{
    static const char *const never[] = {
        "reboot",        "kexec_load",     "kexec_file_load", "mount",
        "umount2",       "pivot_root",     "chroot",          "move_mount",
        "open_tree",     "fsopen",         "fsmount",         "ptrace",
        "init_module",   "finit_module",   "delete_module",   "bpf",
        "setns",         "unshare",        "seccomp",         "keyctl",
        "add_key",       "swapon",         "swapoff",         "sethostname",
        "setdomainname", "settimeofday",   "clock_settime",   "process_vm_writev",
        "userfaultfd",   "io_uring_setup", "perf_event_open", "open_by_handle_at",
        "iopl",          "ioperm"};
    for (size_t i = 0; i < KYMO_COUNT_OF(never); i++)
        if (strcmp(name, never[i]) == 0)
            return 1;
    return 0;
}

/* A signal to whom the plan does not name is a signal to strangers. */
static int is_to_strangers(const char *name, const struct kymo_icall *c)
{
    const int is_kill = strcmp(name, "kill") == 0, is_tkill = strcmp(name, "tkill") == 0;
    if (!is_kill && !is_tkill && strcmp(name, "tgkill") != 0 &&
        strcmp(name, "rt_sigqueueinfo") != 0)
        return 0;
    return c->kind[0] == KYMO_ARG_IMM && (int32_t)c->arg[0] != 0 &&
           (int32_t)c->arg[0] < 0x3fff0000;
}

/* What the C library does for itself and would not survive if others did it again. */
static int is_of_library(const char *name)
{
    return strcmp(name, "set_tid_address") == 0 || strcmp(name, "set_robust_list") == 0 ||
           strcmp(name, "rseq") == 0 || strcmp(name, "arch_prctl") == 0;
}

static int is_out_of_time(const struct kymo_icall *c)
{
    return c->ret == 0 || c->ret == -ETIMEDOUT || c->ret == -EAGAIN;
}

static void put_fd(struct emit *e, struct kymo_buf *out, uint64_t v)
{
    const int32_t n = (int32_t)v;
    if (n == AT_FDCWD)
        kymo_buf_printf(out, "AT_FDCWD");
    else if (n < 0 || (uint32_t)n >= KYMO_FDS_MAX)
        kymo_buf_printf(out, "%" PRId32, n);
    else {
        kymo_buf_printf(out, "fd[%" PRId32 "]", n);
        e->n_fd = e->n_fd > (uint32_t)n ? e->n_fd : (uint32_t)n + 1;
    }
}

static int is_path(const char *name, int k)
{
    const struct kymo_sysinfo *info = kymo_sysinfo_by_name(name);
    return info && (info->path == k || info->path2 == k);
}

static int is_text(const struct emit *e, kymo_blob at)
{
    const char *s = emit_blob_text(e, at);
    const size_t n = strlen(s), room = emit_blob_bytes(e, at);
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 32 || (unsigned char)s[i] > 126)
            return 0;
    for (size_t i = n; i < room; i++)
        if (s[i])
            return 0;
    return n > 0;
}

static void put_blob(struct emit *e, struct kymo_buf *out, const char *name, int k,
                     const struct kymo_icall *c)
{
    const kymo_blob at = (kymo_blob)c->arg[k];
    if (is_path(name, k)) {
        kymo_buf_printf(out, "in(");
        emit_text(e, out, at);
        kymo_buf_printf(out, ")");
    } else if (!emit_struct(e, out, name, k, c)) {
        if (is_text(e, at))
            emit_text(e, out, at);
        else
            emit_bytes(e, out, at, 1);
    }
}

static void put_copy(struct emit *e, struct kymo_buf *out, const char *name, int k,
                     const struct kymo_icall *c)
{
    const uint64_t at = c->arg[k] >> 16, n = c->arg[k] & 0xffff;
    if (emit_struct(e, out, name, k, c))
        return;
    kymo_buf_printf(out, "copy(");
    emit_bytes(e, out, (kymo_blob)(at < UINT32_MAX ? at : UINT32_MAX), (size_t)n);
    kymo_buf_printf(out, ", %" PRIu64 ")", n < KYMO_COPY_MAX ? n : KYMO_COPY_MAX);
}

static void put_polled(struct emit *e, struct kymo_buf *out, uint64_t v)
{
    const uint64_t at = v >> 16, n = v & 0xffff;
    struct pollfd p[SETS_INLINE_MAX];
    e->parts |= PART_SETS;
    if (!n || n > SETS_INLINE_MAX || at >= e->n_blob || n * sizeof(*p) > e->n_blob - at) {
        kymo_buf_printf(out, "polled((const void *)");
        emit_bytes(e, out, (kymo_blob)(at < UINT32_MAX ? at : UINT32_MAX), n * sizeof(*p));
        kymo_buf_printf(out, ", %" PRIu64 ")", at < e->n_blob ? n : 0);
        return;
    }
    memcpy(p, e->blob + at, n * sizeof(*p));
    kymo_buf_printf(out, "polled((struct pollfd[]){");
    for (uint64_t i = 0; i < n; i++) {
        const unsigned events = (unsigned short)p[i].events;
        kymo_buf_printf(out, "%s{%d, ", i ? ", " : "", p[i].fd);
        if (events == POLLIN || events == POLLOUT || events == (POLLIN | POLLOUT))
            kymo_buf_printf(out, "%s, 0}",
                            events == POLLIN    ? "POLLIN"
                            : events == POLLOUT ? "POLLOUT"
                                                : "POLLIN | POLLOUT");
        else
            kymo_buf_printf(out, "%d, 0}", p[i].events);
        if (p[i].fd >= 0 && p[i].fd < (int)KYMO_FDS_MAX && (uint32_t)p[i].fd >= e->n_fd)
            e->n_fd = (uint32_t)p[i].fd + 1;
    }
    kymo_buf_printf(out, "}, %" PRIu64 ")", n);
}

static void put_selected(struct emit *e, struct kymo_buf *out, uint64_t v)
{
    const uint64_t at = v >> 16, n = v & 0xffff;
    e->parts |= PART_SETS;
    if (!n || at >= e->n_blob || n * sizeof(uint32_t) > e->n_blob - at) {
        kymo_buf_printf(out, "selected(NULL, 0)");
        return;
    }
    kymo_buf_printf(out, "selected((const unsigned[]){");
    for (uint64_t i = 0; i < n; i++) {
        uint32_t f;
        memcpy(&f, e->blob + at + i * sizeof(f), sizeof(f));
        kymo_buf_printf(out, "%s%" PRIu32, i ? ", " : "", f);
        if (f < KYMO_FDS_MAX && f >= e->n_fd)
            e->n_fd = f + 1;
    }
    kymo_buf_printf(out, "}, %" PRIu64 ")", n);
}

static void put_who(struct emit *e, struct kymo_buf *out, const char *how, uint64_t actor)
{
    e->parts |= PART_PEOPLE;
    if (actor && actor < e->image->actor.n && e->is_there[actor])
        kymo_buf_printf(out, "%s(%s)", how, e->name[actor]);
    else
        kymo_buf_printf(out, "0x3fffffff");
}

static void put_process(struct emit *e, struct kymo_buf *out, uint64_t process)
{
    put_who(e, out, "pid_of", process < e->image->process.n ? e->process[process].leader : 0);
}

/* ns, or ms where `unit` says so, as a time that a call waits. */
static void put_wait(struct emit *e, struct kymo_buf *out, const struct kymo_icall *c,
                     const char *form, uint64_t v, const char *unit)
{
    e->parts |= PART_WAITS;
    kymo_buf_printf(out, "%s%s(", form, is_out_of_time(c) ? "lasts" : "within");
    number(e, out, v < INT64_MAX / 2000000 ? v : INT64_MAX / 2000000);
    kymo_buf_printf(out, "%s))", unit);
}

static void put_until(struct emit *e, struct kymo_buf *out, const struct kymo_icall *c,
                      uint64_t v, int is_real)
{
    const uint64_t left = v > c->enter_ns ? v - c->enter_ns : 0;
    put_wait(e, out, c, is_real ? "to_moment(CLOCK_REALTIME, " : "to_moment(CLOCK_MONOTONIC, ",
             left, "");
}

/* Arguments that are times. */
static int put_time(struct emit *e, struct kymo_buf *out, const struct kymo_icall *c, int k)
{
    const uint64_t v = c->arg[k];
    switch (c->kind[k]) {
    case KYMO_ARG_WAIT:
    case KYMO_ARG_WAIT_US:
        if (v == UINT64_MAX)
            kymo_buf_printf(out, "NULL");
        else
            put_wait(e, out, c, c->kind[k] == KYMO_ARG_WAIT ? "to_timespec(" : "to_timeval(", v,
                     "");
        return 1;
    case KYMO_ARG_UNTIL:
    case KYMO_ARG_UNTIL_REAL:
        put_until(e, out, c, v, c->kind[k] == KYMO_ARG_UNTIL_REAL);
        return 1;
    case KYMO_ARG_WAIT_MS:
        if ((int32_t)v <= 0)
            kymo_buf_printf(out, "%d", (int32_t)v < 0 ? -1 : 0);
        else
            put_wait(e, out, c, "to_ms(", (uint32_t)v, " * MS");
        return 1;
    default:
        return 0;
    }
}

/* An address somewhere. */
static int put_place(struct emit *e, struct kymo_buf *out, const struct kymo_icall *c, int k)
{
    const uint64_t v = c->arg[k];
    const uint32_t i = (uint32_t)v;
    switch (c->kind[k]) {
    case KYMO_ARG_SINK:
    case KYMO_ARG_PATTERN:
        kymo_buf_printf(out, c->kind[k] == KYMO_ARG_SINK ? "sink" : "pattern");
        if (v) {
            kymo_buf_printf(out, " + ");
            number(e, out, v);
        }
        return 1;
    case KYMO_ARG_REGION: {
        const uint32_t r = (uint32_t)(v >> 40);
        kymo_buf_printf(out, "region[%" PRIu32 "]", r);
        if (v & 0xffffffffff) {
            kymo_buf_printf(out, " + ");
            number(e, out, v & 0xffffffffff);
        }
        e->n_region = e->n_region > r ? e->n_region : r + 1;
        return 1;
    }
    case KYMO_ARG_WORD:
        kymo_buf_printf(out, "&all->word[%" PRIu32 "]", i);
        e->n_word = e->n_word > i ? e->n_word : i + 1;
        return 1;
    case KYMO_ARG_OWN_WORD:
        kymo_buf_printf(out, "&own[%" PRIu32 "]", i);
        e->n_own = e->n_own > i ? e->n_own : i + 1;
        return 1;
    case KYMO_ARG_BREAK:
        kymo_buf_printf(out, "heap + ");
        number(e, out, v);
        return 1;
    case KYMO_ARG_PAIR:
        kymo_buf_printf(out, "pair");
        return 1;
    default:
        return 0;
    }
}

static void put_arg(struct emit *e, struct kymo_buf *out, const char *name,
                    const struct kymo_icall *c, int k)
{
    const uint64_t v = c->arg[k];
    if (put_time(e, out, c, k) || put_place(e, out, c, k))
        return;
    switch (c->kind[k]) {
    case KYMO_ARG_FD:
        put_fd(e, out, v);
        return;
    case KYMO_ARG_BLOB:
        put_blob(e, out, name, k, c);
        return;
    case KYMO_ARG_COPY:
        put_copy(e, out, name, k, c);
        return;
    case KYMO_ARG_POLL:
        put_polled(e, out, v);
        return;
    case KYMO_ARG_FDSET:
        put_selected(e, out, v);
        return;
    case KYMO_ARG_PGID:
        kymo_buf_printf(out, "-");
        put_process(e, out, v);
        return;
    case KYMO_ARG_PID:
        put_process(e, out, v);
        return;
    case KYMO_ARG_TID:
        put_who(e, out, "tid_of", v);
        return;
    default:
        if ((int32_t)v == AT_FDCWD && is_path(name, k + 1))
            kymo_buf_printf(out, "AT_FDCWD");
        else if (c->kind[k] == KYMO_ARG_FD_NEW || !emit_flags(out, name, k, c->arg))
            number(e, out, v);
    }
}

/* Arguments that say nothing are not written: the mode of an open that makes nothing, the rest of a wake. */
static int args_of(const struct kymo_icall *c, const char *name)
{
    const struct kymo_sysinfo *info = kymo_sysinfo_by_name(name);
    const int n = info && info->n_args <= 6 ? info->n_args : 6;
    if (strcmp(name, "openat") == 0 && !(c->arg[2] & (O_CREAT | 020000000)))
        return 3;
    if (strcmp(name, "open") == 0 && !(c->arg[1] & (O_CREAT | 020000000)))
        return 2;
    if (strcmp(name, "futex") == 0 && (c->arg[1] & 0x7f) == FUTEX_WAKE)
        return 3;
    return n;
}

/* An address with a length of its own is longer here than it was there. */
static int is_local_length(const struct emit *e, const struct kymo_icall *c, const char *name,
                           int k)
{
    const struct kymo_sysinfo *info = kymo_sysinfo_by_name(name);
    if (!info || info->addr < 0 || info->addrlen != k || info->addrlen_is_pointer ||
        c->kind[info->addr] != KYMO_ARG_BLOB || c->kind[k] != KYMO_ARG_IMM)
        return 0;
    const uint64_t at = c->arg[info->addr];
    uint16_t family;
    if (c->arg[k] < 3 || at >= e->n_blob || e->n_blob - at < 3)
        return 0;
    memcpy(&family, e->blob + at, sizeof(family));
    return family == 1 && e->blob[at + 2];
}

static void put_want(struct emit *e, struct kymo_buf *out, const struct kymo_icall *c)
{
    const char *name = c->ret < 0 && c->ret > -500 ? kymo_errno_name((int)-c->ret) : NULL;
    if (name)
        kymo_buf_printf(out, "-%s", name);
    else if (c->ret <= 0 && c->ret >= -4095)
        kymo_buf_printf(out, "%" PRId64, c->ret);
    else if (c->out == KYMO_OUT_REGION || c->ret < 0 || c->ret > INT32_MAX)
        kymo_buf_printf(out, "SOME");
    else
        emit_hole(e, out, HOLE_WANT, c->ret);
}

/* What becomes of the result. */
static const char *put_target(struct emit *e, struct kymo_buf *out, const struct kymo_icall *c)
{
    if (c->ret < 0 && c->ret >= -4095)
        return "";
    const uint32_t most = c->other > c->other2 ? c->other : c->other2;
    if (c->out == KYMO_OUT_FD && c->other < KYMO_FDS_MAX) {
        kymo_buf_printf(out, "fd[%" PRIu32 "] = (int)", c->other);
        e->n_fd = e->n_fd > c->other ? e->n_fd : c->other + 1;
    } else if (c->out == KYMO_OUT_PAIR && most < KYMO_FDS_MAX) {
        kymo_buf_printf(out, "takes_pair(%" PRIu32 ", %" PRIu32 ", ", c->other, c->other2);
        e->n_fd = e->n_fd > most ? e->n_fd : most + 1;
        return ")";
    } else if (c->out == KYMO_OUT_REGION && c->other < 1u << 24) {
        kymo_buf_printf(out, "region[%" PRIu32 "] = ", c->other);
        e->n_region = e->n_region > c->other ? e->n_region : c->other + 1;
    }
    return "";
}

static void put_sigaction(struct emit *e, struct kymo_buf *out, const struct kymo_icall *c)
{
    static const char *const how[] = {"SIG_DFL", "SIG_IGN", "HANDLED"};
    const char *s = emit_signal((int)(c->arg[0] & 0xff));
    e->parts |= PART_SIGNALS;
    kymo_buf_printf(out, "expect(");
    put_want(e, out, c);
    if (s)
        kymo_buf_printf(out, ", handles(%s, %s));", s, how[c->arg[1] % 3]);
    else
        kymo_buf_printf(out, ", handles(%d, %s));", (int32_t)c->arg[0], how[c->arg[1] % 3]);
}

static void put_issue(struct emit *e, struct kymo_buf *out, const struct kymo_icall *c,
                      const char *name)
{
    if (c->flags & KYMO_ICALL_SET_WORD) {
        const uint32_t i = (uint32_t)c->arg[0];
        if (c->kind[0] == KYMO_ARG_OWN_WORD)
            kymo_buf_printf(out, "own[%" PRIu32 "] = %" PRIu32 ";\n", i, c->word_value);
        else if (c->kind[0] == KYMO_ARG_WORD)
            kymo_buf_printf(out, "all->word[%" PRIu32 "] = %" PRIu32 ";\n", i, c->word_value);
    }
    if (c->kind[1] == KYMO_ARG_ACTION) {
        put_sigaction(e, out, c);
        return;
    }
    const char *end = put_target(e, out, c);
    kymo_buf_printf(out, "expect(");
    put_want(e, out, c);
    kymo_buf_printf(out, ", sys(%s", name);
    for (int k = 0; k < args_of(c, name); k++) {
        kymo_buf_printf(out, ", ");
        if (is_local_length(e, c, name, k))
            kymo_buf_printf(out, "sizeof(struct sockaddr_un)");
        else
            put_arg(e, out, name, c, k);
    }
    kymo_buf_printf(out, "))%s;", end);
}

/* The call as a comment, and why it is none. */
static void put_left_out(struct emit *e, struct kymo_buf *out, const char *how,
                         const struct kymo_icall *c, const char *name, const char *why)
{
    kymo_buf_printf(out, "%s(); /* %s(", how, name);
    for (int k = 0; k < 2; k++)
        if (c->kind[k] == KYMO_ARG_BLOB && is_path(name, k))
            emit_comment(out, emit_blob_text(e, (kymo_blob)c->arg[k]));
    kymo_buf_printf(out, ") = ");
    put_want(e, out, c);
    kymo_buf_printf(out, ": %s */", why);
    if (how[0] == 's')
        e->n_left_out++;
}

/* A thread that ends takes its process with it where it is the only one. */
static int is_alone(const struct emit *e, const struct kymo_iactor *a)
{
    uint32_t n = 0;
    for (uint64_t i = 1; i < e->image->actor.n && n < 2; i++)
        n += e->actor[i].process == a->process;
    return n < 2;
}

static void put_life(struct emit *e, struct kymo_buf *out, const struct kymo_iactor *a,
                     const struct kymo_icall *c, const char *name)
{
    uint32_t who = c->other;
    switch (c->how) {
    case KYMO_HOW_EXEC:
        kymo_buf_printf(out, "becomes(");
        emit_text(e, out, c->text);
        kymo_buf_printf(out, ");");
        return;
    case KYMO_HOW_EXIT:
        if (strcmp(name, "exit") == 0 && !is_alone(e, a))
            kymo_buf_printf(out, "ends();");
        else
            kymo_buf_printf(out, "leaves(%u);", (unsigned)(c->arg[0] & 0xff));
        return;
    case KYMO_HOW_FORK:
        who = who < e->image->process.n ? e->process[who].leader : 0;
        break;
    default:
        break;
    }
    if (!who || who >= e->image->actor.n || !e->is_there[who]) {
        put_left_out(e, out, "skipped", c, name, "of its child nothing is known");
        return;
    }
    kymo_buf_printf(out, "expect(");
    put_want(e, out, c);
    kymo_buf_printf(out, ", %s(%s));", c->how == KYMO_HOW_FORK ? "forks" : "clones",
                    e->name[who]);
}

void emit_deps(struct emit *e, struct kymo_buf *out, uint32_t dep, uint32_t n)
{
    for (uint32_t i = dep; i - dep < n && i < e->image->dep.n; i++) {
        const uint32_t who = e->dep[i].actor, at = e->dep[i].index & ~KYMO_DEP_BEGUN;
        if (who >= e->image->actor.n || !e->is_there[who])
            continue;
        const struct kymo_iactor *a = &e->actor[who];
        const int is_begun = (e->dep[i].index & KYMO_DEP_BEGUN) != 0;
        if (who && !is_begun && at + 1 == a->n_calls &&
            e->call[a->call + at].how == KYMO_HOW_EXIT) {
            kymo_buf_printf(out, "gone(%s);\n", e->name[who]);
            continue;
        }
        kymo_buf_printf(out, "%s(%s, ", is_begun ? "inside" : "after", e->name[who]);
        number(e, out, at + 1);
        kymo_buf_printf(out, ");\n");
    }
}

static void put_call(struct emit *e, struct kymo_buf *out, const struct kymo_iactor *a,
                     const struct kymo_icall *c)
{
    char room[24];
    const char *name = call_name(e, c, room, sizeof(room));
    emit_deps(e, out, c->dep, c->n_deps);
    if (c->how >= KYMO_HOW_FORK && c->how <= KYMO_HOW_EXIT) {
        e->n_issued++;
        put_life(e, out, a, c, name);
    } else if (c->why == KYMO_WHY_FOLLOWS || is_of_library(name))
        put_left_out(e, out, "passes", c, name,
                     is_of_library(name) ? "the C library's own" : why_text(c->why));
    else if (c->how != KYMO_HOW_ISSUE || c->why == KYMO_WHY_UNFINISHED)
        put_left_out(e, out, "skipped", c, name, why_text(c->why));
    else if (is_never(name) || is_to_strangers(name, c))
        put_left_out(e, out, "skipped", c, name,
                     why_text(is_never(name) ? KYMO_WHY_POWER : KYMO_WHY_SIGNAL));
    else {
        e->n_issued++;
        put_issue(e, out, c, name);
    }
}

static uint64_t hash_of(const uint8_t *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

void emit_pieces_clear(struct emit *e)
{
    kymo_buf_clear(&e->text);
    kymo_buf_clear(&e->value);
    e->n_pieces = 0;
}

struct piece *emit_piece_begin(struct emit *e)
{
    if (e->n_pieces == e->cap_pieces) {
        const size_t cap = e->cap_pieces ? 2 * e->cap_pieces : 256;
        struct piece *p = realloc(e->piece, cap * sizeof(*p));
        if (!p)
            return NULL;
        e->piece = p;
        e->cap_pieces = cap;
    }
    struct piece *p = &e->piece[e->n_pieces++];
    p->at = e->text.n;
    p->value = (uint32_t)(e->value.n / sizeof(int64_t));
    return p;
}

void emit_piece_end(struct emit *e, struct piece *p)
{
    p->bytes = e->text.n - p->at;
    p->n_values = (uint32_t)(e->value.n / sizeof(int64_t)) - p->value;
    p->hash = e->text.failed || e->value.failed ? 0 : hash_of(e->text.p + p->at, p->bytes);
}

int emit_calls(struct emit *e, uint32_t actor)
{
    const struct kymo_iactor *a = &e->actor[actor];
    emit_pieces_clear(e);
    for (uint32_t i = 0; i < a->n_calls; i++) {
        struct piece *p = emit_piece_begin(e);
        if (!p)
            return -1;
        put_call(e, &e->text, a, &e->call[a->call + i]);
        emit_piece_end(e, p);
    }
    return e->text.failed || e->value.failed ? -1 : 0;
}
