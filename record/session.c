/* SPDX-License-Identifier: Apache-2.0 */
#include "record/session.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format/base/size.h"
#include "format/trace/sysname.h"
#include "process.skel.h"
#include "record/host.h"
#include "record/keeper.h"
#include "syscall.skel.h"

#define SLOTS_MIN 32768u
#define SLICES_MAX 64u

struct session {
    struct syscall_bpf *calls;
    struct process_bpf *process;
    struct ring_buffer *process_ring;
    struct bpf_link *list[2]; /* by enum session_list */
    struct keeper *keeper;    /* NULL: not dropped yet */
    struct kymo_live *live;
    size_t live_bytes;
    uint32_t n_cpus, n_slices, n_slots, n_cells;
    bool raw;       /* the programs follow no pointers of the kernel's own types */
    uint8_t *cells; /* n_cpus * (n_cells + KYMO_CELL_SPARE) */
    uint8_t *data;  /* n_cpus * n_slices slices with their slack */
    size_t cells_bytes, data_bytes;
    session_take take;
    void *take_ctx;
};

/* ---- what the kernel side is told of each call ---------------------------------------------- */

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(name, names[i]))
            return true;
    return false;
}

static uint32_t pack_call_info(uint32_t arch, uint32_t nr, bool wanted)
{
    static const char *const at_entry[] = {"exit", "exit_group", "rt_sigreturn", "sigreturn"};
    static const char *const forks[] = {"clone", "clone3", "fork", "vfork"};
    static const char *const execs[] = {"execve", "execveat"};
    static const char *const creds[] = {
        "setuid",      "setgid",      "setreuid", "setregid",   "setresuid",
        "setresgid",   "setuid32",    "setgid32", "setreuid32", "setregid32",
        "setresuid32", "setresgid32", "capset",   "unshare",    "setns"};
    static const char *const moves_bytes[] = {
        "read",       "pread64",         "readv",  "preadv",   "preadv2",
        "recvfrom",   "recvmsg",         "write",  "pwrite64", "writev",
        "pwritev",    "pwritev2",        "sendto", "sendmsg",  "sendfile",
        "sendfile64", "copy_file_range", "splice", "vmsplice", "getrandom"};
    const struct kymo_sysinfo *i = kymo_sysinfo(arch, nr);
    uint32_t info = wanted ? KYMO_INFO_WANTED : 0;

    if (!i)
        return info | 6;
    info |= i->n_args & 7u;
    info |= (uint32_t)(i->path + 1) << 4 | (uint32_t)(i->path2 + 1) << 7;
    if (i->addr >= 0)
        info |= (uint32_t)(i->addr + 1) << 10 | (uint32_t)i->addrlen << 13 |
                (i->addrlen_is_pointer ? KYMO_INFO_LEN_POINTER : 0);
    if (is_one_of(i->name, at_entry, KYMO_COUNT_OF(at_entry)))
        info |= KYMO_INFO_AT_ENTRY;
    if (is_one_of(i->name, forks, KYMO_COUNT_OF(forks)))
        info |= KYMO_INFO_FORKS;
    if (is_one_of(i->name, execs, KYMO_COUNT_OF(execs)))
        info |= KYMO_INFO_EXECS;
    if (is_one_of(i->name, creds, KYMO_COUNT_OF(creds)))
        info |= KYMO_INFO_CREDS;
    if (is_one_of(i->name, moves_bytes, KYMO_COUNT_OF(moves_bytes)))
        info |= KYMO_INFO_BYTES;
    return info;
}

static void set_call_info(struct syscall_bpf *calls, const struct session_opts *o)
{
    for (uint32_t nr = 0; nr < KYMO_CALLS_MAX; nr++) {
        calls->rodata->call_info[0][nr] = pack_call_info(host_arch(), nr, o->wanted_native[nr]);
        calls->rodata->call_info[1][nr] =
            pack_call_info(host_arch_compat(), nr, o->wanted_compat[nr]);
    }
    calls->rodata->call_info_unknown =
        6 | (o->wanted_native[KYMO_CALLS_MAX - 1] ? KYMO_INFO_WANTED : 0);
}

/* ---- open ----------------------------------------------------------------------------------- */

