/* SPDX-License-Identifier: Apache-2.0
 * kymo-doctor: say what can be recorded on this host, and why not.
 */
#include <errno.h>
#include <stdio.h>
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
#include "record/session.h"

#define TOOL "kymo-doctor"

enum finding { FINE, LESS, FATAL }; /* works; records less; cannot record */

struct report {
    bool json, any_fatal;
    size_t n;
};

static void print_json_text(const char *s)
{
    struct kymo_buf b = {0};

    kymo_json_quote(&b, s, strlen(s));
    printf("%.*s", (int)b.n, b.p ? (const char *)b.p : "");
    kymo_buf_release(&b);
}

/* One line: what was looked at, what was found, what to try. */
static void tell(struct report *r, enum finding f, const char *what, const char *found,
                 const char *remedy)
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
        printf("}");
        return;
    }
    printf("%-5s %-22s ", words[f], what);
    kymo_print_safe(stdout, found, strlen(found));
    if (f != FINE)
        printf("\n      %-22s -> %s", "", remedy);
    putchar('\n');
}

static void check_kernel(struct report *r)
{
    struct utsname u;
    unsigned major = 0, minor = 0;

    if (uname(&u) || sscanf(u.release, "%u.%u", &major, &minor) != 2)
        return tell(r, LESS, "kernel", "unknown version", "Linux 5.10 or newer is needed");
    const bool old = major < 5 || (major == 5 && minor < 10);
    tell(r, old ? FATAL : FINE, "kernel", u.release, "Linux 5.10 or newer is needed");
}

static void check_btf(struct report *r)
{
    const bool there = !access("/sys/kernel/btf/vmlinux", R_OK);

    tell(r, there ? FINE : FATAL, "type information",
         there ? "/sys/kernel/btf/vmlinux" : strerror(errno),
         "boot a kernel with CONFIG_DEBUG_INFO_BTF, and mount /sys");
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
    const uint64_t id = mount ? host_cgroup_id(mount, "/") : 0;

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

/* The only proof that programs load and attach is to load and attach them. */
static void check_programs(struct report *r)
{
    struct callset calls;
    struct kymo_err err = {0};
    struct session *s = NULL;
    const struct session_opts o = {
        .ring_bytes = 1, /* the smallest */
        .wanted_native = calls.native,
        .wanted_compat = calls.compat,
    };

    memset(&calls, 0, sizeof(calls));
    kymo_status status = session_open(&s, &o, &err);
    if (!status)
        status = session_attach(s, &err);
    if (!status)
        session_detach(s);
    session_close(s);
    tell(r, status ? FATAL : FINE, "syscall and process",
         status ? err.text : "programs load and attach",
         "mend the lines above that say no; then look at the kernel log");
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

int main(int argc, char **argv)
{
    struct report r = {0};
    const struct kymo_opt rows[] = {
        {KYMO_OPT_FLAG, 0, "json", NULL, "one JSON array", &r.json, 0, 0},
    };
    const struct kymo_cli cli = {
        .tool = TOOL,
        .summary = "say what can be recorded on this host, and why not",
        .examples = "  kymo doctor\n"
                    "  kymo doctor --json\n",
        .opt = rows,
        .n_opt = KYMO_COUNT_OF(rows),
    };
    int first;
    const int e = kymo_cli_parse(&cli, argc, argv, &first);

    if (e != KYMO_CLI_GO_ON)
        return e;
    if (r.json)
        puts("[");
    check_kernel(&r);
    check_btf(&r);
    check_namespace(&r);
    check_capabilities(&r);
    check_programs(&r);
    check_cgroups(&r);
    check_control(&r);
    if (r.json)
        puts("\n]");
    tell_blind_spots(&r);
    if (!r.json)
        puts(r.any_fatal ? "\nthis host cannot be recorded as it is"
                         : "\nthis host can be recorded");
    return kymo_cli_finish(TOOL, NULL, KYMO_OK, NULL,
                           r.any_fatal ? KYMO_EXIT_HOST : KYMO_EXIT_OK);
}
