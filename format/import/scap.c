/* SPDX-License-Identifier: Apache-2.0
 * scap, the binary recordings of sysdig and Falco: a run of blocks as in pcapng, each "type, length, body,
 * length". Sections, machine, processes and events are read; the other lists are passed over.
 *
 *   event block   u16 cpu, (u32 flags), u64 ts, u64 tid, u32 bytes, u16 type, (u32 parameters),
 *                 a length for each parameter (u16, u32 in large ones), the parameters
 *
 * source  falcosecurity's description of its capture files, 1.0 to 1.2
 */
#include "format/import/scap.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"

#define BLOCK_SECTION 0x0a0d0d0au
#define BLOCK_MACHINE 0x201u
#define BLOCK_FRAME 12u /* type, length, length */

static kymo_status corrupt(const struct kymo_scap *s, struct kymo_err *err, const char *what)
{
    return KYMO_FAIL(err, KYMO_ECORRUPT, s->block_at, "%s", what);
}

/* ---- life ------------------------------------------------------------------------------------------- */

static void close_scap(void *ctx)
{
    struct kymo_scap *s = ctx;
    kymo_pairs_close(s->pairs);
    free(s->list);
    kymo_buf_release(&s->argv);
    free(s);
}

static kymo_status open_scap(void **ctx, struct kymo_input *in,
                             const struct kymo_import_opts *o, struct kymo_sink *sink,
                             struct kymo_err *err)
{
    struct kymo_scap *s = calloc(1, sizeof(*s));
    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    const kymo_status status = kymo_pairs_open(&s->pairs, sink, err);
    if (status) {
        free(s);
        return status;
    }
    s->in = in;
    s->sink = sink;
    s->arch = o->arch ? o->arch : KYMO_ARCH_X86_64;
    *ctx = s;
    kymo_sink_real_time(sink);
    KYMO_TRY(kymo_sink_fact(sink, "times", "real time", err));
    return kymo_sink_fact(
        sink, "unknown",
        "cgroup, execs before the recording, flags and modes as numbers, which calls "
        "were of 32 bits, calls that the recorder was told to leave out",
        err);
}

/* ---- blocks --------------------------------------------------------------------------------------------- */

/* How many parameters an event without their number has: so many that their lengths fill it. */
static bool count_params(const uint8_t *lengths, size_t bytes, uint32_t width, uint32_t *n)
{
    size_t sum = 0;
    for (uint32_t i = 0; i <= KYMO_SCAP_PARAMS_MAX; i++) {
        if (sum + (size_t)i * width == bytes) {
            *n = i;
            return true;
        }
        if (((size_t)i + 1) * width > bytes)
            return false;
        sum += width == 2 ? kymo_load_u16(lengths + 2u * i) : kymo_load_u32(lengths + 4u * i);
    }
    return false;
}

static bool cut_params(struct kymo_scap_record *e, const uint8_t *p, size_t bytes,
                       uint32_t width)
{
    size_t at = (size_t)e->n * width;
    if (at > bytes)
        return false;
    for (uint32_t i = 0; i < e->n; i++) {
        const uint32_t n = width == 2 ? kymo_load_u16(p + 2u * i) : kymo_load_u32(p + 4u * i);
        if (n > bytes - at)
            return false;
        if (i < KYMO_SCAP_PARAMS_MAX)
            e->param[i] = (struct kymo_scap_param){p + at, n};
        at += n;
    }
    e->n = e->n < KYMO_SCAP_PARAMS_MAX ? e->n : KYMO_SCAP_PARAMS_MAX;
    return true;
}

struct event_form {
    uint32_t block;
    uint8_t has_flags, has_count, width;
};

static const struct event_form *form_of(uint32_t block)
{
    static const struct event_form form[] = {
        {0x204, 0, 0, 2}, {0x8010abcd, 0, 0, 2}, {0x208, 1, 0, 2}, {0x216, 0, 1, 2},
        {0x217, 1, 1, 2}, {0x221, 0, 1, 4},      {0x222, 1, 1, 4},
    };
    for (size_t i = 0; i < KYMO_COUNT_OF(form); i++)
        if (form[i].block == block)
            return &form[i];
    return NULL;
}

static kymo_status parse_event(struct kymo_scap *s, const struct event_form *f,
                               const uint8_t *p, size_t n, struct kymo_scap_record *e,
                               struct kymo_err *err)
{
    const size_t before = 2u + (f->has_flags ? 4u : 0u), fixed = f->has_count ? 26 : 22;
    if (n < before + fixed)
        return corrupt(s, err, "an event block too short for its header");
    e->cpu = kymo_load_u16(p);
    p += before;
    const uint32_t bytes = kymo_load_u32(p + 16);
    const uint64_t tid = kymo_load_u64(p + 8);
    e->ts_ns = kymo_load_u64(p);
    e->tid = (uint32_t)tid;
    e->type = kymo_load_u16(p + 20);
    if (bytes < fixed || bytes > n - before)
        return corrupt(s, err, "an event longer than its block");
    if (f->has_count)
        e->n = kymo_load_u32(p + 22);
    else if (!count_params(p + fixed, bytes - fixed, f->width, &e->n))
        return corrupt(s, err, "an event whose parameters do not fill it");
    if (e->n > bytes || !cut_params(e, p + fixed, bytes - fixed, f->width))
        return corrupt(s, err, "an event whose parameters are longer than it");
    return KYMO_OK;
}