static int quiet_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
    (void)level;
    return getenv("KYMO_LIBBPF") ? vfprintf(stderr, fmt, args) : 0;
}

/* How large this type information says that a task is; 0: it says nothing of it. */
static int64_t task_bytes(const struct btf *btf)
{
    const int32_t id = btf__find_by_name_kind(btf, "task_struct", BTF_KIND_STRUCT);

    return id > 0 ? btf__resolve_size(btf, (uint32_t)id) : 0;
}

/* Type information of another kernel would make the programs read at wrong places: what can be told
 * beforehand is. */
static kymo_status check_btf_file(const char *path, struct kymo_err *err)
{
    struct btf *given = btf__parse(path, NULL);
    const int64_t bytes = libbpf_get_error(given) ? 0 : task_bytes(given);
    const int e = errno;

    if (libbpf_get_error(given))
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "--btf %s: this is no type information: %s", path, strerror(e));
    btf__free(given);
    if (bytes <= 0)
        return KYMO_FAIL(err, KYMO_EUSAGE, KYMO_NOWHERE,
                         "--btf %s: this is type information, but not of a kernel", path);
    struct btf *own = btf__parse("/sys/kernel/btf/vmlinux", NULL);
    if (libbpf_get_error(own))
        return KYMO_OK; /* nothing to hold it against */
    const int64_t here = task_bytes(own);
    btf__free(own);
    if (here == bytes)
        return KYMO_OK;
    return KYMO_FAIL(
        err, KYMO_EUSAGE, KYMO_NOWHERE,
        "--btf %s is of another kernel: its struct task_struct has %lld bytes, this "
        "kernel's %lld",
        path, (long long)bytes, (long long)here);
}

/* Our maps index by the tids of the initial namespace, and the kernel reports those. */
static kymo_status check_host(const struct session_opts *o, struct kymo_err *err)
{
    struct stat st;

    if (o->btf_path)
        KYMO_TRY(check_btf_file(o->btf_path, err));
    else if (access("/sys/kernel/btf/vmlinux", R_OK))
        return KYMO_FAIL(
            err, KYMO_EHOST, KYMO_NOWHERE,
            "this kernel shows no type information (/sys/kernel/btf/vmlinux: %s); it needs "
            "CONFIG_DEBUG_INFO_BTF, or a file of it for --btf; see kymo doctor",
            strerror(errno));
    if (!stat("/proc/self/ns/pid", &st) && st.st_ino != HOST_INIT_PID_NS_INO)
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "this is not the host's own pid namespace; record from the host (or "
                         "with --pid=host)");
    return KYMO_OK;
}

static kymo_status load_failed(int e, const char *what, struct kymo_err *err)
{
    if (e == -EPERM)
        return KYMO_FAIL(
            err, KYMO_EHOST, KYMO_NOWHERE,
            "the kernel refused to %s: permission denied; run as root or with CAP_BPF and "
            "CAP_PERFMON, see kymo doctor",
            what);
    if (e == -EACCES) /* what verifiers say; who has no rights is told EPERM */
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                         "the kernel refused to %s: its verifier does not accept them; "
                         "KYMO_LIBBPF=1 in the environment shows why",
                         what);
    return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE,
                     "the kernel refused to %s: %s; see kymo doctor", what, strerror(-e));
}

static uint32_t pow2_at_least(uint32_t n)
{
    uint32_t p = 1;

    while (p < n)
        p *= 2;
    return p;
}

static uint32_t slices_for(uint64_t ring_bytes)
{
    uint32_t n = 1;

    while (n < SLICES_MAX && (uint64_t)n << KYMO_SLICE_BITS < ring_bytes)
        n *= 2;
    return n;
}

/* The number of a function that the kernel offers to programs; 0: it has none such. */
static int32_t kernel_function(const char *name)
{
    struct btf *own = btf__parse("/sys/kernel/btf/vmlinux", NULL);

    if (libbpf_get_error(own))
        return 0;
    const int32_t id = btf__find_by_name_kind(own, name, BTF_KIND_FUNC);
    btf__free(own);
    return id > 0 ? id : 0;
}

