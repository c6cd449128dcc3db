/* SPDX-License-Identifier: Apache-2.0
 * test_keeper.c: what the keeper does when asked, and what it refuses to somebody who has taken the
 * recorder over; what a confined recorder may call.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "format/base/size.h"
#include "format/trace/chunk.h"
#include "record/follow.h"
#include "record/keeper.h"
#include "record/power.h"

struct kept {
    struct keeper *k;
    char dir[64], first[96];
    int fd;
};

static int open_keeper(void **state)
{
    struct kept *t = calloc(1, sizeof(*t));

    snprintf(t->dir, sizeof(t->dir), "/tmp/kymo-keeper-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    snprintf(t->first, sizeof(t->first), "%s/day.kymo", t->dir);
    t->fd = open(t->first, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(t->fd >= 0);
    const struct keeper_opts o = {.output = t->first, .output_fd = t->fd};
    assert_int_equal(keeper_start(&t->k, &o, NULL), KYMO_OK);
    *state = t;
    return 0;
}

static int close_keeper(void **state)
{
    struct kept *t = *state;
    char command[128];

    keeper_stop(t->k);
    close(t->fd);
    snprintf(command, sizeof(command), "rm -rf %s", t->dir);
    assert_int_equal(system(command), 0);
    free(t);
    return 0;
}

/* The answer to a packet as a stranger would make it. */
static uint32_t ask(struct kept *t, const struct keeper_request *q, size_t bytes)
{
    static struct keeper_answer a;
    int fd;

    assert_true(keeper_ask(t->k, q, bytes, &a, &fd));
    if (fd >= 0)
        close(fd);
    return a.error;
}

static uint32_t ask_name(struct kept *t, uint32_t kind, const char *name, size_t n)
{
    struct keeper_request q = {.kind = kind, .text_bytes = (uint32_t)n};

    memcpy(q.text, name, n);
    return ask(t, &q, KEEPER_REQUEST_FIXED + n);
}

static void it_tells_of_a_process_what_proc_says(void **state)
{
    struct kept *t = *state;
    char got[4096], mine[4096];
    const uint32_t me = (uint32_t)getpid();
    const ssize_t n = readlink("/proc/self/exe", mine, sizeof(mine));

    assert_int_equal(keeper_text(t->k, KEEPER_EXE, me, 0, got, sizeof(got)), n);
    assert_memory_equal(got, mine, (size_t)n);
    assert_non_null(getcwd(mine, sizeof(mine)));
    assert_true(keeper_text(t->k, KEEPER_CWD, me, 0, got, sizeof(got)) > 0);
    assert_string_equal(got, mine);
    assert_true(keeper_text(t->k, KEEPER_FD, me, (uint32_t)t->fd, got, sizeof(got)) > 0);
    assert_string_equal(got, t->first);
    assert_int_equal(keeper_text(t->k, KEEPER_FD, me, INT32_MAX, got, sizeof(got)), 0);
    assert_true(keeper_text(t->k, KEEPER_ARGV, me, 0, got, sizeof(got)) > 0);
    assert_true(keeper_text(t->k, KEEPER_CGROUP, me, 0, got, sizeof(got)) > 0);
    assert_non_null(strchr(got, ':'));
    assert_int_equal(keeper_text(t->k, KEEPER_ARGV, me, 0, got, 5), 4);
    assert_int_equal(keeper_text(t->k, KEEPER_EXE, INT32_MAX, 0, got, sizeof(got)), 0);
}

static void a_part_is_new_private_and_beside_the_first(void **state)
{
    struct kept *t = *state;
    struct stat st;
    char path[160];
    const int fd = keeper_part_open(t->k, "day-000001.kymo");

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    snprintf(path, sizeof(path), "%s/day-000001.kymo", t->dir);
    assert_int_equal(lstat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, 1);
    assert_int_equal(keeper_part_open(t->k, "day-000001.kymo"), -1);
    assert_int_equal(errno, EEXIST);
}

static void a_part_does_not_follow_a_link(void **state)
{
    struct kept *t = *state;
    char path[160], target[160];

    snprintf(path, sizeof(path), "%s/day-000002.kymo", t->dir);
    snprintf(target, sizeof(target), "%s/elsewhere", t->dir);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(keeper_part_open(t->k, "day-000002.kymo"), -1);
    assert_int_equal(access(target, F_OK), -1);
}

