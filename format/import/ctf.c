/* SPDX-License-Identifier: Apache-2.0
 * Kernel traces of LTTng in the Common Trace Format, through libbabeltrace2: the events syscall_entry_*,
 * syscall_exit_* and sched_process_*, with what context the trace has (tid, pid, procname). An input is the
 * folder that holds `metadata`.
 */
#include "format/import/pairs.h"

#ifdef KYMO_HAVE_BABELTRACE2
#include <babeltrace2/babeltrace.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"

struct ctf {
    struct kymo_input *in;  /* borrowed; its name is the folder */
    struct kymo_sink *sink; /* borrowed */
    struct kymo_pairs *pairs;
    bt_graph *graph;
    uint32_t arch;
    uint64_t now_ns, events, other;
    kymo_status status; /* of ours, while the library was in between */
    struct kymo_err err;
};

/* One event, as the trace tells it. */
struct event {
    const bt_field *context, *payload;
    const char *name;
    uint64_t ts_ns;
    uint32_t pid, tid, cpu;
    struct kymo_text comm;
};

static void close_ctf(void *ctx)
{
    struct ctf *c = ctx;
    if (c->graph)
        bt_graph_put_ref(c->graph);
    kymo_pairs_close(c->pairs);
    free(c);
}

/* ---- fields ------------------------------------------------------------------------------------------- */

static const bt_field *member(const bt_field *structure, const char *name)
{
    if (!structure || bt_field_get_class_type(structure) != BT_FIELD_CLASS_TYPE_STRUCTURE)
        return NULL;
    return bt_field_structure_borrow_member_field_by_name_const(structure, name);
}

static bool number_of(const bt_field *f, uint64_t *v)
{
    if (!f)
        return false;
    const bt_field_class_type type = bt_field_get_class_type(f);
    if (bt_field_class_type_is(type, BT_FIELD_CLASS_TYPE_UNSIGNED_INTEGER))
        *v = bt_field_integer_unsigned_get_value(f);
    else if (bt_field_class_type_is(type, BT_FIELD_CLASS_TYPE_SIGNED_INTEGER))
        *v = (uint64_t)bt_field_integer_signed_get_value(f);
    else
        return false;
    return true;
}

static uint32_t id_of(const bt_field *structure, const char *name)
{
    uint64_t v = 0;
    return number_of(member(structure, name), &v) ? (uint32_t)v : 0;
}

static struct kymo_text text_of(const bt_field *f)
{
    if (!f || bt_field_get_class_type(f) != BT_FIELD_CLASS_TYPE_STRING)
        return kymo_text_of(NULL, 0);
    return kymo_text_of(bt_field_string_get_value(f), bt_field_string_get_length(f));
}

/* ---- events ------------------------------------------------------------------------------------------------ */

/* LTTng calls some after the kernel's functions. */
static const char *kernel_name(const char *name)
{
    static const char *const other[][2] = {
        {"newstat", "stat"},      {"newlstat", "lstat"},      {"newfstat", "fstat"},
        {"newuname", "uname"},    {"sendfile64", "sendfile"}, {"umount", "umount2"},
        {"eventfd2", "eventfd2"},
    };
    for (size_t i = 0; i < KYMO_COUNT_OF(other); i++)
        if (strcmp(name, other[i][0]) == 0)
            return other[i][1];
    return name;
}

/* Fields that a call's arguments go by; the trace leaves out others, so their order tells nothing. */
static void take_args(const struct event *e, struct kymo_import_call *c)
{
    const struct kymo_sysinfo *info = kymo_sysinfo(c->arch, c->nr);
    static const char *const first[] = {"fd", "dfd", "epfd", "sockfd", "fildes", "oldfd"};
    static const char *const sizes[] = {"count", "len", "size"};
    static const char *const paths[] = {"filename", "pathname", "name", "path", "oldname"};
    if (!info)
        return;
    for (size_t i = 0; i < KYMO_COUNT_OF(first) && !(c->has_arg & 1); i++)
        c->has_arg |= number_of(member(e->payload, first[i]), &c->arg[0]) ? 1 : 0;
    const int size = kymo_import_size_arg(c->arch, c->nr);
    for (size_t i = 0; size >= 0 && i < KYMO_COUNT_OF(sizes) && !(c->has_arg >> size & 1); i++)
        if (number_of(member(e->payload, sizes[i]), &c->arg[size]))
            c->has_arg |= (uint8_t)(1u << size);
    for (size_t i = 0; info->path >= 0 && i < KYMO_COUNT_OF(paths) && !c->path.p; i++)
        c->path = text_of(member(e->payload, paths[i]));
    if (info->path2 >= 0)
        c->path2 = text_of(member(e->payload, "newname"));
}

