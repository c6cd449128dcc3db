/* SPDX-License-Identifier: Apache-2.0
 * kymo-doctor: say what can be recorded on this host, and why not.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "format/base/bytes.h"
#include "format/base/json.h"
#include "format/base/size.h"
#include "format/cli/cli.h"
#include "record/callset.h"
#include "record/control.h"
#include "record/host.h"
#include "record/power.h"
#include "record/session.h"

#define TOOL "kymo-doctor"

enum finding { FINE, LESS, FATAL }; /* works; records less; cannot record */

#define CAPS_MAX 4u

/* What can be recorded, and what each takes. */
enum source_id { FULL, COUNTS, PROCESS, SNAPSHOT, OTHERS, FDS, CGROUPS, MARKS, PRESSURE, DROP };
struct source_needs {
    const char *name, *what;
    unsigned major, minor; /* the first kernel that has all of it */
    const char *because;   /* of what */
    cap_value_t caps[CAPS_MAX];
    size_t n_caps;
};
static const struct source_needs SOURCES[] = {
    [FULL] =
        {"full",
         "every system call, a row each",
         5,
         8,
         "CAP_BPF 5.8, tp_btf and mmapable arrays 5.5; on arm64 5.12, exchange in a program",
         {CAP_BPF, CAP_PERFMON},
         2},
    [COUNTS] = {"counts",
                "system calls counted by process and call",
                5,
                8,
                "CAP_BPF 5.8, tp_btf 5.5",
                {CAP_BPF, CAP_PERFMON},
                2},
    [PROCESS] = {"process",
                 "births, execs and deaths of processes",
                 5,
                 8,
                 "CAP_BPF and BPF ring buffer 5.8",
                 {CAP_BPF, CAP_PERFMON},
                 2},
    [SNAPSHOT] = {"snapshot",
                  "the processes that are there at the start",
                  5,
                  8,
                  "CAP_BPF and task iterator 5.8",
                  {CAP_BPF, CAP_PERFMON},
                  2},
    [OTHERS] = {"others",
                "calls that other users' processes still block in at the end",
                5,
                8,
                "CAP_BPF 5.8, /proc",
                {CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH},
                4},
    [FDS] = {"fds",
             "open files and sockets of processes",
             5,
             8,
             "CAP_BPF and iterator of open files 5.8",
             {CAP_BPF, CAP_PERFMON},
             2},
    [CGROUPS] = {"cgroups",
                 "paths of cgroups and containers, also of later ones",
                 5,
                 8,
                 "CAP_BPF 5.8, cgroup ids as inodes 5.5, tracepoint cgroup_mkdir 4.19",
                 {CAP_BPF, CAP_PERFMON},
                 2},
    [MARKS] = {"marks", "marks by way of a socket", 2, 6, "AF_UNIX", {0}, 0},
    [PRESSURE] =
        {"pressure", "memory, CPU and disk pressure, for triggers", 4, 20, "PSI", {0}, 0},
    [DROP] = {"drop",
              "recording as another user once it has begun",
              3,
              5,
              "no new privileges and call filters",
              {CAP_SETUID, CAP_SETGID},
              2},
};

struct report {
    bool json, any_fatal;
    size_t n;
    const char *only; /* --for */
    const char *btf;
    bool chosen[KYMO_COUNT_OF(SOURCES)];
};

static void print_json_text(const char *s)
{
    struct kymo_buf b = {0};

    kymo_json_quote(&b, s, strlen(s));
    printf("%.*s", (int)b.n, b.p ? (const char *)b.p : "");
    kymo_buf_release(&b);
}

static void print_caps(const cap_value_t *caps, size_t n, const char *before, const char *after,
                       const char *between)
{
    for (size_t i = 0; i < n; i++) {
        char *name = cap_to_name(caps[i]);
        for (char *p = name; p && *p; p++)
            *p = (char)toupper((unsigned char)*p);
        printf("%s%s%s%s", i ? between : "", before, name ? name : "?", after);
        cap_free(name);
    }
}

