/* SPDX-License-Identifier: Apache-2.0
 * shellrows.h: a capture of a shell that runs `cat FILE` again and again through a pipe, and of a server that
 * answers on two connections: rows as a recorder writes them, everything in it known.
 */
#ifndef KYMO_TESTS_SHELLROWS_H
#define KYMO_TESTS_SHELLROWS_H

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "format/trace/schema.h"
#include "format/trace/sysname.h"
#include "format/trace/writer.h"

#define SHELL_START UINT64_C(5000000000)
#define SHELL_SECOND UINT64_C(1000000000)
#define SHELL_LOOPS 20 /* a second */

struct shell {
    struct kymo_writer *w;
    struct kymo_rows *calls, *processes, *fds, *loss;
    uint64_t ts, second;
    uint32_t pid;
    int failed;
};

static inline void shell_put(struct shell *s, struct kymo_rows *r, uint32_t flags)
{
    const struct kymo_batch b = kymo_rows_view(r);
    s->failed |= kymo_writer_put(s->w, &b, flags, NULL) != KYMO_OK;
    kymo_rows_clear(r);
}

static inline uint32_t shell_task(struct shell *s, uint64_t pid, const char *comm,
                                  uint64_t execseq)
{
    struct kymo_rows *r = s->calls;
    const uint64_t name = kymo_rows_intern(r, comm, strlen(comm));
    for (uint32_t t = 0; t < r->n_tasks; t++)
        if (r->lane[KYMO_SYSCALL_PID][t] == pid && r->lane[KYMO_SYSCALL_COMM][t] == name)
            return t;
    const uint32_t t = kymo_rows_add_task(r);
    r->lane[KYMO_SYSCALL_PID][t] = r->lane[KYMO_SYSCALL_TID][t] = pid;
    r->lane[KYMO_SYSCALL_COMM][t] = name;
    r->lane[KYMO_SYSCALL_START][t] = pid * 10;
    r->lane[KYMO_SYSCALL_EXECSEQ][t] = execseq;
    return t;
}

/* One call, 1 us long, 9 us after the one before. */
static inline uint32_t shell_call(struct shell *s, uint64_t pid, const char *comm,
                                  const char *name, int64_t ret, uint64_t a0, uint64_t a1,
                                  uint64_t a2)
{
    struct kymo_rows *r = s->calls;
    const uint64_t nr = (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, name);
    uint32_t key = 0;
    while (key < r->n_keys && r->lane[KYMO_SYSCALL_NR][key] != nr)
        key++;
    if (key == r->n_keys) {
        kymo_rows_add_key(r);
        r->lane[KYMO_SYSCALL_ARCH][key] = KYMO_ARCH_X86_64;
        r->lane[KYMO_SYSCALL_NR][key] = nr;
    }
    const uint32_t task = shell_task(s, pid, comm, 0), i = kymo_rows_add(r);
    r->task[i] = task;
    r->key[i] = (uint16_t)key;
    s->ts += 10000;
    r->lane[KYMO_SYSCALL_TS][i] = s->ts;
    kymo_rows_set(r, KYMO_SYSCALL_DUR, i, 1000);
    kymo_rows_set(r, KYMO_SYSCALL_RET, i, (uint64_t)ret);
    kymo_rows_set(r, KYMO_SYSCALL_ARG0, i, a0);
    kymo_rows_set(r, KYMO_SYSCALL_ARG1, i, a1);
    kymo_rows_set(r, KYMO_SYSCALL_ARG2, i, a2);
    return i;
}