/* Put a kernel function's number in place of ours. */
static kymo_status call_kernel(struct bpf_program *p, int32_t ours, int32_t id,
                               struct kymo_err *err)
{
    const size_t n = bpf_program__insn_cnt(p);
    struct bpf_insn *insn = malloc(n * sizeof(*insn));

    if (!insn)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    memcpy(insn, bpf_program__insns(p), n * sizeof(*insn));
    for (size_t i = 0; i < n; i++)
        if (insn[i].code == (BPF_JMP | BPF_CALL) && !insn[i].src_reg && insn[i].imm == ours) {
            insn[i].src_reg = BPF_PSEUDO_KFUNC_CALL;
            insn[i].imm = id;
        }
    const int e = bpf_program__set_insns(p, insn, n);
    free(insn);
    return e ? load_failed(e, "prepare the syscall programs", err) : KYMO_OK;
}

/* Where the kernel has this, threads are known without asking for them (bpf/known.bpf.h). */
static kymo_status use_cast(struct session *s, struct kymo_err *err)
{
    const int32_t id = s->raw ? 0 : kernel_function("bpf_rdonly_cast");

    s->calls->rodata->has_cast = id != 0;
    if (!id)
        return KYMO_OK;
    KYMO_TRY(call_kernel(s->calls->progs.sys_enter, KYMO_CALL_CAST, id, err));
    return call_kernel(s->calls->progs.sys_exit, KYMO_CALL_CAST, id, err);
}

static kymo_status load_calls(struct session *s, const struct session_opts *o,
                              struct kymo_err *err)
{
    const struct bpf_object_open_opts btf = {.sz = sizeof(btf), .btf_custom_path = o->btf_path};

    s->calls = syscall_bpf__open_opts(&btf);
    if (!s->calls)
        return load_failed(-errno, "open the syscall programs", err);
    s->calls->rodata->whom = o->whom;
    s->calls->rodata->ring_slices = s->n_slices;
    KYMO_TRY(use_cast(s, err));
    set_call_info(s->calls, o);
    bpf_map__set_max_entries(s->calls->maps.slots, s->n_slots);
    bpf_map__set_max_entries(s->calls->maps.known, s->n_cpus);
    bpf_map__set_max_entries(s->calls->maps.ring_data, s->n_cpus * s->n_slices);
    s->calls->rodata->cells_of_cpu = s->n_cells;
    bpf_map__set_max_entries(s->calls->maps.cells, s->n_cpus * (s->n_cells + KYMO_CELL_SPARE));
    bpf_program__set_autoload(s->calls->progs.sys_enter, !s->raw);
    bpf_program__set_autoload(s->calls->progs.sys_exit, !s->raw);
    bpf_program__set_autoload(s->calls->progs.sys_enter_raw, s->raw);
    bpf_program__set_autoload(s->calls->progs.sys_exit_raw, s->raw);
    const int e = syscall_bpf__load(s->calls);
    return e ? load_failed(e, "load the syscall programs", err) : KYMO_OK;
}

/* The process programs keep the slots that the syscall programs read: one map for both. */
static kymo_status load_process(struct session *s, const struct session_opts *o,
                                struct kymo_err *err)
{
    const struct bpf_object_open_opts btf = {.sz = sizeof(btf), .btf_custom_path = o->btf_path};

    s->process = process_bpf__open_opts(&btf);
    if (!s->process)
        return load_failed(-errno, "open the process programs", err);
    s->process->rodata->whom = o->whom;
    bpf_program__set_autoload(s->process->progs.snapshot, !s->raw);
    bpf_program__set_autoload(s->process->progs.snapshot_fds, !s->raw);
    int e = bpf_map__reuse_fd(s->process->maps.slots, bpf_map__fd(s->calls->maps.slots));
    if (!e)
        e = bpf_map__reuse_fd(s->process->maps.live, bpf_map__fd(s->calls->maps.live));
    if (!e)
        e = bpf_map__reuse_fd(s->process->maps.ends, bpf_map__fd(s->calls->maps.ends));
    if (!e)
        e = process_bpf__load(s->process);
    return e ? load_failed(e, "load the process programs", err) : KYMO_OK;
}

static kymo_status map_shared(uint8_t **out, size_t *bytes, int fd, size_t n,
                              struct kymo_err *err)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);

    *bytes = kymo_size_round_up(n, page);
    void *p = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return load_failed(-errno, "share the rings", err);
    *out = p;
    return KYMO_OK;
}

