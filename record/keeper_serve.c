/* SPDX-License-Identifier: Apache-2.0 */
#include "record/keeper_serve.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "format/base/size.h"
#include "format/trace/chunk.h"
#include "record/control.h"
#include "record/follow.h"
#include "record/keeper.h"
#include "record/power.h"

#define LINK_MAX 4096u

struct map {
    int fd;
    uint32_t key_bytes, value_bytes;
};

/* What it was started with, and nothing that a request changes. */
struct server {
    int fd, folder;
    int list[KEEPER_LISTS_MAX];
    size_t n_lists;
    pid_t recorder;
    uid_t owner;
    gid_t group;
    bool has_owner;
    char stem[KEEPER_NAME_MAX + 1]; /* names of our files begin so */
    struct map map[KEEPER_MAPS_MAX];
    size_t n_maps;
};

/* ---- /proc ---------------------------------------------------------------------------------- */

/* What a request may name is a number, so no path can be made of it but the one that is meant. */
static bool is_pid(uint32_t v)
{
    return v && v <= INT32_MAX;
}

static int read_proc(const char *path, struct keeper_answer *a)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno;
    while (a->text_bytes < KEEPER_TEXT_MAX) {
        const ssize_t n = read(fd, a->text + a->text_bytes, KEEPER_TEXT_MAX - a->text_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        a->text_bytes += (uint32_t)n;
    }
    close(fd);
    return 0;
}

static int serve_link(struct server *s, const struct keeper_request *q, struct keeper_answer *a,
                      int *fd)
{
    char path[64];

    (void)s, (void)fd;
    if (!is_pid(q->pid) || q->text_bytes)
        return EINVAL;
    if (q->kind == KEEPER_FD)
        snprintf(path, sizeof(path), "/proc/%u/fd/%u", q->pid, q->number);
    else
        snprintf(path, sizeof(path), "/proc/%u/%s", q->pid,
                 q->kind == KEEPER_EXE ? "exe" : "cwd");
    const ssize_t n = readlink(path, (char *)a->text, LINK_MAX);
    if (n < 0)
        return errno;
    a->text_bytes = (uint32_t)n;
    return 0;
}

static int serve_file(struct server *s, const struct keeper_request *q, struct keeper_answer *a,
                      int *fd)
{
    char path[64];

    (void)s, (void)fd;
    if (!is_pid(q->pid) || q->text_bytes)
        return EINVAL;
    snprintf(path, sizeof(path), "/proc/%u/%s", q->pid,
             q->kind == KEEPER_ARGV ? "cmdline" : "cgroup");
    return read_proc(path, a);
}

static int serve_blocked(struct server *s, const struct keeper_request *q,
                         struct keeper_answer *a, int *fd)
{
    char path[64];

    (void)s, (void)fd;
    if (!is_pid(q->pid) || !is_pid(q->number) || q->text_bytes)
        return EINVAL;
    snprintf(path, sizeof(path), "/proc/%u/task/%u/syscall", q->pid, q->number);
    return read_proc(path, a);
}

static int serve_container(struct server *s, const struct keeper_request *q,
                           struct keeper_answer *a, int *fd)
{
    char name[KEEPER_NAME_MAX + 1];

    (void)s, (void)fd;
    if (q->text_bytes > KEEPER_NAME_MAX || memchr(q->text, 0, q->text_bytes))
        return EINVAL;
    memcpy(name, q->text, q->text_bytes);
    name[q->text_bytes] = 0;
    if (!follow_id_by_name("", name, (char *)a->text, KEEPER_TEXT_MAX)) /* checks the name */
        return ENOENT;
    a->text_bytes = (uint32_t)strlen((const char *)a->text);
    return 0;
}

/* ---- the kernel's programs and maps --------------------------------------------------------- */

static int serve_list(struct server *s, const struct keeper_request *q, struct keeper_answer *a,
                      int *fd)
{
    (void)a;
    if (q->text_bytes || q->number >= s->n_lists)
        return EINVAL;
    *fd = bpf_iter_create(s->list[q->number]);
    return *fd < 0 ? errno : 0;
}

