/* SPDX-License-Identifier: Apache-2.0 */
#include "record/host.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "format/trace/sysname.h"
#include "record/follow.h"
#include "record/keeper.h"

#define TREE_PIDS_MAX 65536u
#define CGROUP_MOUNTS_MAX 16u
#define CGROUPS_REMEMBERED 64u

static struct keeper
    *keeper; /* what this process may not read itself; one recording a process */

void host_use_keeper(struct keeper *k)
{
    keeper = k;
}

/* ---- constants and clocks ------------------------------------------------------------------- */

uint32_t host_arch(void)
{
#if defined(__x86_64__)
    return KYMO_ARCH_X86_64;
#elif defined(__aarch64__)
    return KYMO_ARCH_AARCH64;
#else
#error "kymo records on x86-64 and arm64"
#endif
}

uint32_t host_arch_compat(void)
{
#if defined(__x86_64__)
    return KYMO_ARCH_I386;
#else
    return 0x40000028u; /* AUDIT_ARCH_ARM */
#endif
}

static uint64_t clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t host_mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t host_boot_ns(void)
{
    return clock_ns(CLOCK_BOOTTIME);
}

uint64_t host_real_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

uint64_t host_own_cpu_ns(void)
{
    return clock_ns(CLOCK_PROCESS_CPUTIME_ID) + (keeper ? keeper_cpu_ns(keeper) : 0);
}

uint64_t host_own_rss_bytes(void)
{
    char buf[256];
    unsigned long long size, resident;

    if (!host_read("/proc/self/statm", buf, sizeof(buf)) ||
        sscanf(buf, "%llu %llu", &size, &resident) != 2)
        return 0;
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint32_t host_pid_max(void)
{
    char buf[32];

    return host_read("/proc/sys/kernel/pid_max", buf, sizeof(buf))
               ? (uint32_t)strtoul(buf, NULL, 10)
               : 32768;
}

/* ---- /proc ---------------------------------------------------------------------------------- */

size_t host_read(const char *path, char *buf, size_t cap)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;

    buf[0] = 0;
    if (fd < 0)
        return 0;
    while (n < cap - 1) {
        const ssize_t got = read(fd, buf + n, cap - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    close(fd);
    buf[n] = 0;
    return n;
}

/* A file of a process: read by ourselves where we may, else by the keeper. */
static size_t read_of(enum keeper_kind kind, uint32_t pid, uint32_t tid, const char *path,
                      char *buf, size_t cap)
{
    errno = 0;
    const size_t n = host_read(path, buf, cap);

    if (n || !keeper || (errno != EACCES && errno != EPERM))
        return n;
    return keeper_text(keeper, kind, pid, tid, buf, cap);
}

/* exe, cwd, fd/NUMBER */
static size_t ask_for_link(uint32_t pid, const char *name, char *buf, size_t cap)
{
    if (!strncmp(name, "fd/", 3))
        return keeper_text(keeper, KEEPER_FD, pid, (uint32_t)strtoul(name + 3, NULL, 10), buf,
                           cap);
    return keeper_text(keeper, strcmp(name, "cwd") ? KEEPER_EXE : KEEPER_CWD, pid, 0, buf, cap);
}

size_t host_link(uint32_t pid, const char *name, char *buf, size_t cap)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
    const ssize_t n = readlink(path, buf, cap - 1);
    if (n < 0 && keeper && (errno == EACCES || errno == EPERM))
        return ask_for_link(pid, name, buf, cap);
    buf[n > 0 ? n : 0] = 0;
    return n > 0 ? (size_t)n : 0;
}

size_t host_argv(uint32_t pid, char *buf, size_t cap)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
    size_t n = read_of(KEEPER_ARGV, pid, 0, path, buf, cap);
    while (n > 1 && !buf[n - 1] &&
           !buf[n - 2]) /* a process that renamed itself leaves a tail of zeros */
        n--;
    return n;
}

static bool needs_quotes(const char *s, size_t n)
{
    if (!n)
        return true;
    for (size_t i = 0; i < n; i++)
        if (isspace((unsigned char)s[i]) || strchr("'\"\\$`", s[i]))
            return true;
    return false;
}