static int take_process(void *ctx, void *data, size_t bytes)
{
    struct session *s = ctx;

    if (bytes >= sizeof(struct kymo_event_head))
        s->take(s->take_ctx, data, bytes);
    return 0;
}

static kymo_status map_rings(struct session *s, struct kymo_err *err)
{
    KYMO_TRY(map_shared(
        &s->cells, &s->cells_bytes, bpf_map__fd(s->calls->maps.cells),
        (size_t)s->n_cpus * (s->n_cells + KYMO_CELL_SPARE) * sizeof(struct kymo_cell), err));
    KYMO_TRY(map_shared(&s->data, &s->data_bytes, bpf_map__fd(s->calls->maps.ring_data),
                        (size_t)(KYMO_SLICE_BYTES + KYMO_SLACK_BYTES) * s->n_cpus * s->n_slices,
                        err));
    uint8_t *live;
    KYMO_TRY(map_shared(&live, &s->live_bytes, bpf_map__fd(s->calls->maps.live),
                        sizeof(struct kymo_live), err));
    s->live = (struct kymo_live *)(void *)live;
    s->live->skip[0] = (uint32_t)getpid();
    s->process_ring =
        ring_buffer__new(bpf_map__fd(s->process->maps.process_ring), take_process, s, NULL);
    if (!s->process_ring)
        return load_failed(-errno, "share the process ring", err);
    return KYMO_OK;
}

static kymo_status session_load(struct session *s, const struct session_opts *o,
                                struct kymo_err *err)
{
    KYMO_TRY(check_host(o, err));
    KYMO_TRY(load_calls(s, o, err));
    KYMO_TRY(load_process(s, o, err));
    return map_rings(s, err);
}

kymo_status session_open(struct session **out, const struct session_opts *o,
                         struct kymo_err *err)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        return KYMO_FAIL(err, KYMO_ELIMIT, KYMO_NOWHERE, "out of memory");
    libbpf_set_print(quiet_libbpf);
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    const int cpus = libbpf_num_possible_cpus();
    s->n_cpus = cpus > 0 ? (uint32_t)cpus : 1;
    if (s->n_cpus > KYMO_CPUS_MAX) {
        session_close(s);
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "this host has more than %u CPUs",
                         KYMO_CPUS_MAX);
    }
    s->raw = access("/sys/kernel/btf/vmlinux", R_OK) != 0;
    s->n_slices = slices_for(o->ring_bytes);
    s->n_cells = o->cells ? pow2_at_least(o->cells) : 1;
    const uint32_t pid_max = host_pid_max();
    s->n_slots = pid_max + 1 > SLOTS_MIN ? pid_max + 1 : SLOTS_MIN;
    const kymo_status status = session_load(s, o, err);
    if (status) {
        session_close(s);
        return status;
    }
    *out = s;
    return KYMO_OK;
}

/* Lists run when they are asked for; what can fail about them fails here. */
static kymo_status attach_list(struct session *s, enum session_list which,
                               const struct bpf_program *p, struct kymo_err *err)
{
    s->list[which] = bpf_program__attach_iter(p, NULL);
    return s->list[which] ? KYMO_OK : load_failed(-errno, "list the tasks", err);
}

/* In the order of enum session_list. The keeper lists too, and has to know what. */
static kymo_status attach_lists(struct session *s, struct kymo_err *err)
{
    if (s->raw || s->list[SESSION_TASKS])
        return KYMO_OK;
    KYMO_TRY(attach_list(s, SESSION_TASKS, s->process->progs.snapshot, err));
    return attach_list(s, SESSION_FDS, s->process->progs.snapshot_fds, err);
}

kymo_status session_attach(struct session *s, struct kymo_err *err)
{
    /* Process events first: a birth that is missed leaves a slot with its predecessor's answer. */
    bpf_program__set_autoattach(s->process->progs.snapshot, false);
    bpf_program__set_autoattach(s->process->progs.snapshot_fds, false);
    KYMO_TRY(attach_lists(s, err));
    int e = process_bpf__attach(s->process);
    if (e)
        return load_failed(e, "attach to the process tracepoints", err);
    e = syscall_bpf__attach(s->calls);
    return e ? load_failed(e, "attach to the syscall tracepoints", err) : KYMO_OK;
}