/* One line: what was looked at, what was found, what to try. source: what it takes; NULL: it is none. */
static void tell_of(struct report *r, const struct source_needs *source, enum finding f,
                    const char *what, const char *found, const char *remedy)
{
    static const char *const words[] = {"ok", "less", "no"};

    r->any_fatal |= f == FATAL;
    if (r->json) {
        printf("%s{\"check\": ", r->n++ ? ",\n  " : "  ");
        print_json_text(what);
        printf(", \"result\": \"%s\", \"found\": ", words[f]);
        print_json_text(found);
        printf(", \"remedy\": ");
        print_json_text(remedy);
        if (source) {
            printf(", \"source\": true, \"kernel\": \"%u.%u\", \"because\": ", source->major,
                   source->minor);
            print_json_text(source->because);
            printf(", \"capabilities\": [");
            print_caps(source->caps, source->n_caps, "\"", "\"", ", ");
            printf("]");
        }
        printf("}");
        return;
    }
    printf("%-5s %-22s ", words[f], what);
    kymo_print_safe(stdout, found, strlen(found));
    if (f != FINE)
        printf("\n      %-22s -> %s", "", remedy);
    if (source) {
        printf("\n      %-22s    needs Linux %u.%u (%s)%s", "", source->major, source->minor,
               source->because, source->n_caps ? ", " : "");
        print_caps(source->caps, source->n_caps, "", "", " ");
    }
    putchar('\n');
}

static void tell(struct report *r, enum finding f, const char *what, const char *found,
                 const char *remedy)
{
    tell_of(r, NULL, f, what, found, remedy);
}

/* ---- the host --------------------------------------------------------------------------------- */

static unsigned kernel_version(char text[65])
{
    struct utsname u;
    unsigned major = 0, minor = 0;

    if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
        return 0;
    snprintf(text, 65, "%s", u.release);
    return major * 1000 + minor;
}

static void check_kernel(struct report *r)
{
    char text[65];
    const unsigned v = kernel_version(text);

    if (!v)
        return tell(r, LESS, "kernel", "unknown version", "Linux 5.10 or newer is needed");
    tell(r, v < 5010 ? FATAL : FINE, "kernel", text, "Linux 5.10 or newer is needed");
}

/* Confidentiality lockdown keeps programs from reading kernel memory. */
static void check_lockdown(struct report *r)
{
    char text[128];

    if (host_read("/sys/kernel/security/lockdown", text, sizeof(text)) &&
        strstr(text, "[confidentiality]"))
        tell(r, FATAL, "lockdown", "confidentiality",
             "boot with lockdown=integrity or without lockdown");
}

static void check_btf(struct report *r)
{
    const bool there = !access("/sys/kernel/btf/vmlinux", R_OK);
    const char *why = there ? "/sys/kernel/btf/vmlinux" : strerror(errno);

    tell(r, there || r->btf ? FINE : FATAL, "type information", r->btf ? r->btf : why,
         "boot a kernel with CONFIG_DEBUG_INFO_BTF and mount /sys, or give a file with --btf");
}

static void check_capability(struct report *r, const char *name, cap_value_t cap,
                             cap_value_t instead, enum finding f, const char *without)
{
    cap_flag_value_t has = CAP_CLEAR, has_instead = CAP_CLEAR;
    cap_t caps = cap_get_proc();

    if (caps) {
        cap_get_flag(caps, cap, CAP_EFFECTIVE, &has);
        cap_get_flag(caps, instead, CAP_EFFECTIVE, &has_instead);
        cap_free(caps);
    }
    const bool ok = has == CAP_SET || has_instead == CAP_SET;
    tell(r, ok ? FINE : f, name,
         has == CAP_SET ? "held"
         : ok           ? "implied by another one that is held"
                        : "not held",
         without);
}