static size_t put_quoted(char *out, size_t cap, const char *s, size_t n)
{
    size_t at = 0;

    out[at++] = '\'';
    for (size_t i = 0; i < n && at + 6 < cap; i++)
        if (s[i] == '\'') {
            out[at++] = '\'';
            out[at++] = '\\';
            out[at++] = '\'';
            out[at++] = '\'';
        } else {
            out[at++] = s[i];
        }
    out[at++] = '\'';
    return at;
}

size_t host_join_argv(const char *argv, size_t n, char *out, size_t cap)
{
    size_t at = 0, i = 0;

    while (i < n && at + 8 < cap) {
        const size_t len = strnlen(argv + i, n - i);
        if (at)
            out[at++] = ' ';
        if (needs_quotes(argv + i, len)) {
            at += put_quoted(out + at, cap - at, argv + i, len);
        } else {
            const size_t fits = len < cap - at - 1 ? len : cap - at - 1;
            memcpy(out + at, argv + i, fits);
            at += fits;
        }
        i += len + 1;
    }
    out[at] = 0;
    return at;
}

int host_part_open(int folder, const char *name)
{
    if (keeper)
        return keeper_part_open(keeper, name);
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
}

bool host_part_remove(int folder, const char *name)
{
    return keeper ? keeper_part_remove(keeper, name) : !unlinkat(folder, name, 0);
}

bool host_blocked_call(uint32_t pid, uint32_t tid, uint64_t *nr, uint64_t arg[6])
{
    char path[64], buf[256];

    snprintf(path, sizeof(path), "/proc/%u/task/%u/syscall", pid, tid);
    if (!read_of(KEEPER_BLOCKED, pid, tid, path, buf, sizeof(buf)))
        return false;
    return sscanf(buf,
                  "%" SCNu64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64 " 0x%" SCNx64
                  " 0x%" SCNx64 " 0x%" SCNx64,
                  nr, &arg[0], &arg[1], &arg[2], &arg[3], &arg[4], &arg[5]) == 7;
}

/* The field after the command name, which may hold anything: parse from the last bracket. */
static uint32_t parent_of(uint32_t pid)
{
    char path[64], buf[1024];
    unsigned ppid;

    snprintf(path, sizeof(path), "/proc/%u/stat", pid);
    if (!host_read(path, buf, sizeof(buf)))
        return 0;
    const char *after = strrchr(buf, ')');
    return after && sscanf(after + 1, " %*c %u", &ppid) == 1 ? ppid : 0;
}

static void take_threads(uint32_t pid, void (*take)(void *ctx, uint32_t tid), void *ctx)
{
    char path[64];
    const struct dirent *e;

    snprintf(path, sizeof(path), "/proc/%u/task", pid);
    DIR *d = opendir(path);
    if (!d)
        return;
    while ((e = readdir(d)))
        if (isdigit((unsigned char)e->d_name[0]))
            take(ctx, (uint32_t)strtoul(e->d_name, NULL, 10));
    closedir(d);
}

struct pid_pair {
    uint32_t pid, ppid;
};

static size_t list_processes(struct pid_pair *p, size_t cap)
{
    const struct dirent *e;
    size_t n = 0;
    DIR *d = opendir("/proc");

    if (!d)
        return 0;
    while ((e = readdir(d)) && n < cap)
        if (isdigit((unsigned char)e->d_name[0])) {
            p[n].pid = (uint32_t)strtoul(e->d_name, NULL, 10);
            p[n].ppid = parent_of(p[n].pid);
            n++;
        }
    closedir(d);
    return n;
}

bool host_tree(uint32_t pid, void (*take)(void *ctx, uint32_t tid), void *ctx)
{
    struct pid_pair *p = calloc(TREE_PIDS_MAX, sizeof(*p));
    uint8_t *in = calloc(TREE_PIDS_MAX, 1);
    const size_t n = p && in ? list_processes(p, TREE_PIDS_MAX) : 0;
    bool found = false, grew = true;

    for (size_t i = 0; i < n; i++)
        if (p[i].pid == pid)
            in[i] = 1, found = true;
    while (grew) {
        grew = false;
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; !in[i] && j < n; j++)
                if (in[j] && p[i].ppid == p[j].pid)
                    in[i] = 1, grew = true;
    }
    for (size_t i = 0; i < n; i++)
        if (in[i])
            take_threads(p[i].pid, take, ctx);
    free(p);
    free(in);
    return found;
}