static const struct map *map_of(const struct server *s, uint32_t fd)
{
    for (size_t i = 0; i < s->n_maps; i++)
        if ((uint32_t)s->map[i].fd == fd)
            return &s->map[i];
    return NULL;
}

static int serve_lookup(struct server *s, const struct keeper_request *q,
                        struct keeper_answer *a, int *fd)
{
    const struct map *m = map_of(s, q->number);

    (void)fd;
    if (!m || q->text_bytes != m->key_bytes)
        return EINVAL;
    if (m->value_bytes > KEEPER_TEXT_MAX)
        return E2BIG;
    if (bpf_map_lookup_elem(m->fd, q->text, a->text))
        return errno;
    a->text_bytes = m->value_bytes;
    return 0;
}

static int serve_update(struct server *s, const struct keeper_request *q,
                        struct keeper_answer *a, int *fd)
{
    const struct map *m = map_of(s, q->number);

    (void)a, (void)fd;
    if (!m || m->key_bytes > q->text_bytes || q->text_bytes - m->key_bytes != m->value_bytes)
        return EINVAL;
    return bpf_map_update_elem(m->fd, q->text, q->text + m->key_bytes, BPF_ANY) ? errno : 0;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* What may follow the first file's name without its ending. */
static bool goes_on(uint8_t c)
{
    return c == '.' || c == '-' || c == '_';
}

/* A name of ours: it begins as the first file's does and holds nothing that leads elsewhere. */
static bool take_name(const struct server *s, const struct keeper_request *q,
                      char name[KEEPER_NAME_MAX + 1])
{
    const size_t stem_bytes = strlen(s->stem);

    if (s->folder < 0 || !stem_bytes || *s->stem == '.' || q->text_bytes > KEEPER_NAME_MAX ||
        q->text_bytes < stem_bytes || memcmp(q->text, s->stem, stem_bytes) != 0 ||
        (q->text_bytes > stem_bytes && !goes_on(q->text[stem_bytes])))
        return false;
    for (uint32_t i = 0; i < q->text_bytes; i++)
        if (q->text[i] == '/' || q->text[i] < ' ' || q->text[i] == 0x7f)
            return false;
    memcpy(name, q->text, q->text_bytes);
    name[q->text_bytes] = 0;
    return true;
}

static int serve_part_open(struct server *s, const struct keeper_request *q,
                           struct keeper_answer *a, int *fd)
{
    char name[KEEPER_NAME_MAX + 1];

    (void)a;
    if (!take_name(s, q, name))
        return EINVAL;
    *fd = openat(s->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0)
        return errno;
    if (s->has_owner && fchown(*fd, s->owner, s->group)) {
        const int e = errno;
        unlinkat(s->folder, name, 0);
        return e;
    }
    return 0;
}

/* Only what is a capture, or was going to be one: empty, or beginning with a capture's header. */
static bool is_capture(int folder, const char *name)
{
    uint8_t header[KYMO_FILE_HEADER_BYTES];
    struct stat st;
    const int fd =
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool is = false;

    if (fd < 0)
        return false;
    if (!fstat(fd, &st) && S_ISREG(st.st_mode)) {
        const ssize_t n = read(fd, header, sizeof(header));
        is = n == 0 || (n == (ssize_t)sizeof(header) && !kymo_file_header_decode(header, NULL));
    }
    close(fd);
    return is;
}

static int serve_part_remove(struct server *s, const struct keeper_request *q,
                             struct keeper_answer *a, int *fd)
{
    char name[KEEPER_NAME_MAX + 1];