static void check_capabilities(struct report *r)
{
    check_capability(r, "CAP_BPF", CAP_BPF, CAP_SYS_ADMIN, FATAL,
                     "run as root or with CAP_BPF and CAP_PERFMON");
    check_capability(r, "CAP_PERFMON", CAP_PERFMON, CAP_SYS_ADMIN, FATAL,
                     "run as root or with CAP_BPF and CAP_PERFMON");
    check_capability(r, "CAP_SYS_PTRACE", CAP_SYS_PTRACE, CAP_SYS_PTRACE, LESS,
                     "executables and blocked calls of other users' processes stay unknown");
}

static void check_namespace(struct report *r)
{
    struct stat st;
    const bool ours = !stat("/proc/self/ns/pid", &st) && st.st_ino == HOST_INIT_PID_NS_INO;

    tell(r, ours ? FINE : FATAL, "pid namespace",
         ours ? "the host's own" : "one of a container",
         "record from the host, or share its pid namespace (--pid=host)");
}

static void check_cgroups(struct report *r)
{
    char path[4096];
    bool v2;
    const char *mount = host_cgroup_mount(0, &v2);
    const uint64_t id = mount ? host_cgroup_inode(mount, "/") : 0;

    if (!id)
        return tell(r, LESS, "cgroups", "no hierarchy is mounted",
                    "cgroup ids are recorded without their paths");
    host_cgroup_path(id, (uint32_t)getpid(), path, sizeof(path));
    tell(r, FINE, "cgroups",
         access("/sys/fs/cgroup/cgroup.controllers", F_OK) ? "hybrid or v1" : "v2", "");
}

static void check_control(struct report *r)
{
    struct control *c = NULL;
    struct kymo_err err = {0};

    if (control_open(&c, &err))
        tell(r, LESS, "control socket", err.text, "kymo mark cannot reach the recorder");
    else
        tell(r, FINE, "control socket", "can be opened", "");
    control_close(c);
}

/* ---- sources ---------------------------------------------------------------------------------- */

static void count_task(void *n, const struct kymo_event_process *t)
{
    (void)t;
    ++*(size_t *)n;
}

/* The only proof that programs load and attach is to load and attach them. */
struct proof {
    kymo_status programs, snapshot;
    char why[KYMO_ERR_BYTES_MAX];
    size_t n_tasks;
};

static void prove(const struct report *r, struct proof *p)
{
    struct callset calls;
    struct kymo_err err = {0};
    struct session *s = NULL;
    const struct session_opts o = {
        .ring_bytes = 1, /* the smallest */
        .wanted_native = calls.native,
        .wanted_compat = calls.compat,
        .btf_path = r->btf,
    };

    memset(&calls, 0, sizeof(calls));
    p->programs = session_open(&s, &o, &err);
    if (!p->programs)
        p->programs = session_attach(s, &err);
    p->snapshot = p->programs;
    if (!p->programs) {
        if (session_has_lists(s))
            p->snapshot = session_snapshot(s, count_task, &p->n_tasks, &err);
        else
            p->snapshot = KYMO_FAIL(&err, KYMO_EHOST, KYMO_NOWHERE,
                                    "this kernel does not show its own type information");
        session_detach(s);
    }
    session_close(s);
    snprintf(p->why, sizeof(p->why), "%s", err.text);
}

/* The first capability of it that is not there; -1: all are. CAP_SYS_ADMIN implies the newer two. */
static cap_value_t missing_cap(const struct source_needs *n)
{
    for (size_t i = 0; i < n->n_caps; i++)
        if (!power_holds(n->caps[i]) &&
            !((n->caps[i] == CAP_BPF || n->caps[i] == CAP_PERFMON) &&
              power_holds(CAP_SYS_ADMIN)))
            return n->caps[i];
    return -1;
}