static void names_that_lead_elsewhere_are_refused(void **state)
{
    struct kept *t = *state;
    static const char *const names[] = {
        "",         ".",          "..",        "/etc/passwd", "../day-1.kymo", "day/../x",
        "day-/x",   "other.kymo", "da",        "days.kymo",   "day-\n.kymo",   "day-\x7f",
        "day-1/..", "./day-1",    "day.kymo/", "-day.kymo",
    };

    for (size_t i = 0; i < KYMO_COUNT_OF(names); i++)
        for (uint32_t kind = KEEPER_PART_OPEN; kind <= KEEPER_PART_REMOVE; kind++)
            assert_int_equal(ask_name(t, kind, names[i], strlen(names[i])), EINVAL);
    assert_int_equal(ask_name(t, KEEPER_PART_OPEN, "day-\0/x", 7), EINVAL);
    char longest[KEEPER_ASK_MAX];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, "day-", 4);
    assert_int_equal(ask_name(t, KEEPER_PART_OPEN, longest, 256), EINVAL);
    assert_int_equal(ask_name(t, KEEPER_PART_OPEN, longest, sizeof(longest)), EINVAL);
    assert_int_equal(ask_name(t, KEEPER_PART_OPEN, longest, 255), 0);
}

static void only_captures_are_removed(void **state)
{
    struct kept *t = *state;
    uint8_t header[KYMO_FILE_HEADER_BYTES];
    char path[160];

    snprintf(path, sizeof(path), "%s/day-notes.txt", t->dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "these are my notes of today", 27), 27);
    close(fd);
    assert_false(keeper_part_remove(t->k, "day-notes.txt"));
    assert_int_equal(errno, EPERM);
    assert_int_equal(access(path, F_OK), 0);

    snprintf(path, sizeof(path), "%s/day-folder", t->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(keeper_part_remove(t->k, "day-folder"));
    snprintf(path, sizeof(path), "%s/day-fifo", t->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(keeper_part_remove(t->k, "day-fifo"));

    kymo_file_header_encode(header);
    fd = keeper_part_open(t->k, "day-000003.kymo");
    assert_int_equal(write(fd, header, sizeof(header)), sizeof(header));
    close(fd);
    assert_true(keeper_part_remove(t->k, "day-000003.kymo"));
    assert_false(keeper_part_remove(t->k, "day-000003.kymo"));
}

static void malformed_requests_are_answered_and_nothing_else(void **state)
{
    struct kept *t = *state;
    struct keeper_request q = {.kind = KEEPER_EXE, .pid = (uint32_t)getpid()};

    for (size_t n = 1; n < KEEPER_REQUEST_FIXED; n++) { /* the sequence counts from byte 0 on */
        q.sequence = 0;
        assert_int_equal(ask(t, &q, n), EPROTO);
    }
    q.text_bytes = 1; /* which are not there */
    assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED), EPROTO);
    q.text_bytes = UINT32_MAX;
    assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED), EPROTO);
    q.text_bytes = 0; /* though there are some */
    assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED + 1), EPROTO);
    q.text_bytes = 4;
    assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED + 4), EINVAL);
    q.text_bytes = 0;
    static const uint32_t kinds[] = {0, KEEPER_KINDS, KEEPER_KINDS + 1, 1u << 31, UINT32_MAX};
    for (size_t i = 0; i < KYMO_COUNT_OF(kinds); i++) {
        q.kind = kinds[i];
        assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED), EPROTO);
    }
    q.kind = KEEPER_EXE;
    assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED), 0); /* still there */
}

static void a_packet_that_is_too_long_is_not_served(void **state)
{
    struct kept *t = *state;
    struct {
        struct keeper_request q;
        uint8_t more[64];
    } huge = {.q = {.kind = KEEPER_EXE, .pid = 1, .text_bytes = KEEPER_ASK_MAX + 64}};

    assert_int_equal(ask(t, &huge.q, sizeof(huge)), EPROTO);
}

static void numbers_of_processes_and_maps_are_held_against_what_there_is(void **state)
{
    struct kept *t = *state;
    static const uint32_t pids[] = {0, 1u << 31, UINT32_MAX};
    static const uint32_t kinds[] = {KEEPER_EXE,  KEEPER_CWD,    KEEPER_FD,
                                     KEEPER_ARGV, KEEPER_CGROUP, KEEPER_BLOCKED};

    for (size_t i = 0; i < KYMO_COUNT_OF(pids); i++)
        for (size_t k = 0; k < KYMO_COUNT_OF(kinds); k++) {
            const struct keeper_request q = {.kind = kinds[k], .pid = pids[i], .number = 1};
            assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED), EINVAL);
        }
    for (uint32_t fd = 0; fd < 64; fd++) { /* it has no map at all, whatever it has open */
        const struct keeper_request q = {
            .kind = KEEPER_MAP_UPDATE, .number = fd, .text_bytes = 8};
        assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED + 8), EINVAL);
    }
    static const uint32_t lists[] = {0, 1, KEEPER_LISTS_MAX, UINT32_MAX}; /* it has none */
    for (size_t i = 0; i < KYMO_COUNT_OF(lists); i++) {
        const struct keeper_request q = {.kind = KEEPER_LIST, .number = lists[i]};
        assert_int_equal(ask(t, &q, KEEPER_REQUEST_FIXED), EINVAL);
    }
}