static inline void shell_process(struct shell *s, const char *kind, uint64_t pid, uint64_t ppid,
                                 const char *comm)
{
    struct kymo_rows *r = s->processes;
    const uint32_t i = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_PROCESS_TS, i, s->ts + 1);
    kymo_rows_set_str(r, KYMO_PROCESS_KIND, i, kind, strlen(kind));
    kymo_rows_set(r, KYMO_PROCESS_PID, i, pid);
    kymo_rows_set(r, KYMO_PROCESS_TID, i, pid);
    kymo_rows_set(r, KYMO_PROCESS_PPID, i, ppid);
    kymo_rows_set(r, KYMO_PROCESS_START, i, pid * 10);
    kymo_rows_set_str(r, KYMO_PROCESS_COMM, i, comm, strlen(comm));
    if (strcmp(kind, "exit") == 0) {
        kymo_rows_set(r, KYMO_PROCESS_CODE, i, 0);
        kymo_rows_set(r, KYMO_PROCESS_LIFETIME, i, 500000);
        kymo_rows_set(r, KYMO_PROCESS_UTIME, i, 40000);
        kymo_rows_set(r, KYMO_PROCESS_STIME, i, 20000);
        kymo_rows_set(r, KYMO_PROCESS_MAXRSS, i, 1 << 20);
        kymo_rows_set(r, KYMO_PROCESS_MINFLT, i, 90);
        kymo_rows_set(r, KYMO_PROCESS_MAJFLT, i, 0);
    }
}

static inline void shell_fd(struct shell *s, uint64_t pid, uint64_t fd, const char *target,
                            const char *local, const char *peer)
{
    const uint32_t i = kymo_rows_add(s->fds);
    kymo_rows_set(s->fds, KYMO_FD_TS, i, s->ts);
    kymo_rows_set(s->fds, KYMO_FD_PID, i, pid);
    kymo_rows_set(s->fds, KYMO_FD_START, i, pid * 10);
    kymo_rows_set(s->fds, KYMO_FD_FD, i, fd);
    kymo_rows_set_str(s->fds, KYMO_FD_TARGET, i, target, strlen(target));
    kymo_rows_set_str(s->fds, KYMO_FD_LOCAL, i, local, strlen(local));
    kymo_rows_set_str(s->fds, KYMO_FD_PEER, i, peer, strlen(peer));
}

/* x=$(cat /etc/motd) */
static inline void shell_loop(struct shell *s)
{
    static const char sh[] = "sh", cat[] = "cat", path[] = "/etc/motd";
    const uint64_t child = ++s->pid;
    struct kymo_rows *r = s->calls;
    uint32_t i;
    shell_call(s, 100, sh, "pipe2", 0, 0x7ff012345678, 0, 0);
    shell_process(s, "fork", child, 100, sh);
    shell_call(s, 100, sh, "clone", (int64_t)child, 0x1200011, 0, 0);
    i = shell_call(s, child, sh, "clone", 0, 0x1200011, 0, 0);
    r->lane[KYMO_SYSCALL_FLAGS][i] = KYMO_CALL_CHILD;
    r->present[KYMO_SYSCALL_DUR][i] = 0;
    shell_call(s, 100, sh, "close", 0, 4, 0, 0);
    shell_call(s, child, sh, "dup2", 1, 4, 1, 0);
    shell_call(s, child, sh, "close", 0, 3, 0, 0);
    shell_call(s, child, sh, "close", 0, 4, 0, 0);
    shell_process(s, "exec", child, 100, cat);
    i = shell_call(s, child, cat, "execve", 0, 0, 0, 0);
    r->lane[KYMO_SYSCALL_FLAGS][i] = KYMO_CALL_EXECED;
    i = shell_call(s, child, cat, "openat", 3, 0xffffff9c, 0x7ff0aaaa5678, 0);
    kymo_rows_set_str(r, KYMO_SYSCALL_PATH, i, path, strlen(path));
    shell_call(s, child, cat, "read", 286, 3, 0x7ff0aaaa5678, 131072);
    shell_call(s, child, cat, "write", 286, 1, 0x7ff0aaaa5678, 286);
    shell_call(s, 100, sh, "read", 286, 3, 0x7ff012345678, 512);
    shell_call(s, child, cat, "read", 0, 3, 0x7ff0aaaa5678, 131072);
    shell_call(s, child, cat, "close", 0, 3, 0, 0);
    i = shell_call(s, child, cat, "exit_group", 0, 0, 0, 0);
    r->lane[KYMO_SYSCALL_FLAGS][i] = KYMO_CALL_AT_ENTRY;
    r->present[KYMO_SYSCALL_DUR][i] = r->present[KYMO_SYSCALL_RET][i] = 0;
    shell_process(s, "exit", child, 100, cat);
    shell_call(s, 100, sh, "read", 0, 3, 0x7ff012345678, 512);
    shell_call(s, 100, sh, "close", 0, 3, 0, 0);
    shell_call(s, 100, sh, "wait4", (int64_t)child, 0xffffffff, 0x7ff012345678, 0);
}