static kymo_status take_call(struct ctf *t, const struct event *e, const char *name, bool exits,
                             bool compat, struct kymo_err *err)
{
    struct kymo_import_call c = {.ts_ns = e->ts_ns,
                                 .dur_ns = KYMO_IMPORT_UNKNOWN,
                                 .pid = e->pid,
                                 .tid = e->tid,
                                 .cpu = e->cpu,
                                 .comm = e->comm,
                                 .flags = compat ? KYMO_CALL_COMPAT : 0};
    uint32_t arch, nr;
    uint64_t ret;
    int found = 0;
    if (!e->tid)
        return KYMO_FAIL(err, KYMO_EINPUT, KYMO_NOWHERE,
                         "event %" PRIu64
                         ": no thread; the trace was made without the context tid",
                         t->events);
    name = kernel_name(name);
    KYMO_TRY(kymo_sink_name(t->sink, compat ? KYMO_ARCH_I386 : t->arch, name, strlen(name),
                            &arch, &nr, err));
    const uint32_t tag = nr << 2 | (uint32_t)compat << 1 | (arch == KYMO_IMPORT_ARCH_NAMED);
    if (exits)
        KYMO_TRY(kymo_pairs_exit(t->pairs, &c, tag, &found, err));
    c.arch = arch;
    c.nr = nr;
    if (!exits) {
        take_args(e, &c);
        return kymo_pairs_enter(t->pairs, &c, tag, err);
    }
    c.has_ret = number_of(member(e->payload, "ret"), &ret);
    c.ret = c.has_ret ? (int64_t)ret : 0;
    if (c.has_ret && !c.ret && strncmp(name, "execve", 6) == 0) {
        c.flags |= KYMO_CALL_EXECED;
        c.has_arg = 0;
        c.path = kymo_text_of(NULL, 0);
    }
    return kymo_sink_call(t->sink, &c, err);
}

static kymo_status take_process(struct ctf *t, const struct event *e,
                                enum kymo_import_kind kind, struct kymo_err *err)
{
    const bool fork = kind == KYMO_IMPORT_FORK, exec = kind == KYMO_IMPORT_EXEC;
    const uint32_t tid = id_of(e->payload, fork ? "child_tid" : "tid");
    struct kymo_import_process p = {
        .ts_ns = e->ts_ns,
        .kind = kind,
        .pid = fork ? id_of(e->payload, "child_pid") : 0,
        .tid = tid ? tid : e->tid,
        .ppid = fork ? id_of(e->payload, "parent_pid") : 0,
        .start_ns = fork ? e->ts_ns : 0,
        .comm = text_of(member(e->payload, fork ? "child_comm" : "comm")),
        .exe = exec ? text_of(member(e->payload, "filename")) : kymo_text_of(NULL, 0),
    };
    if (!p.comm.p && exec)
        p.comm = kymo_import_comm_of(p.exe);
    if (!p.tid) {
        t->other++;
        return KYMO_OK;
    }
    if (kind == KYMO_IMPORT_EXIT)
        KYMO_TRY(kymo_pairs_died(t->pairs, p.tid, err));
    return kymo_sink_process(t->sink, &p, err);
}

static kymo_status dispatch(struct ctf *t, const struct event *e, struct kymo_err *err)
{
    static const struct {
        const char *prefix;
        bool exits, compat;
    } call[] = {{"syscall_entry_", false, false},
                {"syscall_exit_", true, false},
                {"compat_syscall_entry_", false, true},
                {"compat_syscall_exit_", true, true}};
    for (size_t i = 0; i < KYMO_COUNT_OF(call); i++) {
        const size_t n = strlen(call[i].prefix);
        if (strncmp(e->name, call[i].prefix, n) == 0 && e->name[n])
            return take_call(t, e, e->name + n, call[i].exits, call[i].compat, err);
    }
    if (strcmp(e->name, "sched_process_fork") == 0)
        return take_process(t, e, KYMO_IMPORT_FORK, err);
    if (strcmp(e->name, "sched_process_exec") == 0)
        return take_process(t, e, KYMO_IMPORT_EXEC, err);
    if (strcmp(e->name, "sched_process_exit") == 0)
        return take_process(t, e, KYMO_IMPORT_EXIT, err);
    t->other++;
    return KYMO_OK;
}

