/* SPDX-License-Identifier: Apache-2.0
 * actor_begin.c: an image of the stage begins: at the start of a plan ("start ACTOR") or where the recording has
 * an exec ("exec ACTOR CALL DESCRIPTORS"). It maps what the actors share, and goes on.
 */
#include <linux/fcntl.h>
#include <linux/prctl.h>
#include <linux/signal.h>

#include "replay/stage/actor/actor.h"

struct fdmap process_fd;
uint64_t process_break;

enum {
    READ = 1,
    WRITE = 2,
    SHARED = 1,
    PRIVATE = 2,
    FIXED = 0x10,
    ANONYMOUS = 0x20,
    NORESERVE = 0x4000,
    FD_CLOEXEC_ON = 1,
};

/* Before there is anybody to tell. */
static _Noreturn void give_up(void)
{
    for (;;)
        own_call(__NR_exit_group, 111, 0, 0, 0, 0, 0);
}

void actor_fail(uint32_t actor, long error)
{
    MORE->failure = (int32_t)-error;
    __atomic_store_n(&MORE->failed, actor + 1, __ATOMIC_RELEASE);
    kymo_stage_futex(&MORE->ready, KYMO_FUTEX_WAKE, INT32_MAX, 0);
    give_up();
}

static int open_path(const char *path, int flags)
{
    const long fd = own_call(__NR_openat, (uint64_t)AT_FDCWD, address(path),
                             (uint64_t)(flags | O_CLOEXEC), 0, 0, 0);

    if (fd < 0)
        give_up();
    return (int)fd;
}

static void map(uint64_t at, uint64_t bytes, int prot, int flags, int fd, uint64_t offset)
{
    const long got = own_call(__NR_mmap, at, bytes, (uint64_t)prot, (uint64_t)(flags | FIXED),
                              (uint64_t)fd, offset);

    if ((uint64_t)got != at)
        give_up();
}

static void map_none(uint64_t at, uint64_t bytes)
{
    map(at, bytes, READ | WRITE, PRIVATE | ANONYMOUS | NORESERVE, -1, 0);
}

static void close_fd(int fd)
{
    own_call(__NR_close, (uint64_t)fd, 0, 0, 0, 0, 0);
}

static void map_shared(void)
{
    int fd = open_path(KYMO_STAGE_PLAN, O_RDONLY);
    map(KYMO_IMAGE_BASE, (uint64_t)own_call(__NR_lseek, (uint64_t)fd, 0, 2, 0, 0, 0), READ,
        SHARED, fd, 0);
    close_fd(fd);
    fd = open_path(KYMO_STAGE_CONTROL, O_RDWR);
    const uint64_t bytes = (uint64_t)own_call(__NR_lseek, (uint64_t)fd, 0, 2, 0, 0, 0);
    map(KYMO_WORDS_BASE, KYMO_WORDS_BYTES, READ | WRITE, SHARED, fd, 0);
    map(KYMO_CONTROL_BASE, bytes - KYMO_WORDS_BYTES, READ | WRITE, SHARED, fd,
        KYMO_WORDS_BYTES);
    close_fd(fd);
    fd = open_path(KYMO_STAGE_PATTERN, O_RDONLY);
    for (uint64_t at = 0; at < KYMO_PATTERN_BYTES; at += KYMO_PATTERN_FILE_BYTES)
        map(KYMO_PATTERN_BASE + at, KYMO_PATTERN_FILE_BYTES, READ, SHARED, fd, 0);
    close_fd(fd);
}

static void map_own(void)
{
    map_none(KYMO_SINK_BASE, KYMO_SINK_BYTES);
    map_none(KYMO_OWN_WORDS_BASE, KYMO_WORDS_BYTES);
    if (MORE->n_regions)
        map_none(KYMO_REGIONS_BASE, (uint64_t)MORE->n_regions * 8);
    process_break = (uint64_t)own_call(__NR_brk, 0, 0, 0, 0, 0, 0);
}

static void handle(int signal)
{
#if defined(__x86_64__)
    const uint64_t action[4] = {(uint64_t)(uintptr_t)kymo_handler, 0x04000000,
                                (uint64_t)(uintptr_t)kymo_restorer, 0};
#else
    const uint64_t action[4] = {(uint64_t)(uintptr_t)kymo_handler, 0, 0, 0};
#endif
    own_call(__NR_rt_sigaction, (uint64_t)signal, address(action), 0, 8, 0, 0);
}

/* Not of its own mistakes, nor what is of no consequence unless it is asked for. */
static int is_handled(int signal)
{
    return signal != SIGSEGV && signal != SIGBUS && signal != SIGILL && signal != SIGFPE &&
           signal != SIGURG && signal != SIGWINCH && signal != SIGCONT;
}

