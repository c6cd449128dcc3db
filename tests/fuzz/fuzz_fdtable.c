/* SPDX-License-Identifier: Apache-2.0
 * fuzz_fdtable: any bytes as calls and births of a few processes, in any order of time, through the
 * table of descriptors in little memory. Twelve bytes are a call or a birth.
 */
#include <stdlib.h>
#include <string.h>

#include "format/base/size.h"
#include "format/model/fdtable.h"
#include "format/trace/sysname.h"

#define STEP 12u
#define ROWS 512u
#define CAP_BYTES ((size_t)64 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const calls[] = {
    "openat",  "open",          "close",   "close_range", "dup",        "dup2",   "dup3",
    "fcntl",   "pipe",          "pipe2",   "connect",     "socketpair", "socket", "bind",
    "accept4", "eventfd2",      "chdir",   "fchdir",      "clone",      "execve", "unshare",
    "mmap",    "epoll_create1", "read",    "write",       "fork",       "statx",  "sendfile",
    "splice",  "clone3",        "openat2", "getpid",
};
#define CALLS (sizeof(calls) / sizeof(calls[0]))
static const char *const texts[] = {"/a",   "b",  "../c/./d", "/",     "..",
                                    "////", "..", "inet:1:2", "unix:", "/x/../../y/"};

static struct kymo_rows *open_rows(const struct kymo_schema *s)
{
    struct kymo_rows *r;
    return kymo_rows_open(&r, s, ROWS, NULL) ? NULL : r;
}

static void begin(struct kymo_rows *r)
{
    kymo_rows_clear(r);
    for (uint32_t t = 0; t < 8; t++) {
        const uint32_t task = kymo_rows_add_task(r);
        r->lane[KYMO_SYSCALL_PID][task] = 1 + t % 5;
        r->lane[KYMO_SYSCALL_TID][task] = 1 + t;
        r->lane[KYMO_SYSCALL_COMM][task] = 0;
        r->lane[KYMO_SYSCALL_CGROUP][task] = 0;
        r->lane[KYMO_SYSCALL_START][task] = 10 + t % 5;
        r->lane[KYMO_SYSCALL_EXECSEQ][task] = 0;
    }
    for (size_t k = 0; k < CALLS; k++) {
        const uint16_t key = kymo_rows_add_key(r);
        r->lane[KYMO_SYSCALL_ARCH][key] = KYMO_ARCH_X86_64;
        r->lane[KYMO_SYSCALL_NR][key] = (uint64_t)kymo_sysnr(KYMO_ARCH_X86_64, calls[k]);
    }
}

/* Small numbers, and now and then one that is not. */
static uint64_t number(uint8_t byte)
{
    static const uint64_t odd[] = {UINT64_MAX,  (uint64_t)-100, UINT32_MAX, KYMO_FD_MAX - 1,
                                   KYMO_FD_MAX, 0x400,          02000000,   1030};
    return byte < 0xf0 ? byte % 64 : odd[byte % 8];
}

static void add_call(struct kymo_rows *r, const uint8_t *p)
{
    const uint32_t row = kymo_rows_add(r);
    r->key[row] = (uint16_t)(p[0] % CALLS);
    r->task[row] = p[1] % 8;
    kymo_rows_set(r, KYMO_SYSCALL_TS, row, (uint64_t)p[2] * 8);
    if (p[3] != 0xff)
        kymo_rows_set(r, KYMO_SYSCALL_RET, row,
                      p[3] >= 0xe0 ? (uint64_t)0 - p[3] : number(p[3]));
    kymo_rows_set(r, KYMO_SYSCALL_FLAGS, row, p[4] & 2);
    for (uint32_t a = 0; a < 5; a++)
        if (p[4] & 4u << a)
            kymo_rows_set(r, KYMO_SYSCALL_ARG0 + a, row, number(p[5 + a]));
    const char *text = texts[p[10] % (sizeof(texts) / sizeof(texts[0]))];
    if (p[11] & 1)
        kymo_rows_set_str(r, KYMO_SYSCALL_PATH, row, text, strlen(text));
    if (p[11] & 2)
        kymo_rows_set_str(r, KYMO_SYSCALL_ADDR, row, text, strlen(text));
}

