/* SPDX-License-Identifier: Apache-2.0
 * tracegen.h: seeded syscall rows for tests and benches. The same seed makes the same rows, so a
 * test can make them again beside what it reads. A few redis-like servers (wait, read, write),
 * now and then a process that opens, stats and reads files, in an order that chance decides.
 */
#ifndef KYMO_TESTS_TRACEGEN_H
#define KYMO_TESTS_TRACEGEN_H

#include <stdio.h>
#include <string.h>

#include "format/base/rng.h"
#include "format/trace/batch.h"

#define GEN_TASKS 12u
#define GEN_ARCH 0xC000003Eu

struct tracegen_task {
    uint32_t at_step, todo, fd;
};

struct tracegen {
    struct kymo_rng rng;
    uint64_t ts_ns;
    uint32_t at_task;
    struct tracegen_task task[GEN_TASKS];
};

enum {
    GEN_WAIT,
    GEN_READ,
    GEN_WRITE,
    GEN_OPENAT,
    GEN_CLOSE,
    GEN_STAT,
    GEN_CONNECT,
    GEN_EXIT,
    GEN_KEYS
};

static inline void tracegen_init(struct tracegen *g, uint64_t seed)
{
    memset(g, 0, sizeof(*g));
    kymo_rng_init(&g->rng, seed);
    g->ts_ns = 1000000000u;
}

/* Tasks and keys of a fresh chunk. */
static inline void tracegen_begin(struct kymo_rows *r)
{
    static const uint32_t nr[GEN_KEYS] = {232, 0, 1, 257, 3, 262, 42, 60};
    static const char *const comm[3] = {"redis-server", "redis-benchmark", "find"};
    kymo_rows_clear(r);
    for (uint32_t t = 0; t < GEN_TASKS; t++) {
        const uint32_t task = kymo_rows_add_task(r);
        const char *name = comm[t < 4 ? 0 : t < 8 ? 1 : 2];
        r->lane[KYMO_SYSCALL_PID][task] = 4000 + t;
        r->lane[KYMO_SYSCALL_TID][task] = 4000 + t;
        r->lane[KYMO_SYSCALL_COMM][task] = kymo_rows_intern(r, name, strlen(name));
        r->lane[KYMO_SYSCALL_CGROUP][task] = 77 + t / 4;
        r->lane[KYMO_SYSCALL_START][task] = 123456789u * (t + 1);
        r->lane[KYMO_SYSCALL_EXECSEQ][task] = t & 1;
    }
    for (uint32_t k = 0; k < GEN_KEYS; k++) {
        const uint16_t key = kymo_rows_add_key(r);
        r->lane[KYMO_SYSCALL_ARCH][key] = GEN_ARCH;
        r->lane[KYMO_SYSCALL_NR][key] = nr[k];
    }
}

static inline void tracegen_cell(struct kymo_rows *r, uint32_t column, uint32_t row, uint64_t v)
{
    r->lane[column][row] = v;
    r->present[column][row] = 1;
}

static inline void tracegen_args(struct kymo_rows *r, uint32_t row, int64_t ret, unsigned n,
                                 uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
    const uint64_t a[4] = {a0, a1, a2, a3};
    tracegen_cell(r, KYMO_SYSCALL_RET, row, (uint64_t)ret);
    for (unsigned i = 0; i < n; i++)
        tracegen_cell(r, KYMO_SYSCALL_ARG0 + i, row, a[i]);
}