void session_detach(struct session *s)
{
    syscall_bpf__detach(s->calls);
    process_bpf__detach(s->process);
    /* A program that was entered before may still be writing; preemption is off inside, so it
     * leaves within microseconds. Wait until heads stand still. */
    for (int calm = 0, i = 0; calm < 3 && i < 100; i++) {
        uint64_t before = 0, after = 0;
        for (uint32_t c = 0; c < s->n_cpus; c++)
            before += __atomic_load_n(&session_ctl(s, c)->head, __ATOMIC_ACQUIRE);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        for (uint32_t c = 0; c < s->n_cpus; c++)
            after += __atomic_load_n(&session_ctl(s, c)->head, __ATOMIC_ACQUIRE);
        calm = before == after ? calm + 1 : 0;
    }
}

void session_close(struct session *s)
{
    if (!s)
        return;
    if (s->cells)
        munmap(s->cells, s->cells_bytes);
    if (s->data)
        munmap(s->data, s->data_bytes);
    if (s->live)
        munmap(s->live, s->live_bytes);
    ring_buffer__free(s->process_ring);
    for (size_t i = 0; i < KYMO_COUNT_OF(s->list); i++)
        bpf_link__destroy(s->list[i]);
    process_bpf__destroy(s->process);
    syscall_bpf__destroy(s->calls);
    free(s);
}

/* ---- while it runs -------------------------------------------------------------------------- */

uint32_t session_cpus(const struct session *s)
{
    return s->n_cpus;
}

uint64_t session_ring_bytes(const struct session *s)
{
    return (uint64_t)s->n_slices << KYMO_SLICE_BITS;
}

uint64_t session_rings_bytes(const struct session *s)
{
    return s->data_bytes + s->cells_bytes;
}

struct kymo_ring_ctl *session_ctl(const struct session *s, uint32_t cpu)
{
    return &s->calls->bss->ring_ctl[cpu];
}

const uint8_t *session_rings(const struct session *s)
{
    return s->data;
}

void session_ceiling(struct session *s, uint32_t level)
{
    for (uint32_t c = 0; c < s->n_cpus; c++)
        __atomic_store_n(&session_ctl(s, c)->ceiling, level, __ATOMIC_RELAXED);
}

struct kymo_cell *session_cells(const struct session *s, uint32_t cpu, uint32_t *n)
{
    *n = s->n_cells + KYMO_CELL_SPARE;
    return (struct kymo_cell *)(void *)s->cells + (size_t)cpu * *n;
}

struct kymo_live *session_live(const struct session *s)
{
    return s->live;
}

void session_judge_again(struct session *s)
{
    for (uint32_t c = 0; c < s->n_cpus; c++)
        __atomic_fetch_add(&session_ctl(s, c)->generation, KYMO_GENERATION, __ATOMIC_SEQ_CST);
}

/* ---- with and without power ------------------------------------------------------------------ */

static void list_maps(const struct bpf_object *object, struct keeper_opts *o)
{
    const struct bpf_map *m;

    bpf_object__for_each_map(m, object) if (o->n_maps < KEEPER_MAPS_MAX) o->maps[o->n_maps++] =
        bpf_map__fd(m);
}

kymo_status session_power(struct session *s, struct keeper_opts *o, struct kymo_err *err)
{
    KYMO_TRY(attach_lists(s, err));
    for (size_t i = 0; i < KYMO_COUNT_OF(s->list) && s->list[i]; i++)
        o->lists[o->n_lists++] = bpf_link__fd(s->list[i]);
    list_maps(s->calls->obj, o);
    list_maps(s->process->obj, o);
    return KYMO_OK;
}

void session_use_keeper(struct session *s, struct keeper *k)
{
    s->keeper = k;
}

/* Kernels before 5.19 want CAP_BPF of who asks, though the map is open. */
static int map_lookup(const struct session *s, const struct bpf_map *m, const void *key,
                      void *value, size_t value_bytes)
{
    const int e = bpf_map_lookup_elem(bpf_map__fd(m), key, value);

    if (!e || errno != EPERM || !s->keeper)
        return e;
    return keeper_map_lookup(s->keeper, bpf_map__fd(m), key, bpf_map__key_size(m), value,
                             value_bytes)
               ? 0
               : -1;
}