static uint64_t number(const char **text)
{
    uint64_t v = 0;
    const char *p = *text;

    for (;; p++) {
        const int digit = *p >= '0' && *p <= '9'   ? *p - '0'
                          : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
                                                   : -1;
        if (digit < 0)
            break;
        v = v << 4 | (uint64_t)digit;
    }
    *text = p;
    return v;
}

static void take_fds(const char *text)
{
    while (*text) {
        const uint64_t recorded = number(&text);
        if (*text++ != ':')
            return;
        const int32_t by = (int32_t)(uint32_t)number(&text);
        if (*text++ != ',' || recorded >= KYMO_FDS_MAX)
            return;
        fd_set_to(&process_fd, (uint32_t)recorded, (int64_t)recorded + by);
    }
}

/* ---- the start of a plan --------------------------------------------------------------------- */

static void close_on_exec(const struct kymo_iprocess *p)
{
    const struct kymo_istart *start = SECTION(kymo_istart, start) + p->start;

    for (uint32_t i = 0; i < p->n_starts; i++)
        if (start[i].cloexec)
            own_call(__NR_fcntl, start[i].fd, F_SETFD, FD_CLOEXEC_ON, 0, 0, 0);
}

static void leader_starts(void *actor)
{
    const uint32_t index = (uint32_t)(uintptr_t)actor;
    const struct kymo_iactor *a = SECTION(kymo_iactor, actor);
    const struct kymo_iprocess *p = SECTION(kymo_iprocess, process) + a[index].process;
    const uint32_t pid = (uint32_t)own_call(__NR_getpid, 0, 0, 0, 0, 0, 0);
    struct self s;

    /* What the recorded program did with signals before is not known; it lived, and had handlers where the
     * recording shows it to come back from one. */
    for (int signal = 1; p->handles && signal < 32; signal++)
        if (is_handled(signal))
            handle(signal);
    const uint64_t ignore[4] = {1, 0, 0, 0};
    own_call(__NR_rt_sigaction, SIGPIPE, address(ignore), 0, 8, 0, 0);
    own_call(__NR_prctl, PR_SET_TIMERSLACK, 1, 0, 0, 0, 0);
    /* Else the first byte that is read clears two megabytes. */
    own_call(__NR_prctl, PR_SET_THP_DISABLE, 1, 0, 0, 0, 0);
    close_on_exec(p);
    for (uint32_t k = 1; k < IMAGE->actor.n; k++)
        if (a[k].process == a[index].process && a[k].at_start && k != index)
            thread_start(k);
    PID[a[index].process] = pid;
    self_init(&s, index, &process_fd, lane_of(a[index].lane));
    appear(&s, pid);
    start_wait();
    self_init(&s, index, &process_fd, s.lane);
    script_play(&s, 0);
}

/* ---- an exec --------------------------------------------------------------------------------- */

struct after {
    uint32_t actor, call;
};

static void leader_goes_on(void *at)
{
    const struct after after = *(const struct after *)at;
    struct self s;

    self_init(&s, after.actor, &process_fd,
              lane_of(SECTION(kymo_iactor, actor)[after.actor].lane));
    s.progress->tid = (uint32_t)own_call(__NR_gettid, 0, 0, 0, 0, 0, 0);
    others_end(&s);
    name_set(s.call[after.call].text);
    outcome_end(&s, after.call, 0);
    kymo_done(s.progress, after.call);
    script_play(&s, after.call + 1);
}

_Noreturn void actor_begin(uint64_t *sp)
{
    const uint64_t argc = sp[0];
    const char **argv = (const char **)(sp + 1);
    const uint64_t *auxv = sp + argc + 2;
    struct after after = {0, 0};

    while (*auxv)
        auxv++;
    clock_find(auxv + 1);
    if (argc < 3)
        give_up();
    map_shared();
    map_own();
    handle(KYMO_STAGE_SIGNAL);
    after.actor = (uint32_t)number(&argv[2]);
    if (after.actor >= IMAGE->actor.n)
        give_up();
    const struct kymo_iactor *a = SECTION(kymo_iactor, actor) + after.actor;
    lanes_map(SECTION(kymo_iprocess, process)[a->process].n_lanes);
    char *stack = lane_of(a->lane) + KYMO_LANE_BYTES;
    if (argv[1][0] == 's')
        kymo_switch(stack, leader_starts, place(after.actor));
    if (argc < 5)
        give_up();
    after.call = (uint32_t)number(&argv[3]);
    take_fds(argv[4]);
    if (after.call >= a->n_calls)
        give_up();
    kymo_switch(stack, leader_goes_on, &after);
}