static inline void tracegen_file_call(struct tracegen *g, struct kymo_rows *r, uint32_t row,
                                      uint64_t dice)
{
    char path[64];
    const int n = snprintf(path, sizeof(path), "/usr/share/doc/package-%u/file-%u",
                           (unsigned)(dice % 37), (unsigned)(dice / 64 % 11));
    const int fails = dice % 5 == 0;
    switch (dice % 4) {
    case 0:
        r->key[row] = GEN_OPENAT;
        tracegen_args(r, row, fails ? -2 : 5, 4, 0xffffffffffffff9cu,
                      0x7ffc00001000u + dice % 512, 0x80000, 0);
        tracegen_cell(r, KYMO_SYSCALL_PATH, row, kymo_rows_intern(r, path, (size_t)n));
        break;
    case 1:
        r->key[row] = GEN_CLOSE;
        tracegen_args(r, row, 0, 1, 5, 0, 0, 0);
        break;
    case 2:
        r->key[row] = GEN_STAT;
        tracegen_args(r, row, fails ? -2 : 0, 4, 0xffffffffffffff9cu, 0x7ffc00002000u,
                      0x7ffc00003000u, 0x100);
        if (dice % 3) {
            tracegen_cell(r, KYMO_SYSCALL_PATH, row, kymo_rows_intern(r, path, (size_t)n));
        } else {
            r->lane[KYMO_SYSCALL_FLAGS][row] = KYMO_CALL_UNREAD;
        }
        break;
    default:
        if (dice / 4 % 50 == 0) {
            r->key[row] = GEN_EXIT;
            r->lane[KYMO_SYSCALL_FLAGS][row] = KYMO_CALL_AT_ENTRY;
            r->present[KYMO_SYSCALL_DUR][row] = 0;
            tracegen_cell(r, KYMO_SYSCALL_ARG0, row, dice / 200 % 2);
            break;
        }
        r->key[row] = GEN_CONNECT;
        tracegen_args(r, row, fails ? -111 : 0, 3, 6, 0x7ffc00004000u, 16, 0);
        tracegen_cell(r, KYMO_SYSCALL_ADDR, row,
                      kymo_rows_intern(r, "inet:127.0.0.1:6379", 19));
    }
    (void)g;
}

/* One row; the rows are not full. */
static inline void tracegen_row(struct tracegen *g, struct kymo_rows *r)
{
    const uint64_t dice = kymo_rng_u64(&g->rng);
    if (dice % 4 == 0)
        g->at_task = (uint32_t)(dice >> 8) % GEN_TASKS;
    g->ts_ns += 200 + (dice >> 16) % 4096;
    struct tracegen_task *t = &g->task[g->at_task];
    const uint32_t row = r->n_rows++;
    r->lane[KYMO_SYSCALL_TS][row] = g->ts_ns;
    r->lane[KYMO_SYSCALL_CPU][row] = g->at_task % 2;
    r->lane[KYMO_SYSCALL_FLAGS][row] = 0;
    tracegen_cell(r, KYMO_SYSCALL_DUR, row, 150 + (dice >> 32) % 1024);
    r->task[row] = g->at_task;
    if (g->at_task >= 8) {
        tracegen_file_call(g, r, row, dice >> 24);
        return;
    }
    const uint32_t n_ready = 1 + (uint32_t)(dice >> 20) % 8;
    switch (t->at_step) {
    case 0:
        r->key[row] = GEN_WAIT;
        t->todo = n_ready;
        t->fd = 8 + (uint32_t)(dice >> 40) % 32;
        tracegen_args(r, row, (int64_t)n_ready, 4, 5, 0x55d0c0a01000u, 10128, 100);
        t->at_step = 1;
        break;
    case 1:
        r->key[row] = GEN_READ;
        tracegen_args(r, row, 45, 3, t->fd, 0x7f1200000000u + 16384 * (uint64_t)t->fd, 16384,
                      0);
        t->at_step = 2;
        break;
    default:
        r->key[row] = GEN_WRITE;
        tracegen_args(r, row, dice % 7 ? 5 : 103, 3, t->fd,
                      0x7f1300000000u + 16384 * (uint64_t)t->fd, dice % 7 ? 5 : 103, 0);
        t->fd = 8 + (t->fd - 7) % 32;
        t->at_step = --t->todo ? 1 : 0;
    }
}

#endif