static void names_of_containers_are_plain(void **state)
{
    struct kept *t = *state;
    static const char *const names[] = {"../../etc", "a\"b", "", "a b", "/x"};

    for (size_t i = 0; i < KYMO_COUNT_OF(names); i++)
        assert_int_equal(ask_name(t, KEEPER_CONTAINER, names[i], strlen(names[i])), ENOENT);
    assert_int_equal(ask_name(t, KEEPER_CONTAINER, "a\0b", 3), EINVAL);
}

/* How many descriptors a process has open; -1 where we may not look. */
static int count_fds(pid_t pid)
{
    char path[64];
    int n = 0;
    const struct dirent *e;

    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    if (!d)
        return -1;
    while ((e = readdir(d)))
        n += *e->d_name != '.';
    closedir(d);
    return n;
}

static void descriptors_sent_to_it_are_not_taken(void **state)
{
    struct kept *t = *state;
    char text[16];
    const int before = count_fds(keeper_pid(t->k));

    if (before < 0)
        skip();
    assert_true(before >= 4); /* 0, 1, 2 and the socket */
    struct keeper_request q = {.kind = KEEPER_EXE, .pid = 1};
    struct iovec part = {&q, KEEPER_REQUEST_FIXED};
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &t->fd, sizeof(int));
    assert_true(sendmsg(keeper_socket(t->k), &m, 0) > 0);
    /* Served in turn: with this answer the packet before it is done with. */
    assert_true(keeper_text(t->k, KEEPER_EXE, (uint32_t)getpid(), 0, text, sizeof(text)) > 0);
    assert_int_equal(count_fds(keeper_pid(t->k)), before);
}

static void it_holds_what_it_serves_with_and_nothing_else(void **state)
{
    struct kept *t = *state;
    char path[64], line[256];
    int n = 0;
    unsigned long long permitted = ~0ull;

    snprintf(path, sizeof(path), "/proc/%d/status", keeper_pid(t->k));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f)) {
        sscanf(line, "CapPrm: %llx", &permitted);
        n += !strncmp(line, "NoNewPrivs:\t1", 13) + !strncmp(line, "Seccomp:\t2", 10);
    }
    fclose(f);
    assert_int_equal(n, 2);
    const unsigned long long listed =
        1ull << CAP_BPF | 1ull << CAP_SYS_PTRACE | 1ull << CAP_DAC_READ_SEARCH;
    assert_true(!(permitted & ~listed));
}

static void when_it_dies_every_request_fails_at_once(void **state)
{
    struct kept *t = *state;
    char text[16];

    kill(keeper_pid(t->k), SIGKILL);
    assert_int_equal(keeper_text(t->k, KEEPER_EXE, 1, 0, text, sizeof(text)), 0);
    assert_true(keeper_lost(t->k));
    assert_int_equal(keeper_part_open(t->k, "day-1.kymo"), -1);
    assert_false(keeper_part_remove(t->k, "day-1.kymo"));
    assert_int_equal(keeper_list(t->k, 0), -1);
}

static void a_late_answer_is_not_taken_for_the_next(void **state)
{
    struct kept *t = *state;
    char text[4096];

    kill(keeper_pid(t->k), SIGSTOP);
    assert_int_equal(keeper_text(t->k, KEEPER_EXE, (uint32_t)getpid(), 0, text, 64), 0);
    assert_false(keeper_lost(t->k));
    kill(keeper_pid(t->k), SIGCONT);
    assert_true(keeper_text(t->k, KEEPER_CGROUP, (uint32_t)getpid(), 0, text, sizeof(text)) >
                0);
    assert_non_null(strchr(text, ':')); /* a cgroup, not the executable */
}