static void add_birth(struct kymo_rows *r, const uint8_t *p)
{
    static const char *const kind[] = {"fork", "exec", "exit", "snap"};
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_PROCESS_TS, row, (uint64_t)p[2] * 8);
    kymo_rows_set_str(r, KYMO_PROCESS_KIND, row, kind[p[3] % 4], 4);
    kymo_rows_set(r, KYMO_PROCESS_PID, row, p[4] % 6);
    kymo_rows_set(r, KYMO_PROCESS_TID, row, p[4] % 6 + p[5] % 2);
    kymo_rows_set(r, KYMO_PROCESS_PPID, row, p[6] % 6);
    kymo_rows_set(r, KYMO_PROCESS_START, row, 9 + p[7] % 6);
}

/* A row of a snapshot. */
static void add_fd(struct kymo_rows *r, const uint8_t *p)
{
    static const char *const target[] = {
        "socket:[1]", "pipe:[2]", "anon_inode:[eventfd]", "/gone (deleted)", "anon_inode:", ""};
    const char *text = p[3] & 1 ? target[p[8] % 6] : texts[p[8] % KYMO_COUNT_OF(texts)];
    const char *addr = texts[p[9] % KYMO_COUNT_OF(texts)];
    const uint32_t row = kymo_rows_add(r);
    kymo_rows_set(r, KYMO_FD_TS, row, (uint64_t)p[2] * (p[3] & 2 ? 1u << 24 : 8));
    kymo_rows_set(r, KYMO_FD_PID, row, p[4] % 6);
    kymo_rows_set(r, KYMO_FD_START, row, 9 + p[7] % 6);
    kymo_rows_set(r, KYMO_FD_FD, row, number(p[6]));
    kymo_rows_set_str(r, KYMO_FD_TARGET, row, text, strlen(text));
    kymo_rows_set_str(r, p[3] & 4 ? KYMO_FD_LOCAL : KYMO_FD_PEER, row, addr, strlen(addr));
}

static void follow(struct kymo_fdtable *t, const struct kymo_rows *calls_in,
                   const struct kymo_rows *births, const struct kymo_rows *fds,
                   const struct kymo_names *names)
{
    static volatile unsigned sink;
    const struct kymo_batch b = kymo_rows_view(calls_in), p = kymo_rows_view(births);
    const struct kymo_batch o = kymo_rows_view(fds);
    struct kymo_fd_about file, addr;
    if (kymo_fdtable_learn(t, &p, NULL) || kymo_fdtable_learn(t, &o, NULL))
        return;
    kymo_fdtable_begin(t, &b, names);
    for (uint32_t row = 0; row < b.n_rows; row++) {
        kymo_fdtable_row(t, row, &file, &addr);
        for (uint32_t i = 0; file.is_about && i < file.n; i++)
            sink += (unsigned char)file.text[i];
        for (uint32_t i = 0; addr.is_about && i < addr.n; i++)
            sink += (unsigned char)addr.text[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kymo_rows *r, *births, *fds;
    static struct kymo_names *names;
    struct kymo_fdtable *t;
    if (!r) {
        r = open_rows(&KYMO_TABLE_SYSCALL);
        births = open_rows(&KYMO_TABLE_PROCESS);
        fds = open_rows(&KYMO_TABLE_FD);
        if (!r || !births || !fds || kymo_names_open(&names, NULL))
            abort();
    }
    if (n > 1u << 16 || kymo_fdtable_open(&t, CAP_BYTES, NULL))
        return 0;
    while (n >= STEP) {
        begin(r);
        kymo_rows_clear(births);
        kymo_rows_clear(fds);
        for (;
             n >= STEP && !kymo_rows_full(r) && !kymo_rows_full(births) && !kymo_rows_full(fds);
             data += STEP, n -= STEP) {
            if (data[11] & 0x40)
                add_fd(fds, data);
            else if (data[11] & 0x80)
                add_birth(births, data);
            else
                add_call(r, data);
        }
        follow(t, r, births, fds, names);
    }
    if (kymo_fdtable_rewind(t, NULL))
        abort();
    kymo_fdtable_close(t);
    return 0;
}