static kymo_status take_processes(struct kymo_scap *s, struct kymo_err *err);

static kymo_status take_event(struct kymo_scap *s, const struct event_form *f, const uint8_t *p,
                              size_t n, struct kymo_err *err)
{
    struct kymo_scap_record e = {0};
    KYMO_TRY(parse_event(s, f, p, n, &e, err));
    const struct kymo_scap_event *t = kymo_scap_event(e.type);
    const uint8_t cls = t ? t->cls : KYMO_SCAP_UNKNOWN;
    s->events++;
    if (cls >= KYMO_SCAP_CALL && cls <= KYMO_SCAP_EXIT && e.ts_ns != UINT64_MAX)
        s->now_ns = e.ts_ns > s->now_ns ? e.ts_ns : s->now_ns;
    if (s->now_ns && s->list)
        KYMO_TRY(take_processes(s, err));
    switch (cls) {
    case KYMO_SCAP_UNKNOWN:
        s->unknown++;
        return KYMO_OK;
    case KYMO_SCAP_KERNEL:
        s->kernel++;
        return KYMO_OK;
    case KYMO_SCAP_INTERNAL:
        s->internal++;
        return KYMO_OK;
    case KYMO_SCAP_EXIT:
        return e.type & 1 ? KYMO_OK : kymo_scap_take_death(s, &e, err);
    default:
        if (!e.tid) /* the idle task makes no calls */
            return corrupt(s, err, "a system call without a thread");
        return e.type & 1 ? kymo_scap_take_exit(s, &e, t, err)
                          : kymo_scap_take_enter(s, &e, t, err);
    }
}

/* ---- processes that were there at the start ----------------------------------------------------------------- */

static bool take_text(struct kymo_bytes *in, struct kymo_text *t)
{
    uint16_t n;
    struct kymo_bytes at;
    if (kymo_bytes_u16(in, &n, NULL) || kymo_bytes_take(in, n, &at, NULL))
        return false;
    *t = kymo_text_of((const char *)at.p, n);
    return true;
}

static bool skip(struct kymo_bytes *in, size_t n)
{
    struct kymo_bytes at;
    return kymo_bytes_take(in, n, &at, NULL) == KYMO_OK;
}

/* One process of a list of form 5 to 9: what came with which form stands in the conditions. */
static bool parse_process(struct kymo_bytes *in, uint32_t form, struct kymo_import_process *p)
{
    uint64_t tid, pid, ppid;
    uint32_t bytes = 0;
    struct kymo_text path = {NULL, 0}, other;
    const struct kymo_bytes start = *in;
    if (form >= 9 && kymo_bytes_u32(in, &bytes, NULL))
        return false;
    if (kymo_bytes_u64(in, &tid, NULL) || kymo_bytes_u64(in, &pid, NULL) ||
        kymo_bytes_u64(in, &ppid, NULL) ||
        !skip(in, form >= 8   ? 16
                  : form >= 6 ? 8
                              : 0) ||
        !take_text(in, &p->comm) || !take_text(in, &p->exe) ||
        (form >= 7 && !take_text(in, &path)) || !take_text(in, &p->argv) ||
        !take_text(in, &other) || !skip(in, 8 + 4) || kymo_bytes_u32(in, &p->uid, NULL) ||
        kymo_bytes_u32(in, &p->gid, NULL) || !skip(in, 3 * 4 + 2 * 8) ||
        !take_text(in, &other) || !skip(in, 16) || !take_text(in, &other) ||
        !take_text(in, &other))
        return false;
    p->tid = (uint32_t)tid;
    p->pid = (uint32_t)pid;
    p->ppid = (uint32_t)ppid;
    p->has_ids = 1;
    if (path.n)
        p->exe = path;
    if (form < 9)
        return true;
    const size_t taken = start.left - in->left;
    return bytes >= taken && skip(in, bytes - taken);
}

/* The processes of the list, as of now. */
static kymo_status take_processes(struct kymo_scap *s, struct kymo_err *err)
{
    struct kymo_bytes in = kymo_bytes_view(s->list, s->list_bytes, 0);
    kymo_status status = KYMO_OK;
    while (!status && in.left >= 4) {
        struct kymo_import_process p = {.ts_ns = s->now_ns, .kind = KYMO_IMPORT_SNAPSHOT};
        if (!parse_process(&in, s->list_form, &p))
            status = corrupt(s, err, "a list of processes that ends in the middle of one");
        else if (p.tid)
            status = kymo_scap_tell_process(s, &p, err);
    }
    free(s->list);
    s->list = NULL;
    return status;
}