static void it_leaves_when_the_recorder_does(void **state)
{
    struct kept *t = *state;
    int status;
    const pid_t pid = keeper_pid(t->k);

    assert_int_equal(shutdown(keeper_socket(t->k), SHUT_RDWR), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A map that both have by descriptor; -1 where this kernel or user makes none. */
static int make_map(void)
{
    return bpf_map_create(BPF_MAP_TYPE_HASH, "kymo_test", 4, 8, 16, NULL);
}

static void maps_are_read_and_written_for_who_may_not(void **state)
{
    (void)state;
    const int map = make_map();
    struct keeper *k;
    uint32_t key = 7;
    uint64_t value = 11, got = 0;
    int status;

    if (map < 0)
        skip();
    const struct keeper_opts o = {.maps = {map}, .n_maps = 1, .output_fd = -1};
    assert_int_equal(keeper_start(&k, &o, NULL), KYMO_OK);
    const pid_t pid = fork();
    if (pid == 0) { /* the recorder, on a kernel that wants CAP_BPF of who looks a value up */
        struct power_plan plan = {.becomes = true, .uid = 65534, .gid = 65534};
        const char *why;
        const bool dropped = !power_drop(&plan, 0, &why, NULL);
        const bool set = keeper_map_update(k, map, &key, 4, &value, 8);
        _exit(dropped && set && keeper_map_lookup(k, map, &key, 4, &got, 8) && got == 11 ? 7
                                                                                         : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_int_equal(bpf_map_lookup_elem(map, &key, &got), 0);
    assert_int_equal(got, 11);
    key = 8;
    assert_false(keeper_map_lookup(k, map, &key, 4, &got, 8));
    assert_int_equal(errno, ENOENT);
    assert_false(keeper_map_lookup(k, map, &key, 3, &got, 8));
    assert_int_equal(errno, EINVAL);
    assert_false(keeper_map_lookup(k, map + 1, &key, 4, &got, 8));
    assert_false(keeper_map_update(k, map, &key, 4, &value, 7));
    assert_int_equal(errno, EINVAL);
    keeper_stop(k);
    close(map);
}

/* ---- the filter ------------------------------------------------------------------------------- */

/* How a child ends that is confined and then does this: its exit status, or 256 + the signal. */
static int confined(int (*act)(void))
{
    int status;
    const pid_t pid = fork();

    if (pid == 0) {
        struct kymo_err err;
        _exit(power_confine_recorder(0, &err) ? 99 : act());
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int act_nothing(void)
{
    return 7;
}
static int act_exec(void)
{
    char *const argv[] = {"true", NULL};
    execv("/bin/true", argv);
    return 1;
}
static int act_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0;
}
static int act_write_file(void)
{
    return open("/tmp/kymo-test-confined", O_WRONLY | O_CREAT, 0600) >= 0 ? 1
           : errno == ENOSYS                                              ? 7
                                                                          : 2;
}
static int act_read_file(void)
{
    char c;
    const int fd = open("/proc/self/statm", O_RDONLY);
    return fd >= 0 && read(fd, &c, 1) == 1 ? 7 : 1;
}
static int act_fork(void)
{
    const long pid = syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    return pid < 0 && errno == ENOSYS ? 7 : 1;
}
static int act_executable_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                       MAP_FAILED &&
                   errno == ENOSYS
               ? 7
               : 1;
}
static int act_load_program(void)
{
    return syscall(SYS_bpf, 5 /* BPF_PROG_LOAD */, NULL, 0) < 0 && errno == ENOSYS ? 7 : 1;
}
static int act_signal_another(void)
{
    return kill(getppid(), 0) < 0 && errno == ENOSYS ? 7 : 1;
}
static int act_remove(void)
{
    return unlink("/tmp/kymo-test-none") < 0 && errno == ENOSYS ? 7 : 1;
}
static int act_ptrace(void)
{
    return (int)syscall(SYS_ptrace, 0, 0, 0, 0);
}

static void a_confined_recorder_reads_and_cannot_do_more(void **state)
{
    (void)state;
    assert_int_equal(confined(act_nothing), 7);
    assert_int_equal(confined(act_read_file), 7);
    assert_int_equal(confined(act_write_file), 7);
    assert_int_equal(confined(act_fork), 7);
    assert_int_equal(confined(act_executable_memory), 7);
    assert_int_equal(confined(act_load_program), 7);
    assert_int_equal(confined(act_signal_another), 7);
    assert_int_equal(confined(act_remove), 7);
}

static void what_only_an_intruder_would_try_ends_it(void **state)
{
    (void)state;
    assert_int_equal(confined(act_exec), 256 + SIGSYS);
    assert_int_equal(confined(act_socket), 256 + SIGSYS);
    assert_int_equal(confined(act_ptrace), 256 + SIGSYS);
}

/* ---- names of containers ------------------------------------------------------------------------ */

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void folders_of_every_runtime_are_known(void **state)
{
    (void)state;
    static const char *const folders[] = {
        ID,           "docker-" ID ".scope", "cri-containerd-" ID ".scope", "crio-" ID ".scope",
        "libpod-" ID, "libpod-" ID ".scope", "nerdctl-" ID ".scope",
    };

    for (size_t i = 0; i < KYMO_COUNT_OF(folders); i++) {
        assert_true(follow_names_container(folders[i], ID));
        assert_true(follow_names_container(folders[i], "0123456789ab"));
        assert_true(follow_names_container(folders[i], "012345"));
        assert_false(follow_names_container(folders[i], "01234")); /* too short to mean it */
        assert_false(follow_names_container(folders[i], "123456789abc"));
    }
    assert_true(follow_names_container("web", "web"));
    assert_true(follow_names_container("lxc.payload.web", "web"));
    assert_true(follow_names_container("machine-web.scope", "web"));
}

static void what_watches_a_container_or_is_named_alike_is_not_it(void **state)
{
    (void)state;
    assert_false(follow_names_container("libpod-conmon-" ID ".scope", ID));
    assert_false(follow_names_container("crio-conmon-" ID ".scope", ID));
    assert_false(follow_names_container("web2", "web"));
    assert_false(follow_names_container("my-web", "web"));
    assert_false(follow_names_container("docker-web2.scope", "web"));
    assert_false(follow_names_container("docker-.scope", "docker"));
    assert_false(follow_names_container("x" ID, "0123456789ab"));
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void names_are_found_in_what_docker_and_podman_keep(void **state)
{
    struct kept *t = *state;
    char path[512], id[65];

    snprintf(path, sizeof(path),
             "mkdir -p %s/var/lib/docker/containers/" ID
             " %s/var/lib/containers/storage/overlay-containers",
             t->dir, t->dir);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof(path), "%s/var/lib/docker/containers/" ID "/config.v2.json", t->dir);
    put(path, "{\"ID\":\"" ID "\",\"Name\":\"/web\",\"Image\":\"x\"}");
    snprintf(path, sizeof(path),
             "%s/var/lib/containers/storage/overlay-containers/containers.json", t->dir);
    put(path,
        "[{\"id\":\"a" ID "\",\"names\":[\"x\"]},{\"id\":\"f123456789abcdef0123456789abcdef"
        "0123456789abcdef0123456789abcdef\",\"names\":[\"db\",\"db2\"],\"image\":\"y\"}]");
    assert_true(follow_id_by_name(t->dir, "web", id, sizeof(id)));
    assert_string_equal(id, ID);
    assert_true(follow_id_by_name(t->dir, "db", id, sizeof(id)));
    assert_int_equal(id[0], 'f');
    assert_false(follow_id_by_name(t->dir, "we", id, sizeof(id)));
    assert_false(follow_id_by_name(t->dir, "x", id, sizeof(id))); /* 65 digits are no id */
    assert_false(follow_id_by_name(t->dir, "../web", id, sizeof(id)));
}

#define WITH_KEEPER(f) cmocka_unit_test_setup_teardown(f, open_keeper, close_keeper)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_KEEPER(it_tells_of_a_process_what_proc_says),
        WITH_KEEPER(a_part_is_new_private_and_beside_the_first),
        WITH_KEEPER(a_part_does_not_follow_a_link),
        WITH_KEEPER(names_that_lead_elsewhere_are_refused),
        WITH_KEEPER(only_captures_are_removed),
        WITH_KEEPER(malformed_requests_are_answered_and_nothing_else),
        WITH_KEEPER(a_packet_that_is_too_long_is_not_served),
        WITH_KEEPER(numbers_of_processes_and_maps_are_held_against_what_there_is),
        WITH_KEEPER(names_of_containers_are_plain),
        WITH_KEEPER(descriptors_sent_to_it_are_not_taken),
        WITH_KEEPER(it_holds_what_it_serves_with_and_nothing_else),
        WITH_KEEPER(when_it_dies_every_request_fails_at_once),
        WITH_KEEPER(a_late_answer_is_not_taken_for_the_next),
        WITH_KEEPER(it_leaves_when_the_recorder_does),
        cmocka_unit_test(maps_are_read_and_written_for_who_may_not),
        cmocka_unit_test(a_confined_recorder_reads_and_cannot_do_more),
        cmocka_unit_test(what_only_an_intruder_would_try_ends_it),
        cmocka_unit_test(folders_of_every_runtime_are_known),
        cmocka_unit_test(what_watches_a_container_or_is_named_alike_is_not_it),
        WITH_KEEPER(names_are_found_in_what_docker_and_podman_keep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