static kymo_status take_message(struct ctf *t, const bt_message *m, struct kymo_err *err)
{
    if (bt_message_get_type(m) != BT_MESSAGE_TYPE_EVENT)
        return KYMO_OK;
    const bt_event *event = bt_message_event_borrow_event_const(m);
    const bt_event_class *class = bt_event_borrow_class_const(event);
    const bt_stream_class *stream = bt_event_class_borrow_stream_class_const(class);
    struct event e = {.name = bt_event_class_get_name(class)};
    int64_t ns = 0;
    t->events++;
    if (!e.name || !bt_stream_class_borrow_default_clock_class_const(stream) ||
        bt_clock_snapshot_get_ns_from_origin(
            bt_message_event_borrow_default_clock_snapshot_const(m), &ns) !=
            BT_CLOCK_SNAPSHOT_GET_NS_FROM_ORIGIN_STATUS_OK ||
        ns < 0) {
        t->other++; /* without a name, or a time */
        return KYMO_OK;
    }
    e.ts_ns = (uint64_t)ns;
    e.context = bt_event_borrow_common_context_field_const(event);
    e.payload = bt_event_borrow_payload_field_const(event);
    e.pid = id_of(e.context, "pid");
    e.tid = id_of(e.context, "tid");
    e.comm = text_of(member(e.context, "procname"));
    if (bt_stream_class_supports_packets(stream))
        e.cpu = id_of(bt_packet_borrow_context_field_const(bt_event_borrow_packet_const(event)),
                      "cpu_id");
    t->now_ns = e.ts_ns > t->now_ns ? e.ts_ns : t->now_ns;
    return dispatch(t, &e, err);
}

/* ---- the graph ---------------------------------------------------------------------------------------------- */

static bt_graph_simple_sink_component_consume_func_status consume(bt_message_iterator *it,
                                                                  void *ctx)
{
    struct ctf *t = ctx;
    bt_message_array_const messages;
    uint64_t n = 0;
    const bt_message_iterator_next_status s = bt_message_iterator_next(it, &messages, &n);
    if (s != BT_MESSAGE_ITERATOR_NEXT_STATUS_OK)
        return (
            bt_graph_simple_sink_component_consume_func_status)s; /* they share their values */
    for (uint64_t i = 0; i < n; i++) {
        if (!t->status)
            t->status = take_message(t, messages[i], &t->err);
        bt_message_put_ref(messages[i]);
    }
    return t->status ? BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_ERROR
                     : BT_GRAPH_SIMPLE_SINK_COMPONENT_CONSUME_FUNC_STATUS_OK;
}

/* What failed: our own word, or the library's last. */
static kymo_status failed(struct ctf *t, const char *what, struct kymo_err *err)
{
    if (t->status) {
        if (err)
            *err = t->err;
        return t->status;
    }
    const bt_error *e = bt_current_thread_take_error();
    const uint64_t n = e ? bt_error_get_cause_count(e) : 0;
    const kymo_status s = KYMO_FAIL(
        err, KYMO_ECORRUPT, KYMO_NOWHERE, "event %" PRIu64 ": %s: %s", t->events + 1, what,
        n ? bt_error_cause_get_message(bt_error_borrow_cause_by_index(e, 0))
          : "no reason given");
    if (e)
        bt_error_release(e);
    return s;
}

static const bt_plugin *plugin(const char *name)
{
    const bt_plugin *p = NULL;
    (void)bt_plugin_find(name, BT_TRUE, BT_TRUE, BT_TRUE, BT_TRUE, BT_FALSE, &p);
    return p;
}

/* source.ctf.fs of the folder */
static bool add_source(struct ctf *t, const bt_plugin *p, const bt_component_source **source)
{
    bt_value *params = bt_value_map_create(), *inputs = NULL;
    const bt_component_class_source *class =
        bt_plugin_borrow_source_component_class_by_name_const(p, "fs");
    const bool ok = class && params &&
                    !bt_value_map_insert_empty_array_entry(params, "inputs", &inputs) &&
                    !bt_value_array_append_string_element(inputs, kymo_input_name(t->in)) &&
                    !bt_graph_add_source_component(t->graph, class, "trace", params,
                                                   BT_LOGGING_LEVEL_NONE, source);
    bt_value_put_ref(params);
    return ok;
}