static kymo_status keep_processes(struct kymo_scap *s, uint32_t form, const uint8_t *body,
                                  size_t n, struct kymo_err *err)
{
    free(s->list);
    s->list = malloc(n ? n : 1);
    if (!s->list)
        return KYMO_FAIL(err, KYMO_ELIMIT, s->block_at, "out of memory");
    memcpy(s->list, body, n);
    s->list_bytes = n;
    s->list_form = form;
    return KYMO_OK;
}

static kymo_status take_machine(struct kymo_scap *s, const uint8_t *body, size_t n,
                                struct kymo_err *err)
{
    char text[160];
    if (n < 4 + 8 + 8 + 128)
        return corrupt(s, err, "a machine block too short");
    (void)snprintf(text, sizeof(text), "%" PRIu32, kymo_load_u32(body));
    KYMO_TRY(kymo_sink_fact(s->sink, "cpus", text, err));
    (void)snprintf(text, sizeof(text), "%.*s", (int)strnlen((const char *)body + 20, 128),
                   (const char *)body + 20);
    return kymo_sink_fact(s->sink, "host", text, err);
}

static kymo_status take_section(struct kymo_scap *s, const uint8_t *body, size_t n,
                                struct kymo_err *err)
{
    if (n < 16)
        return corrupt(s, err, "a section too short for its header");
    if (kymo_load_u32(body) != 0x1a2b3c4d)
        return KYMO_FAIL(err, KYMO_EINPUT, s->block_at,
                         "the recording is of a machine of the other byte order");
    if (kymo_load_u16(body + 4) != 1)
        return KYMO_FAIL(err, KYMO_EINPUT, s->block_at, "version %u.%u, 1 is known",
                         kymo_load_u16(body + 4), kymo_load_u16(body + 6));
    s->begun = true;
    return KYMO_OK;
}

static kymo_status take_block(struct kymo_scap *s, uint32_t type, const uint8_t *body, size_t n,
                              struct kymo_err *err)
{
    const struct event_form *f = form_of(type);
    if (!s->begun && type != BLOCK_SECTION)
        return corrupt(s, err, "no section at the start: this is no scap file");
    if (f)
        return take_event(s, f, body, n, err);
    if (type == BLOCK_SECTION)
        return take_section(s, body, n, err);
    if (type == BLOCK_MACHINE)
        return take_machine(s, body, n, err);
    if (type >= 0x211 && type <= 0x215)
        return keep_processes(s, type - 0x211 + 5, body, n, err);
    return KYMO_OK; /* users, interfaces, open files */
}

static kymo_status tell_rest(struct kymo_scap *s, struct kymo_err *err)
{
    char text[200];
    KYMO_TRY(kymo_pairs_finish(s->pairs, s->now_ns, err));
    (void)snprintf(text, sizeof(text),
                   "%" PRIu64 ": %" PRIu64 " of the kernel and %" PRIu64
                   " of the recorder itself in no table, %" PRIu64
                   " of types that are not known",
                   s->events, s->kernel, s->internal, s->unknown);
    return kymo_sink_fact(s->sink, "events", text, err);
}

static kymo_status step_scap(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct kymo_scap *s = ctx;
    const uint8_t *p;
    size_t have;
    s->block_at = kymo_input_at(s->in);
    KYMO_TRY(kymo_input_peek(s->in, 8, &p, &have, err));
    *more = have > 0 || !s->begun;
    if (!*more)
        return tell_rest(s, err);
    if (have < 8)
        return corrupt(s, err, "the file ends in the middle of a block's header");
    const uint32_t type = kymo_load_u32(p), bytes = kymo_load_u32(p + 4);
    if (bytes < BLOCK_FRAME)
        return corrupt(s, err, "a block shorter than its frame");
    KYMO_TRY(kymo_input_peek(s->in, bytes, &p, &have, err));
    if (have < bytes)
        return corrupt(s, err, "the file ends in the middle of a block");
    if (kymo_load_u32(p + bytes - 4) != bytes)
        return corrupt(s, err, "a block whose two lengths differ");
    KYMO_TRY(take_block(s, type, p + 8, bytes - BLOCK_FRAME, err));
    kymo_input_skip(s->in, bytes);
    *now_ns = s->now_ns;
    return KYMO_OK;
}

static bool guess_scap(const uint8_t *p, size_t n)
{
    if (n < 20 || kymo_load_u32(p) != BLOCK_SECTION || kymo_load_u32(p + 8) != 0x1a2b3c4d)
        return false;
    const uint32_t bytes = kymo_load_u32(p + 4);
    if (bytes > n - 4)
        return false;
    const uint32_t next = kymo_load_u32(p + bytes);
    return (next >= 0x201 && next < 0x300) || next == 0x8002abcd;
}

const struct kymo_importer kymo_import_scap = {
    .name = "scap",
    .guess = guess_scap,
    .open = open_scap,
    .step = step_scap,
    .close = close_scap,
};