static void tell_source(struct report *r, enum source_id id, bool works, const char *found,
                        const char *remedy)
{
    const struct source_needs *n = &SOURCES[id];
    const bool vital = id == FULL || id == COUNTS || id == PROCESS || id == SNAPSHOT;
    const cap_value_t missing = missing_cap(n);
    char text[KYMO_ERR_BYTES_MAX + 64], *name = NULL;

    if (r->only && !r->chosen[id])
        return;
    if (!works || missing >= 0) {
        name = missing >= 0 ? cap_to_name(missing) : NULL;
        for (char *c = name; c && *c; c++)
            *c = (char)toupper((unsigned char)*c);
        snprintf(text, sizeof(text), "%s%s", name ? "without " : found, name ? name : "");
        tell_of(r, n, vital || r->only ? FATAL : LESS, n->name, text,
                name ? "give it to the recorder; see --for" : remedy);
        cap_free(name);
        return;
    }
    tell_of(r, n, FINE, n->name, n->what, "");
}

static bool socket_opens(char why[KYMO_ERR_BYTES_MAX])
{
    struct control *c = NULL;
    struct kymo_err err = {0};
    const kymo_status s = control_open(&c, &err);

    control_close(c);
    snprintf(why, KYMO_ERR_BYTES_MAX, "%s", err.text);
    return s == KYMO_OK;
}

static void check_sources(struct report *r)
{
    static const char mend[] = "mend the lines above that say no; then look at the kernel log";
    struct proof p = {0};
    bool v2;
    char why[KYMO_ERR_BYTES_MAX];

    prove(r, &p);
    tell_source(r, FULL, !p.programs, p.why, mend);
    tell_source(r, COUNTS, !p.programs, p.why, mend);
    tell_source(r, PROCESS, !p.programs, p.why, mend);
    tell_source(r, SNAPSHOT, !p.snapshot && p.n_tasks, p.why, mend);
    tell_source(r, OTHERS, true, "", "");
    tell_source(r, FDS, !p.snapshot, p.why, mend);
    tell_source(r, CGROUPS, !p.programs && host_cgroup_mount(0, &v2), "no hierarchy is mounted",
                "mount /sys/fs/cgroup; without it ids are recorded, but no paths");
    const bool opens = socket_opens(why);
    tell_source(r, MARKS, opens, why, "make /run, or set XDG_RUNTIME_DIR; kymo mark needs it");
    tell_source(r, PRESSURE, !access("/proc/pressure/memory", R_OK),
                "/proc/pressure is not there",
                "boot a kernel with CONFIG_PSI, or with psi=1; other triggers work");
    tell_source(r, DROP, true, "", "");
}

/* ---- the smallest privilege ------------------------------------------------------------------ */

static int parse_for(struct report *r)
{
    char *copy = strdup(r->only), *save = NULL;
    int e = copy ? KYMO_CLI_GO_ON : KYMO_EXIT_HOST;

    for (char *w = copy ? strtok_r(copy, ",", &save) : NULL; w && e == KYMO_CLI_GO_ON;
         w = strtok_r(NULL, ",", &save)) {
        size_t i = 0;
        while (i < KYMO_COUNT_OF(SOURCES) && strcmp(SOURCES[i].name, w) != 0)
            i++;
        if (i == KYMO_COUNT_OF(SOURCES))
            e = kymo_cli_usage(TOOL,
                               "--for %s: there are full, counts, process, snapshot, "
                               "others, fds, cgroups, marks, pressure and drop",
                               w);
        else
            r->chosen[i] = true;
    }
    free(copy);
    return e;
}