    (void)a, (void)fd;
    if (!take_name(s, q, name))
        return EINVAL;
    if (!is_capture(s->folder, name))
        return EPERM;
    return unlinkat(s->folder, name, 0) ? errno : 0;
}

/* ---- requests ------------------------------------------------------------------------------- */

/* One row a request: what is not here is refused. */
typedef int (*handler)(struct server *s, const struct keeper_request *q,
                       struct keeper_answer *a, int *fd);
static const handler HANDLERS[KEEPER_KINDS] = {
    [KEEPER_LIST] = serve_list,
    [KEEPER_EXE] = serve_link,
    [KEEPER_CWD] = serve_link,
    [KEEPER_FD] = serve_link,
    [KEEPER_ARGV] = serve_file,
    [KEEPER_CGROUP] = serve_file,
    [KEEPER_BLOCKED] = serve_blocked,
    [KEEPER_PART_OPEN] = serve_part_open,
    [KEEPER_PART_REMOVE] = serve_part_remove,
    [KEEPER_MAP_LOOKUP] = serve_lookup,
    [KEEPER_MAP_UPDATE] = serve_update,
    [KEEPER_CONTAINER] = serve_container,
};

/* What the requests need: maps and iterators on kernels before 5.19, and other users' processes. */
static const cap_value_t CAPS[] = {CAP_BPF, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};

static bool send_answer(int socket, struct keeper_answer *a, int fd)
{
    struct iovec part = {a, KEEPER_ANSWER_FIXED + a->text_bytes};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};

    if (fd >= 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof(control.bytes);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    }
    return sendmsg(socket, &m, MSG_NOSIGNAL) >= 0;
}

static uint64_t own_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void serve_one(struct server *s, const struct keeper_request *q, size_t bytes,
                      struct keeper_answer *a)
{
    int fd = -1;

    a->sequence = bytes >= KEEPER_REQUEST_FIXED ? q->sequence : 0;
    a->text_bytes = 0;
    a->error = EPROTO;
    if (bytes >= KEEPER_REQUEST_FIXED && q->text_bytes == bytes - KEEPER_REQUEST_FIXED &&
        q->kind < KEEPER_KINDS && HANDLERS[q->kind])
        a->error = (uint32_t)HANDLERS[q->kind](s, q, a, &fd);
    if (a->error)
        a->text_bytes = 0;
    a->cpu_ns = own_cpu_ns();
    send_answer(s->fd, a, a->error ? -1 : fd);
    if (fd >= 0)
        close(fd);
}