static inline void shell_serve(struct shell *s, uint64_t fd)
{
    shell_call(s, 200, "server", "epoll_wait", 1, 4, 0x7ff0bbbb0000, 64);
    shell_call(s, 200, "server", "recvfrom", 40, fd, 0x7ff0bbbb0000, 4096);
    shell_call(s, 200, "server", "sendto", 1000, fd, 0x7ff0bbbb0000, 1000);
}

static inline void shell_second(struct shell *s)
{
    if (s->second == 0) {
        shell_process(s, "snapshot", 100, 1, "sh");
        shell_process(s, "snapshot", 200, 1, "server");
        for (uint64_t fd = 0; fd < 3; fd++) {
            shell_fd(s, 100, fd, "/dev/null", "", "");
            shell_fd(s, 200, fd, "/dev/null", "", "");
        }
        shell_fd(s, 200, 3, "socket:[7]", "inet:127.0.0.1:80", "");
        shell_fd(s, 200, 4, "anon_inode:[eventpoll]", "", "");
        shell_fd(s, 200, 5, "socket:[8]", "inet:127.0.0.1:80", "inet:127.0.0.1:5001");
        shell_fd(s, 200, 6, "socket:[9]", "inet:127.0.0.1:80", "inet:127.0.0.1:5002");
    }
    for (int i = 0; i < SHELL_LOOPS; i++) {
        s->ts =
            SHELL_START + s->second * SHELL_SECOND + (uint64_t)i * SHELL_SECOND / SHELL_LOOPS;
        shell_loop(s);
        shell_serve(s, 5 + (uint64_t)(i & 1));
    }
    shell_put(s, s->processes, 0);
    shell_put(s, s->fds, 0);
    shell_put(s, s->calls, 0);
    const uint32_t i = kymo_rows_add(s->loss);
    s->second++;
    kymo_rows_set(s->loss, KYMO_LOSS_TS, i, SHELL_START + s->second * SHELL_SECOND);
    kymo_rows_set_str(s->loss, KYMO_LOSS_SOURCE, i, "syscall", 7);
    shell_put(s, s->loss, KYMO_CHUNK_SEAL);
}

/* 0: it was not written. */
static inline int shell_write(const char *path, unsigned seconds)
{
    struct shell s = {.ts = SHELL_START, .pid = 1000};
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || kymo_writer_open(&s.w, fd, path, 1, NULL) ||
        kymo_rows_open(&s.calls, &KYMO_TABLE_SYSCALL, 8192, NULL) ||
        kymo_rows_open(&s.processes, &KYMO_TABLE_PROCESS, 1024, NULL) ||
        kymo_rows_open(&s.fds, &KYMO_TABLE_FD, 64, NULL) ||
        kymo_rows_open(&s.loss, &KYMO_TABLE_LOSS, 16, NULL))
        return 0;
    while (s.second < seconds)
        shell_second(&s);
    s.failed |= kymo_writer_finish(s.w, NULL) != KYMO_OK;
    kymo_rows_close(s.calls);
    kymo_rows_close(s.processes);
    kymo_rows_close(s.fds);
    kymo_rows_close(s.loss);
    kymo_writer_close(s.w);
    close(fd);
    return !s.failed;
}

#endif