/* ---- facts ---------------------------------------------------------------------------------- */

static void fact_of_file(host_fact take, void *ctx, const char *key, const char *path)
{
    char buf[512];
    size_t n = host_read(path, buf, sizeof(buf));

    while (n && isspace((unsigned char)buf[n - 1]))
        buf[--n] = 0;
    if (n)
        take(ctx, key, buf);
}

static void fact_of_number(host_fact take, void *ctx, const char *key, uint64_t v)
{
    char buf[32];

    snprintf(buf, sizeof(buf), "%" PRIu64, v);
    take(ctx, key, buf);
}

void host_facts(host_fact take, void *ctx)
{
    struct utsname u;

    if (!uname(&u)) {
        take(ctx, "hostname", u.nodename);
        take(ctx, "kernel", u.release);
        take(ctx, "kernel_version", u.version);
        take(ctx, "machine", u.machine);
    }
    fact_of_file(take, ctx, "boot_id", "/proc/sys/kernel/random/boot_id");
    fact_of_number(take, ctx, "cpus", (uint64_t)sysconf(_SC_NPROCESSORS_ONLN));
    fact_of_number(take, ctx, "memory_bytes",
                   (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE));
    fact_of_number(take, ctx, "page_bytes", (uint64_t)sysconf(_SC_PAGESIZE));
    fact_of_number(take, ctx, "clock_ticks_hz", (uint64_t)sysconf(_SC_CLK_TCK));
}

/* ---- cgroups -------------------------------------------------------------------------------- */

struct cgroup_mounts {
    size_t n;
    struct {
        char path[256];
        char controllers[256]; /* of a v1 hierarchy; "" for v2 */
    } m[CGROUP_MOUNTS_MAX];
};

static const struct cgroup_mounts *cgroup_mounts(void)
{
    static struct cgroup_mounts mounts; /* the recorder's own view of its host: read once */
    const struct mntent *e;
    FILE *f;

    if (mounts.n || !(f = setmntent("/proc/self/mounts", "r")))
        return &mounts;
    while ((e = getmntent(f)) && mounts.n < CGROUP_MOUNTS_MAX) {
        const bool v2 = !strcmp(e->mnt_type, "cgroup2");
        if (!v2 && strcmp(e->mnt_type, "cgroup") != 0)
            continue;
        snprintf(mounts.m[mounts.n].path, sizeof(mounts.m[0].path), "%s", e->mnt_dir);
        snprintf(mounts.m[mounts.n].controllers, sizeof(mounts.m[0].controllers), "%s",
                 v2 ? "" : e->mnt_opts);
        mounts.n++;
    }
    endmntent(f);
    return &mounts;
}

static bool tells_tasks(const char *controllers)
{
    return !*controllers || strstr(controllers, "memory") || strstr(controllers, "pids");
}

const char *host_cgroup_mount(size_t i, bool *v2)
{
    const struct cgroup_mounts *ms = cgroup_mounts();

    for (size_t m = 0; m < ms->n; m++) {
        if (!tells_tasks(ms->m[m].controllers) || i--)
            continue;
        *v2 = !*ms->m[m].controllers;
        return ms->m[m].path;
    }
    return NULL;
}

uint64_t host_cgroup_inode(const char *mount, const char *path)
{
    char full[4096 + 256];
    struct stat st;

    snprintf(full, sizeof(full), "%s%s%s", mount, *path == '/' || !*mount ? "" : "/", path);
    return stat(full, &st) || !S_ISDIR(st.st_mode) ? 0 : (uint64_t)st.st_ino;
}