static int map_update(const struct session *s, const struct bpf_map *m, const void *key,
                      const void *value, size_t value_bytes)
{
    const int e = bpf_map_update_elem(bpf_map__fd(m), key, value, BPF_ANY);

    if (!e || errno != EPERM || !s->keeper)
        return e;
    return keeper_map_update(s->keeper, bpf_map__fd(m), key, bpf_map__key_size(m), value,
                             value_bytes)
               ? 0
               : -1;
}

kymo_status session_add_member(struct session *s, uint32_t tid, struct kymo_err *err)
{
    struct kymo_slot slot = {.choice = KYMO_SLOT_MEMBER};

    if (tid >= s->n_slots || map_update(s, s->calls->maps.slots, &tid, &slot, sizeof(slot)))
        return KYMO_FAIL(err, KYMO_EHOST, KYMO_NOWHERE, "cannot select thread %u: %s", tid,
                         strerror(errno));
    return KYMO_OK;
}

bool session_slot(const struct session *s, uint32_t tid, struct kymo_slot *out)
{
    return tid < s->n_slots && !map_lookup(s, s->calls->maps.slots, &tid, out, sizeof(*out));
}

uint32_t session_slots(const struct session *s)
{
    return s->n_slots;
}

uint32_t session_take_process(struct session *s, session_take take, void *ctx)
{
    s->take = take;
    s->take_ctx = ctx;
    const int n = ring_buffer__consume(s->process_ring);
    return n > 0 ? (uint32_t)n : 0;
}

void session_process_counts(const struct session *s, struct session_process_counts *out)
{
    struct session_process_counts *per_cpu = calloc(s->n_cpus, sizeof(*per_cpu));
    const uint32_t zero = 0;

    memset(out, 0, sizeof(*out));
    if (per_cpu && !map_lookup(s, s->process->maps.process_counts, &zero, per_cpu,
                               s->n_cpus * sizeof(*per_cpu)))
        for (uint32_t c = 0; c < s->n_cpus; c++) {
            out->seen += per_cpu[c].seen;
            out->stored += per_cpu[c].stored;
            out->filtered += per_cpu[c].filtered;
            out->dropped_ring += per_cpu[c].dropped_ring;
        }
    free(per_cpu);
}

bool session_has_lists(const struct session *s)
{
    return s->list[SESSION_TASKS] != NULL;
}

kymo_status session_list(const struct session *s, enum session_list which, int *fd,
                         struct kymo_err *err)
{
    *fd = s->keeper ? keeper_list(s->keeper, which)
                    : bpf_iter_create(bpf_link__fd(s->list[which]));
    return *fd < 0 ? load_failed(-errno, "list the tasks", err) : KYMO_OK;
}

/* Whole records lie at the start of buf; returns how many bytes they are. */
static size_t take_tasks(const uint8_t *buf, size_t have, session_task take, void *ctx)
{
    size_t at = 0;

    while (have - at >= KYMO_EVENT_PROCESS_FIXED) {
        const struct kymo_event_process *e = (const void *)(buf + at);
        if (e->task.head.bytes < KYMO_EVENT_PROCESS_FIXED || e->task.head.bytes > have - at)
            break;
        take(ctx, e);
        at += e->task.head.bytes;
    }
    return at;
}

kymo_status session_snapshot(struct session *s, session_task take, void *ctx,
                             struct kymo_err *err)
{
    uint64_t buf[4 * sizeof(struct kymo_event_process) / sizeof(uint64_t)];
    uint8_t *bytes = (uint8_t *)buf;
    size_t have = 0;
    int fd;

    KYMO_TRY(session_list(s, SESSION_TASKS, &fd, err));
    for (;;) {
        const ssize_t n = read(fd, bytes + have, sizeof(buf) - have);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
        const size_t taken = take_tasks(bytes, have, take, ctx);
        have -= taken;
        memmove(bytes, bytes + taken, have);
    }
    close(fd);
    return KYMO_OK;
}