/* Every stream of the trace into the muxer, in order of time. */
static bool connect_all(struct ctf *t, const bt_component_source *source,
                        const bt_component_filter *muxer, const bt_component_sink *sink)
{
    const uint64_t n = bt_component_source_get_output_port_count(source);
    for (uint64_t i = 0; i < n; i++)
        if (bt_graph_connect_ports(
                t->graph, bt_component_source_borrow_output_port_by_index_const(source, i),
                bt_component_filter_borrow_input_port_by_index_const(muxer, i), NULL))
            return false;
    return !bt_graph_connect_ports(
        t->graph, bt_component_filter_borrow_output_port_by_index_const(muxer, 0),
        bt_component_sink_borrow_input_port_by_index_const(sink, 0), NULL);
}

static bool build(struct ctf *t, const bt_plugin *ctf, const bt_plugin *utils)
{
    const bt_component_source *source;
    const bt_component_filter *muxer;
    const bt_component_sink *sink;
    const bt_component_class_filter *class =
        bt_plugin_borrow_filter_component_class_by_name_const(utils, "muxer");
    t->graph = bt_graph_create(0);
    return t->graph && class && add_source(t, ctf, &source) &&
           !bt_graph_add_filter_component(t->graph, class, "muxer", NULL, BT_LOGGING_LEVEL_NONE,
                                          &muxer) &&
           !bt_graph_add_simple_sink_component(t->graph, "rows", NULL, consume, NULL, t,
                                               &sink) &&
           connect_all(t, source, muxer, sink);
}

static kymo_status begin(struct ctf *t, struct kymo_err *err)
{
    const bt_plugin *ctf = plugin("ctf"), *utils = plugin("utils");
    kymo_status s = KYMO_OK;
    if (!ctf || !utils)
        s = KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                      "the plugins ctf and utils of libbabeltrace2 are not installed");
    else if (!build(t, ctf, utils))
        s = failed(t, "no trace to read", err);
    bt_plugin_put_ref(ctf);
    bt_plugin_put_ref(utils);
    return s;
}

static kymo_status open_ctf(void **ctx, struct kymo_input *in, const struct kymo_import_opts *o,
                            struct kymo_sink *sink, struct kymo_err *err)
{
    struct ctf *t = calloc(1, sizeof(*t));
    if (!t)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    t->in = in;
    t->sink = sink;
    t->arch = o->arch ? o->arch : KYMO_ARCH_X86_64;
    kymo_status s = kymo_pairs_open(&t->pairs, sink, err);
    if (!s)
        s = begin(t, err);
    if (s) {
        close_ctf(t);
        return s;
    }
    *ctx = t;
    kymo_sink_real_time(sink);
    KYMO_TRY(kymo_sink_fact(sink, "times", "real time, as the tracer's clock told it", err));
    return kymo_sink_fact(
        sink, "unknown",
        "cgroup, credentials, arguments that the trace does not name, events that "
        "were not traced or were discarded",
        err);
}

static kymo_status finish(struct ctf *t, struct kymo_err *err)
{
    char text[96];
    KYMO_TRY(kymo_pairs_finish(t->pairs, t->now_ns, err));
    (void)snprintf(text, sizeof(text), "%" PRIu64 ": %" PRIu64 " in no table", t->events,
                   t->other);
    return kymo_sink_fact(t->sink, "events", text, err);
}

static kymo_status step_ctf(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    struct ctf *t = ctx;
    switch (bt_graph_run_once(t->graph)) {
    case BT_GRAPH_RUN_ONCE_STATUS_OK:
    case BT_GRAPH_RUN_ONCE_STATUS_AGAIN:
        *more = 1;
        *now_ns = t->now_ns;
        return KYMO_OK;
    case BT_GRAPH_RUN_ONCE_STATUS_END:
        *more = 0;
        return finish(t, err);
    default:
        return failed(t, "the trace cannot be read", err);
    }
}
#else
static kymo_status open_ctf(void **ctx, struct kymo_input *in, const struct kymo_import_opts *o,
                            struct kymo_sink *sink, struct kymo_err *err)
{
    (void)ctx;
    (void)in;
    (void)o;
    (void)sink;
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                     "this kymo was built without libbabeltrace2, which reads CTF");
}

static kymo_status step_ctf(void *ctx, int *more, uint64_t *now_ns, struct kymo_err *err)
{
    (void)ctx;
    (void)now_ns;
    (void)err;
    *more = 0;
    return KYMO_OK;
}

static void close_ctf(void *ctx)
{
    (void)ctx;
}
#endif

const struct kymo_importer kymo_import_ctf = {
    .name = "ctf",
    .by_name = true,
    .open = open_ctf,
    .step = step_ctf,
    .close = close_ctf,
};