uint64_t host_cgroup_id(const char *path)
{
    const struct cgroup_mounts *ms = cgroup_mounts();
    uint64_t id = 0;

    for (size_t i = 0; i < ms->n; i++) {
        const size_t n = strlen(ms->m[i].path);
        if (!strncmp(path, ms->m[i].path, n) && (path[n] == '/' || !path[n]))
            return host_cgroup_inode("", path);
    }
    for (size_t i = 0; i < ms->n && !id; i++)
        if (tells_tasks(ms->m[i].controllers))
            id = host_cgroup_inode(ms->m[i].path, path);
    return id;
}

/* Is the path on this line of /proc/PID/cgroup the cgroup with this id? */
static bool line_is(const char *path, uint64_t id)
{
    const struct cgroup_mounts *ms = cgroup_mounts();

    for (size_t i = 0; i < ms->n; i++)
        if (host_cgroup_inode(ms->m[i].path, path) == id)
            return true;
    return false;
}

static size_t path_by_process(uint64_t id, uint32_t pid, char *buf, size_t cap)
{
    char file[64], text[8192];
    char *save = NULL;

    snprintf(file, sizeof(file), "/proc/%u/cgroup", pid);
    read_of(KEEPER_CGROUP, pid, 0, file, text, sizeof(text));
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *path = strchr(line, ':');
        path = path ? strchr(path + 1, ':') : NULL;
        if (path && line_is(path + 1, id))
            return (size_t)snprintf(buf, cap, "%s", path + 1);
    }
    return 0;
}

/* Followed cgroups, the latest ones; path below the hierarchy's root. */
static struct {
    uint64_t id;
    char *path;
} remembered[CGROUPS_REMEMBERED];
static size_t n_remembered;

void host_cgroup_remember(uint64_t id, const char *path)
{
    const struct cgroup_mounts *ms = cgroup_mounts();

    for (size_t i = 0; i < CGROUPS_REMEMBERED; i++)
        if (remembered[i].id == id)
            return;
    for (size_t i = 0; i < ms->n; i++) {
        const size_t n = strlen(ms->m[i].path);
        if (!strncmp(path, ms->m[i].path, n) && path[n] == '/') {
            path += n;
            break;
        }
    }
    const size_t at = n_remembered++ % CGROUPS_REMEMBERED;
    free(remembered[at].path);
    remembered[at].path = strdup(path);
    remembered[at].id = id;
}

static size_t path_remembered(uint64_t id, char *buf, size_t cap)
{
    for (size_t i = 0; i < CGROUPS_REMEMBERED; i++)
        if (remembered[i].id == id && remembered[i].path)
            return (size_t)snprintf(buf, cap, "%s%s", *remembered[i].path == '/' ? "" : "/",
                                    remembered[i].path);
    return 0;
}

struct search {
    uint64_t id;
    size_t root_bytes;
    char *buf;
    size_t cap, found_bytes;
};
static __thread struct search *search; /* nftw has no context argument */

static int search_visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    if (type != FTW_D || (uint64_t)st->st_ino != search->id)
        return 0;
    const char *below = path + search->root_bytes;
    search->found_bytes =
        (size_t)snprintf(search->buf, search->cap, "%s", *below ? below : "/");
    return 1;
}

size_t host_cgroup_path(uint64_t id, uint32_t pid, char *buf, size_t cap)
{
    const struct cgroup_mounts *ms = cgroup_mounts();
    struct search s = {.id = id, .buf = buf, .cap = cap};
    size_t n = path_by_process(id, pid, buf, cap);
    if (!n)
        n = path_remembered(id, buf, cap);

    if (n)
        return n < cap ? n : cap - 1;
    search = &s;
    for (size_t i = 0; i < ms->n && !s.found_bytes; i++) {
        s.root_bytes = strlen(ms->m[i].path);
        nftw(ms->m[i].path, search_visit, 16, FTW_PHYS | FTW_MOUNT);
    }
    search = NULL;
    return s.found_bytes < cap ? s.found_bytes : cap - 1;
}

bool host_container_id(const char *name, char *id, size_t cap)
{
    if (keeper)
        return keeper_container(keeper, name, id, cap);
    return follow_id_by_name("", name, id, cap);
}