/* The union of what the chosen sources need. */
static size_t needed_caps(const struct report *r,
                          cap_value_t caps[CAPS_MAX * KYMO_COUNT_OF(SOURCES)])
{
    size_t n = 0;
    char text[65];

    for (size_t s = 0; s < KYMO_COUNT_OF(SOURCES); s++)
        for (size_t i = 0; r->chosen[s] && i < SOURCES[s].n_caps; i++) {
            bool there = false;
            for (size_t j = 0; j < n; j++)
                there |= caps[j] == SOURCES[s].caps[i];
            if (!there)
                caps[n++] = SOURCES[s].caps[i];
        }
    const unsigned v = kernel_version(text);
    if (n && v && v < 5011) /* maps counted against the limit of locked memory before */
        caps[n++] = CAP_SYS_RESOURCE;
    return n;
}

static void tell_privileges(struct report *r)
{
    cap_value_t caps[CAPS_MAX * KYMO_COUNT_OF(SOURCES) + 1];
    const size_t n = needed_caps(r, caps);

    if (r->json) {
        printf("%s{\"check\": \"privileges\", \"for\": ", r->n++ ? ",\n  " : "  ");
        print_json_text(r->only);
        printf(", \"capabilities\": [");
        print_caps(caps, n, "\"", "\"", ", ");
        printf("]}");
        return;
    }
    printf("\nthe smallest privilege for %s: ", r->only);
    if (!n) {
        puts("none");
        return;
    }
    print_caps(caps, n, "", "", " ");
    printf("\n  a service:  AmbientCapabilities=");
    print_caps(caps, n, "", "", " ");
    printf("\n  a command:  setpriv --reuid=USER --regid=USER --clear-groups --inh-caps=");
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < n; i++) {
            char *name = cap_to_name(caps[i]);
            printf("%s+%s", i ? "," : "", name ? name + strlen("cap_") : "?");
            cap_free(name);
        }
        printf("%s", round ? " kymo record ...\n" : " --ambient-caps=");
    }
}

static void tell_blind_spots(const struct report *r)
{
    if (r->json)
        return;
    puts(
        "\nwhat a recording cannot see, on any host:\n"
        "  work submitted through io_uring (its setup and enter calls are seen)\n"
        "  calls answered by the vDSO without the kernel: clock_gettime, gettimeofday, getcpu\n"
        "  the contents of encrypted connections; payloads are not recorded at all");
}

static void check_all(struct report *r)
{
    check_kernel(r);
    check_btf(r);
    check_lockdown(r);
    check_namespace(r);
    if (!r->only) {
        check_capabilities(r);
        check_cgroups(r);
        check_control(r);
    }
    check_sources(r);
    if (r->only)
        tell_privileges(r);
}

int main(int argc, char **argv)
{
    struct report r = {0};
    const struct kymo_opt rows[] = {
        {KYMO_OPT_STR, 0, "for", "SOURCE,...",
         "look at these sources only, and say the smallest privilege for them", &r.only, 0, 0},
        {KYMO_OPT_STR, 0, "btf", "FILE",
         "type information of this kernel (default: the kernel's own)", &r.btf, 0, 0},
        {KYMO_OPT_FLAG, 0, "json", NULL, "one JSON array", &r.json, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "say what can be recorded on this host, and why not",
        .examples = "  kymo doctor\n"
                    "  kymo doctor --for full,process\n"
                    "  kymo doctor --json\n",
        .opt = rows,
        .n_opt = KYMO_COUNT_OF(rows),
    };
    int first;
    int e = kymo_cli_parse(&cli, argc, argv, &first);

    if (e == KYMO_CLI_GO_ON && r.only)
        e = parse_for(&r);
    if (e != KYMO_CLI_GO_ON)
        return e;
    if (r.json)
        puts("[");
    check_all(&r);
    if (r.json)
        puts("\n]");
    if (!r.only)
        tell_blind_spots(&r);
    if (!r.json)
        puts(r.any_fatal ? "\nthis host cannot be recorded as it is"
                         : "\nthis host can be recorded");
    return kymo_cli_finish(TOOL, NULL, KYMO_OK, NULL,
                           r.any_fatal ? KYMO_EXIT_HOST : KYMO_EXIT_OK);
}