static void serve(struct server *s)
{
    static struct keeper_request q;
    static struct keeper_answer a;

    for (;;) {
        /* Descriptors that come along are not taken: there is no room given for them. */
        const ssize_t n = recv(s->fd, &q, sizeof(q), MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; /* the recorder is gone */
        serve_one(s, &q, (size_t)n <= sizeof(q) ? (size_t)n : 0, &a);
    }
}

/* ---- from fork to the first request --------------------------------------------------------- */

static void learn_lists(struct server *s, const struct keeper_opts *o)
{
    for (size_t i = 0; i < o->n_lists && i < KEEPER_LISTS_MAX; i++)
        s->list[s->n_lists++] = o->lists[i];
}

/* What is asked of a map is held against these. */
static void learn_maps(struct server *s, const struct keeper_opts *o)
{
    const int cpus = libbpf_num_possible_cpus();

    for (size_t i = 0; i < o->n_maps && s->n_maps < KEEPER_MAPS_MAX; i++) {
        struct bpf_map_info info = {0};
        uint32_t n = sizeof(info);
        if (bpf_obj_get_info_by_fd(o->maps[i], &info, &n))
            continue;
        const bool per_cpu = info.type == BPF_MAP_TYPE_PERCPU_ARRAY ||
                             info.type == BPF_MAP_TYPE_PERCPU_HASH ||
                             info.type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
        s->map[s->n_maps++] = (struct map){
            .fd = o->maps[i],
            .key_bytes = info.key_size,
            .value_bytes = per_cpu
                               ? (info.value_size + 7) / 8 * 8 * (uint32_t)(cpus > 0 ? cpus : 1)
                               : info.value_size,
        };
    }
}

/* The folder is opened once: whoever moves or replaces it later moves nothing of ours. */
static void learn_output(struct server *s, const struct keeper_opts *o)
{
    char dir[4096], base[4096];
    struct stat st;

    s->folder = -1;
    if (!o->output || strlen(o->output) >= sizeof(dir))
        return;
    snprintf(dir, sizeof(dir), "%s", o->output); /* both are cut in place */
    snprintf(base, sizeof(base), "%s", o->output);
    snprintf(s->stem, sizeof(s->stem), "%s", basename(base));
    char *end = strstr(s->stem, ".kymo");
    if (end && end != s->stem && !end[5])
        *end = 0;
    s->folder = open(dirname(dir), O_PATH | O_DIRECTORY | O_CLOEXEC);
    s->owner = geteuid();
    s->group = getegid();
    if (o->output_fd >= 0 && !fstat(o->output_fd, &st)) {
        s->owner = st.st_uid;
        s->group = st.st_gid;
    } else if (s->folder >= 0) {
        power_folder_owner(s->folder, &s->owner, &s->group);
    }
    s->has_owner = s->owner != geteuid() || s->group != getegid();
}

static int by_number(const void *a, const void *b)
{
    const int x = *(const int *)a, y = *(const int *)b;

    return (x > y) - (x < y);
}

/* Nothing stays open but what requests are served with. 0, 1 and 2 stay taken, by something that
 * cannot be written to, so that no message of the C library ends up in a file of ours. */
static void close_the_rest(const struct server *s)
{
    int keep[KEEPER_MAPS_MAX + KEEPER_LISTS_MAX + 5] = {0, 1, 2, s->fd, s->folder};
    size_t n = 5;
    const int nothing = open("/", O_PATH | O_CLOEXEC);

    for (int i = 0; i < 3; i++)
        dup2(nothing, i);
    for (size_t i = 0; i < s->n_maps; i++)
        keep[n++] = s->map[i].fd;
    for (size_t i = 0; i < s->n_lists; i++)
        keep[n++] = s->list[i];
    qsort(keep, n, sizeof(keep[0]), by_number);
    int from = 3;
    for (size_t i = 0; i < n; i++) {
        if (keep[i] > from)
            close_range((unsigned)from, (unsigned)keep[i] - 1, 0);
        from = keep[i] >= from ? keep[i] + 1 : from;
    }
    close_range((unsigned)from, ~0u, 0);
}

/*
 * Root without CAP_DAC_OVERRIDE writes where root's own permissions let it; a part that belongs to
 * the person behind sudo has to be given to them. Only where that is so are the capabilities kept.
 */
static size_t choose_caps(const struct server *s, cap_value_t caps[], size_t cap)
{
    size_t n = 0;
    struct stat st;

    for (size_t i = 0; i < KYMO_COUNT_OF(CAPS) && n < cap; i++)
        caps[n++] = CAPS[i];
    if (s->folder < 0 || fstat(s->folder, &st))
        return n;
    const mode_t need = st.st_uid == geteuid() ? S_IWUSR | S_IXUSR : S_IWOTH | S_IXOTH;
    if ((st.st_mode & need) != need && n < cap)
        caps[n++] = CAP_DAC_OVERRIDE;
    if (s->has_owner && n < cap)
        caps[n++] = CAP_CHOWN;
    return n;
}

static kymo_status settle(struct server *s, struct kymo_err *err)
{
    cap_value_t caps[KYMO_COUNT_OF(CAPS) + 2];

    prctl(PR_SET_NAME, "kymo-keeper", 0, 0, 0);
    /* A terminal's ^C is the recorder's to answer; the keeper ends with the recorder. */
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGPIPE ||
                            sig == SIGQUIT || sig == SIGUSR1 || sig == SIGUSR2
                        ? SIG_IGN
                        : SIG_DFL);
    close_the_rest(s);
    KYMO_TRY(power_keep(caps, choose_caps(s, caps, KYMO_COUNT_OF(caps)), err));
    return power_confine_keeper(err);
}

_Noreturn void keeper_serve(int socket, pid_t recorder, const struct keeper_opts *o)
{
    struct server s = {.fd = socket, .recorder = recorder};
    struct keeper_answer ready = {0};
    struct kymo_err err = {0};

    learn_lists(&s, o);
    learn_maps(&s, o);
    learn_output(&s, o);
    if (settle(&s, &err)) {
        ready.error = EPERM;
        ready.text_bytes = (uint32_t)strnlen(err.text, sizeof(err.text));
        memcpy(ready.text, err.text, ready.text_bytes);
    }
    if (send_answer(socket, &ready, -1) && !ready.error)
        serve(&s);
    control_remove(recorder);
    _exit(ready.error ? 1 : 0);
}
